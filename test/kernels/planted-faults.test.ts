// The harness itself: wrong kernels, as they have been written before, go through the comparison that parity uses, and each must be
// reported. The right kernels pass it: parity.test.ts.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Neighborhoods } from '../../lib/kernels.ts';
import {
  type HypergradientInputs,
  type Kernel,
  type KernelCase,
  kernelCases,
  type NeighborhoodInputs,
  type PairGradients,
  type PairInputs,
  type TableGradients,
  type TopK,
  type TopKInputs,
} from './cases.ts';
import { damage, framed } from './frames.ts';
import { tablesOf } from './inputs.ts';
import { dot } from './literal.ts';
import { failures } from './measures.ts';
import * as reference from './reference.ts';

const planted = suite('planted faults');
const float = Math.fround;

function caseOf<Inputs, Outputs>(kernel: Kernel, label: string): KernelCase<Inputs, Outputs> {
  const found = kernelCases.find((one) => one.kernel === kernel && one.label === label);
  assert.ok(found, `${kernel}: ${label}`);
  return found as KernelCase<Inputs, Outputs>;
}

/** `fault` makes wrong outputs of right ones: reported on the named case, where without it nothing is. */
function plant<Inputs, Outputs>(what: string, kernel: Kernel, label: string, fault: (inputs: Inputs, right: Outputs) => Outputs): void {
  planted(`${kernel}: ${what}`, () => {
    const one = caseOf<Inputs, Outputs>(kernel, label);
    const inputs = one.inputs();
    assert.equal(failures(one.measure(inputs, one.run('cpu', inputs))), []);
    const reported = failures(one.measure(inputs, fault(inputs, one.run('cpu', inputs))));
    assert.ok(reported.length > 0, 'not reported');
  });
}

/** Every array moved by one row. */
function shifted(array: Float32Array, dim: number): Float32Array {
  const out = new Float32Array(array.length);
  out.set(array.subarray(0, array.length - dim), dim);
  out.set(array.subarray(array.length - dim), 0);
  return out;
}

// ── distances ──

const PAIRS = 'dim 33, c 1, all radii';

/** Sums in float32, one after the other, as a kernel without care for the gap has them. */
function naiveSums({ x, y, dim }: PairInputs, row: number): { xGap: number; yGap: number; sqdist: number } {
  let [xx, yy, sqdist] = [0, 0, 0];
  for (let i = row * dim; i < (row + 1) * dim; ++i) {
    xx = float(xx + float(x[i]! * x[i]!));
    yy = float(yy + float(y[i]! * y[i]!));
    sqdist = float(sqdist + float(float(x[i]! - y[i]!) ** 2));
  }
  return { xGap: float(1 - xx), yGap: float(1 - yy), sqdist };
}

/** For c = 1. */
const naive = (formula: (inputs: PairInputs, row: number) => number) => (inputs: PairInputs, right: Float32Array) =>
  right.map((_, row) => formula(inputs, row));

plant<PairInputs, Float32Array>(
  'the gap in float32',
  'poincareDistance',
  PAIRS,
  naive((inputs, row) => {
    const { xGap, yGap, sqdist } = naiveSums(inputs, row);
    return 2 * Math.asinh(Math.sqrt(sqdist / (xGap * yGap)));
  }),
);
/** Only this far from the boundary are gaps in float32 exact enough to leave one fault alone. */
const inside = (fault: (inputs: PairInputs, row: number) => number) => (inputs: PairInputs, right: Float32Array) => {
  const points = [inputs.x, inputs.y].map((side) => reference.pointsOf(side, inputs.dim, inputs.curvature));
  return right.map((value, row) => (points.every((side) => side[row]!.gap > 0.1) ? fault(inputs, row) : value));
};
plant<PairInputs, Float32Array>(
  'arcosh(1 + 2q) in float32',
  'poincareDistance',
  PAIRS,
  inside((inputs, row) => {
    const { xGap, yGap, sqdist } = naiveSums(inputs, row);
    return Math.acosh(float(1 + float((2 * sqdist) / (xGap * yGap))));
  }),
);
plant<PairInputs, Float32Array>(
  '‖x‖² + ‖y‖² − 2⟨x, y⟩ for ‖x − y‖²',
  'poincareDistance',
  PAIRS,
  inside(({ x, y, dim }, row) => {
    let [xx, yy, xy] = [0, 0, 0];
    for (let i = row * dim; i < (row + 1) * dim; ++i) {
      xx = float(xx + float(x[i]! * x[i]!));
      yy = float(yy + float(y[i]! * y[i]!));
      xy = float(xy + float(x[i]! * y[i]!));
    }
    return 2 * Math.asinh(Math.sqrt(Math.max(0, float(float(xx + yy) - 2 * xy)) / ((1 - xx) * (1 - yy))));
  }),
);
plant<PairInputs, Float32Array>('an epsilon under the root', 'poincareDistance', PAIRS, (inputs, right) => {
  const [xs, ys] = [inputs.x, inputs.y].map((side) => reference.pointsOf(side, inputs.dim, 1)) as [reference.Point[], reference.Point[]];
  return right.map((value, i) =>
    value < 1e-3 ? 2 * Math.asinh(Math.sqrt(Math.sinh(value / 2) ** 2 + 1e-15 / (xs[i]!.gap * ys[i]!.gap))) : value,
  );
});
plant<PairInputs, Float32Array>('off by one row', 'poincareDistance', PAIRS, (_, right) => shifted(right, 1));
plant<PairInputs, Float32Array>('half the distance', 'poincareDistance', PAIRS, (_, right) => right.map((value) => value / 2));
plant<PairInputs, Float32Array>('curvature left out', 'poincareDistance', 'dim 33, c 0.3, all radii', ({ curvature }, right) =>
  right.map((value) => value * Math.sqrt(curvature)),
);
plant<PairInputs, Float32Array>('the last row is missing', 'poincareDistance', PAIRS, (_, right) => right.slice(0, -1));
plant<PairInputs, Float32Array>('one distance is 5e-6 too long', 'poincareDistance', PAIRS, (_, right) =>
  right.map((value, i) => (i === 40 ? value * (1 + 5e-6) : value)),
);

