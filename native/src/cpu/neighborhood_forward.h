#pragma once
// The passes of neighborhood.cc from the rows of a block to L_K. P: InDouble or InSingle (row_blocks.h), the precision of passes over the rows and
// scalars of triples.
#include <algorithm>
#include <limits>
#include <type_traits>

#include "../ball.h"
#include "../kernels.h"
#include "neighborhood_block.h"
#include "row_blocks.h"
#include "tame_head.h"
#include "vector_math.h"

namespace hk {

// x = v ⊕ r of each group (Eq. 2).
template <class P>
HK_INLINE void translate(const Neighborhood& a, NeighborhoodBlock& b) {
  using Row = typename P::Row;
  const uint32_t dim = a.dim;
  const double c = a.curvature;
  const BlockGroups& p = b.groups;
  for (uint32_t g = 0; g < p.count; g += 4) {
    const uint32_t last = p.count - 1, i1 = std::min(g + 1, last), i2 = std::min(g + 2, last), i3 = std::min(g + 3, last);
    const float *v0 = p.v[g], *v1 = p.v[i1], *v2 = p.v[i2], *v3 = p.v[i3], *r0 = p.r[g], *r1 = p.r[i1], *r2 = p.r[i2], *r3 = p.r[i3];
    sums_of_columns<P>(dim, p.sum_sqnorm + g, [&](auto at, auto* s) __attribute__((always_inline)) {
      const auto u0 = at(v0) + at(r0), u1 = at(v1) + at(r1), u2 = at(v2) + at(r2), u3 = at(v3) + at(r3);
      s[0] += u0 * u0, s[1] += u1 * u1, s[2] += u2 * u2, s[3] += u3 * u3;
    });
  }
  for_lanes(p.padded, [&](uint32_t g) {
    p.r_sqnorm[g] = c > 0 ? (1.0 - p.r_gap[g]) / c : 0.0;
    const MobiusSum sum = mobius_add(p.sum_sqnorm[g], p.r_sqnorm[g], p.v_gap[g], p.r_gap[g], c);
    p.on_v[g] = sum.on_v, p.on_r[g] = sum.on_r, p.gap[g] = sum.gap, p.denominator[g] = sum.denominator;
    p.terms_sqnorm[g] = c > 0 ? square(sum.on_v) * (1.0 - p.v_gap[g]) / c + square(sum.on_r) * p.r_sqnorm[g] : p.sum_sqnorm[g];
  });
  for (uint32_t g = 0; g < p.count; ++g) combine<P>(b.x<Row>(g), p.on_v[g], p.v[g], p.on_r[g], p.r[g], dim);
}

// Makes a head's i-th tail the origin of its frame.
HK_INLINE void set_origin(const Neighborhood& a, uint32_t h, uint32_t i, NeighborhoodBlock& b) {
  const uint32_t tail = a.graph.tails[a.graph.offsets[b.heads.id[h]] + i];
  b.heads.o[h] = a.entities + size_t{tail} * a.dim, b.heads.o_gap[h] = a.entity_gap[tail];
}

// ln attention_root (ball.h); in float32 as arsinh √q, whose error is relative to it.
HK_INLINE double log_of_attention_root(double sqdist, double x_gap, double t_gap, double curvature) {
  return log_positive(attention_root(sqdist, x_gap, t_gap, curvature));
}
HK_INLINE float log_of_attention_root(float sqdist, float x_gap, float t_gap, float curvature) {
  return asinh_positive(std::sqrt(curvature * sqdist / (x_gap * t_gap)));
}

// d(v ⊕ r, t) of each triple, the attention of Eq. 4 relative to a head's nearest tail, and that tail as the frame's origin.
template <class P>
HK_INLINE void attend(const Neighborhood& a, double sharpness, NeighborhoodBlock& b) {
  using Row = typename P::Row;
  constexpr uint32_t kAhead = 16;  // tails whose rows are on their way from memory, where they were not asked for before
  const uint32_t dim = a.dim, places = b.heads.first[b.heads.count];
  const Row c = static_cast<Row>(a.curvature);
  const BlockTriples<Row>& q = b.triples<Row>();
  for (uint32_t t = 0; t < places; t += 4) {
    for (uint32_t j = 0; j < 4; ++j) {
      q.x_gap[t + j] = static_cast<Row>(b.groups.gap[q.group[t + j]]);
      if (t + j + kAhead >= kTriplesAhead && t + j + kAhead < places) prefetch_floats(q.tail[t + j + kAhead], dim);
    }
    const Row *x0 = b.x<Row>(q.group[t]), *x1 = b.x<Row>(q.group[t + 1]), *x2 = b.x<Row>(q.group[t + 2]), *x3 = b.x<Row>(q.group[t + 3]);
    const float *t0 = q.tail[t], *t1 = q.tail[t + 1], *t2 = q.tail[t + 2], *t3 = q.tail[t + 3];
    sums_of_columns<P>(dim, q.sqdist + t, [&](auto at, auto* s) __attribute__((always_inline)) {
      const auto u0 = at(x0) - at(t0), u1 = at(x1) - at(t1), u2 = at(x2) - at(t2), u3 = at(x3) - at(t3);
      s[0] += u0 * u0, s[1] += u1 * u1, s[2] += u2 * u2, s[3] += u3 * u3;
    });
  }
  if (c > 0) {
    const Row per_log = Row(2) / std::sqrt(c);
    for_lanes(q.padded, [&](uint32_t t) { q.distance[t] = per_log * log_of_attention_root(q.sqdist[t], q.x_gap[t], q.gap[t], c); });
  } else {
    for_lanes(q.padded, [&](uint32_t t) { q.distance[t] = Row(2) * std::sqrt(q.sqdist[t] / (q.x_gap[t] * q.gap[t])); });
  }
  BlockHeads& heads = b.heads;
  for (uint32_t h = 0; h < heads.count; ++h) {
    Row nearest = std::numeric_limits<Row>::infinity();
    uint32_t origin = heads.first[h];
    for (uint32_t t = heads.first[h]; t < heads.first[h] + heads.degree[h]; ++t)
      if (q.distance[t] < nearest) nearest = q.distance[t], origin = t;
    set_origin(a, h, origin - heads.first[h], b);
    for (uint32_t t = heads.first[h]; t < heads.first[h + 1]; ++t) q.past[t] = static_cast<Row>(sharpness) * (nearest - q.distance[t]);
  }
  for_lanes(q.padded, [&](uint32_t t) { q.weight[t] = exp_nonpositive(q.past[t] < Row(0) || q.past[t] != q.past[t] ? q.past[t] : Row(0)); });
}

// m′ of a head and ‖t − o‖² of its tails (Eq. 5 in the frame of the origin o; ball.h), but for o's own part of m′.
template <class P>
HK_INLINE void sum_tails(uint32_t h, uint32_t dim, NeighborhoodBlock& b) {
  using Row = typename P::Row;
  const BlockTriples<Row>& q = b.triples<Row>();
  const float* const o = b.heads.o[h];
  double* const m = b.m(h);
  std::fill_n(m, dim, 0.0);
  for (uint32_t t = b.heads.first[h]; t < b.heads.first[h + 1]; t += 4) {
    const float *t0 = q.tail[t], *t1 = q.tail[t + 1], *t2 = q.tail[t + 2], *t3 = q.tail[t + 3];
    const Row a0 = q.on_midpoint[t], a1 = q.on_midpoint[t + 1], a2 = q.on_midpoint[t + 2], a3 = q.on_midpoint[t + 3];
    sums_of_columns<P>(dim, q.delta_sqnorm + t, [&](auto at, auto* s) __attribute__((always_inline)) {
      const auto y = at(o), u0 = at(t0) - y, u1 = at(t1) - y, u2 = at(t2) - y, u3 = at(t3) - y;
      s[0] += u0 * u0, s[1] += u1 * u1, s[2] += u2 * u2, s[3] += u3 * u3;
      at.add_products(m, a0, u0, a1, u1, a2, u2, a3, u3);
    });
  }
}

// Einstein midpoints, Eq. 5, each in the frame of its origin tail (ball.h).
template <class P>
HK_INLINE void midpoints(const Neighborhood& a, NeighborhoodBlock& b) {
  using S = typename P::Set;
  using Row = typename P::Row;
  const uint32_t dim = a.dim;
  const Row c = static_cast<Row>(a.curvature);
  BlockHeads& heads = b.heads;
  const BlockTriples<Row>& q = b.triples<Row>();
  for (uint32_t h = 0; h < heads.count; ++h)
    for (uint32_t t = heads.first[h] + heads.degree[h]; t < heads.first[h + 1]; ++t) q.tail[t] = heads.o[h], q.weight[t] = 0;
  spread(heads, heads.o_gap, q.o_gap);
  for_lanes(q.padded, [&](uint32_t t) { q.on_midpoint[t] = Row(2) * q.weight[t] / q.gap[t]; });
  for (uint32_t h = 0; h < heads.count; ++h) sum_tails<P>(h, dim, b);
  for_lanes(q.padded, [&](uint32_t t) { q.bent[t] = q.weight[t] * framed_term(q.delta_sqnorm[t], q.o_gap[t], q.gap[t], c).on_origin; });
  for (uint32_t h = 0; h < heads.count; ++h) {
    heads.on_origin[h] = sum_of_fours(q.bent, heads.first[h], heads.first[h + 1]);
    heads.weight_sum[h] = sum_of_fours(q.weight, heads.first[h], heads.first[h + 1]);
    add_row<S>(b.m(h), heads.on_origin[h], heads.o[h], dim);
    heads.m_sqnorm[h] = dot<S>(b.m(h), b.m(h), dim), heads.vo_sqdist[h] = sqdist<S>(heads.v[h], heads.o[h], dim);
  }
  for_lanes(kBlockHeads, [&](uint32_t h) {
    heads.m0[h] = heads.weight_sum[h] - heads.on_origin[h];
    const Midpoint mid = einstein_midpoint(heads.m0[h], heads.m_sqnorm[h], heads.weight_sum[h], a.curvature);
    heads.l[h] = mid.l, heads.inverse[h] = mid.inverse, heads.mid_gap[h] = mid.gap;
  });
}

// n_v and the attention weights for a caller who wants them.
template <class P>
HK_INLINE void write_midpoints(const Neighborhood& a, NeighborhoodBlock& b) {
  using S = typename P::Set;
  const BlockHeads& heads = b.heads;
  const BlockTriples<typename P::Row>& q = b.triples<typename P::Row>();
  for (uint32_t h = 0; h < heads.count; ++h) {
    const uint32_t first = heads.first[h], degree = heads.degree[h];
    double lorentz_sum = 0;
    for (uint32_t t = first; t < first + degree; ++t) lorentz_sum += q.weight[t] * lorentz_factor(q.gap[t]);
    if (a.weights)
      for (uint32_t t = 0; t < degree; ++t)
        a.weights[a.triple_offsets[heads.index[h]] + t] =
            static_cast<float>(q.weight[first + t] * lorentz_factor(q.gap[first + t]) / lorentz_sum);
    if (a.midpoint) {  // n_v = m/(m0 + l) in the ball's own coordinates, where only l would lose digits; and l is the same in every frame
      double* const plain = b.g_x(h);
      std::fill_n(plain, a.dim, 0.0);
      for (uint32_t t = first; t < first + degree; ++t) add_row<S>(plain, q.on_midpoint[t], q.tail[t], a.dim);
      scale_row<S>(a.midpoint + size_t{heads.index[h]} * a.dim, 1.0 / (lorentz_sum + heads.l[h]), plain, a.dim);
    }
  }
}

// L_K of Eq. 7, in the same frames.
template <class S>
HK_INLINE void distances(const Neighborhood& a, double scale, NeighborhoodBlock& b) {
  const uint32_t dim = a.dim;
  const double c = a.curvature;
  BlockHeads& heads = b.heads;
  for_lanes(kBlockHeads, [&](uint32_t h) {
    const Framed frame = framed(heads.vo_sqdist[h], heads.o_gap[h], heads.v_gap[h], c);
    heads.frame_on_delta[h] = frame.on_delta, heads.frame_on_origin[h] = frame.on_origin, heads.frame_gap[h] = frame.gap,
    heads.frame_denominator[h] = frame.denominator;
  });
  for (uint32_t h = 0; h < heads.count; ++h) {
    scale_row<S>(b.n(h), heads.inverse[h], b.m(h), dim);
    difference_rows<S>(b.framed_v(h), heads.frame_on_delta[h], heads.v[h], heads.o[h], heads.frame_on_origin[h], heads.o[h], dim);
    heads.n_sqdist[h] = sqdist<S>(b.framed_v(h), b.n(h), dim);
  }
  const double root_c = std::sqrt(c), per_asinh = 2.0 / root_c;
  if (c > 0) {
    for_lanes(kBlockHeads, [&](uint32_t h) {
      heads.distance[h] = per_asinh * asinh_positive(root_c * poincare_root(heads.n_sqdist[h], heads.frame_gap[h], heads.mid_gap[h]));
    });
  } else {
    for_lanes(kBlockHeads,
              [&](uint32_t h) { heads.distance[h] = 2.0 * poincare_root(heads.n_sqdist[h], heads.frame_gap[h], heads.mid_gap[h]); });
  }
  for (uint32_t h = 0; h < heads.count; ++h) a.distance[heads.index[h]] = scale * heads.distance[h];
}

// The passes up to L_K. In float32 they also say which heads are tame.
template <class P>
HK_INLINE void forward(const Neighborhood& a, double scale, NeighborhoodBlock& b) {
  using S = typename P::Set;
  constexpr bool exact = std::is_same_v<typename P::Row, double>;
  if (a.attention) {
    const double sharpness = scale / a.temperature;
    translate<P>(a, b);
    attend<P>(a, sharpness, b);
    if (!exact) check_tails(b, sharpness);
  } else {
    std::fill_n(b.triples<typename P::Row>().weight, b.heads.first[b.heads.count], typename P::Row{1});
    for (uint32_t h = 0; h < b.heads.count; ++h) set_origin(a, h, 0, b);
  }
  midpoints<P>(a, b);
  if (a.weights || a.midpoint) write_midpoints<P>(a, b);
  distances<S>(a, scale, b);
  if (!exact) check_midpoints(b);
}

}  // namespace hk
