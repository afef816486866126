// neighborhood on the GPU: one block per head. Warps share its triples in equal runs; within a run 32 triples at a time, whose dot
// products the warp takes together, one after another, and whose scalars then stand one per lane: one attention weight per lane, not 32
// times the same. On the way back a warp takes whole relation groups.
//   launch   blocks of (32, 4) for `capacity` heads, grid-stride; fewer warps where dim is so large that their rows would not fit
//   shared   per warp one row of doubles for m′, later ∂/∂(v ⊕ r); with a tape a second one for ∂/∂v
//   traffic  4·dim + 16 bytes per triple and pass, of three passes (four with midpoints) all but one from the cache; the tape's rows out
//   sync     block barriers between the passes; the columns of a row belong to one lane, or to one thread of the block, throughout
//   order    a run's triples as listed, then warps by number: fixed by the head's degree and dim
// With a tape, the triples' scalars wait between the passes where their gradients are going to stand; without, they are computed again.
#include <limits>

#include "../src/ball.h"
#include "cuda_backend.h"
#include "warp.cuh"

namespace hk {
namespace {

constexpr uint32_t kHeadWarps = 4, kHeadThreads = kHeadWarps * kWarp;
constexpr size_t kMostShared = 64 * 1024;  // what every GPU since sm_75 can grant a block, but for 1 KiB
constexpr double kInfinity = std::numeric_limits<double>::infinity();

// What a triple's lane keeps of the first pass. Stands in for its TripleGradient until that is known.
struct TripleScore {
  double sqdist, distance, weight, delta_sqnorm;  // ‖x − t‖², d(x, t), a_t, ‖t − o‖² with o the origin of the frame (ball.h)
};
static_assert(sizeof(TripleScore) == sizeof(TripleGradient));

// One head of the batch, as a block sees it.
template <class Dim>
struct Head {
  const Neighborhood& a;
  const Dim dim;
  uint32_t i, begin, degree;  // place among the heads, first triple in the graph, triples
  const float* v;
  double v_gap;

  __device__ Head(const Neighborhood& arguments, uint32_t place) : a(arguments), dim(arguments.dim), i(place) {
    const uint32_t head = a.heads[i];
    begin = a.graph.offsets[head], degree = a.graph.offsets[head + 1] - begin;
    v = a.entities + size_t{head} * dim, v_gap = a.entity_gap[head];
  }
  __device__ const float* tail(uint32_t t) const { return a.entities + size_t{a.graph.tails[begin + t]} * dim; }
  __device__ double tail_gap(uint32_t t) const { return a.entity_gap[a.graph.tails[begin + t]]; }
  __device__ uint32_t relation(uint32_t t) const { return a.graph.relations[begin + t]; }
  __device__ const float* relation_row(uint32_t r) const { return a.relations + size_t{r} * dim; }
  __device__ double relation_sqnorm(uint32_t r) const { return a.curvature > 0 ? (1.0 - a.relation_gap[r]) / a.curvature : 0.0; }
  __device__ TripleScore* scores() const { return reinterpret_cast<TripleScore*>(a.tape.triples + a.triple_offsets[i]); }

  // x = v ⊕ r by the warp
  __device__ MobiusSum add_relation(uint32_t r) const {
    const float* row = relation_row(r);
    double sum = 0;
    for_columns(dim, [&](uint32_t k) {
      const double s = static_cast<double>(v[k]) + static_cast<double>(row[k]);
      sum += s * s;
    });
    return mobius_add(warp_sum(sum), relation_sqnorm(r), v_gap, a.relation_gap[r], a.curvature);
  }