plant<PairInputs, PairGradients>('the sign', 'poincareDistanceGradient', PAIRS, (_, { gradX, gradY }) => ({
  gradX: gradX.map((value) => -value),
  gradY,
}));
plant<PairInputs, PairGradients>('the two sides exchanged', 'poincareDistanceGradient', PAIRS, (_, { gradX, gradY }) => ({
  gradX: gradY,
  gradY: gradX,
}));
plant<PairInputs, PairGradients>('off by one row', 'poincareDistanceGradient', PAIRS, ({ dim }, { gradX, gradY }) => ({
  gradX,
  gradY: shifted(gradY, dim),
}));
plant<PairInputs, PairGradients>('Riemannian instead of Euclidean', 'poincareDistanceGradient', PAIRS, ({ x, dim }, { gradX, gradY }) => {
  const points = reference.pointsOf(x, dim, 1);
  return { gradX: gradX.map((value, i) => value * (points[Math.floor(i / dim)]!.gap / 2) ** 2), gradY };
});
plant<PairInputs, PairGradients>(
  'a direction at coincident points',
  'poincareDistanceGradient',
  PAIRS,
  ({ x, y, dim }, { gradX, gradY }) => ({
    gradX: gradX.map((value, i) => {
      const row = Math.floor(i / dim) * dim;
      return x.subarray(row, row + dim).every((one, axis) => one === y[row + axis]) ? value + 1e-6 : value;
    }),
    gradY,
  }),
);
plant<PairInputs, PairGradients>(
  'without the pull to the boundary, (c s/A) x',
  'poincareDistanceGradient',
  PAIRS,
  ({ x, y, dim, upstream }, { gradY }) => ({
    gradX: x.map((value, i) => {
      const row = Math.floor(i / dim);
      const [at, to] = [x, y].map((side) => reference.pointsOf(side.subarray(row * dim, (row + 1) * dim), dim, 1)[0]!) as [
        reference.Point,
        reference.Point,
      ];
      const sqdist = at.at.reduce((sum, one, axis) => sum + (one - to.at[axis]!) ** 2, 0);
      return sqdist === 0 ? 0 : (upstream[row]! * 2 * (value - y[i]!)) / Math.sqrt(sqdist * (sqdist + at.gap * to.gap));
    }),
    gradY,
  }),
);

// ── neighbourhoods ──

const GRAPH = 'dim 8, c 0.3, middle radii';

/** Recomputes the outputs with attention weights changed in the way given. */
function reweighted(inputs: NeighborhoodInputs, change: (weight: number, neighbor: reference.Neighbor) => number): Neighborhoods {
  const { items, graph, dim, curvature: c } = inputs;
  const tables = tablesOf(inputs, c);
  const attention: number[] = [];
  for (const item of items) {
    const neighbors = reference.neighborsOf(item, graph, tables);
    const right = reference.neighborhood(tables.entities[item]!, neighbors, c).attention;
    const changed = neighbors.map((neighbor, j) => change(right[j]!, neighbor));
    const total = changed.reduce((sum, weight) => sum + weight, 0);
    attention.push(...changed.map((weight) => weight / total));
  }
  return {
    midpoint: new Float32Array(items.length * dim),
    attention: Float32Array.from(attention),
    distance: new Float32Array(items.length),
  };
}

