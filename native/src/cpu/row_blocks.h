#pragma once
// Passes over four rows at once: what they share is read once, and their sums, each a chain of additions that wait for each other, overlap.
// A pass is written once, as a body that is called with a place in the rows: a vector of columns, or one column of those that are left.
#include "rows.h"

namespace hk {

template <class S>
struct Columns {  // [k, k + S::kD)
  uint32_t k;

  template <class X>
  HK_INLINE typename S::D operator()(const X* row) const {
    return load<S>(row + k);
  }
  template <class X>
  HK_INLINE void store(X* row, typename S::D value) const {
    hk::store<S>(row + k, value);
  }
};

struct Column {
  uint32_t k;

  template <class X>
  HK_INLINE double operator()(const X* row) const {
    return static_cast<double>(row[k]);
  }
  template <class X>
  HK_INLINE void store(X* row, double value) const {
    row[k] = static_cast<X>(value);
  }
};

// The sums of four vectors: by halves, then across.
template <class S>
HK_INLINE void store_sums(double* out, typename S::D a, typename S::D b, typename S::D c, typename S::D d) {
  if constexpr (S::kD == 2) {
    store<S>(out, __builtin_shufflevector(a, b, 0, 2) + __builtin_shufflevector(a, b, 1, 3));
    store<S>(out + 2, __builtin_shufflevector(c, d, 0, 2) + __builtin_shufflevector(c, d, 1, 3));
  } else {
    using D4 = typename Isa<32>::D;
    const auto four = [](typename S::D v) __attribute__((always_inline)) -> D4 {
      if constexpr (S::kD == 8)
        return __builtin_shufflevector(v, v, 0, 1, 2, 3) + __builtin_shufflevector(v, v, 4, 5, 6, 7);
      else
        return v;
    };
    const D4 a4 = four(a), b4 = four(b), c4 = four(c), d4 = four(d);
    const D4 ab = __builtin_shufflevector(a4, b4, 0, 4, 2, 6) + __builtin_shufflevector(a4, b4, 1, 5, 3, 7);
    const D4 cd = __builtin_shufflevector(c4, d4, 0, 4, 2, 6) + __builtin_shufflevector(c4, d4, 1, 5, 3, 7);
    *reinterpret_cast<D4*>(out) = __builtin_shufflevector(ab, cd, 0, 1, 4, 5) + __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
  }
}

// body(at) at every place.
template <class S, class Body>
HK_INLINE void for_columns(uint32_t dim, const Body& body) {
  uint32_t k = 0;
  for (; k + S::kD <= dim; k += S::kD) body(Columns<S>{k});
  for (; k < dim; ++k) body(Column{k});
}

// out[i] = Σ over the columns of what body(at, s) adds to s[i], i < kSums, a multiple of 4.
template <class S, int kSums = 4, class Body>
HK_INLINE void sums_of_columns(uint32_t dim, double* out, const Body& body) {
  typename S::D s[kSums] = {};
  uint32_t k = 0;
  for (; k + S::kD <= dim; k += S::kD) body(Columns<S>{k}, s);
  for (int i = 0; i < kSums; i += 4) store_sums<S>(out + i, s[i], s[i + 1], s[i + 2], s[i + 3]);
  for (; k < dim; ++k) body(Column{k}, out);
}

// Σ values[0 … n), n a whole number of eights.
template <class S>
HK_INLINE double sum_of_lanes(const double* values, uint32_t n) {
  typename S::D s{};
  for (uint32_t k = 0; k < n; k += S::kD) s += load<S>(values + k);
  return sum<S>(s);
}

}  // namespace hk
