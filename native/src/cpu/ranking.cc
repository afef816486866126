// ranking_loss and ranking_gradient on the CPU: samples, then rows, over threads. The scalar part is float64; float32 tables are
// read as float32, and their distances summed in float32 lanes from differences.
#include <vector>

#include "../ball.h"
#include "cpu_backend.h"
#include "rows.h"

namespace hk {
namespace {

constexpr uint32_t kAhead = 4;  // samples between the prefetch of a row and its use

HK_INLINE size_t row_of(const PointTable& table, uint32_t id) { return table.slot ? table.slot[id] : id; }

template <class S>
HK_INLINE double pair_sqdist(const float* x, const float* y, uint32_t dim) {
  return sqdist_float<S>(x, y, dim);
}
template <class S>
HK_INLINE double pair_sqdist(const double* x, const double* y, uint32_t dim) {
  return sqdist<S>(x, y, dim);
}

template <class S, class T>
HK_INLINE void loss_samples(const RankingLoss& a, const T* users, const T* items, uint64_t begin, uint64_t end) {
  const double c = a.curvature, scale = *a.scale;
  for (uint64_t i = begin; i < end; ++i) {
    if (i + kAhead < end && a.negative_rows[i + kAhead] != kNone) {
      const size_t bytes = a.dim * sizeof(T), next = i + kAhead;
      prefetch_row(users + row_of(a.users, a.user_rows[next]) * a.dim, bytes);
      prefetch_row(items + row_of(a.items, a.positive_rows[next]) * a.dim, bytes);
      prefetch_row(items + row_of(a.items, a.negative_rows[next]) * a.dim, bytes);
    }
    if (a.negative_rows[i] == kNone) {
      a.tape[i] = {0, 0, 0, 0};
      if (a.loss) a.loss[i] = 0;
      if (a.scale_gradient) a.scale_gradient[i] = 0;
      continue;
    }
    const size_t u = row_of(a.users, a.user_rows[i]), p = row_of(a.items, a.positive_rows[i]), n = row_of(a.items, a.negative_rows[i]);
    const T* user = users + u * a.dim;
    const double u_gap = a.users.gap[u], p_gap = a.items.gap[p], n_gap = a.items.gap[n];
    const double p_sqdist = pair_sqdist<S>(user, items + p * a.dim, a.dim);
    const double n_sqdist = pair_sqdist<S>(user, items + n * a.dim, a.dim);
    const double difference = poincare_distance(p_sqdist, u_gap, p_gap, c) - poincare_distance(n_sqdist, u_gap, n_gap, c);
    const double z = scale * difference, slope = sigmoid(z);
    a.tape[i] = {slope * scale * poincare_slope(p_sqdist, u_gap, p_gap, c), c * p_sqdist,
                 -slope * scale * poincare_slope(n_sqdist, u_gap, n_gap, c), c * n_sqdist};
    if (a.loss) a.loss[i] = static_cast<float>(softplus(z));
    if (a.scale_gradient) a.scale_gradient[i] = slope * difference;
  }
}

template <class S>
HK_INLINE void loss_range(const RankingLoss& a, uint64_t begin, uint64_t end) {
  if (a.users.f) loss_samples<S, float>(a, a.users.f, a.items.f, begin, end);
  else loss_samples<S, double>(a, a.users.d, a.items.d, begin, end);
}

// Asks for the points that the gradient of row i will be made of: its own and the other ends of its first occurrences.
template <class T>
HK_INLINE void prefetch_partners(const RankingGradient& a, const T* users, const T* items, uint32_t i) {
  const size_t bytes = a.dim * sizeof(T);
  prefetch_row((a.of_users ? users : items) + row_of(a.of_users ? a.users : a.items, a.rows[i]) * a.dim, bytes);
  for (uint32_t o = a.offsets[i]; o < a.offsets[i + 1] && o < a.offsets[i] + 4; ++o) {
    const uint32_t sample = a.of_users ? a.order[o] : a.order[o] / 2;
    __builtin_prefetch(a.tape + sample);
    if (a.negative_rows[sample] == kNone) continue;
    if (a.of_users) {
      prefetch_row(items + row_of(a.items, a.positive_rows[sample]) * a.dim, bytes);
      prefetch_row(items + row_of(a.items, a.negative_rows[sample]) * a.dim, bytes);
    } else {
      prefetch_row(users + row_of(a.users, a.user_rows[sample]) * a.dim, bytes);
    }
  }
}

// A row's gradient is on_self·row − Σ slope·(the other point): differences of exact float64 products, so nothing is lost near the boundary.
template <class S, class T, class O>
HK_INLINE void gradient_rows(const RankingGradient& a, const T* users, const T* items, O* gradient, uint64_t begin, uint64_t end) {
  thread_local std::vector<double> scratch;
  const uint32_t dim = a.dim;
  if (scratch.size() < dim) scratch.resize(dim);
  double* sum = scratch.data();
  for (uint64_t i = begin; i < end; ++i) {
    if (i + 2 < end) prefetch_partners(a, users, items, static_cast<uint32_t>(i + 2));
    const size_t row = row_of(a.of_users ? a.users : a.items, a.rows[i]);
    const double gap = a.of_users ? a.users.gap[row] : a.items.gap[row];
    double on_self = 0;
    for (uint32_t k = 0; k < dim; ++k) sum[k] = 0;
    for (uint32_t o = a.offsets[i]; o < a.offsets[i + 1]; ++o) {
      const uint32_t sample = a.of_users ? a.order[o] : a.order[o] / 2;
      const RankingTape& tape = a.tape[sample];
      if (a.of_users) {
        if (a.negative_rows[sample] == kNone) continue;
        on_self += tape.pos_slope * (1.0 + tape.pos_pull / gap) + tape.neg_slope * (1.0 + tape.neg_pull / gap);
        add_rows<S>(sum, -tape.pos_slope, items + row_of(a.items, a.positive_rows[sample]) * dim, -tape.neg_slope,
                    items + row_of(a.items, a.negative_rows[sample]) * dim, dim);
      } else {
        const bool negative = a.order[o] % 2 == 1;
        const double slope = negative ? tape.neg_slope : tape.pos_slope, pull = negative ? tape.neg_pull : tape.pos_pull;
        on_self += slope * (1.0 + pull / gap);
        add_row<S>(sum, -slope, users + row_of(a.users, a.user_rows[sample]) * dim, dim);
      }
    }
    const T* self = (a.of_users ? users : items) + row * dim;
    combine_rows<S>(gradient + i * dim, on_self, self, 1.0, sum, dim);
  }
}

template <class S>
HK_INLINE void gradient_range(const RankingGradient& a, uint64_t begin, uint64_t end) {
  if (a.users.f) gradient_rows<S>(a, a.users.f, a.items.f, a.gradient, begin, end);
  else gradient_rows<S>(a, a.users.d, a.items.d, a.gradient64, begin, end);
}

HK_DISPATCH(losses, loss_range, (const RankingLoss& a, uint64_t begin, uint64_t end), (a, begin, end))
HK_DISPATCH(gradients, gradient_range, (const RankingGradient& a, uint64_t begin, uint64_t end), (a, begin, end))

}  // namespace

void CpuBackend::ranking_loss(const RankingLoss& a) {
  pool_.run(a.count, 256, [&](uint64_t begin, uint64_t end, int) { losses(a, begin, end); });
}

void CpuBackend::ranking_gradient(const RankingGradient& a) {
  pool_.run(*a.row_count, 128, [&](uint64_t begin, uint64_t end, int) { gradients(a, begin, end); });
}

}  // namespace hk
