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
#include <limits>
#include <memory>
#include <vector>

#include "../ball.h"
#include "cpu_backend.h"
#include "rows.h"

namespace hk {
namespace {

constexpr uint32_t kPanelBlock = 32;  // panels that stay in the second-level cache while all users of a range pass
constexpr uint32_t kUserRange = 192;

// Users of a tile, × two vectors of items: 12 or 24 accumulators of the 16 or 32 registers.
template <class S>
constexpr uint32_t kUserTile = S::kF == 16 ? 12 : 6;
constexpr uint32_t kFewUsers = 2;  // of a tile, where there are no more: the items' memory is then what takes the time

// Factor on coordinates that takes the ball to the unit ball.
HK_INLINE double to_unit(const TopK& a) { return a.curvature > 0 ? std::sqrt(a.curvature) : 1.0; }

struct PackedItems final : PreparedItems {
  uint32_t width = 0, panels = 0;     // items per panel
  std::vector<float> rows;            // [panels, dim, width] B·v
  std::vector<float> on_user, fixed;  // [panels · width] (1 − η)B and (1 − η)B‖v‖²; infinity pads
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
      float* out = packed.rows.data() + panel * a.dim * width + lane;
      if (item >= a.item_count) {
        for (uint32_t k = 0; k < a.dim; ++k) out[size_t{k} * width] = 0;
        packed.on_user[item] = 0, packed.fixed[item] = std::numeric_limits<float>::infinity();
        continue;
      }
      const float* v = a.items + item * a.dim;
      const double sqnorm = dot<S>(v, v, a.dim), gap = 1.0 - a.curvature * sqnorm, b = 1.0 / gap;
      packed.gap[item] = gap;
      packed.on_user[item] = static_cast<float>(keep * b), packed.fixed[item] = static_cast<float>(keep * b * (unit * unit * sqnorm) - underflow);
      for (uint32_t k = 0; k < a.dim; ++k) out[size_t{k} * width] = static_cast<float>(b * (unit * v[k]));
    }
}

struct Candidate {
  float lower, upper;
  uint32_t item;
};
struct Scored {
  double key;
  uint32_t item;
  bool operator<(const Scored& o) const { return key < o.key || (key == o.key && item < o.item); }
};

// What one user may still want. `threshold` is never below the k-th smallest key of the items seen.
struct Shortlist {
  std::vector<Candidate> candidates;
  size_t full = 0;  // candidates that are weeded out at this number
  float threshold = std::numeric_limits<float>::infinity();
};

void weed(Shortlist& list, uint32_t k) {
  std::vector<Candidate>& c = list.candidates;
  if (c.size() > k) {
    std::nth_element(c.begin(), c.begin() + (k - 1), c.end(), [](const Candidate& x, const Candidate& y) { return x.upper < y.upper; });
    list.threshold = std::min(list.threshold, c[k - 1].upper);
    c.erase(std::remove_if(c.begin() + k, c.end(), [&](const Candidate& x) { return !(x.lower <= list.threshold); }), c.end());
  }
  list.full = std::max(size_t{2} * k, c.size() + c.size() / 2) + 32;
}

HK_INLINE void add_candidate(const TopK& a, const PackedItems& packed, uint32_t user, float user_sqnorm, uint32_t item, float lower,
                             Shortlist& list) {
  if (a.exclude_offsets) {
    const uint32_t* first = a.exclude_items + a.exclude_offsets[user];
    const uint32_t* last = a.exclude_items + a.exclude_offsets[user + 1];
    if (std::binary_search(first, last, item)) return;
  }
  const float upper = lower + (packed.slack * (packed.on_user[item] * user_sqnorm + packed.fixed[item]) + packed.underflow);
  list.candidates.push_back({lower, upper, item});
  if (list.candidates.size() >= list.full) weed(list, a.k);
}

template <class S, uint32_t kTile>
HK_INLINE void score_tile(const TopK& a, const PackedItems& packed, uint32_t user, uint32_t users, const float* points, const float* sqnorms,
                          uint32_t panel, Shortlist* lists) {
  using F = typename S::F;
  constexpr uint32_t kF = S::kF;
  constexpr uint32_t width = 2 * kF;
  const uint32_t dim = a.dim;
  const float* rows = packed.rows.data() + size_t{panel} * dim * width;
  const float* u[kTile];
  for (uint32_t i = 0; i < kTile; ++i) u[i] = points + size_t{i < users ? i : 0} * dim;
  F low[kTile] = {}, high[kTile] = {};
  for (uint32_t k = 0; k < dim; ++k, rows += width) {
    const F v0 = *reinterpret_cast<const F*>(rows), v1 = *reinterpret_cast<const F*>(rows + kF);
#pragma GCC unroll 12
    for (uint32_t i = 0; i < kTile; ++i) low[i] += v0 * u[i][k], high[i] += v1 * u[i][k];
  }
  const float* on_user = packed.on_user.data() + size_t{panel} * width;
  const float* fixed = packed.fixed.data() + size_t{panel} * width;
  const F on0 = *reinterpret_cast<const F*>(on_user), on1 = *reinterpret_cast<const F*>(on_user + kF);
  const F fixed0 = *reinterpret_cast<const F*>(fixed), fixed1 = *reinterpret_cast<const F*>(fixed + kF);
  // The bounds leave the registers before anything branches on them: a compiler that sees the sums used in branches keeps them in memory.
  alignas(64) float bounds[kTile][width];
#pragma GCC unroll 12
  for (uint32_t i = 0; i < kTile; ++i) {
    *reinterpret_cast<F*>(bounds[i]) = on0 * sqnorms[i < users ? i : 0] + fixed0 - 2.0f * low[i];
    *reinterpret_cast<F*>(bounds[i] + kF) = on1 * sqnorms[i < users ? i : 0] + fixed1 - 2.0f * high[i];
  }
  for (uint32_t i = 0; i < users; ++i) {
    alignas(64) uint64_t hits[width / 2];
    if (!floats_at_most<S>(bounds[i], lists[i].threshold, hits)) continue;
    for (uint32_t word = 0; word < width / 2; ++word)
      for (uint64_t bits = hits[word]; bits != 0; bits &= bits - 1) {
        const uint32_t lane = 2 * word + static_cast<uint32_t>(std::countr_zero(bits)) / 32, item = panel * width + lane;
        if (item < a.item_count) add_candidate(a, packed, user + i, sqnorms[i], item, bounds[i][lane], lists[i]);
      }
  }
}

template <class S>
HK_INLINE void rank_users(const TopK& a, const PackedItems& packed, uint64_t begin, uint64_t end) {
  std::vector<Shortlist> lists;  // their memory serves range after range
  std::vector<float> points, sqnorms;  // in the unit ball
  std::vector<Scored> scored;
  const double unit = to_unit(a);
  for (uint64_t range = begin; range < end; range += kUserRange) {
    const uint32_t first = static_cast<uint32_t>(range), last = static_cast<uint32_t>(std::min<uint64_t>(range + kUserRange, end));
    lists.resize(std::max<size_t>(lists.size(), last - first)), sqnorms.resize(lists.size()), points.resize(lists.size() * a.dim);
    for (uint32_t i = 0; i < last - first; ++i) {
      const float* u = a.users + size_t{first + i} * a.dim;
      scale_row<S>(points.data() + size_t{i} * a.dim, unit, u, a.dim);
      sqnorms[i] = static_cast<float>(unit * unit * dot<S>(u, u, a.dim));
      lists[i].candidates.clear(), lists[i].threshold = std::numeric_limits<float>::infinity();
      weed(lists[i], a.k);
    }
    for (uint32_t block = 0; block < packed.panels; block += kPanelBlock)
      for (uint32_t user = first; user < last; user += kUserTile<S>) {
        const uint32_t users = std::min(kUserTile<S>, last - user), panels = std::min(block + kPanelBlock, packed.panels);
        const float *point = points.data() + size_t{user - first} * a.dim, *sqnorm = sqnorms.data() + (user - first);
        Shortlist* list = lists.data() + (user - first);
        for (uint32_t panel = block; panel < panels; ++panel)
          if (users <= kFewUsers) score_tile<S, kFewUsers>(a, packed, user, users, point, sqnorm, panel, list);
          else score_tile<S, kUserTile<S>>(a, packed, user, users, point, sqnorm, panel, list);
      }
    for (uint32_t user = first; user < last; ++user) {
      weed(lists[user - first], a.k);
      const float* u = a.users + size_t{user} * a.dim;
      scored.clear();
      for (const Candidate& c : lists[user - first].candidates)
        scored.push_back({sqdist<S>(u, a.items + size_t{c.item} * a.dim, a.dim) / packed.gap[c.item], c.item});
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
  packed->rows.resize(size_t{packed->panels} * packed->width * dim);
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
