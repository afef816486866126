// adam, adam_replay and map_parameters on the GPU: one warp per row, lanes stride dim. All go through one row step written in
// single-rounding intrinsics, so that a replayed step has the same bits as a dense one whatever the compiler does around it.
//   launch   blocks of (32, 8), grid-stride; one thread per block works out the rates of the step, a replaying warp those of its 32
//            next steps, one per lane
//   traffic  28·dim bytes per row of adam (parameters and moments in and out, gradient in), 4·dim more for points; a replayed step whose
//            average is taken 8·dim more
//   sync     a block barrier for the rates; a warp takes and leaves a row whole, and a lane writes and reads back the same columns
#include "../src/ball.h"
#include "cuda_backend.h"
#include "moving_average.cuh"
#include "warp.cuh"

namespace hk {
namespace {

// Of one step number: lr·√(1−β2^t)/(1−β1^t) and ε·√(1−β2^t). Compiled once, for both kernels.
struct Rates {
  float rate, epsilon;
};
__device__ HK_NOINLINE Rates rates(double learning_rate, double beta1, double beta2, double epsilon, uint32_t step) {
  const double t = step, correction = std::sqrt(1.0 - std::pow(beta2, t));
  return {static_cast<float>(learning_rate * correction / (1.0 - std::pow(beta1, t))), static_cast<float>(epsilon * correction)};
}
__device__ inline Rates rates(const AdamOptions& o, const StepState& state, uint32_t step) {
  return rates(o.learning_rate * state.learning_rate_factor, o.beta1, o.beta2, o.epsilon, step);
}

// The rows of one table that a warp works on.
template <class Dim>
struct RowStep {
  const AdamTable& table;
  const AdamOptions& options;
  const Dim dim;

  __device__ RowStep(const AdamTable& table, const AdamOptions& options) : table(table), options(options), dim(table.dim) {}

  __device__ float* row(float* rows, uint32_t i) const { return rows + size_t{i} * dim; }
  __device__ double most() const { return options.tangent ? kMaxTangentNorm : kMaxNorm; }

  // Keeps √c‖w‖ ≤ most.
  __device__ void keep_within(uint32_t i) const {
    if (!table.points) return;
    float* w = row(table.parameters, i);
    const double sqnorm = options.curvature * row_dot(w, w, dim);
    if (sqnorm > most() * most()) row_scale(w, most() / std::sqrt(sqnorm), w, dim);
  }

  // One step; g(k) is the gradient of column k.
  template <class Gradient>
  __device__ void step(uint32_t i, const Rates& r, const Gradient& g) const {
    const float beta1 = static_cast<float>(options.beta1), rest1 = static_cast<float>(1.0 - options.beta1);
    const float beta2 = static_cast<float>(options.beta2), rest2 = static_cast<float>(1.0 - options.beta2);
    float* w = row(table.parameters, i);
    float* first = row(table.first, i);
    float* second = row(table.second, i);
    for_columns(dim, [&](uint32_t k) {
      const float gk = g(k);
      const float m = __fmaf_rn(beta1, first[k], __fmul_rn(rest1, gk));
      const float v = __fmaf_rn(beta2, second[k], __fmul_rn(__fmul_rn(rest2, gk), gk));
      first[k] = m, second[k] = v;
      w[k] = __fsub_rn(w[k], __fdiv_rn(__fmul_rn(r.rate, m), __fadd_rn(__fsqrt_rn(v), r.epsilon)));
    });
    keep_within(i);
  }

  // Of the parameters after a step.
  __device__ void move_average(uint32_t i, float* averages, float weight) const {
    const float* w = row(table.parameters, i);
    float* average = row(averages, i);
    for_columns(dim, [&](uint32_t k) { average[k] = moved_average(average[k], w[k], weight); });
  }

