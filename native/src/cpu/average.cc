// average on the CPU: ranges of numbers over threads, whatever their row; bound by memory, 12 bytes a number.
#include "../averaging.h"
#include "cpu_backend.h"
#include "isa.h"

namespace hk {
namespace {

template <class S>
HK_INLINE void average_numbers(float* __restrict average, const float* __restrict parameters, float weight, uint64_t count) {
  if (weight == 1.0f) {
    std::memcpy(average, parameters, count * sizeof(float));
    return;
  }
  for (uint64_t k = 0; k < count; ++k) average[k] += weight * (parameters[k] - average[k]);
}

HK_DISPATCH(averages, average_numbers, (float* average, const float* parameters, float weight, uint64_t count),
            (average, parameters, weight, count))

}  // namespace

void CpuBackend::average(const Average& a) {
  const float weight = average_weight(a.decay, a.every, a.state->steps + 1);
  if (weight == 0.0f) return;
  pool_.run(uint64_t{a.rows} * a.dim, 1 << 14, [&](uint64_t begin, uint64_t end, int) {
    averages(a.average + begin, a.parameters + begin, weight, end - begin);
  });
}

}  // namespace hk
