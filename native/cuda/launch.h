#pragma once
// The one way to start a kernel. A build with HK_CUDA_ON_HOST compiles the same sources as C++ and runs them fiber by fiber on the
// host (host/machine.h); everything that tells the two apart stands here.
//
// Kernels take their work from a grid-stride loop, so that any grid computes the same bits: counts known only to the device are read
// through pointers, and a launch for `capacity` is merely large enough.
#include <cuda_runtime.h>

#include <cstdint>

#include "cuda_check.h"

namespace hk {

constexpr uint32_t kWarp = 32;
constexpr uint32_t kAllLanes = 0xffffffffu;

#if defined(HK_CUDA_ON_HOST)
constexpr uint32_t kMostBlocks = 8;
#else
constexpr uint32_t kMostBlocks = 8192;  // a few waves on the largest GPU; beyond it blocks loop
#endif

// Blocks for `work` pieces, `per_block` at a time.
inline uint32_t blocks_for(uint64_t work, uint32_t per_block) {
  const uint64_t blocks = (work + per_block - 1) / per_block;
  return static_cast<uint32_t>(blocks < kMostBlocks ? blocks : kMostBlocks);
}

// Dynamic shared memory as an array of T; a function that is compiled once, not into each of its callers; a loop that is
// written out, and one that is not.
#if defined(HK_CUDA_ON_HOST)
#define HK_NOINLINE __attribute__((noinline))
#define HK_UNROLL
#define HK_ROLLED
#define HK_DYNAMIC_SHARED(T, name) T* const name = static_cast<T*>(::hk::host::now.dynamic_shared)
#else
#define HK_NOINLINE __noinline__
#define HK_UNROLL _Pragma("unroll")
#define HK_ROLLED _Pragma("unroll 1")
#define HK_DYNAMIC_SHARED(T, name)                                \
  extern __shared__ __align__(16) unsigned char dynamic_shared[]; \
  T* const name = reinterpret_cast<T*>(dynamic_shared)
#endif

// Starts kernel(arguments...) on the stream; an empty grid is skipped. `name` is what an error says.
template <class... Parameters, class... Arguments>
void launch(const char* name, void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream,
            const Arguments&... arguments) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
#if defined(HK_CUDA_ON_HOST)
  static_cast<void>(stream);
  auto body = [&] { kernel(arguments...); };
  host::run(name, grid, block, shared_bytes, [](void* p) { (*static_cast<decltype(body)*>(p))(); }, &body);
#else
  if (shared_bytes > 48 * 1024)  // more than every GPU grants unasked
    check_cuda(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_bytes)), name);
  kernel<<<grid, block, shared_bytes, stream>>>(arguments...);
  check_cuda(cudaGetLastError(), name);
#endif
}

}  // namespace hk
