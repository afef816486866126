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
  std::vector<double> rows;      // x per group, then M, g_M, g_x, g_v
  std::vector<double> sqdist, distance, weight;
  std::vector<Group> groups;
};

// Σ_t a_t·2t/A_t and Σ_t a_t γ_t
struct Sums {
  double m0 = 0, weight = 0;
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
      std::fill_n(a.tape.head_gradient + size_t{i} * dim, dim, 0.0f);
      std::fill_n(a.tape.midpoint_gradient + size_t{i} * dim, dim, 0.0);
      a.tape.scale_gradient[i] = 0;
    }
    return;
  }

  // Distances of Eq. 4, group by group.
  if (w.sqdist.size() < degree) w.sqdist.resize(degree), w.distance.resize(degree), w.weight.resize(degree);
  w.groups.clear();
  double nearest = std::numeric_limits<double>::infinity();
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
  if (w.rows.size() < (group_count + 4) * dim) w.rows.resize((group_count + 4) * dim);
  double* const m = w.rows.data() + group_count * dim;
  double* const g_m = m + dim;
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
        nearest = std::min(nearest, w.distance[t]);
      }
    }
  }

  // Einstein midpoint, Eq. 5.
  std::fill_n(m, dim, 0.0);
  Sums sums;
  for (uint32_t t = 0; t < degree; ++t) {
    const double gap = a.entity_gap[tails[t]];
    const double weight = a.attention ? std::exp(-scale * (w.distance[t] - nearest)) : 1.0;
    w.weight[t] = weight;
    sums.weight += weight, sums.m0 += weight * lorentz_factor(gap);
    add_row<S>(m, 2.0 * weight / gap, a.entities + size_t{tails[t]} * dim, dim);
  }
  if (a.weights)
    for (uint32_t t = 0; t < degree; ++t)
      a.weights[first + t] = static_cast<float>(w.weight[t] * lorentz_factor(a.entity_gap[tails[t]]) / sums.m0);
  const bool single = degree == 1;
  Midpoint mid;
  double* const n = g_x;  // free until the gradients
  if (single) {
    mid = {0, 0, a.entity_gap[tails[0]]};
    scale_row<S>(n, 1.0, a.entities + size_t{tails[0]} * dim, dim);
  } else {
    mid = einstein_midpoint(sums.m0, dot<S>(m, m, dim), sums.weight, c);
    scale_row<S>(n, mid.inverse, m, dim);
  }
  if (a.midpoint) scale_row<S>(a.midpoint + size_t{i} * dim, 1.0, n, dim);

  // Eq. 7.
  const double n_sqdist = sqdist<S>(v, n, dim);
  const double distance = poincare_distance(n_sqdist, v_gap, mid.gap, c);
  a.distance[i] = scale * distance;
  if (!tape) return;

  // ∂L_K/∂v directly, and g_n.
  const double k = scale * poincare_slope(n_sqdist, v_gap, mid.gap, c);
  combine_rows<S>(g_v, k * (1.0 + c * n_sqdist / v_gap), v, -k, n, dim);
  TripleGradient* triples = a.tape.triples + first;
  float* relation_gradient = a.tape.relation_gradient ? a.tape.relation_gradient + size_t{a.group_offsets[i]} * dim : nullptr;
  double* midpoint_gradient = a.tape.midpoint_gradient + size_t{i} * dim;
  if (single) {
    std::fill_n(midpoint_gradient, dim, 0.0);
    triples[0] = {0, -k, 0, k * (1.0 + c * n_sqdist / mid.gap)};
    if (relation_gradient) std::fill_n(relation_gradient, dim, 0.0f);
    scale_row<S>(a.tape.head_gradient + size_t{i} * dim, 1.0, g_v, dim);
    a.tape.scale_gradient[i] = distance;
    return;
  }
  // g_n = k[(n − v) + (cS/A_n) n], then through n = M/(M0 + L).
  combine_rows<S>(g_m, k * (1.0 + c * n_sqdist / mid.gap), n, -k, v, dim);
  const double n_dot = dot<S>(n, g_m, dim);
  const double g_m0 = -n_dot * mid.inverse * (1.0 + sums.m0 / mid.l);
  combine_rows<S>(midpoint_gradient, mid.inverse, g_m, n_dot * mid.inverse * c / mid.l, m, dim);
  const double* gm = midpoint_gradient;

  double scale_gradient = distance;
  for (size_t q = 0; q < group_count; ++q) {
    const Group& g = w.groups[q];
    const double* x = w.rows.data() + q * dim;
    if (a.attention) std::fill_n(g_x, dim, 0.0);
    double on_x = 0;
    for (uint32_t t = g.begin; t < g.end; ++t) {
      const float* tail = a.entities + size_t{tails[t]} * dim;
      const double gap = a.entity_gap[tails[t]], weight = w.weight[t];
      const double tail_dot = dot<S>(tail, gm, dim);
      TripleGradient& out = triples[t];
      out.on_midpoint = 2.0 * weight / gap;
      out.on_tail = 4.0 * c * weight / (gap * gap) * (g_m0 + tail_dot);
      out.on_head = out.on_relation = 0;
      if (!a.attention) continue;
      const double g_distance = -weight * (g_m0 * lorentz_factor(gap) + 2.0 * tail_dot / gap);  // ∂L_K/∂(scale·d)
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
