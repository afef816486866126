// adam, adam_replay and map_parameters on the GPU: several rows share a warp, a few lanes each (row_parts.cuh). All go through one row step
// written in single-rounding intrinsics, so that a replayed step has the same bits as a dense one whatever the compiler does around it.
//   launch   blocks of (32, 4), grid-stride; a warp works out the rates of the step while its first rows arrive, a replaying warp those of
//            each row's next steps, one per lane
//   traffic  28·dim bytes per row of adam (parameters and moments in and out, gradient in), 4·dim more for points; a replayed step whose
//            average is taken 8·dim more
//   sync     the rows of a warp go together, so all 32 lanes reach the sums; a lane writes and reads back the same columns
#include "../src/ball.h"
#include "cuda_backend.h"
#include "moving_average.cuh"
#include "row_parts.cuh"

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
  using P = Part<Dim>;
  using Weights = Row<float, P>;
  const AdamTable& table;
  const AdamOptions& options;
  const P part;

  __device__ RowStep(const AdamTable& table, const AdamOptions& options) : table(table), options(options), part(Dim(table.dim)) {}

  __device__ float* row(float* rows, uint32_t i) const { return rows + size_t{i} * part.dim; }
  __device__ Weights weights(uint32_t i) const { return Weights(part, row(table.parameters, i)); }
  __device__ double most() const { return options.tangent ? kMaxTangentNorm : kMaxNorm; }

  // Keeps √c‖w‖ ≤ most; returns ‖w‖².
  __device__ double keep_within(Weights& w, bool here) const {
    const double sqnorm = dot(part, w, w), length = options.curvature * sqnorm;
    const bool beyond = length > most() * most();
    if (__ballot_sync(kAllLanes, beyond) == 0) return sqnorm;
    const double factor = kJustWithin * most() / std::sqrt(length);
    part.turns([&](uint32_t base) {
      w.turn(part, base);
      if (beyond) part.columns(base, [&](uint32_t j, uint32_t) { w.x[j] = static_cast<float>(factor * w.x[j]); });
      if (beyond && here) part.store(w.memory, w.x, base);
    });
    return dot(part, w, w);
  }

  // One step; g(j, base) is the gradient of this lane's j-th column.
  template <class Gradient>
  __device__ void step(Weights& w, uint32_t i, bool here, const Rates& r, const Gradient& g) const {
    const float beta1 = static_cast<float>(options.beta1), rest1 = static_cast<float>(1.0 - options.beta1);
    const float beta2 = static_cast<float>(options.beta2), rest2 = static_cast<float>(1.0 - options.beta2);
    part.turns([&](uint32_t base) {
      float first[P::kColumns], second[P::kColumns];
      part.load(first, row(table.first, i), base), part.load(second, row(table.second, i), base);
      w.turn(part, base);
      g.turn(base);
      part.columns(base, [&](uint32_t j, uint32_t) {
        const float gj = g(j, w.x[j]);
        const float m = __fmaf_rn(beta1, first[j], __fmul_rn(rest1, gj));
        const float v = __fmaf_rn(beta2, second[j], __fmul_rn(__fmul_rn(rest2, gj), gj));
        first[j] = m, second[j] = v;
        w.x[j] = __fsub_rn(w.x[j], __fdiv_rn(__fmul_rn(r.rate, m), __fadd_rn(__fsqrt_rn(v), r.epsilon)));
      });
      if (!here) return;
      part.store(row(table.first, i), first, base), part.store(row(table.second, i), second, base), part.store(w.memory, w.x, base);
    });
  }

  // Of the parameters after a step.
  __device__ void move_average(Weights& w, uint32_t i, float* averages, float weight) const {
    part.turns([&](uint32_t base) {
      float average[P::kColumns];
      part.load(average, row(averages, i), base);
      w.turn(part, base);
      part.columns(base, [&](uint32_t j, uint32_t) { average[j] = moved_average(average[j], w.x[j], weight); });
      part.store(row(averages, i), average, base);
    });
  }

  // points and gap from the parameters; where points are the parameters, gaps only
  __device__ void map(Weights& w, uint32_t i, bool here, double sqnorm) const {
    const double across = options.tangent ? exp_map_origin(sqnorm, options.curvature).across : 1.0;
    double point_sqnorm = 0;
    part.turns([&](uint32_t base) {
      float points[P::kColumns];
      w.turn(part, base);
      part.columns(base, [&](uint32_t j, uint32_t) {
        points[j] = options.tangent ? static_cast<float>(across * w.x[j]) : w.x[j];
        point_sqnorm = std::fma(static_cast<double>(points[j]), static_cast<double>(points[j]), point_sqnorm);
      });
      if (options.tangent && here) part.store(row(table.points, i), points, base);
    });
    point_sqnorm = part.sum(point_sqnorm);
    if (here && part.own == 0) table.gap[i] = std::fma(-options.curvature, point_sqnorm, 1.0);
  }
};

struct NoGradient {
  __device__ void turn(uint32_t) const {}
  __device__ float operator()(uint32_t, float) const { return 0.0f; }
};
// on_w·w + on_g·g
template <class P>
struct CombinedGradient {
  const P& part;
  Row<const float, P>& g;
  double on_w, on_g;
  bool is_zero;
  __device__ void turn(uint32_t base) const { g.turn(part, base); }
  __device__ float operator()(uint32_t j, float w) const { return is_zero ? 0.0f : static_cast<float>(on_w * w + on_g * g.x[j]); }
};

