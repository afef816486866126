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
  HK_INLINE void add(double* row, typename S::D value) const { hk::store<S>(row + k, load<S>(row + k) + value); }
  // row += a0·x0 + a1·x1 + a2·x2 + a3·x3, in float64
  template <class D>
  HK_INLINE void add_products(double* row, double a0, D x0, double a1, D x1, double a2, D x2, double a3, D x3) const {
    hk::store<S>(row + k, load<S>(row + k) + (a0 * x0 + a1 * x1) + (a2 * x2 + a3 * x3));
  }
};

template <class S>
struct SingleColumns {  // [k, k + S::kF)
  uint32_t k;

  HK_INLINE typename S::F operator()(const float* row) const { return *reinterpret_cast<const typename S::F*>(row + k); }
  HK_INLINE void store(float* row, typename S::F value) const { *reinterpret_cast<typename S::F*>(row + k) = value; }
  HK_INLINE void add(double* row, typename S::F value) const {
    float values[S::kF];
    *reinterpret_cast<typename S::F*>(values) = value;
    for (uint32_t half = 0; half < 2; ++half) {
      double* const to = row + k + half * S::kD;
      hk::store<S>(to, load<S>(to) + load<S>(values + half * S::kD));
    }
  }
  template <class F>
  HK_INLINE void add_products(double* row, double a0, F x0, double a1, F x1, double a2, F x2, double a3, F x3) const {
    float y0[S::kF], y1[S::kF], y2[S::kF], y3[S::kF];
    *reinterpret_cast<F*>(y0) = x0, *reinterpret_cast<F*>(y1) = x1, *reinterpret_cast<F*>(y2) = x2, *reinterpret_cast<F*>(y3) = x3;
    for (uint32_t half = 0; half < 2; ++half) {
      const uint32_t from = half * S::kD;
      hk::store<S>(row + k + from, load<S>(row + k + from) + (a0 * load<S>(y0 + from) + a1 * load<S>(y1 + from)) +
                                       (a2 * load<S>(y2 + from) + a3 * load<S>(y3 + from)));
    }
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
  HK_INLINE void add(double* row, double value) const { row[k] += value; }
  HK_INLINE void add_products(double* row, double a0, double x0, double a1, double x1, double a2, double x2, double a3, double x3) const {
    row[k] += (a0 * x0 + a1 * x1) + (a2 * x2 + a3 * x3);
  }
};

// The precision of a pass: of the rows that it writes, and of its products and sums until these are stored.
template <class S>
struct InDouble {
  using Set = S;
  using Row = double;
  using Vector = typename S::D;
  using Columns = hk::Columns<S>;
  static constexpr uint32_t kLanes = S::kD;
};
template <class S>
struct InSingle {
  using Set = S;
  using Row = float;
  using Vector = typename S::F;
  using Columns = SingleColumns<S>;
  static constexpr uint32_t kLanes = S::kF;
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

template <class S, class Out>
HK_INLINE void store_sums(Out* out, typename S::F a, typename S::F b, typename S::F c, typename S::F d) {
  using F4 = typename Isa<16>::F;
  using F8 = typename Isa<32>::F;
  const auto four = [](typename S::F v) __attribute__((always_inline)) -> F4 {
    const auto halved = [](F8 eight) __attribute__((always_inline)) -> F4 {
      return __builtin_shufflevector(eight, eight, 0, 1, 2, 3) + __builtin_shufflevector(eight, eight, 4, 5, 6, 7);
    };
    if constexpr (S::kF == 16)
      return halved(__builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7) + __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15));
    else if constexpr (S::kF == 8)
      return halved(v);
    else
      return v;
  };
  const F4 a4 = four(a), b4 = four(b), c4 = four(c), d4 = four(d);
  const F4 ab = __builtin_shufflevector(a4, b4, 0, 4, 2, 6) + __builtin_shufflevector(a4, b4, 1, 5, 3, 7);
  const F4 cd = __builtin_shufflevector(c4, d4, 0, 4, 2, 6) + __builtin_shufflevector(c4, d4, 1, 5, 3, 7);
  const F4 sums = __builtin_shufflevector(ab, cd, 0, 1, 4, 5) + __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
  for (int i = 0; i < 4; ++i) out[i] = sums[i];
}

// body(at) at every place.
template <class P, class Body>
HK_INLINE void for_columns(uint32_t dim, const Body& body) {
  uint32_t k = 0;
  for (; k + P::kLanes <= dim; k += P::kLanes) body(typename P::Columns{k});
  for (; k < dim; ++k) body(Column{k});
}

// out = a·x + b·y
template <class P, class X, class Y>
HK_INLINE void combine(typename P::Row* out, double a, const X* x, double b, const Y* y, uint32_t dim) {
  const auto on_x = static_cast<typename P::Row>(a), on_y = static_cast<typename P::Row>(b);
  for_columns<P>(dim, [&](auto at) __attribute__((always_inline)) { at.store(out, on_x * at(x) + on_y * at(y)); });
}

// out[i] = Σ over the columns of what body(at, s) adds to s[i], i < kSums, a multiple of 4.
template <class P, int kSums = 4, class Out, class Body>
HK_INLINE void sums_of_columns(uint32_t dim, Out* out, const Body& body) {
  typename P::Vector s[kSums] = {};
  uint32_t k = 0;
  for (; k + P::kLanes <= dim; k += P::kLanes) body(typename P::Columns{k}, s);
  for (int i = 0; i < kSums; i += 4) store_sums<typename P::Set>(out + i, s[i], s[i + 1], s[i + 2], s[i + 3]);
  for (; k < dim; ++k) body(Column{k}, out);
}

}  // namespace hk