  // points and gap from the parameters
  __device__ void map(uint32_t i) const {
    if (!table.points) return;
    float* points = row(table.points, i);
    if (options.tangent) {
      const float* w = row(table.parameters, i);
      row_scale(points, exp_map_origin(row_dot(w, w, dim), options.curvature).across, w, dim);
    }
    const double sqnorm = row_dot(points, points, dim);
    if (lane_id() == 0) table.gap[i] = std::fma(-options.curvature, sqnorm, 1.0);
  }
};

template <class Dim>
__global__ void adam_kernel(Adam a) {
  __shared__ Rates shared;
  if (threadIdx.x == 0 && threadIdx.y == 0) shared = rates(a.options, *a.state, a.state->steps + 1);
  __syncthreads();
  const Rates r = shared;
  const RowStep<Dim> rows(a.table, a.options);
  const Dim dim(a.table.dim);
  const uint32_t count = a.rows ? *a.row_count : a.table.rows;
  for (uint32_t i = first_of_warp(); i < count; i += warps_of_grid()) {
    const uint32_t row = a.rows ? a.rows[i] : i, slot = a.gradient_slot ? a.gradient_slot[row] : i;
    if (slot == kNone) {
      rows.step(row, r, [](uint32_t) { return 0.0f; });
    } else {
      // ∂/∂point → ∂/∂parameters, plus the regularisation: on_w·w + on_g·g
      const float* w = rows.row(a.table.parameters, row);
      const float* g = a.gradient + size_t{slot} * dim;
      double on_w = 0, on_g = 1;
      if (a.options.tangent) {
        const ExpMap map = exp_map_origin(row_dot(w, w, dim), a.options.curvature);
        on_g = map.across, on_w = map.along * row_dot(w, g, dim);
      }
      const uint32_t place = a.regularized_slot ? a.regularized_slot[row] : kNone;
      if (place != kNone) on_w += 2.0 * a.regularization * (a.regularized_offsets[place + 1] - a.regularized_offsets[place]);
      rows.step(row, r, [=](uint32_t k) { return static_cast<float>(on_w * w[k] + on_g * g[k]); });
    }
    if (a.table.step && lane_id() == 0) a.table.step[row] = a.state->steps + 1;
    rows.map(row);
  }
}

template <class Dim>
__global__ void adam_replay_kernel(AdamReplay a) {
  const RowStep<Dim> rows(a.table, a.options);
  const uint32_t count = a.rows ? *a.row_count : a.table.rows, steps = a.state->steps;
  for (uint32_t i = first_of_warp(); i < count; i += warps_of_grid()) {
    const uint32_t row = a.rows ? a.rows[i] : i, done = a.table.step[row];
    __syncwarp();  // all lanes have read it
    if (done >= steps) continue;
    if (lane_id() == 0) a.table.step[row] = steps;
    if (done == 0) continue;  // never had a gradient: its moments are zero and such a step changes nothing
    Rates own{};
    float own_weight = 0;  // of the average
    for (uint32_t step = done; step < steps; ++step) {
      const uint32_t ahead = (step - done) % kWarp;
      if (ahead == 0) {
        own = rates(a.options, *a.state, step + 1 + lane_id());
        if (a.moving.average) own_weight = moving_average_weight(a.moving.decay, a.moving.every, step + 1 + lane_id());
      }
      const Rates r{__shfl_sync(kAllLanes, own.rate, ahead), __shfl_sync(kAllLanes, own.epsilon, ahead)};
      rows.step(row, r, [](uint32_t) { return 0.0f; });
      if (a.moving.average) {
        const float weight = __shfl_sync(kAllLanes, own_weight, ahead);
        if (weight != 0.0f) rows.move_average(row, a.moving.average, weight);
      }
    }
    rows.map(row);
  }
}

__global__ void map_parameters_kernel(MapParameters a) {
  AdamOptions options{};
  options.curvature = a.curvature, options.tangent = a.tangent;
  const RowStep<AnyDim> rows(a.table, options);
  for (uint32_t row = first_of_warp(); row < a.table.rows; row += warps_of_grid()) rows.keep_within(row), rows.map(row);
}

}  // namespace

void CudaBackend::adam(const Adam& a) {
  with_dim(a.table.dim, [&](auto dim) {
    launch("adam", adam_kernel<decltype(dim)>, blocks_for(a.rows ? a.capacity : a.table.rows, kWarps), dim3(kWarp, kWarps), 0, stream_, a);
  });
}

void CudaBackend::adam_replay(const AdamReplay& a) {
  with_dim(a.table.dim, [&](auto dim) {
    launch("adam_replay", adam_replay_kernel<decltype(dim)>, blocks_for(a.rows ? a.capacity : a.table.rows, kWarps), dim3(kWarp, kWarps), 0, stream_, a);
  });
}

void CudaBackend::map_parameters(const MapParameters& a) {
  launch("map_parameters", map_parameters_kernel, blocks_for(a.table.rows, kWarps), dim3(kWarp, kWarps), 0, stream_, a);
}

}  // namespace hk
