// entity_gradient on the CPU: an entity-major gather. Each touched entity walks its incidences, skips those whose item is not a
// head of the batch and adds the others in order; chunks of hubs are summed first, each by one thread. The walk of a block of rows
// comes before its sums, so that the rows to be added are already on their way from memory.
#include <algorithm>
#include <vector>

#include "cpu_backend.h"
#include "rows.h"

namespace hk {
namespace {

constexpr uint32_t kBlock = 16;  // rows walked before they are summed

// A triple of the batch whose tail is the entity at hand.
struct Match {
  uint32_t item, slot, triple;
};

struct Workspace {
  std::vector<Match> matches;
  std::vector<double> row;
};

// Appends the matches among the incidences [begin, end) and asks for their rows.
HK_INLINE void find_matches(const EntityGradient& a, uint32_t begin, uint32_t end, std::vector<Match>& matches) {
  for (uint32_t k = begin; k < end; ++k) {
    const uint32_t item = a.in_edges.items[k], slot = a.head_slot[item];
    if (slot == kNone) continue;
    matches.push_back({item, slot, a.in_edges.positions[k]});
    __builtin_prefetch(a.tape.triples + a.triple_offsets[slot] + a.in_edges.positions[k]);
    prefetch_row(a.tape.midpoint_gradient + size_t{slot} * a.dim, a.dim * sizeof(double));
    prefetch_row(a.entities + size_t{item} * a.dim, a.dim * sizeof(float));
  }
}

// row = Σ weight·(on_midpoint·g_M + on_head·v + on_relation·r), untouched where there is no match. Returns Σ weight·on_tail, the factor
// of the entity's own row.
template <class S>
HK_INLINE double add_matches(const EntityGradient& a, const Match* matches, size_t count, double* row) {
  const uint32_t dim = a.dim;
  double on_tail = 0;
  for (size_t k = 0; k < count; ++k) {
    const auto [item, slot, position] = matches[k];
    const TripleGradient& g = a.tape.triples[a.triple_offsets[slot] + position];
    const double weight = a.weight[slot];
    on_tail += weight * g.on_tail;
    const double* g_m = a.tape.midpoint_gradient + size_t{slot} * dim;
    const float* v = a.entities + size_t{item} * dim;
    if (a.relations) {
      const float* r = a.relations + size_t{a.graph.relations[a.graph.offsets[item] + position]} * dim;
      if (k == 0) combine_rows<S>(row, weight * g.on_midpoint, g_m, weight * g.on_head, v, weight * g.on_relation, r, dim);
      else add_rows<S>(row, weight * g.on_midpoint, g_m, weight * g.on_head, v, weight * g.on_relation, r, dim);
    } else {
      if (k == 0) combine_rows<S>(row, weight * g.on_midpoint, g_m, weight * g.on_head, v, dim);
      else add_rows<S>(row, weight * g.on_midpoint, g_m, weight * g.on_head, v, dim);
    }
  }
  return on_tail;
}

template <class S>
HK_INLINE void gather_chunks(const EntityGradient& a, uint64_t begin, uint64_t end) {
  thread_local Workspace w;
  for (uint64_t c = begin; c < end; ++c) {
    const uint32_t entity = a.in_edges.chunk_rows[c];
    if (a.row_slot[entity] == kNone) continue;
    double* row = a.partial + c * a.dim;
    const uint32_t first = a.in_edges.offsets[entity] + (static_cast<uint32_t>(c) - a.in_edges.chunk_offsets[entity]) * kChunk;
    w.matches.clear();
    find_matches(a, first, std::min(first + kChunk, a.in_edges.offsets[entity + 1]), w.matches);
    if (w.matches.empty()) std::fill_n(row, a.dim, 0.0);
    const double on_tail = add_matches<S>(a, w.matches.data(), w.matches.size(), row);
    add_row<S>(row, on_tail, a.entities + size_t{entity} * a.dim, a.dim);
  }
}

template <class S>
HK_INLINE void gather_rows(const EntityGradient& a, uint64_t begin, uint64_t end) {
  thread_local Workspace w;
  const uint32_t dim = a.dim;
  if (w.row.size() < dim) w.row.resize(dim);
  double* row = w.row.data();
  for (uint64_t block = begin; block < end; block += kBlock) {
    const uint64_t block_end = std::min<uint64_t>(block + kBlock, end);
    size_t ends[kBlock];
    w.matches.clear();
    for (uint64_t i = block; i < block_end; ++i) {
      const uint32_t entity = a.rows[i];
      if (a.in_edges.chunk_offsets[entity] == a.in_edges.chunk_offsets[entity + 1])
        find_matches(a, a.in_edges.offsets[entity], a.in_edges.offsets[entity + 1], w.matches);
      ends[i - block] = w.matches.size();
      prefetch_row(a.entities + size_t{entity} * dim, dim * sizeof(float));
    }
    for (uint64_t i = block; i < block_end; ++i) {
      const uint32_t entity = a.rows[i];
      const size_t first = i == block ? 0 : ends[i - block - 1];
      const size_t count = ends[i - block] - first;
      if (count == 0) std::fill_n(row, dim, 0.0);
      const double on_tail = add_matches<S>(a, w.matches.data() + first, count, row);
      for (uint32_t c = a.in_edges.chunk_offsets[entity]; c < a.in_edges.chunk_offsets[entity + 1]; ++c)
        add_row<S>(row, 1.0, a.partial + size_t{c} * dim, dim);
      if (entity < a.items) {
        const uint32_t head = a.head_slot[entity];
        if (head != kNone) add_row<S>(row, a.weight[head], a.tape.head_gradient + size_t{head} * dim, dim);
        const uint32_t item = a.item_slot ? a.item_slot[entity] : kNone;
        if (item != kNone) add_row<S>(row, 1.0, a.item_gradient + size_t{item} * dim, dim);
      }
      combine_rows<S>(a.gradient + i * dim, 1.0, row, on_tail, a.entities + size_t{entity} * dim, dim);
    }
  }
}

HK_DISPATCH(chunks, gather_chunks, (const EntityGradient& a, uint64_t begin, uint64_t end), (a, begin, end))
HK_DISPATCH(rows, gather_rows, (const EntityGradient& a, uint64_t begin, uint64_t end), (a, begin, end))

}  // namespace

void CpuBackend::entity_gradient(const EntityGradient& a) {
  pool_.run(a.in_edges.chunks, 4, [&](uint64_t begin, uint64_t end, int) { chunks(a, begin, end); });
  pool_.run(*a.row_count, 256, [&](uint64_t begin, uint64_t end, int) { rows(a, begin, end); });
}

}  // namespace hk
