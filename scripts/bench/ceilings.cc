// What a processor can do at most, measured in the same minute as the kernels: copying, random rows of 256 bytes from tables of several sizes,
// float32 arithmetic. `npm run bench -- ceilings` builds and runs it; by hand:
//   g++ -O3 -march=native -std=c++17 -pthread scripts/bench/ceilings.cc -o ceilings && ./ceilings THREADS
//   about 4 s; expected: a line of JSON, an array of seconds per ceiling, 15 repetitions each
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <thread>
#include <vector>

namespace {

constexpr int kRepeats = 15, kWarmUp = 2;
constexpr size_t kRowBytes = 256;
// One register: GCC takes wider vectors through memory.
#if defined(__AVX512F__)
constexpr size_t kVectorBytes = 64;
#elif defined(__AVX__)
constexpr size_t kVectorBytes = 32;
#else
constexpr size_t kVectorBytes = 16;
#endif
constexpr int kLanes = kVectorBytes / sizeof(float), kRowVectors = kRowBytes / kVectorBytes;
typedef float Vector __attribute__((vector_size(kVectorBytes)));

int threads = 1;
volatile float sink;  // what is computed must not be optimised away

// Runs work(thread) on every thread and waits for all.
void everywhere(const std::function<void(int)>& work) {
  std::vector<std::thread> others;
  for (int t = 1; t < threads; ++t) others.emplace_back(work, t);
  work(0);
  for (auto& other : others) other.join();
}

// Prints what one repetition did, in bytes or flops, and the seconds of each.
void measure(const char* name, const char* unit, double amount, const std::function<void(int)>& work) {
  static bool first = true;
  std::printf("%s\"%s\": {\"unit\": \"%s\", \"amount\": %.17g, \"seconds\": [", first ? "" : ", ", name, unit, amount);
  first = false;
  for (int i = -kWarmUp; i < kRepeats; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    everywhere(work);
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;
    if (i >= 0) std::printf("%s%.9g", i ? ", " : "", taken.count());
  }
  std::printf("]}");
}

void copy(float* to, const float* from, size_t bytes) {
  measure("copy of 256 MiB, read and written", "B", 2.0 * bytes, [=](int t) {
    const size_t part = bytes / threads / 64 * 64;
    std::memcpy(reinterpret_cast<char*>(to) + t * part, reinterpret_cast<const char*>(from) + t * part, part);
  });
}

// Every thread sums rows drawn by a hash: no row depends on the one before, as in a neighbourhood.
void random_rows(const char* name, const float* table, size_t bytes) {
  const uint64_t rows = bytes / kRowBytes, reads = 1 << 19;
  measure(name, "B", static_cast<double>(reads / threads * threads * kRowBytes), [=](int t) {
    Vector sum[kRowVectors] = {};
    uint64_t state = 0x9e3779b97f4a7c15u * (t + 1);
    for (uint64_t i = 0; i < reads / threads; ++i) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      const auto* row = reinterpret_cast<const Vector*>(table + ((state >> 33) * rows >> 31) * (kRowBytes / sizeof(float)));
      for (int k = 0; k < kRowVectors; ++k) sum[k] += row[k];
    }
    for (int k = 1; k < kRowVectors; ++k) sum[0] += sum[k];
    sink = sum[0][0];
  });
}

void multiply_adds() {
  constexpr int kTimes = 1 << 22, kChains = 10;  // enough chains to hide the latency of an operation
  measure("float32 multiply-adds", "flop", 2.0 * kLanes * kChains * kTimes * threads, [](int t) {
    Vector a[kChains], b, c;
    for (int i = 0; i < kChains; ++i) a[i] = Vector{} + static_cast<float>(t + i);
    b = Vector{} + 0.999f, c = Vector{} + 1e-3f;
    for (int n = 0; n < kTimes; ++n)
      for (int i = 0; i < kChains; ++i) a[i] = a[i] * b + c;
    for (int i = 1; i < kChains; ++i) a[0] += a[i];
    sink = a[0][0];
  });
}

}  // namespace

int main(int argc, char** argv) {
  threads = argc > 1 ? std::atoi(argv[1]) : 1;
  if (threads < 1 || threads > 1024) return std::fprintf(stderr, "ceilings: THREADS must be from 1 to 1024\n"), 2;
  const size_t bytes = size_t{256} << 20;
  auto *x = static_cast<float*>(std::aligned_alloc(64, bytes)), *y = static_cast<float*>(std::aligned_alloc(64, bytes));
  if (!x || !y) return std::fprintf(stderr, "ceilings: no memory\n"), 1;
  std::memset(x, 0x3c, bytes), std::memset(y, 0, bytes);
  std::printf("{");
  copy(y, x, bytes);
  random_rows("random rows of 256 B from 8 MB", x, 8000000);
  random_rows("random rows of 256 B from 29 MB", x, 29000000);
  random_rows("random rows of 256 B from 256 MB", x, 256000000);
  multiply_adds();
  std::printf("}\n");
  std::free(x), std::free(y);
  return 0;
}
