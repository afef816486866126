// Faults that must be reported: by a sanitizer, or by the checks of this program.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <thread>

#include "../../native/src/buffer.h"
#include "../../native/src/cpu/cpu_backend.h"
#include "selftest.h"

namespace hk {
namespace {

volatile int sink = 0;

// One float beyond a buffer of the backend.
void off_by_one_write() {
  CpuBackend backend(1);
  Buffer<float> buffer(backend, 64);
  volatile size_t end = buffer.size();
  buffer.data()[end] = 1;
}

void off_by_one_read() {
  CpuBackend backend(1);
  const Buffer<float> buffer(backend, std::vector<float>(64));
  volatile size_t end = buffer.size();
  sink = static_cast<int>(buffer.data()[end]);
}

void use_after_free() {
  CpuBackend backend(1);
  float* memory = static_cast<float*>(backend.allocate(256));
  backend.release(memory, 256);
  sink = static_cast<int>(*static_cast<volatile float*>(memory));
}

void leak() {
  CpuBackend backend(1);
  void* memory = backend.allocate(1 << 20);
  std::memset(memory, 1, 1 << 20);
  memory = nullptr;
  sink = memory != nullptr;
}

void undefined_behaviour() {
  volatile int32_t most = 0x7fffffff;
  sink = most + 1;
}

// A sum over all threads without an atomic.
void race() {
  ThreadPool pool(3);
  std::vector<uint64_t> sum(1);
  for (int round = 0; round < 50; ++round)
    pool.run(3, 1, [&](uint64_t begin, uint64_t, int) {
      sum[0] += begin;
      std::this_thread::sleep_for(std::chrono::microseconds(200));  // for the others to take theirs
    });
  sink = static_cast<int>(sum[0]);
}

// A failed allocation that nobody hears of.
void swallowed_allocation() {
  const bool met = with_failing_allocation(1, false, [] {
    if (std::unique_ptr<int>(new (std::nothrow) int(1))) sink = 1;
  });
  check(!met, "an allocation failed and no error came out");
}

}  // namespace

bool plant(const std::string& fault) {
  const struct {
    const char* name;
    void (*run)();
  } all[] = {{"off_by_one_write", off_by_one_write}, {"off_by_one_read", off_by_one_read}, {"use_after_free", use_after_free},
             {"leak", leak},                         {"undefined_behaviour", undefined_behaviour}, {"race", race},
             {"swallowed_allocation", swallowed_allocation}};
  for (const auto& one : all)
    if (fault == one.name) return one.run(), true;
  return false;
}

}  // namespace hk
