// poincare_distance and its gradient on the GPU: one warp per pair, lanes stride dim, sums in float64.
//   launch   blocks of (32, 4), grid-stride
//   traffic  8·dim + 4 bytes per pair, with the gradient 16·dim + 4 (the second reading of a pair comes from the cache)
//   sync     a warp takes and leaves a pair whole, so all 32 lanes reach the sums
#include <limits>

#include "../src/ball.h"
#include "cuda_backend.h"
#include "warp.cuh"

namespace hk {
namespace {

constexpr float kNotAPoint = std::numeric_limits<float>::quiet_NaN();

struct PairSums {
  double x_sqnorm, y_sqnorm, sqdist;
};

// ‖x‖², ‖y‖² and ‖x−y‖² in one pass
template <class Dim>
__device__ PairSums pair_sums(const float* x, const float* y, Dim dim) {
  PairSums s{0, 0, 0};
  for_columns(dim, [&](uint32_t k) {
    const double u = x[k], v = y[k], difference = u - v;
    s.x_sqnorm += u * u, s.y_sqnorm += v * v, s.sqdist += difference * difference;
  });
  return {warp_sum(s.x_sqnorm), warp_sum(s.y_sqnorm), warp_sum(s.sqdist)};
}

template <class Dim>
__global__ void poincare_distance_kernel(PoincareDistance a) {
  const Dim dim(a.dim);
  for (uint32_t i = first_of_warp(); i < a.pairs; i += warps_of_grid()) {
    const PairSums s = pair_sums(a.x + size_t{i} * dim, a.y + size_t{i} * dim, dim);
    if (lane_id() != 0) continue;
    const double x_gap = 1.0 - a.curvature * s.x_sqnorm, y_gap = 1.0 - a.curvature * s.y_sqnorm;
    a.distance[i] = x_gap > 0 && y_gap > 0 ? static_cast<float>(poincare_distance(s.sqdist, x_gap, y_gap, a.curvature))
                                           : kNotAPoint;
  }
}

template <class Dim>
__global__ void poincare_distance_gradient_kernel(PoincareDistanceGradient a) {
  const Dim dim(a.dim);
  const double c = a.curvature;
  for (uint32_t i = first_of_warp(); i < a.pairs; i += warps_of_grid()) {
    const size_t at = size_t{i} * dim;
    const float* x = a.x + at;
    const float* y = a.y + at;
    const PairSums s = pair_sums(x, y, dim);
    const double x_gap = 1.0 - c * s.x_sqnorm, y_gap = 1.0 - c * s.y_sqnorm;
    const double slope = a.upstream[i] * poincare_slope(s.sqdist, x_gap, y_gap, c);
    row_difference(a.grad_x + at, slope, x, y, slope * (c * s.sqdist / x_gap), dim);
    row_difference(a.grad_y + at, slope, y, x, slope * (c * s.sqdist / y_gap), dim);
  }
}

}  // namespace

void CudaBackend::poincare_distance(const PoincareDistance& a) {
  with_dim(a.dim, [&](auto dim) {
    launch("poincare_distance", poincare_distance_kernel<decltype(dim)>, blocks_for(a.pairs, kWarps), dim3(kWarp, kWarps), 0, stream_, a);
  });
}

void CudaBackend::poincare_distance_gradient(const PoincareDistanceGradient& a) {
  with_dim(a.dim, [&](auto dim) {
    launch("poincare_distance_gradient", poincare_distance_gradient_kernel<decltype(dim)>, blocks_for(a.pairs, kWarps), dim3(kWarp, kWarps), 0, stream_, a);
  });
}

}  // namespace hk
