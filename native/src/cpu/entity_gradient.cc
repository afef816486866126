// entity_gradient and entity_step on the CPU: what the entities are owed stands in the order in which they collect it (TailOrder), so that only the
// rows of the heads are read at random. Of heads that are tame, weight·g_M and weight·v are put side by side in float32 first: a table of two thirds of
// the bytes, and a place for each head instead of two. Most entities are the tails of a few tame heads and nothing else: for these the sum stays in
// registers (gather_tame); all others collect their terms first (gather). In entity_step a block of gradients goes from there into Adam and is
// never written to memory.
#include <algorithm>
#include <utility>
#include <vector>

#include "adam_block.h"
#include "cpu_backend.h"
#include "row_blocks.h"

namespace hk {
namespace {

constexpr uint32_t kPiece = 128;  // triples that are added up before their sum goes into float64
constexpr uint32_t kAhead = 12;   // triples between the request for their heads' rows and their use

// Rows with their factors.
template <class Factor, class X, uint32_t kMost>
struct Terms {
  uint32_t count = 0;
  Factor factor[kMost];
  const X* row[kMost];

  HK_INLINE void add(double f, const X* r) { factor[count] = static_cast<Factor>(f), row[count++] = r; }
};

// The terms of a piece: two a triple, one a relation, the tail, and what else an entity gets.
struct Piece {
  Terms<float, float, 3 * kPiece + 2> singles;  // summed in float32
  Terms<double, float, 2 * kPiece + 3> floats;
  Terms<double, double, kPiece + 2> doubles;

