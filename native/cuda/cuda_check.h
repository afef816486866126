#pragma once
// Errors of CUDA calls become hk::Error.
#include <cuda_runtime.h>

#include <string>

#include "../src/error.h"

namespace hk {

// `what`: the call or kernel that failed.
inline void check_cuda(cudaError_t error, const std::string& what) {
  if (error == cudaSuccess) return;
  cudaGetLastError();  // not to be found again by the next check
  throw Error(error == cudaErrorMemoryAllocation ? "ERR_HK_MEMORY" : "ERR_HK_INTERNAL", "CUDA: " + what + ": " + cudaGetErrorString(error));
}

}  // namespace hk

#define HK_CUDA_CHECK(call) ::hk::check_cuda((call), #call)
