#include "cpu_backend.h"

#include <cstdlib>
#include <cstring>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#elif defined(_WIN32)
#include <malloc.h>
#endif

#include "../error.h"

namespace hk {

namespace {
constexpr size_t kHugePage = size_t{1} << 21;
}

// Tables are read row by row at random: on 4 KiB pages nearly every row misses the TLB, so large blocks ask for huge ones.
void* CpuBackend::allocate(size_t bytes) {
  const size_t alignment = bytes >= kHugePage ? kHugePage : 256;
  void* memory = nullptr;
#if defined(_WIN32)
  memory = _aligned_malloc(bytes ? bytes : 1, alignment);
#else
  if (posix_memalign(&memory, alignment, bytes ? bytes : 1) != 0) memory = nullptr;
#endif
  if (memory == nullptr)
    throw Error("ERR_HK_MEMORY", "out of memory: " + std::to_string(bytes) + " bytes were needed in one piece");
#if defined(__linux__)
  if (alignment == kHugePage) madvise(memory, bytes / kHugePage * kHugePage, MADV_HUGEPAGE);
#endif
  return memory;
}

void CpuBackend::forget([[maybe_unused]] void* memory, [[maybe_unused]] size_t bytes) noexcept {
#if defined(__linux__)
  if (bytes >= kHugePage) madvise(memory, bytes / kHugePage * kHugePage, MADV_DONTNEED);
#endif
}

// The pages of large blocks go back to the system here: an allocator may keep what it is given, tens of megabytes of it.
void CpuBackend::release(void* memory, size_t bytes) noexcept {
  forget(memory, bytes);
#if defined(_WIN32)
  _aligned_free(memory);
#else
  std::free(memory);
#endif
}

void CpuBackend::upload(void* to, const void* from_host, size_t bytes) { std::memcpy(to, from_host, bytes); }

void CpuBackend::download(void* to_host, const void* from, size_t bytes) { std::memcpy(to_host, from, bytes); }

void CpuBackend::fill(void* memory, uint8_t byte, size_t bytes) { std::memset(memory, byte, bytes); }

}  // namespace hk
