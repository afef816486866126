#pragma once
// A step of a moving average, for average and for the replay of missed steps. The weight is compiled once and the numbers move in
// single-rounding intrinsics, so that both leave the same bits.
#include "../src/averaging.h"
#include "../src/kernels.h"
#include "launch.h"

namespace hk {

static __device__ HK_NOINLINE float moving_average_weight(double decay, uint32_t every, uint32_t step) {
  return average_weight(decay, every, step);
}

__device__ inline float moved_average(float average, float now, float weight) {
  return weight == 1.0f ? now : __fmaf_rn(weight, __fsub_rn(now, average), average);
}

}  // namespace hk
