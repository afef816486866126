// lookahead and lookahead_gradient on the CPU: rows over threads, float64.
#include <vector>

#include "../ball.h"
#include "cpu_backend.h"
#include "rows.h"
#include "vector_math.h"

namespace hk {
namespace {

template <class S>
HK_INLINE void lookahead_rows(const Lookahead& a, uint64_t begin, uint64_t end) {
  const uint32_t dim = a.dim;
  const double c = a.curvature;
  for (uint64_t i = begin; i < end; ++i) {
    if (i + 4 < end) prefetch_row(a.parameters + size_t{a.rows[i + 4]} * dim, dim * sizeof(float));
    const float* w = a.parameters + size_t{a.rows[i]} * dim;
    const uint32_t slot = a.gradient_slot[a.rows[i]];
    double* parameters = a.lookahead_parameters + i * dim;
    double* points = a.points + i * dim;
    if (slot == kNone) {
      scale_row<S>(parameters, 1.0, w, dim);
    } else {
      const float* g = a.gradient + size_t{slot} * dim;
      const ExpMap map = a.tangent ? exp_map(dot<S>(w, w, dim), c) : ExpMap{1.0, 0.0};
      const double along = a.tangent ? map.along * dot<S>(w, g, dim) : 0.0;
      combine_rows<S>(parameters, 1.0 - a.learning_rate * along, w, -a.learning_rate * map.across, g, dim);
    }
    double sqnorm = dot<S>(parameters, parameters, dim);
    const double most = a.tangent ? kMaxTangentNorm : kMaxNorm;
    if (a.project && c * sqnorm > most * most) {
      scale_row<S>(parameters, most / std::sqrt(c * sqnorm), parameters, dim);
      sqnorm = dot<S>(parameters, parameters, dim);
    }
    scale_row<S>(points, a.tangent ? exp_map(sqnorm, c).across : 1.0, parameters, dim);
    a.gap[i] = 1.0 - c * dot<S>(points, points, dim);
  }
}

template <class S>
HK_INLINE void gradient_rows(const LookaheadGradient& a, uint64_t begin, uint64_t end) {
  const uint32_t dim = a.dim;
  for (uint64_t i = begin; i < end; ++i) {
    const float* w = a.parameters + size_t{a.rows[i]} * dim;
    const double* ahead = a.lookahead_parameters + i * dim;
    double* g = a.gradient + i * dim;
    const ExpMap at_lookahead = exp_map(dot<S>(ahead, ahead, dim), a.curvature);
    combine_rows<S>(g, at_lookahead.across, g, at_lookahead.along * dot<S>(ahead, g, dim), ahead, dim);
    const ExpMap here = exp_map(dot<S>(w, w, dim), a.curvature);
    combine_rows<S>(g, here.across, g, here.along * dot<S>(w, g, dim), w, dim);
  }
}

HK_DISPATCH(lookaheads, lookahead_rows, (const Lookahead& a, uint64_t begin, uint64_t end), (a, begin, end))
HK_DISPATCH(gradients, gradient_rows, (const LookaheadGradient& a, uint64_t begin, uint64_t end), (a, begin, end))

}  // namespace

void CpuBackend::lookahead(const Lookahead& a) {
  pool_.run(*a.row_count, 256, [&](uint64_t begin, uint64_t end, int) { lookaheads(a, begin, end); });
}

void CpuBackend::lookahead_gradient(const LookaheadGradient& a) {
  pool_.run(*a.row_count, 256, [&](uint64_t begin, uint64_t end, int) { gradients(a, begin, end); });
}

}  // namespace hk
