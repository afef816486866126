#pragma once
// Scalar Poincaré-ball geometry, compiled for host and device: every formula, its stable form and its clamp stand here once.
//
// Notation: a point x of the ball of curvature c ≥ 0 (radius 1/√c) travels with its gap A_x = 1 − c‖x‖², summed in float64:
// a float32 sum is off by a third at √c‖x‖ = 1 − 1e-5. c = 0 is the Euclidean limit: distance 2‖x−y‖, v ⊕ r = v + r,
// Lorentz factor 1, Einstein midpoint = weighted mean. T is float or double.
#include <cmath>
#include <cstdint>

#include "host_device.h"

namespace hk {

// Largest √c‖x‖ a trained point may have (max-norm). Projection uses it, no loss does.
constexpr double kMaxNorm = 1.0 - 1e-5;
// artanh(kMaxNorm): the same bound for a tangent vector at the origin, √c‖w‖.
constexpr double kMaxTangentNorm = 6.1030338227588;
// What a row beyond such a bound is scaled to, over the bound. Rounded to float32 it is still within, so that the next step leaves it alone:
// steps without a gradient change nothing.
constexpr double kJustWithin = 1.0 - 0x1p-23;

template <class T>
HK_HOST_DEVICE inline T square(T x) {
  return x * x;
}

// ‖x−y‖/√(A_x A_y), of which the distance is a function.
template <class T>
HK_HOST_DEVICE inline T poincare_root(T sqdist, T x_gap, T y_gap) {
  return std::sqrt(sqdist) / std::sqrt(x_gap * y_gap);
}

// d(x, y) = (2/√c)·arsinh(√(c‖x−y‖²/(A_x A_y))), Eq. 1 without its cancellations.
template <class T>
HK_HOST_DEVICE inline T poincare_distance(T sqdist, T x_gap, T y_gap, T curvature) {
  const T root = poincare_root(sqdist, x_gap, y_gap);
  if (curvature == T(0)) return T(2) * root;
  const T sqrt_c = std::sqrt(curvature);
  return T(2) * std::asinh(sqrt_c * root) / sqrt_c;
}

// k of ∇_x d = k·[(x−y) + (c‖x−y‖²/A_x)·x]. 0 at coincident points, where d has no gradient. Two roots, since ‖x−y‖² times
// the rest underflows before either factor does.
template <class T>
HK_HOST_DEVICE inline T poincare_slope(T sqdist, T x_gap, T y_gap, T curvature) {
  if (!(sqdist > T(0))) return T(0);
  return T(2) / (std::sqrt(sqdist) * std::sqrt(curvature * sqdist + x_gap * y_gap));
}

// How far the pull k·c‖x−y‖² of that gradient falls short of 2√c, its value for points far apart, over 2√c. Where gradients whose pulls cancel are
// added up, what is left of them is a sum of this.
template <class T>
HK_HOST_DEVICE inline T pull_deficit(T sqdist, T x_gap, T y_gap, T curvature) {
  const T gaps = x_gap * y_gap, beyond = std::sqrt(curvature * sqdist + gaps);
  return gaps / (beyond * (beyond + std::sqrt(curvature * sqdist)));
}

// x = v ⊕ r (Eq. 2) = on_v·v + on_r·r, with its own gap. sum_sqnorm = ‖v+r‖².
struct MobiusSum {
  double on_v, on_r, gap, denominator;
};
HK_HOST_DEVICE inline MobiusSum mobius_add(double sum_sqnorm, double r_sqnorm, double v_gap, double r_gap, double curvature) {
  const double denominator = curvature * sum_sqnorm + v_gap * r_gap;
  const double on_r = v_gap / denominator;
  return {1.0 + on_r * curvature * r_sqnorm, on_r, v_gap * r_gap / denominator, denominator};
}

// Gradient of Σ g·(v ⊕ r) as combinations of g, v and r, from g·v and g·y with y = r + c‖r‖²v.
struct MobiusGradient {
  double v_on_g, v_on_v, v_on_r;  // ∂/∂v = v_on_g·g + v_on_v·v + v_on_r·r
  double r_on_g, r_on_v, r_on_r;  // ∂/∂r = r_on_g·g + r_on_v·v + r_on_r·r
};
HK_HOST_DEVICE inline MobiusGradient mobius_add_gradient(const MobiusSum& sum, double g_dot_v, double g_dot_r, double r_sqnorm, double v_gap,
                                                         double r_gap, double curvature) {
  const double p = sum.on_r;
  const double g_dot_y = g_dot_r + curvature * r_sqnorm * g_dot_v;
  const double fall = 2.0 * curvature * g_dot_y * v_gap / (sum.denominator * sum.denominator);  // of p with D/(2c)
  MobiusGradient out;
  out.v_on_g = 1.0 + p * curvature * r_sqnorm;
  out.v_on_v = -2.0 * curvature * g_dot_y / sum.denominator - fall * (1.0 - r_gap);
  out.v_on_r = -fall;
  out.r_on_g = p;
  out.r_on_v = -fall;
  out.r_on_r = 2.0 * p * curvature * g_dot_v - fall * (1.0 - v_gap);
  return out;
}

// Adds the gradient of radial/2·‖v ⊕ r‖², which is radial·(v ⊕ r): towards the boundary a point's pull grows like 1/A_x, and what of it falls on v is
// a small difference there. Without it: from A_x = A_v A_r/D.
HK_HOST_DEVICE inline void add_radial_gradient(MobiusGradient& out, const MobiusSum& sum, double radial, double v_gap, double r_gap) {
  const double along = radial * sum.gap / sum.denominator, inward = radial * (1.0 - sum.gap) / sum.denominator;
  out.v_on_v += inward * r_gap + along, out.v_on_r += along;
  out.r_on_r += inward * v_gap + along, out.r_on_v += along;
}

// Lorentz factor of the Klein point of x: (1 + c‖x‖²)/(1 − c‖x‖²).
template <class T>
HK_HOST_DEVICE inline T lorentz_factor(T gap) {
  return (T(2) - gap) / gap;
}

// d(x, t) for the attention exp(−scale·d(x, t)) (Eq. 4), as 2/√c times the logarithm of attention_root: only its absolute error
// matters here. Weights are taken relative to the nearest tail, exp(−scale·(d − d_nearest)): the common factor cancels in Eq. 5, and
// without it all of them underflow together at small curvature (scale·d above 745).
HK_HOST_DEVICE inline double attention_root(double sqdist, double x_gap, double t_gap, double curvature) {
  const double q = curvature * sqdist / (x_gap * t_gap);
  return std::sqrt(q) + std::sqrt(1.0 + q);
}
HK_HOST_DEVICE inline double attention_distance(double sqdist, double x_gap, double t_gap, double curvature) {
  if (curvature == 0.0) return 2.0 * std::sqrt(sqdist / (x_gap * t_gap));
  return 2.0 * std::log(attention_root(sqdist, x_gap, t_gap, curvature)) / std::sqrt(curvature);
}

// ── The Einstein midpoint (Eq. 5, 6) and L_K, in the frame of one of the tails ──
//
// On the hyperboloid the midpoint of tails t with weights a is a plain sum, m0 = Σ a γ_t and m = Σ a·2t/A_t, brought back to the ball by
// n = m/(m0 + l), l² = m0² − c‖m‖². In the coordinates of the ball that difference has no digits left when the tails lie close together
// near the boundary. So everything is moved by the isometry x ↦ −o ⊕ x first, which takes the tail of largest weight, o, to the
// origin. With δ = x − o and D = c‖δ‖² + A_o A_x:
//   −o ⊕ x = (A_o δ − c‖δ‖² o)/D,   its gap A_o A_x/D,   its Lorentz factor 1 + 2c‖δ‖²/(A_o A_x),
// none of which cancels.
struct Framed {  // −o ⊕ x = on_delta·δ + on_origin·o
  double on_delta, on_origin, gap, denominator;
};
HK_HOST_DEVICE inline Framed framed(double delta_sqnorm, double origin_gap, double x_gap, double curvature) {
  const double denominator = curvature * delta_sqnorm + origin_gap * x_gap;
  return {origin_gap / denominator, -curvature * delta_sqnorm / denominator, origin_gap * x_gap / denominator, denominator};
}

// What one tail adds: a·γ′ to m0′, a·on_delta·δ to m′ and a·on_origin·o to m′.
template <class T>
struct FramedTermIn {
  T lorentz, on_delta, on_origin;
};
using FramedTerm = FramedTermIn<double>;
template <class T>
HK_HOST_DEVICE inline FramedTermIn<T> framed_term(T delta_sqnorm, T origin_gap, T t_gap, T curvature) {
  const T bent = T(2) * curvature * delta_sqnorm / (origin_gap * t_gap);
  return {T(1) + bent, T(2) / t_gap, -bent};
}

// n′ = m′·inverse with its gap; l² is never below (Σ a)².
struct Midpoint {
  double l, inverse, gap;  // inverse = 1/(m0 + l)
};
HK_HOST_DEVICE inline Midpoint einstein_midpoint(double m0, double m_sqnorm, double weight_sum, double curvature) {
  double l2 = m0 * m0 - curvature * m_sqnorm;
  const double least = weight_sum * weight_sum;
  if (!(l2 > least)) l2 = least;
  const double l = std::sqrt(l2), inverse = 1.0 / (m0 + l);
  return {l, inverse, 2.0 * l * inverse};
}

// Gradients of Σ g·(−o ⊕ x) with respect to x, o held fixed: on_g·g + on_delta·δ + on_x·x, from o·g and (−o ⊕ x)·g.
struct FramedGradient {
  double on_g, on_delta, on_x;
};
HK_HOST_DEVICE inline FramedGradient framed_gradient(const Framed& f, double o_dot_g, double image_dot_g, double origin_gap, double curvature) {
  return {f.on_delta, -2.0 * curvature * (o_dot_g + image_dot_g) / f.denominator, 2.0 * curvature * origin_gap * image_dot_g / f.denominator};
}

// Gradients on the sums m0′, m′ of the frame, turned into those on m0, m: the frame is a Lorentz boost, so it is its own transpose.
// g_m = g_m′ + on_origin·o and g_m0, from o·g_m′.
struct Unframed {
  double on_origin, g_m0;
};
HK_HOST_DEVICE inline Unframed unframed(double o_dot_g, double framed_g_m0, double origin_gap, double curvature) {
  return {2.0 * curvature / origin_gap * (o_dot_g - framed_g_m0), lorentz_factor(origin_gap) * framed_g_m0 - 2.0 / origin_gap * o_dot_g};
}

// With both: the gradient on a tail's weight, and the tail's own gradient on_midpoint·g_m + on_tail·t (attention apart).
template <class T>
struct TailGradientIn {
  T on_weight, on_midpoint, on_tail;
};
using TailGradient = TailGradientIn<double>;
template <class T>
HK_HOST_DEVICE inline TailGradientIn<T> tail_gradient(const FramedTermIn<T>& term, T delta_dot_g, T o_dot_g, T framed_g_m0, T g_m0, T weight,
                                                      T t_gap, T curvature) {
  const T on_weight = framed_g_m0 * term.lorentz + term.on_delta * delta_dot_g + term.on_origin * o_dot_g;
  return {on_weight, T(2) * weight / t_gap, T(2) * curvature * weight / t_gap * (on_weight + g_m0)};
}

// −ln σ(−z) and σ(z): Eq. 3 with z = d(u, v) − d(u, v′).
template <class T>
HK_HOST_DEVICE inline T softplus(T z) {
  return (z > T(0) ? z : T(0)) + std::log1p(std::exp(z > T(0) ? -z : z));
}
template <class T>
HK_HOST_DEVICE inline T sigmoid(T z) {
  const T e = std::exp(z > T(0) ? -z : z);
  return (z > T(0) ? T(1) : e) / (T(1) + e);
}

// The exponential map at the origin, x = exp_0(w) = tanh(√c‖w‖)/(√c‖w‖)·w, and its (symmetric) Jacobian
// J = across·I + along·w wᵀ. c = 0: the identity.
struct ExpMap {
  double across, along;
};
HK_HOST_DEVICE inline ExpMap exp_map_series(double z2, double curvature) {  // z = √c‖w‖, z² < 1e-6
  return {1.0 - z2 / 3.0 + z2 * z2 * (2.0 / 15.0), curvature * (-2.0 / 3.0 + z2 * (8.0 / 15.0))};
}
HK_HOST_DEVICE inline ExpMap exp_map_of(double tanh_z, double z, double w_sqnorm) {
  const double across = tanh_z / z;
  return {across, (1.0 - tanh_z * tanh_z - across) / w_sqnorm};
}
HK_HOST_DEVICE inline ExpMap exp_map_origin(double w_sqnorm, double curvature) {
  const double z2 = curvature * w_sqnorm;
  if (z2 < 1e-6) return exp_map_series(z2, curvature);
  const double z = std::sqrt(z2);
  return exp_map_of(1.0 - 2.0 / (std::exp(2.0 * z) + 1.0), z, w_sqnorm);
}

}  // namespace hk
