// adam, adam_replay and map_parameters on the CPU: blocks of rows over threads. A row is one long chain of operations that wait for each
// other; in a block, passes along the rows alternate with passes over the rows' scalars as vectors, and rows overlap. A replayed step has the
// same bits as a dense one: it makes the same operations, in registers from the first step that a row missed to the last.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <type_traits>
#include <vector>

#include "../averaging.h"
#include "../ball.h"
#include "adam_block.h"
#include "average_numbers.h"
#include "cpu_backend.h"
#include "rows.h"
#include "vector_math.h"

namespace hk {
namespace {

constexpr uint32_t kBlock = AdamBlock::kMost;
using Block = AdamBlock;

AdamRates rates_of(const AdamOptions& o, const StepState& state, uint32_t step) {
  const double correction = std::sqrt(1.0 - std::pow(o.beta2, step));
  return {static_cast<float>(o.beta1), static_cast<float>(1.0 - o.beta1), static_cast<float>(o.beta2), static_cast<float>(1.0 - o.beta2),
          static_cast<float>(o.learning_rate * state.learning_rate_factor * correction / (1.0 - std::pow(o.beta1, step))),
          static_cast<float>(o.epsilon * correction)};
}

// Keeps √c‖w‖ ≤ most; returns ‖w‖².
template <class S>
HK_INLINE double keep_within(float* w, uint32_t dim, double curvature, double most) {
  const double sqnorm = dot<S>(w, w, dim);
  if (!(curvature * sqnorm > most * most)) return sqnorm;
  scale_row<S>(w, kJustWithin * most / std::sqrt(curvature * sqnorm), w, dim);
  return dot<S>(w, w, dim);
}

// One Adam step of each row; most = 0: no bound, else √c‖w‖ ≤ most after it. Sets sqnorm if there is a bound.
template <class S>
HK_INLINE void step_rows(const AdamTable& table, Block& b, const AdamRates& r, double curvature, double most) {
  const uint32_t dim = table.dim;
  for (uint32_t j = 0; j < b.count; ++j) {
    float* __restrict w = table.parameters + b.rows[j] * dim;
    float* __restrict first = table.first + b.rows[j] * dim;
    float* __restrict second = table.second + b.rows[j] * dim;
    const float* __restrict g = b.gradients[j];
    const float on_w = b.on_w[j], on_g = b.on_g[j];
    for (uint32_t k = 0; k < dim; ++k) {
      const float gradient = on_w * w[k] + on_g * g[k];
      first[k] = r.beta1 * first[k] + r.rest1 * gradient;
      second[k] = r.beta2 * second[k] + r.rest2 * gradient * gradient;
      w[k] -= r.rate * first[k] / (std::sqrt(second[k]) + r.epsilon);
    }
  }
  if (most > 0)
    for (uint32_t j = 0; j < b.count; ++j) b.sqnorm[j] = keep_within<S>(table.parameters + b.rows[j] * dim, dim, curvature, most);
}
HK_DISPATCH(step, step_rows, (const AdamTable& table, Block& b, const AdamRates& r, double curvature, double most),
            (table, b, r, curvature, most))

double bound(const AdamTable& table, bool tangent) { return table.points == nullptr ? 0.0 : tangent ? kMaxTangentNorm : kMaxNorm; }

// Points and gaps of the rows from their parameters and sqnorm.
template <class S>
HK_INLINE void map_block(const AdamTable& table, Block& b, double curvature, bool tangent) {
  const uint32_t dim = table.dim;
  if (tangent) {
    for_lanes(kBlock, [&](uint32_t j) { b.across[j] = exp_map(b.sqnorm[j], curvature).across; });
    for (uint32_t j = 0; j < b.count; ++j)
      b.sqnorm[j] = scale_row_sqnorm<S>(table.points + b.rows[j] * dim, b.across[j], table.parameters + b.rows[j] * dim, dim);
  }
  for (uint32_t j = 0; j < b.count; ++j) table.gap[b.rows[j]] = 1.0 - curvature * b.sqnorm[j];
}
HK_DISPATCH(map, map_block, (const AdamTable& table, Block& b, double curvature, bool tangent), (table, b, curvature, tangent))

// Gradients on the parameters, regularisation included; rows without a gradient have none.
template <class S>
HK_INLINE void parameter_gradients(const Adam& a, Block& b) {
  const uint32_t dim = a.table.dim;
  if (a.options.tangent) {
    for (uint32_t j = 0; j < b.count; ++j) {
      const DotPair products = dot_pair<S>(a.table.parameters + b.rows[j] * dim, b.gradients[j], dim);
      b.sqnorm[j] = products.first, b.w_dot_g[j] = products.second;
    }
    for_lanes(kBlock, [&](uint32_t j) {
      const ExpMap map = exp_map(b.sqnorm[j], a.options.curvature);
      b.across[j] = map.across, b.along[j] = map.along * b.w_dot_g[j];
    });
  } else {
    for (uint32_t j = 0; j < b.count; ++j) b.across[j] = 1, b.along[j] = 0;
  }
  for (uint32_t j = 0; j < b.count; ++j) {
    const uint32_t place = a.regularized_slot ? a.regularized_slot[b.rows[j]] : kNone;
    if (place != kNone) b.along[j] += 2.0 * a.regularization * (a.regularized_offsets[place + 1] - a.regularized_offsets[place]);
    const bool has_gradient = b.gradients[j] != b.zero;
    b.on_w[j] = has_gradient ? static_cast<float>(b.along[j]) : 0.0f, b.on_g[j] = has_gradient ? static_cast<float>(b.across[j]) : 0.0f;
  }
}

HK_DISPATCH(gradients, parameter_gradients, (const Adam& a, Block& b), (a, b))

// A row of zeros.
const float* zero_row(uint32_t dim) {
  thread_local std::vector<float> zero;
  if (zero.size() < dim) zero.resize(dim);
  return zero.data();
}

void adam_rows(const Adam& a, const AdamRates& r, uint64_t begin, uint64_t end) {
  Block b{};
  b.zero = zero_row(a.table.dim);
  for (uint64_t next = begin; next < end;) {
    for (b.count = 0; next < end && b.count < kBlock; ++next) {
      if (next + kBlock < end) prefetch_table_row(a.table, a.rows ? a.rows[next + kBlock] : next + kBlock);
      const size_t row = a.rows ? a.rows[next] : next;
      if (a.skip_slot && a.skip_slot[row] != kNone) continue;
      const uint32_t slot = a.gradient_slot ? a.gradient_slot[row] : static_cast<uint32_t>(next);
      b.rows[b.count] = row, b.gradients[b.count++] = slot == kNone ? b.zero : a.gradient + size_t{slot} * a.table.dim;
    }
    adam_block(a, r, b);
  }
}

template <class V>
HK_INLINE V root(V x) {
  if constexpr (std::is_same_v<V, float>) {
    return std::sqrt(x);
  } else {
    for (int lane = 0; lane < static_cast<int>(sizeof(V) / sizeof(float)); ++lane) x[lane] = std::sqrt(x[lane]);
    return x;
  }
}

// A row of the table that takes the steps it missed, and where what it was is kept meanwhile.
struct ReplayedRow {
  float *parameters, *first, *second, *average;  // average: null where none is kept
  uint32_t dim;
  float* before;  // [4, dim]

