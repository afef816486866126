// What a card can do at most, measured in the same minute as the kernels: copying, reading what lies in the L2 cache, random rows of 256
// bytes, float32 and float64 arithmetic, additions to one row and to many, starting kernels, and the gap between two nodes of a graph.
//   nvcc -O3 -std=c++20 -arch=native scripts/bench/ceilings.cu -o ceilings && ./ceilings [FILE.json]
//   about 10 s; expected: a line per ceiling, median of 20 repetitions
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace {

void check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  std::fprintf(stderr, "ceilings: %s: %s\n", what, cudaGetErrorString(error));
  std::exit(1);
}
#define CHECK(call) check(call, #call)

constexpr int kThreads = 256, kRepeats = 20, kWarmUp = 3;
constexpr uint32_t kRow = 64;  // floats

__global__ void empty_kernel() {}

// Sums `count` float4, `times` over, from wherever they are cached.
__global__ void read_kernel(const float4* x, size_t count, int times, float* out) {
  float sum = 0;
  for (int t = 0; t < times; ++t)
    for (size_t i = blockIdx.x * size_t{kThreads} + threadIdx.x; i < count; i += size_t{gridDim.x} * kThreads) {
      const float4 v = __ldcg(x + i);
      sum += v.x + v.y + v.z + v.w;
    }
  if (sum == -1) *out = sum;
}

// 16 lanes read one row; `rows` is a power of two.
__global__ void random_rows_kernel(const float4* x, uint32_t rows, uint32_t count, float* out) {
  float sum = 0;
  for (uint32_t i = (blockIdx.x * kThreads + threadIdx.x) / 16; i < count; i += gridDim.x * kThreads / 16) {
    const uint32_t row = (i * 2654435761u) >> 7 & (rows - 1);
    const float4 v = __ldcg(x + size_t{row} * (kRow / 4) + threadIdx.x % 16);
    sum += v.x + v.y + v.z + v.w;
  }
  if (sum == -1) *out = sum;
}

template <class T>
__global__ void fma_kernel(int times, T* out) {
  T a[8];
  for (int i = 0; i < 8; ++i) a[i] = static_cast<T>(threadIdx.x + i);
  const T b = static_cast<T>(0.999), c = static_cast<T>(1e-3);
  for (int t = 0; t < times; ++t)
    for (int i = 0; i < 8; ++i) a[i] = a[i] * b + c;
  T sum = 0;
  for (int i = 0; i < 8; ++i) sum += a[i];
  if (sum == static_cast<T>(-1)) *out = sum;
}

// A warp adds a row of 64 floats, two per lane, to row (its number mod rows).
__global__ void add_rows_kernel(float* x, uint32_t rows, uint32_t count) {
  for (uint32_t i = (blockIdx.x * kThreads + threadIdx.x) / 32; i < count; i += gridDim.x * kThreads / 32) {
    float* row = x + size_t{i % rows} * kRow;
    atomicAdd(row + threadIdx.x % 32, 1.0f), atomicAdd(row + 32 + threadIdx.x % 32, 1.0f);
  }
}

struct Measured {
  std::string name, unit;
  double value;
};
std::vector<Measured> results;

// Median milliseconds of `work` on the stream.
double milliseconds(cudaStream_t stream, const std::function<void()>& work) {
  cudaEvent_t begin, end;
  CHECK(cudaEventCreate(&begin)), CHECK(cudaEventCreate(&end));
  std::vector<double> times;
  for (int i = 0; i < kWarmUp + kRepeats; ++i) {
    CHECK(cudaEventRecord(begin, stream));
    work();
    CHECK(cudaEventRecord(end, stream)), CHECK(cudaEventSynchronize(end));
    float ms = 0;
    CHECK(cudaEventElapsedTime(&ms, begin, end));
    if (i >= kWarmUp) times.push_back(ms);
  }
  CHECK(cudaGetLastError());
  CHECK(cudaEventDestroy(begin)), CHECK(cudaEventDestroy(end));
  std::nth_element(times.begin(), times.begin() + kRepeats / 2, times.end());
  return times[kRepeats / 2];
}

void note(const char* name, double value, const char* unit) {
  std::printf("%-44s %12.3f %s\n", name, value, unit);
  results.push_back({name, unit, value});
}

}  // namespace

