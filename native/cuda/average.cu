// average on the GPU: one thread per number, whatever its row; of listed rows one warp per row, lanes stride dim.
//   launch   blocks of (32, 4), grid-stride; one thread per block works out the weight
//   traffic  12 bytes per number in the steps that are averaged, none in the others
//   sync     a block barrier for the weight, which is the same for all: a block leaves whole
#include "cuda_backend.h"
#include "moving_average.cuh"
#include "warp.cuh"

namespace hk {
namespace {

__global__ void average_kernel(Average a) {
  __shared__ float shared;
  if (threadIdx.x == 0 && threadIdx.y == 0) shared = moving_average_weight(a.moving.decay, a.moving.every, a.state->steps + 1);
  __syncthreads();
  const float weight = shared;
  if (weight == 0.0f) return;
  const auto move = [&](size_t k) { a.moving.average[k] = moved_average(a.moving.average[k], a.parameters[k], weight); };
  if (a.rows) {
    const uint32_t count = *a.row_count;
    for (uint32_t i = first_of_warp(); i < count; i += warps_of_grid())
      for (uint32_t k = lane_id(); k < a.dim; k += kWarp) move(size_t{a.rows[i]} * a.dim + k);
    return;
  }
  const size_t count = size_t{a.table_rows} * a.dim;
  for (size_t k = size_t{first_of_warp()} * kWarp + lane_id(); k < count; k += size_t{warps_of_grid()} * kWarp) move(k);
}

}  // namespace

void CudaBackend::average(const Average& a) {
  const uint32_t blocks = a.rows ? blocks_for(a.capacity, kWarps) : blocks_for(uint64_t{a.table_rows} * a.dim, kWarps * kWarp);
  launch("average", average_kernel, blocks, dim3(kWarp, kWarps), 0, stream_, a);
}

}  // namespace hk
