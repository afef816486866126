// entity_gradient on the CPU: what the entities are owed stands in the order in which they collect it (TailOrder), so that only the rows of the heads
// are read at random. Of heads that are tame, weight·g_M and weight·v are put side by side in float32 first: a table of two thirds of the bytes, and a
// place for each head instead of two.
#include <algorithm>
#include <utility>
#include <vector>

#include "cpu_backend.h"
#include "rows.h"

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

// weight·g_M and weight·v of each head that is tame.
template <class S>
HK_INLINE void pack_heads(const EntityGradient& a, float* rows, uint64_t begin, uint64_t end) {
  for (uint64_t slot = begin; slot < end; ++slot) {
    if (!a.tape.tame[slot]) continue;
    scale_row<S>(rows + slot * 2 * a.dim, a.weight[slot], a.tape.midpoint_gradient + slot * a.dim, a.dim);
    scale_row<S>(rows + (slot * 2 + 1) * a.dim, a.weight[slot], a.entities + size_t{a.heads[slot]} * a.dim, a.dim);
  }
}

HK_INLINE void prefetch_head(const EntityGradient& a, const float* head_rows, uint32_t slot) {
  if (head_rows != nullptr) return prefetch_row(head_rows + size_t{slot} * 2 * a.dim, 2 * a.dim * sizeof(float));
  prefetch_row(a.tape.midpoint_gradient + size_t{slot} * a.dim, a.dim * sizeof(double));
  prefetch_row(a.entities + size_t{a.heads[slot]} * a.dim, a.dim * sizeof(float));
}

// Terms of Σ weight·(on_midpoint·g_M + on_head·v + on_relation·r + on_tail·t) over the triples at [begin, end); a run of one relation is one
// term, and the tail itself one. A tail or relation of a tame head is tame; its own terms are summed in float32 if all heads that owe them are.
HK_INLINE void collect(const EntityGradient& a, const float* head_rows, uint32_t begin, uint32_t end, uint32_t entity, Piece& piece) {
  const uint32_t most = a.order.offsets[a.entity_count];
  double on_tail = 0, on_relation = 0;
  bool all_tame = true, run_tame = true;
  for (uint32_t place = begin; place < end; ++place) {
    if (place + kAhead < most) prefetch_head(a, head_rows, a.order.entries[place + kAhead].slot);
    const auto [slot, relation] = a.order.entries[place];
    const TripleGradient& triple = a.tape.triples[place];
    const double weight = a.weight[slot];
    const bool tame = head_rows != nullptr && a.tape.tame[slot];
    all_tame = all_tame && tame, run_tame = run_tame && tame;
    on_tail += weight * triple.on_tail, on_relation += weight * triple.on_relation;
    if (tame) {
      const float* const rows = head_rows + size_t{slot} * 2 * a.dim;
      piece.singles.add(triple.on_midpoint, rows);
      if (a.relations) piece.singles.add(triple.on_head, rows + a.dim);
    } else {
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

template <class S>
HK_INLINE void gather_rows(const EntityGradient& a, const float* head_rows, uint64_t first, uint64_t last) {
  thread_local Piece piece;
  thread_local std::vector<double> sums;
  const uint32_t dim = a.dim;
  if (sums.size() < 2 * dim) sums.resize(2 * dim);
  double *const sum = sums.data(), *const part = sum + dim;
  for (uint64_t i = first; i < last; ++i) {
    const uint32_t entity = a.rows[i], end = a.order.offsets[entity + 1];
    uint32_t begin = a.order.offsets[entity];
    prefetch_row(a.entities + size_t{a.rows[std::min<uint64_t>(i + 4, last - 1)]} * dim, dim * sizeof(float));
    const bool several = end - begin > kPiece;
    if (several) std::fill_n(sum, dim, 0.0);
    for (; end - begin > kPiece; begin += kPiece) {
      piece.clear();
      collect(a, head_rows, begin, begin + kPiece, entity, piece);
      store_sum<S>(part, piece, dim);
      add_row<S>(sum, 1.0, part, dim);
    }
    piece.clear();
    collect(a, head_rows, begin, end, entity, piece);
    if (several) piece.doubles.add(1.0, sum);
    if (entity < a.items) {
      const uint32_t head = a.head_slot[entity];
      if (head != kNone) piece.doubles.add(a.weight[head], a.tape.head_gradient + size_t{head} * dim);
      const uint32_t item = a.item_slot ? a.item_slot[entity] : kNone;
      if (item != kNone) piece.floats.add(1.0, a.item_gradient + size_t{item} * dim);
    }
    store_sum<S>(a.gradient + i * dim, piece, dim);
  }
}

HK_DISPATCH(packs, pack_heads, (const EntityGradient& a, float* rows, uint64_t begin, uint64_t end), (a, rows, begin, end))
HK_DISPATCH(rows, gather_rows, (const EntityGradient& a, const float* head_rows, uint64_t begin, uint64_t end), (a, head_rows, begin, end))

}  // namespace

void CpuBackend::entity_gradient(const EntityGradient& a) {
  const uint64_t heads = *a.head_count;
  const float* head_rows = nullptr;
  if (a.tape.tame != nullptr) {
    if (head_rows_.size() < heads * 2 * a.dim) head_rows_.resize(heads * 2 * a.dim);
    pool_.run(heads, 64, [&](uint64_t begin, uint64_t end, int) { packs(a, head_rows_.data(), begin, end); });
    head_rows = head_rows_.data();
  }
  pool_.run(*a.row_count, 256, [&](uint64_t begin, uint64_t end, int) { rows(a, head_rows, begin, end); });
}

}  // namespace hk