int main(int argc, char** argv) {
  cudaDeviceProp device;
  CHECK(cudaGetDeviceProperties(&device, 0));
  int driver = 0;
  CHECK(cudaDriverGetVersion(&driver));
  std::printf("%s, sm_%d%d, %d multiprocessors, L2 %.0f MiB, driver for CUDA %d.%d\n", device.name, device.major, device.minor,
              device.multiProcessorCount, device.l2CacheSize / 1048576.0, driver / 1000, driver % 1000 / 10);
  cudaStream_t stream;
  CHECK(cudaStreamCreate(&stream));
  const int blocks = device.multiProcessorCount * 8;
  const size_t big = size_t{1} << 30;
  float *x, *y, *out;
  CHECK(cudaMalloc(&x, big)), CHECK(cudaMalloc(&y, big)), CHECK(cudaMalloc(&out, 64));
  CHECK(cudaMemset(x, 0x3c, big)), CHECK(cudaMemset(y, 0, big));

  double ms = milliseconds(stream, [&] { CHECK(cudaMemcpyAsync(y, x, big, cudaMemcpyDeviceToDevice, stream)); });
  note("copy of 1 GiB, read and written", 2.0 * big / ms / 1e6, "GB/s");
  ms = milliseconds(stream, [&] { read_kernel<<<blocks, kThreads, 0, stream>>>(reinterpret_cast<float4*>(x), big / 16, 1, out); });
  note("reading 1 GiB", big / ms / 1e6, "GB/s");
  const size_t cached = static_cast<size_t>(device.l2CacheSize) / 4;
  ms = milliseconds(stream, [&] { read_kernel<<<blocks, kThreads, 0, stream>>>(reinterpret_cast<float4*>(x), cached / 16, 50, out); });
  note("reading a quarter of the L2, 50 times", 50.0 * cached / ms / 1e6, "GB/s");
  const uint32_t reads = 1 << 22;
  for (const auto& [name, rows] : {std::pair{"random rows of 256 B from 4 MiB", 1u << 14}, std::pair{"random rows of 256 B from 32 MiB", 1u << 17},
                                   std::pair{"random rows of 256 B from 1 GiB", 1u << 22}}) {
    ms = milliseconds(stream, [&, r = rows] { random_rows_kernel<<<blocks, kThreads, 0, stream>>>(reinterpret_cast<float4*>(x), r, reads, out); });
    note(name, 256.0 * reads / ms / 1e6, "GB/s");
  }
  const int times = 4096;
  ms = milliseconds(stream, [&] { fma_kernel<float><<<blocks, kThreads, 0, stream>>>(times, out); });
  note("float32 multiply-adds", 16.0 * times * blocks * kThreads / ms / 1e9, "TFLOP/s");
  ms = milliseconds(stream, [&] { fma_kernel<double><<<blocks, kThreads, 0, stream>>>(times, reinterpret_cast<double*>(out)); });
  note("float64 multiply-adds", 16.0 * times * blocks * kThreads / ms / 1e9, "TFLOP/s");
  const uint32_t additions = 1 << 15;
  for (const auto& [name, rows] : {std::pair{"32768 rows of 64 floats added to one row", 1u}, std::pair{"32768 rows of 64 floats added to 16384 rows", 1u << 14}}) {
    ms = milliseconds(stream, [&, r = rows] { add_rows_kernel<<<blocks, kThreads, 0, stream>>>(x, r, additions); });
    note(name, 1e6 * ms / additions, "ns per row");
  }
  ms = milliseconds(stream, [&] {
    for (int i = 0; i < 1000; ++i) empty_kernel<<<1, 32, 0, stream>>>();
  });
  note("starting an empty kernel", ms, "us");
  cudaGraph_t graph;
  cudaGraphExec_t ready;
  CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  for (int i = 0; i < 1000; ++i) empty_kernel<<<1, 32, 0, stream>>>();
  CHECK(cudaStreamEndCapture(stream, &graph)), CHECK(cudaGraphInstantiate(&ready, graph, 0));
  ms = milliseconds(stream, [&] { CHECK(cudaGraphLaunch(ready, stream)); });
  note("an empty kernel in a graph", ms, "us");
  CHECK(cudaGraphExecDestroy(ready)), CHECK(cudaGraphDestroy(graph));

  if (argc > 1) {
    std::FILE* file = std::fopen(argv[1], "w");
    if (!file) return std::perror(argv[1]), 1;
    std::fprintf(file, "{\n  \"device\": \"%s\",\n  \"computeCapability\": \"%d.%d\",\n  \"multiprocessors\": %d,\n  \"driverCuda\": \"%d.%d\",\n  \"ceilings\": {\n",
                 device.name, device.major, device.minor, device.multiProcessorCount, driver / 1000, driver % 1000 / 10);
    for (size_t i = 0; i < results.size(); ++i)
      std::fprintf(file, "    \"%s\": {\"value\": %.6g, \"unit\": \"%s\"}%s\n", results[i].name.c_str(), results[i].value,
                   results[i].unit.c_str(), i + 1 < results.size() ? "," : "");
    std::fprintf(file, "  }\n}\n");
    std::fclose(file);
  }
  return 0;
}
