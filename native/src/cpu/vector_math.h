#pragma once
// exp and log without branches or calls, so that loops over triples and samples become vector code. float64; wherever a loop is
// not vectorised they are still right, only slower.
#include <bit>
#include <cmath>
#include <cstdint>

#include "../ball.h"
#include "isa.h"

namespace hk {

// e^x for x ≤ 0, to about 1 unit in the last place; below −708, where the result nears the smallest normal number, e^−708.
// NaN stays NaN.
HK_INLINE double exp_nonpositive(double x) {
  constexpr double kShift = 0x1.8p52;  // adding it rounds to an integer, which then stands in the low bits
  x = x < -708.0 ? -708.0 : x;
  const double shifted = x * 0x1.71547652b82fep+0 + kShift, n = shifted - kShift;
  const double r = (x - n * 0x1.62e42fefa3800p-1) - n * 0x1.ef35793c76730p-45;  // x − n·ln 2, |r| ≤ ln 2 / 2
  double p = 1.0 / 6227020800.0;
  p = p * r + 1.0 / 479001600.0;
  p = p * r + 1.0 / 39916800.0;
  p = p * r + 1.0 / 3628800.0;
  p = p * r + 1.0 / 362880.0;
  p = p * r + 1.0 / 40320.0;
  p = p * r + 1.0 / 5040.0;
  p = p * r + 1.0 / 720.0;
  p = p * r + 1.0 / 120.0;
  p = p * r + 1.0 / 24.0;
  p = p * r + 1.0 / 6.0;
  p = p * r + 0.5;
  p = p * r + 1.0;
  p = p * r + 1.0;
  return p * std::bit_cast<double>((std::bit_cast<uint64_t>(shifted) + 1023) << 52);
}

// ln x for normal x > 0, to a few units in the last place of max(1, |ln x|). NaN and infinity give NaN.
HK_INLINE double log_positive(double x) {
  const uint64_t bits = std::bit_cast<uint64_t>(x);
  const double exponent = std::bit_cast<double>((bits >> 52) | 0x4330000000000000u) - (0x1p52 + 1023.0);
  const double m = std::bit_cast<double>((bits & 0x000fffffffffffffu) | 0x3ff0000000000000u);  // [1, 2)
  const bool upper = m > 0x1.6a09e667f3bcdp+0;                                                 // √2
  const double n = upper ? exponent + 1.0 : exponent, y = upper ? 0.5 * m : m;
  const double s = (y - 1.0) / (y + 1.0), z = s * s;  // ln y = 2·artanh s
  double p = 1.0 / 21.0;
  p = p * z + 1.0 / 19.0;
  p = p * z + 1.0 / 17.0;
  p = p * z + 1.0 / 15.0;
  p = p * z + 1.0 / 13.0;
  p = p * z + 1.0 / 11.0;
  p = p * z + 1.0 / 9.0;
  p = p * z + 1.0 / 7.0;
  p = p * z + 1.0 / 5.0;
  p = p * z + 1.0 / 3.0;
  return n * 0x1.62e42fefa39efp-1 + (2.0 * s + 2.0 * s * z * p) + (x - x);
}

// ln(1 + x) for x ≥ 0, to a few units in the last place.
HK_INLINE double log1p_positive(double x) {
  const double u = 1.0 + x;
  return log_positive(u) - ((u - 1.0) - x) / u;
}

// arsinh x for x ≥ 0, to a few units in the last place.
HK_INLINE double asinh_positive(double x) { return log1p_positive(x + x * x / (1.0 + std::sqrt(1.0 + x * x))); }

// The same in float32, where twice as many lanes and half as long polynomials are worth more than the digits: e^x for x ≤ 0 to 2 units in the
// last place (below −87, e^−87), and ln(1 + x) and arsinh x for x ≥ 0 to 3.
HK_INLINE float exp_nonpositive(float x) {
  constexpr float kShift = 0x1.8p23f;
  x = x < -87.0f ? -87.0f : x;
  const float shifted = x * 0x1.715476p+0f + kShift, n = shifted - kShift;
  const float r = (x - n * 0x1.62e4p-1f) - n * 0x1.7f7d1cp-20f;
  float p = 1.0f / 5040.0f;
  p = p * r + 1.0f / 720.0f;
  p = p * r + 1.0f / 120.0f;
  p = p * r + 1.0f / 24.0f;
  p = p * r + 1.0f / 6.0f;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  return p * std::bit_cast<float>((std::bit_cast<uint32_t>(shifted) + 127) << 23);
}
HK_INLINE float log1p_positive(float x) {
  const float u = 1.0f + x, lost = x - (u - 1.0f);
  const uint32_t bits = std::bit_cast<uint32_t>(u);
  const float exponent = std::bit_cast<float>((bits >> 23) | 0x4b000000u) - (0x1p23f + 127.0f);
  const float m = std::bit_cast<float>((bits & 0x007fffffu) | 0x3f800000u);  // [1, 2)
  const bool upper = m > 0x1.6a09e6p+0f;                                     // √2
  const float inverse = std::bit_cast<float>(0x7f000000u - (bits & 0x7f800000u));  // 2^−exponent
  const float n = upper ? exponent + 1.0f : exponent, half = upper ? 0.5f : 1.0f;
  const float f = (half * m - 1.0f) + half * inverse * lost;
  const float s = f / (2.0f + f), z = s * s;
  float p = 1.0f / 11.0f;
  p = p * z + 1.0f / 9.0f;
  p = p * z + 1.0f / 7.0f;
  p = p * z + 1.0f / 5.0f;
  p = p * z + 1.0f / 3.0f;
  return n * 0x1.62e43p-1f + (2.0f * s + 2.0f * s * z * p) + (x - x);
}
HK_INLINE float asinh_positive(float x) { return log1p_positive(x + x * x / (1.0f + std::sqrt(1.0f + x * x))); }

// exp_map_origin of ball.h without branches.
HK_INLINE ExpMap exp_map(double w_sqnorm, double curvature) {
  const double z2 = curvature * w_sqnorm;
  const bool small = z2 < 1e-6;
  const double z = std::sqrt(small ? 1.0 : z2), e = exp_nonpositive(-2.0 * z);
  const ExpMap series = exp_map_series(z2, curvature), map = exp_map_of((1.0 - e) / (1.0 + e), z, small ? 1.0 : w_sqnorm);
  return {small ? series.across : map.across, small ? series.along : map.along};
}

// Runs body(t) for every t below n, which is a whole number of vectors; the calls do not depend on each other.
template <class Body>
HK_INLINE void for_lanes(uint32_t n, const Body& body) {
  HK_LANES
  for (uint32_t t = 0; t < n; ++t) body(t);
}

}  // namespace hk
