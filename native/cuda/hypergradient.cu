// hypergradient on the GPU: one warp per head. The lanes test 32 tails at a time; for each that is an item of the outer batch the warp
// adds its terms of the dot product, which is linear in them: one sum over the lanes at the end serves all.
//   launch   blocks of (32, 8) for `capacity` heads, grid-stride
//   traffic  two rows per head, 4 to 8 bytes per triple, four rows per tail in the outer batch
//   sync     a warp takes and leaves a head whole, so all 32 lanes reach the sum
//   order    triples as listed, then a fixed tree
#include "../src/ball.h"
#include "cuda_backend.h"
#include "warp.cuh"

namespace hk {
namespace {

template <class Dim>
__global__ void hypergradient_kernel(Hypergradient a) {
  const Dim dim(a.dim);
  const uint32_t lane = lane_id();
  for (uint32_t i = first_of_warp(); i < *a.head_count; i += warps_of_grid()) {
    const uint32_t head = a.heads[i], begin = a.graph.offsets[head], end = a.graph.offsets[head + 1];
    const float* v = a.entities + size_t{head} * dim;
    const double* g_m = a.tape.midpoint_gradient + size_t{i} * dim;
    double product = 0;
    if (a.outer_slot[head] != kNone) {
      const double* outer = a.outer_gradient + size_t{a.outer_slot[head]} * dim;
      const double* own = a.tape.head_gradient + size_t{i} * dim;
      for_columns(dim, [&](uint32_t k) { product += outer[k] * own[k]; });
    }
    for (uint32_t first = begin; first < end; first += kWarp) {
      const uint32_t t = first + lane, tail = t < end ? a.graph.tails[t] : kNone;
      const uint32_t slot = tail < a.items ? a.outer_slot[tail] : kNone;
      TripleGradient g{};
      uint32_t relation = 0;
      if (slot != kNone) {
        g = a.tape.triples[a.triple_offsets[i] + (t - begin)];
        if (a.relations) relation = a.graph.relations[t];
      }
      for (uint32_t hits = __ballot_sync(kAllLanes, slot != kNone); hits != 0; hits &= hits - 1) {
        const uint32_t j = static_cast<uint32_t>(__ffs(hits)) - 1;
        const double on_midpoint = __shfl_sync(kAllLanes, g.on_midpoint, j), on_tail = __shfl_sync(kAllLanes, g.on_tail, j);
        const double on_head = __shfl_sync(kAllLanes, g.on_head, j), on_relation = __shfl_sync(kAllLanes, g.on_relation, j);
        const double* outer = a.outer_gradient + size_t{__shfl_sync(kAllLanes, slot, j)} * dim;
        const float* x = a.entities + size_t{__shfl_sync(kAllLanes, tail, j)} * dim;
        const uint32_t relation_of_hit = __shfl_sync(kAllLanes, relation, j);
        const float* r = a.relations ? a.relations + size_t{relation_of_hit} * dim : nullptr;
        for_columns(dim, [&](uint32_t k) {
          product += outer[k] * (on_midpoint * g_m[k] + on_tail * x[k] + on_head * v[k] + (r ? on_relation * r[k] : 0.0));
        });
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
    launch("hypergradient", hypergradient_kernel<decltype(dim)>, blocks_for(a.capacity, kWarps), dim3(kWarp, kWarps), 0, stream_, a);
  });
}

}  // namespace hk