  std::array<float*, 4> rows() const { return {parameters, first, second, average}; }
  void restore() const {
    for (size_t i = 0; i < 4; ++i)
      if (rows()[i]) std::copy_n(before + i * dim, dim, rows()[i]);
  }
};

// Takes columns [k, k + lanes of V) of `row` through `steps`, with the operations of step_rows and average_numbers for a gradient of 0. Returns
// the square of what each parameter was at most: a number never turns round without a gradient, so that its extremes are its ends.
template <class V>
HK_INLINE V replay_columns(const ReplayedRow& row, const MissedStep* steps, uint32_t count, uint32_t k) {
  // A vector type that is a template's argument has lost its attributes: as a reference it would have to be aligned.
  const auto take = [&](float* x, uint32_t place) __attribute__((always_inline)) {
    V value;
    std::memcpy(&value, x + k, sizeof value), std::memcpy(row.before + place * row.dim + k, &value, sizeof value);
    return value;
  };
  const auto put = [k](float* x, const V& value) __attribute__((always_inline)) { std::memcpy(x + k, &value, sizeof value); };
  V w = take(row.parameters, 0), first = take(row.first, 1), second = take(row.second, 2), average{};
  if (row.average) average = take(row.average, 3);
  const V start = w * w;
  for (uint32_t s = 0; s < count; ++s) {
    const AdamRates& r = steps[s].rates;
    first = r.beta1 * first + 0.0f, second = r.beta2 * second + 0.0f;
    w -= r.rate * first / (root(second) + r.epsilon);
    if (row.average == nullptr || steps[s].into_average == 0.0f) continue;
    average = steps[s].into_average == 1.0f ? w : average + steps[s].into_average * (w - average);
  }
  put(row.parameters, w), put(row.first, first), put(row.second, second);
  if (row.average) put(row.average, average);
  const V end = w * w;
  return start > end ? start : end;
}

// Takes the row through the steps, each of its columns through all of them at once; false, and nothing done, where it might come near the bound, to which
// it is held after every step.
template <class S>
HK_INLINE bool replay_row(const AdamReplay& a, size_t row, const MissedStep* steps, uint32_t count, double most) {
  using F = typename S::F;
  thread_local std::vector<float> before;
  const uint32_t dim = a.table.dim;
  if (before.size() < 4 * dim) before.resize(4 * dim);
  const ReplayedRow replayed{a.table.parameters + row * dim, a.table.first + row * dim, a.table.second + row * dim,
                             a.moving.average ? a.moving.average + row * dim : nullptr, dim, before.data()};
  F extremes{};
  float last_extremes = 0;
  uint32_t k = 0;
  for (; k + S::kF <= dim; k += S::kF) extremes += replay_columns<F>(replayed, steps, count, k);
  for (; k < dim; ++k) last_extremes += replay_columns<float>(replayed, steps, count, k);
  double sum = last_extremes;
  for (int lane = 0; lane < S::kF; ++lane) sum += extremes[lane];
  if (most == 0 || a.options.curvature * sum <= 0.999 * most * most) return true;
  replayed.restore();
  return false;
}

// steps: those after step number `before`, up to state->steps.
template <class S>
HK_INLINE void replay_rows(const AdamReplay& a, const MissedStep* steps, uint32_t before, uint64_t begin, uint64_t end) {
  const double most = bound(a.table, a.options.tangent);
  const uint32_t dim = a.table.dim, last = a.state->steps;
  Block b{};
  b.zero = zero_row(dim);
  const auto map_block = [&] {
    if (a.table.points && b.count > 0) map(a.table, b, a.options.curvature, a.options.tangent);
    b.count = 0;
  };
  for (uint64_t i = begin; i < end; ++i) {
    if (i + kBlock < end) prefetch_table_row(a.table, a.rows ? a.rows[i + kBlock] : i + kBlock);
    const size_t row = a.rows ? a.rows[i] : i;
    const uint32_t done = a.table.step[row];
    if (done >= last) continue;
    a.table.step[row] = last;
    if (done == 0) continue;  // never had a gradient: its moments are zero and such a step changes nothing
    const MissedStep *const first = steps + (done - before), *const none = steps + (last - before);
    float* const w = a.table.parameters + row * dim;
    if (!replay_row<S>(a, row, first, static_cast<uint32_t>(none - first), most)) {
      Block one{};
      one.count = 1, one.rows[0] = row, one.zero = one.gradients[0] = b.zero;
      for (const MissedStep* missed = first; missed < none; ++missed) {
        step(a.table, one, missed->rates, a.options.curvature, most);
        if (a.moving.average && missed->into_average != 0.0f) average_numbers(a.moving.average + row * dim, w, missed->into_average, dim);
      }
    }
    if (!a.table.points) continue;
    b.sqnorm[b.count] = dot<S>(w, w, dim), b.rows[b.count++] = row;
    if (b.count == kBlock) map_block();
  }
  map_block();
}
HK_DISPATCH(replays, replay_rows, (const AdamReplay& a, const MissedStep* steps, uint32_t before, uint64_t begin, uint64_t end),
            (a, steps, before, begin, end))

template <class S>
HK_INLINE void map_rows(const MapParameters& a, uint64_t begin, uint64_t end) {
  if (a.table.points == nullptr) return;
  const double most = bound(a.table, a.tangent);
  Block b{};
  for (uint64_t block = begin; block < end; block += kBlock) {
    b.count = static_cast<uint32_t>(end - block < kBlock ? end - block : kBlock);
    for (uint32_t j = 0; j < b.count; ++j) {
      b.rows[j] = block + j;
      b.sqnorm[j] = keep_within<S>(a.table.parameters + b.rows[j] * a.table.dim, a.table.dim, a.curvature, most);
    }
    map(a.table, b, a.curvature, a.tangent);
  }
}

HK_DISPATCH(maps, map_rows, (const MapParameters& a, uint64_t begin, uint64_t end), (a, begin, end))

}  // namespace

AdamRates adam_rates(const Adam& a) { return rates_of(a.options, *a.state, a.state->steps + 1); }

void adam_block(const Adam& a, const AdamRates& r, AdamBlock& b) {
  if (b.count == 0) return;
  if (a.table.step)
    for (uint32_t j = 0; j < b.count; ++j) a.table.step[b.rows[j]] = a.state->steps + 1;
  gradients(a, b);
  step(a.table, b, r, a.options.curvature, bound(a.table, a.options.tangent));
  if (a.table.points) map(a.table, b, a.options.curvature, a.options.tangent);
}

void CpuBackend::adam(const Adam& a) {
  const AdamRates r = adam_rates(a);
  pool_.run(a.rows ? *a.row_count : a.table.rows, 128, [&](uint64_t begin, uint64_t end, int) { adam_rows(a, r, begin, end); });
}

void CpuBackend::adam_replay(const AdamReplay& a) {
  const uint64_t rows = a.rows ? *a.row_count : a.table.rows;
  const uint32_t last = a.state->steps;
  uint32_t before = last;
  for (uint64_t i = 0; i < rows; ++i)
    if (const uint32_t done = a.table.step[a.rows ? a.rows[i] : i]; done > 0) before = std::min(before, done);
  missed_steps_.resize(last - before);
  for (uint32_t s = 0; s < last - before; ++s)
    missed_steps_[s] = {rates_of(a.options, *a.state, before + 1 + s),
                        a.moving.average ? average_weight(a.moving.decay, a.moving.every, before + 1 + s) : 0.0f};
  pool_.run(rows, 64, [&](uint64_t begin, uint64_t end, int) { replays(a, missed_steps_.data(), before, begin, end); });
}

void CpuBackend::map_parameters(const MapParameters& a) {
  pool_.run(a.table.rows, 1024, [&](uint64_t begin, uint64_t end, int) { maps(a, begin, end); });
}

}  // namespace hk
