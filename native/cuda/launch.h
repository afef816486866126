#pragma once
// The one way to start a kernel. A build with HK_CUDA_ON_HOST compiles the same sources as C++ and runs them fiber by fiber on the
// host (host/machine.h); everything that tells the two apart stands here.
//
// Kernels take their work from a grid-stride loop, so that any grid computes the same bits: counts known only to the device are read
// through pointers, and a launch for `capacity` is merely large enough.
#include <cuda_runtime.h>
#if !defined(HK_CUDA_ON_HOST)
#include <cuda_pipeline_primitives.h>
#endif

#include <cstdint>

#include "cuda_check.h"

namespace hk {

constexpr uint32_t kWarp = 32;
constexpr uint32_t kAllLanes = 0xffffffffu;

#if defined(HK_CUDA_ON_HOST)
constexpr uint32_t kMostBlocks = 8;
#else
constexpr uint32_t kMostBlocks = 4096;  // more than the largest GPU has resident; beyond it blocks loop, which costs less than starting them
#endif

// Blocks for `work` pieces, `per_block` at a time.
inline uint32_t blocks_for(uint64_t work, uint32_t per_block) {
  const uint64_t blocks = (work + per_block - 1) / per_block;
  return static_cast<uint32_t>(blocks < kMostBlocks ? blocks : kMostBlocks);
}

// Dynamic shared memory as an array of T; a function that is compiled once, not into each of its callers; a loop that is unrolled
// wholly, because it indexes registers; one that is unrolled n times, no more, because registers are few.
#if defined(HK_CUDA_ON_HOST)
#define HK_NOINLINE __attribute__((noinline))
#define HK_UNROLL
#define HK_UNROLL_BY(n)
#define HK_DYNAMIC_SHARED(T, name) T* const name = static_cast<T*>(::hk::host::now.dynamic_shared)
#else
#define HK_NOINLINE __noinline__
#define HK_PRAGMA(text) _Pragma(#text)
#define HK_UNROLL HK_PRAGMA(unroll)
#define HK_UNROLL_BY(n) HK_PRAGMA(unroll n)
#define HK_DYNAMIC_SHARED(T, name)                                \
  extern __shared__ __align__(16) unsigned char dynamic_shared[]; \
  T* const name = reinterpret_cast<T*>(dynamic_shared)
#endif

// The value, of which the compiler knows nothing: what depends on it is computed where it stands, not ahead of a loop, where it would hold
// registers.
__device__ inline uint32_t computed_here(uint32_t value) {
#if !defined(HK_CUDA_ON_HOST)
  asm volatile("" : "+r"(value));
#endif
  return value;
}

// Copies 16 bytes to shared memory while the thread goes on; wait_for_copies: those of this thread have arrived. Cards before sm_80 copy
// at once.
__device__ inline void copy_ahead(float* to_shared, const float* from) { __pipeline_memcpy_async(to_shared, from, 16); }
__device__ inline void wait_for_copies() {
  __pipeline_commit();
  __pipeline_wait_prior(0);
}

// How many blocks of `kernel` the device runs at a time; 0 if one needs more shared memory than there is.
template <class... Parameters>
uint32_t resident_blocks(const char* name, void (*kernel)(Parameters...), uint32_t threads, size_t shared_bytes) {
#if defined(HK_CUDA_ON_HOST)
  static_cast<void>(name), static_cast<void>(kernel), static_cast<void>(threads);
  return shared_bytes <= 96 * 1024 ? 3 : 0;
#else
  int device = 0, processors = 0, blocks = 0, most = 0;
  cudaFuncAttributes attributes;
  check_cuda(cudaGetDevice(&device), name);
  check_cuda(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device), name);
  check_cuda(cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device), name);
  check_cuda(cudaFuncGetAttributes(&attributes, kernel), name);
  if (attributes.sharedSizeBytes + shared_bytes > static_cast<size_t>(most)) return 0;
  if (shared_bytes > static_cast<size_t>(attributes.maxDynamicSharedSizeBytes))  // never less than what an earlier question was about
    check_cuda(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_bytes)), name);
  check_cuda(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, kernel, static_cast<int>(threads), shared_bytes), name);
  return static_cast<uint32_t>(processors) * static_cast<uint32_t>(blocks);
#endif
}

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
