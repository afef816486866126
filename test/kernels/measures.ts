/** How far a kernel's output is from the reference. A NaN, a wrong length or a wrong zero gives an error that no tolerance passes. */

/** One number about one output; it is right if `error <= tolerance`. */
export interface Measurement {
  output: string;
  error: number;
  tolerance: number;
}

/** Those that are not right, in words. */
export function failures(measurements: readonly Measurement[]): string[] {
  return measurements
    .filter(({ error, tolerance }) => !(error <= tolerance))
    .map(({ output, error, tolerance }) => `${output}: error ${error.toPrecision(3)} > ${tolerance}`);
}

/** |got − want| / |want|, and where 0 is wanted, 0 or Infinity. NaN if there is one. */
const quotient = (difference: number, size: number): number => (size === 0 && difference === 0 ? 0 : difference / size);

function norm(values: readonly number[]): number {
  const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  return largest === 0 || !Number.isFinite(largest) ? largest : largest * Math.sqrt(values.reduce((sum, x) => sum + (x / largest) ** 2, 0));
}

/** The worst ‖got − want‖ / ‖want‖ of any row; rows of one element: of any element. */
export function rowError(got: ArrayLike<number>, want: ArrayLike<number>, dim = 1): number {
  if (got.length !== want.length) return Number.POSITIVE_INFINITY;
  let worst = 0;
  for (let begin = 0; begin < want.length; begin += dim) {
    const wanted = Array.from({ length: dim }, (_, i) => want[begin + i]!);
    worst = Math.max(worst, quotient(norm(wanted.map((value, i) => got[begin + i]! - value)), norm(wanted)));
  }
  return worst;
}

/** ‖got − want‖ / ‖want‖ of the whole array. */
export function arrayError(got: ArrayLike<number>, want: ArrayLike<number>): number {
  return got.length === 0 && want.length === 0 ? 0 : rowError(got, want, Math.max(got.length, want.length));
}

/** The worst |got − want| / max(want, floor) of any element. */
export function flooredError(got: ArrayLike<number>, want: ArrayLike<number>, floor: number): number {
  if (got.length !== want.length) return Number.POSITIVE_INFINITY;
  let worst = 0;
  for (let i = 0; i < want.length; ++i) worst = Math.max(worst, Math.abs(got[i]! - want[i]!) / Math.max(want[i]!, floor));
  return worst;
}
