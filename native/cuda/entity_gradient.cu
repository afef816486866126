// entity_gradient on the GPU: an entity-major gather. A warp takes one touched row and tests its incidences 32 at a time, one per lane;
// those whose item is a head of the batch are broadcast and added in order, columns in registers. Chunks of hubs go first, a warp each.
//   launch   two kernels, blocks of (32, 8), grid-stride: over all chunks, then for `capacity` rows
//   traffic  4 bytes per incidence of a touched row; 48 bytes and two or three rows per triple of the batch; one row out per row
//   sync     a warp takes and leaves a row whole
//   order    incidences as listed, then the entity's own terms; chunks by number
#include "cuda_backend.h"
#include "warp.cuh"

namespace hk {
namespace {

// sum += Σ over the incidences [begin, end) of weight·(on_midpoint·g_M + on_head·v + on_relation·r + on_tail·t)
template <class Dim>
__device__ void gather(const EntityGradient& a, uint32_t entity, uint32_t begin, uint32_t end, uint32_t base, Columns<Dim>& sum) {
  const Dim dim(a.dim);
  double on_tail = 0;
  for (uint32_t first = begin; first < end; first += kWarp) {
    const uint32_t k = first + lane_id();
    uint32_t item = 0, slot = kNone, relation = 0;
    double on_midpoint = 0, on_head = 0, on_relation = 0;
    if (k < end) item = a.in_edges.items[k], slot = a.head_slot[item];
    if (slot != kNone) {
      const uint32_t position = a.in_edges.positions[k];
      const TripleGradient g = a.tape.triples[a.triple_offsets[slot] + position];
      const double weight = a.weight[slot];
      on_midpoint = weight * g.on_midpoint, on_head = weight * g.on_head, on_relation = weight * g.on_relation,
      on_tail += weight * g.on_tail;
      if (a.relations) relation = a.in_edges.relations[k];
    }
    for (uint32_t hits = __ballot_sync(kAllLanes, slot != kNone); hits != 0; hits &= hits - 1) {
      const uint32_t j = static_cast<uint32_t>(__ffs(hits)) - 1;
      const double m = __shfl_sync(kAllLanes, on_midpoint, j), h = __shfl_sync(kAllLanes, on_head, j);
      const uint32_t head = __shfl_sync(kAllLanes, slot, j), v = __shfl_sync(kAllLanes, item, j);
      sum.add(m, a.tape.midpoint_gradient + size_t{head} * dim, base, dim);
      sum.add(h, a.entities + size_t{v} * dim, base, dim);
      if (!a.relations) continue;
      const double q = __shfl_sync(kAllLanes, on_relation, j);
      sum.add(q, a.relations + size_t{__shfl_sync(kAllLanes, relation, j)} * dim, base, dim);
    }
  }
  sum.add(warp_sum(on_tail), a.entities + size_t{entity} * dim, base, dim);
}

template <class Dim>
__global__ void entity_chunks_kernel(EntityGradient a) {
  const Dim dim(a.dim);
  for (uint32_t chunk = first_of_warp(); chunk < a.in_edges.chunks; chunk += warps_of_grid()) {
    const uint32_t entity = a.in_edges.chunk_rows[chunk];
    if (a.row_slot[entity] == kNone) continue;
    const uint32_t begin = a.in_edges.offsets[entity] + (chunk - a.in_edges.chunk_offsets[entity]) * kChunk;
    const uint32_t last = a.in_edges.offsets[entity + 1], end = last - begin < kChunk ? last : begin + kChunk;
    for (uint32_t base = 0; base < dim; base += Columns<Dim>::kAtOnce) {
      Columns<Dim> sum;
      gather(a, entity, begin, end, base, sum);
      sum.store(a.partial + size_t{chunk} * dim, base, dim);
    }
  }
}

template <class Dim>
__global__ void entity_rows_kernel(EntityGradient a) {
  const Dim dim(a.dim);
  for (uint32_t i = first_of_warp(); i < *a.row_count; i += warps_of_grid()) {
    const uint32_t entity = a.rows[i], chunk_begin = a.in_edges.chunk_offsets[entity], chunk_end = a.in_edges.chunk_offsets[entity + 1];
    const bool is_item = entity < a.items;
    const uint32_t head = is_item ? a.head_slot[entity] : kNone, item = is_item && a.item_slot ? a.item_slot[entity] : kNone;
    for (uint32_t base = 0; base < dim; base += Columns<Dim>::kAtOnce) {
      Columns<Dim> sum;
      if (chunk_begin == chunk_end) gather(a, entity, a.in_edges.offsets[entity], a.in_edges.offsets[entity + 1], base, sum);
      for (uint32_t chunk = chunk_begin; chunk < chunk_end; ++chunk) sum.add(1.0, a.partial + size_t{chunk} * dim, base, dim);
      if (head != kNone) sum.add(a.weight[head], a.tape.head_gradient + size_t{head} * dim, base, dim);
      if (item != kNone) sum.add(1.0, a.item_gradient + size_t{item} * dim, base, dim);
      sum.store(a.gradient + size_t{i} * dim, base, dim);
    }
  }
}

}  // namespace

void CudaBackend::entity_gradient(const EntityGradient& a) {
  with_dim(a.dim, [&](auto dim) {
    using Dim = decltype(dim);
    launch("entity_gradient: chunks", entity_chunks_kernel<Dim>, blocks_for(a.in_edges.chunks, kWarps), dim3(kWarp, kWarps), 0, stream_, a);
    launch("entity_gradient: rows", entity_rows_kernel<Dim>, blocks_for(a.capacity, kWarps), dim3(kWarp, kWarps), 0, stream_, a);
  });
}

}  // namespace hk
