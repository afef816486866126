// relation_gradient on the CPU: adds up the RelationSums.
#include <algorithm>
#include <vector>

#include "cpu_backend.h"
#include "rows.h"

namespace hk {
namespace {

template <class S>
HK_INLINE void add_sums(const RelationGradient& a, uint64_t begin, uint64_t end) {
  thread_local std::vector<double> scratch;
  if (scratch.size() < a.dim) scratch.resize(a.dim);
  for (uint64_t r = begin; r < end; ++r) {
    std::fill_n(scratch.data(), a.dim, 0.0);
    for (uint32_t sum = 0; sum < a.sums.count; ++sum)
      add_row<S>(scratch.data(), 1.0, a.sums.rows + (size_t{sum} * a.sums.relations + r) * a.dim, a.dim);
    scale_row<S>(a.gradient + r * a.dim, 1.0, scratch.data(), a.dim);
  }
}

HK_DISPATCH(relations, add_sums, (const RelationGradient& a, uint64_t begin, uint64_t end), (a, begin, end))

}  // namespace

void CpuBackend::relation_gradient(const RelationGradient& a) {
  pool_.run(a.sums.relations, 8, [&](uint64_t begin, uint64_t end, int) { relations(a, begin, end); });
}

}  // namespace hk
