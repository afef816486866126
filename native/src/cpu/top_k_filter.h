#pragma once
// The filter of top_k: which items a user may still want, by float32 bounds of their keys.
//
// For a fixed user the order of d(u, v) is that of the key ‖u−v‖²/A_v = s − 2u·(Bv), s = B‖u‖² + B‖v‖², B = 1/A_v. In float32 its error
// is below η·s with η = (dim + 16)·2⁻²³ (dot product of dim terms, twice the textbook bound), and below `underflow` from products under
// the smallest normal number. So the lower bound (1 − η)s − underflow − 2u·(Bv) never exceeds the true key, and with 3η·s + 3·underflow
// added, one η of them for the rounding of the bound itself, it is never below it. All that in the unit ball, coordinates times √c: in the
// caller's, squares of a large ball's points overflow.
//
// Items meet a range of users twice, in panels. The first time only the smallest lower bound of each panel is kept, which asks for no branch. Of a user with
// e excluded items, k + e panels with a smallest bound of at most x have k items that are not excluded and whose upper bounds are at most x and what they can be
// above it: a threshold that no item of the answer is above. The second time a panel meets only those users whose threshold is not below its smallest bound,
// some k panels each, and its items join their lists.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

#include "../backend.h"
#include "rows.h"
#include "vector_math.h"

namespace hk {

constexpr uint32_t kUserRange = 192;  // users at most that share both passes: their rows stay in a near cache
constexpr size_t kMinima = 1 << 18;   // numbers that a range keeps of its first pass, unless a tile has more

// Users of a tile, × two vectors of items: 12 or 24 accumulators of the 16 or 32 registers.
template <class S>
constexpr uint32_t kUserTile = S::kF == 16 ? 12 : 6;
constexpr uint32_t kFewUsers = 2;      // of a tile, where there are no more: the items' memory is then what takes the time
constexpr uint32_t kWantingUsers = 6;  // that meet a panel together in the second pass

// Sixteen floats where no vector of them crosses a cache line.
struct alignas(64) CacheLine {
  float x[16];
};

struct PackedItems final : PreparedItems {
  uint32_t width = 0, panels = 0;     // items per panel
  std::vector<CacheLine> lines;       // the memory of rows
  float* rows = nullptr;              // [panels, dim, width] −2B·v
  std::vector<float> on_user, fixed;  // [panels · width] (1 − η)B and (1 − η)B‖v‖² − underflow; NaN pads, which is below no threshold
  std::vector<float> most_on_user, most_fixed;  // [panels] the largest of a panel's items
  std::vector<double> gap;            // [items]
  float slack = 0, underflow = 0;     // upper bound = lower bound + slack·(on_user·‖u‖² + fixed) + underflow

  // What an upper bound is above the lower.
  HK_INLINE float between(float on_user, float fixed, float user_sqnorm) const { return slack * (on_user * user_sqnorm + fixed) + underflow; }
};

// What one user may still want: `size` items, ascending, and the bounds of their keys.
struct Shortlist {
  std::vector<float> lower, upper;
  std::vector<uint32_t> items;
  // The first `clean` are known not to be excluded, and have an upper bound. At `full` the list is weeded out.
  uint32_t size = 0, clean = 0, full = 0;
};

// Users that all items pass together, numbered from 0.
struct UserRange {
  static constexpr uint32_t kWords = kUserRange / 64;
  uint32_t first = 0, users = 0;  // the id of the first one; how many
  std::vector<float> tiles;       // tile after tile [dim, users of a tile], in the unit ball
  std::vector<float> rows;        // [users, dim] the same
  std::vector<float> sqnorms;     // [users]
  std::vector<float> thresholds;  // [users] never below the k-th smallest key
  std::vector<float> minima;      // [users, panels] the smallest lower bound in a panel
  std::vector<uint64_t> wanting;  // [panels, kWords] a bit per user
  std::vector<Shortlist> lists;   // [users]
  // Scratch for one user.
  std::vector<int32_t> keys;   // [panels]
  std::vector<uint8_t> flags;  // [panels]
  std::vector<float> uppers;

