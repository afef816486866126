// neighborhood on the CPU: blocks of a few heads over threads. Passes over rows alternate with passes over scalars: the former are vectors
// along the coordinates, four rows at once, the latter vectors along the triples, the relation groups or the heads of the block. One
// head alone is a long chain of operations that wait for each other; in a block, heads overlap. Passes over the rows of triples and groups are
// made in float32 where heads are tame and the caller takes that (tame_head.h), and so are those over the scalars of triples; what belongs to groups
// and heads is scalar float64 always. Heads that are not tame, or turn out not to be, are put aside and worked on in float64 at the end of a range.
#include <algorithm>

#include "cpu_backend.h"
#include "neighborhood_backward.h"
#include "neighborhood_forward.h"

namespace hk {
namespace {

using Block = NeighborhoodBlock;

// Puts the triples and groups of the block's heads in place.
template <class T>
HK_INLINE void lay_out(const Neighborhood& a, Block& b) {
  BlockHeads& heads = b.heads;
  uint32_t places = 0, group_count = 0;
  for (uint32_t h = 0; h < heads.count; ++h) {
    const uint32_t begin = a.graph.offsets[heads.id[h]], degree = heads.degree[h];
    const uint32_t* relations = a.graph.relations + begin;
    heads.first[h] = places, heads.first_group[h] = group_count;
    places += (degree + 3) / 4 * 4;
    if (a.attention)
      for (uint32_t t = 0; t < degree; ++t) group_count += t == 0 || relations[t] != relations[t - 1];
  }
  heads.first[heads.count] = places, heads.first_group[heads.count] = group_count;
  b.shape<T>(places, group_count, a.dim);

  const BlockTriples<T>& q = b.triples<T>();
  const BlockGroups& p = b.groups;
  for (uint32_t h = 0; h < heads.count; ++h) {
    const uint32_t begin = a.graph.offsets[heads.id[h]], degree = heads.degree[h], first = heads.first[h];
    const uint32_t *tails = a.graph.tails + begin, *relations = a.graph.relations + begin;
    heads.v[h] = a.entities + size_t{heads.id[h]} * a.dim, heads.v_gap[h] = a.entity_gap[heads.id[h]];
    for (uint32_t t = 0; t < degree; ++t)
      q.tail[first + t] = a.entities + size_t{tails[t]} * a.dim, q.gap[first + t] = static_cast<T>(a.entity_gap[tails[t]]);
    if (a.attention) {
      uint32_t g = heads.first_group[h];
      for (uint32_t t = 0; t < degree; ++g) {
        const uint32_t relation = relations[t];
        p.begin[g] = first + t;
        for (; t < degree && relations[t] == relation; ++t) q.group[first + t] = g;
        p.end[g] = first + t, p.v[g] = heads.v[h], p.v_gap[g] = heads.v_gap[h], p.relation[g] = relation;
        p.r[g] = a.relations + size_t{relation} * a.dim, p.r_gap[g] = a.relation_gap[relation];
      }
    }
    for (uint32_t t = first + degree; t < heads.first[h + 1]; ++t)
      q.tail[t] = q.tail[first], q.gap[t] = q.gap[first], q.group[t] = a.attention ? q.group[first] : 0;
  }
  std::fill(q.gap + places, q.gap + q.padded, T{1}), std::fill(q.x_gap + places, q.x_gap + q.padded, T{1});
  std::fill(q.o_gap + places, q.o_gap + q.padded, T{1});
  for (T* array : {q.sqdist, q.past, q.weight, q.delta_sqnorm, q.delta_dot_g, q.o_dot_g, q.framed_g_m0, q.g_m0})
    std::fill(array + places, array + q.padded, T{0});
  for (double* array : {p.v_gap, p.r_gap, p.sum_sqnorm}) std::fill(array + p.count, array + p.padded, 1.0);
  for (double* array : {p.dot_v, p.dot_r, p.radial}) std::fill(array + p.count, array + p.padded, 0.0);
}

template <class P>
HK_INLINE void work_on(const Neighborhood& a, Block& b) {
  using Row = typename P::Row;
  const double scale = *a.scale;
  lay_out<Row>(a, b);
  forward<P>(a, scale, b);
  if (a.tape.head_gradient != nullptr) backward<P>(a, scale, b), write_tape<Row>(a, b);
}

void lonely_head(const Neighborhood& a, uint32_t i, const float* v) {  // without a triple
  a.distance[i] = 0;
  if (a.midpoint) std::copy_n(v, a.dim, a.midpoint + size_t{i} * a.dim);
  if (a.tape.head_gradient == nullptr) return;
  std::fill_n(a.tape.head_gradient + size_t{i} * a.dim, a.dim, 0.0);
  std::fill_n(a.tape.midpoint_gradient + size_t{i} * a.dim, a.dim, 0.0);
  a.tape.scale_gradient[i] = 0;
  if (a.tape.tame) a.tape.tame[i] = 0;
}

// Takes the heads that next() gives, places among a.heads, into the block until it is full or there is none (kNone).
template <class Next>
HK_INLINE void take_heads(const Neighborhood& a, Block& b, const Next& next) {
  BlockHeads& heads = b.heads;
  heads.count = 0;
  for (uint32_t triples = 0; heads.count < kBlockHeads && triples < kBlockTriples;) {
    const uint32_t i = next();
    if (i == kNone) return;
    const uint32_t id = a.heads[i], degree = a.graph.offsets[id + 1] - a.graph.offsets[id];
    heads.index[heads.count] = i, heads.id[heads.count] = id, heads.degree[heads.count] = degree, heads.tame[heads.count] = true;
    ++heads.count, triples += degree;
  }
}

// Asks for what the next block needs first: the rows of its tails and their gaps. And for the lists of triples of the heads after those,
// through which these are found.
HK_INLINE void prefetch_heads(const Neighborhood& a, uint64_t i, uint64_t end) {
  constexpr uint32_t kHeadsAhead = 8, kLine = 64 / sizeof(uint32_t);
  for (uint32_t heads = 0, triples = 0; i < end && heads < kBlockHeads && triples < kBlockTriples; ++i, ++heads) {
    if (i + 2 * kHeadsAhead < end) __builtin_prefetch(a.graph.offsets + a.heads[i + 2 * kHeadsAhead]);
    if (i + kHeadsAhead < end) {
      const uint32_t later = a.heads[i + kHeadsAhead];
      for (uint32_t t = a.graph.offsets[later]; t < a.graph.offsets[later + 1]; t += kLine)
        __builtin_prefetch(a.graph.tails + t), __builtin_prefetch(a.graph.relations + t);
    }
    const uint32_t begin = a.graph.offsets[a.heads[i]], tails_end = a.graph.offsets[a.heads[i] + 1];
    prefetch_floats(a.entities + size_t{a.heads[i]} * a.dim, a.dim), __builtin_prefetch(a.entity_gap + a.heads[i]);
    for (uint32_t t = begin; t < tails_end; ++t, ++triples) {
      if (triples < kTriplesAhead) prefetch_floats(a.entities + size_t{a.graph.tails[t]} * a.dim, a.dim);
      __builtin_prefetch(a.entity_gap + a.graph.tails[t]);
    }
  }
}

// relation_sums: of this range, or null.
template <class S>
HK_INLINE void neighborhood_range(const Neighborhood& a, double* relation_sums, uint64_t begin, uint64_t end) {
  thread_local Block block;
  thread_local std::vector<uint32_t> aside;  // heads to be worked on in float64
  block.relation_sums = relation_sums;
  aside.clear();
  const bool takes_floats = a.tape.tame != nullptr && *a.scale / a.temperature <= kTameSharpness;
  uint64_t i = begin;
  const auto next = [&] {  // the next head with triples; in float32, that may be tame
    for (; i < end; ++i) {
      const uint32_t head = static_cast<uint32_t>(i), id = a.heads[i];
      if (a.graph.offsets[id] == a.graph.offsets[id + 1])
        lonely_head(a, head, a.entities + size_t{id} * a.dim);
      else if (takes_floats && !may_be_tame(a, id))
        aside.push_back(head);
      else
        return ++i, head;
    }
    return kNone;
  };
  while (i < end) {
    take_heads(a, block, next);
    prefetch_heads(a, i, end);
    if (block.heads.count == 0) continue;
    if (!takes_floats) {
      work_on<InDouble<S>>(a, block);
      continue;
    }
    work_on<InSingle<S>>(a, block);
    for (uint32_t h = 0; h < block.heads.count; ++h)
      if (!block.heads.tame[h]) aside.push_back(block.heads.index[h]);
  }
  for (size_t done = 0; done < aside.size();) {
    take_heads(a, block, [&] { return done < aside.size() ? aside[done++] : kNone; });
    work_on<InDouble<S>>(a, block);
  }
}
HK_DISPATCH(heads, neighborhood_range, (const Neighborhood& a, double* relation_sums, uint64_t begin, uint64_t end),
            (a, relation_sums, begin, end))

}  // namespace

void CpuBackend::neighborhood(const Neighborhood& a) {
  // Ranges do not depend on the threads: which heads are in a block says whether it is tame.
  const uint64_t count = *a.head_count;
  if (a.sums.rows == nullptr) {  // no gradients, or none of relations
    constexpr uint64_t kRange = 8 * kBlockHeads;
    return pool_.run((count + kRange - 1) / kRange, 1, [&](uint64_t begin, uint64_t end, int) {
      for (uint64_t range = begin; range < end; ++range) heads(a, nullptr, range * kRange, std::min(count, (range + 1) * kRange));
    });
  }
  pool_.run(a.sums.count, 1, [&](uint64_t begin, uint64_t end, int) {
    for (uint64_t sum = begin; sum < end; ++sum) {
      const size_t size = size_t{a.sums.relations} * a.dim;
      double* const rows = a.sums.rows + sum * size;
      std::fill_n(rows, size, 0.0);
      heads(a, rows, count * sum / a.sums.count, count * (sum + 1) / a.sums.count);
    }
  });
}

}  // namespace hk
