// entity_gradient and entity_step on the CPU: what the entities are owed stands in the order in which they collect it (TailOrder), so that only the
// rows of the heads are read at random. Of heads that are tame, weight·g_M and weight·v are put side by side in float32 first: a table of two thirds of
// the bytes, and a place for each head instead of two. What tame heads owe is summed in registers (add_tame), a piece of triples at a time; terms of
// other heads are collected first and summed in float64 (collect). In entity_step a block of gradients goes from there into Adam and is never
// written to memory.
#include <algorithm>
#include <type_traits>
#include <utility>
#include <vector>

#include "adam_block.h"
#include "cpu_backend.h"
#include "row_blocks.h"
#include "tape.h"

namespace hk {
namespace {

constexpr uint32_t kPiece = 128;  // triples that are added up before their sum goes into float64
constexpr uint32_t kAhead = 12;   // triples between the request for their heads' rows and their use

// Rows with their factors.
template <class X, uint32_t kMost>
struct Terms {
  uint32_t count = 0;
  double factor[kMost];
  const X* row[kMost];

  HK_INLINE void add(double f, const X* r) { factor[count] = f, row[count++] = r; }
};

// The terms of a piece: two a triple, one a relation, and the tail.
struct Piece {
  Terms<float, 2 * kPiece + 1> floats;
  Terms<double, kPiece> doubles;
};

// sum[i] += Σ factor·row at the i-th vector of columns from k. The indices are constants, so that the sums stay in registers.
template <class S, int... kIndex, class T>
HK_INLINE void add_terms(typename S::D* sum, const T& terms, uint32_t k, std::integer_sequence<int, kIndex...>) {
  for (uint32_t t = 0; t < terms.count; ++t) ((sum[kIndex] += terms.factor[t] * load<S>(terms.row[t] + k + kIndex * S::kD)), ...);
}

// out += Σ factor·row over all terms, at kVectors vectors.
template <class S, int kVectors>
HK_INLINE void add_piece_at(double* out, const Piece& piece, uint32_t k) {
  constexpr auto all = std::make_integer_sequence<int, kVectors>{};
  typename S::D sum[kVectors];
  for (int i = 0; i < kVectors; ++i) sum[i] = load<S>(out + k + i * S::kD);
  add_terms<S>(sum, piece.doubles, k, all), add_terms<S>(sum, piece.floats, k, all);
  for (int i = 0; i < kVectors; ++i) store<S>(out + k + i * S::kD, sum[i]);
}

template <class S>
HK_INLINE void add_piece(double* out, const Piece& piece, uint32_t dim) {
  constexpr int kVectors = 8;
  uint32_t k = 0;
  for (; k + kVectors * S::kD <= dim; k += kVectors * S::kD) add_piece_at<S, kVectors>(out, piece, k);
  for (; k + S::kD <= dim; k += S::kD) add_piece_at<S, 1>(out, piece, k);
  for (; k < dim; ++k) {
    const auto add = [&](const auto& terms) {
      for (uint32_t t = 0; t < terms.count; ++t) out[k] += terms.factor[t] * terms.row[t][k];
    };
    add(piece.doubles), add(piece.floats);
  }
}

// What a thread works in.
struct Scratch {
  Piece piece;
  std::vector<double> sum;       // [dim]
  std::vector<float> gradients;  // [AdamBlock::kMost, dim]
};

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

// How many of the triples at [begin, end) are of tame heads.
HK_INLINE uint32_t count_tame(const EntityGradient& a, const TameHeads& heads, uint32_t begin, uint32_t end) {
  if (heads.rows == nullptr) return 0;
  if (heads.all) return end - begin;
  uint32_t tame = 0;
  for (uint32_t place = begin; place < end; ++place) tame += a.tape.tame[a.order.entries[place].slot];
  return tame;
}

// Whether the next triple begins with another relation, or there is none.
HK_INLINE bool ends_run(const EntityGradient& a, uint32_t place, uint32_t end) {
  return place + 1 == end || a.order.entries[place + 1].relation != a.order.entries[place].relation;
}

// The terms of Σ weight·(on_midpoint·g_M + on_head·v + on_relation·r + on_tail·t) over the triples at [begin, end) of heads that are not tame; a run of one
// relation is one term, and the tail itself one.
HK_INLINE void collect(const EntityGradient& a, uint32_t begin, uint32_t end, uint32_t entity, Piece& piece) {
  const auto midpoint_gradient = [&](uint32_t slot) { return a.tape.midpoint_gradient + size_t{slot} * a.dim; };
  const auto head = [&](uint32_t slot) { return a.entities + size_t{a.heads[slot]} * a.dim; };
  const uint32_t most = a.order.offsets[a.entity_count];
  double on_tail = 0, on_relation = 0;
  piece.floats.count = piece.doubles.count = 0;
  for (uint32_t place = begin; place < end; ++place) {
    if (place + kAhead < most) {
      const uint32_t later = a.order.entries[place + kAhead].slot;
      prefetch_row(midpoint_gradient(later), a.dim * sizeof(double)), prefetch_floats(head(later), a.dim);
    }
    const auto [slot, relation] = a.order.entries[place];
    if (a.tape.tame == nullptr || !a.tape.tame[slot]) {
      const double weight = a.weight[slot];
      const TripleGradient& triple = a.tape.triples[place];
      on_tail += weight * triple.on_tail, on_relation += weight * triple.on_relation;
      piece.doubles.add(weight * triple.on_midpoint, midpoint_gradient(slot));
      if (a.relations) piece.floats.add(weight * triple.on_head, head(slot));
    }
    if (!a.relations || on_relation == 0 || !ends_run(a, place, end)) continue;
    piece.floats.add(on_relation, a.relations + size_t{relation} * a.dim);
    on_relation = 0;
  }
  piece.floats.add(on_tail, a.entities + size_t{entity} * a.dim);
}

// The same sum over heads that are tame, added to `out` or, in float32, stored there: kCount places of the row, in registers. kAll: there is no other
// head among these. Place(first + i·width) is a vector of columns or one.
template <bool kAll, class Place, class Value, int kCount, class Out>
HK_INLINE void add_tame_at(const EntityGradient& a, const TameHeads& heads, uint32_t begin, uint32_t end, uint32_t entity, Out* out,
                           uint32_t first, uint32_t width) {
  const uint32_t dim = a.dim, most = a.order.offsets[a.entity_count];
  const auto at = [&](int i) __attribute__((always_inline)) { return Place{first + i * width}; };
  Value sum[kCount] = {};
  float on_tail = 0, on_relation = 0;
  for (uint32_t place = begin; place < end; ++place) {
    if (first == 0 && place + kAhead < most) prefetch_floats(heads.rows + size_t{a.order.entries[place + kAhead].slot} * 2 * dim, 2 * dim);
    const auto [slot, relation] = a.order.entries[place];
    if (kAll || a.tape.tame[slot]) {
      const SingleTripleGradient triple = a.tape.singles[place];
      const float weight = heads.weights[slot];
      const float* const rows = heads.rows + size_t{slot} * 2 * dim;
      on_tail += weight * triple.on_tail;
      if (!a.relations) {
        for (int i = 0; i < kCount; ++i) sum[i] += triple.on_midpoint * at(i)(rows);
        continue;
      }
      for (int i = 0; i < kCount; ++i) sum[i] += triple.on_midpoint * at(i)(rows) + triple.on_head * at(i)(rows + dim);
      on_relation += weight * triple.on_relation;
    }
    if (!a.relations || !ends_run(a, place, end)) continue;
    const float* const r = a.relations + size_t{relation} * dim;
    for (int i = 0; i < kCount; ++i) sum[i] += on_relation * at(i)(r);
    on_relation = 0;
  }
  const float* const tail = a.entities + size_t{entity} * dim;
  for (int i = 0; i < kCount; ++i) {
    const Value all = sum[i] + on_tail * at(i)(tail);
    if constexpr (std::is_same_v<Out, double>)
      at(i).add(out, all);
    else
      at(i).store(out, all);
  }
}

template <class S, bool kAll, class Out>
HK_INLINE void add_tame(const EntityGradient& a, const TameHeads& heads, uint32_t begin, uint32_t end, uint32_t entity, Out* out) {
  using Places = SingleColumns<S>;
  constexpr int kVectors = S::kF == 16 ? 4 : 8;  // 64 columns, or as many as leave registers for the factors
  uint32_t k = 0;
  for (; k + kVectors * S::kF <= a.dim; k += kVectors * S::kF)
    add_tame_at<kAll, Places, typename S::F, kVectors>(a, heads, begin, end, entity, out, k, S::kF);
  for (; k + S::kF <= a.dim; k += S::kF) add_tame_at<kAll, Places, typename S::F, 1>(a, heads, begin, end, entity, out, k, S::kF);
  for (; k < a.dim; ++k) add_tame_at<kAll, Column, double, 1>(a, heads, begin, end, entity, out, k, 1);
}

// The gradient of an entity: what it is owed as a tail, as a head and as an item.
template <class S>
HK_INLINE void gather(const EntityGradient& a, const TameHeads& heads, uint32_t entity, float* gradient, Scratch& scratch) {
  const uint32_t dim = a.dim, end = a.order.offsets[entity + 1];
  uint32_t begin = a.order.offsets[entity];
  const uint32_t head = entity < a.items ? a.head_slot[entity] : kNone;
  const uint32_t item = entity < a.items && a.item_slot ? a.item_slot[entity] : kNone;
  if (head == kNone && item == kNone && end - begin <= kPiece && count_tame(a, heads, begin, end) == end - begin)
    return add_tame<S, true>(a, heads, begin, end, entity, gradient);

  double* const sum = scratch.sum.data();
  std::fill_n(sum, dim, 0.0);
  while (begin < end) {
    const uint32_t until = std::min(begin + kPiece, end);
    const uint32_t tame = count_tame(a, heads, begin, until);
    if (tame == until - begin) {
      add_tame<S, true>(a, heads, begin, until, entity, sum);
    } else {
      if (tame > 0) add_tame<S, false>(a, heads, begin, until, entity, sum);
      collect(a, begin, until, entity, scratch.piece), add_piece<S>(sum, scratch.piece, dim);
    }
    begin = until;
  }
  if (head != kNone) add_row<S>(sum, a.weight[head], a.tape.head_gradient + size_t{head} * dim, dim);
  if (item != kNone) add_row<S>(sum, 1.0, a.item_gradient + size_t{item} * dim, dim);
  scale_row<S>(gradient, 1.0, sum, dim);
}

constexpr uint32_t kRowsAhead = 8;

// Rows with an item slot, or without `others` all rows, get their gradient written; the others take their step. One function for both, so that
// a gradient has the same bits either way.
template <class S>
HK_INLINE void gather_rows(const EntityGradient& a, const TameHeads& heads, const Adam* others, const AdamRates& rates, uint64_t begin, uint64_t end) {
  thread_local Scratch own;
  Scratch& scratch = own;
  if (scratch.sum.size() < a.dim) scratch.sum.resize(a.dim), scratch.gradients.resize(AdamBlock::kMost * a.dim);
  AdamBlock block{};
  for (uint64_t i = begin; i < end; ++i) {
    if (i + kRowsAhead < end && others) prefetch_table_row(others->table, a.rows[i + kRowsAhead]);
    if (i + kRowsAhead < end && !others) prefetch_row(a.entities + size_t{a.rows[i + kRowsAhead]} * a.dim, a.dim * sizeof(float));
    const uint32_t entity = a.rows[i];
    const bool steps = others && others->skip_slot[entity] == kNone;
    float* const gradient = steps ? scratch.gradients.data() + block.count * a.dim : a.gradient + i * a.dim;
    gather<S>(a, heads, entity, gradient, scratch);
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
