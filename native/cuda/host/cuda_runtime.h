#pragma once
// Stands in for the toolkit's header where native/cuda is compiled as C++ and run on the host (machine.h): what its sources use of
// CUDA, no more. Streams are no-ops: every call has finished when it returns.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <source_location>

#include "machine.h"

#define __global__
#define __device__
#define __host__
#define __launch_bounds__(...)
#define __grid_constant__
#define __shared__ static  // one block at a time

// ───────────────────────────── where a thread is ─────────────────────────────

struct dim3 : hk::host::Index3 {
  dim3(uint32_t x_ = 1, uint32_t y_ = 1, uint32_t z_ = 1) : Index3{x_, y_, z_} {}
};
#define threadIdx (::hk::host::now.thread_index)
#define blockIdx (::hk::host::now.block_index)
#define blockDim (::hk::host::now.block)
#define gridDim (::hk::host::now.grid)

struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(16) double2 {
  double x, y;
};
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline double2 make_double2(double x, double y) { return {x, y}; }

// ───────────────────────────── rendezvous ─────────────────────────────

using SourceLocation = std::source_location;

inline void __syncthreads(SourceLocation where = SourceLocation::current()) { hk::host::meet_block(where); }
inline void __syncwarp(uint32_t mask = 0xffffffffu, SourceLocation where = SourceLocation::current()) {
  hk::host::meet_warp(mask, 0, where);
}

namespace hk::host {
template <class T>
const uint64_t* exchange(uint32_t mask, T value, const SourceLocation& where) {
  static_assert(sizeof(T) <= 8);
  uint64_t word = 0;
  std::memcpy(&word, &value, sizeof(T));
  return meet_warp(mask, word, where);
}
template <class T>
T unpack(uint64_t word) {
  T value;
  std::memcpy(&value, &word, sizeof(T));
  return value;
}
inline uint32_t lane() { return (now.thread_index.x + now.block.x * (now.thread_index.y + now.block.y * now.thread_index.z)) % 32; }
}  // namespace hk::host

template <class T>
T __shfl_sync(uint32_t mask, T value, uint32_t source, SourceLocation where = SourceLocation::current()) {
  return hk::host::unpack<T>(hk::host::exchange(mask, value, where)[source % 32]);
}
template <class T>
T __shfl_xor_sync(uint32_t mask, T value, uint32_t bits, SourceLocation where = SourceLocation::current()) {
  return hk::host::unpack<T>(hk::host::exchange(mask, value, where)[hk::host::lane() ^ bits]);
}
template <class T>
T __shfl_up_sync(uint32_t mask, T value, uint32_t delta, SourceLocation where = SourceLocation::current()) {
  const uint32_t lane = hk::host::lane();
  return hk::host::unpack<T>(hk::host::exchange(mask, value, where)[lane >= delta ? lane - delta : lane]);
}
inline uint32_t __ballot_sync(uint32_t mask, bool predicate, SourceLocation where = SourceLocation::current()) {
  const uint64_t* votes = hk::host::exchange(mask, predicate, where);
  uint32_t ballot = 0;
  for (uint32_t i = 0; i < 32; ++i) ballot |= static_cast<uint32_t>(votes[i] != 0) << i;
  return ballot;
}

// ───────────────────────────── copies to shared memory ─────────────────────────────

inline void __pipeline_memcpy_async(void* to, const void* from, size_t bytes) { hk::host::copy_later(to, from, bytes); }
inline void __pipeline_commit() {}
inline void __pipeline_wait_prior(size_t) { hk::host::finish_copies(); }

// ───────────────────────────── arithmetic and atomics ─────────────────────────────

inline int __popc(uint32_t x) { return __builtin_popcount(x); }
inline int __clz(int x) { return x ? __builtin_clz(static_cast<unsigned>(x)) : 32; }
inline int __ffs(uint32_t x) { return __builtin_ffs(static_cast<int>(x)); }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fsqrt_rn(float a) { return std::sqrt(a); }
inline float __double2float_ru(double x) {  // rounded up
  const float nearest = static_cast<float>(x);
  return nearest < x ? std::nextafter(nearest, std::numeric_limits<float>::infinity()) : nearest;
}
inline uint32_t atomicAdd(uint32_t* address, uint32_t value) {
  const uint32_t old = *address;
  *address = old + value;
  return old;
}
inline float atomicAdd(float* address, float value) {
  const float old = *address;
  *address = old + value;
  return old;
}
inline uint32_t atomicOr(uint32_t* address, uint32_t bits) {
  const uint32_t old = *address;
  *address = old | bits;
  return old;
}

// ───────────────────────────── runtime ─────────────────────────────

enum cudaError_t { cudaSuccess, cudaErrorMemoryAllocation, cudaErrorNoDevice };
struct CUstream_st;
using cudaStream_t = CUstream_st*;
enum cudaMemcpyKind { cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost };

inline const char* cudaGetErrorString(cudaError_t error) { return error == cudaSuccess ? "no error" : "out of memory"; }
inline cudaError_t cudaGetLastError() { return cudaSuccess; }
inline cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) { return *stream = nullptr, cudaSuccess; }
inline cudaError_t cudaStreamDestroy(cudaStream_t) { return cudaSuccess; }
inline cudaError_t cudaStreamSynchronize(cudaStream_t) { return cudaSuccess; }
constexpr unsigned cudaStreamNonBlocking = 1;
inline cudaError_t cudaMalloc(void** memory, size_t bytes) {
  *memory = hk::host::allocate(bytes);
  return *memory ? cudaSuccess : cudaErrorMemoryAllocation;
}
inline cudaError_t cudaFree(void* memory) { return hk::host::release(memory), cudaSuccess; }
inline cudaError_t cudaMemGetInfo(size_t* free, size_t* total) { return *free = *total = hk::host::memory_size(), cudaSuccess; }
inline cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind, cudaStream_t) {
  return std::memcpy(to, from, bytes), cudaSuccess;
}
inline cudaError_t cudaMemsetAsync(void* memory, int byte, size_t bytes, cudaStream_t) {
  return std::memset(memory, byte, bytes), cudaSuccess;
}