template <class Dim>
__global__ void adam_kernel(Adam a) {
  using P = Part<Dim>;
  const RowStep<Dim> rows(a.table, a.options);
  const P& part = rows.part;
  Rates r{};
  bool has_rates = false;
  rows_of_warp(part, a.rows ? *a.row_count : a.table.rows, [&](uint32_t i, bool listed) {
    const uint32_t row = a.rows ? a.rows[i] : i, slot = a.gradient_slot ? a.gradient_slot[row] : i;
    const bool here = listed && !(a.skip_slot && a.skip_slot[row] != kNone);
    if (__ballot_sync(kAllLanes, here) == 0) return;
    Row<float, P> w = rows.weights(row);
    Row<const float, P> g(part, slot == kNone ? w.memory : a.gradient + size_t{slot} * part.dim);
    const uint32_t place = a.regularized_slot ? a.regularized_slot[row] : kNone;
    if (!has_rates) r = rates(a.options, *a.state, a.state->steps + 1), has_rates = true;
    // ∂/∂point → ∂/∂parameters, plus the regularisation: on_w·w + on_g·g
    double on_w = 0, on_g = 1;
    if (a.options.tangent) {
      const ExpMap map = exp_map_origin(dot(part, w, w), a.options.curvature);
      on_g = map.across, on_w = map.along * dot(part, w, g);
    }
    if (place != kNone) on_w += 2.0 * a.regularization * (a.regularized_offsets[place + 1] - a.regularized_offsets[place]);
    rows.step(w, row, here, r, CombinedGradient<P>{part, g, on_w, on_g, slot == kNone});
    if (a.table.step && here && part.own == 0) a.table.step[row] = a.state->steps + 1;
    if (a.table.points) rows.map(w, row, here, rows.keep_within(w, here));
  });
}

template <class Dim>
__global__ void adam_replay_kernel(AdamReplay a) {
  using P = Part<Dim>;
  using Lanes = typename P::OfRow;
  const RowStep<Dim> rows(a.table, a.options);
  const P& part = rows.part;
  const uint32_t steps = a.state->steps;
  rows_of_warp(part, a.rows ? *a.row_count : a.table.rows, [&](uint32_t i, bool listed) {
    const uint32_t row = a.rows ? a.rows[i] : i, done = a.table.step[row];
    __syncwarp();  // all lanes have read it
    if (listed && part.own == 0 && done < steps) a.table.step[row] = steps;
    // A row that never had a gradient: its moments are zero and such a step changes nothing.
    const uint32_t missed = listed && done != 0 && done < steps ? steps - done : 0, most = Lanes::most(missed);
    if (most == 0) return;
    Row<float, P> w = rows.weights(row);
    Rates own{};
    float own_weight = 0;  // of the average
    double sqnorm = 0;
    for (uint32_t n = 0; n < most; ++n) {
      const uint32_t ahead = n % P::kPerRow;
      if (ahead == 0) {
        own = rates(a.options, *a.state, done + n + 1 + part.own);
        if (a.moving.average) own_weight = moving_average_weight(a.moving.decay, a.moving.every, done + n + 1 + part.own);
      }
      const bool here = n < missed;
      const Rates r{Lanes::from(own.rate, ahead), Lanes::from(own.epsilon, ahead)};
      Row<float, P> next = w;
      rows.step(next, row, here, r, NoGradient{});
      double next_sqnorm = 0;
      if (a.table.points) next_sqnorm = rows.keep_within(next, here);
      if (here) w = next, sqnorm = next_sqnorm;
      if (a.moving.average) {
        const float weight = Lanes::from(own_weight, ahead);
        if (weight != 0.0f && here) rows.move_average(w, row, a.moving.average, weight);
      }
    }
    if (a.table.points) rows.map(w, row, missed > 0, sqnorm);
  });
}

template <class Dim>
__global__ void map_parameters_kernel(MapParameters a) {
  AdamOptions options{};
  options.curvature = a.curvature, options.tangent = a.tangent;
  const RowStep<Dim> rows(a.table, options);
  rows_of_warp(rows.part, a.table.rows, [&](uint32_t row, bool here) {
    Row<float, Part<Dim>> w = rows.weights(row);
    rows.map(w, row, here, rows.keep_within(w, here));
  });
}

}  // namespace

void CudaBackend::adam(const Adam& a) {
  with_dim(a.table.dim, [&](auto dim) {
    using Dim = decltype(dim);
    launch("adam", adam_kernel<Dim>, blocks_for_rows<Part<Dim>>(a.rows ? a.capacity : a.table.rows), dim3(kWarp, kWarps), 0, stream_, a);
  });
}

void CudaBackend::adam_replay(const AdamReplay& a) {
  with_dim(a.table.dim, [&](auto dim) {
    using Dim = decltype(dim);
    launch("adam_replay", adam_replay_kernel<Dim>, blocks_for_rows<Part<Dim>>(a.rows ? a.capacity : a.table.rows), dim3(kWarp, kWarps), 0,
           stream_, a);
  });
}

void CudaBackend::map_parameters(const MapParameters& a) {
  with_dim(a.table.dim, [&](auto dim) {
    using Dim = decltype(dim);
    launch("map_parameters", map_parameters_kernel<Dim>, blocks_for_rows<Part<Dim>>(a.table.rows), dim3(kWarp, kWarps), 0, stream_, a);
  });
}

}  // namespace hk
