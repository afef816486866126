// The analytic gradients of the float64 reference against central differences of its values; then the one identity that every
// distance gradient must obey, on the kernels.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { backends } from '../../lib/native.ts';
import { poincareDistanceGradient as kernelGradient } from '../../lib/kernels.ts';
import { seededRandom } from '../helpers.ts';
import { bilevelInputs, mixedRadius, pointAt, table, tablesOf, WITHOUT_HYPERGRADIENT, withSharedNegatives } from './inputs.ts';
import * as reference from './reference.ts';

const gradient = suite('gradient');
const CURVATURES = [0, 0.015625, 0.3, 1, 5];
const DIMS = [1, 2, 7];

/** f′(0) by a five-point rule: error O(h⁴), so that rounding leaves about ten digits. */
function derivative(f: (shift: number) => number, h: number): number {
  return (8 * (f(h) - f(-h)) - (f(2 * h) - f(-2 * h))) / (12 * h);
}

/** Numerical gradient of f with respect to the coordinates of one point, the gap following. */
function numericalGradient(f: (point: reference.Point) => number, point: reference.Point, c: number): Float64Array {
  return point.at.map((_, i) =>
    derivative((shift) => {
      const at = point.at.slice();
      at[i]! += shift;
      return f({ at, gap: 1 - c * at.reduce((sum, value) => sum + value * value, 0) });
    }, 1e-4 * point.gap),
  );
}

function relativeError(got: ArrayLike<number>[], want: ArrayLike<number>[]): number {
  const flat = (rows: ArrayLike<number>[]): number[] => rows.flatMap((row) => Array.from(row));
  const g = flat(got);
  const w = flat(want);
  assert.is(g.length, w.length);
  return Math.hypot(...g.map((value, i) => value - w[i]!)) / Math.hypot(...w);
}

const point = (random: () => number, dim: number, c: number): reference.Point =>
  reference.pointsOf(pointAt(random, dim, 0.05 + 0.85 * random(), c), dim, c)[0]!;

for (const c of CURVATURES)
  for (const dim of DIMS) {
    gradient(`distance, Möbius sum: dim ${dim}, c ${c}`, () => {
      const random = seededRandom(1);
      for (let round = 0; round < 20; ++round) {
        const [x, y, g] = [point(random, dim, c), point(random, dim, c), point(random, dim, c).at];
        const ofX = reference.poincareDistanceGradient(x, y, c);
        assert.ok(relativeError([numericalGradient((p) => reference.poincareDistance(p, y, c), x, c)], [ofX]) <= 1e-8);
        const image = (v: reference.Point, r: reference.Point): number =>
          reference.mobiusAdd(v, r, c).at.reduce((sum, value, i) => sum + value * g[i]!, 0);
        const pulled = reference.mobiusAddGradient(x, y, g, c);
        assert.ok(relativeError([numericalGradient((p) => image(p, y), x, c)], [pulled.v]) <= 1e-8);
        assert.ok(relativeError([numericalGradient((p) => image(x, p), y, c)], [pulled.r]) <= 1e-8);
      }
    });

    gradient(`L_K, with respect to item, relations, tails: dim ${dim}, c ${c}`, () => {
      const random = seededRandom(2);
      for (const degree of [1, 2, 3, 12]) {
        const v = point(random, dim, c);
        const neighbors = Array.from({ length: degree }, () => ({ relation: point(random, dim, c), tail: point(random, dim, c) }));
        const loss = (): number => reference.neighborhood(v, neighbors, c).distance;
        const analytic = reference.neighborhoodGradient(v, neighbors, c);
        const numerical = [numericalGradient((p) => reference.neighborhood(p, neighbors, c).distance, v, c)];
        for (const neighbor of neighbors)
          for (const side of ['relation', 'tail'] as const) {
            const before = neighbor[side];
            numerical.push(
              numericalGradient(
                (p) => {
                  neighbor[side] = p;
                  return loss();
                },
                before,
                c,
              ),
            );
            neighbor[side] = before;
          }
        const error = relativeError(numerical, [analytic.item, ...analytic.neighbors.flatMap(({ relation, tail }) => [relation, tail])]);
        assert.ok(error <= 1e-7, `degree ${degree}: ${error}`);
      }
    });
  }

