#include "cuda_backend.h"

#include <map>
#include <memory>
#include <string>

#include "../src/backends.h"
#include "cuda_check.h"

namespace hk {

#if defined(HK_CUDA_ON_HOST)

CudaStatus cuda_status() { return {true, "CUDA kernels executed on the host", "", host::memory_size()}; }

const char* CudaBackend::name() const { return "cuda-on-host"; }

#else

namespace {

__global__ void probe_kernel() {}

std::string version(int number) { return std::to_string(number / 1000) + "." + std::to_string(number % 1000 / 10); }

CudaStatus unusable(const std::string& reason) {
  cudaGetLastError();
  return {false, "", reason, 0};
}

CudaStatus find_device() {
  int driver = 0, runtime = 0, devices = 0;
  if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0) return unusable("no NVIDIA driver is installed");
  cudaRuntimeGetVersion(&runtime);
  const cudaError_t error = cudaGetDeviceCount(&devices);
  if (error == cudaErrorInsufficientDriver)
    return unusable("the NVIDIA driver is too old: it offers CUDA " + version(driver) + ", this build needs " + version(runtime));
  if (error == cudaErrorNoDevice || (error == cudaSuccess && devices == 0))
    return unusable("the NVIDIA driver finds no device (CUDA_VISIBLE_DEVICES may hide it)");
  if (error != cudaSuccess) return unusable(std::string("CUDA: ") + cudaGetErrorString(error));
  cudaDeviceProp device;
  if (const cudaError_t e = cudaGetDeviceProperties(&device, 0); e != cudaSuccess)
    return unusable(std::string("CUDA: ") + cudaGetErrorString(e));
  const std::string name = std::string(device.name) + " (sm_" + std::to_string(device.major) + std::to_string(device.minor) + ")";
  cudaFuncAttributes attributes;
  if (const cudaError_t e = cudaFuncGetAttributes(&attributes, probe_kernel); e != cudaSuccess)
    return unusable("this build has no code that runs on " + name + ": " + cudaGetErrorString(e));
  return {true, name, "", device.totalGlobalMem};
}

// The calls as a CUDA graph, and as graphs of that graph many times over.
class GraphRecording final : public Recording {
 public:
  GraphRecording(std::function<void()> calls, cudaStream_t stream) : Recording(std::move(calls), 64) {
    HK_CUDA_CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    try {
      this->calls();
    } catch (...) {
      if (cudaStreamEndCapture(stream, &once_) == cudaSuccess) cudaGraphDestroy(once_);
      throw;
    }
    HK_CUDA_CHECK(cudaStreamEndCapture(stream, &once_));
  }
  ~GraphRecording() override {
    for (const auto& [times, graph] : ready_) cudaGraphExecDestroy(graph);
    if (once_) cudaGraphDestroy(once_);
  }

  cudaGraphExec_t repeated(uint32_t times) {
    cudaGraphExec_t& ready = ready_[times];
    if (ready) return ready;
    Graph chain;
    cudaGraphNode_t last = nullptr;
    for (uint32_t i = 0; i < times; ++i) {
      cudaGraphNode_t node;
      HK_CUDA_CHECK(cudaGraphAddChildGraphNode(&node, chain.graph, last ? &last : nullptr, last ? 1 : 0, once_));
      last = node;
    }
    HK_CUDA_CHECK(cudaGraphInstantiate(&ready, chain.graph, 0));
    return ready;
  }

 private:
  struct Graph {
    Graph() { HK_CUDA_CHECK(cudaGraphCreate(&graph, 0)); }
    ~Graph() { cudaGraphDestroy(graph); }
    cudaGraph_t graph = nullptr;
  };

  cudaGraph_t once_ = nullptr;
  std::map<uint32_t, cudaGraphExec_t> ready_;
};

}  // namespace

std::unique_ptr<Recording> CudaBackend::record(std::function<void()> calls) {
  return std::make_unique<GraphRecording>(std::move(calls), stream_);
}

void CudaBackend::play(Recording& recording, uint32_t times) {
  if (times) HK_CUDA_CHECK(cudaGraphLaunch(static_cast<GraphRecording&>(recording).repeated(times), stream_));
}

CudaStatus cuda_status() {
  static const CudaStatus status = find_device();
  return status;
}

const char* CudaBackend::name() const { return "cuda"; }

#endif

std::unique_ptr<Backend> make_cuda_backend() { return std::make_unique<CudaBackend>(); }

CudaBackend::CudaBackend() { HK_CUDA_CHECK(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking)); }

CudaBackend::~CudaBackend() {
  cudaStreamSynchronize(stream_);
  cudaStreamDestroy(stream_);
}

void* CudaBackend::allocate(size_t bytes) {
  void* memory = nullptr;
  const cudaError_t error = cudaMalloc(&memory, bytes ? bytes : 1);
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    size_t free = 0, total = 0;
    cudaMemGetInfo(&free, &total);
    throw Error("ERR_HK_MEMORY", "GPU memory is exhausted: " + std::to_string(bytes) + " bytes were needed in one piece, " +
                                     std::to_string(free) + " of " + std::to_string(total) + " are free");
  }
  check_cuda(error, "cudaMalloc");
  return memory;
}

// Kernels that still use the memory finish first. Errors are those of earlier kernels, which the next call reports.
void CudaBackend::release(void* memory) noexcept {
  cudaStreamSynchronize(stream_);
  cudaFree(memory);
}

// The caller's memory is pageable: it has been copied when the call returns.
void CudaBackend::upload(void* to, const void* from_host, size_t bytes) {
  if (bytes) HK_CUDA_CHECK(cudaMemcpyAsync(to, from_host, bytes, cudaMemcpyHostToDevice, stream_));
}

void CudaBackend::download(void* to_host, const void* from, size_t bytes) {
  if (bytes) HK_CUDA_CHECK(cudaMemcpyAsync(to_host, from, bytes, cudaMemcpyDeviceToHost, stream_));
  synchronize();
}

void CudaBackend::fill(void* memory, uint8_t byte, size_t bytes) {
  if (bytes) HK_CUDA_CHECK(cudaMemsetAsync(memory, byte, bytes, stream_));
}

size_t CudaBackend::free_memory() const {
  size_t free = 0, total = 0;
  HK_CUDA_CHECK(cudaMemGetInfo(&free, &total));
  return free;
}

void CudaBackend::synchronize() { HK_CUDA_CHECK(cudaStreamSynchronize(stream_)); }

}  // namespace hk