plant<NeighborhoodInputs, Neighborhoods>('weights without the Lorentz factor', 'neighborhood', GRAPH, (inputs, right) => ({
  ...right,
  attention: reweighted(inputs, (weight, { tail }) => (weight * tail.gap) / (2 - tail.gap)).attention,
}));
plant<NeighborhoodInputs, Neighborhoods>('the Lorentz factor of the ball coordinates', 'neighborhood', GRAPH, (inputs, right) => ({
  ...right,
  attention: reweighted(inputs, (weight, { tail }) => (weight * tail.gap) / (2 - tail.gap) / Math.sqrt(tail.gap)).attention,
}));
plant<NeighborhoodInputs, Neighborhoods>('weights of equal size', 'neighborhood', GRAPH, (inputs, right) => ({
  ...right,
  attention: reweighted(inputs, () => 1).attention,
}));
plant<NeighborhoodInputs, Neighborhoods>('off by one item', 'neighborhood', GRAPH, (_, right) => ({
  ...right,
  distance: shifted(right.distance, 1),
}));
plant<NeighborhoodInputs, Neighborhoods>('the midpoint in Klein coordinates', 'neighborhood', GRAPH, ({ dim, curvature: c }, right) => ({
  ...right,
  midpoint: Float32Array.from(
    reference.pointsOf(right.midpoint, dim, c).flatMap(({ at, gap }) => Array.from(at, (value) => (2 * value) / (2 - gap))),
  ),
}));
plant<NeighborhoodInputs, Neighborhoods>(
  'the midpoint of an item without triples is 0',
  'neighborhood',
  GRAPH,
  ({ dim, items, graph }, right) => ({
    ...right,
    midpoint: right.midpoint.map((value, i) => {
      const item = items[Math.floor(i / dim)]!;
      return graph.offsets[item] === graph.offsets[item + 1] ? 0 : value;
    }),
  }),
);

const scaledBy = (factor: number, array: Float32Array): Float32Array => array.map((value) => factor * value);
plant<NeighborhoodInputs, TableGradients>('the sign', 'neighborhoodGradient', GRAPH, (_, right) => ({
  ...right,
  entities: scaledBy(-1, right.entities),
}));
plant<NeighborhoodInputs, TableGradients>('no gradient of relations', 'neighborhoodGradient', GRAPH, (_, right) => ({
  ...right,
  relations: scaledBy(0, right.relations),
}));
plant<NeighborhoodInputs, TableGradients>('off by one entity', 'neighborhoodGradient', GRAPH, ({ dim }, right) => ({
  ...right,
  entities: shifted(right.entities, dim),
}));

/** The gradient with one part of each item's left out. */
function partial(
  { items, upstream, graph, curvature: c, ...args }: NeighborhoodInputs,
  part: (sum: reference.TableGradient, factor: number, item: number, tables: reference.Tables) => void,
): TableGradients {
  const tables = tablesOf(args, c);
  const sum = reference.zeroGradient(tables);
  for (const [i, item] of items.entries()) {
    reference.addKnowledgeGradient(sum, upstream[i]!, item, graph, tables, c);
    part(sum, -upstream[i]!, item, tables);
  }
  const flat = (rows: Float64Array[]): Float32Array => Float32Array.from(rows.flatMap((row) => Array.from(row)));
  return { entities: flat(sum.entities), relations: flat(sum.relations) };
}
function addTo(sum: Float64Array, factor: number, x: Float64Array): void {
  for (let i = 0; i < sum.length; ++i) sum[i]! += factor * x[i]!;
}
plant<NeighborhoodInputs, TableGradients>('the last tail of every item left out', 'neighborhoodGradient', GRAPH, (inputs) =>
  partial(inputs, (sum, factor, item, tables) => {
    const { graph, curvature } = inputs;
    const last = reference
      .neighborhoodGradient(tables.entities[item]!, reference.neighborsOf(item, graph, tables), curvature)
      .neighbors.at(-1);
    if (last) addTo(sum.entities[graph.tails[graph.offsets[item + 1]! - 1]!]!, factor, last.tail);
  }),
);
plant<NeighborhoodInputs, TableGradients>('repeated items count once', 'neighborhoodGradient', GRAPH, (inputs) => {
  const upstream = inputs.upstream.map((value, i) => (inputs.items.indexOf(inputs.items[i]!) === i ? value : 0));
  return partial({ ...inputs, upstream }, () => {});
});
plant<NeighborhoodInputs, TableGradients>(
  'cut at the neighbours: only the item has a gradient',
  'neighborhoodGradient',
  GRAPH,
  (inputs, right) => ({
    entities: partial(inputs, (sum, factor, item, tables) => {
      const { graph, curvature } = inputs;
      const { neighbors } = reference.neighborhoodGradient(tables.entities[item]!, reference.neighborsOf(item, graph, tables), curvature);
      for (const [j, { tail }] of neighbors.entries()) addTo(sum.entities[graph.tails[graph.offsets[item]! + j]!]!, factor, tail);
    }).entities,
    relations: right.relations,
  }),
);

