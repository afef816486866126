#pragma once
// What the passes of neighborhood.cc work on: a few heads that are worked on together, with their triples and relation groups, an array of scalars each.
#include <algorithm>
#include <array>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "../ball.h"
#include "isa.h"

namespace hk {

constexpr uint32_t kBlockHeads = 8;     // at most; as many as the widest vector has doubles
constexpr uint32_t kBlockTriples = 48;  // no further head once there are so many: their rows stay in the first-level cache
constexpr uint32_t kTriplesAhead = 512;  // of the next block whose tails are asked for before the block is worked on; those after it on the way

// Triples of all heads, their numbers in the precision of the passes over them. Those of a head begin at a whole four; places up to the next four, and
// at the end up to a whole sixteen, are padding: a row of the same head, weight 0.
template <class T>
struct BlockTriples {
  uint32_t padded = 0;
  const float** tail;
  uint32_t* group;
  T *gap, *x_gap, *sqdist, *distance, *past, *weight, *on_midpoint, *delta_sqnorm, *delta_dot_g, *bent, *along, *radial, *on_tail, *slope;
  T *o_gap, *o_dot_g, *framed_g_m0, *g_m0;  // of the head
  static constexpr size_t kArrays = 18;

  std::array<T**, kArrays> arrays() {
    return {&gap,         &x_gap, &sqdist, &distance, &past,    &weight, &on_midpoint, &delta_sqnorm, &delta_dot_g,
            &bent,        &along, &radial, &on_tail,  &slope,   &o_gap,  &o_dot_g,     &framed_g_m0,  &g_m0};
  }
};

// Relation groups of all heads, runs of triples with one relation: v ⊕ r and what goes back through it. Padded to a whole eight.
// terms_sqnorm: ‖on_v·v‖² + ‖on_r·r‖², to which the rounding of v ⊕ r is relative; without curvature ‖v + r‖², which is rounded but once.
struct BlockGroups {
  uint32_t count = 0, padded = 0;
  uint32_t *begin, *end;  // places of its triples
  uint32_t* relation;
  const float **v, **r;
  double *v_gap, *r_gap, *r_sqnorm, *sum_sqnorm, *on_v, *on_r, *gap, *denominator, *terms_sqnorm, *dot_v, *dot_r, *radial, *v_on_g, *v_on_v, *v_on_r, *r_on_g,
      *r_on_v, *r_on_r;
  static constexpr size_t kArrays = 18;

  std::array<double**, kArrays> arrays() {
    return {&v_gap, &r_gap, &r_sqnorm, &sum_sqnorm, &on_v,   &on_r,   &gap,    &denominator, &terms_sqnorm,
            &dot_v, &dot_r, &radial,   &v_on_g,     &v_on_v, &v_on_r, &r_on_g, &r_on_v, &r_on_r};
  }
};

// The heads, a lane each.
struct BlockHeads {
  using Lanes = double[kBlockHeads];
  uint32_t count = 0;
  uint32_t index[kBlockHeads], id[kBlockHeads], degree[kBlockHeads];
  uint32_t first[kBlockHeads + 1];        // places of their triples
  uint32_t first_group[kBlockHeads + 1];  // and groups
  const float *v[kBlockHeads], *o[kBlockHeads];  // o: the tail that is the frame's origin
  bool tame[kBlockHeads];                        // in float32: as far as the passes so far can say
  Lanes v_gap{}, o_gap{}, m0{}, m_sqnorm{}, weight_sum{}, on_origin{}, l{}, inverse{}, mid_gap{}, vo_sqdist{};
  Lanes frame_on_delta{}, frame_on_origin{}, frame_gap{}, frame_denominator{}, n_sqdist{}, distance{}, k{};
  Lanes to_framed_v{}, to_n{}, o_dot_gx{}, image_dot_gx{}, v_on_g{}, v_on_v{}, v_on_o{};
  Lanes n_dot{}, framed_g_m0{}, on_m{}, o_dot_g{}, plain_on_origin{}, plain_g_m0{};
};

class NeighborhoodBlock {
 public:
  // Shapes the arrays for so many places and groups, those of triples in precision T; what they hold is undefined.
  template <class T>
  void shape(uint32_t places, uint32_t groups, uint32_t dim) {
    BlockTriples<T>& triples = this->triples<T>();
    triples.padded = padded_to<16>(places), this->groups.count = groups, this->groups.padded = padded_to<8>(groups);
    const size_t triple_places = triples.padded, group_places = this->groups.padded;
    grow(pointers_, triple_places + 2 * group_places), grow(indices_, triple_places + 3 * group_places);
    grow(numbers<T>(), BlockTriples<T>::kArrays * triple_places), grow(group_numbers_, BlockGroups::kArrays * group_places);
    grow(rows_, (kHeadRows * kBlockHeads + group_places) * dim), grow(single_rows_, (kSingleRows * kBlockHeads + group_places) * dim);
    T* number = numbers<T>().data();
    for (T** array : triples.arrays()) *array = number, number += triple_places;
    double* group_number = group_numbers_.data();
    for (double** array : this->groups.arrays()) *array = group_number, group_number += group_places;
    triples.tail = pointers_.data(), this->groups.v = triples.tail + triple_places, this->groups.r = this->groups.v + group_places;
    triples.group = indices_.data(), this->groups.begin = triples.group + triple_places, this->groups.end = this->groups.begin + group_places;
    this->groups.relation = this->groups.end + group_places;
    dim_ = dim;
  }

