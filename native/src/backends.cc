#include "backends.h"

#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#ifndef NOMINMAX
#define NOMINMAX
#endif
#include <windows.h>
#else
#include <unistd.h>
#endif

#include "cpu/cpu_backend.h"
#include "cpu/isa.h"
#include "error.h"

namespace hk {
namespace {

#if defined(HK_CUDA_ON_HOST)
constexpr const char* kCudaName = "cuda-on-host";
#else
constexpr const char* kCudaName = "cuda";
#endif

size_t host_memory() {
#if defined(_WIN32)
  MEMORYSTATUSEX status{};
  status.dwLength = sizeof status;
  return GlobalMemoryStatusEx(&status) ? static_cast<size_t>(status.ullTotalPhys) : 0;
#else
  const long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGE_SIZE);
  return pages > 0 && page > 0 ? static_cast<size_t>(pages) * static_cast<size_t>(page) : 0;
#endif
}

}  // namespace

std::vector<BackendStatus> backend_statuses() {
  std::vector<BackendStatus> all;
#if defined(HK_WITH_CUDA) || defined(HK_CUDA_ON_HOST)
  const CudaStatus cuda = cuda_status();
  all.push_back({kCudaName, cuda.device, cuda.usable ? "" : cuda.reason, cuda.usable ? cuda.memory_bytes : 0});
#else
  all.push_back({kCudaName, "", "this build has no CUDA backend (no CUDA compiler was found when it was built)", 0});
#endif
  all.push_back({"cpu", std::string("CPU, ") + isa_name(), "", host_memory()});
  return all;
}

std::unique_ptr<Backend> make_backend(const std::string& name, int threads) {
  if (name == "cpu") return std::make_unique<CpuBackend>(threads);
  for (const BackendStatus& status : backend_statuses()) {
    if (status.name != name) continue;
    require(status.reason.empty(), "ERR_HK_BACKEND", "backend '" + name + "' cannot run here: " + status.reason);
#if defined(HK_WITH_CUDA) || defined(HK_CUDA_ON_HOST)
    return make_cuda_backend();
#endif
  }
  throw Error("ERR_HK_BACKEND", "backend '" + name + "' is not one of this build");
}

}  // namespace hk
