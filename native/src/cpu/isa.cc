#include "isa.h"

#include <cstdlib>

namespace hk {
namespace {

IsaLevel detect() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
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