  // Rows of head h; ′ but for g_v (ball.h).
  double* m(uint32_t h) { return row(kHeadRows * h); }
  double* n(uint32_t h) { return row(kHeadRows * h + 1); }
  double* framed_v(uint32_t h) { return row(kHeadRows * h + 2); }
  double* g_m(uint32_t h) { return row(kHeadRows * h + 3); }
  double* g_x(uint32_t h) { return row(kHeadRows * h + 4); }
  double* g_v(uint32_t h) { return row(kHeadRows * h + 5); }

  // In the precision of the passes over triples and groups, double or float: x = v ⊕ r of a group, later the gradient on it; and for a head the gradient
  // g_m′ and what its groups add to g_v. In float64 these are the rows above, or parts of them.
  template <class T>
  T* x(uint32_t group) {
    return in<T>(row(kHeadRows * kBlockHeads + group), kSingleRows * kBlockHeads + group);
  }
  template <class T>
  T* gradient_on_sum(uint32_t h) {
    return in<T>(g_m(h), kSingleRows * h);
  }
  template <class T>
  T* gradient_of_groups(uint32_t h) {
    return in<T>(g_v(h), kSingleRows * h + 1);
  }

  // In the precision that the block was shaped for.
  template <class T>
  BlockTriples<T>& triples() {
    if constexpr (std::is_same_v<T, double>)
      return exact_triples_;
    else
      return single_triples_;
  }

  BlockHeads heads;
  BlockGroups groups;
  double* relation_sums = nullptr;  // [relations, dim], where there is a tape

 private:
  static constexpr uint32_t kHeadRows = 6, kSingleRows = 2;

  template <uint32_t kWhole>
  static uint32_t padded_to(uint32_t n) {
    return (n + kWhole - 1) / kWhole * kWhole;
  }
  template <class T>
  static void grow(std::vector<T>& values, size_t size) {
    if (values.size() < size) values.resize(size);
  }
  template <class T>
  std::vector<T>& numbers() {
    if constexpr (std::is_same_v<T, double>)
      return exact_numbers_;
    else
      return single_numbers_;
  }
  double* row(uint32_t i) { return rows_.data() + size_t{i} * dim_; }
  template <class T>
  T* in(double* exact, uint32_t single) {
    if constexpr (std::is_same_v<T, double>)
      return exact;
    else
      return single_rows_.data() + size_t{single} * dim_;
  }

  uint32_t dim_ = 0;
  std::vector<const float*> pointers_;
  std::vector<uint32_t> indices_;
  BlockTriples<double> exact_triples_;
  BlockTriples<float> single_triples_;
  std::vector<double> rows_, exact_numbers_, group_numbers_;
  std::vector<float> single_rows_, single_numbers_;
};

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

}  // namespace hk
