#pragma once
// Threads of the CPU backend. The caller takes part, and work is handed out in fixed ranges: which thread computes a range never changes a
// result. A step is some twenty calls, and waking a parked thread took about 0.1 ms on a virtual machine: a thread therefore looks for the
// next call a little while before it parks. It yields the processor at every look, so that a busy neighbour gets its share.
// A call ends when its ranges are computed: a worker counts only while it is inside, at a range, and the caller waits for no other. The
// system may take the processor from a thread for some milliseconds, as long as many calls; a worker offers it between two ranges.
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace hk {

class ThreadPool {
 public:
  explicit ThreadPool(int threads) : threads_(threads < 1 ? 1 : threads) {}
  ~ThreadPool() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      quit_ = true;
    }
    wake_.notify_all();
    for (std::thread& t : workers_) t.join();
  }
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return threads_; }

  // Calls body(begin, end, thread) over [0, n) in ranges of `grain`, from up to `threads` threads; thread < threads().
  template <class Body>
  void run(uint64_t n, uint64_t grain, const Body& body) {
    if (grain == 0) grain = 1;
    if (threads_ == 1 || n <= grain) {
      if (n > 0) body(uint64_t{0}, n, 0);
      return;
    }
    struct Task {
      const Body& body;
      uint64_t n, grain;
      std::atomic<uint64_t> next{0};
    } task{body, n, grain};
    start(&task, [](void* p, int thread) {
      Task& t = *static_cast<Task*>(p);
      const uint64_t begin = t.next.fetch_add(t.grain, std::memory_order_relaxed);
      if (begin >= t.n) return false;
      t.body(begin, begin + t.grain < t.n ? begin + t.grain : t.n, thread);
      return true;
    });
  }

 private:
  using Entry = bool (*)(void*, int);  // computes one range; false if none was left
  using Clock = std::chrono::steady_clock;
  static constexpr int kLooks = 100;  // some 50 µs
  static constexpr std::chrono::microseconds kOffer{100};

  // The gate of the workers: number of the call, whether it is open, and how many are inside.
  static constexpr uint64_t kInside = 1, kOpen = uint64_t{1} << 16, kCall = uint64_t{1} << 17;

  template <class Condition>
  static bool appears(const Condition& condition) {
    for (int look = 0; look < kLooks; ++look) {
      if (condition()) return true;
      std::this_thread::yield();
    }
    return false;
  }

  void start(void* task, Entry entry) {
    if (workers_.empty())
      for (int i = 1; i < threads_; ++i) workers_.emplace_back([this, i] { work(i); });
    bool wake;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      task_ = task, entry_ = entry;
      gate_ = (gate_ / kCall + 1) * kCall + kOpen;
      wake = parked_ > 0;
    }
    if (wake) wake_.notify_all();
    while (range(0)) {
    }
    gate_ -= kOpen;
    const auto empty = [&] { return gate_ % kOpen == 0; };
    if (!appears(empty)) {
      std::unique_lock<std::mutex> lock(mutex_);
      caller_parked_ = true;
      done_.wait(lock, empty);
      caller_parked_ = false;
    }
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
  }

  bool range(int thread) {
    try {
      return entry_(task_, thread);
    } catch (...) {
      std::lock_guard<std::mutex> lock(mutex_);
      if (!error_) error_ = std::current_exception();
      return false;
    }
  }

  void work(int thread) {
    uint64_t seen = 0;
    const auto called = [&] { return quit_ || gate_ / kCall != seen; };
    for (;;) {
      if (!appears(called)) {
        std::unique_lock<std::mutex> lock(mutex_);
        ++parked_;
        wake_.wait(lock, called);
        --parked_;
      }
      if (quit_) return;
      seen = gate_ / kCall;
      Clock::time_point offered = Clock::now();
      while (enter(seen)) {
        const bool computed = range(thread);
        leave();
        if (!computed) break;
        if (const Clock::time_point now = Clock::now(); now - offered > kOffer) std::this_thread::yield(), offered = now;
      }
    }
  }

  bool enter(uint64_t call) {
    uint64_t gate = gate_;
    while (gate / kOpen == call * (kCall / kOpen) + 1)
      if (gate_.compare_exchange_weak(gate, gate + kInside)) return true;
    return false;
  }

  // Both are sequentially consistent: either the caller sees that nobody is inside, or it is seen here to be parked, or about to.
  void leave() {
    if (gate_.fetch_sub(kInside) % kOpen == kInside && caller_parked_) {
      std::lock_guard<std::mutex> lock(mutex_);
      done_.notify_one();
    }
  }

  const int threads_;
  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable wake_, done_;
  void* task_ = nullptr;
  Entry entry_ = nullptr;
  int parked_ = 0;  // workers
  std::atomic<uint64_t> gate_{0};
  std::atomic<bool> quit_{false}, caller_parked_{false};
  std::exception_ptr error_;
};

}  // namespace hk
