#pragma once
// A block of rows of a table under Adam, for adam and for entity_step, which makes the gradients as it goes.
#include <cstddef>
#include <cstdint>

#include "../kernels.h"
#include "rows.h"

namespace hk {

// Rates of one step number: lr·√(1−β2^t)/(1−β1^t) and ε·√(1−β2^t). 1 − β2 is rounded, not taken from a rounded β2.
struct AdamRates {
  float beta1, rest1, beta2, rest2, rate, epsilon;
};
// Of the step that comes next.
AdamRates adam_rates(const Adam& a);

// A step that a row missed: its rates, and how much of the parameters goes into their average after it.
struct MissedStep {
  AdamRates rates;
  float into_average;
};

// The rows, their gradients, and what the passes leave for each other. Lanes beyond count are there to be computed, not used.
struct AdamBlock {
  static constexpr uint32_t kMost = 8;
  uint32_t count;
  size_t rows[kMost];
  const float* gradients[kMost];  // ∂/∂point
  const float* zero;              // the gradient of rows that have none: only their moments move
  float on_w[kMost], on_g[kMost];  // the gradient on the parameters is on_w·w + on_g·∂/∂point
  double sqnorm[kMost];            // ‖w‖²
  double w_dot_g[kMost], across[kMost], along[kMost];
};

// Adam of these rows, of which a.rows and a.gradient need not know.
void adam_block(const Adam& a, const AdamRates& r, AdamBlock& b);

HK_INLINE void prefetch_table_row(const AdamTable& table, size_t row) {
  const size_t at = row * table.dim, bytes = table.dim * sizeof(float);
  prefetch_row(table.parameters + at, bytes), prefetch_row(table.first + at, bytes), prefetch_row(table.second + at, bytes);
  if (table.points && table.points != table.parameters) prefetch_row(table.points + at, bytes);
}

}  // namespace hk
