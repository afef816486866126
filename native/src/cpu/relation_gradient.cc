// relation_gradient on the CPU: the same gather as entity_gradient over the relation groups of the batch. Relations are few and
// long, so nearly all of the work is in the chunks.
#include <vector>

#include "cpu_backend.h"
#include "rows.h"

namespace hk {
namespace {

template <class S>
HK_INLINE void gather(const RelationGradient& a, uint32_t begin, uint32_t end, double* row) {  // at most kMostChunk at once
  struct Match {
    const float* gradient;
    double weight;
  };
  Match matches[kMostChunk];  // found first, so that their rows are on their way when they are added
  uint32_t count = 0;
  for (uint32_t k = begin; k < end; ++k) {
    const uint32_t slot = a.head_slot[a.groups.items[k]];
    if (slot == kNone) continue;
    matches[count] = {a.relation_gradient + size_t{a.group_offsets[slot] + a.groups.positions[k]} * a.dim, a.weight[slot]};
    prefetch_row(matches[count++].gradient, a.dim * sizeof(float));
  }
  for (uint32_t k = 0; k < count; ++k) add_row<S>(row, matches[k].weight, matches[k].gradient, a.dim);
}

template <class S>
HK_INLINE void gather_chunks(const RelationGradient& a, uint64_t begin, uint64_t end) {
  for (uint64_t c = begin; c < end; ++c) {
    const uint32_t relation = a.groups.chunk_rows[c];
    double* row = a.partial + c * a.dim;
    for (uint32_t k = 0; k < a.dim; ++k) row[k] = 0;
    const uint32_t first = a.groups.offsets[relation] + (static_cast<uint32_t>(c) - a.groups.chunk_offsets[relation]) * a.groups.chunk;
    const uint32_t last = a.groups.offsets[relation + 1];
    gather<S>(a, first, first + a.groups.chunk < last ? first + a.groups.chunk : last, row);
  }
}

template <class S>
HK_INLINE void gather_rows(const RelationGradient& a, uint64_t begin, uint64_t end) {
  thread_local std::vector<double> scratch;
  const uint32_t dim = a.dim;
  if (scratch.size() < dim) scratch.resize(dim);
  double* row = scratch.data();
  for (uint64_t r = begin; r < end; ++r) {
    for (uint32_t k = 0; k < dim; ++k) row[k] = 0;
    const uint32_t chunk = a.groups.chunk_offsets[r], chunk_end = a.groups.chunk_offsets[r + 1];
    if (chunk == chunk_end) gather<S>(a, a.groups.offsets[r], a.groups.offsets[r + 1], row);
    for (uint32_t c = chunk; c < chunk_end; ++c) add_row<S>(row, 1.0, a.partial + size_t{c} * dim, dim);
    scale_row<S>(a.gradient + r * dim, 1.0, row, dim);
  }
}

HK_DISPATCH(chunks, gather_chunks, (const RelationGradient& a, uint64_t begin, uint64_t end), (a, begin, end))
HK_DISPATCH(rows, gather_rows, (const RelationGradient& a, uint64_t begin, uint64_t end), (a, begin, end))

}  // namespace

void CpuBackend::relation_gradient(const RelationGradient& a) {
  pool_.run(a.groups.chunks, 2, [&](uint64_t begin, uint64_t end, int) { chunks(a, begin, end); });
  pool_.run(a.groups.rows, 1, [&](uint64_t begin, uint64_t end, int) { rows(a, begin, end); });
}

}  // namespace hk
