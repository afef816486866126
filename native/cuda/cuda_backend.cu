#include "cuda_backend.h"

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "../src/backends.h"
#include "cuda_check.h"

namespace hk {

#if defined(HK_CUDA_ON_HOST)

CudaStatus cuda_status() { return {true, "CUDA kernels executed on the host", "", host::memory_size()}; }

const char* CudaBackend::name() const { return "cuda-on-host"; }

// In an order drawn from the schedule; as many at a time as there are streams on a device.
void CudaBackend::branches(const std::vector<Calls>& all) {
  const uint32_t sides = static_cast<uint32_t>(all.size()) - 1;
  require(sides_in_use_ + sides <= kSides, "ERR_HK_INTERNAL", "more branches at a time than there are streams");
  sides_in_use_ += sides, ++branch_depth_;
  for (const uint32_t i : host::order_of(static_cast<uint32_t>(all.size()))) all[i]();
  if (--branch_depth_ == 0) sides_in_use_ = 0;
}

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

struct Graph {
  Graph() = default;
  Graph(Graph&& other) noexcept : graph(std::exchange(other.graph, nullptr)) {}
  ~Graph() {
    if (graph) cudaGraphDestroy(graph);
  }
  cudaGraph_t graph = nullptr;
};

Graph captured(const Calls& calls, cudaStream_t stream) {
  Graph graph;
  HK_CUDA_CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  try {
    calls();
  } catch (...) {
    cudaStreamEndCapture(stream, &graph.graph);
    throw;
  }
  HK_CUDA_CHECK(cudaStreamEndCapture(stream, &graph.graph));
  return graph;
}

// Each turn as a CUDA graph, and graphs of many turns after one another.
class GraphRecording final : public Recording {
 public:
  GraphRecording(std::vector<Calls> all, cudaStream_t stream)
      : Recording(std::move(all), std::max<uint32_t>(1, kTogether / static_cast<uint32_t>(all.size())) * static_cast<uint32_t>(all.size())) {
    for (const Calls& calls : turns) graphs_.push_back(captured(calls, stream));
  }
  ~GraphRecording() override {
    for (const auto& [times, graph] : ready_) cudaGraphExecDestroy(graph);
  }

  cudaGraphExec_t repeated(uint32_t times) {
    cudaGraphExec_t& ready = ready_[times];
    if (ready) return ready;
    Graph chain;
    HK_CUDA_CHECK(cudaGraphCreate(&chain.graph, 0));
    cudaGraphNode_t last = nullptr;
    for (uint32_t i = 0; i < times; ++i) {
      cudaGraphNode_t node;
      HK_CUDA_CHECK(cudaGraphAddChildGraphNode(&node, chain.graph, last ? &last : nullptr, last ? 1 : 0, graphs_[i % graphs_.size()].graph));
      last = node;
    }
    HK_CUDA_CHECK(cudaGraphInstantiate(&ready, chain.graph, 0));
    return ready;
  }

 private:
  static constexpr uint32_t kTogether = 512;  // an epoch of a few million interactions

  std::vector<Graph> graphs_;
  std::map<uint32_t, cudaGraphExec_t> ready_;
};

}  // namespace

std::unique_ptr<Recording> CudaBackend::record(std::vector<Calls> turns) {
  return std::make_unique<GraphRecording>(std::move(turns), stream_);
}

void CudaBackend::play(Recording& recording, uint32_t times) {
  if (times == 0) return;
  const cudaGraphExec_t ready = static_cast<GraphRecording&>(recording).repeated(times);
  if (spans_in_use_ == spans_.size()) {
    spans_.emplace_back();  // the destructor finds what there is of it
    HK_CUDA_CHECK(cudaEventCreate(&spans_.back().begin)), HK_CUDA_CHECK(cudaEventCreate(&spans_.back().end));
  }
  const Span& span = spans_[spans_in_use_];
  HK_CUDA_CHECK(cudaEventRecord(span.begin, stream_));
  HK_CUDA_CHECK(cudaGraphLaunch(ready, stream_));
  HK_CUDA_CHECK(cudaEventRecord(span.end, stream_));
  ++spans_in_use_;
}

