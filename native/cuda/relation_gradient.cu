// relation_gradient on the GPU: the gather of entity_gradient over the relation groups of the batch. Relations are few and long, so
// nearly all of the work is in the chunks.
//   launch   two kernels: a warp per chunk, blocks of (32, 8); then a warp per relation, blocks of (32, 1)
//   traffic  8 bytes per group of the graph, one row per group of the batch, 8·dim bytes per chunk written and read
//   sync     a warp takes and leaves a chunk or row whole
//   order    groups as listed, chunks by number
#include "cuda_backend.h"
#include "warp.cuh"

namespace hk {
namespace {

template <class Dim>
__device__ void gather(const RelationGradient& a, uint32_t begin, uint32_t end, uint32_t base, Columns<Dim>& sum) {
  const Dim dim(a.dim);
  for (uint32_t first = begin; first < end; first += kWarp) {
    const uint32_t k = first + lane_id(), slot = k < end ? a.head_slot[a.groups.items[k]] : kNone;
    uint32_t row = 0;
    double weight = 0;
    if (slot != kNone) row = a.group_offsets[slot] + a.groups.positions[k], weight = a.weight[slot];
    for (uint32_t hits = __ballot_sync(kAllLanes, slot != kNone); hits != 0; hits &= hits - 1) {
      const uint32_t j = static_cast<uint32_t>(__ffs(hits)) - 1;
      const double w = __shfl_sync(kAllLanes, weight, j);
      sum.add(w, a.relation_gradient + size_t{__shfl_sync(kAllLanes, row, j)} * dim, base, dim);
    }
  }
}

template <class Dim>
__global__ void relation_chunks_kernel(RelationGradient a) {
  const Dim dim(a.dim);
  for (uint32_t chunk = first_of_warp(); chunk < a.groups.chunks; chunk += warps_of_grid()) {
    const uint32_t relation = a.groups.chunk_rows[chunk];
    const uint32_t begin = a.groups.offsets[relation] + (chunk - a.groups.chunk_offsets[relation]) * kChunk;
    const uint32_t last = a.groups.offsets[relation + 1], end = last - begin < kChunk ? last : begin + kChunk;
    for (uint32_t base = 0; base < dim; base += Columns<Dim>::kAtOnce) {
      Columns<Dim> sum;
      gather(a, begin, end, base, sum);
      sum.store(a.partial + size_t{chunk} * dim, base, dim);
    }
  }
}

template <class Dim>
__global__ void relation_rows_kernel(RelationGradient a) {
  const Dim dim(a.dim);
  for (uint32_t r = first_of_warp(); r < a.groups.rows; r += warps_of_grid()) {
    const uint32_t chunk_begin = a.groups.chunk_offsets[r], chunk_end = a.groups.chunk_offsets[r + 1];
    for (uint32_t base = 0; base < dim; base += Columns<Dim>::kAtOnce) {
      Columns<Dim> sum;
      if (chunk_begin == chunk_end) gather(a, a.groups.offsets[r], a.groups.offsets[r + 1], base, sum);
      for (uint32_t chunk = chunk_begin; chunk < chunk_end; ++chunk) sum.add(1.0, a.partial + size_t{chunk} * dim, base, dim);
      sum.store(a.gradient + size_t{r} * dim, base, dim);
    }
  }
}

}  // namespace

void CudaBackend::relation_gradient(const RelationGradient& a) {
  with_dim(a.dim, [&](auto dim) {
    using Dim = decltype(dim);
    launch("relation_gradient: chunks", relation_chunks_kernel<Dim>, blocks_for(a.groups.chunks, kWarps), dim3(kWarp, kWarps), 0, stream_, a);
    launch("relation_gradient: rows", relation_rows_kernel<Dim>, blocks_for(a.groups.rows, 1), dim3(kWarp, 1), 0, stream_, a);
  });
}

}  // namespace hk
