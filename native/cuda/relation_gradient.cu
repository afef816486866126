// relation_gradient on the GPU: the gather of entity_gradient over the relation groups of the batch. Relations are few and long, so nearly all
// of the work is in the chunks.
//   launch   three kernels: a warp per chunk, blocks of (32, 4); a block of (32, 16) per relation with chunks; all relations, blocks of (32, 4)
//   traffic  8 bytes per group of the graph, one row per group of the batch, 8·dim bytes per chunk written and read
//   sync     the parts of a warp go round together
//   order    groups as listed, chunks in a fixed tree
#include "cuda_backend.h"
#include "incidence.cuh"

namespace hk {
namespace {

template <class P>
__device__ void gather(const P& part, const RelationGradient& a, Walk walk, uint32_t base, double (&sum)[P::kColumns]) {
  using Lanes = typename P::OfRow;
  const uint32_t most = Lanes::most(walk.end - walk.begin);
  for (uint32_t first = 0; first < most; first += P::kPerRow) {
    const uint32_t k = walk.begin + first + part.own, slot = k < walk.end ? a.head_slot[a.groups.items[k]] : kNone;
    uint32_t row = 0;
    double weight = 0;
    if (slot != kNone) row = a.group_offsets[slot] + a.groups.positions[k], weight = a.weight[slot];
    uint32_t hits = Lanes::ballot(slot != kNone);
    for (uint32_t rounds = Lanes::most(static_cast<uint32_t>(__popc(hits))); rounds > 0; --rounds, hits &= hits - 1) {
      const bool hit = hits != 0;
      const uint32_t j = hit ? static_cast<uint32_t>(__ffs(hits)) - 1 : 0;
      const double w = Lanes::from(weight, j);
      const uint32_t of_hit = Lanes::from(row, j);
      if (hit) part.add(sum, w, a.relation_gradient + size_t{of_hit} * part.dim, base);
    }
    __syncwarp();
  }
}

template <class Dim>
__global__ void relation_chunks_kernel(RelationGradient a) {
  using P = Part<Dim>;
  const P part{Dim(a.dim)};
  for (uint32_t chunk = first_of_warp(); chunk < a.groups.chunks; chunk += warps_of_grid()) {
    const Walk walk = share_of_chunk(part, a.groups, a.groups.chunk_rows[chunk], chunk);
    part.turns([&](uint32_t base) {
      double sum[P::kColumns] = {};
      gather(part, a, walk, base, sum);
      HK_UNROLL
      for (uint32_t i = 0; i < P::kColumns; ++i) sum[i] = part.over_rows(sum[i]);
      if (part.place == 0) part.store(a.partial + size_t{chunk} * part.dim, sum, base);
    });
  }
}

template <class Dim>
__global__ void __launch_bounds__(kHubWarps* kWarp) relation_hubs_kernel(RelationGradient a) {
  sum_chunks<Dim>(a.groups, a.partial, a.dim, [](uint32_t) { return true; },
                  [&](uint32_t r, uint32_t k, double sum) { a.gradient[size_t{r} * a.dim + k] = static_cast<float>(sum); });
}

template <class Dim>
__global__ void relation_rows_kernel(RelationGradient a) {
  using P = Part<Dim>;
  const P part{Dim(a.dim)};
  rows_of_warp(part, a.groups.rows, [&](uint32_t r, bool listed) {
    const uint32_t begin = a.groups.offsets[r], length = a.groups.offsets[r + 1] - begin;
    const bool here = listed && length <= a.groups.chunk;
    part.turns([&](uint32_t base) {
      double sum[P::kColumns] = {};
      gather(part, a, {begin, here ? begin + length : begin}, base, sum);
      if (here) part.store(a.gradient + size_t{r} * part.dim, sum, base);
    });
  });
}

}  // namespace

void CudaBackend::relation_gradient(const RelationGradient& a) {
  with_dim(a.dim, [&](auto dim) {
    using Dim = decltype(dim);
    const dim3 block(kWarp, kWarps);
    launch("relation_gradient: chunks", relation_chunks_kernel<Dim>, blocks_for(a.groups.chunks, kWarps), block, 0, stream_, a);
    launch("relation_gradient: long", relation_hubs_kernel<Dim>, blocks_for(a.groups.longs, 1), dim3(kWarp, kHubWarps), 0, stream_, a);
    launch("relation_gradient: rows", relation_rows_kernel<Dim>, blocks_for_rows<Part<Dim>>(a.groups.rows), block, 0, stream_, a);
  });
}

}  // namespace hk
