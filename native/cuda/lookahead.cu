// lookahead and lookahead_gradient on the GPU: float64, several rows share a warp (row_parts.cuh).
//   launch   blocks of (32, 4) for `capacity` rows, grid-stride
//   traffic  24·dim bytes per row; the gradient 28·dim
//   sync     the rows of a warp go together, so all 32 lanes reach the sums; a lane writes and reads back the same columns
#include "../src/ball.h"
#include "cuda_backend.h"
#include "row_parts.cuh"

namespace hk {
namespace {

// row = a·x + b·y, in registers and in memory where `here`
template <class X, class Y, class P>
__device__ void combine(const P& part, bool here, Row<double, P>& row, double a, Row<X, P>& x, double b, Row<Y, P>& y) {
  part.turns([&](uint32_t base) {
    x.turn(part, base), y.turn(part, base);
    double out[P::kColumns] = {};
    part.columns(base, [&](uint32_t i, uint32_t) { out[i] = a * x.x[i] + b * y.x[i]; });
    if (here) part.store(row.memory, out, base);
    if constexpr (P::kWhole) part.columns(base, [&](uint32_t i, uint32_t) { row.x[i] = out[i]; });
  });
}

template <class Dim>
__global__ void lookahead_kernel(Lookahead a) {
  using P = Part<Dim>;
  const P part{Dim(a.dim)};
  const double c = a.curvature;
  rows_of_warp(part, *a.row_count, [&](uint32_t i, bool here) {
    const uint32_t slot = a.gradient_slot[a.rows[i]];
    const float* const w_row = a.parameters + size_t{a.rows[i]} * part.dim;
    Row<const float, P> w(part, w_row), g(part, slot == kNone ? w_row : a.gradient + size_t{slot} * part.dim);
    Row<double, P> ahead(a.lookahead_parameters + size_t{i} * part.dim), points(a.points + size_t{i} * part.dim);
    double on_w = 1.0, on_g = slot == kNone ? 0.0 : -a.learning_rate;
    if (a.tangent) {
      const ExpMap map = exp_map_origin(dot(part, w, w), c);
      const double product = dot(part, w, g);
      if (slot != kNone) on_w = 1.0 - a.learning_rate * map.along * product, on_g *= map.across;
    }
    combine(part, here, ahead, on_w, w, on_g, g);
    double sqnorm = dot(part, ahead, ahead);
    const double most = a.tangent ? kMaxTangentNorm : kMaxNorm;
    const bool beyond = a.project && c * sqnorm > most * most;
    if (__ballot_sync(kAllLanes, beyond) != 0) {
      combine(part, here, ahead, beyond ? most / std::sqrt(c * sqnorm) : 1.0, ahead, 0.0, ahead);
      sqnorm = dot(part, ahead, ahead);
    }
    combine(part, here, points, a.tangent ? exp_map_origin(sqnorm, c).across : 1.0, ahead, 0.0, ahead);
    const double point_sqnorm = dot(part, points, points);
    if (here && part.own == 0) a.gap[i] = 1.0 - c * point_sqnorm;
  });
}

template <class Dim>
__global__ void lookahead_gradient_kernel(LookaheadGradient a) {
  using P = Part<Dim>;
  const P part{Dim(a.dim)};
  rows_of_warp(part, *a.row_count, [&](uint32_t i, bool here) {
    Row<const float, P> w(part, a.parameters + size_t{a.rows[i]} * part.dim);
    Row<const double, P> ahead(part, a.lookahead_parameters + size_t{i} * part.dim);
    Row<double, P> g(part, a.gradient + size_t{i} * part.dim);
    const ExpMap at_lookahead = exp_map_origin(dot(part, ahead, ahead), a.curvature);
    combine(part, here, g, at_lookahead.across, g, at_lookahead.along * dot(part, ahead, g), ahead);
    const ExpMap at_parameters = exp_map_origin(dot(part, w, w), a.curvature);
    combine(part, here, g, at_parameters.across, g, at_parameters.along * dot(part, w, g), w);
  });
}

}  // namespace

void CudaBackend::lookahead(const Lookahead& a) {
  with_dim(a.dim, [&](auto dim) {
    using Dim = decltype(dim);
    launch("lookahead", lookahead_kernel<Dim>, blocks_for_rows<Part<Dim>>(a.capacity), dim3(kWarp, kWarps), 0, stream_, a);
  });
}

void CudaBackend::lookahead_gradient(const LookaheadGradient& a) {
  with_dim(a.dim, [&](auto dim) {
    using Dim = decltype(dim);
    launch("lookahead_gradient", lookahead_gradient_kernel<Dim>, blocks_for_rows<Part<Dim>>(a.capacity), dim3(kWarp, kWarps), 0, stream_, a);
  });
}

}  // namespace hk
