#pragma once
// Run-time choice of the instruction set. A kernel writes its inner loop once as an always-inlined template over Isa and
// HK_DISPATCH compiles it for every instruction set; the widest one that this processor has is picked once.
// HYPER_KNOW_CPU=baseline|avx2 lowers the choice: parity.test.ts runs the kernel table that way for each that the processor has.
#include <cstddef>
#include <cstdint>
#include <cstring>

#define HK_INLINE inline __attribute__((always_inline))
// Before a loop over the lanes of a vector: its iterations do not depend on each other.
#if defined(__clang__)
#define HK_LANES _Pragma("clang loop vectorize(assume_safety)")
#else
#define HK_LANES _Pragma("GCC ivdep")
#endif

namespace hk {

enum class IsaLevel { baseline, avx2, avx512 };
IsaLevel isa_level();
const char* isa_name();

// Vector types of an instruction set: F = floats, D = doubles, W = 64-bit words of one register, H = as many floats as D has lanes.
template <int Bytes>
struct Isa {
  static constexpr int kF = Bytes / 4, kD = Bytes / 8;
  typedef float F __attribute__((vector_size(Bytes), aligned(4), may_alias));
  typedef double D __attribute__((vector_size(Bytes), aligned(8), may_alias));
  typedef uint64_t W __attribute__((vector_size(Bytes), aligned(8), may_alias));
  typedef float H __attribute__((vector_size(Bytes / 2), aligned(4), may_alias));
};

// HK_DISPATCH(name, body, (Type a, Type b), (a, b)): defines `void name(Type a, Type b)` that runs body<Isa<…>>(a, b).
#if defined(__x86_64__)
#define HK_DISPATCH(name, body, parameters, arguments)                                                                       \
  static void name##_baseline parameters { body<Isa<16>> arguments; }                                                        \
  __attribute__((target("avx2,fma"))) static void name##_avx2 parameters { body<Isa<32>> arguments; }                        \
  __attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,avx2,fma"))) static void name##_avx512 parameters {              \
    body<Isa<64>> arguments;                                                                                                 \
  }                                                                                                                          \
  static void name parameters {                                                                                              \
    switch (isa_level()) {                                                                                                   \
      case IsaLevel::avx512: return name##_avx512 arguments;                                                                 \
      case IsaLevel::avx2: return name##_avx2 arguments;                                                                     \
      default: return name##_baseline arguments;                                                                             \
    }                                                                                                                        \
  }
#else
#define HK_DISPATCH(name, body, parameters, arguments) \
  static void name parameters { body<Isa<16>> arguments; }
#endif

}  // namespace hk
