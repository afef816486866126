#pragma once
// Which backends this build has and this machine can run. The only place that knows both.
#include <memory>
#include <string>
#include <vector>

#include "backend.h"

namespace hk {

struct BackendStatus {
  std::string name, device, reason;  // reason: why it cannot be used here; empty if it can
  size_t memory_bytes = 0;
};
std::vector<BackendStatus> backend_statuses();

// Throws Error(ERR_HK_BACKEND) with the reason where the backend cannot run. threads ≥ 1 concerns the CPU backend only.
std::unique_ptr<Backend> make_backend(const std::string& name, int threads);

// Defined in native/cuda/cuda_backend.cu, in builds that have it.
struct CudaStatus {
  bool usable;
  std::string device, reason;
  size_t memory_bytes;
};
CudaStatus cuda_status();
std::unique_ptr<Backend> make_cuda_backend();

}  // namespace hk
