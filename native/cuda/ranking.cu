// ranking_loss and ranking_gradient on the GPU. Several samples or rows share a warp, a few lanes each (row_parts.cuh). A row gathers its
// occurrences: as many as it has lanes are looked up at a time, then their points are added one by one. Everything is computed in float64.
//   launch   blocks of (32, 4), grid-stride, for `count` samples or `capacity` rows
//   traffic  three rows per sample; two rows (users) or one (items) per occurrence and one out per row
//   sync     the rows of a warp go round together, as often as the longest needs, so all 32 lanes reach the sums
//   order    occurrences in the order of the list
#include "../src/ball.h"
#include "cuda_backend.h"
#include "point_table.cuh"
#include "row_parts.cuh"

namespace hk {
namespace {

// ‖x − y‖²
template <class T, class P>
__device__ double sqdist(const P& part, Row<const T, P>& x, Row<const T, P>& y) {
  double sum = 0;
  part.turns([&](uint32_t base) {
    x.turn(part, base), y.turn(part, base);
    part.columns(base, [&](uint32_t i, uint32_t) {
      const double difference = static_cast<double>(x.x[i]) - static_cast<double>(y.x[i]);
      sum = std::fma(difference, difference, sum);
    });
  });
  return part.sum(sum);
}

template <class T, class Dim>
__global__ void ranking_loss_kernel(RankingLoss a) {
  using P = Part<Dim>;
  const P part{Dim(a.dim)};
  const double c = a.curvature, scale = *a.scale;
  const T* users = points_of<T>(a.users);
  const T* items = points_of<T>(a.items);
  rows_of_warp(part, a.count, [&](uint32_t i, bool here) {
    const bool real = a.negative_rows[i] != kNone;
    const size_t u = real ? row_of(a.users, a.user_rows[i]) : 0;
    const size_t p = real ? row_of(a.items, a.positive_rows[i]) : 0, n = real ? row_of(a.items, a.negative_rows[i]) : 0;
    Row<const T, P> user(part, users + u * part.dim), positive(part, items + p * part.dim), negative(part, items + n * part.dim);
    const double u_gap = a.users.gap[u], p_gap = a.items.gap[p], n_gap = a.items.gap[n];
    const double p_sqdist = sqdist(part, user, positive), n_sqdist = sqdist(part, user, negative);
    if (!here || part.own != 0) return;
    if (!real) {
      a.tape[i] = {0, 0, 0, 0};
      if (a.loss) a.loss[i] = 0;
      if (a.scale_gradient) a.scale_gradient[i] = 0;
      return;
    }
    const double difference = poincare_distance(p_sqdist, u_gap, p_gap, c) - poincare_distance(n_sqdist, u_gap, n_gap, c);
    const double z = scale * difference, slope = sigmoid(z);
    a.tape[i] = {slope * scale * poincare_slope(p_sqdist, u_gap, p_gap, c), c * p_sqdist,
                 -slope * scale * poincare_slope(n_sqdist, u_gap, n_gap, c), c * n_sqdist};
    if (a.loss) a.loss[i] = static_cast<float>(softplus(z));
    if (a.scale_gradient) a.scale_gradient[i] = slope * difference;
  });
}

// What one occurrence adds to its row: −slope·(the other point) and, for a user, −second_slope·(the negative).
struct Occurrence {
  double slope = 0, second_slope = 0, on_self = 0;
  uint32_t point = 0, second_point = 0;
};
__device__ inline Occurrence occurrence_of(const RankingGradient& a, uint32_t key, double gap) {
  Occurrence out;
  const uint32_t sample = a.of_users ? key : key / 2;
  if (a.negative_rows[sample] == kNone) return out;
  const RankingTape tape = a.tape[sample];
  if (a.of_users) {
    out.point = static_cast<uint32_t>(row_of(a.items, a.positive_rows[sample]));
    out.second_point = static_cast<uint32_t>(row_of(a.items, a.negative_rows[sample]));
    out.slope = tape.pos_slope, out.second_slope = tape.neg_slope;
    out.on_self = out.slope * (1.0 + tape.pos_pull / gap) + out.second_slope * (1.0 + tape.neg_pull / gap);
  } else {
    out.point = static_cast<uint32_t>(row_of(a.users, a.user_rows[sample]));
    out.slope = key % 2 ? tape.neg_slope : tape.pos_slope;
    out.on_self = out.slope * (1.0 + (key % 2 ? tape.neg_pull : tape.pos_pull) / gap);
  }
  return out;
}

// A row's gradient is on_self·row − Σ slope·(the other point).
template <class T, class Dim>
__global__ void ranking_gradient_kernel(RankingGradient a) {
  using P = Part<Dim>;
  using Lanes = typename P::OfRow;
  const P part{Dim(a.dim)};
  const T* const selves = points_of<T>(a.of_users ? a.users : a.items);
  const T* const others = points_of<T>(a.of_users ? a.items : a.users);
  T* const gradient = gradient_of<T>(a);
  rows_of_warp(part, *a.row_count, [&](uint32_t i, bool here) {
    const PointTable& own = a.of_users ? a.users : a.items;
    const size_t row = row_of(own, a.rows[i]);
    const double gap = own.gap[row];
    const uint32_t begin = a.offsets[i], end = here ? a.offsets[i + 1] : begin, most = Lanes::most(end - begin);
    part.turns([&](uint32_t base) {
      double sum[P::kColumns] = {};
      double on_self = 0;
      for (uint32_t window = 0; window < most; window += P::kPerRow) {
        const uint32_t first = begin + window, count = first < end ? (end - first < P::kPerRow ? end - first : P::kPerRow) : 0;
        Occurrence mine;
        if (part.own < count) mine = occurrence_of(a, a.order[first + part.own], gap);
        on_self += mine.on_self;
        const uint32_t rounds = most - window < P::kPerRow ? most - window : P::kPerRow;
        for (uint32_t j = 0; j < rounds; ++j) {
          const double slope = Lanes::from(mine.slope, j);  // 0 past the last
          const uint32_t point = Lanes::from(mine.point, j);
          if (a.of_users) {
            const double second_slope = Lanes::from(mine.second_slope, j);
            const uint32_t second_point = Lanes::from(mine.second_point, j);
            if (j < count) part.add(sum, -slope, others + size_t{point} * part.dim, base);
            if (j < count) part.add(sum, -second_slope, others + size_t{second_point} * part.dim, base);
          } else if (j < count) {
            part.add(sum, -slope, others + size_t{point} * part.dim, base);
          }
        }
      }
      part.add(sum, part.sum(on_self), selves + row * part.dim, base);
      if (here) part.store(gradient + size_t{i} * part.dim, sum, base);
    });
  });
}

}  // namespace

void CudaBackend::ranking_loss(const RankingLoss& a) {
  with_dim(a.dim, [&](auto dim) {
    using Dim = decltype(dim);
    launch("ranking_loss", a.users.f ? ranking_loss_kernel<float, Dim> : ranking_loss_kernel<double, Dim>, blocks_for_rows<Part<Dim>>(a.count),
           dim3(kWarp, kWarps), 0, stream_, a);
  });
}

void CudaBackend::ranking_gradient(const RankingGradient& a) {
  with_dim(a.dim, [&](auto dim) {
    using Dim = decltype(dim);
    launch("ranking_gradient", a.users.f ? ranking_gradient_kernel<float, Dim> : ranking_gradient_kernel<double, Dim>,
           blocks_for_rows<Part<Dim>>(a.capacity), dim3(kWarp, kWarps), 0, stream_, a);
  });
}

}  // namespace hk
