// group_rows on the GPU: count keys per row (integer atomics: the order of additions does not show), one running sum over all rows in
// fixed chunks, then every key is dropped into its row's part of `order` in whatever order it comes, and each part is sorted, which
// leaves one possible answer.
//   launch   six kernels, the lists side by side in the grid; workspace[row] holds the row's count, then where its next key goes;
//            workspace[rows …] two sums per chunk
//   traffic  some 20 bytes per row of the table and 16 per key
//   sync     between kernels by the stream
//   order    by sorting, not by time
#include <algorithm>

#include "cuda_backend.h"
#include "warp.cuh"

namespace hk {
namespace {

constexpr uint32_t kThreads = 256, kBlockWarps = kThreads / kWarp;
constexpr uint32_t kMostChunks = 512;  // 2·512 numbers are what the workspace has beyond one per row

// Rows of one chunk: whole tiles of a block.
__host__ __device__ inline uint32_t chunk_rows(uint32_t rows) {
  const uint32_t tiles = rows ? (rows + kThreads - 1) / kThreads : 1;
  return (tiles + kMostChunks - 1) / kMostChunks * kThreads;
}
__device__ inline uint32_t thread_of_block() { return threadIdx.y * kWarp + threadIdx.x; }
__device__ inline uint32_t thread_of_grid() { return blockIdx.x * kThreads + thread_of_block(); }
__device__ inline uint32_t threads_of_grid() { return gridDim.x * kThreads; }

__global__ void reset_kernel(const __grid_constant__ GroupRows all) {
  const RowGroups& a = all.lists[blockIdx.y];
  for (uint32_t i = thread_of_grid(); i < *a.unique_count; i += threads_of_grid()) a.slot[a.unique[i]] = kNone;
  for (uint32_t row = thread_of_grid(); row < a.rows; row += threads_of_grid()) a.workspace[row] = 0;
}

__global__ void count_kernel(const __grid_constant__ GroupRows all) {
  const RowGroups& a = all.lists[blockIdx.y];
  for (uint32_t i = thread_of_grid(); i < a.key_count; i += threads_of_grid())
    if (a.keys[i] != kNone) atomicAdd(&a.workspace[a.keys[i]], 1u);
}

// first: 1 where the row is listed; second: its keys
__device__ inline Pair row_pair(const RowGroups& a, uint32_t row) {
  if (row >= a.rows) return {0, 0};
  const uint32_t keys = a.workspace[row];
  return {keys > 0 || (a.marks && a.marks[row]) ? 1u : 0u, keys};
}

// Sums of each chunk, one block per chunk.
__global__ void chunk_sums_kernel(const __grid_constant__ GroupRows all) {
  __shared__ Pair shared[kBlockWarps];
  const RowGroups& a = all.lists[blockIdx.y];
  const uint32_t chunk = chunk_rows(a.rows), chunks = (a.rows + chunk - 1) / chunk;
  if (blockIdx.x >= chunks) return;
  const uint32_t begin = blockIdx.x * chunk, end = begin + chunk;
  Pair sum{0, 0}, total;
  for (uint32_t row = begin + thread_of_block(); row < end; row += kThreads) sum = sum + row_pair(a, row);
  block_scan(sum, shared, total);
  if (thread_of_block() == 0) a.workspace[a.rows + blockIdx.x] = total.first, a.workspace[a.rows + kMostChunks + blockIdx.x] = total.second;
}

// Running sums through each chunk: the lists, and the counts turned into places.
__global__ void list_kernel(const __grid_constant__ GroupRows all) {
  __shared__ Pair shared[kBlockWarps];
  const RowGroups& a = all.lists[blockIdx.y];
  const uint32_t chunk = chunk_rows(a.rows), chunks = (a.rows + chunk - 1) / chunk;
  if (blockIdx.x >= chunks) return;
  Pair before{0, 0}, base, total;
  for (uint32_t b = thread_of_block(); b < blockIdx.x; b += kThreads)
    before = before + Pair{a.workspace[a.rows + b], a.workspace[a.rows + kMostChunks + b]};
  block_scan(before, shared, base);
  const uint32_t begin = blockIdx.x * chunk;
  for (uint32_t tile = begin; tile < begin + chunk; tile += kThreads) {
    const uint32_t row = tile + thread_of_block();
    const Pair own = row_pair(a, row);
    const Pair at = base + block_scan(own, shared, total);
    if (own.first) a.slot[row] = at.first, a.unique[at.first] = row, a.offsets[at.first] = at.second;
    if (row < a.rows) a.workspace[row] = at.second;
    if (row < a.rows && a.marks) a.marks[row] = 0;
    base = base + total;
  }
  if (blockIdx.x == chunks - 1 && thread_of_block() == 0) *a.unique_count = base.first, a.offsets[base.first] = base.second;
}

__global__ void fill_kernel(const __grid_constant__ GroupRows all) {
  const RowGroups& a = all.lists[blockIdx.y];
  for (uint32_t i = thread_of_grid(); i < a.key_count; i += threads_of_grid())
    if (a.keys[i] != kNone) a.order[atomicAdd(&a.workspace[a.keys[i]], 1u)] = i;
}

// Ascending, in place, by the whole block: a bitonic network whose comparators all point the same way, so that `count` need be no
// power of two (places beyond it act as infinity and never move).
__device__ void block_sort(uint32_t* values, uint32_t count) {
  uint32_t size = 1;
  while (size < count) size *= 2;
  for (uint32_t span = 2; span <= size; span *= 2)
    for (uint32_t stride = span / 2; stride > 0; stride /= 2) {
      for (uint32_t i = thread_of_block(); i < size / 2; i += kThreads) {
        const uint32_t low = i / stride * 2 * stride + i % stride;
        const uint32_t high = stride == span / 2 ? low / span * span + span - 1 - low % span : low + stride;  // first step: mirrored
        if (high < count && values[high] < values[low]) {
          const uint32_t value = values[low];
          values[low] = values[high], values[high] = value;
        }
      }
      __syncthreads();
    }
}

// Each warp sorts its row's keys where they fit into one register per lane; the block then takes the longer rows one after another.
__global__ void sort_kernel(const __grid_constant__ GroupRows all) {
  const RowGroups& a = all.lists[blockIdx.y];
  const uint32_t unique = *a.unique_count, lane = lane_id();
  for (uint32_t first = blockIdx.x * kBlockWarps; first < unique; first += gridDim.x * kBlockWarps) {
    const uint32_t row = first + threadIdx.y;
    const uint32_t begin = row < unique ? a.offsets[row] : 0, count = row < unique ? a.offsets[row + 1] - begin : 0;
    if (count > 1 && count <= kWarp) {
      const uint32_t key = lane < count ? a.order[begin + lane] : kNone;
      uint32_t rank = 0;
      for (uint32_t i = 0; i < count; ++i) rank += __shfl_sync(kAllLanes, key, i) < key ? 1 : 0;
      if (lane < count) a.order[begin + rank] = key;
    }
    for (uint32_t i = first; i < first + kBlockWarps && i < unique; ++i) {
      const uint32_t long_begin = a.offsets[i], long_count = a.offsets[i + 1] - long_begin;
      if (long_count > kWarp) block_sort(a.order + long_begin, long_count);
    }
  }
}

}  // namespace

void CudaBackend::group_rows(const GroupRows& a) {
  uint32_t rows = 0, keys = 0, capacity = 0, chunks = 0;
  for (uint32_t i = 0; i < a.count; ++i) {
    const RowGroups& list = a.lists[i];
    const uint32_t chunk = chunk_rows(list.rows);
    rows = std::max(rows, list.rows), keys = std::max(keys, list.key_count), capacity = std::max(capacity, list.capacity);
    chunks = std::max(chunks, (list.rows + chunk - 1) / chunk);
  }
  const dim3 block(kWarp, kBlockWarps);
  launch("group_rows: reset", reset_kernel, dim3(blocks_for(rows, kThreads), a.count), block, 0, stream_, a);
  launch("group_rows: count", count_kernel, dim3(blocks_for(keys, kThreads), a.count), block, 0, stream_, a);
  launch("group_rows: sums", chunk_sums_kernel, dim3(chunks, a.count), block, 0, stream_, a);
  launch("group_rows: lists", list_kernel, dim3(chunks, a.count), block, 0, stream_, a);
  launch("group_rows: fill", fill_kernel, dim3(blocks_for(keys, kThreads), a.count), block, 0, stream_, a);
  if (keys) launch("group_rows: sort", sort_kernel, dim3(blocks_for(capacity, kBlockWarps), a.count), block, 0, stream_, a);
}

}  // namespace hk