double CudaBackend::take_busy_seconds() {
  synchronize();
  double milliseconds = 0;
  for (size_t i = 0; i < spans_in_use_; ++i) {
    float span = 0;
    HK_CUDA_CHECK(cudaEventElapsedTime(&span, spans_[i].begin, spans_[i].end));
    milliseconds += span;
  }
  spans_in_use_ = 0;
  return milliseconds / 1000;
}

// The first branch stays on the stream of the calls now. Events order the others: what came before is done when they begin, and they are done
// before what comes after. No stream is used twice within the outermost branches: work on it would wait for what it has nothing to do with.
void CudaBackend::branches(const std::vector<Calls>& all) {
  CUstream_st* const before = stream_;
  const uint32_t first = sides_in_use_, sides = static_cast<uint32_t>(all.size()) - 1;
  require(first + sides <= kSides, "ERR_HK_INTERNAL", "more branches at a time than there are streams");
  if (sides) HK_CUDA_CHECK(cudaEventRecord(forked_, before));
  for (uint32_t i = 0; i < sides; ++i) HK_CUDA_CHECK(cudaStreamWaitEvent(sides_[first + i].stream, forked_, 0));
  sides_in_use_ += sides, ++branch_depth_;
  const auto end = [&] {
    stream_ = before;
    if (--branch_depth_ == 0) sides_in_use_ = 0;
  };
  try {
    for (uint32_t i = 0; i < sides; ++i) {
      stream_ = sides_[first + i].stream;
      all[i + 1]();
      HK_CUDA_CHECK(cudaEventRecord(sides_[first + i].event, stream_));
    }
    stream_ = before;
    all[0]();
    for (uint32_t i = 0; i < sides; ++i) HK_CUDA_CHECK(cudaStreamWaitEvent(before, sides_[first + i].event, 0));
  } catch (...) {
    end();
    throw;
  }
  end();
}

CudaStatus cuda_status() {
  static const CudaStatus status = find_device();
  return status;
}

const char* CudaBackend::name() const { return "cuda"; }

#endif

std::unique_ptr<Backend> make_cuda_backend() { return std::make_unique<CudaBackend>(); }

CudaBackend::CudaBackend() : CudaBackend(Unopened{}) {  // from here on the destructor runs, should one of these fail
#if defined(HK_CUDA_ON_HOST)
  HK_CUDA_CHECK(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
#else
  // The first of branches is the longest: what runs beside it fills its gaps.
  int least = 0, greatest = 0;
  HK_CUDA_CHECK(cudaDeviceGetStreamPriorityRange(&least, &greatest));
  HK_CUDA_CHECK(cudaStreamCreateWithPriority(&stream_, cudaStreamNonBlocking, greatest));
  HK_CUDA_CHECK(cudaEventCreateWithFlags(&forked_, cudaEventDisableTiming));
  for (Side& side : sides_) {
    HK_CUDA_CHECK(cudaStreamCreateWithPriority(&side.stream, cudaStreamNonBlocking, least));
    HK_CUDA_CHECK(cudaEventCreateWithFlags(&side.event, cudaEventDisableTiming));
  }
#endif
}

CudaBackend::~CudaBackend() {
  if (stream_) cudaStreamSynchronize(stream_), cudaStreamDestroy(stream_);
#if !defined(HK_CUDA_ON_HOST)
  if (forked_) cudaEventDestroy(forked_);
  for (const Span& span : spans_) {
    if (span.begin) cudaEventDestroy(span.begin);
    if (span.end) cudaEventDestroy(span.end);
  }
  for (const Side& side : sides_) {
    if (side.stream) cudaStreamDestroy(side.stream);
    if (side.event) cudaEventDestroy(side.event);
  }
#endif
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
void CudaBackend::release(void* memory, size_t) noexcept {
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
