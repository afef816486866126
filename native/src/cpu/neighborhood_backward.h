#pragma once
// The passes of neighborhood.cc from L_K back to the rows of a block, and what they leave on the tape. P as in neighborhood_forward.h.
#include <algorithm>
#include <type_traits>

#include "../ball.h"
#include "../kernels.h"
#include "neighborhood_block.h"
#include "row_blocks.h"
#include "vector_math.h"

namespace hk {

// Whether what the passes in this precision make of a head is what is wanted of it.
template <class Row>
HK_INLINE bool is_kept(const NeighborhoodBlock& b, uint32_t h) {
  return std::is_same_v<Row, double> || b.heads.tame[h];
}

// (t − o)·g_m′ of a head's tails.
template <class P>
HK_INLINE void project_tails(uint32_t h, uint32_t dim, NeighborhoodBlock& b) {
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

// ∂L_K/∂v directly, in g_v, and the gradients on the sums m0 and m.
template <class S>
HK_INLINE void head_gradients(const Neighborhood& a, double scale, NeighborhoodBlock& b) {
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
HK_INLINE void tail_gradients(const Neighborhood& a, double sharpness, NeighborhoodBlock& b) {
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
    q.slope[t] = slope, q.on_tail[t] += slope * (Row(1) + c * sq / gap), q.radial[t] = slope * (c * sq / x_gap);
  });
}

// The gradient on v ⊕ r of group g but for its radial part, Σ slope·(x − t), in place of x; kVectors vectors of it from column k on.
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
HK_INLINE void group_gradient(uint32_t g, uint32_t dim, NeighborhoodBlock& b) {
  using Row = typename P::Row;
  constexpr int kVectors = 4;
  const BlockTriples<Row>& q = b.triples<Row>();
  Row* const x = b.x<Row>(g);
  const uint32_t begin = b.groups.begin[g], count = b.groups.end[g] - begin;
  const float* const* const tails = q.tail + begin;
  const Row* const slopes = q.slope + begin;
  double on_x = 0, radial = 0;
  for (uint32_t t = 0; t < count; ++t) on_x += slopes[t], radial += q.radial[begin + t];
  b.groups.radial[g] = radial;
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
HK_INLINE void translate_back(const Neighborhood& a, NeighborhoodBlock& b) {
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
    MobiusGradient back = mobius_add_gradient(sum, p.dot_v[g], p.dot_r[g], p.r_sqnorm[g], p.v_gap[g], p.r_gap[g], c);
    add_radial_gradient(back, sum, p.radial[g], p.v_gap[g], p.r_gap[g]);
    p.v_on_g[g] = back.v_on_g, p.v_on_v[g] = back.v_on_v, p.v_on_r[g] = back.v_on_r;
    p.r_on_g[g] = back.r_on_g, p.r_on_v[g] = back.r_on_v, p.r_on_r[g] = back.r_on_r;
  });
  for (uint32_t h = 0; h < b.heads.count; ++h) {
    if (!is_kept<Row>(b, h)) continue;
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
HK_INLINE void write_tape(const Neighborhood& a, NeighborhoodBlock& b) {
  const BlockHeads& heads = b.heads;
  const BlockTriples<Row>& q = b.triples<Row>();
  for (uint32_t h = 0; h < heads.count; ++h) {
    if (!is_kept<Row>(b, h)) continue;
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
    if (a.tape.tame) a.tape.tame[i] = !std::is_same_v<Row, double>;
  }
}

template <class P>
HK_INLINE void backward(const Neighborhood& a, double scale, NeighborhoodBlock& b) {
  head_gradients<typename P::Set>(a, scale, b);
  tail_gradients<P>(a, scale / a.temperature, b);
  if (a.attention) translate_back<P>(a, b);
}

}  // namespace hk