  // Begins with so many users from this one on: no threshold yet, nothing listed.
  template <class S>
  HK_INLINE void take(const TopK& a, const PackedItems& packed, uint32_t from, uint32_t count);
};

// Factor on coordinates that takes the ball to the unit ball.
HK_INLINE double to_unit(const TopK& a) { return a.curvature > 0 ? std::sqrt(a.curvature) : 1.0; }

constexpr uint32_t kCounted = 256;  // numbers that are ranked by comparing each with each: no branch to mispredict

// The k-th smallest of x[0, n), 0 < k <= n. x has room for kCounted numbers; the order of the n may change, and those behind them.
template <class S>
HK_INLINE float kth_smallest(float* x, uint32_t n, uint32_t k) {
  if (n > kCounted) {
    std::nth_element(x, x + (k - 1), x + n);
    return x[k - 1];
  }
  const uint32_t padded = (n + S::kF - 1) / S::kF * S::kF;
  std::fill(x + n, x + padded, std::numeric_limits<float>::infinity());
  uint32_t smaller[kCounted];
  std::fill_n(smaller, padded, 0);
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

HK_INLINE uint32_t excluded_count(const TopK& a, uint32_t user) {
  return a.exclude_offsets ? a.exclude_offsets[user + 1] - a.exclude_offsets[user] : 0;
}

// Takes out what is excluded or above the threshold, which is lowered first.
template <class S>
HK_INLINE void weed(const TopK& a, const PackedItems& packed, uint32_t in_range, UserRange& range) {
  const uint32_t user = range.first + in_range;
  const uint32_t *first = nullptr, *last = nullptr;
  if (a.exclude_offsets) first = a.exclude_items + a.exclude_offsets[user], last = a.exclude_items + a.exclude_offsets[user + 1];
  Shortlist& list = range.lists[in_range];
  float& threshold = range.thresholds[in_range];
  uint32_t size = list.clean;
  for (uint32_t at = list.clean; at < list.size; ++at) {
    const uint32_t item = list.items[at];
    if (first != last && std::binary_search(first, last, item)) continue;
    const float lower = list.lower[at];
    list.lower[size] = lower, list.items[size] = item;
    list.upper[size++] = lower + packed.between(packed.on_user[item], packed.fixed[item], range.sqnorms[in_range]);
  }
  if (size > a.k) {
    range.uppers.resize(std::max<size_t>({range.uppers.size(), size, kCounted}));
    std::copy_n(list.upper.begin(), size, range.uppers.begin());
    threshold = std::min(threshold, kth_smallest<S>(range.uppers.data(), size, a.k));
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

template <class S>
HK_INLINE uint32_t users_of_tile(uint32_t left) {
  return left <= kFewUsers ? kFewUsers : kUserTile<S>;
}

template <class S>
HK_INLINE void UserRange::take(const TopK& a, const PackedItems& packed, uint32_t from, uint32_t count) {
  first = from, users = count;
  const uint32_t padded = (users + kUserTile<S> - 1) / kUserTile<S> * kUserTile<S>;
  const double unit = to_unit(a);
  tiles.assign(size_t{padded} * a.dim, 0.0f), sqnorms.assign(padded, 0.0f);
  rows.resize(size_t{users} * a.dim), minima.resize(size_t{padded} * packed.panels);
  keys.resize(packed.panels), flags.resize((size_t{packed.panels} + 7) / 8 * 8);
  thresholds.assign(users, std::numeric_limits<float>::infinity());
  if (lists.size() < users) lists.resize(users);
  for (uint32_t i = 0; i < users; ++i) {
    const float* u = a.users + size_t{first + i} * a.dim;
    const uint32_t tile = i / kUserTile<S> * kUserTile<S>, stride = users_of_tile<S>(users - tile);
    float* const points = tiles.data() + size_t{tile} * a.dim + (i - tile);
    for (uint32_t k = 0; k < a.dim; ++k) points[size_t{k} * stride] = rows[size_t{i} * a.dim + k] = static_cast<float>(unit * u[k]);
    sqnorms[i] = static_cast<float>(unit * unit * dot<S>(u, u, a.dim));
    lists[i].size = lists[i].clean = 0;
    weed<S>(a, packed, i, *this);
  }
}

// Two vectors of lower bounds, of the items of a panel, for each of kTile users. point(i, k): coordinate k of the i-th.
template <class S, uint32_t kTile>
struct PanelBounds {
  using F = typename S::F;
  static constexpr uint32_t kWidth = 2 * S::kF;
  F low[kTile], high[kTile];

  template <class Point>
  HK_INLINE void set(const PackedItems& packed, uint32_t panel, uint32_t dim, const float* sqnorms, const Point& point) {
    const float* rows = packed.rows + size_t{panel} * dim * kWidth;
    F sum0[kTile] = {}, sum1[kTile] = {};  // not yet members, whose place in memory a compiler may keep to
    for (uint32_t k = 0; k < dim; ++k, rows += kWidth) {
      const F v0 = at(rows), v1 = at(rows + S::kF);
#pragma GCC unroll 12
      for (uint32_t i = 0; i < kTile; ++i) sum0[i] += v0 * point(i, k), sum1[i] += v1 * point(i, k);
    }
    const float *on_user = packed.on_user.data() + size_t{panel} * kWidth, *fixed = packed.fixed.data() + size_t{panel} * kWidth;
    const F on0 = at(on_user), on1 = at(on_user + S::kF), fixed0 = at(fixed), fixed1 = at(fixed + S::kF);
#pragma GCC unroll 12
    for (uint32_t i = 0; i < kTile; ++i) low[i] = sum0[i] + (on0 * sqnorms[i] + fixed0), high[i] = sum1[i] + (on1 * sqnorms[i] + fixed1);
  }

 private:
  static HK_INLINE F at(const float* x) { return *reinterpret_cast<const F*>(x); }
};

// Of every pair of neighbouring blocks of kBlock / 2 lanes one from a and one from b, the first of each pair or (kOffset = kBlock / 2) the second.
template <class S, int kBlock, int kOffset, int... kLane>
HK_INLINE typename S::F blocks(typename S::F a, typename S::F b, std::integer_sequence<int, kLane...>) {
  return __builtin_shufflevector(a, b, (kLane % kBlock < kBlock / 2 ? kLane + kOffset : S::kF + kLane - kBlock / 2 + kOffset)...);
}
template <class S>
HK_INLINE typename S::F least(typename S::F a, typename S::F b) {
  return b < a ? b : a;
}
// Lane i of x[0] becomes the smallest lane of x[i], for all kCount = S::kF vectors.
template <class S, int kCount = S::kF>
HK_INLINE void least_of_each(typename S::F* x) {
  if constexpr (kCount > 1) {
    constexpr auto lanes = std::make_integer_sequence<int, S::kF>{};
#pragma GCC unroll 8
    for (int i = 0; i < kCount / 2; ++i) {
      const typename S::F a = x[i], b = x[i + kCount / 2];
      x[i] = least<S>(blocks<S, kCount, 0>(a, b, lanes), blocks<S, kCount, kCount / 2>(a, b, lanes));
    }
    least_of_each<S, kCount / 2>(x);
  }
}

// The first pass of a whole panel: its smallest lower bound for each user of the tile that begins at `in_range`.
template <class S, uint32_t kTile>
HK_INLINE void least_of_panel(const TopK& a, const PackedItems& packed, uint32_t panel, uint32_t in_range, UserRange& range) {
  constexpr uint32_t kF = S::kF, kVectors = (kTile + kF - 1) / kF;
  const float* const points = range.tiles.data() + size_t{in_range} * a.dim;
  PanelBounds<S, kTile> bounds;
  bounds.set(packed, panel, a.dim, range.sqnorms.data() + in_range,
             [&](uint32_t i, uint32_t k) __attribute__((always_inline)) { return points[size_t{k} * kTile + i]; });
  typename S::F smallest[kVectors * kF];
#pragma GCC unroll 16
  for (uint32_t i = 0; i < kVectors * kF; ++i) {
    const uint32_t user = std::min(i, kTile - 1);
    smallest[i] = least<S>(bounds.low[user], bounds.high[user]);
  }
  float* const out = range.minima.data() + size_t{in_range} * packed.panels + panel;
#pragma GCC unroll 2
  for (uint32_t vector = 0; vector < kVectors; ++vector) {
    least_of_each<S>(smallest + vector * kF);
    alignas(64) float each[kF];
    *reinterpret_cast<typename S::F*>(each) = smallest[vector * kF];
    for (uint32_t i = 0; i < kF && vector * kF + i < kTile; ++i) out[size_t{vector * kF + i} * packed.panels] = each[i];
  }
}

// Integers in the order of the numbers, and back.
HK_INLINE int32_t ordered(int32_t bits) { return bits ^ ((bits >> 31) & 0x7fffffff); }

// A number that the upper bounds of `needed` items, each the smallest of one of the first `panels` panels, are not above; infinity if there are none.
template <class S>
HK_INLINE float threshold_of(const PackedItems& packed, const float* minima, float sqnorm, uint32_t panels, uint64_t needed, int32_t* keys) {
  if (needed > panels) return std::numeric_limits<float>::infinity();
  const float *on_user = packed.most_on_user.data(), *fixed = packed.most_fixed.data();
  int32_t smallest = std::numeric_limits<int32_t>::max(), largest = std::numeric_limits<int32_t>::min();
  HK_LANES
  for (uint32_t p = 0; p < panels; ++p) {
    const float upper = minima[p] + packed.between(on_user[p], fixed[p], sqnorm);
    keys[p] = ordered(std::bit_cast<int32_t>(upper == upper ? upper : std::numeric_limits<float>::infinity()));
    smallest = std::min(smallest, keys[p]), largest = std::max(largest, keys[p]);
  }
  // By halves, until a few more than needed are below.
  int64_t below = int64_t{smallest} - 1, enough = largest;
  while (enough - below > 1) {
    const int32_t middle = static_cast<int32_t>(below + (enough - below) / 2);
    uint32_t count = 0;
    HK_LANES
    for (uint32_t p = 0; p < panels; ++p) count += keys[p] <= middle ? 1u : 0u;
    (count >= needed ? enough : below) = middle;
    if (count >= needed && count <= needed + needed / 8) break;
  }
  return std::bit_cast<float>(ordered(static_cast<int32_t>(enough)));
}

// Says at every panel which users want it: those who may have one of its items in their answer. `whole`: how many panels have a smallest bound.
template <class S>
HK_INLINE void choose_panels(const TopK& a, const PackedItems& packed, uint32_t whole, UserRange& range) {
  range.wanting.assign(size_t{packed.panels} * UserRange::kWords, 0);
  for (uint32_t i = 0; i < range.users; ++i) {
    const uint64_t bit = uint64_t{1} << i % 64;
    uint64_t* const words = range.wanting.data() + i / 64;
    const auto want = [&](uint32_t panel) { words[size_t{panel} * UserRange::kWords] |= bit; };
    const float* const minima = range.minima.data() + size_t{i} * packed.panels;
    uint8_t* const flags = range.flags.data();
    if (whole > 0)
      range.thresholds[i] =
          threshold_of<S>(packed, minima, range.sqnorms[i], whole, uint64_t{a.k} + excluded_count(a, range.first + i), range.keys.data());
    const float threshold = range.thresholds[i];
    for_lanes(whole, [&](uint32_t p) { flags[p] = minima[p] > threshold ? 0 : 1; });
    uint32_t p = 0;
    for (; p + 8 <= whole; p += 8) {
      uint64_t eight = 0;
      for (uint32_t byte = 0; byte < 8; ++byte) eight |= uint64_t{flags[p + byte]} << byte;
      for (; eight != 0; eight &= eight - 1) want(p + std::countr_zero(eight));
    }
    for (; p < packed.panels; ++p)
      if (p >= whole || flags[p]) want(p);
  }
}

// The second pass of a panel: bounds of its items for up to kTile users; those not above a user's threshold join that user's list.
template <class S, uint32_t kTile>
HK_INLINE void list_items(const TopK& a, const PackedItems& packed, uint32_t panel, const uint32_t* users, uint32_t count, UserRange& range) {
  static_assert(kTile <= 32, "a bit per user");
  using F = typename S::F;
  constexpr uint32_t kF = S::kF, width = 2 * kF;
  const float* rows[kTile];
  float sqnorms[kTile], thresholds[kTile];
  for (uint32_t i = 0; i < kTile; ++i) {
    const uint32_t user = users[i < count ? i : 0];
    rows[i] = range.rows.data() + size_t{user} * a.dim, sqnorms[i] = range.sqnorms[user];
    thresholds[i] = i < count ? range.thresholds[user] : -std::numeric_limits<float>::infinity();
  }
  PanelBounds<S, kTile> sums;
  sums.set(packed, panel, a.dim, sqnorms, [&](uint32_t i, uint32_t k) __attribute__((always_inline)) { return rows[i][k]; });
  // The bounds leave the registers before anything branches on them: a compiler that sees the sums used in branches keeps them in memory.
  alignas(64) float bounds[kTile][width];
#pragma GCC unroll 12
  for (uint32_t i = 0; i < kTile; ++i) *reinterpret_cast<F*>(bounds[i]) = sums.low[i], *reinterpret_cast<F*>(bounds[i] + kF) = sums.high[i];
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
      Shortlist& list = range.lists[users[i]];
      list.lower[list.size] = bounds[i][at], list.items[list.size] = panel * width + at;
      full |= uint32_t{++list.size >= list.full} << i;
    }
  }
  for (; full != 0; full &= full - 1) weed<S>(a, packed, users[std::countr_zero(full)], range);
}

// Fills the lists of the range's users with all items that may be among the k nearest.
template <class S>
HK_INLINE void filter_items(const TopK& a, const PackedItems& packed, UserRange& range) {
  constexpr uint32_t kTile = kUserTile<S>;
  const size_t panel_bytes = size_t{a.dim} * packed.width * sizeof(float);
  const auto next_panel = [&](uint32_t panel) {
    return reinterpret_cast<const char*>(packed.rows) + std::min(panel + 1, packed.panels - 1) * panel_bytes;
  };
  // Pads of the last panel have no bounds, which the smallest would be lost in: everybody wants it. With fewer panels than k there is no threshold.
  uint32_t whole = a.item_count / packed.width;
  if (a.k > whole) whole = 0;
  for (uint32_t panel = 0; panel < whole; ++panel) {
    const size_t part = (panel_bytes * kTile / range.users + 63) / 64 * 64;  // of the next panel, asked for beside each tile
    size_t asked = 0;
    for (uint32_t in_range = 0; in_range < range.users; in_range += kTile) {
      for (const size_t until = std::min(panel_bytes, asked + part); asked < until; asked += 64) __builtin_prefetch(next_panel(panel) + asked);
      if (users_of_tile<S>(range.users - in_range) == kFewUsers) least_of_panel<S, kFewUsers>(a, packed, panel, in_range, range);
      else least_of_panel<S, kTile>(a, packed, panel, in_range, range);
    }
  }
  choose_panels<S>(a, packed, whole, range);
  for (uint32_t panel = 0; panel < packed.panels; ++panel) {
    prefetch_row(next_panel(panel), panel_bytes);
    uint32_t users[kUserRange], count = 0;
    for (uint32_t word = 0; word < UserRange::kWords; ++word)
      for (uint64_t bits = range.wanting[size_t{panel} * UserRange::kWords + word]; bits != 0; bits &= bits - 1)
        users[count++] = word * 64 + std::countr_zero(bits);
    for (uint32_t i = 0; i < count; i += kWantingUsers)
      if (count - i <= kFewUsers) list_items<S, kFewUsers>(a, packed, panel, users + i, count - i, range);
      else list_items<S, kWantingUsers>(a, packed, panel, users + i, std::min(kWantingUsers, count - i), range);
  }
}

}  // namespace hk
