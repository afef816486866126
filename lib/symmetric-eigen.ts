import type { Steps } from './data/steps.ts';
import { dot } from './inner-products.ts';

/** QR steps for each element beside the diagonal: two are usual, so many never come about. */
const MOST_STEPS = 30;

/** Σ v² of what is taken for 0 where the largest element is 1: far below a rounding, and its reciprocal is still a number. */
const NOTHING = 1e-40;

/**
 * Eigenvalues of a symmetric matrix [dim, dim], and its eigenvectors as rows: the matrix is made tridiagonal by Householder reflections, and that
 * diagonal by implicit QR steps with Wilkinson's shift; about 5·dim³ multiplications, of which Jacobi's rotations take ten times as many. Errors
 * are some 1e-16 of the largest eigenvalue. The matrix is used up; eigenvalues of one that is not finite are not a number.
 */
export function* eigenOf(matrix: Float64Array, dim: number): Steps<{ values: Float64Array; vectors: Float64Array }> {
  const vectors = new Float64Array(dim * dim);
  for (let i = 0; i < dim; ++i) vectors[i * dim + i] = 1;
  // Scaled, so that no square in what follows leaves the range of float64.
  const scale = matrix.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
  if (!(scale > 0 && scale < Number.POSITIVE_INFINITY))
    return { values: new Float64Array(dim).fill(scale === 0 ? 0 : Number.NaN), vectors };
  for (let i = 0; i < dim * dim; ++i) matrix[i]! /= scale;

  const tau = new Float64Array(dim);
  for (let k = 0; k < dim - 2; ++k) {
    tau[k] = reflect(matrix, k, dim);
    yield;
  }
  const values = Float64Array.from({ length: dim }, (_, i) => matrix[i * dim + i]!);
  const beside = Float64Array.from({ length: dim - 1 }, (_, i) => matrix[(i + 1) * dim + i]!);
  for (let k = dim - 3; k >= 0; --k) {
    reflectBack(vectors, matrix, k, tau[k]!, dim);
    yield;
  }

  const negligible = Number.EPSILON * Math.sqrt(dot(values, 0, values, 0, dim) + 2 * dot(beside, 0, beside, 0, dim - 1));
  let left = MOST_STEPS * dim;
  for (let last = dim - 1; last > 0; ) {
    let first = last;
    while (first > 0 && Math.abs(beside[first - 1]!) > negligible) --first;
    if (first === last) {
      --last;
      continue;
    }
    if (--left < 0) throw new Error('eigenvalues: no convergence');
    qrStep(values, beside, vectors, first, last, dim);
    yield;
  }
  for (let i = 0; i < dim; ++i) values[i]! *= scale;
  return { values, vectors };
}

/**
 * matrix ← H·matrix·H with the reflection H = I − τ·v·vᵀ that makes row and column k 0 behind the place beside the diagonal. Rows and columns
 * up to k are done with: v is left in row k, and what is beside the diagonal in column k.
 *
 * @returns τ
 */
function reflect(matrix: Float64Array, k: number, dim: number): number {
  const [own, begin] = [k * dim, k + 1];
  const v = matrix.subarray(own + begin, own + dim);
  const size = v.length;
  const behind = dot(v, 1, v, 1, size - 1);
  if (behind < NOTHING) {
    matrix[begin * dim + k] = v[0]!;
    return 0;
  }
  // Away from the first element, so that nothing cancels.
  const length = v[0]! > 0 ? -Math.sqrt(v[0]! ** 2 + behind) : Math.sqrt(v[0]! ** 2 + behind);
  matrix[begin * dim + k] = length;
  v[0]! -= length;
  const tau = 2 / (v[0]! ** 2 + behind);
  const w = new Float64Array(size);
  for (let i = 0; i < size; ++i) w[i] = tau * dot(matrix, (begin + i) * dim + begin, v, 0, size);
  const shift = (tau / 2) * dot(v, 0, w, 0, size);
  for (let i = 0; i < size; ++i) w[i]! -= shift * v[i]!;
  for (let i = 0; i < size; ++i) {
    const at = (begin + i) * dim + begin;
    const x = v[i]!;
    const y = w[i]!;
    for (let j = 0; j < size; ++j) matrix[at + j]! -= x * w[j]! + y * v[j]!;
  }
  return tau;
}

/** vectors ← vectors·H with the reflection that `reflect` left in row k; rows and columns up to k of `vectors` are those of I. */
function reflectBack(vectors: Float64Array, matrix: Float64Array, k: number, tau: number, dim: number): void {
  const from = k * dim;
  for (let row = k + 1; row < dim; ++row) {
    const at = row * dim;
    const times = tau * dot(vectors, at + k + 1, matrix, from + k + 1, dim - k - 1);
    for (let j = k + 1; j < dim; ++j) vectors[at + j]! -= times * matrix[from + j]!;
  }
}

/** A QR step on first … last of the tridiagonal matrix (values, beside), whose rotations turn the rows of `vectors` with it. */
function qrStep(values: Float64Array, beside: Float64Array, vectors: Float64Array, first: number, last: number, dim: number): void {
  // Wilkinson's shift: the eigenvalue of the last two rows that is nearer to the last value.
  const corner = beside[last - 1]!;
  const half = (values[last - 1]! - values[last]!) / 2;
  const root = Math.sqrt(half * half + corner * corner);
  let x = values[first]! - (values[last]! - (corner * corner) / (half < 0 ? half - root : half + root));
  // What the last rotation has put beside the band, and this one removes; at first the shifted column itself.
  let bulge = beside[first]!;
  for (let k = first; k < last; ++k) {
    const length = Math.sqrt(x * x + bulge * bulge);
    const cosine = length === 0 ? 1 : x / length;
    const sine = length === 0 ? 0 : bulge / length;
    if (k > first) beside[k - 1] = length;
    const a = values[k]!;
    const b = values[k + 1]!;
    const between = beside[k]!;
    const mixed = 2 * cosine * sine * between;
    values[k] = cosine * cosine * a + mixed + sine * sine * b;
    values[k + 1] = sine * sine * a - mixed + cosine * cosine * b;
    x = (cosine * cosine - sine * sine) * between + cosine * sine * (b - a);
    beside[k] = x;
    if (k + 1 < last) {
      bulge = sine * beside[k + 1]!;
      beside[k + 1]! *= cosine;
    }
    rotateRows(vectors, k * dim, dim, cosine, sine);
  }
}

/** The rows at `at` and behind it ← cosine·row + sine·next, cosine·next − sine·row. */
function rotateRows(rows: Float64Array, at: number, dim: number, cosine: number, sine: number): void {
  for (let j = at; j < at + dim; ++j) {
    const x = rows[j]!;
    const y = rows[j + dim]!;
    rows[j] = cosine * x + sine * y;
    rows[j + dim] = cosine * y - sine * x;
  }
}
