#pragma once
// What a ranking kernel reads of a PointTable and writes of its gradient, in the precision T of the tables.
#include "../src/kernels.h"
#include "launch.h"

namespace hk {

__device__ inline size_t row_of(const PointTable& table, uint32_t id) { return table.slot ? table.slot[id] : id; }

template <class T>
__device__ const T* points_of(const PointTable& table) {
  if constexpr (sizeof(T) == sizeof(float)) return table.f;
  else return table.d;
}

template <class T, class Gradient>  // RankingGradient or SoftmaxGradient
__device__ T* gradient_of(const Gradient& a) {
  if constexpr (sizeof(T) == sizeof(float)) return a.gradient;
  else return a.gradient64;
}

}  // namespace hk
