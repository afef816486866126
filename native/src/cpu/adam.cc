// adam, adam_replay and map_parameters on the CPU: rows over threads. All three go through one row step, compiled once per
// instruction set, so that a replayed step has the same bits as a dense one.
#include <cmath>
#include <vector>

#include "../ball.h"
#include "cpu_backend.h"
#include "rows.h"
#include "vector_math.h"

namespace hk {
namespace {

constexpr uint32_t kAhead = 6;  // rows between the prefetch of a row and its use

// Rates of one step number: lr·√(1−β2^t)/(1−β1^t) and ε·√(1−β2^t).
struct Rates {
  float beta1, beta2, rate, epsilon;
};
Rates rates(const AdamOptions& o, uint32_t step) {
  const double correction = std::sqrt(1.0 - std::pow(o.beta2, step));
  return {static_cast<float>(o.beta1), static_cast<float>(o.beta2),
          static_cast<float>(o.learning_rate * correction / (1.0 - std::pow(o.beta1, step))),
          static_cast<float>(o.epsilon * correction)};
}

// Keeps √c‖w‖ ≤ most.
template <class S>
HK_INLINE void keep_within(float* w, uint32_t dim, double curvature, double most) {
  const double sqnorm = curvature * dot<S>(w, w, dim);
  if (sqnorm > most * most) scale_row<S>(w, most / std::sqrt(sqnorm), w, dim);
}

// One Adam step of a row with the gradient on_w·w + on_g·g; most = 0: no bound, else √c‖w‖ ≤ most after it.
template <class S>
HK_INLINE void step_row(float* __restrict w, float* __restrict first, float* __restrict second, const float* __restrict g, float on_w,
                        float on_g, uint32_t dim, const Rates& r, double curvature, double most) {
  for (uint32_t k = 0; k < dim; ++k) {
    const float gradient = on_w * w[k] + on_g * g[k];
    first[k] = r.beta1 * first[k] + (1.0f - r.beta1) * gradient;
    second[k] = r.beta2 * second[k] + (1.0f - r.beta2) * gradient * gradient;
    w[k] -= r.rate * first[k] / (std::sqrt(second[k]) + r.epsilon);
  }
  if (most > 0) keep_within<S>(w, dim, curvature, most);
}
HK_DISPATCH(step, step_row,
            (float* w, float* first, float* second, const float* g, float on_w, float on_g, uint32_t dim, const Rates& r,
             double curvature, double most),
            (w, first, second, g, on_w, on_g, dim, r, curvature, most))

double bound(const AdamTable& table, bool tangent) { return table.points == nullptr ? 0.0 : tangent ? kMaxTangentNorm : kMaxNorm; }

// points and gap of a row from its parameters
template <class S>
HK_INLINE void map_row(const AdamTable& table, size_t row, double curvature, bool tangent) {
  if (table.points == nullptr) return;
  const uint32_t dim = table.dim;
  float* points = table.points + row * dim;
  double sqnorm;
  if (tangent) {
    const float* w = table.parameters + row * dim;
    sqnorm = scale_row_sqnorm<S>(points, exp_map(dot<S>(w, w, dim), curvature).across, w, dim);
  } else {
    sqnorm = dot<S>(points, points, dim);
  }
  table.gap[row] = 1.0 - curvature * sqnorm;
}

// ∂/∂parameters of a row, regularisation included, is on_w·w + on_g·∂/∂point.
struct ParameterGradient {
  float on_w, on_g;
};
template <class S>
HK_INLINE ParameterGradient parameter_gradient(const Adam& a, size_t row, const float* g) {
  double on_w = 0, on_g = 1;
  if (a.options.tangent) {
    const DotPair products = dot_pair<S>(a.table.parameters + row * a.table.dim, g, a.table.dim);
    const ExpMap map = exp_map(products.first, a.options.curvature);
    on_g = map.across, on_w = map.along * products.second;
  }
  const uint32_t place = a.regularized_slot ? a.regularized_slot[row] : kNone;
  if (place != kNone) on_w += 2.0 * a.regularization * (a.regularized_offsets[place + 1] - a.regularized_offsets[place]);
  return {static_cast<float>(on_w), static_cast<float>(on_g)};
}

template <class S>
HK_INLINE void adam_rows(const Adam& a, uint64_t begin, uint64_t end) {
  thread_local std::vector<float> zero;
  const uint32_t dim = a.table.dim;
  if (zero.size() < dim) zero.resize(dim);
  const Rates r = rates(a.options, a.step);
  const double most = bound(a.table, a.options.tangent);
  for (uint64_t i = begin; i < end; ++i) {
    if (a.rows && i + kAhead < end) {
      const size_t at = size_t{a.rows[i + kAhead]} * dim, bytes = dim * sizeof(float);
      prefetch_row(a.table.parameters + at, bytes), prefetch_row(a.table.first + at, bytes), prefetch_row(a.table.second + at, bytes);
      if (a.table.points) prefetch_row(a.table.points + at, bytes);
    }
    const size_t row = a.rows ? a.rows[i] : i;
    const uint32_t slot = a.gradient_slot ? a.gradient_slot[row] : static_cast<uint32_t>(i);
    const float* g = slot == kNone ? zero.data() : a.gradient + size_t{slot} * dim;
    const ParameterGradient on = slot == kNone ? ParameterGradient{0, 0} : parameter_gradient<S>(a, row, g);
    step(a.table.parameters + row * dim, a.table.first + row * dim, a.table.second + row * dim, g, on.on_w, on.on_g, dim, r,
         a.options.curvature, most);
    if (a.table.step) a.table.step[row] = a.step;
    map_row<S>(a.table, row, a.options.curvature, a.options.tangent);
  }
}

template <class S>
HK_INLINE void replay_rows(const AdamReplay& a, uint64_t begin, uint64_t end) {
  thread_local std::vector<float> zero;
  const uint32_t dim = a.table.dim;
  if (zero.size() < dim) zero.resize(dim);
  const double most = bound(a.table, a.options.tangent);
  for (uint64_t i = begin; i < end; ++i) {
    const size_t row = a.rows ? a.rows[i] : i;
    uint32_t done = a.table.step[row];
    if (done >= a.step) continue;
    a.table.step[row] = a.step;
    if (done == 0) continue;  // never had a gradient: its moments are zero and such a step changes nothing
    while (done < a.step)
      step(a.table.parameters + row * dim, a.table.first + row * dim, a.table.second + row * dim, zero.data(), 0, 0, dim,
           rates(a.options, ++done), a.options.curvature, most);
    map_row<S>(a.table, row, a.options.curvature, a.options.tangent);
  }
}

template <class S>
HK_INLINE void map_rows(const MapParameters& a, uint64_t begin, uint64_t end) {
  for (uint64_t row = begin; row < end; ++row) {
    keep_within<S>(a.table.parameters + row * a.table.dim, a.table.dim, a.curvature, bound(a.table, a.tangent));
    map_row<S>(a.table, row, a.curvature, a.tangent);
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
