// head_lists on the GPU: one block runs through the heads a tile at a time (a batch has a few thousand), then a warp per head marks
// its tails, and another lists its windows.
//   launch   1 block of (32, 16); blocks of (32, 4), grid-stride, twice
//   traffic  about 24 bytes per head; 5 per triple, scattered
//   sync     block barriers of the running sum; every mark is the same byte 1, so that their order does not show
#include "cuda_backend.h"
#include "warp.cuh"

namespace hk {
namespace {

constexpr uint32_t kListWarps = 16, kListThreads = kListWarps * kWarp;

__global__ void head_lists_kernel(HeadLists a) {
  __shared__ Pair shared[kListWarps];
  const uint32_t heads = *a.head_count;
  Pair base{0, 0}, total;
  for (uint32_t tile = 0; tile < heads; tile += kListThreads) {
    const uint32_t i = tile + threadIdx.y * kWarp + threadIdx.x;
    Pair own{0, 0};
    if (i < heads) {
      const uint32_t head = a.heads[i];
      own = {a.graph.offsets[head + 1] - a.graph.offsets[head], a.group_counts[head]};
    }
    const Pair at = base + block_scan(own, shared, total);
    if (i < heads) a.triple_offsets[i] = at.first, a.group_offsets[i] = at.second;
    base = base + total;
  }
  if (threadIdx.x == 0 && threadIdx.y == 0) a.triple_offsets[heads] = base.first, a.group_offsets[heads] = base.second;
}

__global__ void mark_tails_kernel(HeadLists a) {
  for (uint32_t i = first_of_warp(); i < *a.head_count; i += warps_of_grid()) {
    const uint32_t end = a.graph.offsets[a.heads[i] + 1];
    for (uint32_t t = a.graph.offsets[a.heads[i]] + lane_id(); t < end; t += kWarp) a.marks[a.graph.tails[t]] = 1;
  }
}

// Numbers that a head has too many of become empty windows. Without group_offsets no groups are counted.
__global__ void windows_kernel(HeadLists a) {
  const uint32_t heads = *a.head_count, lane = lane_id();
  for (uint32_t i = first_of_warp(); i < heads; i += warps_of_grid()) {
    const uint32_t head = a.heads[i], graph_begin = a.graph.offsets[head], begin = a.triple_offsets[i];
    const uint32_t degree = a.graph.offsets[head + 1] - graph_begin;
    const uint32_t end = windows_before(a.triple_offsets[i + 1], i + 1);
    uint32_t group = a.group_offsets ? a.group_offsets[i] : 0;
    for (uint32_t number = windows_before(begin, i), first = 0; number < end; ++number, first += kWindow) {
      const uint32_t count = first >= degree ? 0 : degree - first < kWindow ? degree - first : kWindow, t = graph_begin + first + lane;
      const bool starts = a.group_offsets && lane < count && (first + lane == 0 || a.graph.relations[t] != a.graph.relations[t - 1]);
      const uint32_t all = __ballot_sync(kAllLanes, starts), carried = all ? static_cast<uint32_t>(__ffs(all)) - 1 : count;
      if (lane == 0)
        a.windows[number] = {head, i, first, degree, static_cast<uint16_t>(count), static_cast<uint16_t>(carried), graph_begin, begin, group};
      group += static_cast<uint32_t>(__popc(all));
    }
  }
}

}  // namespace

void CudaBackend::head_lists(const HeadLists& a) {
  launch("head_lists", head_lists_kernel, 1, dim3(kWarp, kListWarps), 0, stream_, a);
  const auto mark = [&] {
    if (a.marks) launch("head_lists: marks", mark_tails_kernel, blocks_for(a.capacity, kWarps), dim3(kWarp, kWarps), 0, stream_, a);
  };
  if (!a.windows) return mark();
  branches({mark, [&] { triple_windows(a); }});
}

void CudaBackend::triple_windows(const HeadLists& a) {
  launch("head_lists: windows", windows_kernel, blocks_for(a.capacity, kWarps), dim3(kWarp, kWarps), 0, stream_, a);
}

}  // namespace hk
