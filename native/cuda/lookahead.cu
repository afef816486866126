// lookahead and lookahead_gradient on the GPU: one warp per row, float64. A lane writes and reads back the same columns, so a row needs
// no barrier between its steps.
//   launch   blocks of (32, 8) for `capacity` rows, grid-stride
//   traffic  24·dim bytes per row; the gradient 28·dim
//   sync     a warp takes and leaves a row whole, so all 32 lanes reach the sums
#include "../src/ball.h"
#include "cuda_backend.h"
#include "warp.cuh"

namespace hk {
namespace {

template <class Dim>
__global__ void lookahead_kernel(Lookahead a) {
  const Dim dim(a.dim);
  const double c = a.curvature;
  for (uint32_t i = first_of_warp(); i < *a.row_count; i += warps_of_grid()) {
    const float* w = a.parameters + size_t{a.rows[i]} * dim;
    const uint32_t slot = a.gradient_slot[a.rows[i]];
    double* parameters = a.lookahead_parameters + size_t{i} * dim;
    double* points = a.points + size_t{i} * dim;
    if (slot == kNone) {
      row_scale(parameters, 1.0, w, dim);
    } else {
      const float* g = a.gradient + size_t{slot} * dim;
      const ExpMap map = a.tangent ? exp_map_origin(row_dot(w, w, dim), c) : ExpMap{1.0, 0.0};
      const double along = a.tangent ? map.along * row_dot(w, g, dim) : 0.0;
      row_combine(parameters, 1.0 - a.learning_rate * along, w, -a.learning_rate * map.across, g, dim);
    }
    double sqnorm = row_dot(parameters, parameters, dim);
    const double most = a.tangent ? kMaxTangentNorm : kMaxNorm;
    if (a.project && c * sqnorm > most * most) {
      row_scale(parameters, most / std::sqrt(c * sqnorm), parameters, dim);
      sqnorm = row_dot(parameters, parameters, dim);
    }
    row_scale(points, a.tangent ? exp_map_origin(sqnorm, c).across : 1.0, parameters, dim);
    const double point_sqnorm = row_dot(points, points, dim);
    if (lane_id() == 0) a.gap[i] = 1.0 - c * point_sqnorm;
  }
}

template <class Dim>
__global__ void lookahead_gradient_kernel(LookaheadGradient a) {
  const Dim dim(a.dim);
  for (uint32_t i = first_of_warp(); i < *a.row_count; i += warps_of_grid()) {
    const float* w = a.parameters + size_t{a.rows[i]} * dim;
    const double* ahead = a.lookahead_parameters + size_t{i} * dim;
    double* g = a.gradient + size_t{i} * dim;
    const ExpMap at_lookahead = exp_map_origin(row_dot(ahead, ahead, dim), a.curvature);
    row_combine(g, at_lookahead.across, g, at_lookahead.along * row_dot(ahead, g, dim), ahead, dim);
    const ExpMap here = exp_map_origin(row_dot(w, w, dim), a.curvature);
    row_combine(g, here.across, g, here.along * row_dot(w, g, dim), w, dim);
  }
}

}  // namespace

void CudaBackend::lookahead(const Lookahead& a) {
  with_dim(a.dim, [&](auto dim) {
    launch("lookahead", lookahead_kernel<decltype(dim)>, blocks_for(a.capacity, kWarps), dim3(kWarp, kWarps), 0, stream_, a);
  });
}

void CudaBackend::lookahead_gradient(const LookaheadGradient& a) {
  with_dim(a.dim, [&](auto dim) {
    launch("lookahead_gradient", lookahead_gradient_kernel<decltype(dim)>, blocks_for(a.capacity, kWarps), dim3(kWarp, kWarps), 0, stream_, a);
  });
}

}  // namespace hk
