// head_lists on the CPU: two running sums and a byte per tail, on one thread.
#include "../ball.h"
#include "cpu_backend.h"

namespace hk {

void CpuBackend::head_lists(const HeadLists& a) {
  uint32_t triples = 0, groups = 0;
  const uint32_t heads = *a.head_count;
  for (uint32_t i = 0; i < heads; ++i) {
    const uint32_t head = a.heads[i], begin = a.graph.offsets[head], end = a.graph.offsets[head + 1];
    a.triple_offsets[i] = triples, a.group_offsets[i] = groups;
    triples += end - begin, groups += a.group_counts[head];
    const double count = a.occurrence_offsets ? a.occurrence_offsets[i + 1] - a.occurrence_offsets[i] : 1;
    a.weight[i] = count * (a.beta ? sigmoid(static_cast<double>(a.beta[head])) : a.fixed_weight);
    if (a.marks)
      for (uint32_t t = begin; t < end; ++t) a.marks[a.graph.tails[t]] = 1;
  }
  a.triple_offsets[heads] = triples, a.group_offsets[heads] = groups;
}

}  // namespace hk
