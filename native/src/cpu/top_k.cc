// top_k on the CPU: a float32 matrix product bounds every key from below and above (top_k_filter.h). Items that may be among a user's k nearest,
// hardly more than k, are scored in float64 from differences. The answer is exact by construction; the filter only decides how fast it comes.
#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <vector>

#include "../ball.h"
#include "cpu_backend.h"
#include "top_k_filter.h"

namespace hk {
namespace {

template <class S>
HK_INLINE void pack_panels(const TopK& a, PackedItems& packed, uint64_t begin, uint64_t end) {
  const double keep = 1.0 - (a.dim + 16) * std::ldexp(1.0, -23);
  const double underflow = (a.dim + 16) * std::ldexp(1.0, -126), unit = to_unit(a);
  const uint32_t width = packed.width;
  for (uint64_t panel = begin; panel < end; ++panel) {
    float most_on_user = 0, most_fixed = -std::numeric_limits<float>::infinity();
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
      most_on_user = std::max(most_on_user, packed.on_user[item]), most_fixed = std::max(most_fixed, packed.fixed[item]);
      for (uint32_t k = 0; k < a.dim; ++k) out[size_t{k} * width] = static_cast<float>(-2 * b * (unit * v[k]));
    }
    packed.most_on_user[panel] = most_on_user, packed.most_fixed[panel] = most_fixed;
  }
}

// Scores in float64, of one user.
struct Scores {
  std::vector<double> keys, ranks;     // [items of the list]
  std::vector<uint32_t> order;         // [items of the list]
  std::vector<double> gaps, distances;  // [k], a whole number of vectors

  template <class T>
  static void grow(std::vector<T>& values, size_t size) {
    if (values.size() < size) values.resize(size);
  }
  void grow_to(uint32_t list, uint32_t k) {
    grow(keys, list), grow(ranks, list), grow(order, list), grow(gaps, size_t{k} + 7), grow(distances, size_t{k} + 7);
  }
};

// scores.order[r] = place in the list of the r-th nearest, r < found. Items ascend in the list: of those at one distance the first goes first.
HK_INLINE void rank_places(uint32_t size, uint32_t found, Scores& scores) {
  const double* const keys = scores.keys.data();
  uint32_t* const order = scores.order.data();
  if (size > kCounted) {
    for (uint32_t at = 0; at < size; ++at) order[at] = at;
    std::partial_sort(order, order + found, order + size,
                      [&](uint32_t x, uint32_t y) { return keys[x] < keys[y] || (keys[x] == keys[y] && x < y); });
    return;
  }
  double* const ranks = scores.ranks.data();
  std::fill_n(ranks, size, 0.0);
  for (uint32_t i = 0; i < size; ++i) {  // each pair once: the later one is behind, or else the earlier
    const double key = keys[i];
    double behind = 0;
    HK_LANES
    for (uint32_t j = i + 1; j < size; ++j) ranks[j] += key <= keys[j] ? 1.0 : 0.0;
    HK_LANES
    for (uint32_t j = i + 1; j < size; ++j) behind += key <= keys[j] ? 0.0 : 1.0;
    ranks[i] += behind;
  }
  for (uint32_t at = 0; at < size; ++at)
    if (const uint32_t rank = static_cast<uint32_t>(ranks[at]); rank < found) order[rank] = at;
}

// The user's row of the answer, from the items of the list.
template <class S>
HK_INLINE void answer(const TopK& a, const PackedItems& packed, uint32_t user, const Shortlist& list, Scores& scores) {
  const uint32_t found = std::min(a.k, list.size), padded = (found + 7) / 8 * 8;
  const float* const u = a.users + size_t{user} * a.dim;
  uint32_t* const items = a.out_items + size_t{user} * a.k;
  float* const distances = a.out_distances + size_t{user} * a.k;
  scores.grow_to(list.size, a.k);
  for (uint32_t at = 0; at < list.size; ++at)
    scores.keys[at] = sqdist<S>(u, a.items + size_t{list.items[at]} * a.dim, a.dim) / packed.gap[list.items[at]];
  rank_places(list.size, found, scores);
  double *const d = scores.distances.data(), *const gaps = scores.gaps.data();
  for (uint32_t rank = 0; rank < found; ++rank) {
    const uint32_t at = scores.order[rank];
    items[rank] = list.items[at], gaps[rank] = packed.gap[list.items[at]], d[rank] = scores.keys[at] * gaps[rank];
  }
  std::fill(d + found, d + padded, 0.0), std::fill(gaps + found, gaps + padded, 1.0);
  const double u_gap = 1.0 - a.curvature * dot<S>(u, u, a.dim), root_c = std::sqrt(a.curvature);
  for_lanes(padded, [&](uint32_t rank) { d[rank] = poincare_root(d[rank], u_gap, gaps[rank]); });
  if (a.curvature > 0) for_lanes(padded, [&](uint32_t rank) { d[rank] = asinh_positive(root_c * d[rank]) / root_c; });
  for (uint32_t rank = 0; rank < found; ++rank) distances[rank] = static_cast<float>(a.scale * (2.0 * d[rank]));
  std::fill(items + found, items + a.k, kNone), std::fill(distances + found, distances + a.k, std::numeric_limits<float>::infinity());
}

// Asks for the rows of the list's items.
HK_INLINE void prefetch_items(const TopK& a, const Shortlist& list) {
  for (uint32_t at = 0; at < list.size; ++at) prefetch_floats(a.items + size_t{list.items[at]} * a.dim, a.dim);
}

template <class S>
HK_INLINE void rank_users(const TopK& a, const PackedItems& packed, uint64_t begin, uint64_t end) {
  thread_local UserRange range;
  thread_local Scores scores;
  const uint64_t tiles = std::clamp<uint64_t>(kMinima / std::max(1u, packed.panels) / kUserTile<S>, 1, kUserRange / kUserTile<S>);
  for (uint64_t first = begin; first < end; first += tiles * kUserTile<S>) {
    range.take<S>(a, packed, static_cast<uint32_t>(first), static_cast<uint32_t>(std::min(tiles * kUserTile<S>, end - first)));
    if (packed.panels > 0) filter_items<S>(a, packed, range);
    for (uint32_t i = 0; i < range.users; ++i) {
      weed<S>(a, packed, i, range);
      if (i + 1 < range.users) prefetch_items(a, range.lists[i + 1]);
      answer<S>(a, packed, range.first + i, range.lists[i], scores);
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
  packed->on_user.resize(size_t{packed->panels} * packed->width), packed->fixed.resize(size_t{packed->panels} * packed->width);
  packed->most_on_user.resize(packed->panels), packed->most_fixed.resize(packed->panels);
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
