// Out of memory is an error: every allocation of a training, a ranking and a restored state fails in turn, once and from there on.
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

#include "../../native/src/cpu/cpu_backend.h"
#include "../../native/src/error.h"
#include "selftest.h"

namespace {

std::atomic<int64_t> until_failure{-1};  // -1: none is to fail
std::atomic<bool> fails_onwards{false};
std::atomic<uint64_t> failed{0};

bool fails() {
  if (until_failure.load(std::memory_order_relaxed) < 0) return false;
  const int64_t before = until_failure.fetch_sub(1);
  if (before > 1 || before < 0) return false;
  if (before == 0) {  // past it
    until_failure = 0;
    if (!fails_onwards) return false;
  } else if (fails_onwards) {
    until_failure = 0;
  }
  ++failed;
  return true;
}

void* allocated(std::size_t bytes) {
  if (void* memory = fails() ? nullptr : std::malloc(bytes ? bytes : 1)) return memory;
  throw std::bad_alloc();
}

}  // namespace

void* operator new(std::size_t bytes) { return allocated(bytes); }
void* operator new[](std::size_t bytes) { return allocated(bytes); }
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept { return fails() ? nullptr : std::malloc(bytes ? bytes : 1); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }

// The linker sends the core's calls here (CMakeLists.txt).
extern "C" int __real_posix_memalign(void** memory, std::size_t alignment, std::size_t bytes);
extern "C" int __wrap_posix_memalign(void** memory, std::size_t alignment, std::size_t bytes);
extern "C" int __wrap_posix_memalign(void** memory, std::size_t alignment, std::size_t bytes) {
  return fails() ? ENOMEM : __real_posix_memalign(memory, alignment, bytes);
}

namespace hk {

bool with_failing_allocation(uint64_t at, bool onwards, const std::function<void()>& work) {
  failed = 0, fails_onwards = onwards, until_failure = static_cast<int64_t>(at);
  try {
    work();
  } catch (...) {
    until_failure = -1;
    throw;
  }
  until_failure = -1;
  return failed > 0;
}

namespace {

// Fails each allocation of `work` until all go well; what comes out must be an error of memory, and the next run must not mind.
void enumerate(const std::string& name, const std::function<Bytes()>& work) {
  const Bytes expected = work();
  for (const bool onwards : {false, true}) {
    uint64_t errors = 0;
    for (uint64_t at = 1;; ++at) {
      std::string other;
      Bytes got;
      bool ended = false, met = false;
      try {
        met = with_failing_allocation(at, onwards, [&] { got = work(); });
        ended = true;
      } catch (const std::bad_alloc&) {
      } catch (const Error& e) {
        if (std::strcmp(e.code(), "ERR_HK_MEMORY") != 0) other = std::string(e.code()) + " " + e.what();
      } catch (const std::exception& e) {
        other = e.what();
      }
      const std::string which = name + ", allocation " + std::to_string(at) + (onwards ? " and all later" : "") + ": ";
      check(other.empty(), which + other);
      if (ended) check(got == expected, which + "it ended, with another result");
      if (ended && !met) break;
      errors += !ended;
    }
    check(work() == expected, name + ": as before, after the failures");
    check(errors > 20, name + ": only " + std::to_string(errors) + " allocations could fail");
    std::printf("  %s%s: %llu failed allocations\n", name.c_str(), onwards ? ", and all later" : "", static_cast<unsigned long long>(errors));
  }
}

}  // namespace

void test_allocations() {
  const std::vector<World> all = worlds();
  const std::pair<size_t, int> runs[] = {{0, 2}, {1, 1}, {4, 1}};
  for (const auto& [i, threads] : runs)
    enumerate(all[i].name + ", " + std::to_string(threads) + " threads", [&, world = i, with = threads] { return train(all[world], with); });
}

}  // namespace hk