/** With Eq. 3, or with so many shared negatives. */
function bilevelProblem(dim: number, c: number, shared: number): reference.BilevelProblem {
  const random = seededRandom(3);
  const { beta, ...args } = bilevelInputs(random, dim, c, () => 0.1 + 0.6 * random());
  const problem = { ...args, tables: tablesOf(args, c), beta: Float64Array.from(beta) };
  if (shared === 0) return problem;
  const [inner, outer] = [args.inner, args.outer].map((batch) => withSharedNegatives(random, batch, beta.length, shared)) as [
    reference.Batch,
    reference.Batch,
  ];
  return { ...problem, inner, outer };
}

gradient('sampled softmax with one negative is Eq. 3; with the same negative k times, ln(1 + k e^z)', () => {
  for (const c of CURVATURES) {
    const random = seededRandom(6);
    for (let round = 0; round < 20; ++round) {
      const [u, p, n] = [point(random, 7, c), point(random, 7, c), point(random, 7, c)];
      const one = reference.rankingLoss(u, p, n, c);
      assert.ok(Math.abs(reference.softmaxLoss(u, p, [n], c) - one) <= 1e-14 * (1 + one));
      const five = Math.log1p(5 * Math.exp(reference.poincareDistance(u, p, c) - reference.poincareDistance(u, n, c)));
      assert.ok(Math.abs(reference.softmaxLoss(u, p, [n, n, n, n, n], c) - five) <= 1e-14 * (1 + five));
      assert.is(reference.softmaxLoss(u, p, [], c), 0);
    }
  }
});

for (const [c, dim, shared] of CURVATURES.flatMap((c) => [2, 7].flatMap((dim) => [0, 1, 5].map((shared) => [c, dim, shared] as const)))) {
  const label = `dim ${dim}, c ${c}${shared === 0 ? '' : `, ${shared} shared negatives`}`;
  gradient(`J_inner, with respect to all of Θ: ${label}`, () => {
    const { tables, graph, beta, inner } = bilevelProblem(dim, c, shared);
    const analytic = reference.innerLossGradient(tables, graph, beta, inner, c);
    for (const name of ['users', 'entities', 'relations'] as const) {
      const numerical = tables[name].map((before, row) => {
        const result = numericalGradient(
          (p) => {
            tables[name][row] = p;
            return reference.innerLoss(tables, graph, beta, inner, c);
          },
          before,
          c,
        );
        tables[name][row] = before;
        return result;
      });
      const error = relativeError(numerical, analytic[name]);
      assert.ok(error <= 1e-7, `${name}: ${error}`);
    }
  });

  gradient(`the hypergradient is the derivative of the whole lookahead: ${label}`, () => {
    const problem = bilevelProblem(dim, c, shared);
    for (const outer of [problem.outer, problem.inner]) {
      const analytic = reference.hypergradient({ ...problem, outer }, c);
      const numerical = analytic.map((_, item) =>
        derivative((shift) => {
          const beta = Float64Array.from(problem.beta);
          beta[item]! += shift;
          return reference.lookaheadLoss({ ...problem, outer, beta }, c);
        }, 1e-2),
      );
      const error = relativeError([numerical], [analytic]);
      assert.ok(error <= 1e-8, `${error}`);
      for (const item of WITHOUT_HYPERGRADIENT) assert.is(Math.abs(analytic[item]!), 0, `item ${item}`);
    }
  });
}

for (const { name, reason } of backends()) {
  const usable = reason === undefined && name !== 'cuda-on-host';
  const check = usable ? gradient : gradient.skip;
  if (!usable) console.log(`skipped: distance gradients of 10^5 pairs on ${name}: ${reason ?? 'too slow'}`);
  check(`${name}: (1 − c‖x‖²)/2 · ‖∇d‖ = 1 at both ends of 10^5 pairs`, () => {
    const [pairs, dim] = [25_000, 8];
    for (const c of CURVATURES.slice(1)) {
      const random = seededRandom(4);
      const side = (): Float32Array => table(random, pairs, dim, c, () => mixedRadius(random));
      const [x, y] = [side(), side()];
      const { gradX, gradY } = kernelGradient(x, y, dim, new Float32Array(pairs).fill(1), { curvature: c, backend: name as 'cpu' });
      let worst = 0;
      for (const [at, of] of [
        [x, gradX],
        [y, gradY],
      ] as const) {
        const points = reference.pointsOf(at, dim, c);
        const slopes = reference.pointsOf(of, dim, 0);
        for (let i = 0; i < pairs; ++i) worst = Math.max(worst, Math.abs((points[i]!.gap / 2) * Math.hypot(...slopes[i]!.at) - 1));
      }
      assert.ok(worst <= 4e-6, `c ${c}: ${worst}`);
    }
  });
}

gradient.run();
