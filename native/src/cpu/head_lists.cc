// head_lists on the CPU: two running sums on one thread; then a counting sort of the triples by their tails, whose counts say as well which entities
// are tails. The heads are shared out in order, and each part has counts of its own: the sort is stable for any number of them.
#include <algorithm>
#include <numeric>
#include <utility>

#include "cpu_backend.h"

namespace hk {
namespace {

constexpr uint32_t kMostParts = 16;  // each has a count per entity

// Calls body(triple of the batch, place in the graph, slot) of every triple of the heads in [begin, end).
template <class Body>
void for_triples(const HeadLists& a, uint32_t begin, uint32_t end, const Body& body) {
  uint32_t triple = a.triple_offsets[begin];
  for (uint32_t slot = begin; slot < end; ++slot)
    for (uint32_t t = a.graph.offsets[a.heads[slot]]; t < a.graph.offsets[a.heads[slot] + 1]; ++t, ++triple) body(triple, t, slot);
}

}  // namespace

void CpuBackend::head_lists(const HeadLists& a) {
  uint32_t triples = 0, groups = 0;
  const uint32_t heads = *a.head_count;
  for (uint32_t i = 0; i < heads; ++i) {
    const uint32_t head = a.heads[i];
    a.triple_offsets[i] = triples, a.group_offsets[i] = groups;
    triples += a.graph.offsets[head + 1] - a.graph.offsets[head], groups += a.group_counts[head];
  }
  a.triple_offsets[heads] = triples, a.group_offsets[heads] = groups;

  const uint32_t parts = std::min(static_cast<uint32_t>(pool_.threads()), kMostParts);
  const auto head_of = [&](uint64_t part) {
    const uint32_t first = static_cast<uint32_t>(uint64_t{triples} * part / parts);
    return part == parts ? heads : static_cast<uint32_t>(std::lower_bound(a.triple_offsets, a.triple_offsets + heads, first) - a.triple_offsets);
  };
  const auto entity_of = [&](uint64_t part) { return uint64_t{a.entities} * part / parts; };
  if (tail_counts_.size() < size_t{parts} * a.entities) tail_counts_.resize(size_t{parts} * a.entities);
  if (tail_totals_.size() < parts) tail_totals_.resize(parts);
  const auto counts_of = [&](uint64_t part) { return tail_counts_.data() + part * a.entities; };

  pool_.run(parts, 1, [&](uint64_t part, uint64_t, int) {
    uint32_t* const counts = counts_of(part);
    std::fill_n(counts, a.entities, 0u);
    for_triples(a, head_of(part), head_of(part + 1), [&](uint32_t, uint32_t t, uint32_t) { ++counts[a.graph.tails[t]]; });
  });
  pool_.run(parts, 1, [&](uint64_t part, uint64_t, int) {
    uint32_t total = 0;
    for (uint32_t p = 0; p < parts; ++p) total = std::accumulate(counts_of(p) + entity_of(part), counts_of(p) + entity_of(part + 1), total);
    tail_totals_[part] = total;
  });
  std::exclusive_scan(tail_totals_.begin(), tail_totals_.begin() + parts, tail_totals_.begin(), 0u);
  pool_.run(parts, 1, [&](uint64_t part, uint64_t, int) {
    uint32_t before = tail_totals_[part];
    for (uint64_t entity = entity_of(part); entity < entity_of(part + 1); ++entity) {
      a.order.offsets[entity] = before;
      for (uint32_t p = 0; p < parts; ++p) before += std::exchange(counts_of(p)[entity], before);
      if (a.marks && before > a.order.offsets[entity]) a.marks[entity] = 1;
    }
  });
  a.order.offsets[a.entities] = triples;
  pool_.run(parts, 1, [&](uint64_t part, uint64_t, int) {
    // Entries are written some time after their places are known, when these are on their way to the cache.
    constexpr uint32_t kPending = 64;
    std::pair<uint32_t, TailEntry> pending[kPending];
    uint32_t waiting = 0;
    const auto write = [&] {
      for (uint32_t i = 0; i < waiting; ++i) a.order.entries[pending[i].first] = pending[i].second;
      waiting = 0;
    };
    uint32_t* const next = counts_of(part);
    for_triples(a, head_of(part), head_of(part + 1), [&](uint32_t triple, uint32_t t, uint32_t slot) {
      const uint32_t place = next[a.graph.tails[t]]++;
      a.order.places[triple] = place, pending[waiting++] = {place, {slot, a.graph.relations[t]}};
      __builtin_prefetch(a.order.entries + place, 1);
      if (waiting == kPending) write();
    });
    write();
  });
}

}  // namespace hk
