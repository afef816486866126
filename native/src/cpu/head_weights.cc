// head_weights on the CPU: one thread; a batch has a few thousand heads.
#include "../ball.h"
#include "cpu_backend.h"

namespace hk {

void CpuBackend::head_weights(const HeadWeights& a) {
  for (uint32_t i = 0; i < *a.head_count; ++i) {
    const double count = a.occurrence_offsets ? a.occurrence_offsets[i + 1] - a.occurrence_offsets[i] : 1;
    a.weight[i] = count * (a.beta ? sigmoid(static_cast<double>(a.beta[a.heads[i]])) : a.fixed_weight);
  }
}

}  // namespace hk
