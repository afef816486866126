// average on the GPU: one thread per number, whatever its row.
//   launch   blocks of (32, 8), grid-stride; one thread per block works out the weight
//   traffic  12 bytes per number in the steps that are averaged, none in the others
//   sync     a block barrier for the weight, which is the same for all: a block leaves whole
#include "../src/averaging.h"
#include "cuda_backend.h"
#include "warp.cuh"

namespace hk {
namespace {

__global__ void average_kernel(Average a) {
  __shared__ float shared;
  if (threadIdx.x == 0 && threadIdx.y == 0) shared = average_weight(a.decay, a.every, a.state->steps + 1);
  __syncthreads();
  const float weight = shared;
  if (weight == 0.0f) return;
  const size_t count = size_t{a.rows} * a.dim;
  for (size_t k = size_t{first_of_warp()} * kWarp + lane_id(); k < count; k += size_t{warps_of_grid()} * kWarp) {
    const float now = a.parameters[k], before = a.average[k];
    a.average[k] = weight == 1.0f ? now : before + weight * (now - before);
  }
}

}  // namespace

void CudaBackend::average(const Average& a) {
  launch("average", average_kernel, blocks_for(uint64_t{a.rows} * a.dim, kWarps * kWarp), dim3(kWarp, kWarps), 0, stream_, a);
}

}  // namespace hk