// ── hypergradient ──

const BATCH = 'dim 8, c 0.3, middle radii';

plant<HypergradientInputs, Float32Array>('the sign', 'hypergradient', BATCH, (_, right) => scaledBy(-1, right));
plant<HypergradientInputs, Float32Array>('off by one item', 'hypergradient', BATCH, (_, right) => shifted(right, 1));

/** The hypergradient as it should be, but for what `changed` says. */
function changedHypergradient(
  inputs: HypergradientInputs,
  changed: { neighbors?: false; counts?: false; lookahead?: false; means?: true },
): Float32Array {
  const { graph, beta, inner, outer = inner, innerLearningRate: rate, curvature: c } = inputs;
  const tables = tablesOf(inputs, c);
  const step = changed.lookahead === false ? 0 : rate;
  const lookahead = reference.moved(tables, step, reference.innerLossGradient(tables, graph, beta, inner, c), c);
  const ofOuter = reference.outerLossGradient(lookahead, outer, c);
  const out = new Float32Array(beta.length);
  for (const [item, count] of reference.positiveCounts(inner)) {
    const ofItem = reference.zeroGradient(tables);
    reference.addKnowledgeGradient(ofItem, 1, item, graph, tables, c);
    if (changed.neighbors === false) for (const [row, gradient] of ofItem.entities.entries()) if (row !== item) gradient.fill(0);
    let product = 0;
    for (const [row, gradient] of ofItem.entities.entries()) product += dot(gradient, ofOuter.entities[row]!);
    const weight = reference.sigmoid(beta[item]!);
    out[item] = -rate * weight * (1 - weight) * (changed.counts === false ? 1 : count) * product;
    if (changed.means) out[item]! /= inner.users.length;
  }
  return out;
}
planted('hypergradient: the frame of the faults below is right', () => {
  const one = caseOf<HypergradientInputs, Float32Array>('hypergradient', BATCH);
  const inputs = one.inputs();
  assert.equal(failures(one.measure(inputs, changedHypergradient(inputs, {}))), []);
});
plant<HypergradientInputs, Float32Array>('only the item, not its neighbours in the batch', 'hypergradient', BATCH, (inputs) =>
  changedHypergradient(inputs, { neighbors: false }),
);
plant<HypergradientInputs, Float32Array>('repeated positives count once', 'hypergradient', BATCH, (inputs) =>
  changedHypergradient(inputs, { counts: false }),
);
plant<HypergradientInputs, Float32Array>('∇J_outer at Θ instead of the lookahead', 'hypergradient', BATCH, (inputs) =>
  changedHypergradient(inputs, { lookahead: false }),
);
plant<HypergradientInputs, Float32Array>('means instead of sums', 'hypergradient', BATCH, (inputs) =>
  changedHypergradient(inputs, { means: true }),
);
plant<HypergradientInputs, Float32Array>('the outer batch ignored', 'hypergradient', BATCH, ({ outer: _, ...inputs }) =>
  changedHypergradient(inputs, {}),
);

// ── top-K ──

const LISTS = 'dim 7, c 1, mixed radii';

