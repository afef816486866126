// hypergradient on the GPU: several heads share a warp, a few lanes each (row_parts.cuh). A head's lanes test as many of its tails that are
// items as they are at a time; for each that is an item of the outer batch they add its terms of the dot product, which is linear in them: one
// sum over the lanes at the end serves all.
//   launch   blocks of (32, 8) for `capacity` heads, grid-stride
//   traffic  two rows per head, 12 bytes per tail that is an item, four rows per tail in the outer batch
//   sync     the heads of a warp go round together, as often as the longest needs, so all 32 lanes reach the sum
//   order    triples as listed, then a fixed tree
#include "../src/ball.h"
#include "cuda_backend.h"
#include "row_parts.cuh"

namespace hk {
namespace {

template <class Dim>
__global__ void hypergradient_kernel(Hypergradient a) {
  using P = Part<Dim>;
  using Lanes = typename P::OfRow;
  const P part{Dim(a.dim)};
  const double* const head_gradient = a.tape.head_gradient;
  const double* const midpoint_gradient = a.tape.midpoint_gradient;
  rows_of_warp(part, *a.head_count, [&](uint32_t i, bool here) {
    const uint32_t head = a.heads[i], first_triple = a.graph.offsets[head], own_slot = a.outer_slot[head];
    const uint32_t begin = a.item_tails.offsets[head], end = here ? a.item_tails.offsets[head + 1] : begin;
    double product = 0;
    // product += outer·row, columns of this lane
    const auto add = [&](double factor, const double (&outer)[P::kColumns], const auto* row, uint32_t base) {
      double x[P::kColumns] = {}, own = 0;
      part.add(x, 1.0, row, base);
      part.columns(base, [&](uint32_t k, uint32_t) { own = std::fma(outer[k], x[k], own); });
      product = std::fma(factor, own, product);
    };
    if (own_slot != kNone)
      part.turns([&](uint32_t base) {
        double outer[P::kColumns];
        part.load(outer, a.outer_gradient + size_t{own_slot} * part.dim, base);
        add(1.0, outer, head_gradient + size_t{i} * part.dim, base);
      });
    __syncwarp();
    const uint32_t most = Lanes::most(end - begin);
    for (uint32_t first = 0; first < most; first += P::kPerRow) {
      const uint32_t e = begin + first + part.own;
      uint32_t tail = 0, slot = kNone, relation = 0;
      TripleGradient g{};
      if (e < end) {
        const uint32_t position = a.item_tails.positions[e];
        tail = a.graph.tails[first_triple + position], slot = a.outer_slot[tail];
        if (slot != kNone) {
          g = a.tape.triples[a.triple_offsets[i] + position];
          if (a.relations) relation = a.graph.relations[first_triple + position];
        }
      }
      uint32_t hits = Lanes::ballot(slot != kNone);
      for (uint32_t rounds = Lanes::most(static_cast<uint32_t>(__popc(hits))); rounds > 0; --rounds, hits &= hits - 1) {
        const bool hit = hits != 0;
        const uint32_t j = hit ? static_cast<uint32_t>(__ffs(hits)) - 1 : 0;
        const double on_midpoint = Lanes::from(g.on_midpoint, j), on_tail = Lanes::from(g.on_tail, j);
        const double on_head = Lanes::from(g.on_head, j), on_relation = Lanes::from(g.on_relation, j);
        const size_t outer_row = Lanes::from(slot, j), tail_row = Lanes::from(tail, j), relation_row = Lanes::from(relation, j);
        if (hit)
          part.turns([&](uint32_t base) {
            double outer[P::kColumns];
            part.load(outer, a.outer_gradient + outer_row * part.dim, base);
            add(on_midpoint, outer, midpoint_gradient + size_t{i} * part.dim, base);
            add(on_tail, outer, a.entities + tail_row * part.dim, base);
            add(on_head, outer, a.entities + size_t{head} * part.dim, base);
            if (a.relations) add(on_relation, outer, a.relations + relation_row * part.dim, base);
          });
      }
      __syncwarp();
    }
    product = part.sum(product);
    if (!here || part.own != 0) return;
    const double weight = sigmoid(static_cast<double>(a.beta[head]));
    const double count = a.occurrence_offsets[i + 1] - a.occurrence_offsets[i];
    a.gradient[i] = static_cast<float>(-a.learning_rate * weight * (1.0 - weight) * count * product);
  });
}

}  // namespace

void CudaBackend::hypergradient(const Hypergradient& a) {
  with_dim(a.dim, [&](auto dim) {
    using Dim = decltype(dim);
    launch("hypergradient", hypergradient_kernel<Dim>, blocks_for_rows<Part<Dim>>(a.capacity), dim3(kWarp, kWarps), 0, stream_, a);
  });
}

}  // namespace hk
