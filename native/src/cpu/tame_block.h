#pragma once
// Where a block of heads is tame, so that passes over its rows and over the scalars of its triples may be made in float32.
//
// Rounding puts errors of 2⁻²⁴ of its size into whatever is stored or added. What makes more of them is kept within bounds:
//   gaps          of every point, v ⊕ r among them, and the denominator of v ⊕ r are at least kTameGap: no factor 1/A is more than its inverse
//   differences   no tail is nearer to v ⊕ r than a 128th of the terms that v ⊕ r is the sum of, and in the origin's frame v no nearer to n_v than a
//                 32nd of the tails that n_v is the mean of; no head is its own tail, where the gradients of the two all but cancel
//   exponents     of the attention: its sharpness is at most kTameSharpness, sharpness·d at most kTameExponent. In the unit ball the second follows
//                 from the first and kTameGap; without curvature nothing else bounds d
//   sums          are over no more than kTameTriples
// What is scalar in a group or head is float64 all the same. Comparisons are false for NaN: such a block is worked on in float64.
#include "neighborhood_block.h"

namespace hk {

constexpr double kTameGap = 0x1p-4, kTameSharpness = 16, kTameExponent = 256, kTameRatio = 0x1p-14, kTameHeadRatio = 0x1p-10;
constexpr uint32_t kTameTriples = 512;

// Before any pass.
inline bool is_tame(NeighborhoodBlock& b, double sharpness) {
  const BlockHeads& heads = b.heads;
  const BlockTriples<float>& q = b.triples<float>();
  if (sharpness > kTameSharpness || heads.first[heads.count] > kTameTriples) return false;
  bool tame = true;
  for (uint32_t h = 0; h < heads.count; ++h) {
    tame &= heads.v_gap[h] >= kTameGap;
    for (uint32_t t = heads.first[h]; t < heads.first[h + 1]; ++t) tame &= q.gap[t] >= kTameGap && q.tail[t] != heads.v[h];
  }
  for (uint32_t g = 0; g < b.groups.count; ++g) tame &= b.groups.r_gap[g] >= kTameGap;
  return tame;
}

// After the sums v ⊕ r.
inline bool translations_are_tame(const BlockGroups& p) {
  bool tame = true;
  for (uint32_t g = 0; g < p.count; ++g) tame &= p.gap[g] >= kTameGap && p.denominator[g] >= kTameGap;
  return tame;
}

// After the distances of the tails.
inline bool tails_are_apart(NeighborhoodBlock& b, double sharpness) {
  const BlockTriples<float>& q = b.triples<float>();
  bool apart = true;
  for (uint32_t t = 0; t < b.heads.first[b.heads.count]; ++t)
    apart &= q.sqdist[t] >= kTameRatio * b.groups.terms_sqnorm[q.group[t]] && sharpness * q.distance[t] <= kTameExponent;
  return apart;
}

// After L_K.
inline bool heads_are_apart(NeighborhoodBlock& b) {
  const BlockHeads& heads = b.heads;
  const BlockTriples<float>& q = b.triples<float>();
  bool apart = true;
  for (uint32_t h = 0; h < heads.count; ++h) {
    double weights = 0, squares = 0;  // (Σ w‖t − o‖)² ≤ Σ w · Σ w‖t − o‖²
    for (uint32_t t = heads.first[h]; t < heads.first[h] + heads.degree[h]; ++t)
      weights += q.on_midpoint[t], squares += double{q.on_midpoint[t]} * q.delta_sqnorm[t];
    apart &= heads.n_sqdist[h] >= kTameHeadRatio * square(heads.inverse[h]) * weights * squares;
  }
  return apart;
}

}  // namespace hk
