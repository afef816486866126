// The native core without Node, on the CPU backend: what sanitizers watch, and where allocations fail. scripts/sanitize.mjs builds it under
// AddressSanitizer with UndefinedBehaviorSanitizer and LeakSanitizer, and under ThreadSanitizer, runs it, and plants faults.
//   core_selftest [kernels] [training] [threads] [allocations]     expected last line: "core selftest: N checks, 0 failed"
//   core_selftest plant FAULT                                      must not end with status 0
#include <cstdio>
#include <cstring>

#include "selftest.h"

namespace hk {
namespace {
uint64_t checks = 0, failures = 0;
}

void check(bool passed, const std::string& what) {
  ++checks;
  if (passed) return;
  if (++failures <= 20) std::printf("FAILED  %s\n", what.c_str());
}

int selftest(int count, char** parts) {
  const struct {
    const char* name;
    void (*run)();
  } all[] = {{"kernels", test_kernels}, {"training", test_training}, {"threads", test_threads}, {"allocations", test_allocations}};
  for (const auto& part : all) {
    bool wanted = count == 0;
    for (int i = 0; i < count; ++i) wanted = wanted || std::strcmp(parts[i], part.name) == 0;
    if (wanted) part.run();
  }
  std::printf("core selftest: %llu checks, %llu failed\n", static_cast<unsigned long long>(checks), static_cast<unsigned long long>(failures));
  return failures > 0 || checks == 0;
}

}  // namespace hk

int main(int argc, char** argv) {
  try {
    if (argc == 3 && std::strcmp(argv[1], "plant") == 0) {
      if (!hk::plant(argv[2])) return std::printf("no such fault\n"), 2;
      return hk::failures > 0;
    }
    return hk::selftest(argc - 1, argv + 1);
  } catch (const std::exception& e) {
    std::printf("core selftest: %s\n", e.what());
    return 1;
  }
}
