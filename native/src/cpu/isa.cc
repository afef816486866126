#include "isa.h"

#include <cstdlib>

#if defined(_WIN32)
#include <cpuid.h>
#endif

namespace hk {
namespace {

#if defined(__x86_64__) && defined(_WIN32)
// The run-time part of __builtin_cpu_supports is not among the libraries that Visual Studio links with Clang's objects: the processor is
// asked for what it has, and for the registers that the system saves.
void widest(bool& avx2, bool& avx512) {
  constexpr unsigned kOsxsave = 1u << 27, kFma = 1u << 12, kAvx2 = 1u << 5;
  constexpr unsigned kAvx512 = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;  // F, DQ, BW, VL
  constexpr unsigned kYmm = 0x06, kZmm = 0xe6;                             // states in XCR0
  unsigned eax, ebx, ecx, edx, features;
  avx2 = avx512 = false;
  if (!__get_cpuid_count(7, 0, &eax, &features, &ecx, &edx) || !__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !(ecx & kOsxsave)) return;
  unsigned saved, high;
  __asm__ volatile("xgetbv" : "=a"(saved), "=d"(high) : "c"(0));
  avx2 = (ecx & kFma) && (features & kAvx2) && (saved & kYmm) == kYmm;
  avx512 = avx2 && (features & kAvx512) == kAvx512 && (saved & kZmm) == kZmm;
}
#elif defined(__x86_64__)
void widest(bool& avx2, bool& avx512) {
  __builtin_cpu_init();
  avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl");
}
#endif

IsaLevel detect() {
#if defined(__x86_64__)
  bool avx2, avx512;
  widest(avx2, avx512);
  IsaLevel level = avx512 ? IsaLevel::avx512 : avx2 ? IsaLevel::avx2 : IsaLevel::baseline;
  if (const char* wanted = std::getenv("HYPER_KNOW_CPU")) {
    if (std::strcmp(wanted, "baseline") == 0) level = IsaLevel::baseline;
    if (std::strcmp(wanted, "avx2") == 0 && avx2) level = IsaLevel::avx2;
  }
  return level;
#else
  return IsaLevel::baseline;
#endif
}

}  // namespace

IsaLevel isa_level() {
  static const IsaLevel level = detect();
  return level;
}

const char* isa_name() {
  switch (isa_level()) {
    case IsaLevel::avx512: return "AVX-512";
    case IsaLevel::avx2: return "AVX2";
    default: return "baseline";
  }
}

}  // namespace hk
