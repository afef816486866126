// entity_gradient on the CPU: an entity-major gather. Each touched entity walks its incidences, skips those whose item is not a
// head of the batch and adds the others in order; chunks of hubs are summed first, each by one thread.
#include <vector>

#include "cpu_backend.h"
#include "rows.h"

namespace hk {
namespace {

// row += Σ over the incidences [begin, end) of weight·(on_midpoint·g_M + on_head·v + on_relation·r + on_tail·t)
template <class S>
HK_INLINE void gather(const EntityGradient& a, uint32_t entity, uint32_t begin, uint32_t end, double* row) {
  const uint32_t dim = a.dim;
  double on_tail = 0;
  for (uint32_t k = begin; k < end; ++k) {
    const uint32_t item = a.in_edges.items[k], slot = a.head_slot[item];
    if (slot == kNone) continue;
    const uint32_t position = a.in_edges.positions[k];
    const TripleGradient& g = a.tape.triples[a.triple_offsets[slot] + position];
    const double weight = a.weight[slot];
    on_tail += weight * g.on_tail;
    const double* g_m = a.tape.midpoint_gradient + size_t{slot} * dim;
    const float* v = a.entities + size_t{item} * dim;
    if (a.relations) {
      const float* r = a.relations + size_t{a.graph.relations[a.graph.offsets[item] + position]} * dim;
      add_rows<S>(row, weight * g.on_midpoint, g_m, weight * g.on_head, v, weight * g.on_relation, r, dim);
    } else {
      add_rows<S>(row, weight * g.on_midpoint, g_m, weight * g.on_head, v, dim);
    }
  }
  add_row<S>(row, on_tail, a.entities + size_t{entity} * dim, dim);
}

template <class S>
HK_INLINE void gather_chunks(const EntityGradient& a, uint64_t begin, uint64_t end) {
  for (uint64_t c = begin; c < end; ++c) {
    const uint32_t entity = a.in_edges.chunk_rows[c];
    if (a.row_slot[entity] == kNone) continue;
    double* row = a.partial + c * a.dim;
    for (uint32_t k = 0; k < a.dim; ++k) row[k] = 0;
    const uint32_t first = a.in_edges.offsets[entity] + (static_cast<uint32_t>(c) - a.in_edges.chunk_offsets[entity]) * kChunk;
    const uint32_t last = a.in_edges.offsets[entity + 1];
    gather<S>(a, entity, first, first + kChunk < last ? first + kChunk : last, row);
  }
}

template <class S>
HK_INLINE void gather_rows(const EntityGradient& a, uint64_t begin, uint64_t end) {
  thread_local std::vector<double> scratch;
  const uint32_t dim = a.dim;
  if (scratch.size() < dim) scratch.resize(dim);
  double* row = scratch.data();
  for (uint64_t i = begin; i < end; ++i) {
    const uint32_t entity = a.rows[i];
    for (uint32_t k = 0; k < dim; ++k) row[k] = 0;
    const uint32_t chunk = a.in_edges.chunk_offsets[entity], chunk_end = a.in_edges.chunk_offsets[entity + 1];
    if (chunk == chunk_end) gather<S>(a, entity, a.in_edges.offsets[entity], a.in_edges.offsets[entity + 1], row);
    for (uint32_t c = chunk; c < chunk_end; ++c) add_row<S>(row, 1.0, a.partial + size_t{c} * dim, dim);
    if (entity < a.items) {
      const uint32_t head = a.head_slot[entity];
      if (head != kNone) add_row<S>(row, a.weight[head], a.tape.head_gradient + size_t{head} * dim, dim);
      const uint32_t item = a.item_slot ? a.item_slot[entity] : kNone;
      if (item != kNone) add_row<S>(row, 1.0, a.item_gradient + size_t{item} * dim, dim);
    }
    scale_row<S>(a.gradient + i * dim, 1.0, row, dim);
  }
}

HK_DISPATCH(chunks, gather_chunks, (const EntityGradient& a, uint64_t begin, uint64_t end), (a, begin, end))
HK_DISPATCH(rows, gather_rows, (const EntityGradient& a, uint64_t begin, uint64_t end), (a, begin, end))

}  // namespace

void CpuBackend::entity_gradient(const EntityGradient& a) {
  pool_.run(a.in_edges.chunks, 4, [&](uint64_t begin, uint64_t end, int) { chunks(a, begin, end); });
  pool_.run(*a.row_count, 64, [&](uint64_t begin, uint64_t end, int) { rows(a, begin, end); });
}

}  // namespace hk
