#pragma once
// A step of a moving average, for average and for the replay of missed steps: one function, so that both leave the same bits.
#include <cstdint>

namespace hk {

// average += weight·(parameters − average); weight 1 copies.
void average_numbers(float* average, const float* parameters, float weight, uint64_t count);

}  // namespace hk
