#pragma once
// Threads of the CPU backend. The caller takes part, and work is handed out in fixed ranges: which thread computes a range never changes a
// result. A step is some twenty calls, and waking a parked thread took about 0.1 ms on a virtual machine: a thread therefore looks for the
// next call a little while before it parks. It yields the processor at every look, so that a busy neighbour gets its share.
#include <atomic>
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
      for (;;) {
        const uint64_t begin = t.next.fetch_add(t.grain, std::memory_order_relaxed);
        if (begin >= t.n) return;
        t.body(begin, begin + t.grain < t.n ? begin + t.grain : t.n, thread);
      }
    });
  }

 private:
  using Entry = void (*)(void*, int);
  static constexpr int kLooks = 100;  // some 50 µs

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
      task_ = task, entry_ = entry, busy_ = static_cast<int>(workers_.size()), ++generation_;
      wake = parked_ > 0;
    }
    if (wake) wake_.notify_all();
    guarded(0);
    if (!appears([&] { return busy_ == 0; })) {
      std::unique_lock<std::mutex> lock(mutex_);
      caller_parked_ = true;
      done_.wait(lock, [&] { return busy_ == 0; });
      caller_parked_ = false;
    }
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
  }

  void guarded(int thread) {
    try {
      entry_(task_, thread);
    } catch (...) {
      std::lock_guard<std::mutex> lock(mutex_);
      if (!error_) error_ = std::current_exception();
    }
  }

  void work(int thread) {
    uint64_t seen = 0;
    for (;;) {
      if (!appears([&] { return quit_ || generation_ != seen; })) {
        std::unique_lock<std::mutex> lock(mutex_);
        ++parked_;
        wake_.wait(lock, [&] { return quit_ || generation_ != seen; });
        --parked_;
      }
      if (quit_) return;
      seen = generation_;
      guarded(thread);
      // Both are sequentially consistent: either the caller sees that nobody is busy, or it is seen here to be parked, or about to.
      if (--busy_ == 0 && caller_parked_) {
        std::lock_guard<std::mutex> lock(mutex_);
        done_.notify_one();
      }
    }
  }

  const int threads_;
  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable wake_, done_;
  void* task_ = nullptr;
  Entry entry_ = nullptr;
  int parked_ = 0;  // workers
  std::atomic<int> busy_{0};
  std::atomic<uint64_t> generation_{0};
  std::atomic<bool> quit_{false}, caller_parked_{false};
  std::exception_ptr error_;
};

}  // namespace hk
