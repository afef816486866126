// top_k on the CPU: a float32 matrix product bounds every key from below, and only items whose bound beats the user's k-th best are
// scored exactly, in float64 from differences. The answer is exact by construction; the filter only decides how fast it comes.
//
// For a fixed user the order of d(u, v) is that of the key ‖u−v‖²/A_v = B‖u‖² + B‖v‖² − 2u·(Bv), B = 1/A_v. In float32 its error is
// below η(B‖u‖² + B‖v‖²) with η = (dim + 16)·2⁻²³ (dot product of dim terms, twice the textbook bound), so
// (1 − η)(B‖u‖² + B‖v‖²) − 2u·(Bv), less what products below the smallest normal number can lose, never exceeds the true key.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "../ball.h"
#include "cpu_backend.h"
#include "rows.h"

namespace hk {
namespace {

constexpr uint32_t kUserTile = 6;       // users × two vectors of items: 12 accumulators
constexpr uint32_t kPanelBlock = 32;    // panels that stay in the second-level cache while all users of a range pass
constexpr uint32_t kUserRange = 192;

struct Candidate {
  double key;
  uint32_t item;
  bool operator<(const Candidate& o) const { return key < o.key || (key == o.key && item < o.item); }
};

struct PackedItems {
  uint32_t width = 0, panels = 0;     // items per panel
  std::vector<float> rows;            // [panels, dim, width] B·v
  std::vector<float> on_user, fixed;  // [panels · width] (1 − η)B and (1 − η)B‖v‖²; infinity pads
  std::vector<double> gap;            // [items]
};

template <class S>
HK_INLINE void pack_panels(const TopK& a, PackedItems& packed, uint64_t begin, uint64_t end) {
  const double keep = 1.0 - (a.dim + 16) * std::ldexp(1.0, -23);
  const double underflow = (a.dim + 16) * std::ldexp(1.0, -126);
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
      packed.on_user[item] = static_cast<float>(keep * b), packed.fixed[item] = static_cast<float>(keep * b * sqnorm - underflow);
      for (uint32_t k = 0; k < a.dim; ++k) out[size_t{k} * width] = static_cast<float>(b * v[k]);
    }
}

// The k best so far of one user: a heap with the worst on top.
struct Best {
  std::vector<Candidate> heap;
  float threshold = std::numeric_limits<float>::infinity();  // not below the k-th best key
};

template <class S>
HK_INLINE void consider(const TopK& a, const PackedItems& packed, uint32_t user, uint32_t item, Best& best) {
  if (a.exclude_offsets) {
    const uint32_t* first = a.exclude_items + a.exclude_offsets[user];
    const uint32_t* last = a.exclude_items + a.exclude_offsets[user + 1];
    if (std::binary_search(first, last, item)) return;
  }
  const double distance2 = sqdist<S>(a.users + size_t{user} * a.dim, a.items + size_t{item} * a.dim, a.dim);
  const Candidate candidate{distance2 / packed.gap[item], item};
  if (best.heap.size() == a.k) {
    if (!(candidate < best.heap.front())) return;
    std::pop_heap(best.heap.begin(), best.heap.end());
    best.heap.back() = candidate;
  } else {
    best.heap.push_back(candidate);
  }
  std::push_heap(best.heap.begin(), best.heap.end());
  if (best.heap.size() == a.k)
    best.threshold = std::nextafter(static_cast<float>(best.heap.front().key), std::numeric_limits<float>::infinity());
}

template <class S>
HK_INLINE void score_tile(const TopK& a, const PackedItems& packed, uint32_t user, uint32_t users, const float* sqnorms, uint32_t panel,
                          Best* best) {
  using F = typename S::F;
  constexpr uint32_t kF = S::kF;
  const uint32_t dim = a.dim, width = 2 * kF;
  const float* rows = packed.rows.data() + size_t{panel} * dim * width;
  const float* u[kUserTile];
  for (uint32_t i = 0; i < kUserTile; ++i) u[i] = a.users + size_t{user + (i < users ? i : 0)} * dim;
  F low[kUserTile] = {}, high[kUserTile] = {};
  for (uint32_t k = 0; k < dim; ++k, rows += width) {
    const F v0 = *reinterpret_cast<const F*>(rows), v1 = *reinterpret_cast<const F*>(rows + kF);
#pragma GCC unroll 6
    for (uint32_t i = 0; i < kUserTile; ++i) low[i] += v0 * u[i][k], high[i] += v1 * u[i][k];
  }
  const float* on_user = packed.on_user.data() + size_t{panel} * width;
  const float* fixed = packed.fixed.data() + size_t{panel} * width;
  const F on0 = *reinterpret_cast<const F*>(on_user), on1 = *reinterpret_cast<const F*>(on_user + kF);
  const F fixed0 = *reinterpret_cast<const F*>(fixed), fixed1 = *reinterpret_cast<const F*>(fixed + kF);
#pragma GCC unroll 6
  for (uint32_t i = 0; i < kUserTile; ++i) {
    if (i >= users) continue;
    const F bound0 = on0 * sqnorms[i] + fixed0 - 2.0f * low[i], bound1 = on1 * sqnorms[i] + fixed1 - 2.0f * high[i];
    const F threshold = F{} + best[i].threshold;
    const auto hit = (bound0 <= threshold) | (bound1 <= threshold);
    uint64_t words[kF / 2], any = 0;
    std::memcpy(words, &hit, sizeof(words));
    for (uint64_t word : words) any |= word;
    if (any == 0) continue;
    for (uint32_t lane = 0; lane < width; ++lane) {
      const float bound = lane < kF ? bound0[lane] : bound1[lane - kF];
      const uint32_t item = panel * width + lane;
      if (bound <= best[i].threshold && item < a.item_count) consider<S>(a, packed, user + i, item, best[i]);
    }
  }
}

template <class S>
HK_INLINE void rank_users(const TopK& a, const PackedItems& packed, uint64_t begin, uint64_t end) {
  for (uint64_t range = begin; range < end; range += kUserRange) {
    const uint32_t first = static_cast<uint32_t>(range), last = static_cast<uint32_t>(std::min<uint64_t>(range + kUserRange, end));
    std::vector<Best> best(last - first);
    std::vector<float> sqnorms(last - first);
    for (uint32_t i = 0; i < last - first; ++i) {
      const float* u = a.users + size_t{first + i} * a.dim;
      sqnorms[i] = static_cast<float>(dot<S>(u, u, a.dim));
      best[i].heap.reserve(std::min(a.k, a.item_count));
    }
    for (uint32_t block = 0; block < packed.panels; block += kPanelBlock)
      for (uint32_t user = first; user < last; user += kUserTile)
        for (uint32_t panel = block; panel < std::min(block + kPanelBlock, packed.panels); ++panel)
          score_tile<S>(a, packed, user, std::min(kUserTile, last - user), sqnorms.data() + (user - first), panel,
                        best.data() + (user - first));
    for (uint32_t user = first; user < last; ++user) {
      std::vector<Candidate>& heap = best[user - first].heap;
      std::sort_heap(heap.begin(), heap.end());
      const float* u = a.users + size_t{user} * a.dim;
      const double u_gap = 1.0 - a.curvature * dot<S>(u, u, a.dim);
      for (uint32_t rank = 0; rank < a.k; ++rank) {
        const size_t out = size_t{user} * a.k + rank;
        if (rank < heap.size()) {
          const Candidate& c = heap[rank];
          const double gap = packed.gap[c.item];
          a.out_items[out] = c.item;
          a.out_distances[out] = static_cast<float>(a.scale * poincare_distance(c.key * gap, u_gap, gap, a.curvature));
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

HK_DISPATCH(width_of, panel_width, (uint32_t& width), (width))
HK_DISPATCH(pack, pack_panels, (const TopK& a, PackedItems& packed, uint64_t begin, uint64_t end), (a, packed, begin, end))
HK_DISPATCH(rank, rank_users, (const TopK& a, const PackedItems& packed, uint64_t begin, uint64_t end), (a, packed, begin, end))

}  // namespace

void CpuBackend::top_k(const TopK& a) {
  if (a.user_count == 0 || a.k == 0) return;
  PackedItems packed;
  width_of(packed.width);
  packed.panels = (a.item_count + packed.width - 1) / packed.width;
  packed.rows.resize(size_t{packed.panels} * packed.width * a.dim);
  packed.on_user.resize(size_t{packed.panels} * packed.width);
  packed.fixed.resize(size_t{packed.panels} * packed.width);
  packed.gap.resize(a.item_count);
  pool_.run(packed.panels, 64, [&](uint64_t begin, uint64_t end, int) { pack(a, packed, begin, end); });
  const uint64_t grain = std::min<uint64_t>(kUserRange, (a.user_count + 2 * pool_.threads() - 1) / (2 * pool_.threads()));
  pool_.run(a.user_count, grain, [&](uint64_t begin, uint64_t end, int) { rank(a, packed, begin, end); });
}

}  // namespace hk
