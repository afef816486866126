// Laws of hyperbolic geometry, which hold whatever the formulas are: on the float64 reference, on the paper's equations as printed, and
// on the CPU kernels.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import * as kernels from '../lib/kernels.ts';
import { seededRandom } from './helpers.ts';
import { concatenated, EDGE, mixedRadius, normal, pointAt, pointNear, RADII, type Random, table } from './kernels/inputs.ts';
import * as literal from './kernels/literal.ts';
import * as reference from './kernels/reference.ts';

const geometry = suite('geometry');
const CURVATURES = [0.015625, 0.3, 1, 5];
const DIMS = [1, 2, 3, 16];
const f64 = (rows: ArrayLike<number>): Float64Array => Float64Array.from(rows);
const pointOf = (at: ArrayLike<number>, c: number): reference.Point => reference.pointsOf(at, at.length, c)[0]!;
const length = (x: Float64Array): number => Math.hypot(...x);
const minus = (x: Float64Array, y: Float64Array): Float64Array => literal.plus(x, literal.scaled(-1, y));

function near(got: number, want: number, tolerance: number, what: string): void {
  assert.ok(Math.abs(got - want) <= tolerance * Math.abs(want), `${what}: ${got} is not ${want} within ${tolerance}`);
}
function nearVector(got: Float64Array, want: Float64Array, tolerance: number, what: string): void {
  assert.ok(length(minus(got, want)) <= tolerance * length(want), `${what}: ${got} is not ${want} within ${tolerance}`);
}

/** Every law on every curvature and a few dimensions, with points at moderate radii. */
function law(name: string, check: (at: { c: number; dim: number; random: Random; point: () => reference.Point }) => void): void {
  geometry(name, () => {
    for (const c of CURVATURES)
      for (const dim of DIMS) {
        const random = seededRandom(dim);
        const point = (): reference.Point => pointOf(pointAt(random, dim, 0.05 + 0.85 * random(), c), c);
        for (let round = 0; round < 20; ++round) check({ c, dim, random, point });
      }
  });
}

/** A random rotation: an orthonormal basis by Gram and Schmidt. */
function rotation(random: Random, dim: number): (x: Float64Array) => Float64Array {
  const basis: Float64Array[] = [];
  while (basis.length < dim) {
    let axis = Float64Array.from({ length: dim }, () => normal(random));
    for (const other of basis) axis = minus(axis, literal.scaled(literal.dot(axis, other), other)) as typeof axis;
    basis.push(literal.scaled(1 / length(axis), axis));
  }
  return (x) => f64(basis.map((axis) => literal.dot(axis, x)));
}

// ── the reference is the paper ──

law('the reference agrees with the equations as printed where these are accurate', ({ c, random, point }) => {
  const [v, x, y] = [point(), point(), point()];
  near(reference.poincareDistance(x, y, c), literal.poincareDistance(x.at, y.at, c), 1e-12, 'Eq. 1');
  const sum = reference.mobiusAdd(x, y, c);
  nearVector(sum.at, literal.mobiusAdd(x.at, y.at, c), 1e-12, 'Eq. 2');
  near(sum.gap, 1 - c * literal.dot(sum.at, sum.at), 1e-12, 'the gap of a sum');
  near(1 + reference.rankingLoss(v, x, y, c), 1 + literal.rankingLoss(v.at, x.at, y.at, c), 1e-13, 'Eq. 3');

  const neighbors = Array.from({ length: 1 + Math.floor(6 * random()) }, () => ({ relation: point(), tail: point() }));
  const got = reference.neighborhood(v, neighbors, c);
  const tails = neighbors.map(({ tail }) => tail.at);
  const alpha = neighbors.map(({ relation, tail }) => literal.attention(v.at, relation.at, tail.at, c));
  const want = literal.einsteinMidpoint(tails, alpha, c);
  for (const [j, weight] of want.weights.entries()) near(got.attention[j]!, weight, 1e-11, 'the weights of Eq. 5');
  near(
    got.attention.reduce((sum, weight) => sum + weight, 0),
    1,
    1e-14,
    'their sum',
  );
  nearVector(got.midpoint.at, want.midpoint, 1e-12, 'Eq. 5');
  nearVector(literal.einsteinMidpointOnHyperboloid(tails, alpha, c), want.midpoint, 1e-12, 'the midpoint by way of the hyperboloid');
  near(got.midpoint.gap, 1 - c * literal.dot(want.midpoint, want.midpoint), 1e-12, 'the gap of the midpoint');
  near(got.distance, literal.poincareDistance(v.at, want.midpoint, c), 1e-9, 'Eq. 7');
});

