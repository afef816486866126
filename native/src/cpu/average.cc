// average on the CPU: ranges of numbers over threads, whatever their row, or listed rows; bound by memory, 12 bytes a number.
#include "../averaging.h"
#include "average_numbers.h"
#include "cpu_backend.h"
#include "isa.h"

namespace hk {
namespace {

template <class S>
HK_INLINE void move_numbers(float* __restrict average, const float* __restrict parameters, float weight, uint64_t count) {
  if (weight == 1.0f) {
    std::memcpy(average, parameters, count * sizeof(float));
    return;
  }
  for (uint64_t k = 0; k < count; ++k) average[k] += weight * (parameters[k] - average[k]);
}

HK_DISPATCH(moves, move_numbers, (float* average, const float* parameters, float weight, uint64_t count), (average, parameters, weight, count))

}  // namespace

void average_numbers(float* average, const float* parameters, float weight, uint64_t count) { moves(average, parameters, weight, count); }

void CpuBackend::average(const Average& a) {
  const MovingAverage& m = a.moving;
  const float weight = average_weight(m.decay, m.every, a.state->steps + 1);
  if (weight == 0.0f) return;
  if (a.rows) {
    pool_.run(*a.row_count, 256, [&](uint64_t begin, uint64_t end, int) {
      for (uint64_t i = begin; i < end; ++i) {
        const size_t at = size_t{a.rows[i]} * a.dim;
        average_numbers(m.average + at, a.parameters + at, weight, a.dim);
      }
    });
    return;
  }
  pool_.run(uint64_t{a.table_rows} * a.dim, 1 << 14, [&](uint64_t begin, uint64_t end, int) {
    average_numbers(m.average + begin, a.parameters + begin, weight, end - begin);
  });
}

}  // namespace hk
