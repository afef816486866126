// neighborhood on the CPU: heads over threads. Per head, passes over its tail rows alternate with passes over its triples' scalars:
// the former are vectors along the coordinates, the latter vectors along the triples. The tail rows stay in the first-level cache.
#include <algorithm>
#include <limits>
#include <vector>

#include "../ball.h"
#include "cpu_backend.h"
#include "rows.h"
#include "vector_math.h"

namespace hk {
namespace {

struct Group {  // a run of triples with one relation
  uint32_t begin, end, relation;
  MobiusSum sum;
};

// A head's triples: one array of scalars each, all padded to whole vectors.
struct Triples {
  double *gap, *x_gap, *sqdist, *distance, *weight, *delta_sqnorm, *delta_dot_g, *on_midpoint, *on_x, *on_tail, *slope;
  static constexpr size_t kArrays = 11;
};

// Scratch of one thread; it only grows.
struct Workspace {
  std::vector<double> rows;  // x per group, then m′, n′, v′, g_m′, g_x, g_v
  std::vector<double> scalars;
  std::vector<Group> groups;

  Triples triples(size_t padded) {
    if (scalars.size() < Triples::kArrays * padded) scalars.resize(Triples::kArrays * padded);
    double* const at = scalars.data();
    const auto array = [&](size_t i) { return at + i * padded; };
    return {array(0), array(1), array(2), array(3), array(4), array(5), array(6), array(7), array(8), array(9), array(10)};
  }
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

  w.groups.clear();
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
  const uint32_t padded = (degree + S::kD - 1) / S::kD * S::kD;
  const Triples q = w.triples(padded);
  for (uint32_t t = 0; t < degree; ++t) q.gap[t] = a.entity_gap[tails[t]];
  for (uint32_t t = degree; t < padded; ++t)
    q.gap[t] = q.x_gap[t] = 1, q.sqdist[t] = q.distance[t] = q.delta_sqnorm[t] = q.delta_dot_g[t] = q.on_tail[t] = 0;

  // Attention of Eq. 4: v ⊕ r group by group. The tail of largest weight, the nearest, will be the frame's origin.
  uint32_t origin = 0;
  if (a.attention) {
    for (size_t k = 0; k < group_count; ++k) {
      Group& g = w.groups[k];
      const float* r = a.relations + size_t{g.relation} * dim;
      const double r_gap = a.relation_gap[g.relation], r_sqnorm = c > 0 ? (1.0 - r_gap) / c : 0.0;
      g.sum = mobius_add(sqsum<S>(v, r, dim), r_sqnorm, v_gap, r_gap, c);
      double* x = w.rows.data() + k * dim;
      combine_rows<S>(x, g.sum.on_v, v, g.sum.on_r, r, dim);
      for (uint32_t t = g.begin; t < g.end; ++t) {
        q.sqdist[t] = sqdist<S>(x, a.entities + size_t{tails[t]} * dim, dim);
        q.x_gap[t] = g.sum.gap;
      }
    }
    if (c > 0) {
      const double per_log = 2.0 / std::sqrt(c);
      for_lanes(padded, [&](uint32_t t) { q.distance[t] = per_log * log_positive(attention_root(q.sqdist[t], q.x_gap[t], q.gap[t], c)); });
    } else {
      for_lanes(padded, [&](uint32_t t) { q.distance[t] = 2.0 * std::sqrt(q.sqdist[t] / (q.x_gap[t] * q.gap[t])); });
    }
    double nearest = std::numeric_limits<double>::infinity();
    for (uint32_t t = 0; t < degree; ++t)
      if (q.distance[t] < nearest) nearest = q.distance[t], origin = t;
    for_lanes(padded, [&](uint32_t t) {
      const double past = scale * (nearest - q.distance[t]);
      q.weight[t] = exp_nonpositive(past < 0.0 || past != past ? past : 0.0);
    });
  } else {
    std::fill_n(q.weight, padded, 1.0);
  }

