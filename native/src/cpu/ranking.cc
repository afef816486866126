// ranking_loss and ranking_gradient on the CPU: samples, then rows, over threads. The scalar part is float64; float32 tables are
// read as float32, and their distances summed in float32 lanes from differences.
#include <algorithm>
#include <vector>

#include "../ball.h"
#include "cpu_backend.h"
#include "point_table.h"
#include "rows.h"
#include "vector_math.h"

namespace hk {
namespace {

constexpr uint32_t kAhead = 4;  // samples between the prefetch of a row and its use

template <class S>
HK_INLINE double pair_sqdist(const float* x, const float* y, uint32_t dim) {
  return sqdist_float<S>(x, y, dim);
}
template <class S>
HK_INLINE double pair_sqdist(const double* x, const double* y, uint32_t dim) {
  return sqdist<S>(x, y, dim);
}

// The scalars of a block of samples: what goes in, one array each, so that the rest runs over samples in vectors.
constexpr uint32_t kBlock = 64;
struct Scalars {
  double user_gap[kBlock], positive_gap[kBlock], negative_gap[kBlock], positive_sqdist[kBlock], negative_sqdist[kBlock];
  double difference[kBlock], exponential[kBlock], positive_slope[kBlock], negative_slope[kBlock];
};

template <class S, class T>
HK_INLINE void loss_samples(const RankingLoss& a, const T* users, const T* items, uint64_t begin, uint64_t end) {
  const double c = a.curvature, root_c = std::sqrt(c), scale = *a.scale;
  const size_t bytes = a.dim * sizeof(T);
  Scalars q{};
  for (uint64_t block = begin; block < end; block += kBlock) {
    const uint32_t count = static_cast<uint32_t>(std::min<uint64_t>(kBlock, end - block));
    const uint32_t padded = (count + S::kD - 1) / S::kD * S::kD;
    for (uint32_t t = 0; t < padded; ++t) {
      const uint64_t i = block + t, next = i + kAhead;
      if (next < end && a.negative_rows[next] != kNone) {
        prefetch_row(users + row_of(a.users, a.user_rows[next]) * a.dim, bytes);
        prefetch_row(items + row_of(a.items, a.positive_rows[next]) * a.dim, bytes);
        prefetch_row(items + row_of(a.items, a.negative_rows[next]) * a.dim, bytes);
      }
      if (t >= count || a.negative_rows[i] == kNone) {
        q.user_gap[t] = q.positive_gap[t] = q.negative_gap[t] = 1, q.positive_sqdist[t] = q.negative_sqdist[t] = 0;
        continue;
      }
      const size_t u = row_of(a.users, a.user_rows[i]), p = row_of(a.items, a.positive_rows[i]), n = row_of(a.items, a.negative_rows[i]);
      const T* user = users + u * a.dim;
      q.user_gap[t] = a.users.gap[u], q.positive_gap[t] = a.items.gap[p], q.negative_gap[t] = a.items.gap[n];
      q.positive_sqdist[t] = pair_sqdist<S>(user, items + p * a.dim, a.dim);
      q.negative_sqdist[t] = pair_sqdist<S>(user, items + n * a.dim, a.dim);
    }
    if (c > 0) {
      for_lanes(padded, [&](uint32_t t) {
        q.difference[t] = 2.0 / root_c * (asinh_positive(root_c * poincare_root(q.positive_sqdist[t], q.user_gap[t], q.positive_gap[t])) -
                                          asinh_positive(root_c * poincare_root(q.negative_sqdist[t], q.user_gap[t], q.negative_gap[t])));
      });
    } else {
      for_lanes(padded, [&](uint32_t t) {
        q.difference[t] = 2.0 * (poincare_root(q.positive_sqdist[t], q.user_gap[t], q.positive_gap[t]) -
                                 poincare_root(q.negative_sqdist[t], q.user_gap[t], q.negative_gap[t]));
      });
    }
    for_lanes(padded, [&](uint32_t t) {
      const double z = scale * q.difference[t], e = exp_nonpositive(z > 0.0 ? -z : z);
      const double slope = (z > 0.0 ? 1.0 : e) / (1.0 + e);  // σ(z)
      q.exponential[t] = e;
      q.positive_slope[t] = slope * scale * poincare_slope(q.positive_sqdist[t], q.user_gap[t], q.positive_gap[t], c);
      q.negative_slope[t] = -slope * scale * poincare_slope(q.negative_sqdist[t], q.user_gap[t], q.negative_gap[t], c);
    });
    for (uint32_t t = 0; t < count; ++t) {
      if (a.negative_rows[block + t] == kNone) a.tape[block + t] = {0, 0, 0, 0};
      else a.tape[block + t] = {q.positive_slope[t], c * q.positive_sqdist[t], q.negative_slope[t], c * q.negative_sqdist[t]};
    }
    if (a.loss) {
      for_lanes(padded, [&](uint32_t t) {
        const double z = scale * q.difference[t];
        q.positive_slope[t] = (z > 0.0 ? z : 0.0) + log1p_positive(q.exponential[t]);
      });
      for (uint32_t t = 0; t < count; ++t)
        a.loss[block + t] = a.negative_rows[block + t] == kNone ? 0.0f : static_cast<float>(q.positive_slope[t]);
    }
    if (a.scale_gradient) {
      for (uint32_t t = 0; t < count; ++t) {
        const double z = scale * q.difference[t], e = q.exponential[t];
        a.scale_gradient[block + t] = a.negative_rows[block + t] == kNone ? 0.0 : (z > 0.0 ? 1.0 : e) / (1.0 + e) * q.difference[t];
      }
    }
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
    bool fresh = true;
    for (uint32_t o = a.offsets[i]; o < a.offsets[i + 1]; ++o) {
      const uint32_t sample = a.of_users ? a.order[o] : a.order[o] / 2;
      const RankingTape& tape = a.tape[sample];
      if (a.of_users) {
        if (a.negative_rows[sample] == kNone) continue;
        on_self += tape.pos_slope * (1.0 + tape.pos_pull / gap) + tape.neg_slope * (1.0 + tape.neg_pull / gap);
        const T* positive = items + row_of(a.items, a.positive_rows[sample]) * dim;
        const T* negative = items + row_of(a.items, a.negative_rows[sample]) * dim;
        if (fresh) combine_rows<S>(sum, -tape.pos_slope, positive, -tape.neg_slope, negative, dim);
        else add_rows<S>(sum, -tape.pos_slope, positive, -tape.neg_slope, negative, dim);
      } else {
        const bool negative = a.order[o] % 2 == 1;
        const double slope = negative ? tape.neg_slope : tape.pos_slope, pull = negative ? tape.neg_pull : tape.pos_pull;
        on_self += slope * (1.0 + pull / gap);
        const T* user = users + row_of(a.users, a.user_rows[sample]) * dim;
        if (fresh) scale_row<S>(sum, -slope, user, dim);
        else add_row<S>(sum, -slope, user, dim);
      }
      fresh = false;
    }
    if (fresh) std::fill_n(sum, dim, 0.0);
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
