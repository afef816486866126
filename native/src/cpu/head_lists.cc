// head_lists on the CPU: two running sums on one thread, then heads over threads. Several heads may mark the same tail, with the same byte.
#include <atomic>

#include "cpu_backend.h"

namespace hk {

void CpuBackend::head_lists(const HeadLists& a) {
  uint32_t triples = 0, groups = 0;
  const uint32_t heads = *a.head_count;
  for (uint32_t i = 0; i < heads; ++i) {
    const uint32_t head = a.heads[i];
    a.triple_offsets[i] = triples, a.group_offsets[i] = groups;
    triples += a.graph.offsets[head + 1] - a.graph.offsets[head], groups += a.group_counts[head];
  }
  a.triple_offsets[heads] = triples, a.group_offsets[heads] = groups;
  if (!a.marks) return;

  pool_.run(heads, 256, [&](uint64_t begin, uint64_t end, int) {
    for (uint64_t i = begin; i < end; ++i)
      for (uint32_t t = a.graph.offsets[a.heads[i]]; t < a.graph.offsets[a.heads[i] + 1]; ++t)
        std::atomic_ref<uint8_t>(a.marks[a.graph.tails[t]]).store(1, std::memory_order_relaxed);
  });
}

}  // namespace hk
