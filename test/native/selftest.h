#pragma once
// Parts of core_selftest (main.cc): what they share.
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "../../native/src/trainer.h"

namespace hk {

// Counts, and prints what did not pass.
void check(bool passed, const std::string& what);

// ── worlds.cc ──

// A small training: graph with empty, repeated and self-referring heads, a user with all items, and every kernel of the step that the
// options ask for.
struct World {
  std::string name;
  TrainerOptions options;
};
std::vector<World> worlds();
// Rows in all directions with √c‖x‖ from near 0 to next to the boundary.
std::vector<float> random_rows(uint64_t seed, uint32_t rows, uint32_t dim, double curvature);

// All that a training leaves: two epochs, full ranking, parameters and state; every number of it, to the bit.
using Bytes = std::vector<unsigned char>;
Bytes train(const World& world, int threads);
Bytes train(const World& world, std::unique_ptr<Backend> backend);

// ── the parts ──
void test_kernels();
void test_training();
void test_threads();
void test_allocations();
// Runs work with the `at`-th allocation from now failing, and all later ones if `onwards`; returns whether one failed.
bool with_failing_allocation(uint64_t at, bool onwards, const std::function<void()>& work);

// Does what a sanitizer must report, or test_allocations: exits in silence where nothing stops it. False: no such fault.
bool plant(const std::string& fault);

}  // namespace hk