  // Einstein midpoint, Eq. 5, in the frame of the origin tail (ball.h).
  const float* o = a.entities + size_t{tails[origin]} * dim;
  const double o_gap = a.entity_gap[tails[origin]];
  std::fill_n(m, dim, 0.0);
  double m0 = 0, weight_sum = 0, on_origin = 0, lorentz_sum = 0;
  for (uint32_t t = 0; t < degree; ++t) {
    const float* tail = a.entities + size_t{tails[t]} * dim;
    q.delta_sqnorm[t] = tail == o ? 0.0 : add_difference<S>(m, 2.0 * q.weight[t] / q.gap[t], tail, o, dim);
  }
  for (uint32_t t = 0; t < degree; ++t) {
    const FramedTerm term = framed_term(q.delta_sqnorm[t], o_gap, q.gap[t], c);
    weight_sum += q.weight[t], m0 += q.weight[t] * term.lorentz, on_origin += q.weight[t] * term.on_origin;
    lorentz_sum += q.weight[t] * lorentz_factor(q.gap[t]);
  }
  add_row<S>(m, on_origin, o, dim);
  if (a.weights)
    for (uint32_t t = 0; t < degree; ++t)
      a.weights[first + t] = static_cast<float>(q.weight[t] * lorentz_factor(q.gap[t]) / lorentz_sum);
  const Midpoint mid = einstein_midpoint(m0, dot<S>(m, m, dim), weight_sum, c);
  scale_row<S>(n, mid.inverse, m, dim);
  if (a.midpoint) {  // n_v = m/(m0 + l) in the ball's own coordinates, where only l would lose digits; and l is the same in every frame
    double* const plain = g_x;
    std::fill_n(plain, dim, 0.0);
    for (uint32_t t = 0; t < degree; ++t)
      add_row<S>(plain, 2.0 * q.weight[t] / q.gap[t], a.entities + size_t{tails[t]} * dim, dim);
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

  // The tails' part, and through the attention the part of v ⊕ r.
  for (uint32_t t = 0; t < degree; ++t) {
    const float* tail = a.entities + size_t{tails[t]} * dim;
    q.delta_dot_g[t] = tail == o ? 0.0 : difference_dot<S>(tail, o, g_m, dim);
  }
  for_lanes(padded, [&](uint32_t t) {
    const double gap = q.gap[t], weight = q.weight[t];
    const FramedTerm term = framed_term(q.delta_sqnorm[t], o_gap, gap, c);
    const TailGradient to_tail = tail_gradient(term, q.delta_dot_g[t], o_dot_g, framed_g_m0, plain.g_m0, weight, gap, c);
    q.on_midpoint[t] = to_tail.on_midpoint, q.on_tail[t] = to_tail.on_tail;
    q.slope[t] = -weight * to_tail.on_weight;  // ∂L_K/∂(scale·d)
  });
  TripleGradient* triples = a.tape.triples + first;
  double scale_gradient = distance;
  if (a.attention) {
    for (uint32_t t = 0; t < degree; ++t) scale_gradient += q.slope[t] * q.distance[t];
    for_lanes(padded, [&](uint32_t t) {
      const double gap = q.gap[t], x_gap = q.x_gap[t], sq = q.sqdist[t];
      const double slope = scale * q.slope[t] * poincare_slope(sq, x_gap, gap, c);
      q.slope[t] = slope, q.on_tail[t] += slope * (1.0 + c * sq / gap), q.on_x[t] = slope * (1.0 + c * sq / x_gap);
    });
    float* relation_gradient = a.tape.relation_gradient + size_t{a.group_offsets[i]} * dim;
    for (size_t index = 0; index < group_count; ++index) {
      const Group& g = w.groups[index];
      const float* r = a.relations + size_t{g.relation} * dim;
      double on_x = 0;
      for (uint32_t t = g.begin; t < g.end; ++t) {
        on_x += q.on_x[t];
        triples[t] = {q.on_midpoint[t], -q.slope[t] * g.sum.on_v, -q.slope[t] * g.sum.on_r, q.on_tail[t]};
      }
      const double* x = w.rows.data() + index * dim;
      const float* tail = a.entities + size_t{tails[g.begin]} * dim;
      DotPair dots;  // of g_x with v and r
      if (g.end == g.begin + 1) {
        dots = combine_rows_dots<S>(g_x, on_x, x, -q.slope[g.begin], tail, v, r, dim);
      } else {
        combine_rows<S>(g_x, on_x, x, -q.slope[g.begin], tail, dim);
        for (uint32_t t = g.begin + 1; t + 1 < g.end; ++t) add_row<S>(g_x, -q.slope[t], a.entities + size_t{tails[t]} * dim, dim);
        dots = combine_rows_dots<S>(g_x, 1.0, g_x, -q.slope[g.end - 1], a.entities + size_t{tails[g.end - 1]} * dim, v, r, dim);
      }
      const double r_gap = a.relation_gap[g.relation], r_sqnorm = c > 0 ? (1.0 - r_gap) / c : 0.0;
      const MobiusGradient back = mobius_add_gradient(g.sum, dots.first, dots.second, r_sqnorm, v_gap, r_gap, c);
      add_rows<S>(g_v, back.v_on_g, g_x, back.v_on_v, v, back.v_on_r, r, dim);
      combine_rows<S>(relation_gradient + index * dim, back.r_on_g, g_x, back.r_on_v, v, back.r_on_r, r, dim);
    }
  } else {
    for (uint32_t t = 0; t < degree; ++t) triples[t] = {q.on_midpoint[t], 0, 0, q.on_tail[t]};
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
