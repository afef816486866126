// neighborhood on the GPU. A head with few triples is one warp's, one with many a block's, whose warps share its triples in equal runs; the
// two sorts run side by side. Within a run 32 triples are taken at a time. Passes over their rows have a quarter of the warp on each row, or
// half of it, or all (Layout), so that a sum over the columns takes three exchanges for four triples; passes over their scalars have one lane
// on each triple. On the way back the parts of the warp take one relation group each.
//   launch   blocks of (32, 4) for `capacity` heads, grid-stride, twice; fewer warps where dim is so large that their rows would not fit
//   shared   per warp one row of doubles for m′, later ∂/∂(v ⊕ r); with a tape a second one for ∂/∂v
//   traffic  4·dim + 16 bytes per triple and pass, of five passes all but one from the cache; the tape's rows out
//   sync     a head's team (warp or block) meets between the passes. Where rows stand in shared memory and all of the team works on one, its
//            columns belong to one thread each
//   order    a run's triples as listed, then warps by number: fixed by the head's degree and dim
// With a tape, the triples' scalars wait between the passes where their gradients are going to stand; without, they are computed again.
#include <limits>

#include "../src/ball.h"
#include "cuda_backend.h"
#include "row_parts.cuh"
#include "warp.cuh"

namespace hk {
namespace {

constexpr uint32_t kHeadWarps = 4, kHeadThreads = kHeadWarps * kWarp;
constexpr uint32_t kAlone = 64;                // most triples of a head that one warp has to itself
constexpr size_t kMostShared = 64 * 1024;      // what every GPU since sm_75 can grant a block, but for 1 KiB
constexpr double kInfinity = std::numeric_limits<double>::infinity();

// What a triple's lane keeps of the passes so far. Stands in for its TripleGradient until that is known.
struct TripleScore {
  double sqdist, distance, weight, delta_sqnorm;  // ‖x − t‖², d(x, t), a_t, ‖t − o‖² with o the origin of the frame (ball.h)
};
static_assert(sizeof(TripleScore) == sizeof(TripleGradient));

struct Run {
  uint32_t begin, end;
};
__device__ inline uint32_t shorter(uint32_t x, uint32_t y) { return x < y ? x : y; }

// Up to 32 triples of a head, one per lane: lanes past the last have the first one's tail.
struct Window {
  uint32_t first, count;
  bool here;  // this lane has a triple
  uint32_t tail, relation;
  double gap;  // of the tail
};

// One head of the batch, as a warp sees it.
template <class Dim>
struct Head {
  using P = Part<Dim>;
  const Neighborhood& a;
  const P part;
  uint32_t i, begin, degree;  // place among the heads, first triple in the graph, triples
  const float* v;
  double v_gap;

  __device__ Head(const Neighborhood& arguments, uint32_t place) : a(arguments), part(Dim(arguments.dim)), i(place) {
    const uint32_t head = a.heads[i];
    begin = a.graph.offsets[head], degree = a.graph.offsets[head + 1] - begin;
    v = a.entities + size_t{head} * part.dim, v_gap = a.entity_gap[head];
  }
  __device__ const float* entity(uint32_t id) const { return a.entities + size_t{id} * part.dim; }
  __device__ const float* relation_row(uint32_t r) const { return a.relations + size_t{r} * part.dim; }
  __device__ uint32_t tail(uint32_t t) const { return a.graph.tails[begin + t]; }
  __device__ uint32_t relation(uint32_t t) const { return a.graph.relations[begin + t]; }
  __device__ double relation_sqnorm(uint32_t r) const { return a.curvature > 0 ? (1.0 - a.relation_gap[r]) / a.curvature : 0.0; }
  __device__ TripleScore* scores() const { return reinterpret_cast<TripleScore*>(a.tape.triples + a.triple_offsets[i]); }