  void clear() { singles.count = floats.count = doubles.count = 0; }
};

// sum[i] += Σ factor·row at the i-th vector of columns from k. The indices are constants, so that the sums stay in registers.
template <class S, int... kIndex, class T>
HK_INLINE void add_terms(typename S::D* sum, const T& terms, uint32_t k, std::integer_sequence<int, kIndex...>) {
  for (uint32_t t = 0; t < terms.count; ++t) ((sum[kIndex] += terms.factor[t] * load<S>(terms.row[t] + k + kIndex * S::kD)), ...);
}
template <class S, int... kIndex, class T>
HK_INLINE void add_singles(typename S::F* sum, const T& terms, uint32_t k, std::integer_sequence<int, kIndex...>) {
  for (uint32_t t = 0; t < terms.count; ++t)
    ((sum[kIndex] += terms.factor[t] * *reinterpret_cast<const typename S::F*>(terms.row[t] + k + kIndex * S::kF)), ...);
}

// out = Σ factor·row over all terms, at kVectors vectors of floats.
template <class S, int kVectors, class O>
HK_INLINE void store_sum_at(O* out, const Piece& piece, uint32_t k) {
  constexpr auto all = std::make_integer_sequence<int, kVectors>{};
  constexpr auto all_doubles = std::make_integer_sequence<int, 2 * kVectors>{};
  typename S::F single[kVectors] = {};
  add_singles<S>(single, piece.singles, k, all);
  if constexpr (std::is_same_v<O, float>) {
    if (piece.doubles.count == 0 && piece.floats.count == 0) {
      for (int i = 0; i < kVectors; ++i) *reinterpret_cast<typename S::F*>(out + k + i * S::kF) = single[i];
      return;
    }
  }
  float singles[kVectors * S::kF];
  for (int i = 0; i < kVectors; ++i) *reinterpret_cast<typename S::F*>(singles + i * S::kF) = single[i];
  typename S::D sum[2 * kVectors];
  for (int i = 0; i < 2 * kVectors; ++i) sum[i] = load<S>(singles + i * S::kD);
  add_terms<S>(sum, piece.doubles, k, all_doubles), add_terms<S>(sum, piece.floats, k, all_doubles);
  for (int i = 0; i < 2 * kVectors; ++i) store<S>(out + k + i * S::kD, sum[i]);
}

template <class S, class O>
HK_INLINE void store_sum(O* out, const Piece& piece, uint32_t dim) {
  constexpr int kVectors = 4;
  uint32_t k = 0;
  for (; k + kVectors * S::kF <= dim; k += kVectors * S::kF) store_sum_at<S, kVectors>(out, piece, k);
  for (; k + S::kF <= dim; k += S::kF) store_sum_at<S, 1>(out, piece, k);
  for (; k < dim; ++k) {
    double sum = 0;
    const auto add = [&](const auto& terms) {
      for (uint32_t t = 0; t < terms.count; ++t) sum += static_cast<double>(terms.factor[t]) * static_cast<double>(terms.row[t][k]);
    };
    add(piece.doubles), add(piece.floats), add(piece.singles);
    out[k] = static_cast<O>(sum);
  }
}

// What is packed of the heads: rows [heads, 2, dim] weight·g_M and weight·v, and the weights. rows is null where no head may be tame.
struct TameHeads {
  const float *rows, *weights;
  bool all;  // all heads are tame
};

template <class S>
HK_INLINE void pack_head_rows(const EntityGradient& a, float* rows, float* weights, uint64_t begin, uint64_t end) {
  for (uint64_t slot = begin; slot < end; ++slot) {
    if (!a.tape.tame[slot]) continue;
    weights[slot] = static_cast<float>(a.weight[slot]);
    scale_row<S>(rows + slot * 2 * a.dim, a.weight[slot], a.tape.midpoint_gradient + slot * a.dim, a.dim);
    scale_row<S>(rows + (slot * 2 + 1) * a.dim, a.weight[slot], a.entities + size_t{a.heads[slot]} * a.dim, a.dim);
  }
}

HK_INLINE void prefetch_head(const EntityGradient& a, const TameHeads& heads, uint32_t slot) {
  if (heads.rows != nullptr) return prefetch_row(heads.rows + size_t{slot} * 2 * a.dim, 2 * a.dim * sizeof(float));
  prefetch_row(a.tape.midpoint_gradient + size_t{slot} * a.dim, a.dim * sizeof(double));
  prefetch_row(a.entities + size_t{a.heads[slot]} * a.dim, a.dim * sizeof(float));
}

// Terms of Σ weight·(on_midpoint·g_M + on_head·v + on_relation·r + on_tail·t) over the triples at [begin, end); a run of one relation is one
// term, and the tail itself one. A tail or relation of a tame head is tame; its own terms are summed in float32 if all heads that owe them are.
HK_INLINE void collect(const EntityGradient& a, const TameHeads& heads, uint32_t begin, uint32_t end, uint32_t entity, Piece& piece) {
  const uint32_t most = a.order.offsets[a.entity_count];
  double on_tail = 0, on_relation = 0;
  bool all_tame = true, run_tame = true;
  for (uint32_t place = begin; place < end; ++place) {
    if (place + kAhead < most) prefetch_head(a, heads, a.order.entries[place + kAhead].slot);
    const auto [slot, relation] = a.order.entries[place];
    const double weight = a.weight[slot];
    const bool tame = heads.rows != nullptr && a.tape.tame[slot];
    all_tame = all_tame && tame, run_tame = run_tame && tame;
    if (tame) {
      const SingleTripleGradient& triple = a.tape.singles[place];
      const float* const rows = heads.rows + size_t{slot} * 2 * a.dim;
      on_tail += weight * triple.on_tail, on_relation += weight * triple.on_relation;
      piece.singles.add(triple.on_midpoint, rows);
      if (a.relations) piece.singles.add(triple.on_head, rows + a.dim);
    } else {
      const TripleGradient& triple = a.tape.triples[place];
      on_tail += weight * triple.on_tail, on_relation += weight * triple.on_relation;
      piece.doubles.add(weight * triple.on_midpoint, a.tape.midpoint_gradient + size_t{slot} * a.dim);
      if (a.relations) piece.floats.add(weight * triple.on_head, a.entities + size_t{a.heads[slot]} * a.dim);
    }
    if (!a.relations || (place + 1 < end && a.order.entries[place + 1].relation == relation)) continue;
    const float* const row = a.relations + size_t{relation} * a.dim;
    if (run_tame)
      piece.singles.add(on_relation, row);
    else
      piece.floats.add(on_relation, row);
    on_relation = 0, run_tame = true;
  }
  if (begin == end) return;
  const float* const tail = a.entities + size_t{entity} * a.dim;
  if (all_tame)
    piece.singles.add(on_tail, tail);
  else
    piece.floats.add(on_tail, tail);
}

// The gradient of any entity.
template <class S>
HK_INLINE void gather(const EntityGradient& a, const TameHeads& heads, uint32_t entity, float* gradient) {
  thread_local Piece piece;
  thread_local std::vector<double> sums;
  const uint32_t dim = a.dim, end = a.order.offsets[entity + 1];
  uint32_t begin = a.order.offsets[entity];
  if (sums.size() < 2 * dim) sums.resize(2 * dim);
  double *const sum = sums.data(), *const part = sum + dim;
  const bool several = end - begin > kPiece;
  if (several) std::fill_n(sum, dim, 0.0);
  for (; end - begin > kPiece; begin += kPiece) {
    piece.clear();
    collect(a, heads, begin, begin + kPiece, entity, piece);
    store_sum<S>(part, piece, dim);
    add_row<S>(sum, 1.0, part, dim);
  }
  piece.clear();
  collect(a, heads, begin, end, entity, piece);
  if (several) piece.doubles.add(1.0, sum);
  if (entity < a.items) {
    const uint32_t head = a.head_slot[entity];
    if (head != kNone) piece.doubles.add(a.weight[head], a.tape.head_gradient + size_t{head} * dim);
    const uint32_t item = a.item_slot ? a.item_slot[entity] : kNone;
    if (item != kNone) piece.floats.add(1.0, a.item_gradient + size_t{item} * dim);
  }
  store_sum<S>(gradient, piece, dim);
}

// Whether an entity is owed something by tame heads only, as the tail of a few of their triples.
HK_INLINE bool is_tame(const EntityGradient& a, const TameHeads& heads, uint32_t entity) {
  const uint32_t begin = a.order.offsets[entity], end = a.order.offsets[entity + 1];
  if (heads.rows == nullptr || end - begin > kPiece) return false;
  if (entity < a.items && (a.head_slot[entity] != kNone || (a.item_slot && a.item_slot[entity] != kNone))) return false;
  bool tame = true;
  if (!heads.all)
    for (uint32_t place = begin; place < end; ++place) tame = tame && a.tape.tame[a.order.entries[place].slot];
  return tame;
}

// The gradient of such an entity at kCount places of the row, in registers: Place(first + i) is a vector of columns or one.
template <class Place, class Value, int kCount>
HK_INLINE void gather_tame_at(const EntityGradient& a, const TameHeads& heads, uint32_t entity, float* gradient, uint32_t first, uint32_t width) {
  const uint32_t begin = a.order.offsets[entity], end = a.order.offsets[entity + 1], dim = a.dim, most = a.order.offsets[a.entity_count];
  const auto at = [&](int i) __attribute__((always_inline)) { return Place{first + i * width}; };
  Value sum[kCount] = {};
  float on_tail = 0;
  for (uint32_t place = begin; place < end; ++place) {
    if (first == 0 && place + kAhead < most) prefetch_head(a, heads, a.order.entries[place + kAhead].slot);
    const auto [slot, relation] = a.order.entries[place];
    const SingleTripleGradient triple = a.tape.singles[place];
    const float weight = heads.weights[slot];
    const float* const rows = heads.rows + size_t{slot} * 2 * dim;
    on_tail += weight * triple.on_tail;
    for (int i = 0; i < kCount; ++i) sum[i] += triple.on_midpoint * at(i)(rows);
    if (!a.relations) continue;
    const float on_relation = weight * triple.on_relation;
    const float* const r = a.relations + size_t{relation} * dim;
    for (int i = 0; i < kCount; ++i) sum[i] += triple.on_head * at(i)(rows + dim) + on_relation * at(i)(r);
  }
  const float* const tail = a.entities + size_t{entity} * dim;
  for (int i = 0; i < kCount; ++i) at(i).store(gradient, sum[i] + on_tail * at(i)(tail));
}

template <class S>
HK_INLINE void gather_tame(const EntityGradient& a, const TameHeads& heads, uint32_t entity, float* gradient) {
  using Places = SingleColumns<S>;
  constexpr int kVectors = 4;
  uint32_t k = 0;
  for (; k + kVectors * S::kF <= a.dim; k += kVectors * S::kF)
    gather_tame_at<Places, typename S::F, kVectors>(a, heads, entity, gradient, k, S::kF);
  for (; k + S::kF <= a.dim; k += S::kF) gather_tame_at<Places, typename S::F, 1>(a, heads, entity, gradient, k, S::kF);
  for (; k < a.dim; ++k) gather_tame_at<Column, double, 1>(a, heads, entity, gradient, k, 1);
}

template <class S>
HK_INLINE void gather_row(const EntityGradient& a, const TameHeads& heads, uint32_t entity, float* gradient) {
  if (is_tame(a, heads, entity))
    gather_tame<S>(a, heads, entity, gradient);
  else
    gather<S>(a, heads, entity, gradient);
}

constexpr uint32_t kRowsAhead = 8;

// Rows with an item slot, or without `others` all rows, get their gradient written; the others take their step. One function for both, so that
// a gradient has the same bits either way.
template <class S>
HK_INLINE void gather_rows(const EntityGradient& a, const TameHeads& heads, const Adam* others, const AdamRates& rates, uint64_t begin, uint64_t end) {
  thread_local std::vector<float> gradients;
  if (gradients.size() < AdamBlock::kMost * a.dim) gradients.resize(AdamBlock::kMost * a.dim);
  AdamBlock block{};
  for (uint64_t i = begin; i < end; ++i) {
    if (i + kRowsAhead < end && others) prefetch_table_row(others->table, a.rows[i + kRowsAhead]);
    if (i + kRowsAhead < end && !others) prefetch_row(a.entities + size_t{a.rows[i + kRowsAhead]} * a.dim, a.dim * sizeof(float));
    const uint32_t entity = a.rows[i];
    const bool steps = others && others->skip_slot[entity] == kNone;
    float* const gradient = steps ? gradients.data() + block.count * a.dim : a.gradient + i * a.dim;
    gather_row<S>(a, heads, entity, gradient);
    if (!steps) continue;
    block.rows[block.count] = entity, block.gradients[block.count++] = gradient;
    if (block.count == AdamBlock::kMost) adam_block(*others, rates, block), block.count = 0;
  }
  if (others) adam_block(*others, rates, block);
}

HK_DISPATCH(packs, pack_head_rows, (const EntityGradient& a, float* rows, float* weights, uint64_t begin, uint64_t end),
            (a, rows, weights, begin, end))
HK_DISPATCH(gathers, gather_rows,
            (const EntityGradient& a, const TameHeads& heads, const Adam* others, const AdamRates& rates, uint64_t begin, uint64_t end),
            (a, heads, others, rates, begin, end))

// Packs the tame heads into these arrays, which grow with them.
TameHeads pack_heads(ThreadPool& pool, const EntityGradient& a, std::vector<float>& rows, std::vector<float>& weights) {
  if (a.tape.tame == nullptr) return {nullptr, nullptr, false};
  const uint64_t count = *a.head_count;
  if (rows.size() < count * 2 * a.dim) rows.resize(count * 2 * a.dim);
  if (weights.size() < count) weights.resize(count);
  pool.run(count, 64, [&](uint64_t begin, uint64_t end, int) { packs(a, rows.data(), weights.data(), begin, end); });
  return {rows.data(), weights.data(), std::find(a.tape.tame, a.tape.tame + count, 0) == a.tape.tame + count};
}

}  // namespace

void CpuBackend::entity_gradient(const EntityGradient& a) {
  const TameHeads heads = pack_heads(pool_, a, head_rows_, head_weights_);
  pool_.run(*a.row_count, 256, [&](uint64_t begin, uint64_t end, int) { gathers(a, heads, nullptr, {}, begin, end); });
}

void CpuBackend::entity_step(const EntityGradient& a, const Adam& others) {
  const TameHeads heads = pack_heads(pool_, a, head_rows_, head_weights_);
  const AdamRates rates = adam_rates(others);
  pool_.run(*a.row_count, 256, [&](uint64_t begin, uint64_t end, int) { gathers(a, heads, &others, rates, begin, end); });
}

}  // namespace hk
