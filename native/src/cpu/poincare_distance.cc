// poincare_distance and its gradient on the CPU: pairs over threads; the three sums of a pair in one pass, float64. The scalars of a block
// of pairs are worked out as vectors.
#include <algorithm>
#include <limits>

#include "../ball.h"
#include "cpu_backend.h"
#include "rows.h"
#include "vector_math.h"

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
  constexpr uint32_t kBlock = 64;
  constexpr double kNotAPoint = std::numeric_limits<double>::quiet_NaN();
  const double c = a.curvature, root_c = std::sqrt(c);
  double x_gap[kBlock], y_gap[kBlock], sqdist[kBlock], distance[kBlock];
  std::fill_n(x_gap, kBlock, 1.0), std::fill_n(y_gap, kBlock, 1.0), std::fill_n(sqdist, kBlock, 0.0);
  for (uint64_t block = begin; block < end; block += kBlock) {
    const uint32_t count = static_cast<uint32_t>(std::min<uint64_t>(kBlock, end - block));
    for (uint32_t t = 0; t < count; ++t) {
      const size_t at = (block + t) * a.dim;
      const PairSums s = pair_sums<S>(a.x + at, a.y + at, a.dim);
      x_gap[t] = 1.0 - c * s.x_sqnorm, y_gap[t] = 1.0 - c * s.y_sqnorm, sqdist[t] = s.sqdist;
    }
    if (c > 0) {
      for_lanes(kBlock, [&](uint32_t t) {
        const double d = 2.0 / root_c * asinh_positive(root_c * poincare_root(sqdist[t], x_gap[t], y_gap[t]));
        distance[t] = (x_gap[t] > 0.0) & (y_gap[t] > 0.0) ? d : kNotAPoint;
      });
    } else {
      for_lanes(kBlock, [&](uint32_t t) { distance[t] = 2.0 * poincare_root(sqdist[t], x_gap[t], y_gap[t]); });
    }
    for (uint32_t t = 0; t < count; ++t) a.distance[block + t] = static_cast<float>(distance[t]);
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
    difference_rows<S>(a.grad_x + i * a.dim, slope, x, y, slope * (c * s.sqdist / x_gap), x, a.dim);
    difference_rows<S>(a.grad_y + i * a.dim, slope, y, x, slope * (c * s.sqdist / y_gap), y, a.dim);
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
