import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { mean, pairedTTest, quantile, spearman, standardDeviation } from '../../lib/statistics.ts';

const statistics = suite('statistics');

const near = (value: number, expected: number, tolerance: number) =>
  assert.ok(Math.abs(value - expected) <= tolerance * Math.abs(expected), `${value}, not ${expected}`);

statistics('mean, standard deviation, quantile', () => {
  assert.is(mean([1, 2, 3, 10]), 4);
  near(standardDeviation([2, 4, 4, 4, 5, 5, 7, 9]), Math.sqrt(32 / 7), 1e-15);
  assert.ok(Number.isNaN(standardDeviation([1])));
  assert.is(quantile([3, 1, 2], 0.5), 2);
  assert.is(quantile([0, 10], 0.1), 1);
  assert.is(quantile([5], 0.9), 5);
});

statistics('rank correlation: order alone counts, ties share their ranks', () => {
  near(spearman([1, 2, 3, 4], [0.1, 10, 1e3, 1e9]), 1, 1e-15);
  near(spearman([1, 2, 3, 4], [4, 3, 2, 1]), -1, 1e-15);
  // Without ties ρ = 1 − 6 Σ d² / (n (n² − 1)): d = 0, 1, 1, 0, 1, 1.
  near(
    spearman(
      [1, 2, 3, 4, 5, 6].map(Math.exp),
      [1, 3, 2, 4, 7, 5].map((x) => x ** 3),
    ),
    1 - (6 * 4) / (6 * 35),
    1e-12,
  );
  // Ranks 1.5, 1.5, 3, 4 against 1, 2, 3.5, 3.5: covariance 4, variances 4.5 and 4.5.
  near(spearman([7, 7, 8, 9], [1, 2, 3, 3]), 4 / 4.5, 1e-12);
  assert.ok(Number.isNaN(spearman([1, 2, 3], [5, 5, 5])));
  assert.ok(Number.isNaN(spearman([], [])));
  assert.throws(() => spearman([1, 2], [1]), /^b: must have one value for each of a's 2, has 1$/);
});

// Student's t has closed forms for 1, 2 and 4 degrees of freedom.
statistics('t-test: one degree of freedom', () => {
  const { t, p, difference, pairs } = pairedTTest([3, 5], [1, 1]); // differences 2 and 4: mean 3, standard error 1
  near(t, 3, 1e-15);
  assert.is(difference, 3);
  assert.is(pairs, 2);
  near(p, 1 - (2 / Math.PI) * Math.atan(3), 1e-12);
});

statistics('t-test: two degrees of freedom', () => {
  const { t, p } = pairedTTest([1, 2, 4], [0, 0, 0]);
  near(p, 1 - t / Math.sqrt(2 + t * t), 1e-12);
});

statistics('t-test: four degrees of freedom', () => {
  const { t, p } = pairedTTest([0.1, -0.3, 0.4, 0.2, 0.5], [0, 0, 0, 0, 0]);
  const x = t / Math.sqrt(t * t + 4);
  near(p, 1 - 1.5 * (x - x ** 3 / 3), 1e-12);
});

statistics('t-test: many degrees of freedom approach the normal distribution', () => {
  // 20,000 pairs whose differences are ±1 with mean m: t = 1.959964 where the normal distribution has p = 0.05.
  const n = 20_000;
  const m = 1.959964 / Math.sqrt(n + 1.959964 ** 2);
  const ones = Math.round((n * (1 + m)) / 2);
  const { t, p } = pairedTTest(
    Float64Array.from({ length: n }, (_, i) => (i < ones ? 1 : -1)),
    new Float64Array(n),
  );
  const normal = (z: number) => {
    let sum = 0; // Simpson's rule over the density
    const steps = 10_000;
    for (let i = 0; i <= steps; ++i) {
      const x = (-z + (2 * z * i) / steps) ** 2 / 2;
      sum += (i === 0 || i === steps ? 1 : i % 2 === 1 ? 4 : 2) * Math.exp(-x);
    }
    return 1 - (sum * ((2 * z) / steps)) / 3 / Math.sqrt(2 * Math.PI);
  };
  near(p, normal(t), 1e-3);
});

statistics('t-test: equal samples, constant differences, swapped samples', () => {
  assert.equal(pairedTTest([1, 2, 3], [1, 2, 3]), { pairs: 3, difference: 0, t: 0, p: 1 });
  assert.is(pairedTTest([2, 3, 4], [1, 2, 3]).p, 0);
  const one = pairedTTest([1, 5, 2], [2, 1, 1]);
  const other = pairedTTest([2, 1, 1], [1, 5, 2]);
  assert.is(one.t, -other.t);
  assert.is(one.p, other.p);
});

statistics('t-test: refuses samples that are no pairs', () => {
  assert.throws(() => pairedTTest([1, 2], [1]), /b: must have one value for each/);
  assert.throws(() => pairedTTest([1], [1]), /a: must have at least two/);
});

statistics.run();
