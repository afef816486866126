import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Random } from '../../../lib/data/random.ts';

test('a seed and a stream give the same numbers, and other seeds or streams others', () => {
  const numbers = (seed: number, stream: number) => {
    const random = new Random(seed, stream);
    return Array.from({ length: 8 }, () => random.bits());
  };
  assert.equal(numbers(1, 1), numbers(1, 1));
  const seen = [numbers(1, 1), numbers(2, 1), numbers(1, 2), numbers(2 ** 32 + 1, 1), numbers(0, 1), numbers(2 ** 53 - 1, 1)];
  assert.is(new Set(seen.map(String)).size, seen.length);
  assert.is(new Set(seen.flat()).size, 8 * seen.length);
});

test('the numbers are those of every platform', () => {
  const random = new Random(1, 1);
  assert.equal([random.bits(), random.bits(), random.below(1000), random.below(7)], [3573059107, 2499206901, 830, 5]);
});

test('below: uniform within chance', () => {
  const random = new Random(5, 9);
  for (const bound of [2, 3, 7, 10]) {
    const counts = new Array<number>(bound).fill(0);
    const draws = 20_000;
    for (let i = 0; i < draws; ++i) counts[random.below(bound)]!++;
    const expected = draws / bound;
    const chiSquare = counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
    // The mean of chi-square is bound − 1, its deviation √(2(bound − 1)).
    assert.ok(chiSquare <= bound - 1 + 5 * Math.sqrt(2 * (bound - 1)), `bound ${bound}: chi-square ${chiSquare}`);
  }
  assert.is(random.below(1), 0);
});

test('below a bound above 2^31 is not biased to the lower part', () => {
  // With bound = 3 · 2^30, taking 32 bits modulo the bound would give the lowest third half of the draws.
  const random = new Random(3, 1);
  let low = 0;
  for (let i = 0; i < 6000; ++i) if (random.below(3 * 2 ** 30) < 2 ** 30) ++low;
  assert.ok(Math.abs(low - 2000) <= 200, `${low} of 6000 in the lowest third`);
});

test('uniform: in [0, 1), mean and variance right', () => {
  const random = new Random(11, 1);
  let [sum, squares] = [0, 0];
  for (let i = 0; i < 20_000; ++i) {
    const u = random.uniform();
    assert.ok(u >= 0 && u < 1);
    sum += u;
    squares += u * u;
  }
  assert.ok(Math.abs(sum / 20_000 - 1 / 2) <= 0.01);
  assert.ok(Math.abs(squares / 20_000 - 1 / 3) <= 0.01);
});

test('permutation: every number once, every place alike', () => {
  const random = new Random(2, 1);
  const order = random.permutation(1000);
  assert.equal(
    [...order].sort((a, b) => a - b),
    Array.from({ length: 1000 }, (_, i) => i),
  );
  const firsts = new Array<number>(5).fill(0);
  for (let i = 0; i < 10_000; ++i) firsts[random.permutation(5)[0]!]!++;
  for (const count of firsts) assert.ok(Math.abs(count - 2000) <= 200, `first of five ${count} of 10000 times`);
});

test.run();
