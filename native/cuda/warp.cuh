#pragma once
// What the lanes of a warp, and the warps of a block, do together. All 32 lanes must call a warp function, all threads of the block a
// block function. Sums are taken in one fixed tree, and every caller gets the same bits.
//
// Blocks are (32, warps): threadIdx.x is the lane, threadIdx.y the warp.
#include <cstdint>

#include "launch.h"

namespace hk {

constexpr uint32_t kWarps = 4;  // of a block whose warps work on their own

__device__ inline uint32_t lane_id() { return threadIdx.x; }
// The first piece of work of this warp, and the distance to its next, where every warp takes one piece at a time.
__device__ inline uint32_t first_of_warp() { return blockIdx.x * blockDim.y + threadIdx.y; }
__device__ inline uint32_t warps_of_grid() { return gridDim.x * blockDim.y; }

template <class T>
__device__ inline T warp_sum(T value) {
  for (uint32_t bits = kWarp / 2; bits > 0; bits /= 2) value += __shfl_xor_sync(kAllLanes, value, bits);
  return value;
}
__device__ inline double warp_min(double value) {
  for (uint32_t bits = kWarp / 2; bits > 0; bits /= 2) {
    const double other = __shfl_xor_sync(kAllLanes, value, bits);
    value = other < value ? other : value;
  }
  return value;
}

// Over the block; `shared` holds one number per warp and is free again on return.
__device__ inline double block_sum(double value, double* shared) {
  value = warp_sum(value);
  if (lane_id() == 0) shared[threadIdx.y] = value;
  __syncthreads();
  double sum = 0;
  for (uint32_t w = 0; w < blockDim.y; ++w) sum += shared[w];
  __syncthreads();
  return sum;
}
// Two running sums at a time, below 2³² each.
struct Pair {
  uint32_t first, second;
};
__device__ inline Pair operator+(Pair x, Pair y) { return {x.first + y.first, x.second + y.second}; }

// The sum of the values of all threads before this one, and of all in `total`; `shared` as for block_sum.
__device__ inline Pair block_scan(Pair value, Pair* shared, Pair& total) {
  const uint32_t lane = lane_id();
  Pair sum = value;
  for (uint32_t delta = 1; delta < kWarp; delta *= 2) {
    const Pair before{__shfl_up_sync(kAllLanes, sum.first, delta), __shfl_up_sync(kAllLanes, sum.second, delta)};
    if (lane >= delta) sum = sum + before;
  }
  if (lane == kWarp - 1) shared[threadIdx.y] = sum;
  __syncthreads();
  Pair base{0, 0};
  total = {0, 0};
  for (uint32_t w = 0; w < blockDim.y; ++w) {
    if (w == threadIdx.y) base = total;
    total = total + shared[w];
  }
  __syncthreads();
  return {base.first + sum.first - value.first, base.second + sum.second - value.second};
}

// Numbers in a row: known to the compiler for the sizes that people train with, so that loops over columns unroll, loads go out together
// and nothing is tested; otherwise read from the arguments.
template <uint32_t D>
struct FixedDim {
  static constexpr uint32_t kColumns = D / kWarp;  // per lane
  __host__ __device__ explicit FixedDim(uint32_t) {}
  __host__ __device__ constexpr operator uint32_t() const { return D; }
};
struct AnyDim {
  static constexpr uint32_t kColumns = 8;  // at a time
  __host__ __device__ explicit AnyDim(uint32_t dim) : value(dim) {}
  __host__ __device__ constexpr operator uint32_t() const { return value; }
  uint32_t value;
};
// Calls f with `dim` as one of these types.
template <class F>
void with_dim(uint32_t dim, const F& f) {
  switch (dim) {
    case 32: return f(FixedDim<32>(dim));
    case 64: return f(FixedDim<64>(dim));
    case 128: return f(FixedDim<128>(dim));
    default: return f(AnyDim(dim));
  }
}

// f(k) for the columns k of this lane: lane l has l, l + 32, …
template <uint32_t D, class F>
__device__ inline void for_columns(FixedDim<D>, const F& f) {
  HK_UNROLL
  for (uint32_t i = 0; i < D / kWarp; ++i) f(i * kWarp + lane_id());
}
template <class F>
__device__ inline void for_columns(AnyDim dim, const F& f) {
  for (uint32_t k = lane_id(); k < dim; k += kWarp) f(k);
}

// Rows of `dim` numbers, float32 or float64, summed in float64. The multiply-add is explicit: Adam and its replay must not round differently
// because a compiler joined them differently.
template <class X, class Y, class Dim>
__device__ inline double row_dot(const X* x, const Y* y, Dim dim) {
  double sum = 0;
  for_columns(dim, [&](uint32_t k) { sum = std::fma(static_cast<double>(x[k]), static_cast<double>(y[k]), sum); });
  return warp_sum(sum);
}
// ‖x − y‖²
template <class X, class Y, class Dim>
__device__ inline double row_sqdist(const X* x, const Y* y, Dim dim) {
  double sum = 0;
  for_columns(dim, [&](uint32_t k) {
    const double difference = static_cast<double>(x[k]) - static_cast<double>(y[k]);
    sum = std::fma(difference, difference, sum);
  });
  return warp_sum(sum);
}
// out = a·x + b·y
template <class O, class X, class Y, class Dim>
__device__ inline void row_combine(O* out, double a, const X* x, double b, const Y* y, Dim dim) {
  for_columns(dim, [&](uint32_t k) { out[k] = static_cast<O>(a * x[k] + b * y[k]); });
}

// out = a·(x − y) + b·x: where x and y are near, a·x and a·y are not, and rounding them would be more than their difference.
template <class Dim>
__device__ inline void row_difference(float* out, double a, const float* x, const float* y, double b, Dim dim) {
  for_columns(dim, [&](uint32_t k) {
    const double at = x[k];
    out[k] = static_cast<float>(a * (at - double{y[k]}) + b * at);
  });
}

// A warp's accumulators for as many columns of a row as its lanes hold at a time, from column `base` on; a row of fixed length whole.
template <class Dim>
struct Columns {
  static constexpr uint32_t kAtOnce = Dim::kColumns * kWarp;
  double sum[Dim::kColumns] = {};

  // f(sum, column) for each
  template <class F>
  __device__ void each(uint32_t base, Dim dim, const F& f) {
    HK_UNROLL
    for (uint32_t i = 0; i < Dim::kColumns; ++i) {
      const uint32_t k = base + i * kWarp + lane_id();
      if (dim == kAtOnce || k < dim) f(sum[i], k);
    }
  }
  template <class X>
  __device__ void add(double a, const X* x, uint32_t base, Dim dim) {
    each(base, dim, [&](double& own, uint32_t k) { own += a * x[k]; });
  }
  template <class O>
  __device__ void store(O* out, uint32_t base, Dim dim) {
    each(base, dim, [&](double own, uint32_t k) { out[k] = static_cast<O>(own); });
  }
};

}  // namespace hk