const withItems = (right: TopK, change: (items: Uint32Array) => void): TopK => {
  const items = right.items.slice();
  change(items);
  return { ...right, items };
};
plant<TopKInputs, TopK>('two neighbours of a list exchanged', 'topK', LISTS, (_, right) =>
  withItems(right, (items) => items.set([items[4]!, items[3]!], 3)),
);
plant<TopKInputs, TopK>('ties by larger id', 'topK', 'every item stands four times', (_, right) =>
  withItems(right, (items) => items.set([items[1]!, items[0]!], 0)),
);
plant<TopKInputs, TopK>('an item stands twice', 'topK', LISTS, (_, right) => withItems(right, (items) => items.copyWithin(1, 0, 1)));
plant<TopKInputs, TopK>('excluded items are listed', 'topK', LISTS, ({ exclude: _, ...inputs }) =>
  caseOf<TopKInputs, TopK>('topK', LISTS).run('cpu', inputs),
);
plant<TopKInputs, TopK>('the exclusions of the next user', 'topK', LISTS, ({ exclude, ...inputs }) => {
  const lists = Array.from({ length: exclude!.offsets.length - 1 }, (_, i) =>
    exclude!.items.slice(exclude!.offsets[i], exclude!.offsets[i + 1]),
  );
  lists.push(lists.shift()!);
  const offsets = exclude!.offsets.slice();
  for (const [i, list] of lists.entries()) offsets[i + 1] = offsets[i]! + list.length;
  const items = Uint32Array.from(lists.flatMap((list) => Array.from(list)));
  return caseOf<TopKInputs, TopK>('topK', LISTS).run('cpu', { ...inputs, exclude: { offsets, items } });
});
plant<TopKInputs, TopK>('no padding', 'topK', 'fewer candidates than k', (_, right) =>
  withItems(right, (items) => items.set(items.map((item) => (item === 0xffffffff ? 0 : item)))),
);
plant<TopKInputs, TopK>('distances of the wrong curvature', 'topK', 'dim 7, c 0.3, mixed radii', (_, right) => ({
  ...right,
  distances: scaledBy(2, right.distances),
}));
plant<TopKInputs, TopK>(
  'ordered by ‖u‖² + ‖v‖² − 2⟨u, v⟩ in float32',
  'topK',
  'dim 8, c 1, users at the edge, items in a tight cluster',
  (inputs, right) => {
    const { users, items, dim, k } = inputs;
    const score = (user: number, item: number): number => {
      let [uu, vv, uv] = [0, 0, 0];
      for (let i = 0; i < dim; ++i) {
        const [a, b] = [users[user * dim + i]!, items[item * dim + i]!];
        uu = float(uu + float(a * a));
        vv = float(vv + float(b * b));
        uv = float(uv + float(a * b));
      }
      return float(float(uu + vv) - 2 * uv) / (1 - vv);
    };
    return withItems(right, (out) => {
      for (let user = 0; user < users.length / dim; ++user) {
        const order = Array.from({ length: items.length / dim }, (_, item) => ({ item, at: score(user, item) })).sort(
          (a, b) => a.at - b.at,
        );
        for (let place = 0; place < k; ++place) out[user * k + place] = order[place]!.item;
      }
    });
  },
);

// ── any kernel ──

for (const kernel of [
  'poincareDistance',
  'poincareDistanceGradient',
  'neighborhood',
  'neighborhoodGradient',
  'hypergradient',
  'topK',
] as const)
  planted(`${kernel}: a NaN or an infinity anywhere, or a length that is wrong`, () => {
    const one = kernelCases.find((each) => each.kernel === kernel && each.label.startsWith('dim 33, c 1,'))!;
    const inputs = one.inputs();
    const right = one.run('cpu', inputs) as object;
    const outputs: Record<string, unknown> = right instanceof Float32Array ? { only: right } : { ...right };
    const measure = (changed: Record<string, unknown>): string[] =>
      failures(one.measure(inputs, right instanceof Float32Array ? changed.only : changed));
    for (const [name, array] of Object.entries(outputs)) {
      if (array instanceof Float32Array)
        for (const at of [0, array.length >> 1, array.length - 1])
          for (const value of [Number.NaN, Number.POSITIVE_INFINITY]) {
            const changed = array.slice();
            changed[at] = value;
            assert.ok(measure({ ...outputs, [name]: changed }).length > 0, `${name}[${at}] = ${value}`);
          }
      const typed = array as Float32Array | Uint32Array;
      assert.ok(measure({ ...outputs, [name]: typed.subarray(1) }).length > 0, `${name} is too short`);
    }
  });

planted('a write just outside of an array', () => {
  const { inputs } = kernelCases.find(({ kernel }) => kernel === 'neighborhood')!;
  for (const [offset, expected] of [
    [-1, /^inputs\.entities: byte -\d+ of/],
    [0, /^inputs\.entities: byte \d+ of/],
  ] as const) {
    const { inputs: views, frames } = framed(inputs() as NeighborhoodInputs);
    assert.equal(damage(frames), []);
    const { buffer, byteOffset, byteLength } = views.entities;
    new Uint8Array(buffer)[offset < 0 ? byteOffset - 1 : byteOffset + byteLength] = 0;
    assert.is(damage(frames).length, 1);
    assert.match(damage(frames)[0]!, expected);
  }
});

planted.run();
