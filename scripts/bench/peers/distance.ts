/** Distances of the Poincaré ball in plain typed-array JavaScript: what one writes, with care, without an addon. */

/** ‖x_i − y_j‖² of the rows that begin at `x0` and `y0`, in float64. Four sums beside each other, which V8 does not make by itself. */
export function squaredDistance(x: Float32Array, x0: number, y: Float32Array, y0: number, dim: number): number {
  let a = 0;
  let b = 0;
  let c = 0;
  let d = 0;
  let k = 0;
  for (; k + 3 < dim; k += 4) {
    const da = x[x0 + k]! - y[y0 + k]!;
    const db = x[x0 + k + 1]! - y[y0 + k + 1]!;
    const dc = x[x0 + k + 2]! - y[y0 + k + 2]!;
    const dd = x[x0 + k + 3]! - y[y0 + k + 3]!;
    a += da * da;
    b += db * db;
    c += dc * dc;
    d += dd * dd;
  }
  for (; k < dim; ++k) a += (x[x0 + k]! - y[y0 + k]!) ** 2;
  return a + b + (c + d);
}

/** 1 − ‖x‖² of every row. */
export function gapsOf(x: Float32Array, dim: number): Float64Array {
  const origin = new Float32Array(dim);
  return Float64Array.from({ length: x.length / dim }, (_, row) => 1 - squaredDistance(x, row * dim, origin, 0, dim));
}

/** d(x_i, y_i) row by row, curvature 1. */
export function poincareDistanceInJavaScript(x: Float32Array, y: Float32Array, dim: number): Float32Array {
  const out = new Float32Array(x.length / dim);
  const origin = new Float32Array(dim);
  for (let row = 0, at = 0; row < out.length; ++row, at += dim) {
    const gaps = (1 - squaredDistance(x, at, origin, 0, dim)) * (1 - squaredDistance(y, at, origin, 0, dim));
    out[row] = 2 * Math.asinh(Math.sqrt(squaredDistance(x, at, y, at, dim) / gaps));
  }
  return out;
}
