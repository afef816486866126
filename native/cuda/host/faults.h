#pragma once
// Kernels with one planted fault each, for selftest.cc: what the host execution must find.
#include <cstdint>
#include <string>

namespace hk {

class Backend;

// 'none', 'missing_barrier', 'missing_warp_barrier', 'divergent_barrier', 'divergent_shuffle', 'early_return', 'out_of_bounds_shared',
// 'out_of_bounds_global', 'float_order': runs a block-wide reversal of 256 numbers with that fault. Returns a sum that depends on every
// number read.
double run_with_fault(Backend& backend, const std::string& fault);

}  // namespace hk