  __device__ Window window(uint32_t first, uint32_t end) const {
    Window w{first, shorter(end - first, kWarp), false, 0, 0, 0};
    w.here = lane_id() < w.count;
    const uint32_t t = w.here ? first + lane_id() : first;
    w.tail = tail(t), w.relation = a.attention ? relation(t) : 0, w.gap = a.entity_gap[w.tail];
    return w;
  }
  // f(round, j) for the rounds that show each part of the warp, in turn, the triples j of a window
  template <class F>
  __device__ void rounds(const Window& w, const F& f) const {
    HK_UNROLL_BY(1)
    for (uint32_t round = 0; round * P::kRows < w.count; ++round) f(round, round * P::kRows + part.place);
  }
  // `own` becomes the value that a round had for this lane's triple.
  __device__ void keep(double& own, double value, uint32_t round) const {
    const double mine = __shfl_sync(kAllLanes, value, lane_id() % P::kRows * P::kPerRow);
    if (lane_id() / P::kRows == round) own = mine;
  }

  // ‖v + r‖² of a part's relation
  __device__ double sum_sqnorm(const float* r_row) const {
    double sqnorm = 0;
    part.turns([&](uint32_t base) {
      float x[P::kColumns], r[P::kColumns];
      part.load(x, v, base), part.load(r, r_row, base);
      part.columns(base, [&](uint32_t i, uint32_t) {
        const double s = static_cast<double>(x[i]) + static_cast<double>(r[i]);
        sqnorm += s * s;
      });
    });
    return part.sum(sqnorm);
  }
  __device__ MobiusSum add_relation(double sqnorm, uint32_t r) const {
    return mobius_add(sqnorm, relation_sqnorm(r), v_gap, a.relation_gap[r], a.curvature);
  }
  // v ⊕ r of this lane's triple
  __device__ MobiusSum add_relations(const Window& w) const {
    double sqnorm = 0;
    rounds(w, [&](uint32_t round, uint32_t j) { keep(sqnorm, sum_sqnorm(relation_row(__shfl_sync(kAllLanes, w.relation, j))), round); });
    return add_relation(sqnorm, w.relation);
  }

  // ‖x − t‖² and d(x, t) of this lane's triple
  __device__ TripleScore score(const Window& w) const {
    TripleScore own{0, 0, 1, 0};
    const MobiusSum sum = add_relations(w);
    rounds(w, [&](uint32_t round, uint32_t j) {
      const float* t_row = entity(__shfl_sync(kAllLanes, w.tail, j));
      const float* r_row = relation_row(__shfl_sync(kAllLanes, w.relation, j));
      const double on_v = __shfl_sync(kAllLanes, sum.on_v, j), on_r = __shfl_sync(kAllLanes, sum.on_r, j);
      double sqdist = 0;
      part.turns([&](uint32_t base) {
        float x[P::kColumns], r[P::kColumns], t[P::kColumns];
        part.load(x, v, base), part.load(r, r_row, base), part.load(t, t_row, base);
        part.columns(base, [&](uint32_t i, uint32_t) {
          const double difference = on_v * x[i] + on_r * r[i] - t[i];
          sqdist += difference * difference;
        });
      });
      keep(own.sqdist, part.sum(sqdist), round);
    });
    if (w.here) own.distance = attention_distance(own.sqdist, sum.gap, w.gap, a.curvature);
    return own;
  }

  // row += Σ over the window of the lanes' coefficients times (tail − o); returns ‖tail − o‖² of this lane's triple. o null: the origin.
  __device__ double add_tails(const Window& w, const float* o_row, double coefficient, double* row) const {
    double own = 0;
    part.turns([&](uint32_t base) {
      float o[P::kColumns] = {};
      double sum[P::kColumns] = {};
      if (o_row) part.load(o, o_row, base);
      rounds(w, [&](uint32_t round, uint32_t j) {
        const float* t_row = entity(__shfl_sync(kAllLanes, w.tail, j));
        const double factor = __shfl_sync(kAllLanes, coefficient, j);  // 0 past the last triple
        float t[P::kColumns];
        part.load(t, t_row, base);
        double sqnorm = 0;
        part.columns(base, [&](uint32_t i, uint32_t) {
          const double delta = static_cast<double>(t[i]) - static_cast<double>(o[i]);
          sqnorm += delta * delta, sum[i] += factor * delta;
        });
        double of_round = 0;
        keep(of_round, part.sum(sqnorm), round);
        own += of_round;
      });
      part.columns(base, [&](uint32_t i, uint32_t k) {
        const double all = part.over_rows(sum[i]);
        if (part.place == 0) row[k] += all;
      });
    });
    return own;
  }

