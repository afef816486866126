// hypergradient on the CPU: heads over threads; one dot product per head and per neighbour that is an item of the outer batch.
#include "../ball.h"
#include "cpu_backend.h"
#include "rows.h"
#include "tape.h"

namespace hk {
namespace {

constexpr uint64_t kAhead = 2;  // heads between the prefetch of their rows and their use

// Asks for the rows of a head that is an item of the outer batch, and for the slots of its tails.
HK_INLINE void prefetch_head(const Hypergradient& a, uint64_t i) {
  const uint32_t head = a.heads[i], slot = a.outer_slot[head];
  if (slot != kNone) {
    prefetch_row(a.outer_gradient + size_t{slot} * a.dim, a.dim * sizeof(double));
    prefetch_row(a.tape.head_gradient + i * a.dim, a.dim * sizeof(double));
  }
  for (uint32_t e = a.item_tails.offsets[head]; e < a.item_tails.offsets[head + 1]; ++e)
    __builtin_prefetch(a.outer_slot + a.graph.tails[a.graph.offsets[head] + a.item_tails.positions[e]]);
}

template <class S>
HK_INLINE void hypergradient_heads(const Hypergradient& a, uint64_t begin, uint64_t end) {
  const uint32_t dim = a.dim;
  for (uint64_t i = begin; i < end; ++i) {
    if (i + kAhead < end) prefetch_head(a, i + kAhead);
    const uint32_t head = a.heads[i];
    const float* v = a.entities + size_t{head} * dim;
    double product = 0;
    if (a.outer_slot[head] != kNone)
      product = dot<S>(a.outer_gradient + size_t{a.outer_slot[head]} * dim, a.tape.head_gradient + i * dim, dim);
    for (uint32_t e = a.item_tails.offsets[head]; e < a.item_tails.offsets[head + 1]; ++e) {
      const uint32_t position = a.item_tails.positions[e], t = a.graph.offsets[head] + position, tail = a.graph.tails[t];
      if (a.outer_slot[tail] == kNone) continue;
      const double* outer = a.outer_gradient + size_t{a.outer_slot[tail]} * dim;
      const TripleGradient g = triple_gradient(a.tape, i, a.order.places[a.triple_offsets[i] + position]);
      product += g.on_midpoint * dot<S>(outer, a.tape.midpoint_gradient + i * dim, dim) +
                 g.on_tail * dot<S>(outer, a.entities + size_t{tail} * dim, dim) + g.on_head * dot<S>(outer, v, dim);
      if (a.relations) product += g.on_relation * dot<S>(outer, a.relations + size_t{a.graph.relations[t]} * dim, dim);
    }
    const double weight = sigmoid(static_cast<double>(a.beta[head]));
    const double count = a.occurrence_offsets[i + 1] - a.occurrence_offsets[i];
    a.gradient[i] = static_cast<float>(-a.learning_rate * weight * (1.0 - weight) * count * product);
  }
}

HK_DISPATCH(heads, hypergradient_heads, (const Hypergradient& a, uint64_t begin, uint64_t end), (a, begin, end))

}  // namespace

void CpuBackend::hypergradient(const Hypergradient& a) {
  pool_.run(*a.head_count, 64, [&](uint64_t begin, uint64_t end, int) { heads(a, begin, end); });
}

}  // namespace hk
