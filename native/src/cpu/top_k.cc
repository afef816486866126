// top_k on the CPU: a float32 matrix product bounds every key from below and above. A user keeps the items whose lower bound is not
// above the k-th smallest upper bound so far; those that are left at the end, hardly more than k, are scored in float64 from
// differences. The answer is exact by construction; the filter only decides how fast it comes.
//
// For a fixed user the order of d(u, v) is that of the key ‖u−v‖²/A_v = s − 2u·(Bv), s = B‖u‖² + B‖v‖², B = 1/A_v. In float32 its error
// is below η·s with η = (dim + 16)·2⁻²³ (dot product of dim terms, twice the textbook bound), and below `underflow` from products under
// the smallest normal number. So the lower bound (1 − η)s − underflow − 2u·(Bv) never exceeds the true key, and with 3η·s + 3·underflow
// added, one η of them for the rounding of the bound itself, it is never below it. All that in the unit ball, coordinates times √c: in the
// caller's, squares of a large ball's points overflow.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <vector>

#include "../ball.h"
#include "cpu_backend.h"
#include "rows.h"
#include "vector_math.h"

namespace hk {
namespace {

constexpr uint32_t kUserRange = 192;  // users whose rows stay in a near cache while all items pass

// Users of a tile, × two vectors of items: 12 or 24 accumulators of the 16 or 32 registers.
template <class S>
constexpr uint32_t kUserTile = S::kF == 16 ? 12 : 6;
constexpr uint32_t kFewUsers = 2;  // of a tile, where there are no more: the items' memory is then what takes the time

// Factor on coordinates that takes the ball to the unit ball.
HK_INLINE double to_unit(const TopK& a) { return a.curvature > 0 ? std::sqrt(a.curvature) : 1.0; }

// Sixteen floats where no vector of them crosses a cache line.
struct alignas(64) CacheLine {
  float x[16];
};

struct PackedItems final : PreparedItems {
  uint32_t width = 0, panels = 0;     // items per panel
  std::vector<CacheLine> lines;       // the memory of rows
  float* rows = nullptr;              // [panels, dim, width] −2B·v
  std::vector<float> on_user, fixed;  // [panels · width] (1 − η)B and (1 − η)B‖v‖² − underflow; NaN pads, which is below no threshold
  std::vector<double> gap;            // [items]
  float slack = 0, underflow = 0;     // upper bound = lower bound + slack·(on_user·‖u‖² + fixed) + underflow
};

template <class S>
HK_INLINE void pack_panels(const TopK& a, PackedItems& packed, uint64_t begin, uint64_t end) {
  const double keep = 1.0 - (a.dim + 16) * std::ldexp(1.0, -23);
  const double underflow = (a.dim + 16) * std::ldexp(1.0, -126), unit = to_unit(a);
  const uint32_t width = packed.width;
  for (uint64_t panel = begin; panel < end; ++panel)
    for (uint32_t lane = 0; lane < width; ++lane) {
      const uint64_t item = panel * width + lane;
      float* out = packed.rows + panel * a.dim * width + lane;
      if (item >= a.item_count) {
        for (uint32_t k = 0; k < a.dim; ++k) out[size_t{k} * width] = 0;
        packed.on_user[item] = 0, packed.fixed[item] = std::numeric_limits<float>::quiet_NaN();
        continue;
      }
      const float* v = a.items + item * a.dim;
      const double sqnorm = dot<S>(v, v, a.dim), gap = 1.0 - a.curvature * sqnorm, b = 1.0 / gap;
      packed.gap[item] = gap;
      packed.on_user[item] = static_cast<float>(keep * b), packed.fixed[item] = static_cast<float>(keep * b * (unit * unit * sqnorm) - underflow);
      for (uint32_t k = 0; k < a.dim; ++k) out[size_t{k} * width] = static_cast<float>(-2 * b * (unit * v[k]));
    }
}

struct Scored {
  double key;
  uint32_t item;
  bool operator<(const Scored& o) const { return key < o.key || (key == o.key && item < o.item); }
};

// What one user may still want: `size` items and the bounds of their keys.
struct Shortlist {
  std::vector<float> lower, upper;
  std::vector<uint32_t> items;
  // The first `clean` are known not to be excluded, and have an upper bound. At `full` the list is weeded out.
  uint32_t size = 0, clean = 0, full = 0;
};

// Users that all items pass together, in tiles.
struct UserRange {
  std::vector<float> points;      // tile after tile [dim, users of a tile], in the unit ball
  std::vector<float> sqnorms;     // [users]
  std::vector<float> thresholds;  // [users] never below the k-th smallest key of the items seen; −infinity pads
  std::vector<Shortlist> lists;   // [users]
  std::vector<float> uppers;      // of one list
  std::vector<Scored> scored;     // of one user
};

constexpr uint32_t kCounted = 128;  // numbers that are ranked by comparing each with each: no branch to mispredict

// The k-th smallest of x[0, n), 0 < k <= n. x has room for kCounted numbers; the order of the n may change, and those behind them.
template <class S>
HK_INLINE float kth_smallest(float* x, uint32_t n, uint32_t k) {
  if (n > kCounted) {
    std::nth_element(x, x + (k - 1), x + n);
    return x[k - 1];
  }
  const uint32_t padded = (n + S::kF - 1) / S::kF * S::kF;
  std::fill(x + n, x + padded, std::numeric_limits<float>::infinity());
  uint32_t smaller[kCounted] = {};
  for (uint32_t i = 0; i < n; ++i) {
    const float at = x[i];
    for_lanes(padded, [&](uint32_t j) { smaller[j] += at < x[j] ? 1u : 0u; });
  }
  for (uint32_t j = 0; j < n; ++j)
    if (smaller[j] == k - 1) return x[j];
  float kth = -std::numeric_limits<float>::infinity();  // it has equals, so that none is above k − 1 others
  for (uint32_t j = 0; j < n; ++j) kth = smaller[j] < k ? std::max(kth, x[j]) : kth;
  return kth;
}

// Takes out what is excluded or above the threshold, which is lowered first.
template <class S>
HK_INLINE void weed(const TopK& a, const PackedItems& packed, uint32_t user, float user_sqnorm, Shortlist& list, float& threshold,
                    std::vector<float>& uppers) {
  const uint32_t *first = nullptr, *last = nullptr;
  if (a.exclude_offsets) first = a.exclude_items + a.exclude_offsets[user], last = a.exclude_items + a.exclude_offsets[user + 1];
  uint32_t size = list.clean;
  for (uint32_t at = list.clean; at < list.size; ++at) {
    const uint32_t item = list.items[at];
    if (first != last && std::binary_search(first, last, item)) continue;
    const float lower = list.lower[at];
    list.lower[size] = lower, list.items[size] = item;
    list.upper[size++] = lower + (packed.slack * (packed.on_user[item] * user_sqnorm + packed.fixed[item]) + packed.underflow);
  }
  if (size > a.k) {
    uppers.resize(std::max<size_t>({uppers.size(), size, kCounted}));
    std::copy_n(list.upper.begin(), size, uppers.begin());
    threshold = std::min(threshold, kth_smallest<S>(uppers.data(), size, a.k));
    uint32_t kept = 0;
    for (uint32_t at = 0; at < size; ++at) {
      list.lower[kept] = list.lower[at], list.upper[kept] = list.upper[at], list.items[kept] = list.items[at];
      kept += list.lower[at] <= threshold;
    }
    size = kept;
  }
  list.size = list.clean = size;
  list.full = std::max(a.k, size) + std::max(a.k / 2, size / 2) + 16;
  const size_t room = size_t{list.full} + packed.width;  // a panel more than what is weeded out
  if (list.items.size() < room) list.lower.resize(room), list.upper.resize(room), list.items.resize(room);
}

// Bounds of the keys of a panel's items for the users of a tile; those not above a user's threshold join that user's list.
template <class S, uint32_t kTile>
HK_INLINE void score_tile(const TopK& a, const PackedItems& packed, uint32_t user, uint32_t in_range, const float* points, uint32_t panel,
                          UserRange& range) {
  static_assert(kTile <= 32, "a bit per user");
  using F = typename S::F;
  constexpr uint32_t kF = S::kF;
  constexpr uint32_t width = 2 * kF;
  const uint32_t dim = a.dim;
  const float* rows = packed.rows + size_t{panel} * dim * width;
  F low[kTile] = {}, high[kTile] = {};
  for (uint32_t k = 0; k < dim; ++k, rows += width, points += kTile) {
    const F v0 = *reinterpret_cast<const F*>(rows), v1 = *reinterpret_cast<const F*>(rows + kF);
#pragma GCC unroll 12
    for (uint32_t i = 0; i < kTile; ++i) low[i] += v0 * points[i], high[i] += v1 * points[i];
  }
  const float* on_user = packed.on_user.data() + size_t{panel} * width;
  const float* fixed = packed.fixed.data() + size_t{panel} * width;
  const float *sqnorms = range.sqnorms.data() + in_range, *thresholds = range.thresholds.data() + in_range;
  const F on0 = *reinterpret_cast<const F*>(on_user), on1 = *reinterpret_cast<const F*>(on_user + kF);
  const F fixed0 = *reinterpret_cast<const F*>(fixed), fixed1 = *reinterpret_cast<const F*>(fixed + kF);
  // The bounds leave the registers before anything branches on them: a compiler that sees the sums used in branches keeps them in memory.
  alignas(64) float bounds[kTile][width];
#pragma GCC unroll 12
  for (uint32_t i = 0; i < kTile; ++i) {
    *reinterpret_cast<F*>(bounds[i]) = low[i] + (on0 * sqnorms[i] + fixed0);
    *reinterpret_cast<F*>(bounds[i] + kF) = high[i] + (on1 * sqnorms[i] + fixed1);
  }
  // Of every item, the users that want it, a bit each.
  alignas(64) uint32_t wanted[width] = {};
#pragma GCC unroll 12
  for (uint32_t i = 0; i < kTile; ++i) {
    const float most = thresholds[i];
    for_lanes(width, [&](uint32_t lane) { wanted[lane] |= bounds[i][lane] <= most ? 1u << i : 0u; });
  }
  uint32_t full = 0;
  for (uint32_t lane = 0; lane < width; lane += 2) {
    uint64_t bits;
    std::memcpy(&bits, wanted + lane, sizeof bits);
    for (; bits != 0; bits &= bits - 1) {
      const uint32_t bit = std::countr_zero(bits), i = bit % 32, at = lane + bit / 32;
      Shortlist& list = range.lists[in_range + i];
      list.lower[list.size] = bounds[i][at], list.items[list.size] = panel * width + at;
      full |= uint32_t{++list.size >= list.full} << i;
    }
  }
  for (; full != 0; full &= full - 1) {
    const uint32_t i = std::countr_zero(full);
    weed<S>(a, packed, user + i, sqnorms[i], range.lists[in_range + i], range.thresholds[in_range + i], range.uppers);
  }
}

// A panel stays in the first-level cache while it meets all users of the range.
template <class S>
HK_INLINE void filter_items(const TopK& a, const PackedItems& packed, uint32_t first, uint32_t users, UserRange& range) {
  constexpr uint32_t kTile = kUserTile<S>;
  for (uint32_t panel = 0; panel < packed.panels; ++panel) {
    const float* points = range.points.data();
    for (uint32_t in_range = 0; in_range < users; in_range += kTile, points += size_t{kTile} * a.dim)
      if (users - in_range <= kFewUsers) score_tile<S, kFewUsers>(a, packed, first + in_range, in_range, points, panel, range);
      else score_tile<S, kTile>(a, packed, first + in_range, in_range, points, panel, range);
  }
}

template <class S>
HK_INLINE void rank_users(const TopK& a, const PackedItems& packed, uint64_t begin, uint64_t end) {
  constexpr uint32_t kTile = kUserTile<S>;
  UserRange range;  // its memory serves one range after the other
  const double unit = to_unit(a);
  for (uint64_t start = begin; start < end; start += kUserRange) {
    const uint32_t first = static_cast<uint32_t>(start), users = static_cast<uint32_t>(std::min<uint64_t>(kUserRange, end - start));
    const uint32_t padded = (users + kTile - 1) / kTile * kTile;
    range.points.assign(size_t{padded} * a.dim, 0.0f), range.sqnorms.assign(padded, 0.0f);
    range.thresholds.assign(padded, -std::numeric_limits<float>::infinity());
    if (range.lists.size() < users) range.lists.resize(users);
    for (uint32_t i = 0; i < users; ++i) {
      const float* u = a.users + size_t{first + i} * a.dim;
      const uint32_t tile = i / kTile * kTile, stride = users - tile <= kFewUsers ? kFewUsers : kTile;
      float* points = range.points.data() + size_t{tile} * a.dim + (i - tile);
      for (uint32_t k = 0; k < a.dim; ++k) points[size_t{k} * stride] = static_cast<float>(unit * u[k]);
      range.sqnorms[i] = static_cast<float>(unit * unit * dot<S>(u, u, a.dim));
      range.thresholds[i] = std::numeric_limits<float>::infinity();
      range.lists[i].size = range.lists[i].clean = 0;
      weed<S>(a, packed, first + i, range.sqnorms[i], range.lists[i], range.thresholds[i], range.uppers);
    }
    filter_items<S>(a, packed, first, users, range);
    for (uint32_t i = 0; i < users; ++i) {
      const uint32_t user = first + i;
      Shortlist& list = range.lists[i];
      weed<S>(a, packed, user, range.sqnorms[i], list, range.thresholds[i], range.uppers);
      const float* u = a.users + size_t{user} * a.dim;
      if (i + 1 < users)  // the rows that the next user's candidates need
        for (uint32_t at = 0; at < range.lists[i + 1].size; ++at)
          prefetch_row(a.items + size_t{range.lists[i + 1].items[at]} * a.dim, a.dim * sizeof(float));
      std::vector<Scored>& scored = range.scored;
      scored.clear();
      for (uint32_t at = 0; at < list.size; ++at) {
        const uint32_t item = list.items[at];
        scored.push_back({sqdist<S>(u, a.items + size_t{item} * a.dim, a.dim) / packed.gap[item], item});
      }
      const size_t found = std::min<size_t>(a.k, scored.size());
      std::partial_sort(scored.begin(), scored.begin() + found, scored.end());
      const double u_gap = 1.0 - a.curvature * dot<S>(u, u, a.dim);
      for (uint32_t rank = 0; rank < a.k; ++rank) {
        const size_t out = size_t{user} * a.k + rank;
        if (rank < found) {
          const Scored& best = scored[rank];
          const double gap = packed.gap[best.item];
          a.out_items[out] = best.item;
          a.out_distances[out] = static_cast<float>(a.scale * poincare_distance(best.key * gap, u_gap, gap, a.curvature));
        } else {
          a.out_items[out] = kNone, a.out_distances[out] = std::numeric_limits<float>::infinity();
        }
      }
    }
  }
}

template <class S>
HK_INLINE void panel_width(uint32_t& width) {
  width = 2 * S::kF;
}

template <class S>
HK_INLINE void user_tile(uint32_t& users) {
  users = kUserTile<S>;
}

HK_DISPATCH(width_of, panel_width, (uint32_t& width), (width))
HK_DISPATCH(tile_of, user_tile, (uint32_t& users), (users))
HK_DISPATCH(pack, pack_panels, (const TopK& a, PackedItems& packed, uint64_t begin, uint64_t end), (a, packed, begin, end))
HK_DISPATCH(rank, rank_users, (const TopK& a, const PackedItems& packed, uint64_t begin, uint64_t end), (a, packed, begin, end))

}  // namespace

std::unique_ptr<PreparedItems> CpuBackend::prepare_items(const float* items, uint32_t count, uint32_t dim, double curvature) {
  auto packed = std::make_unique<PackedItems>();
  width_of(packed->width);
  packed->panels = (count + packed->width - 1) / packed->width;
  packed->lines.resize((size_t{packed->panels} * packed->width * dim + 15) / 16);
  packed->rows = packed->lines.data()->x;
  packed->on_user.resize(size_t{packed->panels} * packed->width);
  packed->fixed.resize(size_t{packed->panels} * packed->width);
  packed->gap.resize(count);
  packed->slack = (3.0f * dim + 48) * 0x1p-23f, packed->underflow = (3.0f * dim + 48) * 0x1p-126f;
  TopK a{};
  a.items = items, a.item_count = count, a.dim = dim, a.curvature = curvature;
  pool_.run(packed->panels, 64, [&](uint64_t begin, uint64_t end, int) { pack(a, *packed, begin, end); });
  return packed;
}

void CpuBackend::top_k(const TopK& a) {
  if (a.user_count == 0 || a.k == 0) return;
  const std::unique_ptr<PreparedItems> own = a.prepared ? nullptr : prepare_items(a.items, a.item_count, a.dim, a.curvature);
  const PackedItems& packed = static_cast<const PackedItems&>(a.prepared ? *a.prepared : *own);
  uint32_t tile;
  tile_of(tile);
  // Whole tiles: one that is not full takes as long as one that is.
  const uint64_t share = (a.user_count + 2 * pool_.threads() - 1) / (2 * pool_.threads());
  pool_.run(a.user_count, std::min<uint64_t>(kUserRange, (share + tile - 1) / tile * tile),
            [&](uint64_t begin, uint64_t end, int) { rank(a, packed, begin, end); });
}

}  // namespace hk
