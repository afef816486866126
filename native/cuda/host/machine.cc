#include "machine.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <numeric>
#include <string>
#include <vector>

#include "../../src/error.h"

#if defined(__SANITIZE_ADDRESS__)
#define HK_ADDRESS_SANITIZER 1
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#else
#define HK_ADDRESS_SANITIZER 0
#endif
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace hk::host {

Now now;

// ───────────────────────────── changing stacks ─────────────────────────────

#if defined(__x86_64__)
// Keeps the callee-saved registers on the stack left, stores its top in *save and goes on where `load` was left.
extern "C" __attribute__((visibility("hidden"))) void hk_change_stack(void** save, void* load);
asm(R"(
.text
.p2align 4
.globl hk_change_stack
.hidden hk_change_stack
.type hk_change_stack, @function
hk_change_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size hk_change_stack, . - hk_change_stack
)");
struct Context {
  void* top = nullptr;
  void prepare(char* stack, size_t bytes, void (*entry)()) {
    void** at = reinterpret_cast<void**>(stack + bytes);
    *--at = nullptr;  // a return address that is never used; keeps the stack aligned as after a call
    *--at = reinterpret_cast<void*>(entry);
    for (int i = 0; i < 6; ++i) *--at = nullptr;
    top = at;
  }
  static void change(Context& from, Context& to) { hk_change_stack(&from.top, to.top); }
};
#else
struct Context {
  ucontext_t context;
  void prepare(char* stack, size_t bytes, void (*entry)()) {
    getcontext(&context);
    context.uc_stack.ss_sp = stack, context.uc_stack.ss_size = bytes, context.uc_link = nullptr;
    makecontext(&context, entry, 0);
  }
  static void change(Context& from, Context& to) { swapcontext(&from.context, &to.context); }
};
#endif

// ───────────────────────────── guarded memory ─────────────────────────────

namespace {

constexpr size_t kAlignment = 256;
constexpr size_t kCanary = HK_ADDRESS_SANITIZER ? 0 : kAlignment;  // bytes before and after; AddressSanitizer brings its own
constexpr unsigned char kCanaryByte = 0xA5;

char* guarded_allocate(size_t bytes) {
  void* memory = nullptr;
  if (bytes > SIZE_MAX / 2 || posix_memalign(&memory, kAlignment, bytes + 2 * kCanary + (bytes == 0)) != 0) return nullptr;
  char* at = static_cast<char*>(memory) + kCanary;
  std::memset(at - kCanary, kCanaryByte, kCanary), std::memset(at + bytes, kCanaryByte, kCanary);
  std::memset(at, 0xff, bytes);  // NaN as float or double, no valid row as uint32
  return at;
}

void guarded_release(char* at) { std::free(at - kCanary); }

// The offset from `at` of the first byte written outside, or 0 (which is inside).
ptrdiff_t written_outside(const char* at, size_t bytes) {
  for (size_t i = 1; i <= kCanary; ++i) {
    if (static_cast<unsigned char>(at[-static_cast<ptrdiff_t>(i)]) != kCanaryByte) return -static_cast<ptrdiff_t>(i);
    if (static_cast<unsigned char>(at[bytes + i - 1]) != kCanaryByte) return static_cast<ptrdiff_t>(bytes + i - 1);
  }
  return 0;
}

std::string outside_message(const std::string& kernel, const std::string& what, size_t bytes, ptrdiff_t offset) {
  return "kernel " + kernel + " wrote outside " + what + " of " + std::to_string(bytes) + " bytes, at byte " + std::to_string(offset);
}

struct Allocations {
  std::mutex mutex;
  std::map<char*, size_t> sizes;
};
Allocations& allocations() {
  static auto* all = new Allocations;  // outlives every backend
  return *all;
}

// ───────────────────────────── threads of a block ─────────────────────────────

constexpr size_t kStack = HK_ADDRESS_SANITIZER ? size_t{1} << 18 : size_t{1} << 16;
constexpr uint32_t kMostThreads = 1024, kWarp = 32, kAllLanes = 0xffffffffu;

enum class State { running, at_block, at_warp, ended };

}  // namespace

struct Copy {
  void* to;
  const void* from;
  size_t bytes;
};

struct Thread {
  Context context;
  char* stack;
  void* fake_stack;
  Index3 index;
  uint32_t number;
  State state;       // why it is not running, of a thread that is not ready
  const char* file;  // where it waits
  uint32_t line;
  std::vector<Copy> copies;  // that are still to be made
};

namespace {

struct Warp {
  uint64_t values[2][kWarp];
  uint32_t generation, arrived, line;
  uint32_t ready;  // lanes that do not wait, one bit each
};

struct Random {
  uint64_t state;
  uint32_t operator()() {  // splitmix64
    uint64_t z = state += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u, z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return static_cast<uint32_t>((z ^ (z >> 31)) >> 32);
  }
};

// All state of the running launch.
struct Machine {
  std::mutex mutex;
  char* stacks = nullptr;
  std::vector<Thread> threads;
  std::vector<Warp> warps;
  Random* random = nullptr;  // null: in ascending order
  Context scheduler;
  void* scheduler_fake_stack = nullptr;
  const void* scheduler_bottom = nullptr;
  size_t scheduler_size = 0;
  uint32_t count = 0, at_block = 0, ended = 0, block_line = 0;
  std::string kernel, error;
  void (*body)(void*) = nullptr;
  void* argument = nullptr;
};
Machine machine;

// From a thread back to the scheduler; comes back when it is this thread's turn again.
void leave(Thread& thread) {
#if HK_ADDRESS_SANITIZER
  __sanitizer_start_switch_fiber(thread.state == State::ended ? nullptr : &thread.fake_stack, machine.scheduler_bottom,
                                 machine.scheduler_size);
#endif
  Context::change(thread.context, machine.scheduler);
#if HK_ADDRESS_SANITIZER
  __sanitizer_finish_switch_fiber(thread.fake_stack, &machine.scheduler_bottom, &machine.scheduler_size);
#endif
}

void thread_main() {
  Thread& thread = *now.thread;
#if HK_ADDRESS_SANITIZER
  __sanitizer_finish_switch_fiber(nullptr, &machine.scheduler_bottom, &machine.scheduler_size);
#endif
  machine.body(machine.argument);
  thread.state = State::ended, ++machine.ended;
  leave(thread);
}

void enter(Thread& thread) {
  now.thread = &thread, now.thread_index = thread.index;
#if HK_ADDRESS_SANITIZER
  __sanitizer_start_switch_fiber(&machine.scheduler_fake_stack, thread.stack, kStack);
#endif
  Context::change(machine.scheduler, thread.context);
#if HK_ADDRESS_SANITIZER
  __sanitizer_finish_switch_fiber(machine.scheduler_fake_stack, nullptr, nullptr);
#endif
}

std::string describe(const Thread& t) {
  const std::string who = "thread " + std::to_string(t.number);
  if (t.state == State::ended) return who + " has ended";
  const std::string file = t.file;
  return who + " waits at " + file.substr(file.rfind('/') + 1) + ":" + std::to_string(t.line) +
         (t.state == State::at_block ? " (block barrier)" : " (warp collective)");
}

// Ends the launch: the scheduler throws what `message` says.
void fail(Thread& thread, const std::string& message) {
  if (machine.error.empty()) machine.error = message;
  thread.state = State::at_block;
  for (;;) leave(thread);
}

void prepare_stacks() {
  if (machine.stacks) return;
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE)), bytes = (kStack + page) * kMostThreads;
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw Error("ERR_HK_MEMORY", "no memory for the stacks of " + std::to_string(kMostThreads) + " CUDA threads");
  machine.stacks = static_cast<char*>(memory);
  for (uint32_t i = 0; i < kMostThreads; ++i) mprotect(machine.stacks + i * (kStack + page), page, PROT_NONE);
  machine.threads.resize(kMostThreads), machine.warps.resize(kMostThreads / kWarp);
  for (uint32_t i = 0; i < kMostThreads; ++i) machine.threads[i].stack = machine.stacks + i * (kStack + page) + page;
}

