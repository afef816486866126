#pragma once
// Which heads are tame, so that passes over the rows and the scalars of their triples may be made in float32.
//
// Rounding puts errors of 2⁻²⁴ of its size into whatever is stored or added. What makes more of them is kept within bounds:
//   gaps          of v, of every tail, and the denominator of v ⊕ r are at least kTameGap: no factor 1/A is more than its inverse. Relations, and with them
//                 v ⊕ r, may be nearer the boundary: what grows there is radial, and goes back in float64 (add_radial_gradient)
//   differences   no tail is nearer to v ⊕ r than a 128th of the terms that v ⊕ r is the sum of; in the origin's frame v is no nearer to n_v than a 1024th of
//                 the tails that n_v is the mean of, so that rounding turns the direction from one to the other by no more than 1e-4: about what v itself,
//                 being float32, leaves open; and a head that is its own tail has no more than half of the weights there: more, and the gradients
//                 of the two all but cancel
//   exponents     of the attention: its sharpness is at most kTameSharpness, sharpness·d at most kTameExponent; the rounding of it is an error of the weight
//   sums          are over no more than kTameTriples
// What is scalar in a group or head is float64 all the same. Comparisons are false for NaN: such a head is worked on in float64.
#include "../kernels.h"
#include "neighborhood_block.h"

namespace hk {

constexpr double kTameGap = 0x1p-4, kTameSharpness = 16, kTameExponent = 4, kTameRatio = 0x1p-14, kTameHeadRatio = 0x1p-20;
constexpr uint32_t kTameTriples = 512;

// Whether an item may be tame, before any pass.
inline bool may_be_tame(const Neighborhood& a, uint32_t id) {
  const uint32_t begin = a.graph.offsets[id], end = a.graph.offsets[id + 1];
  bool tame = a.entity_gap[id] >= kTameGap && end - begin <= kTameTriples;
  for (uint32_t t = begin; t < end; ++t) tame &= a.entity_gap[a.graph.tails[t]] >= kTameGap;
  return tame;
}

// After the distances of the tails: heads whose sums v ⊕ r or whose tails are not.
inline void check_tails(NeighborhoodBlock& b, double sharpness) {
  BlockHeads& heads = b.heads;
  const BlockGroups& p = b.groups;
  const BlockTriples<float>& q = b.triples<float>();
  for (uint32_t h = 0; h < heads.count; ++h) {
    bool tame = heads.tame[h];
    for (uint32_t g = heads.first_group[h]; g < heads.first_group[h + 1]; ++g) tame &= p.denominator[g] >= kTameGap;
    for (uint32_t t = heads.first[h]; t < heads.first[h + 1]; ++t)
      tame &= q.sqdist[t] >= kTameRatio * p.terms_sqnorm[q.group[t]] && sharpness * q.distance[t] <= kTameExponent;
    heads.tame[h] = tame;
  }
}

// After L_K: heads that are too near their midpoint, or all but their own only tail.
inline void check_midpoints(NeighborhoodBlock& b) {
  BlockHeads& heads = b.heads;
  const BlockTriples<float>& q = b.triples<float>();
  for (uint32_t h = 0; h < heads.count; ++h) {
    float weights = 0, squares = 0, own = 0;  // (Σ w‖t − o‖)² ≤ Σ w · Σ w‖t − o‖²
    for (uint32_t t = heads.first[h]; t < heads.first[h] + heads.degree[h]; ++t) {
      weights += q.on_midpoint[t], squares += q.on_midpoint[t] * q.delta_sqnorm[t];
      if (q.tail[t] == heads.v[h]) own += q.on_midpoint[t];
    }
    heads.tame[h] &= heads.n_sqdist[h] >= kTameHeadRatio * square(heads.inverse[h]) * weights * squares && own <= 0.5f * weights;
  }
}

}  // namespace hk
