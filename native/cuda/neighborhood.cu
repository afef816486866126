// neighborhood on the GPU. Heads have from one to thousands of triples; so that no warp waits for a long one, the triples are cut into windows
// of at most 32 of one head, a warp each, and what a head needs of all of its windows is put together between the passes:
//   scores    ‖x − t‖² and d(x, t) of every triple with x = v ⊕ r, t·v and t·r, and the nearest tail of the window
//   sums      a_t and the window's part of the sums of Eq. 5, in the frame of the head's heaviest tail (ball.h)
//   heads     Einstein midpoint, L_K, its gradient on the sums and its own part of ∂/∂v; without a tape this is the last
//   tails     what ∂L_K/∂t is made of, attention apart; and what a relation group that has begun in an earlier window is owed
//   groups    back through v ⊕ r: ∂L_K/∂r of every relation group, and the window's part of ∂L_K/∂v
//   finish    a head's parts added
// Passes over the rows of tails have a quarter of the warp on each row, or half of it, or all (row_parts.cuh), so that a sum over the columns
// takes three exchanges for four triples; passes over their scalars have one lane on each triple.
//   launch   six kernels, blocks of (32, 4), grid-stride: for the windows, heads twice for the heads
//   traffic  4·dim + 16 bytes per triple and pass, of four passes, and 48 for its dot products; 8·dim per window written and read twice;
//            the tape's rows out
//   sync     between the kernels by the stream; a warp takes and leaves a window or head whole
//   order    a window's triples as listed, then a head's windows by number: fixed by the head's degree and dim
// The scalars of triples wait between the passes where their gradients are going to stand; without a tape, in scratch memory.
#include <algorithm>
#include <limits>

#include "../src/ball.h"
#include "cuda_backend.h"
#include "row_parts.cuh"

namespace hk {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// What is known of a triple before its gradient; stands in for that. x = v ⊕ r.
struct TripleScore {
  double sqdist, distance, weight, x_gap;  // ‖x − t‖², d(x, t), a_t, 1 − c‖x‖²
};
static_assert(sizeof(TripleScore) == sizeof(TripleGradient));

struct Nearest {
  double distance;
  uint32_t position;  // of the triple among its head's
};
// The frame of the heaviest tail, and the gradient on the sums in it.
struct HeadFrame {
  double nearest;  // d(x, t) of the heaviest tail
  double o_dot_g, g_m0, plain_g_m0, on_origin;
  uint32_t origin;  // that tail
};

// What the gradient of v ⊕ r is made of beside that.
struct TripleDots {
  double v, r, sum_sqnorm;  // t·v, t·r, ‖v + r‖²
};

// Where windows and heads leave things to each other.
struct Scratch {
  TripleWindow* windows;  // where the caller has none
  Nearest* nearest;    // [windows]
  HeadFrame* frames;   // [heads]
  double* sums;        // [windows, pitch]: a row of dim numbers, four scalars, and one more row
  TripleScore* scores;  // [triples]
  TripleDots* dots;     // [triples] with attention and a tape
  uint32_t pitch;  // of `sums`
};
constexpr uint32_t kScalars = 4;

__device__ inline uint32_t first_window(const Neighborhood& a, uint32_t i) { return windows_before(a.triple_offsets[i], i); }
__device__ inline uint32_t windows_of(uint32_t degree) { return (degree + kWindow - 1) / kWindow; }

// A head, as a warp sees it.
struct Head {
  uint32_t i, id, begin, degree;  // place among the heads, item, first triple in the graph, triples
  __device__ Head(const Neighborhood& a, uint32_t place) : i(place), id(a.heads[place]) {
    begin = a.graph.offsets[id], degree = a.graph.offsets[id + 1] - begin;
  }
};
__device__ inline double sqnorm_of(double gap, double curvature) { return curvature > 0 ? (1.0 - gap) / curvature : 0.0; }

// Up to 32 triples of a head, one per lane: lanes past the last have the first one's tail.
template <class Dim>
struct Window {
  using P = Part<Dim>;
  using V = Row<const float, P>;
  const Neighborhood& a;
  const P part;
  const TripleWindow of;
  const bool here;  // this lane has a triple
  uint32_t tail, relation;
  double gap;  // of the tail

  __device__ Window(const Neighborhood& arguments, uint32_t number)
      : a(arguments), part(Dim(arguments.dim)), of(arguments.windows[number]), here(lane_id() < of.count) {
    if (of.count == 0) return;
    const uint32_t t = of.graph_begin + of.first + (here ? lane_id() : 0);
    tail = a.graph.tails[t], relation = a.attention ? a.graph.relations[t] : 0, gap = a.entity_gap[tail];
  }
  __device__ const float* entity(uint32_t id) const { return a.entities + size_t{id} * part.dim; }
  __device__ const float* relation_row(uint32_t r) const { return a.relations + size_t{r} * part.dim; }
  __device__ size_t triple() const { return size_t{of.begin} + of.first + lane_id(); }  // of this lane, in the tape
  __device__ double v_gap() const { return a.entity_gap[of.head]; }

