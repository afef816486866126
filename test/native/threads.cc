// The thread pool, and trainings and rankings that run at once. What races here, ThreadSanitizer reports.
#include <atomic>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <thread>

#include "../../native/src/cpu/cpu_backend.h"
#include "selftest.h"

namespace hk {
namespace {

void test_pool() {
  for (const int threads : {1, 2, 3, 8}) {
    const std::string at = std::to_string(threads) + " threads: ";
    ThreadPool pool(threads);
    for (uint64_t round = 0; round < 300; ++round) {
      const uint64_t n = (round * 37) % 211;
      std::vector<uint32_t> times(n);
      uint64_t sum = 0;
      std::vector<uint64_t> by_thread(static_cast<size_t>(threads));
      pool.run(n, 1 + round % 5, [&](uint64_t begin, uint64_t end, int thread) {
        for (uint64_t i = begin; i < end; ++i) ++times[i], by_thread[static_cast<size_t>(thread)] += i;
      });
      for (const uint64_t part : by_thread) sum += part;
      bool once = true;
      for (const uint32_t count : times) once = once && count == 1;
      check(once && sum == (n == 0 ? 0 : n * (n - 1) / 2), at + "every index once");
      if (round % 50 == 7) std::this_thread::sleep_for(std::chrono::milliseconds(3));  // for the threads to park
    }
    int thrown = 0;
    for (int round = 0; round < 20; ++round) {
      try {
        pool.run(64, 1, [&](uint64_t begin, uint64_t, int) {
          if (begin % 9 == 4) throw std::runtime_error("planted");
        });
      } catch (const std::runtime_error&) {
        ++thrown;
      }
    }
    check(thrown == 20 || (threads == 1 && thrown == 0), at + "what a body throws comes out, and the pool goes on");
    std::atomic<int> after{0};
    pool.run(10, 1, [&](uint64_t begin, uint64_t end, int) { after += static_cast<int>(end - begin); });
    check(after == 10, at + "after an exception everything is done");
  }
  for (int i = 0; i < 50; ++i) {  // a pool may end before its threads have looked for work
    ThreadPool pool(3);
    if (i % 2) pool.run(3, 1, [](uint64_t, uint64_t, int) {});
  }
}

void test_trainings_at_once() {
  const std::vector<World> all = worlds();
  std::vector<Bytes> alone, together(4);
  for (size_t i = 0; i < 4; ++i) alone.push_back(train(all[i % 3], 2));
  std::vector<std::thread> threads;
  for (size_t i = 0; i < 4; ++i) threads.emplace_back([&, i] { together[i] = train(all[i % 3], 2); });
  for (std::thread& thread : threads) thread.join();
  for (size_t i = 0; i < 4; ++i) check(together[i] == alone[i], all[i % 3].name + ": four trainings at once do not meet");
}

void test_shared_items() {
  constexpr uint32_t kItems = 150, kDim = 12, kUsers = 20, kTop = 9;
  const std::vector<float> items = random_rows(5, kItems, kDim, 1.0), users = random_rows(6, kUsers, kDim, 1.0);
  const std::shared_ptr<const PreparedItems> prepared = CpuBackend(2).prepare_items(items.data(), kItems, kDim, 1.0);
  std::vector<std::vector<uint32_t>> found(3, std::vector<uint32_t>(kUsers * kTop));
  std::vector<std::thread> threads;
  for (auto& mine : found)
    threads.emplace_back([&] {
      CpuBackend backend(2);
      std::vector<float> distances(mine.size());
      TopK a{};
      a.users = users.data(), a.items = items.data(), a.user_count = kUsers, a.item_count = kItems, a.dim = kDim, a.k = kTop;
      a.curvature = 1, a.scale = 1, a.out_items = mine.data(), a.out_distances = distances.data(), a.prepared = prepared.get();
      backend.top_k(a);
    });
  for (std::thread& thread : threads) thread.join();
  check(found[0] == found[1] && found[1] == found[2], "three rankings of the same prepared items agree");
}

}  // namespace

void test_threads() { test_pool(), test_trainings_at_once(), test_shared_items(); }

}  // namespace hk
