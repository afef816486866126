#pragma once
// Several rows at a time in one warp, for kernels that need many short sums over columns.
#include <type_traits>

#include "warp.cuh"

namespace hk {

// How the lanes of a warp share rows of entities and relations: kPerRow lanes on a row, kColumns of its columns each. Rows of a length that is
// not known are taken by all 32 lanes, 64 columns at a time.
template <class Dim>
struct Layout;
template <uint32_t D>
struct Layout<FixedDim<D>> {
  static constexpr uint32_t kPerRow = D < 128 ? 8 : 16, kColumns = D / kPerRow;
};
template <>
struct Layout<AnyDim> {
  static constexpr uint32_t kPerRow = kWarp, kColumns = 2;
};

// Lanes that work together: a whole warp, or each half or quarter of one on something of its own. All 32 lanes make every call.
template <uint32_t L>
struct Lanes {
  __device__ static uint32_t lane() { return lane_id() % L; }
  __device__ static uint32_t team() { return lane_id() / L; }
  // What lane `lane` of the team has.
  template <class T>
  __device__ static T from(T value, uint32_t lane) {
    return __shfl_sync(kAllLanes, value, team() * L + lane);
  }
  __device__ static uint32_t ballot(bool predicate) {
    const uint32_t all = __ballot_sync(kAllLanes, predicate);
    return L == kWarp ? all : all >> team() * L & ((1u << (L % kWarp)) - 1);
  }
  template <class T>
  __device__ static T sum(T value) {
    HK_UNROLL
    for (uint32_t bits = L / 2; bits > 0; bits /= 2) value += __shfl_xor_sync(kAllLanes, value, bits);
    return value;
  }
  // The largest that a team of the warp has: how often all of them go round together.
  __device__ static uint32_t most(uint32_t value) {
    HK_UNROLL
    for (uint32_t bits = L; bits < kWarp; bits *= 2) {
      const uint32_t other = __shfl_xor_sync(kAllLanes, value, bits);
      value = other > value ? other : value;
    }
    return value;
  }
};

// The place-th bit that is set, or the first of `all` where there are fewer.
__device__ inline uint32_t bit_at(uint32_t bits, uint32_t place, uint32_t all) {
  for (uint32_t p = 0; p < place; ++p) bits &= bits - 1;
  return static_cast<uint32_t>(__ffs(bits ? bits : all)) - 1;
}
__device__ inline uint32_t without_first(uint32_t bits, uint32_t count) {
  for (uint32_t p = 0; p < count; ++p) bits &= bits - 1;
  return bits;
}

// This lane's part of the row that it works on, where L lanes take L / kPerRow rows at a time.
template <class Dim, uint32_t L = kWarp>
struct Part {
  static constexpr bool kWhole = !std::is_same_v<Dim, AnyDim>;  // a row needs one turn
  static constexpr uint32_t kPerRow = Layout<Dim>::kPerRow, kColumns = Layout<Dim>::kColumns, kRows = L / kPerRow;
  using OfRow = Lanes<kPerRow>;  // the lanes of a row
  const Dim dim;
  const uint32_t place, own;  // which of the kRows rows, which lane of that row

  __device__ explicit Part(Dim dim) : dim(dim), place(lane_id() % L / kPerRow), own(lane_id() % kPerRow) {}