law('Eq. 6: to Klein coordinates and back', ({ c, point }) => {
  const x = point();
  const klein = literal.kleinFromPoincare(x.at, c);
  nearVector(literal.poincareFromKlein(klein, c), x.at, 1e-12, 'there and back');
  near(literal.lorentzFactor(klein, c), (2 - x.gap) / x.gap, 1e-11, 'γ of the Klein point is (1 + c‖x‖²)/(1 − c‖x‖²)');
});

// ── laws of the reference ──

law('distance: symmetric, 0 only between a point and itself, triangle inequality', ({ c, point }) => {
  const [x, y, z] = [point(), point(), point()];
  const d = (a: reference.Point, b: reference.Point): number => reference.poincareDistance(a, b, c);
  assert.is(d(x, y), d(y, x));
  assert.is(d(x, x), 0);
  assert.ok(d(x, y) > 0);
  assert.ok(d(x, z) <= (d(x, y) + d(y, z)) * (1 + 1e-14));
});

law('distance from the origin is (2/√c) artanh(√c‖x‖)', ({ c, dim, point }) => {
  const x = point();
  const want = (2 / Math.sqrt(c)) * Math.atanh(Math.sqrt(c) * length(x.at));
  near(reference.poincareDistance(pointOf(new Float64Array(dim), c), x, c), want, 1e-12, 'd(0, x)');
});

law('curvature is a scale: d_c(x, y) = d_1(√c x, √c y)/√c', ({ c, point }) => {
  const [x, y] = [point(), point()];
  const [x1, y1] = [x, y].map(({ at }) => pointOf(literal.scaled(Math.sqrt(c), at), 1)) as [reference.Point, reference.Point];
  near(reference.poincareDistance(x, y, c), reference.poincareDistance(x1, y1, 1) / Math.sqrt(c), 1e-12, 'd_c');
});

law('towards c = 0 all becomes Euclidean', ({ dim, random }) => {
  const at = (c: number) => {
    const seeded = seededRandom(dim);
    const points = Array.from({ length: 9 }, () => pointOf(pointAt(seeded, dim, 0.5, 1), c)) as [reference.Point, ...reference.Point[]];
    const [v, ...rest] = points;
    const neighbors = [0, 1, 2, 3].map((j) => ({ relation: rest[j]!, tail: rest[j + 4]! }));
    return { ...reference.neighborhood(v, neighbors, c), v, neighbors };
  };
  const [limit, small] = [at(0), at(1e-9 * (1 + random()))];
  near(limit.distance, small.distance, 1e-7, 'L_K');
  nearVector(limit.midpoint.at, small.midpoint.at, 1e-7, 'midpoint');
  nearVector(limit.attention as Float64Array, small.attention as Float64Array, 1e-7, 'attention');
  near(limit.distance, 2 * length(minus(limit.v.at, limit.midpoint.at)), 1e-12, 'twice the Euclidean distance');
  const mean = limit.neighbors.map(({ tail }, j) => literal.scaled(limit.attention[j]!, tail.at)).reduce(literal.plus);
  nearVector(limit.midpoint.at, mean, 1e-12, 'the weighted mean');
});

law('Möbius translations and rotations are isometries', ({ c, dim, random, point }) => {
  const [a, x, y] = [point(), point(), point()];
  const want = reference.poincareDistance(x, y, c);
  near(reference.poincareDistance(reference.mobiusAdd(a, x, c), reference.mobiusAdd(a, y, c), c), want, 1e-9, 'd(a ⊕ x, a ⊕ y)');
  const turn = rotation(random, dim);
  near(reference.poincareDistance(pointOf(turn(x.at), c), pointOf(turn(y.at), c), c), want, 1e-12, 'd(Rx, Ry)');
});

law('0 ⊕ x = x, x ⊕ 0 = x, −x ⊕ (x ⊕ y) = y', ({ c, dim, point }) => {
  const [x, y, zero] = [point(), point(), pointOf(new Float64Array(dim), c)];
  nearVector(reference.mobiusAdd(zero, x, c).at, x.at, 1e-15, '0 ⊕ x');
  nearVector(reference.mobiusAdd(x, zero, c).at, x.at, 1e-15, 'x ⊕ 0');
  const back = pointOf(literal.scaled(-1, x.at), c);
  nearVector(reference.mobiusAdd(back, reference.mobiusAdd(x, y, c), c).at, y.at, 1e-10, '−x ⊕ (x ⊕ y)');
});

