#pragma once
// How much of a step's parameters goes into the moving average (kernels.h, Average); host and device.
#include <cmath>
#include <cstdint>

#include "ball.h"

namespace hk {

// (1 − decay)/(1 − decayⁿ) at step number step = n·every, 1 before the first of them, 0 where the average stands still.
HK_HOST_DEVICE inline float average_weight(double decay, uint32_t every, uint32_t step) {
  if (step < every) return 1.0f;
  if (step % every != 0) return 0.0f;
  return static_cast<float>((1.0 - decay) / (1.0 - std::pow(decay, static_cast<double>(step / every))));
}

}  // namespace hk