  // (tail − o)·g of this lane's triple
  __device__ double delta_dot(const Window& w, const float* o_row, const double* g) const {
    double own = 0;
    rounds(w, [&](uint32_t round, uint32_t j) {
      const float* t_row = entity(__shfl_sync(kAllLanes, w.tail, j));
      double dot = 0;
      part.turns([&](uint32_t base) {
        float o[P::kColumns], t[P::kColumns];
        part.load(o, o_row, base), part.load(t, t_row, base);
        part.columns(base, [&](uint32_t i, uint32_t k) { dot += (static_cast<double>(t[i]) - static_cast<double>(o[i])) * g[k]; });
      });
      keep(own, part.sum(dot), round);
    });
    return own;
  }

  // The first triple from `t` on that starts a relation group, or `end`.
  __device__ uint32_t next_group(uint32_t t, uint32_t end) const {
    for (; t < end; t += kWarp) {
      const uint32_t found = group_starts(t, end);
      if (found) return t + static_cast<uint32_t>(__ffs(found)) - 1;
    }
    return end;
  }
  // Which of the 32 triples from `t` on, below `end`, start one.
  __device__ uint32_t group_starts(uint32_t t, uint32_t end) const {
    const uint32_t own = t + lane_id();
    return __ballot_sync(kAllLanes, own < end && (own == 0 || relation(own) != relation(own - 1)));
  }
  __device__ uint32_t count_groups(Run run) const {
    uint32_t count = 0;
    for (uint32_t t = run.begin; t < run.end; t += kWarp) count += static_cast<uint32_t>(__popc(group_starts(t, run.end)));
    return count;
  }
};

// The frame of the heaviest tail o, and the gradient on the sums in it (ball.h).
struct Frame {
  const float* o;
  double o_gap;
  const double* g_m;  // [dim] on m′
  double o_dot_g, g_m0, plain_g_m0;
};

// Gradients of the triples of a run. With attention what only their relation group can finish stands in the fields of others until then:
// on_head has the slope of d(x, t)², on_relation its part of the factor of x in ∂L_K/∂x. Returns this lane's part of ∂L_K/∂scale.
template <class Dim>
__device__ double triple_gradients(const Head<Dim>& head, Run run, const Frame& frame) {
  const Neighborhood& a = head.a;
  const double c = a.curvature, scale = *a.scale;
  double on_scale = 0;
  for (uint32_t first = run.begin; first < run.end; first += kWarp) {
    const Window w = head.window(first, run.end);
    const double x_gap = a.attention ? head.add_relations(w).gap : 1.0;
    const double delta_dot_g = head.delta_dot(w, frame.o, frame.g_m);
    if (!w.here) continue;
    const TripleScore score = head.scores()[first + lane_id()];
    const TailGradient to_tail = tail_gradient(framed_term(score.delta_sqnorm, frame.o_gap, w.gap, c), delta_dot_g, frame.o_dot_g, frame.g_m0,
                                               frame.plain_g_m0, score.weight, w.gap, c);
    TripleGradient out{to_tail.on_midpoint, 0, 0, to_tail.on_tail};
    if (a.attention) {
      const double g_distance = -score.weight * to_tail.on_weight;  // ∂L_K/∂(scale·d)
      on_scale += g_distance * score.distance;
      const double slope = scale * g_distance * poincare_slope(score.sqdist, x_gap, w.gap, c);
      out.on_tail += slope * (1.0 + c * score.sqdist / w.gap);
      out.on_head = slope, out.on_relation = slope * (1.0 + c * score.sqdist / x_gap);
    }
    a.tape.triples[a.triple_offsets[head.i] + first + lane_id()] = out;
  }
  return on_scale;
}

// Finishes the triples of the relation groups that start in a run and writes ∂L_K/∂r of each group, the first of which is number `group`; adds
// their ∂L_K/∂v to on_v_row. `starts`: [33] of this warp. x_row: [dim] of this warp, where rows take several turns.
template <class Dim>
__device__ void group_gradients(const Head<Dim>& head, Run run, uint32_t group, uint32_t* starts, double* x_row, double* on_v_row) {
  using P = Part<Dim>;
  const Neighborhood& a = head.a;
  const P& part = head.part;
  const double c = a.curvature;
  TripleGradient* const triples = a.tape.triples + a.triple_offsets[head.i];
  double on_v_here[P::kColumns] = {};
  for (uint32_t t = run.begin; t < run.end; t += kWarp) {
    const uint32_t found = head.group_starts(t, run.end), groups = static_cast<uint32_t>(__popc(found));
    if (groups == 0) continue;
    const uint32_t last_end = head.next_group(shorter(t + kWarp, run.end), head.degree);
    const uint32_t lane = lane_id(), before = static_cast<uint32_t>(__popc(found & ((1u << lane) - 1)));
    if (found >> lane & 1) starts[before] = t + lane;
    if (lane == 0) starts[groups] = last_end;
    __syncwarp();
    for (uint32_t round = 0; round * P::kRows < groups; ++round, __syncwarp()) {
      const uint32_t q = round * P::kRows + part.place;
      const bool here = q < groups;
      const uint32_t begin = here ? starts[q] : run.begin, end = here ? starts[q + 1] : begin;
      uint32_t most = end - begin;
      for (uint32_t bits = P::kPerRow; bits < kWarp; bits *= 2) {
        const uint32_t other = __shfl_xor_sync(kAllLanes, most, bits);
        most = other > most ? other : most;
      }
      const uint32_t r_id = head.relation(begin);
      const float* r_row = head.relation_row(r_id);
      const MobiusSum sum = head.add_relation(head.sum_sqnorm(r_row), r_id);

      // g = ∂L_K/∂x, and its products with v and r
      double on_x = 0, dot_v = 0, dot_r = 0, g[P::kColumns];
      for (uint32_t j = 0; j < most; ++j) on_x += begin + j < end ? triples[begin + j].on_relation : 0.0;
      part.turns([&](uint32_t base) {
        part.columns(base, [&](uint32_t i, uint32_t) { g[i] = 0; });
        for (uint32_t j = 0; j < most; ++j) {
          const bool real = begin + j < end;
          const uint32_t at = real ? begin + j : begin;
          const double slope = real ? triples[at].on_head : 0.0;
          float x[P::kColumns];
          part.load(x, head.entity(head.tail(at)), base);
          part.columns(base, [&](uint32_t i, uint32_t) { g[i] -= slope * x[i]; });
        }
        float x[P::kColumns], r[P::kColumns];
        part.load(x, head.v, base), part.load(r, r_row, base);
        part.columns(base, [&](uint32_t i, uint32_t k) {
          g[i] += on_x * (sum.on_v * x[i] + sum.on_r * r[i]);
          dot_v += g[i] * x[i], dot_r += g[i] * r[i];
          if constexpr (!P::kWhole) x_row[k] = g[i];
        });
      });
      // back through x = v ⊕ r
      const MobiusGradient back =
          mobius_add_gradient(sum, part.sum(dot_v), part.sum(dot_r), head.relation_sqnorm(r_id), head.v_gap, a.relation_gap[r_id], c);
      float* const on_r_row = a.tape.relation_gradient + (size_t{a.group_offsets[head.i]} + group + q) * part.dim;
      part.turns([&](uint32_t base) {
        float x[P::kColumns], r[P::kColumns];
        part.load(x, head.v, base), part.load(r, r_row, base);
        part.columns(base, [&](uint32_t i, uint32_t k) {
          if constexpr (!P::kWhole) g[i] = x_row[k];
          const double on_v = back.v_on_g * g[i] + back.v_on_v * x[i] + back.v_on_r * r[i];
          if constexpr (P::kWhole)
            on_v_here[i] += here ? on_v : 0.0;
          else
            on_v_row[k] += on_v;
          if (here) on_r_row[k] = static_cast<float>(back.r_on_g * g[i] + back.r_on_v * x[i] + back.r_on_r * r[i]);
        });
      });
      __syncwarp();  // all lanes have read the slopes
      for (uint32_t at = begin + part.own; at < end; at += P::kPerRow) {
        const double slope = triples[at].on_head;
        triples[at].on_head = -slope * sum.on_v, triples[at].on_relation = -slope * sum.on_r;
      }
    }
    group += groups;
  }
  if constexpr (P::kWhole)
    part.columns(0, [&](uint32_t i, uint32_t k) {
      const double all = part.over_rows(on_v_here[i]);
      if (part.place == 0) on_v_row[k] += all;
    });
}

// A head without triples.
template <bool Alone, class Dim>
__device__ void empty_head(const Head<Dim>& head, const Team<Alone>& team) {
  const Neighborhood& a = head.a;
  const size_t at = size_t{head.i} * head.part.dim;
  for (uint32_t k = team.thread; k < head.part.dim; k += team.threads) {
    if (a.midpoint) a.midpoint[at + k] = head.v[k];
    if (a.tape.head_gradient) a.tape.head_gradient[at + k] = 0, a.tape.midpoint_gradient[at + k] = 0;
  }
  if (team.thread != 0) return;
  a.distance[head.i] = 0;
  if (a.tape.head_gradient) a.tape.scale_gradient[head.i] = 0;
}

// rows: [warps, dim] of the team, and with a tape again [warps, dim]. groups_of_warp: [warps] of the team. starts: [33] of this warp.
template <bool Alone, class Dim>
__device__ void neighborhood_of(const Head<Dim>& head, const Team<Alone>& team, double* rows, uint32_t* groups_of_warp, uint32_t* starts) {
  const Neighborhood& a = head.a;
  const Dim dim = head.part.dim;
  const uint32_t i = head.i, lane = lane_id(), warps = team.warps, thread = team.thread, threads = team.threads;
  const double c = a.curvature, scale = *a.scale;
  const bool tape = a.tape.head_gradient != nullptr;
  double* const own_row = rows + size_t{team.warp} * dim;
  double* const head_rows = rows + size_t{warps} * dim;
  const uint32_t first_triple = a.triple_offsets[i], share = (head.degree + warps - 1) / warps;
  const Run run{shorter(team.warp * share, head.degree), shorter((team.warp + 1) * share, head.degree)};

  // Distances of Eq. 4; only the nearest is kept where there is no tape to keep them in.
  double nearest = kInfinity, position = kInfinity;
  if (a.attention) {
    for (uint32_t t = run.begin; t < run.end; t += kWarp) {
      const Window w = head.window(t, run.end);
      const TripleScore score = head.score(w);
      if (!w.here) continue;
      if (score.distance < nearest) nearest = score.distance, position = t + lane;
      if (tape) head.scores()[t + lane] = score;
    }
    const double own = nearest;
    nearest = team.least(nearest);
    position = team.least(own == nearest ? position : kInfinity);
  }
  // The first of the heaviest tails; the first tail of all where no distance is a number, as after a training that diverged.
  const uint32_t origin = head.tail(a.attention && position < kInfinity ? static_cast<uint32_t>(position) : 0);
  const float* o = head.entity(origin);
  const double o_gap = a.entity_gap[origin];
  const auto weigh = [&](const Window& w) {  // the lane's triple
    TripleScore score{0, 0, 1, 0};
    if (a.attention && !tape) score = head.score(w);
    if (w.here && a.attention) {
      if (tape) score = head.scores()[w.first + lane];
      score.weight = std::exp(-scale * (score.distance - nearest));
    }
    return score;
  };
  const auto clear = [&](double* row) {
    for (uint32_t k = lane; k < dim; k += kWarp) row[k] = 0;
    __syncwarp();
  };

  // Einstein midpoint, Eq. 5. In the ball's own coordinates first, where it is wanted: only l would lose digits there, and that comes
  // from the frame below.
  const size_t at = size_t{i} * dim;
  if (a.midpoint) {
    clear(own_row);
    for (uint32_t t = run.begin; t < run.end; t += kWarp) {
      const Window w = head.window(t, run.end);
      const TripleScore score = weigh(w);
      head.add_tails(w, nullptr, w.here ? 2.0 * score.weight / w.gap : 0.0, own_row);
    }
    team.sync();
    for (uint32_t k = thread; k < dim; k += threads) {
      double m = 0;
      for (uint32_t w = 0; w < warps; ++w) m += rows[size_t{w} * dim + k];
      a.midpoint[at + k] = static_cast<float>(m);  // divided below
    }
    team.sync();
  }

  // The sums in the frame of the origin tail: m′ by warp, then over the warps.
  clear(own_row);
  double m0 = 0, weight_sum = 0, on_origin = 0, lorentz_sum = 0;
  for (uint32_t t = run.begin; t < run.end; t += kWarp) {
    const Window w = head.window(t, run.end);
    TripleScore score = weigh(w);
    score.delta_sqnorm = head.add_tails(w, o, w.here ? score.weight * framed_term(0.0, o_gap, w.gap, c).on_delta : 0.0, own_row);
    if (!w.here) continue;
    if (tape) head.scores()[t + lane] = score;
    const FramedTerm term = framed_term(score.delta_sqnorm, o_gap, w.gap, c);
    m0 += score.weight * term.lorentz, weight_sum += score.weight, on_origin += score.weight * term.on_origin;
    lorentz_sum += score.weight * lorentz_factor(w.gap);
    if (a.weights) a.weights[first_triple + t + lane] = static_cast<float>(score.weight * lorentz_factor(w.gap));  // divided below
  }
  m0 = team.sum(m0), weight_sum = team.sum(weight_sum), on_origin = team.sum(on_origin);
  lorentz_sum = team.sum(lorentz_sum);  // and all warps' rows are complete
  double m_sqnorm = 0;
  for (uint32_t k = thread; k < dim; k += threads) {
    double m = 0;
    for (uint32_t w = 0; w < warps; ++w) m += rows[size_t{w} * dim + k];
    m += on_origin * o[k];
    rows[k] = m, m_sqnorm += m * m;
  }
  m_sqnorm = team.sum(m_sqnorm);
  if (a.weights)
    for (uint32_t t = thread; t < head.degree; t += threads)
      a.weights[first_triple + t] = static_cast<float>(a.weights[first_triple + t] / lorentz_sum);
  const Midpoint mid = einstein_midpoint(m0, m_sqnorm, weight_sum, c);

  // Eq. 7. From here to the triples below, thread `thread` alone has columns thread, thread + threads, …
  double v_sqdist = 0;
  for (uint32_t k = thread; k < dim; k += threads) {
    const double delta = static_cast<double>(head.v[k]) - static_cast<double>(o[k]);
    v_sqdist += delta * delta;
    if (a.midpoint) a.midpoint[at + k] = static_cast<float>(a.midpoint[at + k] / (lorentz_sum + mid.l));
  }
  const Framed frame = framed(team.sum(v_sqdist), o_gap, head.v_gap, c);
  const auto n = [&](uint32_t k) { return mid.inverse * rows[k]; };
  const auto v = [&](uint32_t k) {
    return frame.on_delta * (static_cast<double>(head.v[k]) - static_cast<double>(o[k])) + frame.on_origin * o[k];
  };
  double n_sqdist = 0;
  for (uint32_t k = thread; k < dim; k += threads) {
    const double difference = v(k) - n(k);
    n_sqdist += difference * difference;
  }
  n_sqdist = team.sum(n_sqdist);
  const double distance = poincare_distance(n_sqdist, frame.gap, mid.gap, c);
  if (thread == 0) a.distance[i] = scale * distance;
  if (!tape) return team.sync();  // the rows may be written again

  // The gradients on v′ and on n′ = m′/(m0′ + l), from there on m0′ and m′, and out of the frame.
  const double slope = scale * poincare_slope(n_sqdist, frame.gap, mid.gap, c);
  const double v_on_v = slope * (1.0 + c * n_sqdist / frame.gap), n_on_n = slope * (1.0 + c * n_sqdist / mid.gap);
  double o_dot_v = 0, v_dot_v = 0, n_dot = 0;
  for (uint32_t k = thread; k < dim; k += threads) {
    const double g_v = v_on_v * v(k) - slope * n(k);
    o_dot_v += g_v * o[k], v_dot_v += g_v * v(k), n_dot += n(k) * (n_on_n * n(k) - slope * v(k));
  }
  o_dot_v = team.sum(o_dot_v), v_dot_v = team.sum(v_dot_v), n_dot = team.sum(n_dot);
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
  o_dot_g = team.sum(o_dot_g);
  const Unframed plain = unframed(o_dot_g, g_m0, o_gap, c);
  const uint32_t groups = a.attention ? head.count_groups(run) : 0;
  if (lane == 0) groups_of_warp[team.warp] = groups;

  // The triples of a run, then its groups: those that start in it, whose last triples may be the next warp's.
  const double on_scale = team.sum(triple_gradients(head, run, {o, o_gap, framed_g, o_dot_g, g_m0, plain.g_m0}));
  team.sync();
  if (a.attention) {
    uint32_t group = 0;
    for (uint32_t w = 0; w < team.warp; ++w) group += groups_of_warp[w];
    group_gradients(head, run, group, starts, own_row, head_rows + size_t{team.warp} * dim);
  }
  team.sync();
  for (uint32_t k = thread; k < dim; k += threads) {
    double g = 0;
    for (uint32_t w = 0; w < warps; ++w) g += head_rows[size_t{w} * dim + k];
    a.tape.head_gradient[at + k] = g;
    framed_g[k] += plain.on_origin * o[k];
  }
  if (thread == 0) a.tape.scale_gradient[i] = distance + on_scale;
  team.sync();  // the rows may be written again
}

// Four blocks per multiprocessor leave it 128 registers, three 168: with fewer the compiler spills.
template <bool Alone, class Dim>
__global__ void __launch_bounds__(kHeadThreads, Part<Dim>::kWhole ? 4 : 3) neighborhood_kernel(Neighborhood a) {
  HK_DYNAMIC_SHARED(double, rows);
  __shared__ double sums[kHeadWarps];
  __shared__ uint32_t groups_of_warp[kHeadWarps], starts[kHeadWarps][kWarp + 1];
  const uint32_t warp = threadIdx.y, teams = Alone ? blockDim.y : 1;
  const Team<Alone> team(sums);
  double* const rows_of_team = Alone ? rows + size_t{warp} * (a.tape.head_gradient ? 2 : 1) * a.dim : rows;
  for (uint32_t i = blockIdx.x * teams + (Alone ? warp : 0); i < *a.head_count; i += gridDim.x * teams) {
    const Head<Dim> head(a, i);
    if ((head.degree <= kAlone) != Alone) continue;
    if (head.degree == 0)
      empty_head(head, team);
    else
      neighborhood_of(head, team, rows_of_team, groups_of_warp + (Alone ? warp : 0), starts[warp]);
  }
}

}  // namespace

void CudaBackend::neighborhood(const Neighborhood& a) {
  const size_t row = size_t{a.dim} * sizeof(double);
  const auto shared = [&](uint32_t warps) { return (a.tape.head_gradient ? 2 : 1) * warps * row; };
  uint32_t warps = kHeadWarps;
  while (warps > 1 && shared(warps) > kMostShared - 1024) warps /= 2;
  with_dim(a.dim, [&](auto dim) {
    using Dim = decltype(dim);
    branches({[&] {
                launch("neighborhood: short", neighborhood_kernel<true, Dim>, blocks_for(a.capacity, warps), dim3(kWarp, warps), shared(warps),
                       stream_, a);
              },
              [&] {
                launch("neighborhood: long", neighborhood_kernel<false, Dim>, blocks_for(a.capacity, 1), dim3(kWarp, warps), shared(warps),
                       stream_, a);
              }});
  });
}

}  // namespace hk
