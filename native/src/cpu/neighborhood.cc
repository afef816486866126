// neighborhood on the CPU: heads over threads; per head one pass over its triples for the distances, one for the midpoint, one for
// the gradients. A head's tail rows stay in the first-level cache between the passes.
#include <algorithm>
#include <limits>
#include <vector>

#include "../ball.h"
#include "cpu_backend.h"
#include "rows.h"

namespace hk {
namespace {

struct Group {  // a run of triples with one relation
  uint32_t begin, end, relation;
  MobiusSum sum;
};

// Scratch of one thread; it only grows.
struct Workspace {
  std::vector<double> rows;  // x per group, then m′, n′, v′, g_m′, g_x, g_v
  std::vector<double> sqdist, distance, weight, delta_sqnorm;
  std::vector<Group> groups;
};

template <class S>
HK_INLINE void neighborhood_head(const Neighborhood& a, uint32_t i, Workspace& w) {
  const uint32_t dim = a.dim, head = a.heads[i];
  const uint32_t begin = a.graph.offsets[head], degree = a.graph.offsets[head + 1] - begin;
  const uint32_t* tails = a.graph.tails + begin;
  const uint32_t* relation_ids = a.graph.relations + begin;
  const float* v = a.entities + size_t{head} * dim;
  const double c = a.curvature, scale = *a.scale, v_gap = a.entity_gap[head];
  const size_t first = a.triple_offsets[i];
  const bool tape = a.tape.head_gradient != nullptr;

  if (degree == 0) {
    a.distance[i] = 0;
    if (a.midpoint) std::copy(v, v + dim, a.midpoint + size_t{i} * dim);
    if (tape) {
      std::fill_n(a.tape.head_gradient + size_t{i} * dim, dim, 0.0);
      std::fill_n(a.tape.midpoint_gradient + size_t{i} * dim, dim, 0.0);
      a.tape.scale_gradient[i] = 0;
    }
    return;
  }

  // Distances of Eq. 4, group by group.
  if (w.sqdist.size() < degree) w.sqdist.resize(degree), w.distance.resize(degree), w.weight.resize(degree), w.delta_sqnorm.resize(degree);
  w.groups.clear();
  double nearest = std::numeric_limits<double>::infinity();
  uint32_t origin_tail = tails[0];  // of largest weight
  if (a.attention) {
    for (uint32_t t = 0; t < degree;) {
      Group g{t, t + 1, relation_ids[t], {}};
      while (g.end < degree && relation_ids[g.end] == g.relation) ++g.end;
      w.groups.push_back(g), t = g.end;
    }
  } else {
    w.groups.push_back({0, degree, kNone, {}});
  }
  const size_t group_count = w.groups.size();
  if (w.rows.size() < (group_count + 6) * dim) w.rows.resize((group_count + 6) * dim);
  double* const m = w.rows.data() + group_count * dim;
  double* const n = m + dim;
  double* const framed_v = n + dim;
  double* const g_m = framed_v + dim;
  double* const g_x = g_m + dim;
  double* const g_v = g_x + dim;
  if (a.attention) {
    for (size_t k = 0; k < group_count; ++k) {
      Group& g = w.groups[k];
      const float* r = a.relations + size_t{g.relation} * dim;
      const double r_gap = a.relation_gap[g.relation], r_sqnorm = c > 0 ? (1.0 - r_gap) / c : 0.0;
      g.sum = mobius_add(sqsum<S>(v, r, dim), r_sqnorm, v_gap, r_gap, c);
      double* x = w.rows.data() + k * dim;
      combine_rows<S>(x, g.sum.on_v, v, g.sum.on_r, r, dim);
      for (uint32_t t = g.begin; t < g.end; ++t) {
        const float* tail = a.entities + size_t{tails[t]} * dim;
        w.sqdist[t] = sqdist<S>(x, tail, dim);
        w.distance[t] = attention_distance(w.sqdist[t], g.sum.gap, a.entity_gap[tails[t]], c);
        if (w.distance[t] < nearest) nearest = w.distance[t], origin_tail = tails[t];
      }
    }
  }

  // Einstein midpoint, Eq. 5, in the frame of the origin tail (ball.h).
  const float* o = a.entities + size_t{origin_tail} * dim;
  const double o_gap = a.entity_gap[origin_tail];
  std::fill_n(m, dim, 0.0);
  double m0 = 0, weight_sum = 0, on_origin = 0, lorentz_sum = 0;
  for (uint32_t t = 0; t < degree; ++t) {
    const float* tail = a.entities + size_t{tails[t]} * dim;
    const double gap = a.entity_gap[tails[t]];
    const double weight = a.attention ? std::exp(-scale * (w.distance[t] - nearest)) : 1.0;
    w.weight[t] = weight, w.delta_sqnorm[t] = tail == o ? 0.0 : sqdist<S>(tail, o, dim);
    const FramedTerm term = framed_term(w.delta_sqnorm[t], o_gap, gap, c);
    weight_sum += weight, m0 += weight * term.lorentz, on_origin += weight * term.on_origin;
    lorentz_sum += weight * lorentz_factor(gap);
    if (tail != o) add_difference<S>(m, weight * term.on_delta, tail, o, dim);
  }
  add_row<S>(m, on_origin, o, dim);
  if (a.weights)
    for (uint32_t t = 0; t < degree; ++t)
      a.weights[first + t] = static_cast<float>(w.weight[t] * lorentz_factor(a.entity_gap[tails[t]]) / lorentz_sum);
  const Midpoint mid = einstein_midpoint(m0, dot<S>(m, m, dim), weight_sum, c);
  scale_row<S>(n, mid.inverse, m, dim);
  if (a.midpoint) {  // n_v = m/(m0 + l) in the ball's own coordinates, where only l would lose digits; and l is the same in every frame
    double* const plain = g_x;
    std::fill_n(plain, dim, 0.0);
    for (uint32_t t = 0; t < degree; ++t)
      add_row<S>(plain, 2.0 * w.weight[t] / a.entity_gap[tails[t]], a.entities + size_t{tails[t]} * dim, dim);
    scale_row<S>(a.midpoint + size_t{i} * dim, 1.0 / (lorentz_sum + mid.l), plain, dim);
  }

  // Eq. 7, in the same frame.
  const Framed frame = framed(sqdist<S>(v, o, dim), o_gap, v_gap, c);
  frame_row<S>(framed_v, frame.on_delta, v, frame.on_origin, o, dim);
  const double n_sqdist = sqdist<S>(framed_v, n, dim);
  const double distance = poincare_distance(n_sqdist, frame.gap, mid.gap, c);
  a.distance[i] = scale * distance;
  if (!tape) return;

  // ∂L_K/∂v directly (g_x holds ∂/∂v′), and the gradient on n′, then through n′ = m′/(m0′ + l).
  const double k = scale * poincare_slope(n_sqdist, frame.gap, mid.gap, c);
  combine_rows<S>(g_x, k * (1.0 + c * n_sqdist / frame.gap), framed_v, -k, n, dim);
  const FramedGradient to_v = framed_gradient(frame, dot<S>(o, g_x, dim), dot<S>(framed_v, g_x, dim), o_gap, c);
  combine_rows<S>(g_v, to_v.on_g, g_x, to_v.on_delta + to_v.on_x, v, -to_v.on_delta, o, dim);
  combine_rows<S>(g_m, k * (1.0 + c * n_sqdist / mid.gap), n, -k, framed_v, dim);
  const double n_dot = dot<S>(n, g_m, dim);
  const double framed_g_m0 = -n_dot * mid.inverse * (1.0 + m0 / mid.l);
  combine_rows<S>(g_m, mid.inverse, g_m, n_dot * mid.inverse * c / mid.l, m, dim);
  const double o_dot_g = dot<S>(o, g_m, dim);
  const Unframed plain = unframed(o_dot_g, framed_g_m0, o_gap, c);
  combine_rows<S>(a.tape.midpoint_gradient + size_t{i} * dim, 1.0, g_m, plain.on_origin, o, dim);

  TripleGradient* triples = a.tape.triples + first;
  float* relation_gradient = a.tape.relation_gradient ? a.tape.relation_gradient + size_t{a.group_offsets[i]} * dim : nullptr;
  double scale_gradient = distance;
  for (size_t q = 0; q < group_count; ++q) {
    const Group& g = w.groups[q];
    const double* x = w.rows.data() + q * dim;
    if (a.attention) std::fill_n(g_x, dim, 0.0);
    double on_x = 0;
    for (uint32_t t = g.begin; t < g.end; ++t) {
      const float* tail = a.entities + size_t{tails[t]} * dim;
      const double gap = a.entity_gap[tails[t]], weight = w.weight[t];
      const FramedTerm term = framed_term(w.delta_sqnorm[t], o_gap, gap, c);
      const double delta_dot_g = tail == o ? 0.0 : difference_dot<S>(tail, o, g_m, dim);
      const TailGradient to_tail = tail_gradient(term, delta_dot_g, o_dot_g, framed_g_m0, plain.g_m0, weight, gap, c);
      TripleGradient& out = triples[t];
      out = {to_tail.on_midpoint, 0, 0, to_tail.on_tail};
      if (!a.attention) continue;
      const double g_distance = -weight * to_tail.on_weight;  // ∂L_K/∂(scale·d)
      scale_gradient += g_distance * w.distance[t];
      const double slope = scale * g_distance * poincare_slope(w.sqdist[t], g.sum.gap, gap, c);
      out.on_tail += slope * (1.0 + c * w.sqdist[t] / gap);
      out.on_head = -slope * g.sum.on_v, out.on_relation = -slope * g.sum.on_r;
      on_x += slope * (1.0 + c * w.sqdist[t] / g.sum.gap);
      add_row<S>(g_x, -slope, tail, dim);
    }
    if (!a.attention) continue;
    add_row<S>(g_x, on_x, x, dim);
    const float* r = a.relations + size_t{g.relation} * dim;
    const double r_gap = a.relation_gap[g.relation], r_sqnorm = c > 0 ? (1.0 - r_gap) / c : 0.0;
    const MobiusGradient back = mobius_add_gradient(g.sum, dot<S>(v, g_x, dim), dot<S>(r, g_x, dim), r_sqnorm, v_gap, r_gap, c);
    add_rows<S>(g_v, back.v_on_g, g_x, back.v_on_v, v, back.v_on_r, r, dim);
    combine_rows<S>(relation_gradient + q * dim, back.r_on_g, g_x, back.r_on_v, v, back.r_on_r, r, dim);
  }
  scale_row<S>(a.tape.head_gradient + size_t{i} * dim, 1.0, g_v, dim);
  a.tape.scale_gradient[i] = scale_gradient;
}

// Asks for the rows of a head's first tails while the head before it is worked on.
HK_INLINE void prefetch_head(const Neighborhood& a, uint32_t head) {
  const size_t bytes = a.dim * sizeof(float);
  prefetch_row(a.entities + size_t{head} * a.dim, bytes);
  const uint32_t begin = a.graph.offsets[head], end = a.graph.offsets[head + 1], most = begin + 24;
  for (uint32_t t = begin; t < end && t < most; ++t) {
    prefetch_row(a.entities + size_t{a.graph.tails[t]} * a.dim, bytes);
    __builtin_prefetch(a.entity_gap + a.graph.tails[t]);
  }
}

template <class S>
HK_INLINE void neighborhood_range(const Neighborhood& a, uint64_t begin, uint64_t end) {
  thread_local Workspace workspace;
  for (uint64_t i = begin; i < end; ++i) {
    if (i + 1 < end) prefetch_head(a, a.heads[i + 1]);
    neighborhood_head<S>(a, static_cast<uint32_t>(i), workspace);
  }
}
HK_DISPATCH(heads, neighborhood_range, (const Neighborhood& a, uint64_t begin, uint64_t end), (a, begin, end))

}  // namespace

void CpuBackend::neighborhood(const Neighborhood& a) {
  pool_.run(*a.head_count, 16, [&](uint64_t begin, uint64_t end, int) { heads(a, begin, end); });
}

}  // namespace hk
