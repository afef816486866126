#pragma once
// Row primitives: sums and linear combinations of rows of `dim` numbers, float32 or float64 in, float64 accumulated.
// Always inlined into a kernel body that HK_DISPATCH compiles per instruction set; the order of additions depends on the
// instruction set alone, never on threads.
#include <cmath>
#include <cstdint>

#include "isa.h"

namespace hk {

// Asks for a row that is needed soon: rows are visited at random, and one cache miss costs as much as the row's arithmetic. Into the second-level cache:
// a core keeps track of few lines on their way to the first, and stands still when a block of rows is more than these.
HK_INLINE void prefetch_row(const void* row, size_t bytes) {
  const char* at = static_cast<const char*>(row);
  for (size_t k = 0; k < bytes; k += 64) __builtin_prefetch(at + k, 0, 2);
}

HK_INLINE void prefetch_floats(const float* row, uint32_t dim) { prefetch_row(row, dim * sizeof(float)); }

// Loads one double vector from a row of either precision. Lane by lane, which compilers turn into the one conversion of whole vectors
// that the instruction set has; of __builtin_convertvector GCC 12 makes two of half a vector and a merge.
template <class S>
HK_INLINE typename S::D load(const float* x) {
  typename S::D v;
  for (int lane = 0; lane < S::kD; ++lane) v[lane] = x[lane];
  return v;
}
template <class S>
HK_INLINE typename S::D load(const double* x) {
  return *reinterpret_cast<const typename S::D*>(x);
}
template <class S>
HK_INLINE void store(double* x, typename S::D v) {
  *reinterpret_cast<typename S::D*>(x) = v;
}
template <class S>
HK_INLINE void store(float* x, typename S::D v) {
  *reinterpret_cast<typename S::H*>(x) = __builtin_convertvector(v, typename S::H);
}
template <class S>
HK_INLINE double sum(typename S::D v) {
  double s[S::kD];
  *reinterpret_cast<typename S::D*>(s) = v;
  for (int width = S::kD / 2; width > 0; width /= 2)
    for (int k = 0; k < width; ++k) s[k] += s[k + width];
  return s[0];
}

// Σ x_k y_k
template <class S, class X, class Y>
HK_INLINE double dot(const X* x, const Y* y, uint32_t dim) {
  typename S::D a{}, b{};
  uint32_t k = 0;
  for (; k + 2 * S::kD <= dim; k += 2 * S::kD) {
    a += load<S>(x + k) * load<S>(y + k);
    b += load<S>(x + k + S::kD) * load<S>(y + k + S::kD);
  }
  double s = sum<S>(a + b);
  for (; k < dim; ++k) s += static_cast<double>(x[k]) * static_cast<double>(y[k]);
  return s;
}

// Two dot products of one pass.
struct DotPair {
  double first, second;
};
// x·x and x·y
template <class S, class X, class Y>
HK_INLINE DotPair dot_pair(const X* x, const Y* y, uint32_t dim) {
  typename S::D a{}, b{};
  uint32_t k = 0;
  for (; k + S::kD <= dim; k += S::kD) {
    const typename S::D v = load<S>(x + k);
    a += v * v, b += v * load<S>(y + k);
  }
  DotPair s{sum<S>(a), sum<S>(b)};
  for (; k < dim; ++k) {
    const double v = static_cast<double>(x[k]);
    s.first += v * v, s.second += v * static_cast<double>(y[k]);
  }
  return s;
}

// ‖x − y‖²
template <class S, class X, class Y>
HK_INLINE double sqdist(const X* x, const Y* y, uint32_t dim) {
  typename S::D a{}, b{};
  uint32_t k = 0;
  for (; k + 2 * S::kD <= dim; k += 2 * S::kD) {
    const typename S::D u = load<S>(x + k) - load<S>(y + k), v = load<S>(x + k + S::kD) - load<S>(y + k + S::kD);
    a += u * u, b += v * v;
  }
  double s = sum<S>(a + b);
  for (; k < dim; ++k) {
    const double u = static_cast<double>(x[k]) - static_cast<double>(y[k]);
    s += u * u;
  }
  return s;
}

// out = Σ_i a_i·x_i, or += ; one to four rows, out of either precision.
template <class S, class O, class X>
HK_INLINE void scale_row(O* out, double a, const X* x, uint32_t dim) {
  uint32_t k = 0;
  for (; k + S::kD <= dim; k += S::kD) store<S>(out + k, a * load<S>(x + k));
  for (; k < dim; ++k) out[k] = static_cast<O>(a * x[k]);
}
// out = a·x, and ‖out‖² of what was stored.
template <class S>
HK_INLINE double scale_row_sqnorm(float* out, double a, const float* x, uint32_t dim) {
  typename S::D squares{};
  uint32_t k = 0;
  for (; k + S::kD <= dim; k += S::kD) {
    const typename S::H rounded = __builtin_convertvector(a * load<S>(x + k), typename S::H);
    *reinterpret_cast<typename S::H*>(out + k) = rounded;
    const typename S::D v = __builtin_convertvector(rounded, typename S::D);
    squares += v * v;
  }
  double s = sum<S>(squares);
  for (; k < dim; ++k) {
    out[k] = static_cast<float>(a * x[k]);
    s += static_cast<double>(out[k]) * static_cast<double>(out[k]);
  }
  return s;
}
template <class S, class O, class X>
HK_INLINE void add_row(O* out, double a, const X* x, uint32_t dim) {
  uint32_t k = 0;
  for (; k + S::kD <= dim; k += S::kD) store<S>(out + k, load<S>(out + k) + a * load<S>(x + k));
  for (; k < dim; ++k) out[k] = static_cast<O>(out[k] + a * x[k]);
}
template <class S, class O, class X, class Y>
HK_INLINE void combine_rows(O* out, double a, const X* x, double b, const Y* y, uint32_t dim) {
  uint32_t k = 0;
  for (; k + S::kD <= dim; k += S::kD) store<S>(out + k, a * load<S>(x + k) + b * load<S>(y + k));
  for (; k < dim; ++k) out[k] = static_cast<O>(a * x[k] + b * y[k]);
}
// out = a·(x − y) + b·z: where x and y are near, a·x and a·y are not, and rounding them would be more than their difference.
template <class S, class O, class X, class Y, class Z>
HK_INLINE void difference_rows(O* out, double a, const X* x, const Y* y, double b, const Z* z, uint32_t dim) {
  uint32_t k = 0;
  for (; k + S::kD <= dim; k += S::kD) store<S>(out + k, a * (load<S>(x + k) - load<S>(y + k)) + b * load<S>(z + k));
  for (; k < dim; ++k) out[k] = static_cast<O>(a * (double{x[k]} - double{y[k]}) + b * z[k]);
}
template <class S, class O, class X, class Y>
HK_INLINE void add_rows(O* out, double a, const X* x, double b, const Y* y, uint32_t dim) {
  uint32_t k = 0;
  for (; k + S::kD <= dim; k += S::kD) store<S>(out + k, load<S>(out + k) + a * load<S>(x + k) + b * load<S>(y + k));
  for (; k < dim; ++k) out[k] = static_cast<O>(out[k] + a * x[k] + b * y[k]);
}
template <class S, class O, class X, class Y, class Z>
HK_INLINE void combine_rows(O* out, double a, const X* x, double b, const Y* y, double c, const Z* z, uint32_t dim) {
  uint32_t k = 0;
  for (; k + S::kD <= dim; k += S::kD) store<S>(out + k, a * load<S>(x + k) + b * load<S>(y + k) + c * load<S>(z + k));
  for (; k < dim; ++k) out[k] = static_cast<O>(a * x[k] + b * y[k] + c * z[k]);
}
template <class S, class O, class X, class Y, class Z>
HK_INLINE void add_rows(O* out, double a, const X* x, double b, const Y* y, double c, const Z* z, uint32_t dim) {
  uint32_t k = 0;
  for (; k + S::kD <= dim; k += S::kD)
    store<S>(out + k, load<S>(out + k) + a * load<S>(x + k) + b * load<S>(y + k) + c * load<S>(z + k));
  for (; k < dim; ++k) out[k] = static_cast<O>(out[k] + a * x[k] + b * y[k] + c * z[k]);
}

// The float32 pair sum of training: ‖x − y‖² of float rows, accumulated in float lanes, from differences.
template <class S>
HK_INLINE float sqdist_float(const float* x, const float* y, uint32_t dim) {
  using F = typename S::F;
  F a{}, b{};
  uint32_t k = 0;
  for (; k + 2 * S::kF <= dim; k += 2 * S::kF) {
    const F u = *reinterpret_cast<const F*>(x + k) - *reinterpret_cast<const F*>(y + k);
    const F v = *reinterpret_cast<const F*>(x + k + S::kF) - *reinterpret_cast<const F*>(y + k + S::kF);
    a += u * u, b += v * v;
  }
  a += b;
  float s = 0;
  for (int i = 0; i < S::kF; ++i) s += a[i];
  for (; k < dim; ++k) s += (x[k] - y[k]) * (x[k] - y[k]);
  return s;
}

}  // namespace hk
