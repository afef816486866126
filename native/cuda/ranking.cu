// ranking_loss and ranking_gradient on the GPU. Loss: one warp per sample. Gradient: one warp per row, which gathers its occurrences,
// 32 at a time loaded one per lane and then broadcast; columns stand in registers. Everything is computed in float64.
//   launch   blocks of (32, 8), grid-stride, for `count` samples or `capacity` rows
//   traffic  three rows per sample; two rows (users) or one (items) per occurrence and one out per row
//   sync     a warp takes and leaves a sample or row whole, so all 32 lanes reach the sums
//   order    occurrences in the order of the list
#include "../src/ball.h"
#include "cuda_backend.h"
#include "point_table.cuh"
#include "warp.cuh"

namespace hk {
namespace {

template <class T, class Dim>
__global__ void ranking_loss_kernel(RankingLoss a) {
  const Dim dim(a.dim);
  const double c = a.curvature, scale = *a.scale;
  const T* users = points_of<T>(a.users);
  const T* items = points_of<T>(a.items);
  for (uint32_t i = first_of_warp(); i < a.count; i += warps_of_grid()) {
    if (a.negative_rows[i] == kNone) {
      if (lane_id() != 0) continue;
      a.tape[i] = {0, 0, 0, 0};
      if (a.loss) a.loss[i] = 0;
      if (a.scale_gradient) a.scale_gradient[i] = 0;
      continue;
    }
    const size_t u = row_of(a.users, a.user_rows[i]), p = row_of(a.items, a.positive_rows[i]), n = row_of(a.items, a.negative_rows[i]);
    const T* user = users + u * dim;
    const double p_sqdist = row_sqdist(user, items + p * dim, dim), n_sqdist = row_sqdist(user, items + n * dim, dim);
    if (lane_id() != 0) continue;
    const double u_gap = a.users.gap[u], p_gap = a.items.gap[p], n_gap = a.items.gap[n];
    const double difference = poincare_distance(p_sqdist, u_gap, p_gap, c) - poincare_distance(n_sqdist, u_gap, n_gap, c);
    const double z = scale * difference, slope = sigmoid(z);
    a.tape[i] = {slope * scale * poincare_slope(p_sqdist, u_gap, p_gap, c), c * p_sqdist,
                 -slope * scale * poincare_slope(n_sqdist, u_gap, n_gap, c), c * n_sqdist};
    if (a.loss) a.loss[i] = static_cast<float>(softplus(z));
    if (a.scale_gradient) a.scale_gradient[i] = slope * difference;
  }
}

// A row's gradient is on_self·row − Σ slope·(the other point).
template <class T, class Dim>
__global__ void ranking_gradient_kernel(RankingGradient a) {
  const Dim dim(a.dim);
  const uint32_t lane = lane_id();
  const T* users = points_of<T>(a.users);
  const T* items = points_of<T>(a.items);
  T* gradient = gradient_of<T>(a);
  for (uint32_t i = first_of_warp(); i < *a.row_count; i += warps_of_grid()) {
    const PointTable& own = a.of_users ? a.users : a.items;
    const size_t row = row_of(own, a.rows[i]);
    const double gap = own.gap[row];
    const T* self = (a.of_users ? users : items) + row * dim;
    for (uint32_t base = 0; base < dim; base += Columns<Dim>::kAtOnce) {
      Columns<Dim> sum;
      double on_self = 0;
      for (uint32_t first = a.offsets[i]; first < a.offsets[i + 1]; first += kWarp) {
        const uint32_t count = a.offsets[i + 1] - first < kWarp ? a.offsets[i + 1] - first : kWarp;
        // one occurrence per lane; users meet two points (the positive, the negative), items one
        double slope = 0, second_slope = 0;
        uint32_t point = 0, second_point = 0;
        if (lane < count) {
          const uint32_t occurrence = a.order[first + lane], sample = a.of_users ? occurrence : occurrence / 2;
          if (a.negative_rows[sample] != kNone) {
            const RankingTape tape = a.tape[sample];
            if (a.of_users) {
              slope = tape.pos_slope, second_slope = tape.neg_slope;
              point = static_cast<uint32_t>(row_of(a.items, a.positive_rows[sample]));
              second_point = static_cast<uint32_t>(row_of(a.items, a.negative_rows[sample]));
              on_self += slope * (1.0 + tape.pos_pull / gap) + second_slope * (1.0 + tape.neg_pull / gap);
            } else {
              slope = occurrence % 2 ? tape.neg_slope : tape.pos_slope;
              point = static_cast<uint32_t>(row_of(a.users, a.user_rows[sample]));
              on_self += slope * (1.0 + (occurrence % 2 ? tape.neg_pull : tape.pos_pull) / gap);
            }
          }
        }
        for (uint32_t j = 0; j < count; ++j) {
          const double s = __shfl_sync(kAllLanes, slope, j);
          const T* other = (a.of_users ? items : users) + size_t{__shfl_sync(kAllLanes, point, j)} * dim;
          if (a.of_users) {
            const double s2 = __shfl_sync(kAllLanes, second_slope, j);
            const T* other2 = items + size_t{__shfl_sync(kAllLanes, second_point, j)} * dim;
            sum.add(-s, other, base, dim), sum.add(-s2, other2, base, dim);
          } else {
            sum.add(-s, other, base, dim);
          }
        }
      }
      sum.add(warp_sum(on_self), self, base, dim);
      sum.store(gradient + size_t{i} * dim, base, dim);
    }
  }
}

}  // namespace

void CudaBackend::ranking_loss(const RankingLoss& a) {
  with_dim(a.dim, [&](auto dim) {
    using Dim = decltype(dim);
    launch("ranking_loss", a.users.f ? ranking_loss_kernel<float, Dim> : ranking_loss_kernel<double, Dim>, blocks_for(a.count, kWarps),
           dim3(kWarp, kWarps), 0, stream_, a);
  });
}

void CudaBackend::ranking_gradient(const RankingGradient& a) {
  with_dim(a.dim, [&](auto dim) {
    using Dim = decltype(dim);
    launch("ranking_gradient", a.users.f ? ranking_gradient_kernel<float, Dim> : ranking_gradient_kernel<double, Dim>,
           blocks_for(a.capacity, kWarps), dim3(kWarp, kWarps), 0, stream_, a);
  });
}

}  // namespace hk