uint64_t schedule_seed() {
  const char* text = std::getenv("HYPER_KNOW_HOST_SCHEDULE");
  return text && *text ? std::strtoull(text, nullptr, 10) : 1;
}

// Numbers for the next launch; false where the order is to be ascending. Under the machine's lock.
bool start_random(Random& random) {
  static uint64_t launches = 0, last_seed = 0;
  const uint64_t seed = schedule_seed();
  if (seed != last_seed) launches = 0, last_seed = seed;
  random = Random{seed * 0x2545F4914F6CDD1Du + ++launches};
  return seed != 0;
}

template <class T>
std::vector<T> order_of(T count, bool shuffled, Random& random) {
  std::vector<T> order(count);
  std::iota(order.begin(), order.end(), T{0});
  if (shuffled)
    for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random() % i]);
  return order;
}

// One block, from its first thread's start to its last one's end.
void run_block() {
  Random* const random = machine.random;
  const Index3 block = now.block;
  machine.at_block = machine.ended = 0;
  const uint32_t warps = machine.count / kWarp;
  for (uint32_t w = 0; w < warps; ++w) machine.warps[w].arrived = machine.warps[w].generation = 0, machine.warps[w].ready = kAllLanes;
  for (uint32_t i = 0; i < machine.count; ++i) {
    Thread& t = machine.threads[i];
    t.number = i, t.index = {i % block.x, i / block.x % block.y, i / (block.x * block.y)}, t.state = State::running;
    t.copies.clear();
    // Starts at different offsets: stacks at equal distances would all fall into the same cache sets.
    t.context.prepare(t.stack, kStack - i % 64 * 192, thread_main);
  }
  std::vector<uint32_t> order(warps);
  std::iota(order.begin(), order.end(), 0u);
  while (machine.ended < machine.count) {
    bool moved = false;
    if (random)
      for (uint32_t i = warps; i > 1; --i) std::swap(order[i - 1], order[(*random)() % i]);
    for (const uint32_t w : order) {
      Warp& warp = machine.warps[w];
      const uint32_t ready = warp.ready;
      if (ready == 0) continue;
      moved = true;
      // lanes in the order i·odd + offset (mod 32): a new permutation each round for the price of one number
      const uint32_t draw = random ? (*random)() : 0, step = random ? draw | 1 : 1, offset = draw >> 16;
      for (uint32_t i = 0; i < kWarp; ++i) {
        const uint32_t lane = (i * step + offset) & (kWarp - 1);
        if ((ready >> lane & 1) == 0) continue;
        warp.ready &= ~(1u << lane);
        enter(machine.threads[w * kWarp + lane]);
        if (!machine.error.empty()) return;
      }
    }
    if (moved) continue;
    std::string waiting, ended;
    for (uint32_t i = 0; i < machine.count; ++i) {
      std::string& first = machine.threads[i].state == State::ended ? ended : waiting;
      if (first.empty()) first = describe(machine.threads[i]);
    }
    machine.error =
        "kernel " + machine.kernel + ": a rendezvous that not all threads reach: " + waiting + (ended.empty() ? "" : ", " + ended);
    return;
  }
}

