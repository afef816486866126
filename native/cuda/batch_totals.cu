// batch_totals on the GPU: one block; each thread adds every 512th number, then a fixed tree.
//   launch   1 block of (32, 16)
//   traffic  4 to 12 bytes per sample, 16 to 24 per head
//   sync     block barriers of the sums
//   order    fixed by the block's size
#include "cuda_backend.h"
#include "warp.cuh"

namespace hk {
namespace {

constexpr uint32_t kTotalWarps = 16, kTotalThreads = kTotalWarps * kWarp;

__global__ void batch_totals_kernel(BatchTotals a) {
  __shared__ double shared[kTotalWarps];
  const uint32_t thread = threadIdx.y * kWarp + threadIdx.x, heads = a.weight ? *a.head_count : 0;
  double ranking = 0, knowledge = 0, gradient = 0;
  for (uint32_t i = thread; i < a.count; i += kTotalThreads) ranking += a.loss[i];
  for (uint32_t i = thread; i < heads; i += kTotalThreads) knowledge += a.weight[i] * a.head_distance[i];
  ranking = block_sum(ranking, shared), knowledge = block_sum(knowledge, shared);
  const StepState state = *a.state;
  const double step = state.steps + 1;
  __syncthreads();  // all threads have read it
  if (thread == 0) {
    a.totals[0] += ranking, a.totals[1] += knowledge;
    *a.next = {state.epoch, state.first + a.count, state.steps + 1, state.learning_rate_factor};
  }
  if (!a.scale_gradient) return;

  for (uint32_t i = thread; i < a.count; i += kTotalThreads) gradient += a.scale_gradient[i];
  for (uint32_t i = thread; i < heads; i += kTotalThreads) gradient += a.weight[i] * a.head_scale_gradient[i];
  gradient = block_sum(gradient, shared);
  if (thread != 0) return;
  gradient *= *a.scale;  // ∂/∂ln(scale)
  constexpr double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
  const double first = beta1 * a.scale_state[1] + (1 - beta1) * gradient;
  const double second = beta2 * a.scale_state[2] + (1 - beta2) * gradient * gradient;
  const double root = std::sqrt(second / (1 - std::pow(beta2, step)));
  const double log_scale = a.scale_state[0] - a.learning_rate * (first / (1 - std::pow(beta1, step))) / (root + epsilon);
  a.scale_state[0] = log_scale, a.scale_state[1] = first, a.scale_state[2] = second;
  *a.scale = std::exp(log_scale);
}

}  // namespace

void CudaBackend::batch_totals(const BatchTotals& a) {
  launch("batch_totals", batch_totals_kernel, 1, dim3(kWarp, kTotalWarps), 0, stream_, a);
}

}  // namespace hk
