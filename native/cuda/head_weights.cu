// head_weights on the GPU: one thread per head.
//   launch   blocks of 256 for `capacity` heads, grid-stride
//   traffic  24 bytes per head, 4 of them scattered
//   sync     none
#include "../src/ball.h"
#include "cuda_backend.h"
#include "launch.h"

namespace hk {
namespace {

constexpr uint32_t kThreads = 256;

__global__ void head_weights_kernel(HeadWeights a) {
  for (uint32_t i = blockIdx.x * kThreads + threadIdx.x; i < *a.head_count; i += gridDim.x * kThreads) {
    const double count = a.occurrence_offsets ? a.occurrence_offsets[i + 1] - a.occurrence_offsets[i] : 1;
    a.weight[i] = count * (a.beta ? sigmoid(static_cast<double>(a.beta[a.heads[i]])) : a.fixed_weight);
  }
}

}  // namespace

void CudaBackend::head_weights(const HeadWeights& a) {
  launch("head_weights", head_weights_kernel, blocks_for(a.capacity, kThreads), kThreads, 0, stream_, a);
}

}  // namespace hk
