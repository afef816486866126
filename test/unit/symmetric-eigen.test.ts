// Eigenvalues and eigenvectors: A·v = λ·v and orthonormal, judged by sums of products alone, to a few roundings of the largest eigenvalue.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { finish } from '../../lib/data/steps.ts';
import { eigenOf } from '../../lib/symmetric-eigen.ts';
import { seededRandom } from '../helpers.ts';

const eigen = suite('symmetric eigenproblem');

/** [size, size] row by row. */
const matrixOf = (size: number, element: (i: number, j: number) => number): Float64Array =>
  Float64Array.from({ length: size * size }, (_, at) => element(Math.floor(at / size), at % size));

/** Σ row·rowᵀ of random rows, the k-th of which counts `weight(k)`. */
function gram(size: number, rows: number, weight: (k: number) => number = () => 1): Float64Array {
  const random = seededRandom(size + rows);
  const table = Float64Array.from({ length: rows * size }, () => 2 * random() - 1);
  return matrixOf(size, (i, j) => {
    let sum = 0;
    for (let k = 0; k < rows; ++k) sum += weight(k) * table[k * size + i]! * table[k * size + j]!;
    return sum;
  });
}

const times = (matrix: Float64Array, factor: number): Float64Array => matrix.map((x) => factor * x);

/** The largest |A·v − λ·v| as a part of the largest |element of A|, and the largest element of V·Vᵀ − I. */
function errorsOf(matrix: Float64Array, size: number, { values, vectors }: { values: Float64Array; vectors: Float64Array }) {
  const scale = matrix.reduce((most, x) => Math.max(most, Math.abs(x)), 0) || 1;
  let [residual, skew] = [0, 0];
  for (let i = 0; i < size; ++i)
    for (let j = 0; j < size; ++j) {
      let [image, product] = [0, 0];
      for (let k = 0; k < size; ++k) {
        image += (matrix[j * size + k]! / scale) * vectors[i * size + k]!;
        product += vectors[i * size + k]! * vectors[j * size + k]!;
      }
      residual = Math.max(residual, Math.abs(image - (values[i]! / scale) * vectors[i * size + j]!));
      skew = Math.max(skew, Math.abs(product - Number(i === j)));
    }
  return { residual, skew };
}

const random = seededRandom(9);
const symmetric = (size: number): Float64Array => {
  const half = matrixOf(size, () => 2 * random() - 1);
  return half.map((x, at) => x + half[(at % size) * size + Math.floor(at / size)]!);
};
const cases: [name: string, size: number, matrix: Float64Array][] = [
  ...[1, 2, 3, 4, 8, 21, 64].map((size): [string, number, Float64Array] => [`random, ${size}`, size, symmetric(size)]),
  ['rows of a table', 48, gram(48, 200)],
  ['fewer rows than columns: most eigenvalues 0', 48, gram(48, 5)],
  ['eigenvalues from 1 to 1e-18', 24, gram(24, 24, (k) => 10 ** (-0.75 * k))],
  ...[3, 7, 12, 14, 40].map((step): [string, number, Float64Array] => [
    `each eigenvalue 1e-${step} of the one before`,
    24,
    gram(24, 24, (k) => 10 ** (-step * k)),
  ]),
  ['all eigenvalues alike', 12, matrixOf(12, (i, j) => 3 * Number(i === j))],
  ['two eigenvalues, 1 and −11', 12, matrixOf(12, (i, j) => Number(i === j) - 1)],
  ['diagonal already', 7, matrixOf(7, (i, j) => (i === j ? i - 3 : 0))],
  ['tridiagonal already', 30, matrixOf(30, (i, j) => (i === j ? 2 : Math.abs(i - j) === 1 ? -1 : 0))],
  ['nothing on the diagonal', 2, Float64Array.of(0, 1, 1, 0)],
  [
    'two eigenvalues and 0, and rounding',
    128,
    matrixOf(128, (i, j) => Math.fround(Math.sin(i) * Math.sin(j) + 0.1 * Math.cos(i) * Math.cos(j))),
  ],
  ...[30, 150, 160, 161, 162, 170].map((exponent): [string, number, Float64Array] => [
    `two directions beside what is 1e-${exponent}`,
    12,
    symmetric(12).map((x, at) => (at % 12 < 2 && at < 24 ? x : x * 10 ** -exponent)),
  ]),
  ['two directions, exactly', 128, gram(128, 2)],
  ['blocks', 6, matrixOf(6, (i, j) => (i % 2 === j % 2 ? 1 + i + j : 0))],
  ['0', 5, new Float64Array(25)],
  ['whose squares are 0 in float64', 9, times(gram(9, 20), 1e-250)],
  ['whose squares are infinite in float64', 9, times(gram(9, 20), 1e250)],
];

for (const [name, size, matrix] of cases)
  eigen(`a matrix ${name}`, () => {
    const found = finish(eigenOf(Float64Array.from(matrix), size));
    const { residual, skew } = errorsOf(matrix, size, found);
    assert.ok(residual <= 1e-15 * (size + 10), `A·v − λ·v is ${residual} of the largest element`);
    assert.ok(skew <= 1e-15 * (size + 10), `V·Vᵀ − I is ${skew}`);
  });

eigen('known eigenvalues: 2 − 2cos(kπ/31) of the second differences', () => {
  const [, size, matrix] = cases.find(([name]) => name === 'tridiagonal already')!;
  const values = finish(eigenOf(Float64Array.from(matrix), size)).values.sort();
  values.forEach((value, k) => {
    const expected = 2 - 2 * Math.cos(((k + 1) * Math.PI) / 31);
    assert.ok(Math.abs(value - expected) <= 1e-14, `${value}, not ${expected}`);
  });
});

eigen('the judge sees an eigenvector that is 1e-12 off', () => {
  const [, size, matrix] = cases.find(([name]) => name === 'random, 21')!;
  const found = finish(eigenOf(Float64Array.from(matrix), size));
  found.vectors[5]! += 1e-12;
  const { residual, skew } = errorsOf(matrix, size, found);
  assert.ok(residual > 1e-15 * (size + 10) && skew > 1e-15 * (size + 10), `${residual}, ${skew}`);
});

eigen('what is not a number ends, and shows', () => {
  const matrix = gram(6, 9);
  matrix[8] = matrix[13] = Number.NaN;
  for (const bad of [matrix, times(gram(6, 9), Number.POSITIVE_INFINITY)])
    assert.ok(finish(eigenOf(bad, 6)).values.some((value) => !Number.isFinite(value)));
});

eigen.run();
