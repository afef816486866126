// adam, adam_replay and map_parameters on the CPU: blocks of rows over threads. A row is one long chain of operations that wait for each
// other; in a block, passes along the rows alternate with passes over the rows' scalars as vectors, and rows overlap. All three go through
// the same two functions, compiled once per instruction set, so that a replayed step has the same bits as a dense one.
#include <cmath>
#include <vector>

#include "../averaging.h"
#include "../ball.h"
#include "average_numbers.h"
#include "cpu_backend.h"
#include "rows.h"
#include "vector_math.h"

namespace hk {
namespace {

constexpr uint32_t kBlock = 8;

// Rates of one step number: lr·√(1−β2^t)/(1−β1^t) and ε·√(1−β2^t). 1 − β2 is rounded, not taken from a rounded β2.
struct Rates {
  float beta1, rest1, beta2, rest2, rate, epsilon;
};
Rates rates(const AdamOptions& o, const StepState& state, uint32_t step) {
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

// A block of rows of a table, with what the passes leave for each other. Lanes beyond count are there to be computed, not used.
struct Block {
  uint32_t count;
  size_t rows[kBlock];
  const float* gradients[kBlock];  // ∂/∂point
  float on_w[kBlock], on_g[kBlock];  // the gradient on the parameters is on_w·w + on_g·∂/∂point
  double sqnorm[kBlock];  // ‖w‖²
  double w_dot_g[kBlock], across[kBlock], along[kBlock];
};

// One Adam step of each row; most = 0: no bound, else √c‖w‖ ≤ most after it. Sets sqnorm if there is a bound.
template <class S>
HK_INLINE void step_rows(const AdamTable& table, Block& b, const Rates& r, double curvature, double most) {
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
HK_DISPATCH(step, step_rows, (const AdamTable& table, Block& b, const Rates& r, double curvature, double most),
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
HK_INLINE void parameter_gradients(const Adam& a, Block& b, const float* zero) {
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
    const bool has_gradient = b.gradients[j] != zero;
    b.on_w[j] = has_gradient ? static_cast<float>(b.along[j]) : 0.0f, b.on_g[j] = has_gradient ? static_cast<float>(b.across[j]) : 0.0f;
  }
}

HK_INLINE void prefetch_table_row(const AdamTable& table, size_t row) {
  const size_t at = row * table.dim, bytes = table.dim * sizeof(float);
  prefetch_row(table.parameters + at, bytes), prefetch_row(table.first + at, bytes), prefetch_row(table.second + at, bytes);
  if (table.points && table.points != table.parameters) prefetch_row(table.points + at, bytes);
}

template <class S>
HK_INLINE void adam_rows(const Adam& a, uint64_t begin, uint64_t end) {
  thread_local std::vector<float> zero;
  if (zero.size() < a.table.dim) zero.resize(a.table.dim);
  const uint32_t number = a.state->steps + 1;
  const Rates r = rates(a.options, *a.state, number);
  const double most = bound(a.table, a.options.tangent);
  Block b{};
  for (uint64_t next = begin; next < end;) {
    for (b.count = 0; next < end && b.count < kBlock; ++next) {
      if (next + kBlock < end) prefetch_table_row(a.table, a.rows ? a.rows[next + kBlock] : next + kBlock);
      const size_t row = a.rows ? a.rows[next] : next;
      if (a.skip_slot && a.skip_slot[row] != kNone) continue;
      const uint32_t slot = a.gradient_slot ? a.gradient_slot[row] : static_cast<uint32_t>(next);
      b.rows[b.count] = row, b.gradients[b.count++] = slot == kNone ? zero.data() : a.gradient + size_t{slot} * a.table.dim;
      if (a.table.step) a.table.step[row] = number;
    }
    if (b.count == 0) break;
    parameter_gradients<S>(a, b, zero.data());
    step(a.table, b, r, a.options.curvature, most);
    if (a.table.points) map(a.table, b, a.options.curvature, a.options.tangent);
  }
}

// The average of a row after step number `step`.
void move_average(const AdamReplay& a, size_t row, uint32_t step) {
  const float weight = average_weight(a.moving.decay, a.moving.every, step);
  const size_t at = row * a.table.dim;
  if (weight != 0.0f) average_numbers(a.moving.average + at, a.table.parameters + at, weight, a.table.dim);
}

template <class S>
HK_INLINE void replay_rows(const AdamReplay& a, uint64_t begin, uint64_t end) {
  thread_local std::vector<float> zero;
  if (zero.size() < a.table.dim) zero.resize(a.table.dim);
  const double most = bound(a.table, a.options.tangent);
  Block b{};
  b.count = 1, b.gradients[0] = zero.data();
  for (uint64_t i = begin; i < end; ++i) {
    const size_t row = b.rows[0] = a.rows ? a.rows[i] : i;
    uint32_t done = a.table.step[row];
    if (done >= a.state->steps) continue;
    a.table.step[row] = a.state->steps;
    if (done == 0) continue;  // never had a gradient: its moments are zero and such a step changes nothing
    while (done < a.state->steps) {
      step(a.table, b, rates(a.options, *a.state, ++done), a.options.curvature, most);
      if (a.moving.average) move_average(a, row, done);
    }
    if (a.table.points) map(a.table, b, a.options.curvature, a.options.tangent);
  }
}

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

HK_DISPATCH(adams, adam_rows, (const Adam& a, uint64_t begin, uint64_t end), (a, begin, end))
HK_DISPATCH(replays, replay_rows, (const AdamReplay& a, uint64_t begin, uint64_t end), (a, begin, end))
HK_DISPATCH(maps, map_rows, (const MapParameters& a, uint64_t begin, uint64_t end), (a, begin, end))

}  // namespace

void CpuBackend::adam(const Adam& a) {
  pool_.run(a.rows ? *a.row_count : a.table.rows, 128, [&](uint64_t begin, uint64_t end, int) { adams(a, begin, end); });
}

void CpuBackend::adam_replay(const AdamReplay& a) {
  pool_.run(a.rows ? *a.row_count : a.table.rows, 128, [&](uint64_t begin, uint64_t end, int) { replays(a, begin, end); });
}

void CpuBackend::map_parameters(const MapParameters& a) {
  pool_.run(a.table.rows, 1024, [&](uint64_t begin, uint64_t end, int) { maps(a, begin, end); });
}

}  // namespace hk
