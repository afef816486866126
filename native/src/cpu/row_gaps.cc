// row_gaps on the CPU: rows over threads.
#include "cpu_backend.h"
#include "rows.h"

namespace hk {
namespace {

template <class S>
HK_INLINE void gap_rows(const RowGaps& a, uint64_t begin, uint64_t end) {
  for (uint64_t i = begin; i < end; ++i) {
    const float* x = a.points + i * a.dim;
    a.gap[i] = 1.0 - a.curvature * dot<S>(x, x, a.dim);
  }
}
HK_DISPATCH(gaps, gap_rows, (const RowGaps& a, uint64_t begin, uint64_t end), (a, begin, end))

}  // namespace

void CpuBackend::row_gaps(const RowGaps& a) {
  pool_.run(a.rows, 1024, [&](uint64_t begin, uint64_t end, int) { gaps(a, begin, end); });
}

}  // namespace hk