  // ‖x − t‖² and d(x, t) of the triples first … first + count − 1, one per lane
  __device__ TripleScore score(uint32_t first, uint32_t count) const {
    TripleScore own{0, 0, 1, 0};
    uint32_t current = kNone;
    MobiusSum sum{};
    double own_gap = 1;
    for (uint32_t j = 0; j < count; ++j) {
      const uint32_t r = relation(first + j);
      if (r != current) current = r, sum = add_relation(r);
      const float* row = relation_row(r);
      const float* t = tail(first + j);
      double sqdist = 0;
      for_columns(dim, [&](uint32_t k) {
        const double difference = sum.on_v * v[k] + sum.on_r * row[k] - t[k];
        sqdist += difference * difference;
      });
      sqdist = warp_sum(sqdist);
      if (lane_id() == j) own.sqdist = sqdist, own_gap = sum.gap;
    }
    if (lane_id() < count) own.distance = attention_distance(own.sqdist, own_gap, tail_gap(first + lane_id()), a.curvature);
    return own;
  }
};

// row += Σ_j coefficient of lane j · tail (first + j)
template <class Dim>
__device__ void add_tails(const Head<Dim>& head, uint32_t first, uint32_t count, double coefficient, double* row) {
  for (uint32_t base = 0; base < head.dim; base += Columns<Dim>::kAtOnce) {
    Columns<Dim> sum;
    for (uint32_t j = 0; j < count; ++j) sum.add(__shfl_sync(kAllLanes, coefficient, j), head.tail(first + j), base, head.dim);
    sum.each(base, head.dim, [&](double own, uint32_t k) { row[k] += own; });
  }
}

// ‖t − o‖² of the triples first … first + count − 1, one per lane
template <class Dim>
__device__ double delta_sqnorm(const Head<Dim>& head, const float* o, uint32_t first, uint32_t count) {
  double own = 0;
  for (uint32_t j = 0; j < count; ++j) {
    const float* t = head.tail(first + j);
    double sum = 0;
    for_columns(head.dim, [&](uint32_t k) {
      const double delta = static_cast<double>(t[k]) - static_cast<double>(o[k]);
      sum += delta * delta;
    });
    sum = warp_sum(sum);
    if (lane_id() == j) own = sum;
  }
  return own;
}

// row += Σ_j coefficient of lane j · (tail (first + j) − o)
template <class Dim>
__device__ void add_deltas(const Head<Dim>& head, const float* o, uint32_t first, uint32_t count, double coefficient, double* row) {
  for (uint32_t base = 0; base < head.dim; base += Columns<Dim>::kAtOnce) {
    Columns<Dim> sum;
    for (uint32_t j = 0; j < count; ++j) {
      const double c = __shfl_sync(kAllLanes, coefficient, j);
      const float* t = head.tail(first + j);
      sum.each(base, head.dim, [&](double& own, uint32_t k) { own += c * (static_cast<double>(t[k]) - static_cast<double>(o[k])); });
    }
    sum.each(base, head.dim, [&](double own, uint32_t k) { row[k] += own; });
  }
}

// The frame of the heaviest tail o, and the gradient on the sums in it (ball.h).
struct Frame {
  const float* o;
  double o_gap;
  const double* g_m;  // [dim] on m′
  double o_dot_g, g_m0, plain_g_m0;
};

struct Run {
  uint32_t begin, end;
};
__device__ inline uint32_t shorter(uint32_t x, uint32_t y) { return x < y ? x : y; }

// The first triple from `t` on that starts a relation group, or `end`; by the warp.
template <class Dim>
__device__ uint32_t next_group(const Head<Dim>& head, uint32_t t, uint32_t end) {
  for (; t < end; t += kWarp) {
    const uint32_t own = t + lane_id();
    const bool starts = own < end && (own == 0 || head.relation(own) != head.relation(own - 1));
    const uint32_t found = __ballot_sync(kAllLanes, starts);
    if (found) return t + static_cast<uint32_t>(__ffs(found)) - 1;
  }
  return end;
}

// Groups that start in a run; by the warp.
template <class Dim>
__device__ uint32_t count_groups(const Head<Dim>& head, Run run) {
  uint32_t count = 0;
  for (uint32_t t = run.begin; t < run.end; t += kWarp) {
    const uint32_t own = t + lane_id();
    count += static_cast<uint32_t>(
        __popc(__ballot_sync(kAllLanes, own < run.end && (own == 0 || head.relation(own) != head.relation(own - 1)))));
  }
  return count;
}

// Writes the TripleGradients of [run.begin, run.end), all of one relation (any where there is no attention), and adds up, for this warp,
// ∂L_K/∂v over them in `on_v` and ∂L_K/∂r in `on_r`. Returns this lane's part of ∂L_K/∂scale.
template <class Dim>
__device__ double gradient_of_run(const Head<Dim>& head, Run run, const Frame& frame, double* on_x_row, double* on_v, float* on_r) {
  const Neighborhood& a = head.a;
  const Dim dim = head.dim;
  const uint32_t lane = lane_id();
  const double c = a.curvature, scale = *a.scale;
  const uint32_t r = a.attention ? head.relation(run.begin) : 0;
  MobiusSum sum{};
  if (a.attention) {
    sum = head.add_relation(r);
    for_columns(dim, [&](uint32_t k) { on_x_row[k] = 0; });
  }
  double on_x = 0, on_scale = 0;
  for (uint32_t first = run.begin; first < run.end; first += kWarp) {
    const uint32_t count = shorter(run.end - first, kWarp);
    double delta_dot_g = 0;
    for (uint32_t j = 0; j < count; ++j) {
      const float* t = head.tail(first + j);
      double dot = 0;
      for_columns(dim, [&](uint32_t k) { dot += (static_cast<double>(t[k]) - static_cast<double>(frame.o[k])) * frame.g_m[k]; });
      dot = warp_sum(dot);
      if (lane == j) delta_dot_g = dot;
    }
    double slope = 0;
    if (lane < count) {
      const TripleScore score = head.scores()[first + lane];
      const double gap = head.tail_gap(first + lane);
      const TailGradient to_tail = tail_gradient(framed_term(score.delta_sqnorm, frame.o_gap, gap, c), delta_dot_g, frame.o_dot_g, frame.g_m0,
                                                 frame.plain_g_m0, score.weight, gap, c);
      TripleGradient out{to_tail.on_midpoint, 0, 0, to_tail.on_tail};
      if (a.attention) {
        const double g_distance = -score.weight * to_tail.on_weight;  // ∂L_K/∂(scale·d)
        on_scale += g_distance * score.distance;
        slope = scale * g_distance * poincare_slope(score.sqdist, sum.gap, gap, c);
        out.on_tail += slope * (1.0 + c * score.sqdist / gap);
        out.on_head = -slope * sum.on_v, out.on_relation = -slope * sum.on_r;
        on_x += slope * (1.0 + c * score.sqdist / sum.gap);
      }
      a.tape.triples[a.triple_offsets[head.i] + first + lane] = out;
    }
    if (a.attention) add_tails(head, first, count, -slope, on_x_row);
  }
  if (!a.attention) return 0;

  // ∂L_K/∂x, then back through x = v ⊕ r
  on_x = warp_sum(on_x);
  const float* row = head.relation_row(r);
  double dot_v = 0, dot_r = 0;
  for_columns(dim, [&](uint32_t k) {
    const double g = on_x_row[k] + on_x * (sum.on_v * head.v[k] + sum.on_r * row[k]);
    on_x_row[k] = g, dot_v += g * head.v[k], dot_r += g * row[k];
  });
  const MobiusGradient back =
      mobius_add_gradient(sum, warp_sum(dot_v), warp_sum(dot_r), head.relation_sqnorm(r), head.v_gap, a.relation_gap[r], c);
  for_columns(dim, [&](uint32_t k) {
    on_v[k] += back.v_on_g * on_x_row[k] + back.v_on_v * head.v[k] + back.v_on_r * row[k];
    on_r[k] = static_cast<float>(back.r_on_g * on_x_row[k] + back.r_on_v * head.v[k] + back.r_on_r * row[k]);
  });
  return on_scale;
}

// A head without triples.
template <class Dim>
__device__ void empty_head(const Head<Dim>& head, uint32_t thread, uint32_t threads) {
  const Neighborhood& a = head.a;
  const size_t at = size_t{head.i} * head.dim;
  for (uint32_t k = thread; k < head.dim; k += threads) {
    if (a.midpoint) a.midpoint[at + k] = head.v[k];
    if (a.tape.head_gradient) a.tape.head_gradient[at + k] = 0, a.tape.midpoint_gradient[at + k] = 0;
  }
  if (thread == 0) a.distance[head.i] = 0;
  if (thread == 0 && a.tape.head_gradient) a.tape.scale_gradient[head.i] = 0;
}

// Four blocks per multiprocessor leave it 128 registers; with fewer the compiler spills.
template <class Dim>
__global__ void __launch_bounds__(kHeadThreads, 4) neighborhood_kernel(Neighborhood a) {
  HK_DYNAMIC_SHARED(double, rows);  // [warps, dim], and with a tape again [warps, dim]
  __shared__ double sums[kHeadWarps];
  __shared__ uint32_t groups_of_warp[kHeadWarps];
  const Dim dim(a.dim);
  const uint32_t lane = lane_id(), warp = threadIdx.y, warps = blockDim.y, thread = warp * kWarp + lane,
                 threads = warps * kWarp;
  const double c = a.curvature, scale = *a.scale;
  const bool tape = a.tape.head_gradient != nullptr;
  double* const own_row = rows + size_t{warp} * dim;
  double* const head_rows = rows + size_t{warps} * dim;

  for (uint32_t i = blockIdx.x; i < *a.head_count; i += gridDim.x) {
    const Head<Dim> head(a, i);
    if (head.degree == 0) {
      empty_head(head, thread, threads);
      continue;
    }
    const uint32_t first_triple = a.triple_offsets[i], share = (head.degree + warps - 1) / warps;
    const Run run{shorter(warp * share, head.degree), shorter((warp + 1) * share, head.degree)};

    // Distances of Eq. 4; only the nearest is kept where there is no tape to keep them in.
    double nearest = kInfinity, position = kInfinity;
    if (a.attention) {
      for (uint32_t t = run.begin; t < run.end; t += kWarp) {
        const uint32_t count = shorter(run.end - t, kWarp);
        const TripleScore score = head.score(t, count);
        if (lane < count) {
          if (score.distance < nearest) nearest = score.distance, position = t + lane;
          if (tape) head.scores()[t + lane] = score;
        }
      }
      const double own = nearest;
      nearest = block_min(own, sums);
      position = block_min(own == nearest ? position : kInfinity, sums);
    }
    // The first of the heaviest tails; the first tail of all where no distance is a number, as after a training that diverged.
    const uint32_t origin = a.attention && position < kInfinity ? static_cast<uint32_t>(position) : 0;
    const float* o = head.tail(origin);
    const double o_gap = head.tail_gap(origin);
    const auto weigh = [&](uint32_t t, uint32_t count) {  // the lane's triple of t … t + count − 1
      TripleScore score{0, 0, 1, 0};
      if (a.attention && !tape) score = head.score(t, count);
      if (lane < count && a.attention) {
        if (tape) score = head.scores()[t + lane];
        score.weight = std::exp(-scale * (score.distance - nearest));
      }
      return score;
    };

    // Einstein midpoint, Eq. 5. In the ball's own coordinates first, where it is wanted: only l would lose digits there, and that comes
    // from the frame below.
    const size_t at = size_t{i} * dim;
    if (a.midpoint) {
      for_columns(dim, [&](uint32_t k) { own_row[k] = 0; });
      for (uint32_t t = run.begin; t < run.end; t += kWarp) {
        const uint32_t count = shorter(run.end - t, kWarp);
        const TripleScore score = weigh(t, count);
        add_tails(head, t, count, lane < count ? 2.0 * score.weight / head.tail_gap(t + lane) : 0.0, own_row);
      }
      __syncthreads();
      for (uint32_t k = thread; k < dim; k += threads) {
        double m = 0;
        for (uint32_t w = 0; w < warps; ++w) m += rows[size_t{w} * dim + k];
        a.midpoint[at + k] = static_cast<float>(m);  // divided below
      }
      __syncthreads();
    }

    // The sums in the frame of the origin tail: m′ by warp, then over the warps.
    for_columns(dim, [&](uint32_t k) { own_row[k] = 0; });
    double m0 = 0, weight_sum = 0, on_origin = 0, lorentz_sum = 0;
    for (uint32_t t = run.begin; t < run.end; t += kWarp) {
      const uint32_t count = shorter(run.end - t, kWarp);
      TripleScore score = weigh(t, count);
      score.delta_sqnorm = delta_sqnorm(head, o, t, count);
      double coefficient = 0;
      if (lane < count) {
        if (tape) head.scores()[t + lane] = score;
        const double gap = head.tail_gap(t + lane);
        const FramedTerm term = framed_term(score.delta_sqnorm, o_gap, gap, c);
        m0 += score.weight * term.lorentz, weight_sum += score.weight, on_origin += score.weight * term.on_origin;
        lorentz_sum += score.weight * lorentz_factor(gap), coefficient = score.weight * term.on_delta;
        if (a.weights) a.weights[first_triple + t + lane] = static_cast<float>(score.weight * lorentz_factor(gap));  // divided below
      }
      add_deltas(head, o, t, count, coefficient, own_row);
    }
    m0 = block_sum(m0, sums), weight_sum = block_sum(weight_sum, sums), on_origin = block_sum(on_origin, sums);
    lorentz_sum = block_sum(lorentz_sum, sums);  // barriers: all warps' rows are complete
    double m_sqnorm = 0;
    for (uint32_t k = thread; k < dim; k += threads) {
      double m = 0;
      for (uint32_t w = 0; w < warps; ++w) m += rows[size_t{w} * dim + k];
      m += on_origin * o[k];
      rows[k] = m, m_sqnorm += m * m;
    }
    m_sqnorm = block_sum(m_sqnorm, sums);
    if (a.weights)
      for (uint32_t t = thread; t < head.degree; t += threads)
        a.weights[first_triple + t] = static_cast<float>(a.weights[first_triple + t] / lorentz_sum);
    const Midpoint mid = einstein_midpoint(m0, m_sqnorm, weight_sum, c);

    // Eq. 7. From here to the barrier below, thread `thread` alone has columns thread, thread + threads, …
    double v_sqdist = 0;
    for (uint32_t k = thread; k < dim; k += threads) {
      const double delta = static_cast<double>(head.v[k]) - static_cast<double>(o[k]);
      v_sqdist += delta * delta;
      if (a.midpoint) a.midpoint[at + k] = static_cast<float>(a.midpoint[at + k] / (lorentz_sum + mid.l));
    }
    const Framed frame = framed(block_sum(v_sqdist, sums), o_gap, head.v_gap, c);
    const auto n = [&](uint32_t k) { return mid.inverse * rows[k]; };
    const auto v = [&](uint32_t k) {
      return frame.on_delta * (static_cast<double>(head.v[k]) - static_cast<double>(o[k])) + frame.on_origin * o[k];
    };
    double n_sqdist = 0;
    for (uint32_t k = thread; k < dim; k += threads) {
      const double difference = v(k) - n(k);
      n_sqdist += difference * difference;
    }
    n_sqdist = block_sum(n_sqdist, sums);
    const double distance = poincare_distance(n_sqdist, frame.gap, mid.gap, c);
    if (thread == 0) a.distance[i] = scale * distance;
    if (!tape) continue;  // the sum's barriers are behind the last use of `rows`

    // The gradients on v′ and on n′ = m′/(m0′ + l), from there on m0′ and m′, and out of the frame.
    const double slope = scale * poincare_slope(n_sqdist, frame.gap, mid.gap, c);
    const double v_on_v = slope * (1.0 + c * n_sqdist / frame.gap), n_on_n = slope * (1.0 + c * n_sqdist / mid.gap);
    float* relation_gradient = a.tape.relation_gradient ? a.tape.relation_gradient + size_t{a.group_offsets[i]} * dim : nullptr;
    double o_dot_v = 0, v_dot_v = 0, n_dot = 0;
    for (uint32_t k = thread; k < dim; k += threads) {
      const double g_v = v_on_v * v(k) - slope * n(k);
      o_dot_v += g_v * o[k], v_dot_v += g_v * v(k), n_dot += n(k) * (n_on_n * n(k) - slope * v(k));
    }
    o_dot_v = block_sum(o_dot_v, sums), v_dot_v = block_sum(v_dot_v, sums), n_dot = block_sum(n_dot, sums);
    const FramedGradient to_v = framed_gradient(frame, o_dot_v, v_dot_v, o_gap, c);
    const double g_m0 = -n_dot * mid.inverse * (1.0 + m0 / mid.l), m_on_m = n_dot * mid.inverse * c / mid.l;
    double* const framed_g = a.tape.midpoint_gradient + at;  // out of the frame when the triples are done
    double o_dot_g = 0;
    for (uint32_t k = thread; k < dim; k += threads) {
      const double g = mid.inverse * (n_on_n * n(k) - slope * v(k)) + m_on_m * rows[k];
      framed_g[k] = g, o_dot_g += g * o[k];
      head_rows[k] = to_v.on_g * (v_on_v * v(k) - slope * n(k)) + to_v.on_delta * (static_cast<double>(head.v[k]) - static_cast<double>(o[k])) +
                     to_v.on_x * head.v[k];
      for (uint32_t w = 1; w < warps; ++w) head_rows[size_t{w} * dim + k] = 0;
    }
    o_dot_g = block_sum(o_dot_g, sums);
    const Unframed plain = unframed(o_dot_g, g_m0, o_gap, c);
    const Frame of_tails{o, o_gap, framed_g, o_dot_g, g_m0, plain.g_m0};
    const uint32_t starts = a.attention ? count_groups(head, run) : 0;
    if (lane == 0) groups_of_warp[warp] = starts;
    __syncthreads();

    // Triples: a warp has the groups that start in its run, or without attention the run itself.
    double on_scale = 0;
    double* const own_head_row = head_rows + size_t{warp} * dim;
    if (a.attention) {
      uint32_t group = 0;
      for (uint32_t w = 0; w < warp; ++w) group += groups_of_warp[w];
      for (uint32_t t = next_group(head, run.begin, run.end); t < run.end; ++group) {
        const uint32_t end = next_group(head, t + 1, head.degree);
        on_scale += gradient_of_run(head, {t, end}, of_tails, own_row, own_head_row, relation_gradient + size_t{group} * dim);
        t = end;
      }
    } else {
      gradient_of_run(head, run, of_tails, own_row, own_head_row, nullptr);
    }
    on_scale = block_sum(on_scale, sums);  // barriers: all warps' rows are complete
    for (uint32_t k = thread; k < dim; k += threads) {
      double g = 0;
      for (uint32_t w = 0; w < warps; ++w) g += head_rows[size_t{w} * dim + k];
      a.tape.head_gradient[at + k] = g;
      framed_g[k] += plain.on_origin * o[k];
    }
    if (thread == 0) a.tape.scale_gradient[i] = distance + on_scale;
    // The next head's sums stand between these readings of head_rows and its next writing.
  }
}

}  // namespace

void CudaBackend::neighborhood(const Neighborhood& a) {
  const size_t row = size_t{a.dim} * sizeof(double);
  const auto shared = [&](uint32_t warps) { return (a.tape.head_gradient ? 2 : 1) * warps * row; };
  uint32_t warps = kHeadWarps;
  while (warps > 1 && shared(warps) > kMostShared - 1024) warps /= 2;
  with_dim(a.dim, [&](auto dim) {
    launch("neighborhood", neighborhood_kernel<decltype(dim)>, blocks_for(a.capacity, 1), dim3(kWarp, warps), shared(warps), stream_, a);
  });
}

}  // namespace hk
