#include "faults.h"

#include "../../src/buffer.h"
#include "../warp.cuh"

namespace hk {
namespace {

enum class Fault : uint32_t {
  none,
  missing_barrier,
  missing_warp_barrier,
  divergent_barrier,
  divergent_shuffle,
  early_return,
  out_of_bounds_shared,
  out_of_bounds_global,
  float_order
};
constexpr const char* kNames[] = {"none",         "missing_barrier",      "missing_warp_barrier", "divergent_barrier", "divergent_shuffle",
                                  "early_return", "out_of_bounds_shared", "out_of_bounds_global", "float_order"};
constexpr uint32_t kThreads = 256;

// out[i] = in[255 − i] through shared memory, plus the neighbour lane's number; sum[0] = Σ out.
__global__ void reverse_kernel(Fault fault, const double* in, double* out, double* sum) {
  HK_DYNAMIC_SHARED(double, shared);
  __shared__ double warp_numbers[kThreads];
  const uint32_t i = threadIdx.y * kWarp + threadIdx.x;
  shared[i] = in[i];
  if (fault == Fault::out_of_bounds_shared && i == 7) shared[kThreads] = 1;
  if (fault == Fault::early_return && i == 3) return;
  if (fault == Fault::divergent_barrier && i < 128) {
    __syncthreads();
  } else if (fault != Fault::missing_barrier) {
    __syncthreads();
  }
  const double reversed = shared[kThreads - 1 - i];
  warp_numbers[i] = reversed;
  if (fault != Fault::missing_warp_barrier) __syncwarp();
  const double neighbour = warp_numbers[i ^ 1];
  if (fault == Fault::divergent_shuffle && threadIdx.x == 5) return;
  const double total = warp_sum(reversed + 2 * neighbour);
  out[fault == Fault::out_of_bounds_global && i == 9 ? kThreads : i] = total;
  if (fault == Fault::float_order) *sum += total * i;  // as by an atomic addition: in the order in which threads come by
  __syncthreads();
  if (fault == Fault::float_order || i != 0) return;
  for (uint32_t k = 0; k < kThreads; ++k) *sum += out[k] * k;
}

}  // namespace

double run_with_fault(Backend& backend, const std::string& name) {
  uint32_t fault = 0;
  while (name != kNames[fault]) ++fault;
  std::vector<double> numbers(kThreads);
  for (uint32_t i = 0; i < kThreads; ++i) numbers[i] = std::sin(i + 1.0);
  const Buffer<double> in(backend, numbers);
  Buffer<double> out(backend, kThreads), sum(backend, 1);
  sum.fill(0);
  launch(kNames[fault], reverse_kernel, 1, dim3(kWarp, kThreads / kWarp), kThreads * sizeof(double), nullptr, static_cast<Fault>(fault),
         in.data(), out.data(), sum.data());
  return sum.first();
}

}  // namespace hk
