import { argumentError } from './errors.ts';

export function mean(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; ++i) sum += values[i]!;
  return sum / values.length;
}

/** Sample standard deviation (n − 1); NaN for fewer than two values. */
export function standardDeviation(values: ArrayLike<number>): number {
  const center = mean(values);
  let sum = 0;
  for (let i = 0; i < values.length; ++i) sum += (values[i]! - center) ** 2;
  return values.length < 2 ? Number.NaN : Math.sqrt(sum / (values.length - 1));
}

/** Mean and standard deviation of runs. */
export function meanAndDeviation(values: ArrayLike<number>): { mean: number; sd: number } {
  return { mean: mean(values), sd: standardDeviation(values) };
}

/** The quantile at `share` in [0, 1], between the two nearest order statistics (R's type 7). */
export function quantile(values: ArrayLike<number>, share: number): number {
  return quantiles(values, [share])[0]!;
}

/** The quantiles at several shares: the values are sorted once. */
export function quantiles(values: ArrayLike<number>, shares: readonly number[]): number[] {
  const sorted = new Float64Array(values).sort();
  return shares.map((share) => {
    const at = share * (sorted.length - 1);
    const below = Math.floor(at);
    const above = Math.min(below + 1, sorted.length - 1);
    return sorted[below]! + (at - below) * (sorted[above]! - sorted[below]!);
  });
}

/** Ranks from 1 in ascending order; equal values share the mean of theirs. */
function midRanks(values: ArrayLike<number>): Float64Array {
  const order = Uint32Array.from(values, (_, row) => row).sort((a, b) => values[a]! - values[b]!);
  const ranks = new Float64Array(order.length);
  for (let begin = 0, end = 0; begin < order.length; begin = end) {
    end = begin + 1;
    while (end < order.length && values[order[end]!] === values[order[begin]!]) ++end;
    for (let place = begin; place < end; ++place) ranks[order[place]!] = 0.5 * (begin + 1 + end);
  }
  return ranks;
}

/** Spearman's rank correlation ρ: Pearson's of the mid-ranks. NaN for fewer than two values, or where one side is constant. */
export function spearman(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) throw argumentError('range', 'b', `must have one value for each of a's ${a.length}, has ${b.length}`);
  const [x, y] = [midRanks(a), midRanks(b)];
  const center = 0.5 * (a.length + 1);
  let [xy, xx, yy] = [0, 0, 0];
  for (let i = 0; i < x.length; ++i) {
    const [u, v] = [x[i]! - center, y[i]! - center];
    xy += u * v;
    xx += u * u;
    yy += v * v;
  }
  return xy / Math.sqrt(xx * yy);
}

/** What `pairedTTest` finds. */
export interface PairedTTest {
  /** Pairs compared. */
  pairs: number;
  /** Mean of a − b. */
  difference: number;
  t: number;
  /** Probability of a difference at least so large, either way, if there were none. */
  p: number;
}

/**
 * Two-sided paired t-test of a against b: t = mean(a − b) / (sd(a − b) / √n), with n − 1 degrees of freedom.
 *
 * @throws {RangeError} if the lengths differ or are below 2
 * @example
 * const { difference, t, p } = pairedTTest([0.31, 0.28, 0.4], [0.3, 0.25, 0.38]);
 */
export function pairedTTest(a: ArrayLike<number>, b: ArrayLike<number>): PairedTTest {
  if (a.length !== b.length) throw argumentError('range', 'b', `must have one value for each of a's ${a.length}, has ${b.length}`);
  if (a.length < 2) throw argumentError('range', 'a', 'must have at least two values');
  const differences = Float64Array.from(a, (value, i) => value - b[i]!);
  const difference = mean(differences);
  const error = standardDeviation(differences) / Math.sqrt(differences.length);
  const t = difference === 0 ? 0 : difference / error;
  return { pairs: a.length, difference, t, p: studentTwoSided(t, a.length - 1) };
}

/** P(|T| ≥ |t|) for Student's t: the regularised incomplete beta function I_x(n/2, 1/2) at x = n / (n + t²). */
function studentTwoSided(t: number, freedom: number): number {
  if (!Number.isFinite(t)) return 0;
  return incompleteBeta(freedom / (freedom + t * t), (t * t) / (freedom + t * t), freedom / 2, 0.5);
}

/** I_x(a, b), with y = 1 − x given for its digits. Continued fraction (DLMF 8.17.22), on the side where it converges fast. */
function incompleteBeta(x: number, y: number, a: number, b: number): number {
  if (x > (a + 1) / (a + b + 2)) return 1 - incompleteBeta(y, x, b, a);
  if (x === 0) return 0;
  const front = Math.exp(a * Math.log(x) + b * Math.log(y) + logGamma(a + b) - logGamma(a) - logGamma(b)) / a;
  // Lentz's method.
  const tiny = 1e-300;
  let c = 1;
  let d = 1 / guarded(1 - ((a + b) * x) / (a + 1));
  let fraction = d;
  for (let m = 1; m < 10_000; ++m) {
    const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / guarded(1 + even * d);
    c = guarded(1 + even / c);
    fraction *= d * c;
    const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / guarded(1 + odd * d);
    c = guarded(1 + odd / c);
    fraction *= d * c;
    if (Math.abs(d * c - 1) < 1e-15) break;
  }
  return front * fraction;

  function guarded(value: number): number {
    return Math.abs(value) < tiny ? tiny : value;
  }
}

/** ln Γ(x) for x > 0: Stirling's series above 10, the recurrence below. Absolute error under 1e-13. */
function logGamma(x: number): number {
  let shift = 0;
  let z = x;
  for (; z < 10; ++z) shift += Math.log(z);
  const inverse = 1 / (z * z);
  const series = (1 / 12 - inverse * (1 / 360 - inverse * (1 / 1260 - inverse * (1 / 1680 - inverse / 1188)))) / z;
  return (z - 0.5) * Math.log(z) - z + 0.5 * Math.log(2 * Math.PI) + series - shift;
}
