// Training as a whole, on 1 to 5 threads: the same bits; interrupted; continued; from states that do not fit.
#include <cmath>
#include <thread>

#include "../../native/src/cpu/cpu_backend.h"
#include "../../native/src/error.h"
#include "selftest.h"

namespace hk {
namespace {

HostStateView view_of(const HostState& state) {
  HostStateView view;
  for (const auto& [name, values] : state.floats) view.floats[name] = values;
  for (const auto& [name, values] : state.doubles) view.doubles[name] = values;
  for (const auto& [name, values] : state.integers) view.integers[name] = values;
  return view;
}

bool is_refused(Trainer& trainer, const HostState& state) {
  try {
    trainer.model().restore(view_of(state));
  } catch (const Error& e) {
    return std::string(e.code()) == "ERR_HK_MODEL_FILE";
  }
  return false;
}

void test_restoring(const World& world) {
  const Control control;
  Trainer whole(std::make_unique<CpuBackend>(2), world.options), second(std::make_unique<CpuBackend>(1), world.options);
  whole.epoch(0, 1.0, control);
  const HostState state = whole.model().state();
  for (const auto& [name, values] : state.floats) {
    HostState other = state;
    if (!values.empty()) {
      other.floats[name].pop_back();
      check(is_refused(second, other), world.name + ": a state whose " + name + " is too short is refused");
      for (const float bad : {std::nanf(""), HUGE_VALF}) {
        other = state, other.floats[name].back() = bad;
        check(is_refused(second, other), world.name + ": a state whose " + name + " is not finite is refused");
      }
    }
    other = state, other.floats.erase(name);
    check(is_refused(second, other), world.name + ": a state without " + name + " is refused");
  }
  second.model().restore(view_of(state)), second.set_steps(whole.steps());
  whole.epoch(1, 1.0, control), second.epoch(1, 1.0, control);
  check(whole.model().state().floats == second.model().state().floats, world.name + ": it goes on from its state to the same bits");
}

void test_stopping(const World& world) {
  Control stopped;
  stopped.stop = true;
  Trainer trainer(std::make_unique<CpuBackend>(2), world.options);
  bool aborted = false;
  try {
    trainer.epoch(0, 1.0, stopped);
  } catch (const Aborted&) {
    aborted = true;
  }
  check(aborted, world.name + ": a stopped epoch ends with Aborted");
  Control control;
  std::thread other([&] { control.stop = true; });
  try {
    for (uint32_t epoch = 0; epoch < 200; ++epoch) trainer.epoch(epoch, 1.0, control);
  } catch (const Aborted&) {
  }
  other.join();
}

// Gradients of entities are written before any entity takes its step.
struct TwoPasses final : CpuBackend {
  using CpuBackend::CpuBackend;
  bool steps_with_gradient() const override { return false; }
};

}  // namespace

void test_training() {
  for (const World& world : worlds()) {
    const Bytes one = train(world, 1);
    for (const int threads : {2, 5}) check(train(world, threads) == one, world.name + ": the same bits on " + std::to_string(threads) + " threads");
    check(train(world, std::make_unique<TwoPasses>(3)) == one, world.name + ": the same bits where gradients and steps are two passes");
    test_restoring(world), test_stopping(world);
  }
  const World first = worlds()[0];
  check(train(first, 20) == train(first, 1), first.name + ": the same bits on 20 threads, more than head_lists has parts");
}

}  // namespace hk
