// batch_totals on the CPU: a few thousand additions in order, on one thread.
#include <cmath>

#include "cpu_backend.h"

namespace hk {

void CpuBackend::batch_totals(const BatchTotals& a) {
  double ranking = 0, knowledge = 0, gradient = 0;
  for (uint32_t i = 0; i < a.count; ++i) ranking += a.loss[i];
  const uint32_t heads = a.weight ? *a.head_count : 0;
  for (uint32_t i = 0; i < heads; ++i) knowledge += a.weight[i] * a.head_distance[i];
  a.totals[0] += ranking, a.totals[1] += knowledge;
  const uint32_t step = a.state->steps + 1;
  *a.next = {a.state->epoch, a.state->first + a.count, step, a.state->learning_rate_factor};
  if (!a.scale_gradient) return;

  for (uint32_t i = 0; i < a.count; ++i) gradient += a.scale_gradient[i];
  for (uint32_t i = 0; i < heads; ++i) gradient += a.weight[i] * a.head_scale_gradient[i];
  gradient *= *a.scale;  // ∂/∂ln(scale)
  constexpr double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
  double& log_scale = a.scale_state[0];
  double& first = a.scale_state[1];
  double& second = a.scale_state[2];
  first = beta1 * first + (1 - beta1) * gradient;
  second = beta2 * second + (1 - beta2) * gradient * gradient;
  log_scale -= a.learning_rate * (first / (1 - std::pow(beta1, step))) / (std::sqrt(second / (1 - std::pow(beta2, step))) + epsilon);
  *a.scale = std::exp(log_scale);
}

}  // namespace hk
