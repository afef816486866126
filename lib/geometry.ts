/**
 * The weighted Einstein midpoint of rows of the Poincaré ball (Eq. 5), without leaving hyperboloid coordinates; for curvature 0 the
 * weighted mean. In float64.
 *
 * @param rows [n, dim], n ≥ 1, inside the ball of radius 1/√c
 * @param weights one per row, positive, of any sum; null: all alike
 */
export function einsteinMidpoint(rows: ArrayLike<number>, weights: ArrayLike<number> | null, dim: number, curvature: number): Float64Array {
  const midpoint = new Float64Array(dim);
  const count = rows.length / dim;
  let time = 0;
  let total = 0;
  for (let row = 0; row < count; ++row) {
    const weight = weights === null ? 1 : weights[row]!;
    const gap = ballGap(rows, row * dim, dim, curvature);
    total += weight;
    time += (weight * (2 - gap)) / gap;
    for (let i = 0; i < dim; ++i) midpoint[i]! += (curvature === 0 ? 1 : 2 / gap) * weight * rows[row * dim + i]!;
  }
  if (curvature === 0) return midpoint.map((x) => x / total);
  // Σ a (γ, γk √c) is a time-like vector; its Minkowski length is at least Σ a, with equality where all rows are one point.
  let square = time * time;
  for (let i = 0; i < dim; ++i) square -= curvature * midpoint[i]! * midpoint[i]!;
  const length = Math.sqrt(Math.max(square, total * total));
  return midpoint.map((x) => x / (time + length));
}

/** 1 − c‖x‖² of the row that starts at `begin`. */
export function ballGap(rows: ArrayLike<number>, begin: number, dim: number, curvature: number): number {
  let square = 0;
  for (let i = begin; i < begin + dim; ++i) square += rows[i]! * rows[i]!;
  return 1 - curvature * square;
}

/** Lorentz factor of the Klein point: (1 + c‖x‖²) / (1 − c‖x‖²). */
export function lorentzFactor(rows: ArrayLike<number>, begin: number, dim: number, curvature: number): number {
  const gap = ballGap(rows, begin, dim, curvature);
  return (2 - gap) / gap;
}

/** Points are kept where √c‖x‖ is at most this: nearer to the boundary float32 coordinates no longer tell how near. */
export const MAX_NORM: number = 1 - 1e-5;

/** x = exp_0(w): the point at the end of tangent vector w at the origin, ‖w‖ = artanh(√c‖x‖)/√c. Curvature 0: w itself. */
export function expMapOrigin(w: Float64Array, curvature: number): Float64Array {
  if (curvature === 0) return w.slice();
  const norm = Math.hypot(...w) * Math.sqrt(curvature);
  if (norm === 0) return w.slice();
  const factor = Math.min(Math.tanh(norm), MAX_NORM) / norm;
  return w.map((x) => factor * x);
}

/** w = log_0(x), the inverse of expMapOrigin. */
export function logMapOrigin(x: Float64Array, curvature: number): Float64Array {
  if (curvature === 0) return x.slice();
  const norm = Math.hypot(...x) * Math.sqrt(curvature);
  if (norm === 0) return x.slice();
  const factor = Math.atanh(Math.min(norm, MAX_NORM)) / norm;
  return x.map((value) => factor * value);
}

/** The gradient with respect to w of f(exp_0(w)), from that with respect to the point. */
export function expMapOriginGradient(w: Float64Array, gradient: ArrayLike<number>, curvature: number): Float64Array {
  const norm = Math.hypot(...w);
  if (curvature === 0 || norm === 0) return Float64Array.from(gradient);
  const t = Math.tanh(norm * Math.sqrt(curvature));
  const across = t / (norm * Math.sqrt(curvature));
  let radial = 0;
  for (let i = 0; i < w.length; ++i) radial += (w[i]! * gradient[i]!) / norm;
  return w.map((x, i) => across * gradient[i]! + ((1 - t * t - across) * radial * x) / norm);
}

/** Möbius addition x ⊕ y in the ball of radius 1/√c; x + y for curvature 0. In float64, in the form that does not cancel near −x. */
export function mobiusAdd(x: ArrayLike<number>, y: ArrayLike<number>, curvature: number): Float64Array {
  const sum = Float64Array.from(x, (value, i) => value + y[i]!);
  if (curvature === 0) return sum;
  const gap = ballGap(x, 0, x.length, curvature);
  const added = ballGap(y, 0, y.length, curvature);
  let square = 0;
  for (const value of sum) square += value * value;
  const factor = gap / (curvature * square + gap * added);
  return Float64Array.from(x, (value, i) => value + factor * (y[i]! + (1 - added) * value));
}

/** Scaled into the ball where it is nearer to the boundary than float32 coordinates can tell. */
export function intoBall(x: Float64Array, curvature: number): Float64Array {
  const norm = Math.hypot(...x) * Math.sqrt(curvature);
  return norm <= MAX_NORM ? x : x.map((value) => (value * MAX_NORM) / norm);
}