  // f(base) for each turn
  template <class F>
  __device__ void turns(const F& f) const {
    if constexpr (kWhole)
      f(0u);
    else
      HK_UNROLL_BY(1) for (uint32_t base = 0; base < dim; base += kWarp * kColumns) f(base);
  }
  // f(i, k) for the i-th of this lane's columns, k
  template <class F>
  __device__ void columns(uint32_t base, const F& f) const {
    HK_UNROLL
    for (uint32_t i = 0; i < kColumns; ++i) {
      const uint32_t k = kWhole ? i / 4 * 4 * kPerRow + own * 4 + i % 4 : base + i * kWarp + own;
      if (kWhole || k < dim) f(i, k);
    }
  }
  __device__ void load(float (&x)[kColumns], const float* row, uint32_t base) const {
    if constexpr (kWhole) {
      HK_UNROLL
      for (uint32_t i = 0; i < kColumns; i += 4) {
        const float4 four = *reinterpret_cast<const float4*>(row + i * kPerRow + own * 4);
        x[i] = four.x, x[i + 1] = four.y, x[i + 2] = four.z, x[i + 3] = four.w;
      }
    } else {
      columns(base, [&](uint32_t i, uint32_t k) { x[i] = row[k]; });
    }
  }
  __device__ void load(double (&x)[kColumns], const double* row, uint32_t base) const {
    if constexpr (kWhole) {
      HK_UNROLL
      for (uint32_t i = 0; i < kColumns; i += 2) {
        const double2 two = *reinterpret_cast<const double2*>(row + i / 4 * 4 * kPerRow + own * 4 + i % 4);
        x[i] = two.x, x[i + 1] = two.y;
      }
    } else {
      columns(base, [&](uint32_t i, uint32_t k) { x[i] = row[k]; });
    }
  }
  __device__ void store(float* row, const float (&x)[kColumns], uint32_t base) const {
    if constexpr (kWhole) {
      HK_UNROLL
      for (uint32_t i = 0; i < kColumns; i += 4)
        *reinterpret_cast<float4*>(row + i * kPerRow + own * 4) = make_float4(x[i], x[i + 1], x[i + 2], x[i + 3]);
    } else {
      columns(base, [&](uint32_t i, uint32_t k) { row[k] = x[i]; });
    }
  }
  __device__ void store(double* row, const double (&x)[kColumns], uint32_t base) const {
    if constexpr (kWhole) {
      HK_UNROLL
      for (uint32_t i = 0; i < kColumns; i += 2)
        *reinterpret_cast<double2*>(row + i / 4 * 4 * kPerRow + own * 4 + i % 4) = make_double2(x[i], x[i + 1]);
    } else {
      columns(base, [&](uint32_t i, uint32_t k) { row[k] = x[i]; });
    }
  }
  // Sums in float64, as the numbers of `out`.
  __device__ void store(float* row, const double (&x)[kColumns], uint32_t base) const {
    float rounded[kColumns];
    HK_UNROLL
    for (uint32_t i = 0; i < kColumns; ++i) rounded[i] = static_cast<float>(x[i]);
    store(row, rounded, base);
  }
  // sum += a·row
  template <class T>
  __device__ void add(double (&sum)[kColumns], double a, const T* row, uint32_t base) const {
    T x[kColumns];
    load(x, row, base);
    columns(base, [&](uint32_t i, uint32_t) { sum[i] = std::fma(a, static_cast<double>(x[i]), sum[i]); });
  }
  // Over the lanes of a row; all of them get it.
  __device__ double sum(double value) const { return OfRow::sum(value); }
  // Over the rows of the L lanes.
  __device__ double over_rows(double value) const {
    HK_UNROLL
    for (uint32_t bits = kPerRow; bits < L; bits *= 2) value += __shfl_xor_sync(kAllLanes, value, bits);
    return value;
  }
};

// A row that is looked at several times: it stands in registers where it fits, and is read again for every turn where it does not.
template <class T, class P>
struct Row {
  T* memory;
  std::remove_const_t<T> x[P::kColumns];

  __device__ Row(const P& part, T* row) : memory(row) {
    if constexpr (P::kWhole) part.load(x, row, 0);
  }
  __device__ explicit Row(T* unwritten) : memory(unwritten) {}
  __device__ void turn(const P& part, uint32_t base) {
    if constexpr (!P::kWhole) part.load(x, memory, base);
  }
};
// x·y of two rows, explicitly fused: Adam and its replay must not round differently because a compiler joined them differently.
template <class X, class Y, class P>
__device__ double dot(const P& part, Row<X, P>& x, Row<Y, P>& y) {
  double sum = 0;
  part.turns([&](uint32_t base) {
    x.turn(part, base), y.turn(part, base);
    part.columns(base, [&](uint32_t i, uint32_t) { sum = std::fma(static_cast<double>(x.x[i]), static_cast<double>(y.x[i]), sum); });
  });
  return part.sum(sum);
}

// f(i, here) for all i < count that fall to this warp, kRows at a time: each row's lanes get their own i. Past the last, `here` is false and i a
// place that others work on; all lanes go along.
template <class P, class F>
__device__ void rows_of_warp(const P& part, uint32_t count, const F& f) {
  for (uint32_t first = first_of_warp() * P::kRows; first < count; first += warps_of_grid() * P::kRows) {
    const bool here = first + part.place < count;
    f(here ? first + part.place : first, here);
  }
}
// Blocks of (32, kWarps) for that.
template <class P>
uint32_t blocks_for_rows(uint64_t rows) {
  return blocks_for(rows, kWarps * P::kRows);
}

}  // namespace hk