law('the gradients at both ends, moved to one point, are opposite', ({ c, point }) => {
  const [x, y] = [point(), point()];
  // −x ⊕ · is an isometry that takes x to 0 and y to z: there the gradients point along z, with the conformal factor for norm.
  const z = reference.mobiusAdd(pointOf(literal.scaled(-1, x.at), c), y, c);
  const zero = pointOf(new Float64Array(x.at.length), c);
  const unit = literal.scaled(1 / length(z.at), z.at);
  nearVector(reference.poincareDistanceGradient(zero, z, c), literal.scaled(-2, unit), 1e-9, 'at 0');
  nearVector(reference.poincareDistanceGradient(z, zero, c), literal.scaled(2 / z.gap, unit), 1e-9, 'at z');
  // The isometry's adjoint differential takes them back: at x it is multiplication by 1/A_x.
  const atX = literal.scaled(1 / x.gap, reference.poincareDistanceGradient(zero, z, c));
  nearVector(reference.poincareDistanceGradient(x, y, c), atX, 1e-8, 'at x');
  for (const [from, to] of [
    [x, y],
    [y, x],
  ] as const)
    near((from.gap / 2) * length(reference.poincareDistanceGradient(from, to, c)), 1, 1e-10, 'Riemannian norm');
});

law('midpoint: of coincident points it is the point; it moves with the points; it lies among them', ({ c, point }) => {
  const [v, a, t] = [point(), point(), point()];
  const relation = pointOf(new Float64Array(v.at.length), c);
  const same = reference.neighborhood(
    v,
    [1, 2, 3].map(() => ({ relation: point(), tail: t })),
    c,
  );
  nearVector(same.midpoint.at, t.at, 1e-14, 'of coincident points');
  near(same.midpoint.gap, t.gap, 1e-13, 'its gap');

  // With relation 0 the attention depends on distances alone, so that a ⊕ · moves all of it.
  const tails = [point(), point(), point(), point()];
  const there = reference.neighborhood(
    v,
    tails.map((tail) => ({ relation, tail })),
    c,
  );
  const movedTails = tails.map((tail) => ({ relation, tail: reference.mobiusAdd(a, tail, c) }));
  const moved = reference.neighborhood(reference.mobiusAdd(a, v, c), movedTails, c);
  const d = (x: reference.Point, y: reference.Point): number => reference.poincareDistance(x, y, c);
  nearVector(moved.midpoint.at, reference.mobiusAdd(a, there.midpoint, c).at, 1e-9, 'a ⊕ midpoint');
  near(moved.distance, there.distance, 1e-8, 'L_K');
  const reach = Math.max(...tails.map((tail) => d(tail, there.midpoint)));
  assert.ok(reach < Math.max(...tails.flatMap((x) => tails.map((y) => d(x, y)))));
});

geometry('self-loops, and tails that are all where the item is, have L_K = 0 without a gradient', () => {
  for (const c of CURVATURES) {
    const random = seededRandom(1);
    const v = pointOf(pointAt(random, 5, EDGE, c), c);
    const neighbors = Array.from({ length: 3 }, () => ({ relation: pointOf(pointAt(random, 5, 0.5, c), c), tail: v }));
    assert.is(reference.neighborhood(v, neighbors, c).distance, 0);
    const { item, neighbors: of } = reference.neighborhoodGradient(v, neighbors, c);
    assert.ok([item, ...of.flatMap(({ relation, tail }) => [relation, tail])].every((x) => x.every((value) => Math.abs(value) === 0)));
  }
});

// ── laws of the kernels, in float32 ──

const ROWS = 500;

