#pragma once
// Several rows at a time in one warp, for kernels that need many short sums over columns; and teams of one warp or one block.
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

// This lane's part of the row that it works on.
template <class Dim>
struct Part {
  static constexpr bool kWhole = !std::is_same_v<Dim, AnyDim>;  // a row needs one turn
  static constexpr uint32_t kPerRow = Layout<Dim>::kPerRow, kColumns = Layout<Dim>::kColumns, kRows = kWarp / kPerRow;
  const Dim dim;
  const uint32_t place, own;  // which of the kRows rows, which lane of that row

  __device__ explicit Part(Dim dim) : dim(dim), place(lane_id() / kPerRow), own(lane_id() % kPerRow) {}

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
  // Over the lanes of a row; all of them get it.
  __device__ double sum(double value) const {
    HK_UNROLL
    for (uint32_t bits = kPerRow / 2; bits > 0; bits /= 2) value += __shfl_xor_sync(kAllLanes, value, bits);
    return value;
  }
  // Over the rows.
  __device__ double over_rows(double value) const {
    HK_UNROLL
    for (uint32_t bits = kPerRow; bits < kWarp; bits *= 2) value += __shfl_xor_sync(kAllLanes, value, bits);
    return value;
  }
};

// Those who work on one head: a warp, or all warps of a block.
template <bool Alone>
struct Team {
  const uint32_t warp = Alone ? 0 : threadIdx.y, warps = Alone ? 1 : blockDim.y, thread = warp * kWarp + lane_id(), threads = warps * kWarp;
  double* const shared;  // [warps]

  __device__ explicit Team(double* sums) : shared(sums) {}
  __device__ void sync() const {
    if constexpr (Alone)
      __syncwarp();
    else
      __syncthreads();
  }
  // Sum and least; what the team wrote before is visible after.
  __device__ double sum(double value) const {
    if constexpr (!Alone) return block_sum(value, shared);
    __syncwarp();
    return warp_sum(value);
  }
  __device__ double least(double value) const {
    if constexpr (!Alone) return block_min(value, shared);
    __syncwarp();
    return warp_min(value);
  }
};

}  // namespace hk
