// entity_gradient on the CPU: an entity-major gather. Each touched entity walks its incidences, keeps those whose item is a head of the batch
// and adds their rows, with the columns of the sum in registers; chunks of hubs are summed first, each by one thread. The walk of a block of
// rows comes before its sums, so that the rows to be added are already on their way from memory.
#include <algorithm>
#include <utility>
#include <vector>

#include "cpu_backend.h"
#include "rows.h"

namespace hk {
namespace {

constexpr uint32_t kBlock = 16;  // rows walked before they are summed

// A triple of the batch whose tail is the entity at hand.
struct Match {
  uint32_t item, slot, relation;
  const TripleGradient* triple;
};

// Rows of one precision with their factors.
template <class X>
struct Terms {
  struct Term {
    double factor;
    const X* row;
  };
  std::vector<Term> terms;

  void add(double factor, const X* row) { terms.push_back({factor, row}); }
};

struct Workspace {
  std::vector<uint32_t> incidences;
  std::vector<Match> matches;
  Terms<double> doubles;
  Terms<float> floats;
};

// sum[i] += Σ factor·row at the i-th vector of columns from k. The indices are constants, so that the sums stay in registers.
template <class S, int... kIndex, class X>
HK_INLINE void add_terms(typename S::D* sum, const Terms<X>& terms, uint32_t k, std::integer_sequence<int, kIndex...>) {
  for (const auto& [factor, row] : terms.terms) ((sum[kIndex] += factor * load<S>(row + k + kIndex * S::kD)), ...);
}

// out = Σ factor·row over both lists, at kVectors vectors of columns.
template <class S, int kVectors, class O>
HK_INLINE void store_sum_at(O* out, const Workspace& w, uint32_t k) {
  constexpr auto all = std::make_integer_sequence<int, kVectors>{};
  typename S::D sum[kVectors] = {};
  add_terms<S>(sum, w.doubles, k, all), add_terms<S>(sum, w.floats, k, all);
  [&]<int... kIndex>(std::integer_sequence<int, kIndex...>) __attribute__((always_inline)) {
    (store<S>(out + k + kIndex * S::kD, sum[kIndex]), ...);
  }(all);
}

template <class S, class O>
HK_INLINE void store_sum(O* out, const Workspace& w, uint32_t dim) {
  constexpr int kVectors = 8;
  uint32_t k = 0;
  for (; k + kVectors * S::kD <= dim; k += kVectors * S::kD) store_sum_at<S, kVectors>(out, w, k);
  for (; k + S::kD <= dim; k += S::kD) store_sum_at<S, 1>(out, w, k);
  for (; k < dim; ++k) {
    double sum = 0;
    for (const auto& [factor, row] : w.doubles.terms) sum += factor * row[k];
    for (const auto& [factor, row] : w.floats.terms) sum += factor * static_cast<double>(row[k]);
    out[k] = static_cast<O>(sum);
  }
}

// Appends the matches among the incidences [begin, end) and asks for their rows. The walk has no branch: few incidences match, and which
// ones cannot be guessed.
HK_INLINE void find_matches(const EntityGradient& a, uint32_t begin, uint32_t end, Workspace& w) {
  if (w.incidences.size() < end - begin) w.incidences.resize(end - begin);
  uint32_t* const found = w.incidences.data();
  uint32_t count = 0;
  for (uint32_t k = begin; k < end; ++k) found[count] = k, count += a.head_slot[a.in_edges.items[k]] != kNone;
  for (uint32_t i = 0; i < count; ++i) {
    const uint32_t k = found[i], item = a.in_edges.items[k], slot = a.head_slot[item];
    const TripleGradient* triple = a.tape.triples + a.triple_offsets[slot] + a.in_edges.positions[k];
    w.matches.push_back({item, slot, a.relations ? a.in_edges.relations[k] : 0, triple});
    __builtin_prefetch(triple);
    prefetch_row(a.tape.midpoint_gradient + size_t{slot} * a.dim, a.dim * sizeof(double));
    prefetch_row(a.entities + size_t{item} * a.dim, a.dim * sizeof(float));
  }
}

// Terms of Σ weight·(on_midpoint·g_M + on_head·v + on_relation·r + on_tail·t) over the matches; a run of one relation is one term.
HK_INLINE void add_matches(const EntityGradient& a, const Match* matches, size_t count, uint32_t entity, Workspace& w) {
  double on_tail = 0, on_relation = 0;
  for (size_t k = 0; k < count; ++k) {
    const auto [item, slot, relation, triple] = matches[k];
    const double weight = a.weight[slot];
    on_tail += weight * triple->on_tail, on_relation += weight * triple->on_relation;
    w.doubles.add(weight * triple->on_midpoint, a.tape.midpoint_gradient + size_t{slot} * a.dim);
    if (!a.relations) continue;
    w.floats.add(weight * triple->on_head, a.entities + size_t{item} * a.dim);
    if (k + 1 < count && matches[k + 1].relation == relation) continue;
    w.floats.add(on_relation, a.relations + size_t{relation} * a.dim);
    on_relation = 0;
  }
  if (count > 0) w.floats.add(on_tail, a.entities + size_t{entity} * a.dim);
}

template <class S>
HK_INLINE void gather_chunks(const EntityGradient& a, uint64_t begin, uint64_t end) {
  thread_local Workspace w;
  for (uint64_t c = begin; c < end; ++c) {
    const uint32_t entity = a.in_edges.chunk_rows[c];
    if (a.row_slot[entity] == kNone) continue;
    const uint32_t first = a.in_edges.offsets[entity] + (static_cast<uint32_t>(c) - a.in_edges.chunk_offsets[entity]) * a.in_edges.chunk;
    w.matches.clear(), w.doubles.terms.clear(), w.floats.terms.clear();
    find_matches(a, first, std::min(first + a.in_edges.chunk, a.in_edges.offsets[entity + 1]), w);
    add_matches(a, w.matches.data(), w.matches.size(), entity, w);
    store_sum<S>(a.partial + c * a.dim, w, a.dim);
  }
}

template <class S>
HK_INLINE void gather_rows(const EntityGradient& a, uint64_t begin, uint64_t end) {
  thread_local Workspace w;
  const uint32_t dim = a.dim;
  for (uint64_t block = begin; block < end; block += kBlock) {
    const uint64_t block_end = std::min<uint64_t>(block + kBlock, end);
    size_t ends[kBlock];
    w.matches.clear();
    for (uint64_t i = block; i < block_end; ++i) {
      const uint32_t entity = a.rows[i];
      if (a.in_edges.chunk_offsets[entity] == a.in_edges.chunk_offsets[entity + 1])
        find_matches(a, a.in_edges.offsets[entity], a.in_edges.offsets[entity + 1], w);
      ends[i - block] = w.matches.size();
      prefetch_row(a.entities + size_t{entity} * dim, dim * sizeof(float));
    }
    for (uint64_t i = block; i < block_end; ++i) {
      const uint32_t entity = a.rows[i];
      const size_t first = i == block ? 0 : ends[i - block - 1];
      w.doubles.terms.clear(), w.floats.terms.clear();
      add_matches(a, w.matches.data() + first, ends[i - block] - first, entity, w);
      for (uint32_t c = a.in_edges.chunk_offsets[entity]; c < a.in_edges.chunk_offsets[entity + 1]; ++c)
        w.doubles.add(1.0, a.partial + size_t{c} * dim);
      if (entity < a.items) {
        const uint32_t head = a.head_slot[entity];
        if (head != kNone) w.doubles.add(a.weight[head], a.tape.head_gradient + size_t{head} * dim);
        const uint32_t item = a.item_slot ? a.item_slot[entity] : kNone;
        if (item != kNone) w.floats.add(1.0, a.item_gradient + size_t{item} * dim);
      }
      store_sum<S>(a.gradient + i * dim, w, dim);
    }
  }
}

HK_DISPATCH(chunks, gather_chunks, (const EntityGradient& a, uint64_t begin, uint64_t end), (a, begin, end))
HK_DISPATCH(rows, gather_rows, (const EntityGradient& a, uint64_t begin, uint64_t end), (a, begin, end))

}  // namespace

void CpuBackend::entity_gradient(const EntityGradient& a) {
  pool_.run(a.in_edges.chunks, 4, [&](uint64_t begin, uint64_t end, int) { chunks(a, begin, end); });
  pool_.run(*a.row_count, 256, [&](uint64_t begin, uint64_t end, int) { rows(a, begin, end); });
}

}  // namespace hk
