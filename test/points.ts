/** Points of the ball in the simplest float64 formulas, for tests to compare with. */

/** Row i of a table. */
export const row = (table: Float32Array, i: number, dim: number): Float32Array => table.subarray(i * dim, (i + 1) * dim);

/** ‖x‖² */
export const square = (x: ArrayLike<number>): number => Array.from(x).reduce((sum, value) => sum + value * value, 0);

/** d(x, y) from Eq. 1's arcosh form in float64; 2‖x − y‖ at curvature 0. */
export function distance(x: ArrayLike<number>, y: ArrayLike<number>, c: number): number {
  const between = square(Array.from(x, (value, i) => value - y[i]!));
  if (c === 0) return 2 * Math.sqrt(between);
  return (2 / Math.sqrt(c)) * Math.asinh(Math.sqrt((c * between) / ((1 - c * square(x)) * (1 - c * square(y)))));
}