// Stacks left in the middle of a kernel hold poisoned bytes of frames that never return.
void forget_frames() {
#if HK_ADDRESS_SANITIZER
  for (uint32_t i = 0; i < machine.count; ++i) __asan_unpoison_memory_region(machine.threads[i].stack, kStack);
#endif
}

}  // namespace

std::vector<uint32_t> order_of(uint32_t count) {
  const std::lock_guard<std::mutex> lock(machine.mutex);
  Random random{0};
  const bool shuffled = start_random(random);
  return order_of<uint32_t>(count, shuffled, random);
}

void run(const char* kernel, Index3 grid, Index3 block, size_t shared_bytes, void (*body)(void*), void* argument) {
  const std::lock_guard<std::mutex> lock(machine.mutex);
  const uint32_t count = block.x * block.y * block.z;
  require(count > 0 && count <= kMostThreads && count % kWarp == 0, "ERR_HK_INTERNAL",
          std::string("kernel ") + kernel + ": a block of " + std::to_string(count) + " threads is not whole warps, 1024 at most");
  prepare_stacks();
  machine.kernel = kernel, machine.error.clear(), machine.body = body, machine.argument = argument, machine.count = count;
  Random random{0};
  const bool shuffled = start_random(random);
  machine.random = shuffled ? &random : nullptr;
  const auto blocks = order_of<uint64_t>(uint64_t{grid.x} * grid.y * grid.z, shuffled, random);
  char* shared = guarded_allocate(shared_bytes);
  require(shared != nullptr, "ERR_HK_MEMORY", "no memory for " + std::to_string(shared_bytes) + " bytes of shared memory");
  for (const uint64_t b : blocks) {
    now.grid = grid, now.block = block, now.dynamic_shared = shared;
    now.block_index = {static_cast<uint32_t>(b % grid.x), static_cast<uint32_t>(b / grid.x % grid.y),
                       static_cast<uint32_t>(b / (uint64_t{grid.x} * grid.y))};
    std::memset(shared, 0xff, shared_bytes);
    run_block();
    if (machine.error.empty())
      if (const ptrdiff_t offset = written_outside(shared, shared_bytes))
        machine.error = outside_message(machine.kernel, "its shared memory", shared_bytes, offset);
    if (!machine.error.empty()) break;
  }
  guarded_release(shared);
  if (machine.error.empty()) {
    Allocations& all = allocations();
    const std::lock_guard<std::mutex> memory_lock(all.mutex);
    for (const auto& [at, bytes] : all.sizes)
      if (const ptrdiff_t offset = written_outside(at, bytes)) {
        machine.error = outside_message(machine.kernel, "an allocation", bytes, offset);
        std::memset(at - kCanary, kCanaryByte, kCanary), std::memset(at + bytes, kCanaryByte, kCanary);
      }
  } else {
    forget_frames();
  }
  if (!machine.error.empty()) throw Error("ERR_HK_INTERNAL", machine.error);
}

