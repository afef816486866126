#include "cpu_backend.h"

#include <cstdlib>
#include <cstring>
#include <new>

#include "../error.h"

namespace hk {

void* CpuBackend::allocate(size_t bytes) {
  const size_t rounded = (bytes + 255) / 256 * 256;
  void* memory = ::operator new(rounded ? rounded : 256, std::align_val_t{256}, std::nothrow);
  require(memory != nullptr, "ERR_HK_MEMORY", "out of memory: " + std::to_string(bytes) + " bytes were needed in one piece");
  return memory;
}

void CpuBackend::release(void* memory) noexcept { ::operator delete(memory, std::align_val_t{256}); }

void CpuBackend::upload(void* to, const void* from_host, size_t bytes) { std::memcpy(to, from_host, bytes); }

void CpuBackend::download(void* to_host, const void* from, size_t bytes) { std::memcpy(to_host, from, bytes); }

void CpuBackend::fill(void* memory, uint8_t byte, size_t bytes) { std::memset(memory, byte, bytes); }

}  // namespace hk