  // f(round, j) for the rounds that show each part of the warp, in turn, the triples j of the window
  template <class F>
  __device__ void rounds(const F& f) const {
    for (uint32_t round = 0; round * P::kRows < of.count; ++round) f(round, round * P::kRows + part.place);
  }
  // `own` becomes the value that a round had for this lane's triple.
  __device__ void keep(double& own, double value, uint32_t round) const {
    const double mine = __shfl_sync(kAllLanes, value, lane_id() % P::kRows * P::kPerRow);
    if (lane_id() / P::kRows == round) own = mine;
  }
  // Which lanes' triples start a relation group.
  __device__ uint32_t starts() const { return starts_from(of.first, of.first + of.count); }
  // Which of the 32 triples from `t` on, below `end`, start a group.
  __device__ uint32_t starts_from(uint32_t t, uint32_t end) const {
    const uint32_t own = t + lane_id(), at = of.graph_begin + own;
    return __ballot_sync(kAllLanes, own < end && (own == 0 || a.graph.relations[at] != a.graph.relations[at - 1]));
  }
  __device__ MobiusSum add_relation(double sqnorm, uint32_t r) const {
    const double r_gap = a.relation_gap[r];
    return mobius_add(sqnorm, sqnorm_of(r_gap, a.curvature), v_gap(), r_gap, a.curvature);
  }
  // ‖v + r‖² of a part's relation
  __device__ double sum_sqnorm(V& v, const float* r_row) const {
    double sqnorm = 0;
    part.turns([&](uint32_t base) {
      float r[P::kColumns];
      v.turn(part, base), part.load(r, r_row, base);
      part.columns(base, [&](uint32_t i, uint32_t) {
        const double s = static_cast<double>(v.x[i]) + static_cast<double>(r[i]);
        sqnorm = std::fma(s, s, sqnorm);
      });
    });
    return part.sum(sqnorm);
  }
};
// f(number, window) for the windows of this warp
template <class Dim, class F>
__device__ void for_windows(const Neighborhood& a, const F& f) {
  const uint32_t heads = *a.head_count, windows = heads == 0 ? 0 : first_window(a, heads);
  for (uint32_t number = first_of_warp(); number < windows; number += warps_of_grid()) {
    const Window<Dim> w(a, number);
    if (w.of.count > 0) f(number, w);
  }
}

template <class Dim>
__global__ void __launch_bounds__(kWarps* kWarp) scores_kernel(Neighborhood a, Scratch s) {
  using P = Part<Dim>;
  const uint32_t lane = lane_id();
  for_windows<Dim>(a, [&](uint32_t number, const Window<Dim>& w) {
    const P& part = w.part;
    typename Window<Dim>::V v(part, w.entity(w.of.head));

    // v ⊕ r of this lane's triple; the first may belong to a group that starts before
    const uint32_t starts = w.starts() | 1, groups = static_cast<uint32_t>(__popc(starts));
    const uint32_t group = static_cast<uint32_t>(__popc(starts & (kAllLanes >> (kWarp - 1 - lane)))) - 1;
    double sqnorm = 0;
    uint32_t left = starts;
    for (uint32_t round = 0; round * P::kRows < groups; ++round, left = without_first(left, P::kRows)) {
      const uint32_t r = __shfl_sync(kAllLanes, w.relation, bit_at(left, part.place, starts));
      const double of_round = __shfl_sync(kAllLanes, w.sum_sqnorm(v, w.relation_row(r)), group % P::kRows * P::kPerRow);
      if (group / P::kRows == round) sqnorm = of_round;
    }
    const MobiusSum x = w.add_relation(sqnorm, w.relation);

    double sqdist = 0;
    TripleDots dots{0, 0, sqnorm};
    w.rounds([&](uint32_t round, uint32_t j) {
      const float* const t_row = w.entity(__shfl_sync(kAllLanes, w.tail, j));
      const float* const r_row = w.relation_row(__shfl_sync(kAllLanes, w.relation, j));
      const double on_v = __shfl_sync(kAllLanes, x.on_v, j), on_r = __shfl_sync(kAllLanes, x.on_r, j);
      double sum = 0, dot_v = 0, dot_r = 0;
      part.turns([&](uint32_t base) {
        float r[P::kColumns], t[P::kColumns];
        part.load(t, t_row, base), part.load(r, r_row, base), v.turn(part, base);
        part.columns(base, [&](uint32_t i, uint32_t) {
          const double v_i = v.x[i], r_i = r[i], t_i = t[i], difference = std::fma(on_v, v_i, on_r * r_i) - t_i;
          sum = std::fma(difference, difference, sum), dot_v = std::fma(t_i, v_i, dot_v), dot_r = std::fma(t_i, r_i, dot_r);
        });
      });
      w.keep(sqdist, part.sum(sum), round);
      if (s.dots) w.keep(dots.v, part.sum(dot_v), round), w.keep(dots.r, part.sum(dot_r), round);
    });
    if (s.dots && w.here) s.dots[w.triple()] = dots;
    const double distance = w.here ? attention_distance(sqdist, x.gap, w.gap, a.curvature) : kInfinity;
    if (w.here) s.scores[w.triple()] = {sqdist, distance, 0, x.gap};
    const double nearest = warp_min(distance);
    const uint32_t found = __ballot_sync(kAllLanes, w.here && distance == nearest);
    if (lane == 0) s.nearest[number] = {nearest, found ? w.of.first + static_cast<uint32_t>(__ffs(found)) - 1 : kNone};
  });
}

// The nearest of all windows, the first of equals; {infinity, kNone} where no distance is a number, as after a training that diverged.
__device__ inline Nearest nearest_of(const Scratch& s, uint32_t first_window, uint32_t windows) {
  if (windows == 1) return s.nearest[first_window];
  Nearest own{kInfinity, kNone};
  for (uint32_t k = lane_id(); k < windows; k += kWarp) {
    const Nearest other = s.nearest[first_window + k];
    if (other.distance < own.distance) own = other;
  }
  const double nearest = warp_min(own.distance);
  const double position = warp_min(own.distance == nearest ? static_cast<double>(own.position) : kInfinity);
  return {nearest, static_cast<uint32_t>(position)};
}

template <class Dim>
__global__ void __launch_bounds__(kWarps* kWarp) sums_kernel(Neighborhood a, Scratch s) {
  using P = Part<Dim>;
  const double c = a.curvature, sharpness = *a.scale / a.temperature;
  for_windows<Dim>(a, [&](uint32_t number, const Window<Dim>& w) {
    const P& part = w.part;
    const uint32_t i = w.of.place, lane = lane_id();
    const Nearest nearest = a.attention ? nearest_of(s, number - w.of.first / kWindow, windows_of(w.of.degree)) : Nearest{0, 0};
    const uint32_t origin = a.graph.tails[w.of.graph_begin + (nearest.position == kNone ? 0 : nearest.position)];
    if (w.of.first == 0 && lane == 0) s.frames[i].nearest = nearest.distance, s.frames[i].origin = origin;
    const double o_gap = a.entity_gap[origin];
    double weight = w.here ? 1 : 0;
    if (w.here && a.attention) weight = std::exp(-sharpness * (s.scores[w.triple()].distance - nearest.distance));
    if (w.here && a.attention) s.scores[w.triple()].weight = weight;

    // row += Σ coefficient·(tail − o) over the lanes' triples; `sqnorm` becomes ‖tail − o‖² of this lane's. o null: the origin.
    const auto add_tails = [&](const float* o_row, double coefficient, double& sqnorm, double* row) {
      double all_turns = 0;
      part.turns([&](uint32_t base) {
        float o[P::kColumns] = {};
        double sum[P::kColumns] = {};
        if (o_row) part.load(o, o_row, base);
        w.rounds([&](uint32_t round, uint32_t j) {
          const float* const t_row = w.entity(__shfl_sync(kAllLanes, w.tail, j));
          const double factor = __shfl_sync(kAllLanes, coefficient, j);  // 0 past the last triple
          float t[P::kColumns];
          part.load(t, t_row, base);
          double own = 0;
          part.columns(base, [&](uint32_t n, uint32_t) {
            const double delta = static_cast<double>(t[n]) - static_cast<double>(o[n]);
            own = std::fma(delta, delta, own), sum[n] = std::fma(factor, delta, sum[n]);
          });
          double of_round = 0;
          w.keep(of_round, part.sum(own), round);
          all_turns += of_round;
        });
        HK_UNROLL
        for (uint32_t n = 0; n < P::kColumns; ++n) sum[n] = part.over_rows(sum[n]);
        if (part.place == 0) part.store(row, sum, base);
      });
      sqnorm = all_turns;
    };
    double* const row = s.sums + size_t{number} * s.pitch;
    double delta_sqnorm = 0, unused = 0;
    add_tails(w.entity(origin), w.here ? weight * framed_term(0.0, o_gap, w.gap, c).on_delta : 0.0, delta_sqnorm, row);
    if (a.midpoint) add_tails(nullptr, w.here ? 2.0 * weight / w.gap : 0.0, unused, row + part.dim + kScalars);
    const FramedTerm term = framed_term(delta_sqnorm, o_gap, w.gap, c);
    const double lorentz = weight * lorentz_factor(w.gap);
    if (a.weights && w.here) a.weights[w.triple()] = static_cast<float>(lorentz);  // divided when the sum is known
    const double m0 = warp_sum(w.here ? weight * term.lorentz : 0.0), on_origin = warp_sum(w.here ? weight * term.on_origin : 0.0);
    const double weight_sum = warp_sum(weight), lorentz_sum = warp_sum(w.here ? lorentz : 0.0);
    if (lane == 0) {
      double* const scalars = row + part.dim;
      scalars[0] = m0, scalars[1] = weight_sum, scalars[2] = on_origin, scalars[3] = lorentz_sum;
    }
  });
}

// The first of a head's rows becomes the sum of all, a part of the warp adding every fourth, say.
template <class Dim>
__device__ void add_windows(Dim dim, uint32_t windows, double* rows, uint32_t pitch) {
  if (windows == 1) return;
  using P = Part<Dim>;
  const P part(dim);
  part.turns([&](uint32_t base) {
    double sum[P::kColumns] = {};
    HK_UNROLL_BY(4)
    for (uint32_t w = part.place; w < windows; w += P::kRows) part.add(sum, 1.0, rows + size_t{w} * pitch, base);
    __syncwarp();
    HK_UNROLL
    for (uint32_t i = 0; i < P::kColumns; ++i) sum[i] = part.over_rows(sum[i]);
    if (part.place == 0) part.store(rows, sum, base);
  });
  __syncwarp();
}

// A row of doubles of which each lane has columns lane, lane + 32, …: in registers where dim is known.
template <class Dim>
struct OwnColumns {
  double x[Dim::kColumns];
  double* memory;
  __device__ explicit OwnColumns(double* row) : memory(row) {}
  template <class F>  // f(column, number)
  __device__ void each(Dim dim, const F& f) {
    if constexpr (std::is_same_v<Dim, AnyDim>) {
      for (uint32_t k = lane_id(); k < dim; k += kWarp) f(k, memory[k]);
    } else {
      HK_UNROLL
      for (uint32_t i = 0; i < Dim::kColumns; ++i) f(i * kWarp + lane_id(), x[i]);
    }
  }
};

template <class Dim>
__global__ void __launch_bounds__(kWarps* kWarp) heads_kernel(Neighborhood a, Scratch s) {
  const Dim dim(a.dim);
  const uint32_t lane = lane_id();
  const double c = a.curvature, scale = *a.scale;
  const bool tape = a.tape.head_gradient != nullptr;
  for (uint32_t i = first_of_warp(); i < *a.head_count; i += warps_of_grid()) {
    const Head head(a, i);
    const size_t at = size_t{i} * dim;
    const float* const v_row = a.entities + size_t{head.id} * dim;
    if (head.degree == 0) {
      for_columns(dim, [&](uint32_t k) {
        if (a.midpoint) a.midpoint[at + k] = v_row[k];
        if (tape) a.tape.head_gradient[at + k] = 0, a.tape.midpoint_gradient[at + k] = 0;
      });
      if (lane == 0) a.distance[i] = 0;
      if (lane == 0 && tape) a.tape.scale_gradient[i] = 0;
      continue;
    }
    HeadFrame frame = s.frames[i];
    const float* const o = a.entities + size_t{frame.origin} * dim;
    const double o_gap = a.entity_gap[frame.origin], v_gap = a.entity_gap[head.id];
    double* const rows = s.sums + size_t{first_window(a, i)} * s.pitch;
    const uint32_t windows = windows_of(head.degree);
    double m0 = 0, weight_sum = 0, on_origin = 0, lorentz_sum = 0;
    for (uint32_t w = lane; w < windows; w += kWarp) {
      const double* const scalars = rows + size_t{w} * s.pitch + dim;
      m0 += scalars[0], weight_sum += scalars[1], on_origin += scalars[2], lorentz_sum += scalars[3];
    }
    m0 = warp_sum(m0), weight_sum = warp_sum(weight_sum), on_origin = warp_sum(on_origin), lorentz_sum = warp_sum(lorentz_sum);
    // m′ over the windows
    add_windows<Dim>(dim, windows, rows, s.pitch);
    OwnColumns<Dim> sum(rows);
    double m_sqnorm = 0;
    sum.each(dim, [&](uint32_t k, double& m) {
      m = rows[k] + on_origin * o[k], m_sqnorm = std::fma(m, m, m_sqnorm);
    });
    m_sqnorm = warp_sum(m_sqnorm);
    const Midpoint mid = einstein_midpoint(m0, m_sqnorm, weight_sum, c);
    if (a.midpoint)  // in the ball's own coordinates only l would lose digits: that comes from the frame
      for_columns(dim, [&](uint32_t k) {
        double all = 0;
        for (uint32_t w = 0; w < windows; ++w) all += rows[size_t{w} * s.pitch + dim + kScalars + k];
        a.midpoint[at + k] = static_cast<float>(all / (lorentz_sum + mid.l));
      });
    if (a.weights)
      for (uint32_t t = lane; t < head.degree; t += kWarp) {
        float& weight = a.weights[a.triple_offsets[i] + t];
        weight = static_cast<float>(weight / lorentz_sum);
      }

    // Eq. 7
    double v_sqdist = 0;
    for_columns(dim, [&](uint32_t k) {
      const double delta = static_cast<double>(v_row[k]) - static_cast<double>(o[k]);
      v_sqdist = std::fma(delta, delta, v_sqdist);
    });
    const Framed framed_v = framed(warp_sum(v_sqdist), o_gap, v_gap, c);
    const auto v = [&](uint32_t k) {
      return framed_v.on_delta * (static_cast<double>(v_row[k]) - static_cast<double>(o[k])) + framed_v.on_origin * o[k];
    };
    double n_sqdist = 0;
    sum.each(dim, [&](uint32_t k, double& m) {
      const double difference = v(k) - mid.inverse * m;
      n_sqdist = std::fma(difference, difference, n_sqdist);
    });
    n_sqdist = warp_sum(n_sqdist);
    const double distance = poincare_distance(n_sqdist, framed_v.gap, mid.gap, c);
    if (lane == 0) a.distance[i] = scale * distance;
    if (!tape) continue;

    // The gradients on v′ and on n′ = m′/(m0′ + l), from there on m0′ and m′, and out of the frame.
    const double slope = scale * poincare_slope(n_sqdist, framed_v.gap, mid.gap, c);
    const double v_on_v = slope * (1.0 + c * n_sqdist / framed_v.gap), n_on_n = slope * (1.0 + c * n_sqdist / mid.gap);
    double o_dot_v = 0, v_dot_v = 0, n_dot = 0;
    sum.each(dim, [&](uint32_t k, double& m) {
      const double n = mid.inverse * m, g_v = v_on_v * v(k) - slope * n;
      o_dot_v += g_v * o[k], v_dot_v += g_v * v(k), n_dot += n * (n_on_n * n - slope * v(k));
    });
    o_dot_v = warp_sum(o_dot_v), v_dot_v = warp_sum(v_dot_v), n_dot = warp_sum(n_dot);
    const FramedGradient to_v = framed_gradient(framed_v, o_dot_v, v_dot_v, o_gap, c);
    const double g_m0 = -n_dot * mid.inverse * (1.0 + m0 / mid.l), m_on_m = n_dot * mid.inverse * c / mid.l;
    double o_dot_g = 0;
    sum.each(dim, [&](uint32_t k, double& m) {
      const double n = mid.inverse * m, g = mid.inverse * (n_on_n * n - slope * v(k)) + m_on_m * m;
      a.tape.midpoint_gradient[at + k] = g, o_dot_g += g * o[k];  // out of the frame when the triples are done
      a.tape.head_gradient[at + k] = to_v.on_g * (v_on_v * v(k) - slope * n) +
                                     to_v.on_delta * (static_cast<double>(v_row[k]) - static_cast<double>(o[k])) + to_v.on_x * v_row[k];
    });
    o_dot_g = warp_sum(o_dot_g);
    const Unframed plain = unframed(o_dot_g, g_m0, o_gap, c);
    frame.o_dot_g = o_dot_g, frame.g_m0 = g_m0, frame.plain_g_m0 = plain.g_m0, frame.on_origin = plain.on_origin;
    if (lane == 0) s.frames[i] = frame, a.tape.scale_gradient[i] = distance;
  }
}

// Gradients of the triples. With attention what only their relation group can finish stands in the fields of others until then: on_head has
// the slope of d(x, t)², on_relation its part of the factor of x in ∂L_K/∂x.
template <class Dim>
__global__ void __launch_bounds__(kWarps* kWarp) tails_kernel(Neighborhood a, Scratch s) {
  using P = Part<Dim>;
  const double c = a.curvature, sharpness = *a.scale / a.temperature;
  for_windows<Dim>(a, [&](uint32_t number, const Window<Dim>& w) {
    const P& part = w.part;
    const HeadFrame frame = s.frames[w.of.place];
    const double o_gap = a.entity_gap[frame.origin];
    typename Window<Dim>::V o(part, w.entity(frame.origin));
    Row<const double, P> g(part, static_cast<const double*>(a.tape.midpoint_gradient) + size_t{w.of.place} * part.dim);
    double delta_sqnorm = 0, delta_dot_g = 0;
    w.rounds([&](uint32_t round, uint32_t j) {
      const float* const t_row = w.entity(__shfl_sync(kAllLanes, w.tail, j));
      double sqnorm = 0, dot = 0;
      part.turns([&](uint32_t base) {
        float t[P::kColumns];
        part.load(t, t_row, base), o.turn(part, base), g.turn(part, base);
        part.columns(base, [&](uint32_t i, uint32_t) {
          const double delta = static_cast<double>(t[i]) - static_cast<double>(o.x[i]);
          sqnorm = std::fma(delta, delta, sqnorm), dot = std::fma(delta, g.x[i], dot);
        });
      });
      w.keep(delta_sqnorm, part.sum(sqnorm), round), w.keep(delta_dot_g, part.sum(dot), round);
    });
    double on_scale = 0;
    TripleGradient out{};
    if (w.here) {
      TripleScore score{0, 0, 1, 0};
      if (a.attention) score = s.scores[w.triple()];
      const TailGradient to_tail = tail_gradient(framed_term(delta_sqnorm, o_gap, w.gap, c), delta_dot_g, frame.o_dot_g, frame.g_m0,
                                                 frame.plain_g_m0, score.weight, w.gap, c);
      out = {to_tail.on_midpoint, 0, 0, to_tail.on_tail};
      if (a.attention) {
        const double g_distance = -score.weight * to_tail.on_weight;  // ∂L_K/∂(sharpness·d)
        on_scale = g_distance * score.distance / a.temperature;
        const double slope = sharpness * g_distance * poincare_slope(score.sqdist, score.x_gap, w.gap, c);
        out.on_tail += slope * (1.0 + c * score.sqdist / w.gap);
        out.on_head = slope, out.on_relation = slope * (1.0 + c * score.sqdist / score.x_gap);
      }
      a.tape.triples[w.triple()] = out;
    }
    on_scale = warp_sum(on_scale);
    double* const scalars = s.sums + size_t{number} * s.pitch + part.dim;
    if (lane_id() == 0) scalars[0] = on_scale;
    if (!a.attention || w.of.carried == 0) return;
    const bool is_carried = lane_id() < w.of.carried;
    const double slope = is_carried ? out.on_head : 0.0;
    const double on_x = warp_sum(is_carried ? out.on_relation : 0.0);
    const double dot_v = warp_sum(is_carried ? slope * s.dots[w.triple()].v : 0.0);
    const double dot_r = warp_sum(is_carried ? slope * s.dots[w.triple()].r : 0.0);
    if (lane_id() == 0) scalars[1] = on_x, scalars[2] = dot_v, scalars[3] = dot_r;
    part.turns([&](uint32_t base) {
      double sum[P::kColumns] = {};
      for (uint32_t round = 0; round * P::kRows < w.of.carried; ++round) {
        const uint32_t j = round * P::kRows + part.place;
        const double of_tail = __shfl_sync(kAllLanes, slope, j);
        const uint32_t tail = __shfl_sync(kAllLanes, w.tail, j);
        if (j < w.of.carried) part.add(sum, of_tail, w.entity(tail), base);
      }
      __syncwarp();
      HK_UNROLL
      for (uint32_t i = 0; i < P::kColumns; ++i) sum[i] = part.over_rows(sum[i]);
      if (part.place == 0) part.store(scalars + kScalars, sum, base);
    });
  });
}

// How many windows after number `number` the last relation group of its triples goes on in.
__device__ inline uint32_t windows_beyond(const Neighborhood& a, uint32_t number, const TripleWindow& of) {
  const uint32_t after = windows_of(of.degree) - of.first / kWindow - 1;
  for (uint32_t first = 0; first < after; first += kWarp) {
    const uint32_t n = first + lane_id(), carried = n < after ? a.windows[number + 1 + n].carried : 0;
    const uint32_t whole = __ballot_sync(kAllLanes, carried == kWindow), any = __ballot_sync(kAllLanes, carried > 0);
    if (whole == kAllLanes) continue;
    const uint32_t lead = static_cast<uint32_t>(__ffs(~whole)) - 1;
    return first + lead + (any >> lead & 1);
  }
  return after;
}

// The sum over a relation group's lanes: `begin` is the group's first lane, `last` its last.
__device__ inline double group_sum(double value, uint32_t begin, uint32_t last) {
  HK_UNROLL
  for (uint32_t delta = 1; delta < kWarp; delta *= 2) {
    const double before = __shfl_up_sync(kAllLanes, value, delta);
    if (lane_id() >= begin + delta) value += before;
  }
  return __shfl_sync(kAllLanes, value, last);
}

// Finishes a window's triples, and writes ∂L_K/∂r of the relation groups that start in it; their ∂L_K/∂v goes to the window's row. With
// g = ∂L_K/∂x = on_x·x − Σ slope·t both are sums of v, r and the t of a group. What is scalar in that comes first, a lane for each triple; then a part
// of the warp takes a group and adds up its rows. What the group is owed by later windows stands there.
template <class Dim>
__global__ void __launch_bounds__(kWarps* kWarp) groups_kernel(Neighborhood a, Scratch s) {
  using P = Part<Dim>;
  const double c = a.curvature;
  for_windows<Dim>(a, [&](uint32_t number, const Window<Dim>& w) {
    const P& part = w.part;
    const uint32_t lane = lane_id(), beyond = windows_beyond(a, number, w.of);
    const bool carried = w.of.carried > 0;  // the first triples belong to a group of an earlier window
    const uint32_t starts = w.starts() | 1, groups = static_cast<uint32_t>(__popc(starts));
    const uint32_t up_to_here = starts & (kAllLanes >> (kWarp - 1 - lane)), after = starts & ~(kAllLanes >> (kWarp - 1 - lane));
    const uint32_t begin = kWarp - 1 - static_cast<uint32_t>(__clz(static_cast<int>(up_to_here)));
    const uint32_t end = after ? static_cast<uint32_t>(__ffs(static_cast<int>(after))) - 1 : w.of.count;
    double* const on_v_row = s.sums + size_t{number} * s.pitch;
    const double* const owed = on_v_row + s.pitch + part.dim;  // by the next window: scalars, then a row

    // Of this lane's triple, and of its group
    TripleGradient* const own = a.tape.triples + w.triple();
    TripleDots dots{0, 0, 0};
    double own_slope = 0, own_on_x = 0;
    if (w.here) dots = s.dots[w.triple()], own_slope = own->on_head, own_on_x = own->on_relation;
    double on_x = group_sum(own_on_x, begin, end - 1);
    double dot_v = group_sum(own_slope * dots.v, begin, end - 1), dot_r = group_sum(own_slope * dots.r, begin, end - 1);
    if (end == w.of.count)
      for (uint32_t n = 0; n < beyond; ++n) {
        const double* const scalars = owed + size_t{n} * s.pitch;
        on_x += scalars[1], dot_v += scalars[2], dot_r += scalars[3];
      }
    const double v_gap = w.v_gap(), r_gap = a.relation_gap[w.relation];
    const double v_sqnorm = sqnorm_of(v_gap, c), r_sqnorm = sqnorm_of(r_gap, c), v_dot_r = 0.5 * (dots.sum_sqnorm - v_sqnorm - r_sqnorm);
    const MobiusSum x = mobius_add(dots.sum_sqnorm, r_sqnorm, v_gap, r_gap, c);
    const MobiusGradient back = mobius_add_gradient(x, on_x * (x.on_v * v_sqnorm + x.on_r * v_dot_r) - dot_v,
                                                    on_x * (x.on_v * v_dot_r + x.on_r * r_sqnorm) - dot_r, r_sqnorm, v_gap, r_gap, c);
    const double v_on_v = back.v_on_v + back.v_on_g * on_x * x.on_v, v_on_r = back.v_on_r + back.v_on_g * on_x * x.on_r;
    const double r_on_v = back.r_on_v + back.r_on_g * on_x * x.on_v, r_on_r = back.r_on_r + back.r_on_g * on_x * x.on_r;
    if (w.here) own->on_head = -own_slope * x.on_v, own->on_relation = -own_slope * x.on_r;
    const double all_on_v = warp_sum(w.here && lane == begin && !(carried && begin == 0) ? v_on_v : 0.0);

    const float* const v_row = w.entity(w.of.head);
    part.turns([&](uint32_t base) {
      double on_v[P::kColumns] = {};
      uint32_t left = starts;
      for (uint32_t round = 0; round * P::kRows < groups; ++round, left = without_first(left, P::kRows)) {
        const uint32_t q = round * P::kRows + part.place, first = bit_at(left, part.place, starts);
        const bool here = q < groups && !(carried && q == 0);
        const uint32_t past = __shfl_sync(kAllLanes, end, first), count = here ? past - first : 0, most = P::OfRow::most(count);
        const float* const r_row = w.relation_row(__shfl_sync(kAllLanes, w.relation, first));
        double sum[P::kColumns] = {};  // −Σ slope·t
        HK_UNROLL_BY(2)
        for (uint32_t j = 0; j < most; ++j) {
          const uint32_t at = (first + j) % kWarp;
          const double slope = __shfl_sync(kAllLanes, own_slope, at);
          const uint32_t tail = __shfl_sync(kAllLanes, w.tail, at);
          if (j < count) part.add(sum, -slope, w.entity(tail), base);
        }
        if (here && past == w.of.count)
          for (uint32_t n = 0; n < beyond; ++n) part.add(sum, -1.0, owed + size_t{n} * s.pitch + kScalars, base);
        __syncwarp();
        const double v_g = __shfl_sync(kAllLanes, back.v_on_g, first), v_r = __shfl_sync(kAllLanes, v_on_r, first);
        const double r_g = __shfl_sync(kAllLanes, back.r_on_g, first), r_v = __shfl_sync(kAllLanes, r_on_v, first);
        const double r_r = __shfl_sync(kAllLanes, r_on_r, first);
        if (!here) continue;
        float v[P::kColumns], r[P::kColumns], on_r[P::kColumns] = {};
        part.load(v, v_row, base), part.load(r, r_row, base);
        part.columns(base, [&](uint32_t i, uint32_t) {
          const double r_i = r[i];
          on_v[i] += std::fma(v_g, sum[i], v_r * r_i);
          on_r[i] = static_cast<float>(std::fma(r_g, sum[i], std::fma(r_v, static_cast<double>(v[i]), r_r * r_i)));
        });
        part.store(a.tape.relation_gradient + (size_t{w.of.group} + q - (carried ? 1 : 0)) * part.dim, on_r, base);
      }
      __syncwarp();
      HK_UNROLL
      for (uint32_t i = 0; i < P::kColumns; ++i) on_v[i] = part.over_rows(on_v[i]);
      if (part.place == 0) part.add(on_v, all_on_v, v_row, base), part.store(on_v_row, on_v, base);
    });
  });
}

template <class Dim>
__global__ void __launch_bounds__(kWarps* kWarp) finish_kernel(Neighborhood a, Scratch s) {
  const Dim dim(a.dim);
  for (uint32_t i = first_of_warp(); i < *a.head_count; i += warps_of_grid()) {
    const Head head(a, i);
    if (head.degree == 0) continue;
    const HeadFrame frame = s.frames[i];
    double* const rows = s.sums + size_t{first_window(a, i)} * s.pitch;
    const float* const o = a.entities + size_t{frame.origin} * dim;
    const uint32_t windows = windows_of(head.degree);
    const size_t at = size_t{i} * dim;
    double on_scale = 0;
    for (uint32_t w = lane_id(); w < windows; w += kWarp) on_scale += rows[size_t{w} * s.pitch + dim];
    on_scale = warp_sum(on_scale);
    if (lane_id() == 0) a.tape.scale_gradient[i] += on_scale;
    if (a.attention) add_windows<Dim>(dim, windows, rows, s.pitch);
    for_columns(dim, [&](uint32_t k) {
      if (a.attention) a.tape.head_gradient[at + k] += rows[k];
      a.tape.midpoint_gradient[at + k] += frame.on_origin * o[k];
    });
  }
}

// Lays `scratch` out; returns the bytes.
size_t lay_out(const Neighborhood& a, uint64_t triples, Scratch& s) {
  const size_t windows = most_windows(a.capacity, triples);
  s.pitch = a.dim * 2 + kScalars;
  size_t taken = 0;
  const auto take = [&](auto*& out, size_t count) {
    using T = std::remove_reference_t<decltype(*out)>;
    out = reinterpret_cast<T*>(static_cast<unsigned char*>(a.scratch) + taken);
    taken += (count * sizeof(T) + 15) / 16 * 16;
  };
  take(s.windows, a.windows ? 0 : windows), take(s.nearest, windows), take(s.frames, a.capacity), take(s.sums, windows * s.pitch);
  if (a.tape.triples)
    s.scores = reinterpret_cast<TripleScore*>(a.tape.triples);
  else
    take(s.scores, triples);
  s.dots = nullptr;
  if (a.attention && a.tape.head_gradient) take(s.dots, triples);
  return taken;
}

}  // namespace

