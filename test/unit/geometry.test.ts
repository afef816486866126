import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ballGap, einsteinMidpoint, expMapOrigin, expMapOriginGradient, logMapOrigin, lorentzFactor } from '../../lib/geometry.ts';
import { seededRandom } from '../helpers.ts';

const geometry = suite('geometry in float64');

const DIM = 5;
const random = seededRandom(7);
const point = (radius: number): Float64Array => {
  const x = Float64Array.from({ length: DIM }, () => random() - 0.5);
  const norm = Math.hypot(...x);
  return x.map((value) => (value * radius) / norm);
};
const close = (a: ArrayLike<number>, b: ArrayLike<number>, tolerance: number) => {
  for (let i = 0; i < b.length; ++i) assert.ok(Math.abs(a[i]! - b[i]!) <= tolerance, `coordinate ${i}: ${a[i]} and ${b[i]}`);
};

geometry('Einstein midpoint: the paper’s formula in Klein coordinates', () => {
  for (const c of [1, 0.25, 1 / 36]) {
    const rows = [0.2, 0.6, 0.9].map((r) => point(r / Math.sqrt(c)));
    const weights = [0.5, 2, 1];
    // Eq. 5 and 6, with the Lorentz factor of the Klein point.
    const klein = rows.map((x) => x.map((value) => (2 * value) / (1 + c * Math.hypot(...x) ** 2)));
    const factors = klein.map((k, i) => weights[i]! / Math.sqrt(1 - c * Math.hypot(...k) ** 2));
    const total = factors.reduce((a, b) => a + b);
    const m = new Float64Array(DIM).map((_zero, i) => klein.reduce((sum, k, row) => sum + (factors[row]! * k[i]!) / total, 0));
    const expected = m.map((value) => value / (1 + Math.sqrt(1 - c * Math.hypot(...m) ** 2)));
    close(einsteinMidpoint(Float64Array.from(rows.flatMap((x) => [...x])), weights, DIM, c), expected, 1e-14 / Math.sqrt(c));
  }
});

geometry('Einstein midpoint: of one point, of equal points, of nothing curved', () => {
  const x = point(0.99999);
  // Far below the spacing of float32 coordinates, 6e-8.
  close(einsteinMidpoint(x, null, DIM, 1), x, 1e-10);
  close(einsteinMidpoint(Float64Array.from([...x, ...x]), [3, 4], DIM, 1), x, 1e-10);
  const y = point(7);
  close(
    einsteinMidpoint(Float64Array.from([...x, ...y]), [1, 3], DIM, 0),
    x.map((value, i) => (value + 3 * y[i]!) / 4),
    1e-14,
  );
});

geometry('gap and Lorentz factor', () => {
  const rows = Float64Array.of(9, 9, 9, 9, 9, 0.3, 0, 0, 0.4, 0);
  assert.ok(Math.abs(ballGap(rows, DIM, DIM, 2) - 0.5) <= 1e-15);
  assert.ok(Math.abs(lorentzFactor(rows, DIM, DIM, 2) - 3) <= 1e-14);
});

geometry('exponential and logarithmic map at the origin', () => {
  for (const c of [0, 1, 1 / 36]) {
    for (const length of [0, 1e-9, 0.5, 3]) {
      const w = point(length === 0 ? 0 : length / Math.sqrt(c || 1));
      const x = expMapOrigin(w, c);
      if (c > 0) assert.ok(Math.abs(Math.hypot(...x) * Math.sqrt(c) - Math.tanh(length)) <= 1e-14);
      close(logMapOrigin(x, c), w, 1e-12 / Math.sqrt(c || 1));
    }
  }
  assert.ok(ballGap(expMapOrigin(point(1000), 1), 0, DIM, 1) > 0);
});

geometry('gradient of the exponential map agrees with differences', () => {
  for (const c of [0, 1, 0.1]) {
    const w = point(0.8);
    const direction = point(1);
    const f = (v: Float64Array) => expMapOrigin(v, c).reduce((sum, x, i) => sum + x * direction[i]!, 0);
    const gradient = expMapOriginGradient(w, direction, c);
    for (let i = 0; i < DIM; ++i) {
      const [up, down] = [1e-6, -1e-6].map((h) => f(w.map((value, k) => (k === i ? value + h : value))));
      assert.ok(Math.abs((up! - down!) / 2e-6 - gradient[i]!) <= 1e-9, `c ${c}, coordinate ${i}`);
    }
  }
});

geometry.run();
