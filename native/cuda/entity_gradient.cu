// entity_gradient on the GPU: an entity-major gather. Several touched rows share a warp, a few lanes each (row_parts.cuh). A row's lanes test
// as many incidences at a time as they are; those whose item is a head of the batch are added one by one, columns in registers. Beside that,
// the hubs: first the chunks of their incidences, then the sums of these.
//   launch   three kernels, grid-stride: `capacity` rows, blocks of (32, 4); a warp per chunk, blocks of (32, 4), and a block of (32, 16) per hub
//   traffic  8 bytes per incidence of a touched row; 48 bytes and two or three rows per triple of the batch; one row out per row
//   sync     the rows of a warp go round together, as often as the longest needs, so all 32 lanes reach the exchanges
//   order    incidences as listed, then the entity's own terms; chunks in a fixed tree
#include "cuda_backend.h"
#include "incidence.cuh"

namespace hk {
namespace {

constexpr uint32_t kAhead = 4;  // incidences that a lane looks up together: each waits for two loads, one after the other

// sum += Σ over the walk of weight·(on_midpoint·g_M + on_head·v + on_relation·r + on_tail·t), t = the entity; the walks of a warp side by side.
template <class P>
__device__ void gather(const P& part, const EntityGradient& a, uint32_t entity, Walk walk, uint32_t base, double (&sum)[P::kColumns]) {
  using Lanes = typename P::OfRow;
  const uint32_t most = Lanes::most(walk.end - walk.begin);
  double on_tail = 0;
  for (uint32_t first = 0; first < most; first += kAhead * P::kPerRow) {
    uint32_t items[kAhead], slots[kAhead];
    HK_UNROLL
    for (uint32_t n = 0; n < kAhead; ++n) {
      const uint32_t k = walk.begin + first + n * P::kPerRow + part.own;
      items[n] = k < walk.end ? a.in_edges.items[k] : kNone;
    }
    HK_UNROLL
    for (uint32_t n = 0; n < kAhead; ++n) slots[n] = items[n] != kNone ? a.head_slot[items[n]] : kNone;
    HK_UNROLL
    for (uint32_t n = 0; n < kAhead; ++n) {
      const uint32_t all = __ballot_sync(kAllLanes, slots[n] != kNone), slot = slots[n];
      if (all == 0) continue;
      uint32_t relation = 0;
      double on_midpoint = 0, on_head = 0, on_relation = 0;
      if (slot != kNone) {
        const uint32_t k = walk.begin + first + n * P::kPerRow + part.own, position = a.in_edges.positions[k];
        const TripleGradient g = a.tape.triples[a.triple_offsets[slot] + position];
        const double weight = a.weight[slot];
        on_midpoint = weight * g.on_midpoint, on_head = weight * g.on_head, on_relation = weight * g.on_relation,
        on_tail += weight * g.on_tail;
        if (a.relations) relation = a.in_edges.relations[k];
      }
      uint32_t hits = Lanes::ballot(slot != kNone);
      for (uint32_t rounds = Lanes::most(static_cast<uint32_t>(__popc(hits))); rounds > 0; --rounds, hits &= hits - 1) {
        const bool hit = hits != 0;
        const uint32_t j = hit ? static_cast<uint32_t>(__ffs(hits)) - 1 : 0;
        const double m = Lanes::from(on_midpoint, j), h = Lanes::from(on_head, j), q = Lanes::from(on_relation, j);
        const uint32_t head = Lanes::from(slot, j), v = Lanes::from(items[n], j), r = Lanes::from(relation, j);
        if (!hit) continue;
        part.add(sum, m, static_cast<const double*>(a.tape.midpoint_gradient) + size_t{head} * part.dim, base);
        if (!a.relations) continue;
        part.add(sum, h, a.entities + size_t{v} * part.dim, base);
        part.add(sum, q, a.relations + size_t{r} * part.dim, base);
      }
      __syncwarp();
    }
  }
  part.add(sum, part.sum(on_tail), a.entities + size_t{entity} * part.dim, base);
}

template <class Dim>
__global__ void entity_chunks_kernel(EntityGradient a) {
  using P = Part<Dim>;
  const P part{Dim(a.dim)};
  for (uint32_t chunk = first_of_warp(); chunk < a.in_edges.chunks; chunk += warps_of_grid()) {
    const uint32_t entity = a.in_edges.chunk_rows[chunk];
    if (a.row_slot[entity] == kNone) continue;
    const Walk walk = share_of_chunk(part, a.in_edges, entity, chunk);
    part.turns([&](uint32_t base) {
      double sum[P::kColumns] = {};
      gather(part, a, entity, walk, base, sum);
      HK_UNROLL
      for (uint32_t i = 0; i < P::kColumns; ++i) sum[i] = part.over_rows(sum[i]);
      if (part.place == 0) part.store(a.partial + size_t{chunk} * part.dim, sum, base);
    });
  }
}

template <class Dim>
__global__ void __launch_bounds__(kHubWarps* kWarp) entity_hubs_kernel(EntityGradient a) {
  const auto is_touched = [&](uint32_t entity) { return a.row_slot[entity] != kNone; };
  sum_chunks<Dim>(a.in_edges, a.partial, a.dim, is_touched, [&](uint32_t entity, uint32_t k, double sum) {
    const uint32_t head = entity < a.items ? a.head_slot[entity] : kNone;
    const uint32_t item = entity < a.items && a.item_slot ? a.item_slot[entity] : kNone;
    if (head != kNone) sum += a.weight[head] * a.tape.head_gradient[size_t{head} * a.dim + k];
    if (item != kNone) sum += a.item_gradient[size_t{item} * a.dim + k];
    a.gradient[size_t{a.row_slot[entity]} * a.dim + k] = static_cast<float>(sum);
  });
}

template <class Dim>
__global__ void entity_rows_kernel(EntityGradient a) {
  using P = Part<Dim>;
  const P part{Dim(a.dim)};
  rows_of_warp(part, *a.row_count, [&](uint32_t i, bool listed) {
    const uint32_t entity = a.rows[i], begin = a.in_edges.offsets[entity], length = a.in_edges.offsets[entity + 1] - begin;
    const bool here = listed && length <= a.in_edges.chunk, is_item = entity < a.items;
    const uint32_t head = is_item ? a.head_slot[entity] : kNone, item = is_item && a.item_slot ? a.item_slot[entity] : kNone;
    part.turns([&](uint32_t base) {
      double sum[P::kColumns] = {};
      gather(part, a, entity, {begin, here ? begin + length : begin}, base, sum);
      if (head != kNone) part.add(sum, a.weight[head], static_cast<const double*>(a.tape.head_gradient) + size_t{head} * part.dim, base);
      if (item != kNone) part.add(sum, 1.0, a.item_gradient + size_t{item} * part.dim, base);
      if (here) part.store(a.gradient + size_t{i} * part.dim, sum, base);
    });
  });
}

}  // namespace

void CudaBackend::entity_gradient(const EntityGradient& a) {
  with_dim(a.dim, [&](auto dim) {
    using Dim = decltype(dim);
    const dim3 block(kWarp, kWarps);
    branches({[&] { launch("entity_gradient: rows", entity_rows_kernel<Dim>, blocks_for_rows<Part<Dim>>(a.capacity), block, 0, stream_, a); },
              [&] {
                launch("entity_gradient: chunks", entity_chunks_kernel<Dim>, blocks_for(a.in_edges.chunks, kWarps), block, 0, stream_, a);
                launch("entity_gradient: hubs", entity_hubs_kernel<Dim>, blocks_for(a.in_edges.longs, 1), dim3(kWarp, kHubWarps), 0, stream_, a);
              }});
  });
}

}  // namespace hk