void meet_block(const std::source_location& where) {
  Thread& self = *now.thread;
  self.file = where.file_name(), self.line = where.line();
  if (machine.at_block == 0)
    machine.block_line = self.line;
  else if (machine.block_line != self.line) {
    self.state = State::at_block;
    fail(self, "kernel " + machine.kernel + ": " + describe(self) + " while others wait at the one of line " +
                   std::to_string(machine.block_line));
  }
  self.state = State::at_block;
  if (++machine.at_block == machine.count) {
    machine.at_block = 0;
    for (uint32_t w = 0; w < machine.count / kWarp; ++w) machine.warps[w].ready = kAllLanes;
  }
  leave(self);
}

const uint64_t* meet_warp(uint32_t mask, uint64_t value, const std::source_location& where) {
  Thread& self = *now.thread;
  self.file = where.file_name(), self.line = where.line();
  Warp& warp = machine.warps[self.number / kWarp];
  self.state = State::at_warp;
  if (mask != kAllLanes) fail(self, "kernel " + machine.kernel + ": " + describe(self) + " with a mask of less than 32 lanes");
  if (warp.arrived == 0)
    warp.line = self.line;
  else if (warp.line != self.line)
    fail(self,
         "kernel " + machine.kernel + ": " + describe(self) + " while its warp waits at the one of line " + std::to_string(warp.line));
  uint64_t* values = warp.values[warp.generation & 1];
  values[self.number % kWarp] = value;
  if (++warp.arrived < kWarp) {
    leave(self);
    return values;
  }
  warp.arrived = 0, ++warp.generation;
  warp.ready = kAllLanes & ~(1u << self.number % kWarp);  // this lane goes on at once
  return values;
}

void copy_later(void* to, const void* from, size_t bytes) {
  if (machine.random && ((*machine.random)() & 1) != 0)
    std::memcpy(to, from, bytes);
  else
    now.thread->copies.push_back({to, from, bytes});
}

void finish_copies() {
  for (const Copy& copy : now.thread->copies) std::memcpy(copy.to, copy.from, copy.bytes);
  now.thread->copies.clear();
}

void* allocate(size_t bytes) {
  char* at = guarded_allocate(bytes);
  if (!at) return nullptr;
  Allocations& all = allocations();
  const std::lock_guard<std::mutex> lock(all.mutex);
  all.sizes[at] = bytes;
  return at;
}

void release(void* memory) {
  if (!memory) return;
  Allocations& all = allocations();
  const std::lock_guard<std::mutex> lock(all.mutex);
  all.sizes.erase(static_cast<char*>(memory));
  guarded_release(static_cast<char*>(memory));
}

size_t memory_size() {
  if (const char* bytes = std::getenv("HYPER_KNOW_HOST_MEMORY")) return std::strtoull(bytes, nullptr, 10);
  const long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
  return pages > 0 && page > 0 ? static_cast<size_t>(pages) * static_cast<size_t>(page) : 0;
}

}  // namespace hk::host
