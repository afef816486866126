// neighborhood on the CPU: blocks of a few heads over threads. Passes over rows alternate with passes over scalars: the former are vectors
// along the coordinates, four rows at once, the latter vectors along the triples, the relation groups or the heads of the block. One
// head alone is a long chain of operations that wait for each other; in a block, heads overlap. Passes over the rows of triples and groups are
// made in float32 where the block is tame and the caller takes that (tame_block.h), and so are those over the scalars of triples; what belongs to groups
// and heads is scalar float64 always.
#include <algorithm>
#include <limits>

#include "../ball.h"
#include "cpu_backend.h"
#include "neighborhood_block.h"
#include "row_blocks.h"
#include "tame_block.h"
#include "vector_math.h"

namespace hk {
namespace {

using Block = NeighborhoodBlock;

HK_INLINE void prefetch_floats(const float* row, uint32_t dim) { prefetch_row(row, dim * sizeof(float)); }

// Puts the triples and groups of the block's heads in place.
template <class T>
HK_INLINE void lay_out(const Neighborhood& a, Block& b) {
  BlockHeads& heads = b.heads;
  uint32_t places = 0, group_count = 0;
  for (uint32_t h = 0; h < heads.count; ++h) {
    const uint32_t begin = a.graph.offsets[heads.id[h]], degree = heads.degree[h];
    const uint32_t* relations = a.graph.relations + begin;
    heads.first[h] = places, heads.first_group[h] = group_count;
    places += (degree + 3) / 4 * 4;
    if (a.attention)
      for (uint32_t t = 0; t < degree; ++t) group_count += t == 0 || relations[t] != relations[t - 1];
  }
  heads.first[heads.count] = places, heads.first_group[heads.count] = group_count;
  b.shape<T>(places, group_count, a.dim);

  const BlockTriples<T>& q = b.triples<T>();
  const BlockGroups& p = b.groups;
  for (uint32_t h = 0; h < heads.count; ++h) {
    const uint32_t begin = a.graph.offsets[heads.id[h]], degree = heads.degree[h], first = heads.first[h];
    const uint32_t *tails = a.graph.tails + begin, *relations = a.graph.relations + begin;
    heads.v[h] = a.entities + size_t{heads.id[h]} * a.dim, heads.v_gap[h] = a.entity_gap[heads.id[h]];
    for (uint32_t t = 0; t < degree; ++t)
      q.tail[first + t] = a.entities + size_t{tails[t]} * a.dim, q.gap[first + t] = static_cast<T>(a.entity_gap[tails[t]]);
    if (a.attention) {
      uint32_t g = heads.first_group[h];
      for (uint32_t t = 0; t < degree; ++g) {
        const uint32_t relation = relations[t];
        p.begin[g] = first + t;
        for (; t < degree && relations[t] == relation; ++t) q.group[first + t] = g;
        p.end[g] = first + t, p.v[g] = heads.v[h], p.v_gap[g] = heads.v_gap[h], p.relation[g] = relation;
        p.r[g] = a.relations + size_t{relation} * a.dim, p.r_gap[g] = a.relation_gap[relation];
      }
    }
    for (uint32_t t = first + degree; t < heads.first[h + 1]; ++t)
      q.tail[t] = q.tail[first], q.gap[t] = q.gap[first], q.group[t] = a.attention ? q.group[first] : 0;
  }
  std::fill(q.gap + places, q.gap + q.padded, T{1}), std::fill(q.x_gap + places, q.x_gap + q.padded, T{1});
  std::fill(q.o_gap + places, q.o_gap + q.padded, T{1});
  for (T* array : {q.sqdist, q.past, q.weight, q.delta_sqnorm, q.delta_dot_g, q.o_dot_g, q.framed_g_m0, q.g_m0})
    std::fill(array + places, array + q.padded, T{0});
  for (double* array : {p.v_gap, p.r_gap, p.sum_sqnorm}) std::fill(array + p.count, array + p.padded, 1.0);
  for (double* array : {p.dot_v, p.dot_r}) std::fill(array + p.count, array + p.padded, 0.0);
}

// Copies the heads' lanes to the places of their triples.
template <class T>
HK_INLINE void spread(const BlockHeads& heads, const double* lanes, T* places) {
  for (uint32_t h = 0; h < heads.count; ++h) std::fill(places + heads.first[h], places + heads.first[h + 1], static_cast<T>(lanes[h]));
}

// Σ of a head's places, a whole number of fours.
template <class T>
HK_INLINE double sum_of_fours(const T* values, uint32_t begin, uint32_t end) {
  double s[4] = {};
  for (uint32_t t = begin; t < end; t += 4)
    for (uint32_t j = 0; j < 4; ++j) s[j] += values[t + j];
  return (s[0] + s[1]) + (s[2] + s[3]);
}

// out = a·x + b·y
template <class P, class X, class Y>
HK_INLINE void combine(typename P::Row* out, double a, const X* x, double b, const Y* y, uint32_t dim) {
  const auto on_x = static_cast<typename P::Row>(a), on_y = static_cast<typename P::Row>(b);
  for_columns<P>(dim, [&](auto at) __attribute__((always_inline)) { at.store(out, on_x * at(x) + on_y * at(y)); });
}

// x = v ⊕ r of each group (Eq. 2).
template <class P>
HK_INLINE void translate(const Neighborhood& a, Block& b) {
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
HK_INLINE void set_origin(const Neighborhood& a, uint32_t h, uint32_t i, Block& b) {
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
HK_INLINE void attend(const Neighborhood& a, double sharpness, Block& b) {
  using Row = typename P::Row;
  constexpr uint32_t kAhead = 16;  // tails whose rows are on their way from memory
  const uint32_t dim = a.dim, places = b.heads.first[b.heads.count];
  const Row c = static_cast<Row>(a.curvature);
  const BlockTriples<Row>& q = b.triples<Row>();
  for (uint32_t t = 0; t < places; t += 4) {
    for (uint32_t j = 0; j < 4; ++j) {
      q.x_gap[t + j] = static_cast<Row>(b.groups.gap[q.group[t + j]]);
      if (places > 2 * kAhead && t + j + kAhead < places) prefetch_floats(q.tail[t + j + kAhead], dim);
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
HK_INLINE void sum_tails(uint32_t h, uint32_t dim, Block& b) {
  using Row = typename P::Row;
  const BlockTriples<Row>& q = b.triples<Row>();
  const float* const o = b.heads.o[h];
  Row* const m = b.sum_of_tails<Row>(h);
  std::fill_n(m, dim, Row{0});
  for (uint32_t t = b.heads.first[h]; t < b.heads.first[h + 1]; t += 4) {
    const float *t0 = q.tail[t], *t1 = q.tail[t + 1], *t2 = q.tail[t + 2], *t3 = q.tail[t + 3];
    const Row a0 = static_cast<Row>(q.on_midpoint[t]), a1 = static_cast<Row>(q.on_midpoint[t + 1]), a2 = static_cast<Row>(q.on_midpoint[t + 2]),
              a3 = static_cast<Row>(q.on_midpoint[t + 3]);
    sums_of_columns<P>(dim, q.delta_sqnorm + t, [&](auto at, auto* s) __attribute__((always_inline)) {
      const auto y = at(o), u0 = at(t0) - y, u1 = at(t1) - y, u2 = at(t2) - y, u3 = at(t3) - y;
      s[0] += u0 * u0, s[1] += u1 * u1, s[2] += u2 * u2, s[3] += u3 * u3;
      at.store(m, at(m) + (a0 * u0 + a1 * u1) + (a2 * u2 + a3 * u3));
    });
  }
}

// (t − o)·g_m′ of a head's tails.
template <class P>
HK_INLINE void project_tails(uint32_t h, uint32_t dim, Block& b) {
  using Row = typename P::Row;
  const BlockTriples<Row>& q = b.triples<Row>();
  const float* const o = b.heads.o[h];
  Row* const g_m = b.gradient_on_sum<Row>(h);
  if constexpr (!std::is_same_v<Row, double>) std::transform(b.g_m(h), b.g_m(h) + dim, g_m, [](double x) { return static_cast<Row>(x); });
  for (uint32_t t = b.heads.first[h]; t < b.heads.first[h + 1]; t += 4) {
    const float *t0 = q.tail[t], *t1 = q.tail[t + 1], *t2 = q.tail[t + 2], *t3 = q.tail[t + 3];
    sums_of_columns<P>(dim, q.delta_dot_g + t, [&](auto at, auto* s) __attribute__((always_inline)) {
      const auto y = at(o), g = at(g_m);
      s[0] += (at(t0) - y) * g, s[1] += (at(t1) - y) * g, s[2] += (at(t2) - y) * g, s[3] += (at(t3) - y) * g;
    });
  }
}

// Einstein midpoints, Eq. 5, each in the frame of its origin tail (ball.h).
template <class P>
HK_INLINE void midpoints(const Neighborhood& a, Block& b) {
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
    combine_rows<S>(b.m(h), 1.0, b.sum_of_tails<Row>(h), heads.on_origin[h], heads.o[h], dim);
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
HK_INLINE void write_midpoints(const Neighborhood& a, Block& b) {
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
HK_INLINE void distances(const Neighborhood& a, double scale, Block& b) {
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

// ∂L_K/∂v directly, in g_v, and the gradients on the sums m0 and m.
template <class S>
HK_INLINE void head_gradients(const Neighborhood& a, double scale, Block& b) {
  const uint32_t dim = a.dim;
  const double c = a.curvature;
  BlockHeads& heads = b.heads;
  for_lanes(kBlockHeads, [&](uint32_t h) {
    const double k = scale * poincare_slope(heads.n_sqdist[h], heads.frame_gap[h], heads.mid_gap[h], c);
    heads.k[h] = k, heads.to_framed_v[h] = k * (1.0 + c * heads.n_sqdist[h] / heads.frame_gap[h]);
    heads.to_n[h] = k * (1.0 + c * heads.n_sqdist[h] / heads.mid_gap[h]);
  });
  for (uint32_t h = 0; h < heads.count; ++h) {
    double *const g_x = b.g_x(h), *const g_m = b.g_m(h);  // g_x: on v′; g_m: on n′, to begin with
    const double *const framed_v = b.framed_v(h), *const n = b.n(h);
    const float* const o = heads.o[h];
    const double to_framed_v = heads.to_framed_v[h], to_n = heads.to_n[h], k = heads.k[h];
    double dots[4];
    sums_of_columns<InDouble<S>>(dim, dots, [&](auto at, auto* s) __attribute__((always_inline)) {
      const auto y = at(framed_v), z = at(n), g = to_framed_v * y - k * z, f = to_n * z - k * y;
      at.store(g_x, g), at.store(g_m, f);
      s[0] += at(o) * g, s[1] += y * g, s[2] += z * f;
    });
    heads.o_dot_gx[h] = dots[0], heads.image_dot_gx[h] = dots[1], heads.n_dot[h] = dots[2];
  }
  for_lanes(kBlockHeads, [&](uint32_t h) {
    const Framed frame{heads.frame_on_delta[h], heads.frame_on_origin[h], heads.frame_gap[h], heads.frame_denominator[h]};
    const FramedGradient to_v = framed_gradient(frame, heads.o_dot_gx[h], heads.image_dot_gx[h], heads.o_gap[h], c);
    heads.v_on_g[h] = to_v.on_g, heads.v_on_v[h] = to_v.on_delta + to_v.on_x, heads.v_on_o[h] = -to_v.on_delta;
    // through n′ = m′/(m0′ + l)
    heads.framed_g_m0[h] = -heads.n_dot[h] * heads.inverse[h] * (1.0 + heads.m0[h] / heads.l[h]);
    heads.on_m[h] = heads.n_dot[h] * heads.inverse[h] * c / heads.l[h];
  });
  for (uint32_t h = 0; h < heads.count; ++h) {
    combine_rows<S>(b.g_v(h), heads.v_on_g[h], b.g_x(h), heads.v_on_v[h], heads.v[h], heads.v_on_o[h], heads.o[h], dim);
    combine_rows<S>(b.g_m(h), heads.inverse[h], b.g_m(h), heads.on_m[h], b.m(h), dim);
    heads.o_dot_g[h] = dot<S>(heads.o[h], b.g_m(h), dim);
  }
  for_lanes(kBlockHeads, [&](uint32_t h) {
    const Unframed plain = unframed(heads.o_dot_g[h], heads.framed_g_m0[h], heads.o_gap[h], c);
    heads.plain_on_origin[h] = plain.on_origin, heads.plain_g_m0[h] = plain.g_m0;
  });
  for (uint32_t h = 0; h < heads.count; ++h)
    combine_rows<S>(a.tape.midpoint_gradient + size_t{heads.index[h]} * dim, 1.0, b.g_m(h), heads.plain_on_origin[h], heads.o[h], dim);
}

// The tails' part, and what the attention sends back to the distances d(v ⊕ r, t).
template <class P>
HK_INLINE void tail_gradients(const Neighborhood& a, double sharpness, Block& b) {
  using Row = typename P::Row;
  const Row c = static_cast<Row>(a.curvature);
  const BlockHeads& heads = b.heads;
  const BlockTriples<Row>& q = b.triples<Row>();
  for (uint32_t h = 0; h < heads.count; ++h) project_tails<P>(h, a.dim, b);
  spread(heads, heads.o_dot_g, q.o_dot_g), spread(heads, heads.framed_g_m0, q.framed_g_m0), spread(heads, heads.plain_g_m0, q.g_m0);
  for_lanes(q.padded, [&](uint32_t t) {
    const Row gap = q.gap[t], weight = q.weight[t];
    const FramedTermIn<Row> term = framed_term(q.delta_sqnorm[t], q.o_gap[t], gap, c);
    const TailGradientIn<Row> to_tail = tail_gradient(term, q.delta_dot_g[t], q.o_dot_g[t], q.framed_g_m0[t], q.g_m0[t], weight, gap, c);
    q.on_tail[t] = to_tail.on_tail;
    q.slope[t] = -weight * to_tail.on_weight;  // ∂L_K/∂(sharpness·d)
  });
  if (!a.attention) return;
  for_lanes(q.padded, [&](uint32_t t) {
    const Row gap = q.gap[t], x_gap = q.x_gap[t], sq = q.sqdist[t], on_distance = q.slope[t];
    const Row slope = static_cast<Row>(sharpness) * on_distance * poincare_slope(sq, x_gap, gap, c);
    q.along[t] = on_distance * q.distance[t];
    q.slope[t] = slope, q.on_tail[t] += slope * (Row(1) + c * sq / gap), q.on_x[t] = slope * (Row(1) + c * sq / x_gap);
  });
}

// The gradient on v ⊕ r of group g, on_x·x − Σ slope·t, in place of x; kVectors vectors of it from column k on.
template <class P, int kVectors>
HK_INLINE void group_gradient_at(typename P::Row* x, double on_x, const float* const* tails, const typename P::Row* slopes, uint32_t count,
                                uint32_t k) {
  using Row = typename P::Row;
  typename P::Vector sum[kVectors];
  for (int i = 0; i < kVectors; ++i) sum[i] = static_cast<Row>(on_x) * typename P::Columns{k + i * P::kLanes}(x);
  for (uint32_t t = 0; t < count; ++t)
    for (int i = 0; i < kVectors; ++i) sum[i] -= slopes[t] * typename P::Columns{k + i * P::kLanes}(tails[t]);
  for (int i = 0; i < kVectors; ++i) typename P::Columns{k + i * P::kLanes}.store(x, sum[i]);
}
template <class P>
HK_INLINE void group_gradient(uint32_t g, uint32_t dim, Block& b) {
  using Row = typename P::Row;
  constexpr int kVectors = 4;
  const BlockTriples<Row>& q = b.triples<Row>();
  Row* const x = b.x<Row>(g);
  const uint32_t begin = b.groups.begin[g], count = b.groups.end[g] - begin;
  const float* const* const tails = q.tail + begin;
  const Row* const slopes = q.slope + begin;
  double on_x = 0;
  for (uint32_t t = 0; t < count; ++t) on_x += q.on_x[begin + t];
  uint32_t k = 0;
  for (; k + kVectors * P::kLanes <= dim; k += kVectors * P::kLanes) group_gradient_at<P, kVectors>(x, on_x, tails, slopes, count, k);
  for (; k + P::kLanes <= dim; k += P::kLanes) group_gradient_at<P, 1>(x, on_x, tails, slopes, count, k);
  for (; k < dim; ++k) {
    double sum = on_x * x[k];
    for (uint32_t t = 0; t < count; ++t) sum -= double{slopes[t]} * tails[t][k];
    x[k] = static_cast<Row>(sum);
  }
}

// From the gradients on v ⊕ r to those on v, added to g_v, and on r, added to the relation's sum with the head's weight.
template <class P>
HK_INLINE void translate_back(const Neighborhood& a, Block& b) {
  using S = typename P::Set;
  using Row = typename P::Row;
  const uint32_t dim = a.dim;
  const double c = a.curvature;
  const BlockGroups& p = b.groups;
  for (uint32_t g = 0; g < p.count; ++g) group_gradient<P>(g, dim, b);
  for (uint32_t g = 0; g < p.count; g += 4) {
    const uint32_t last = p.count - 1, i1 = std::min(g + 1, last), i2 = std::min(g + 2, last), i3 = std::min(g + 3, last);
    const Row *x0 = b.x<Row>(g), *x1 = b.x<Row>(i1), *x2 = b.x<Row>(i2), *x3 = b.x<Row>(i3);
    const float *v0 = p.v[g], *v1 = p.v[i1], *v2 = p.v[i2], *v3 = p.v[i3], *r0 = p.r[g], *r1 = p.r[i1], *r2 = p.r[i2], *r3 = p.r[i3];
    double dots[8];
    sums_of_columns<P, 8>(dim, dots, [&](auto at, auto* s) __attribute__((always_inline)) {
      const auto g0 = at(x0), g1 = at(x1), g2 = at(x2), g3 = at(x3);
      s[0] += g0 * at(v0), s[1] += g1 * at(v1), s[2] += g2 * at(v2), s[3] += g3 * at(v3);
      s[4] += g0 * at(r0), s[5] += g1 * at(r1), s[6] += g2 * at(r2), s[7] += g3 * at(r3);
    });
    std::copy_n(dots, 4, p.dot_v + g), std::copy_n(dots + 4, 4, p.dot_r + g);
  }
  for_lanes(p.padded, [&](uint32_t g) {
    const MobiusSum sum{p.on_v[g], p.on_r[g], p.gap[g], p.denominator[g]};
    const MobiusGradient back = mobius_add_gradient(sum, p.dot_v[g], p.dot_r[g], p.r_sqnorm[g], p.v_gap[g], p.r_gap[g], c);
    p.v_on_g[g] = back.v_on_g, p.v_on_v[g] = back.v_on_v, p.v_on_r[g] = back.v_on_r;
    p.r_on_g[g] = back.r_on_g, p.r_on_v[g] = back.r_on_v, p.r_on_r[g] = back.r_on_r;
  });
  for (uint32_t h = 0; h < b.heads.count; ++h) {
    const float* const v = b.heads.v[h];
    const uint32_t first = b.heads.first_group[h], i = b.heads.index[h];
    Row* const g_v = b.gradient_of_groups<Row>(h);
    if constexpr (!std::is_same_v<Row, double>) std::fill_n(g_v, dim, Row{0});
    const double weight = a.sums.weight[i];
    double on_v = 0;
    for (uint32_t g = first; g < b.heads.first_group[h + 1]; ++g) {
      on_v += p.v_on_v[g];
      const Row* const x = b.x<Row>(g);
      const float* const r = p.r[g];
      double* const sum = b.relation_sums + size_t{p.relation[g]} * dim;
      const Row v_on_g = static_cast<Row>(p.v_on_g[g]), v_on_r = static_cast<Row>(p.v_on_r[g]);
      const Row r_on_g = static_cast<Row>(weight * p.r_on_g[g]), r_on_v = static_cast<Row>(weight * p.r_on_v[g]),
                r_on_r = static_cast<Row>(weight * p.r_on_r[g]);
      for_columns<P>(dim, [&](auto at) __attribute__((always_inline)) {
        const auto u = at(x), y = at(r);
        at.store(g_v, at(g_v) + v_on_g * u + v_on_r * y);
        at.add(sum, r_on_g * u + r_on_v * at(v) + r_on_r * y);
      });
    }
    if constexpr (std::is_same_v<Row, double>)
      add_row<S>(g_v, on_v, v, dim);
    else
      add_rows<S>(b.g_v(h), 1.0, g_v, on_v, v, dim);
  }
}

template <class Row>
HK_INLINE void write_tape(const Neighborhood& a, Block& b) {
  const BlockHeads& heads = b.heads;
  const BlockTriples<Row>& q = b.triples<Row>();
  for (uint32_t h = 0; h < heads.count; ++h) {
    const uint32_t first = heads.first[h], i = heads.index[h];
    const uint32_t* const places = a.order.places + a.triple_offsets[i];
    const auto triples = [&] {
      if constexpr (std::is_same_v<Row, double>)
        return a.tape.triples;
      else
        return a.tape.singles;
    }();
    double scale_gradient = heads.distance[h];
    if (a.attention) {
      for (uint32_t t = first; t < first + heads.degree[h]; ++t) {
        const uint32_t g = q.group[t];
        const Row on_v = static_cast<Row>(b.groups.on_v[g]), on_r = static_cast<Row>(b.groups.on_r[g]);
        triples[places[t - first]] = {q.on_midpoint[t], -q.slope[t] * on_v, -q.slope[t] * on_r, q.on_tail[t]};
      }
      scale_gradient += sum_of_fours(q.along, first, heads.first[h + 1]) / a.temperature;
    } else {
      for (uint32_t t = first; t < first + heads.degree[h]; ++t) triples[places[t - first]] = {q.on_midpoint[t], 0, 0, q.on_tail[t]};
    }
    std::copy_n(b.g_v(h), a.dim, a.tape.head_gradient + size_t{i} * a.dim);
    a.tape.scale_gradient[i] = scale_gradient;
    if (a.tape.tame) a.tape.tame[i] = b.single;
  }
}

// The passes up to L_K; false if P turns out not to be precise enough.
template <class P>
HK_INLINE bool forward(const Neighborhood& a, double scale, Block& b) {
  using S = typename P::Set;
  constexpr bool exact = std::is_same_v<typename P::Row, double>;
  if (a.attention) {
    const double sharpness = scale / a.temperature;
    translate<P>(a, b);
    if (!exact && !translations_are_tame(b.groups)) return false;
    attend<P>(a, sharpness, b);
    if (!exact && !tails_are_apart(b, sharpness)) return false;
  } else {
    std::fill_n(b.triples<typename P::Row>().weight, b.heads.first[b.heads.count], typename P::Row{1});
    for (uint32_t h = 0; h < b.heads.count; ++h) set_origin(a, h, 0, b);
  }
  midpoints<P>(a, b);
  if (a.weights || a.midpoint) write_midpoints<P>(a, b);
  distances<S>(a, scale, b);
  return exact || heads_are_apart(b);
}

template <class P>
HK_INLINE void backward(const Neighborhood& a, double scale, Block& b) {
  head_gradients<typename P::Set>(a, scale, b);
  tail_gradients<P>(a, scale / a.temperature, b);
  if (a.attention) translate_back<P>(a, b);
}

template <class S>
HK_INLINE void work_on(const Neighborhood& a, Block& b) {
  const double scale = *a.scale;
  b.single = false;
  if (a.tape.tame != nullptr) {
    lay_out<float>(a, b);
    b.single = is_tame(b, scale / a.temperature) && forward<InSingle<S>>(a, scale, b);
  }
  if (!b.single) lay_out<double>(a, b), forward<InDouble<S>>(a, scale, b);
  if (a.tape.head_gradient == nullptr) return;
  if (b.single)
    backward<InSingle<S>>(a, scale, b), write_tape<float>(a, b);
  else
    backward<InDouble<S>>(a, scale, b), write_tape<double>(a, b);
}

void lonely_head(const Neighborhood& a, uint32_t i, const float* v) {  // without a triple
  a.distance[i] = 0;
  if (a.midpoint) std::copy_n(v, a.dim, a.midpoint + size_t{i} * a.dim);
  if (a.tape.head_gradient == nullptr) return;
  std::fill_n(a.tape.head_gradient + size_t{i} * a.dim, a.dim, 0.0);
  std::fill_n(a.tape.midpoint_gradient + size_t{i} * a.dim, a.dim, 0.0);
  a.tape.scale_gradient[i] = 0;
  if (a.tape.tame) a.tape.tame[i] = 0;
}

// Takes the next heads from i on into the block; returns the first that is not taken.
HK_INLINE uint64_t take_heads(const Neighborhood& a, uint64_t i, uint64_t end, Block& b) {
  BlockHeads& heads = b.heads;
  heads.count = 0;
  for (uint32_t triples = 0; i < end && heads.count < kBlockHeads && triples < kBlockTriples; ++i) {
    const uint32_t id = a.heads[i], degree = a.graph.offsets[id + 1] - a.graph.offsets[id];
    if (degree == 0) {
      lonely_head(a, static_cast<uint32_t>(i), a.entities + size_t{id} * a.dim);
      continue;
    }
    heads.index[heads.count] = static_cast<uint32_t>(i), heads.id[heads.count] = id, heads.degree[heads.count] = degree;
    ++heads.count, triples += degree;
  }
  return i;
}

// Asks for what the next block needs first: the rows of its first tails, and the gaps of more. And for the lists of triples of the heads after those,
// through which these are found.
HK_INLINE void prefetch_heads(const Neighborhood& a, uint64_t i, uint64_t end) {
  constexpr uint32_t kHeadsAhead = 8, kLine = 64 / sizeof(uint32_t);
  for (uint32_t heads = 0, triples = 0; i < end && heads < kBlockHeads && triples < kBlockTriples; ++i, ++heads) {
    if (i + 2 * kHeadsAhead < end) __builtin_prefetch(a.graph.offsets + a.heads[i + 2 * kHeadsAhead]);
    if (i + kHeadsAhead < end) {
      const uint32_t later = a.heads[i + kHeadsAhead];
      for (uint32_t t = a.graph.offsets[later]; t < a.graph.offsets[later + 1]; t += kLine)
        __builtin_prefetch(a.graph.tails + t), __builtin_prefetch(a.graph.relations + t);
    }
    const uint32_t begin = a.graph.offsets[a.heads[i]], tails_end = a.graph.offsets[a.heads[i] + 1];
    prefetch_floats(a.entities + size_t{a.heads[i]} * a.dim, a.dim), __builtin_prefetch(a.entity_gap + a.heads[i]);
    for (uint32_t t = begin; t < tails_end; ++t, ++triples) {
      if (triples < kBlockTriples) prefetch_floats(a.entities + size_t{a.graph.tails[t]} * a.dim, a.dim);
      __builtin_prefetch(a.entity_gap + a.graph.tails[t]);
    }
  }
}

// relation_sums: of this range, or null.
template <class S>
HK_INLINE void neighborhood_range(const Neighborhood& a, double* relation_sums, uint64_t begin, uint64_t end) {
  thread_local Block block;
  block.relation_sums = relation_sums;
  for (uint64_t i = begin; i < end;) {
    i = take_heads(a, i, end, block);
    prefetch_heads(a, i, end);
    if (block.heads.count > 0) work_on<S>(a, block);
  }
}
HK_DISPATCH(heads, neighborhood_range, (const Neighborhood& a, double* relation_sums, uint64_t begin, uint64_t end),
            (a, relation_sums, begin, end))

}  // namespace

void CpuBackend::neighborhood(const Neighborhood& a) {
  // Ranges do not depend on the threads: which heads are in a block says whether it is tame.
  const uint64_t count = *a.head_count;
  if (a.sums.rows == nullptr) {  // no gradients, or none of relations
    constexpr uint64_t kRange = 8 * kBlockHeads;
    return pool_.run((count + kRange - 1) / kRange, 1, [&](uint64_t begin, uint64_t end, int) {
      for (uint64_t range = begin; range < end; ++range) heads(a, nullptr, range * kRange, std::min(count, (range + 1) * kRange));
    });
  }
  pool_.run(a.sums.count, 1, [&](uint64_t begin, uint64_t end, int) {
    for (uint64_t sum = begin; sum < end; ++sum) {
      const size_t size = size_t{a.sums.relations} * a.dim;
      double* const rows = a.sums.rows + sum * size;
      std::fill_n(rows, size, 0.0);
      heads(a, rows, count * sum / a.sums.count, count * (sum + 1) / a.sums.count);
    }
  });
}

}  // namespace hk
