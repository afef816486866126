// hypergradient on the GPU: a warp per head. Its lanes test 32 of the head's tails that are items at a time; those that are items of the outer
// batch are shared out among the parts of the warp (row_parts.cuh), which add their terms of the dot product. It is linear in them: one sum
// over the lanes at the end serves all.
//   launch   blocks of (32, 8) for `capacity` heads, grid-stride
//   traffic  two rows per head, 12 bytes per tail that is an item, four rows per tail in the outer batch
//   sync     a warp takes and leaves a head whole, so all 32 lanes reach the sum
//   order    fixed by the places of the triples, then a fixed tree
#include "../src/ball.h"
#include "cuda_backend.h"
#include "row_parts.cuh"

namespace hk {
namespace {

template <class Dim>
__global__ void hypergradient_kernel(Hypergradient a) {
  using P = Part<Dim>;
  const P part{Dim(a.dim)};
  const uint32_t lane = lane_id();
  const double* const head_gradient = a.tape.head_gradient;
  const double* const midpoint_gradient = a.tape.midpoint_gradient;
  for (uint32_t i = first_of_warp(); i < *a.head_count; i += warps_of_grid()) {
    const uint32_t head = a.heads[i], first_triple = a.graph.offsets[head], own_slot = a.outer_slot[head];
    const uint32_t begin = a.item_tails.offsets[head], end = a.item_tails.offsets[head + 1];
    double product = 0;
    // product += factor·outer·row, columns of this lane
    const auto add = [&](double factor, const double (&outer)[P::kColumns], const auto* row, uint32_t base) {
      double x[P::kColumns] = {}, own = 0;
      part.add(x, 1.0, row, base);
      part.columns(base, [&](uint32_t k, uint32_t) { own = std::fma(outer[k], x[k], own); });
      product = std::fma(factor, own, product);
    };
    if (own_slot != kNone && part.place == 0)
      part.turns([&](uint32_t base) {
        double outer[P::kColumns];
        part.load(outer, a.outer_gradient + size_t{own_slot} * part.dim, base);
        add(1.0, outer, head_gradient + size_t{i} * part.dim, base);
      });
    __syncwarp();
    for (uint32_t first = begin; first < end; first += kWarp) {
      uint32_t tail = 0, slot = kNone, relation = 0;
      TripleGradient g{};
      if (first + lane < end) {
        const uint32_t position = a.item_tails.positions[first + lane];
        tail = a.graph.tails[first_triple + position], slot = a.outer_slot[tail];
        if (slot != kNone) {
          g = a.tape.triples[a.triple_offsets[i] + position];
          if (a.relations) relation = a.graph.relations[first_triple + position];
        }
      }
      const uint32_t hits = __ballot_sync(kAllLanes, slot != kNone);
      for (uint32_t left = hits; left != 0; left = without_first(left, P::kRows)) {
        const bool hit = part.place < static_cast<uint32_t>(__popc(left));
        const uint32_t j = bit_at(left, part.place, hits);
        const double on_midpoint = __shfl_sync(kAllLanes, g.on_midpoint, j), on_tail = __shfl_sync(kAllLanes, g.on_tail, j);
        const double on_head = __shfl_sync(kAllLanes, g.on_head, j), on_relation = __shfl_sync(kAllLanes, g.on_relation, j);
        const size_t outer_row = __shfl_sync(kAllLanes, slot, j), tail_row = __shfl_sync(kAllLanes, tail, j);
        const size_t relation_row = __shfl_sync(kAllLanes, relation, j);
        if (hit)
          part.turns([&](uint32_t base) {
            double outer[P::kColumns];
            part.load(outer, a.outer_gradient + outer_row * part.dim, base);
            add(on_midpoint, outer, midpoint_gradient + size_t{i} * part.dim, base);
            add(on_tail, outer, a.entities + tail_row * part.dim, base);
            add(on_head, outer, a.entities + size_t{head} * part.dim, base);
            if (a.relations) add(on_relation, outer, a.relations + relation_row * part.dim, base);
          });
        __syncwarp();
      }
    }
    product = warp_sum(product);
    if (lane != 0) continue;
    const double weight = sigmoid(static_cast<double>(a.beta[head]));
    const double count = a.occurrence_offsets[i + 1] - a.occurrence_offsets[i];
    a.gradient[i] = static_cast<float>(-a.learning_rate * weight * (1.0 - weight) * count * product);
  }
}

}  // namespace

void CudaBackend::hypergradient(const Hypergradient& a) {
  with_dim(a.dim, [&](auto dim) {
    using Dim = decltype(dim);
    launch("hypergradient", hypergradient_kernel<Dim>, blocks_for(a.capacity, kWarps), dim3(kWarp, kWarps), 0, stream_, a);
  });
}

}  // namespace hk
