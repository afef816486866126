#pragma once
// A CUDA device made of host memory and one fiber per CUDA thread: it runs the kernels of native/cuda without a card, to test them.
//
// Blocks run one after another in shuffled order, and so do the branches of a step. Within a block every thread runs alone until its next rendezvous (block barrier or
// warp collective); whose turn it is next is drawn anew at every round from the seed HYPER_KNOW_HOST_SCHEDULE (0 = ascending order, the
// default is 1). A kernel that lacks a barrier, or sums in an order it should not, therefore changes its result with the seed.
//
// Found and reported as hk::Error, with the kernel's name: threads that end or wait elsewhere while others wait at a barrier, warp
// collectives that not all 32 lanes reach, writes just outside shared memory or an allocation (canaries; with AddressSanitizer, which
// is told of the fibers, the reading or writing line itself). Fresh memory is filled with NaN.
// Not found: a plain addition where an atomic one is needed, since a thread is never interrupted between two rendezvous; and what only
// a card has: caches, real concurrency, limits of registers and shared memory.
#include <cstddef>
#include <cstdint>
#include <source_location>
#include <vector>

namespace hk::host {

struct Index3 {
  uint32_t x = 1, y = 1, z = 1;
};

struct Thread;

// The launch, block and thread that run now. One launch at a time per process (run() holds a lock).
struct Now {
  Index3 grid, block, block_index, thread_index;
  Thread* thread = nullptr;
  void* dynamic_shared = nullptr;
};
extern Now now;

// Runs body(context) once per thread of the grid.
void run(const char* kernel, Index3 grid, Index3 block, size_t shared_bytes, void (*body)(void*), void* context);

// The numbers below `count` in an order drawn from the seed: that of calls which may run side by side.
std::vector<uint32_t> order_of(uint32_t count);

// Called by kernels.
void meet_block(const std::source_location& where);
// All 32 lanes give a value of at most 8 bytes; returns the 32 values, valid until the lane's next rendezvous but one.
const uint64_t* meet_warp(uint32_t mask, uint64_t value, const std::source_location& where);

// An asynchronous copy: made at once, or not before the thread waits for its copies, as the schedule draws (0: always late). A thread
// that reads too early, or lets a buffer be overwritten that others still read, gets the wrong data.
void copy_later(void* to, const void* from, size_t bytes);
void finish_copies();

// Memory of the device: 256-byte aligned; null where there is none left.
void* allocate(size_t bytes);
void release(void* memory);
size_t memory_size();

}  // namespace hk::host