size_t CudaBackend::neighborhood_scratch(const Neighborhood& a, uint64_t triples) const {
  Scratch s;
  return lay_out(a, triples, s);
}

void CudaBackend::neighborhood(const Neighborhood& arguments) {
  Neighborhood a = arguments;
  Scratch s;
  lay_out(a, a.triples, s);
  if (!a.windows) {
    HeadLists lists{};
    lists.graph = a.graph, lists.heads = a.heads, lists.head_count = a.head_count, lists.capacity = a.capacity;
    lists.triple_offsets = const_cast<uint32_t*>(a.triple_offsets), lists.group_offsets = const_cast<uint32_t*>(a.group_offsets);
    lists.windows = s.windows;
    triple_windows(lists);
    a.windows = s.windows;
  }
  const dim3 block(kWarp, kWarps);
  const uint32_t of_windows = blocks_for(most_windows(a.capacity, a.triples), kWarps), of_heads = blocks_for(a.capacity, kWarps);
  with_dim(a.dim, [&](auto dim) {
    using Dim = decltype(dim);
    if (a.attention) launch("neighborhood: scores", scores_kernel<Dim>, of_windows, block, 0, stream_, a, s);
    launch("neighborhood: sums", sums_kernel<Dim>, of_windows, block, 0, stream_, a, s);
    launch("neighborhood: heads", heads_kernel<Dim>, of_heads, block, 0, stream_, a, s);
    if (a.tape.head_gradient == nullptr) return;
    launch("neighborhood: tails", tails_kernel<Dim>, of_windows, block, 0, stream_, a, s);
    if (a.attention) launch("neighborhood: groups", groups_kernel<Dim>, of_windows, block, 0, stream_, a, s);
    launch("neighborhood: finish", finish_kernel<Dim>, of_heads, block, 0, stream_, a, s);
  });
}

}  // namespace hk
