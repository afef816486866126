// hypergradient on the GPU: a warp per window of triples. Its lanes test the tails; those that are items of the outer batch are shared out among the
// parts of the warp (row_parts.cuh), which add their terms of the dot product. It is linear in them: one sum over the lanes at the end serves
// all. Then the windows of a head are added.
//   launch   two kernels, blocks of (32, 4), grid-stride: for the windows; a thread per head
//   traffic  two rows per head, 12 bytes per triple, four rows per tail in the outer batch
//   sync     a warp takes and leaves a window whole, so all 32 lanes reach the sum
//   order    fixed by the places of the triples, then a fixed tree, then windows by number
#include "../src/ball.h"
#include "cuda_backend.h"
#include "row_parts.cuh"

namespace hk {
namespace {

template <class Dim>
__global__ void windows_kernel(Hypergradient a) {
  using P = Part<Dim>;
  const P part{Dim(a.dim)};
  const uint32_t heads = *a.head_count, windows = heads == 0 ? 0 : windows_before(a.triple_offsets[heads], heads);
  const double* const head_gradient = a.tape.head_gradient;
  const double* const midpoint_gradient = a.tape.midpoint_gradient;
  for (uint32_t number = first_of_warp(); number < windows; number += warps_of_grid()) {
    const TripleWindow of = a.windows[number];
    double product = 0;
    // product += factor·outer·row, columns of this lane
    const auto add = [&](double factor, const double (&outer)[P::kColumns], const auto* row, uint32_t base) {
      double x[P::kColumns] = {}, own = 0;
      part.add(x, 1.0, row, base);
      part.columns(base, [&](uint32_t k, uint32_t) { own = std::fma(outer[k], x[k], own); });
      product = std::fma(factor, own, product);
    };
    const uint32_t own_slot = of.first == 0 ? a.outer_slot[of.head] : kNone;
    if (own_slot != kNone && part.place == 0)
      part.turns([&](uint32_t base) {
        double outer[P::kColumns];
        part.load(outer, a.outer_gradient + size_t{own_slot} * part.dim, base);
        add(1.0, outer, head_gradient + size_t{of.place} * part.dim, base);
      });
    __syncwarp();
    uint32_t tail = 0, slot = kNone, relation = 0;
    TripleGradient g{};
    if (lane_id() < of.count) {
      const uint32_t t = of.graph_begin + of.first + lane_id();
      tail = a.graph.tails[t], slot = a.outer_slot[tail];
      if (slot != kNone) {
        g = a.tape.triples[of.begin + of.first + lane_id()];
        if (a.relations) relation = a.graph.relations[t];
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
          add(on_midpoint, outer, midpoint_gradient + size_t{of.place} * part.dim, base);
          add(on_tail, outer, a.entities + tail_row * part.dim, base);
          add(on_head, outer, a.entities + size_t{of.head} * part.dim, base);
          if (a.relations) add(on_relation, outer, a.relations + relation_row * part.dim, base);
        });
      __syncwarp();
    }
    product = warp_sum(product);
    if (lane_id() == 0) a.partial[number] = product;
  }
}

constexpr uint32_t kThreads = 128;
__global__ void heads_kernel(Hypergradient a) {
  for (uint32_t i = blockIdx.x * kThreads + threadIdx.x; i < *a.head_count; i += gridDim.x * kThreads) {
    double product = 0;
    for (uint32_t number = windows_before(a.triple_offsets[i], i); number < windows_before(a.triple_offsets[i + 1], i + 1); ++number)
      product += a.partial[number];
    const double weight = sigmoid(static_cast<double>(a.beta[a.heads[i]]));
    const double count = a.occurrence_offsets[i + 1] - a.occurrence_offsets[i];
    a.gradient[i] = static_cast<float>(-a.learning_rate * weight * (1.0 - weight) * count * product);
  }
}

}  // namespace

void CudaBackend::hypergradient(const Hypergradient& a) {
  with_dim(a.dim, [&](auto dim) {
    using Dim = decltype(dim);
    launch("hypergradient: windows", windows_kernel<Dim>, kMostBlocks / 2, dim3(kWarp, kWarps), 0, stream_, a);
  });
  launch("hypergradient: heads", heads_kernel, blocks_for(a.capacity, kThreads), kThreads, 0, stream_, a);
}

}  // namespace hk
