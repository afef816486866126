// poincare_distance and its gradient on the CPU: pairs over threads; the three sums of a pair in one pass, float64.
#include "../ball.h"
#include "cpu_backend.h"
#include "rows.h"

namespace hk {
namespace {

struct PairSums {
  double x_sqnorm, y_sqnorm, sqdist;
};

template <class S>
HK_INLINE PairSums pair_sums(const float* x, const float* y, uint32_t dim) {
  typename S::D xx{}, yy{}, dd{};
  uint32_t k = 0;
  for (; k + S::kD <= dim; k += S::kD) {
    const typename S::D u = load<S>(x + k), v = load<S>(y + k), d = u - v;
    xx += u * u, yy += v * v, dd += d * d;
  }
  PairSums s{sum<S>(xx), sum<S>(yy), sum<S>(dd)};
  for (; k < dim; ++k) {
    const double u = x[k], v = y[k];
    s.x_sqnorm += u * u, s.y_sqnorm += v * v, s.sqdist += (u - v) * (u - v);
  }
  return s;
}

template <class S>
HK_INLINE void distance_pairs(const PoincareDistance& a, uint64_t begin, uint64_t end) {
  for (uint64_t i = begin; i < end; ++i) {
    const PairSums s = pair_sums<S>(a.x + i * a.dim, a.y + i * a.dim, a.dim);
    a.distance[i] = static_cast<float>(
        poincare_distance(s.sqdist, 1.0 - a.curvature * s.x_sqnorm, 1.0 - a.curvature * s.y_sqnorm, a.curvature));
  }
}

template <class S>
HK_INLINE void gradient_pairs(const PoincareDistanceGradient& a, uint64_t begin, uint64_t end) {
  const double c = a.curvature;
  for (uint64_t i = begin; i < end; ++i) {
    const float* x = a.x + i * a.dim;
    const float* y = a.y + i * a.dim;
    const PairSums s = pair_sums<S>(x, y, a.dim);
    const double x_gap = 1.0 - c * s.x_sqnorm, y_gap = 1.0 - c * s.y_sqnorm;
    const double slope = a.upstream[i] * poincare_slope(s.sqdist, x_gap, y_gap, c);
    combine_rows<S>(a.grad_x + i * a.dim, slope * (1.0 + c * s.sqdist / x_gap), x, -slope, y, a.dim);
    combine_rows<S>(a.grad_y + i * a.dim, slope * (1.0 + c * s.sqdist / y_gap), y, -slope, x, a.dim);
  }
}

HK_DISPATCH(distances, distance_pairs, (const PoincareDistance& a, uint64_t begin, uint64_t end), (a, begin, end))
HK_DISPATCH(gradients, gradient_pairs, (const PoincareDistanceGradient& a, uint64_t begin, uint64_t end), (a, begin, end))

}  // namespace

void CpuBackend::poincare_distance(const PoincareDistance& a) {
  pool_.run(a.pairs, 1024, [&](uint64_t begin, uint64_t end, int) { distances(a, begin, end); });
}

void CpuBackend::poincare_distance_gradient(const PoincareDistanceGradient& a) {
  pool_.run(a.pairs, 512, [&](uint64_t begin, uint64_t end, int) { gradients(a, begin, end); });
}

}  // namespace hk