geometry('CPU kernel: distance is symmetric to the bit, 0 at coincident points, positive and finite elsewhere', () => {
  for (const c of CURVATURES)
    for (const dim of DIMS) {
      const random = seededRandom(dim);
      const side = (): Float32Array => table(random, ROWS, dim, c, () => mixedRadius(random));
      const [x, y] = [side(), side()];
      const d = (a: Float32Array, b: Float32Array): Float32Array => kernels.poincareDistance(a, b, dim, { curvature: c, backend: 'cpu' });
      assert.equal(d(x, y), d(y, x));
      assert.equal(d(x, x), new Float32Array(ROWS));
      // 2 artanh(1 − 1e-5) from the origin: no two points are farther apart than twice that.
      assert.ok(d(x, y).every((value) => value > 0 && value <= (2 * 2 * Math.atanh(EDGE) * (1 + 1e-5)) / Math.sqrt(c)));
    }
});

geometry('CPU kernel: triangle inequality, distance from the origin, scaling by curvature', () => {
  for (const c of CURVATURES)
    for (const dim of DIMS) {
      const random = seededRandom(dim);
      const side = (): Float32Array => table(random, ROWS, dim, c, () => mixedRadius(random));
      const [x, y, z] = [side(), side(), side()];
      const d = (a: Float32Array, b: Float32Array, curvature = c): Float32Array =>
        kernels.poincareDistance(a, b, dim, { curvature, backend: 'cpu' });
      const [xy, yz, xz] = [d(x, y), d(y, z), d(x, z)];
      assert.ok(xz.every((value, i) => value <= (xy[i]! + yz[i]!) * (1 + 4e-6)));
      const origin = d(new Float32Array(x.length), x);
      for (const [i, { at, gap }] of reference.pointsOf(x, dim, c).entries()) {
        // artanh r = ½ ln((1 + r)²/(1 − r²)), without the cancellation of 1 − r; small radii by the definition.
        const r = Math.sqrt(c) * length(at);
        near(origin[i]!, (2 / Math.sqrt(c)) * (r < 0.5 ? Math.atanh(r) : Math.log((1 + r) ** 2 / gap) / 2), 2e-6, 'd(0, x)');
      }
      // A power of two scales without rounding.
      const half = (rows: Float32Array): Float32Array => rows.map((value) => value / 2);
      const scaled = d(half(x), half(y), 4 * c);
      assert.ok(scaled.every((value, i) => Math.abs(2 * value - xy[i]!) <= 1e-6 * xy[i]!));
    }
});

geometry('CPU kernel: rotations by exchanged and negated axes change nothing', () => {
  const [dim, c] = [16, 0.3];
  const random = seededRandom(2);
  const [x, y] = [0, 1].map(() => table(random, ROWS, dim, c, () => mixedRadius(random))) as [Float32Array, Float32Array];
  const turned = (rows: Float32Array): Float32Array =>
    rows.map((_, i) => ((i % dim) % 3 === 0 ? -1 : 1) * rows[i - (i % dim) + ((5 * (i % dim) + 3) % dim)]!);
  const d = (a: Float32Array, b: Float32Array): Float32Array => kernels.poincareDistance(a, b, dim, { curvature: c, backend: 'cpu' });
  const [want, got] = [d(x, y), d(turned(x), turned(y))];
  assert.ok(got.every((value, i) => Math.abs(value - want[i]!) <= 1e-6 * want[i]!));
});

geometry('CPU kernel: the midpoint of coincident tails is the tail; one tail: exactly; L_K is their distance', () => {
  for (const c of CURVATURES)
    for (const radius of RADII) {
      const [dim, random] = [7, seededRandom(3)];
      const at = (): Float32Array => pointAt(random, dim, radius, c);
      const [v, t] = [at(), at()];
      const entities = concatenated([v, v, t, t], dim);
      const relations = concatenated([pointNear(random, at(), 0.1, c), at()], dim);
      const graph = { offsets: Uint32Array.of(0, 1, 4), relations: Uint32Array.of(0, 0, 1, 0), tails: Uint32Array.of(2, 2, 3, 2) };
      const options = { curvature: c, backend: 'cpu' } as const;
      const got = kernels.neighborhood({ entities, relations, dim, graph, items: Uint32Array.of(0, 1) }, options);
      assert.equal(got.midpoint.subarray(0, dim), t, `one tail, c ${c}, radius ${radius}`);
      nearVector(f64(got.midpoint.subarray(dim)), f64(t), 1e-7, `three tails, c ${c}, radius ${radius}`);
      assert.is(got.attention[0], 1);
      const distance = kernels.poincareDistance(v, t, dim, options)[0]!;
      for (const lk of got.distance) near(lk, distance, 1e-5, `L_K, c ${c}, radius ${radius}`);
    }
});

geometry.run();
