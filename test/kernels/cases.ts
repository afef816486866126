/**
 * THE TABLE: every public kernel and the training step, seeded inputs, the float64 reference and a tolerance per output. Parity runs it on every
 * backend; guards and planted faults take their inputs from here. A new kernel gets its cases here.
 *
 * The tolerances are the accuracy that is promised everywhere with √c‖x‖ ≤ 1 − 1e-5, relative to: each distance, each attention weight,
 * each L_K; the norm of each row of a distance gradient or of the midpoints; the norm of the whole array for the gradients of L_K and the
 * hypergradient.
 */
import * as kernels from '../../lib/kernels.ts';
import { type BilevelStep, native } from '../../lib/native.ts';
import { seededRandom } from '../helpers.ts';
import {
  batchOf,
  bilevelInputs,
  concatenated,
  EDGE,
  graphOf,
  insideLearningRate,
  integer,
  mixedRadius,
  pointAlong,
  pointAt,
  pointNear,
  RADII,
  type Random,
  table,
  tablesOf,
  withSharedNegatives,
} from './inputs.ts';
import { arrayError, flooredError, type Measurement, rowError } from './measures.ts';
import * as reference from './reference.ts';

export const TOLERANCE = {
  distance: 2e-6,
  distanceGradient: 5e-6,
  neighborhood: 1e-5,
  neighborhoodGradient: 1e-4,
  hypergradient: 1e-4,
  bilevelStep: 1e-4,
  /** Two distances that are nearer than this, relative, may stand in either order. */
  tie: 1e-12,
} as const;

/** Attention weights and L_K below this (a self-loop beside far tails) need not be told from it: float32 soon ends. */
const FLOOR = 1e-30;

const CURVATURES: readonly number[] = [1, 0.015625, 0.3, 5];
const DIMS: readonly number[] = [1, 2, 3, 7, 8, 31, 32, 33, 64, 100, 128, 256];

export interface KernelCase<Inputs = unknown, Outputs = unknown> {
  kernel: Kernel;
  label: string;
  /** Few enough operations for the CUDA kernels as fibers on the host, and together every branch of theirs. */
  onHost: boolean;
  /** The same at every call. */
  inputs(): Inputs;
  run(backend: string, inputs: Inputs): Outputs;
  measure(inputs: Inputs, outputs: Outputs): Measurement[];
}

/** How a kernel is called and judged; a case adds inputs. */
interface KernelRow<Inputs, Outputs> {
  run(options: kernels.KernelOptions, inputs: Inputs): Outputs;
  measure(inputs: Inputs, outputs: Outputs): Measurement[];
}

interface Curved {
  curvature: number;
}
export interface PairInputs extends Curved {
  x: Float32Array;
  y: Float32Array;
  dim: number;
  upstream: Float32Array;
}
export interface NeighborhoodInputs extends kernels.NeighborhoodArguments, Curved {
  upstream: Float32Array;
}
export interface HypergradientInputs extends kernels.HypergradientArguments, Curved {}
export interface BilevelStepInputs extends Omit<kernels.HypergradientArguments, 'inner' | 'outer'>, Curved {
  batch: reference.Batch;
  /** On all distances. */
  scale: number;
}
export interface TopKInputs extends kernels.TopKArguments, Curved {}
export type PairGradients = ReturnType<typeof kernels.poincareDistanceGradient>;
export type TableGradients = ReturnType<typeof kernels.neighborhoodGradient>;
export type TopK = ReturnType<typeof kernels.topK>;

export const KERNELS: {
  poincareDistance: KernelRow<PairInputs, Float32Array>;
  poincareDistanceGradient: KernelRow<PairInputs, PairGradients>;
  neighborhood: KernelRow<NeighborhoodInputs, kernels.Neighborhoods>;
  neighborhoodGradient: KernelRow<NeighborhoodInputs, TableGradients>;
  hypergradient: KernelRow<HypergradientInputs, Float32Array>;
  bilevelStep: KernelRow<BilevelStepInputs, BilevelStep>;
  topK: KernelRow<TopKInputs, TopK>;
} = {
  poincareDistance: {
    run: (options, { x, y, dim }) => kernels.poincareDistance(x, y, dim, options),
    measure({ x, y, dim, curvature: c }, distance) {
      const [xs, ys] = [reference.pointsOf(x, dim, c), reference.pointsOf(y, dim, c)];
      const want = xs.map((point, i) => reference.poincareDistance(point, ys[i]!, c));
      return [{ output: 'distance', error: rowError(distance, want), tolerance: TOLERANCE.distance }];
    },
  },
  poincareDistanceGradient: {
    run: (options, { x, y, dim, upstream }) => kernels.poincareDistanceGradient(x, y, dim, upstream, options),
    measure({ x, y, dim, upstream, curvature: c }, gradients) {
      const [xs, ys] = [reference.pointsOf(x, dim, c), reference.pointsOf(y, dim, c)];
      const side = (from: reference.Point[], to: reference.Point[]): number[] =>
        from.flatMap((point, i) => Array.from(reference.poincareDistanceGradient(point, to[i]!, c), (value) => upstream[i]! * value));
      const tolerance = TOLERANCE.distanceGradient;
      return [
        { output: 'gradX', error: rowError(gradients.gradX, side(xs, ys), dim), tolerance },
        { output: 'gradY', error: rowError(gradients.gradY, side(ys, xs), dim), tolerance },
      ];
    },
  },
  neighborhood: {
    run: (options, { upstream: _, curvature: __, ...args }) => kernels.neighborhood(args, options),
    measure({ graph, items, curvature: c, temperature, ...args }, outputs) {
      const tables = tablesOf(args, c);
      const want = Array.from(items, (item) =>
        reference.neighborhood(tables.entities[item]!, reference.neighborsOf(item, graph, tables), c, temperature),
      );
      const midpoint = want.flatMap((one) => Array.from(one.midpoint.at));
      const attention = want.flatMap((one) => Array.from(one.attention));
      const distance = want.map((one) => one.distance);
      const tolerance = TOLERANCE.neighborhood;
      return [
        { output: 'midpoint', error: rowError(outputs.midpoint, midpoint, args.dim), tolerance },
        { output: 'attention', error: flooredError(outputs.attention, attention, FLOOR), tolerance },
        { output: 'distance', error: flooredError(outputs.distance, distance, FLOOR), tolerance },
      ];
    },
  },
  neighborhoodGradient: {
    run: (options, { curvature: _, ...args }) => kernels.neighborhoodGradient(args, options),
    measure({ graph, items, upstream, curvature: c, temperature, ...args }, outputs) {
      const tables = tablesOf(args, c);
      const want = reference.zeroGradient(tables);
      for (const [i, item] of items.entries()) reference.addKnowledgeGradient(want, upstream[i]!, item, graph, tables, c, temperature);
      const flat = (rows: Float64Array[]): number[] => rows.flatMap((row) => Array.from(row));
      const tolerance = TOLERANCE.neighborhoodGradient;
      return [
        { output: 'entities', error: arrayError(outputs.entities, flat(want.entities)), tolerance },
        { output: 'relations', error: arrayError(outputs.relations, flat(want.relations)), tolerance },
      ];
    },
  },
  hypergradient: {
    run: (options, { curvature: _, ...args }) => kernels.hypergradient(args, options),
    measure({ graph, beta, inner, outer = inner, innerLearningRate, curvature: c, ...args }, gradient) {
      const want = reference.hypergradient({ tables: tablesOf(args, c), graph, beta, inner, outer, innerLearningRate }, c);
      return [{ output: 'hypergradient', error: arrayError(gradient, want), tolerance: TOLERANCE.hypergradient }];
    },
  },
  bilevelStep: {
    run: ({ backend, curvature }, { users, entities, relations, dim, graph, beta, batch, innerLearningRate, scale }) =>
      native.bilevelStep(
        ...[backend!, users, entities, relations, dim, graph.offsets, graph.relations, graph.tails, beta],
        ...[batch.users, batch.positives, batch.negatives, batch.leftOut ?? null, innerLearningRate, scale, curvature!],
      ),
    measure({ graph, beta, batch, innerLearningRate, scale, curvature: c, ...args }, outputs) {
      // scale·d_c(x, y) = d_{c/scale²}(scale·x, scale·y), so that the reference knows no scale but that of its coordinates.
      const scaled = (s: number): reference.Tables => {
        const by = (rows: Float32Array): Float64Array => Float64Array.from(rows, (value) => s * value);
        return tablesOf({ users: by(args.users), entities: by(args.entities), relations: by(args.relations), dim: args.dim }, c / (s * s));
      };
      const curvature = c / (scale * scale);
      const tables = scaled(scale);
      const want = reference.innerLossGradient(tables, graph, beta, batch, curvature);
      const flat = (rows: Float64Array[]): number[] => rows.flatMap((row) => Array.from(row, (value) => scale * value));
      const loss = Array.from(batch.users, (user, i) => reference.sampleLoss(tables.users[user]!, tables.entities, batch, i, curvature));
      const at = (s: number): number => reference.innerLoss(scaled(s), graph, beta, batch, c / (s * s));
      const h = 1e-3 * scale;
      const ofScale = (8 * (at(scale + h) - at(scale - h)) - (at(scale + 2 * h) - at(scale - 2 * h))) / (12 * h);
      const problem = { tables, graph, beta, inner: batch, outer: batch, innerLearningRate: innerLearningRate * scale * scale };
      const tolerance = TOLERANCE.bilevelStep;
      return [
        { output: 'loss', error: flooredError(outputs.loss, loss, FLOOR), tolerance },
        { output: 'scaleGradient', error: Math.abs(outputs.scaleGradient - ofScale) / (Math.abs(ofScale) + at(scale) / scale), tolerance },
        { output: 'users', error: arrayError(outputs.users, flat(want.users)), tolerance },
        { output: 'entities', error: arrayError(outputs.entities, flat(want.entities)), tolerance },
        { output: 'relations', error: arrayError(outputs.relations, flat(want.relations)), tolerance },
        { output: 'hypergradient', error: arrayError(outputs.hypergradient, reference.hypergradient(problem, curvature)), tolerance },
      ];
    },
  },
  topK: {
    run: (options, { curvature: _, ...args }) => kernels.topK(args, options),
    measure({ users, items, dim, k, exclude, curvature: c }, outputs) {
      const [from, to] = [reference.pointsOf(users, dim, c), reference.pointsOf(items, dim, c)];
      if (outputs.items.length !== from.length * k || outputs.distances.length !== from.length * k)
        return [{ output: 'length', error: Number.POSITIVE_INFINITY, tolerance: 0 }];
      let misplaced = 0;
      let distanceError = 0;
      for (const [i, user] of from.entries()) {
        const excluded = new Set(exclude?.items.subarray(exclude.offsets[i], exclude.offsets[i + 1]));
        const want = reference.topK(user, to, k, excluded, c);
        const listed = new Set<number>();
        for (let place = 0; place < k; ++place) {
          const got = outputs.items[i * k + place]!;
          const distance = outputs.distances[i * k + place]!;
          const wanted = want[place];
          if (wanted === undefined) {
            if (got !== 0xffffffff || distance !== Number.POSITIVE_INFINITY) ++misplaced;
            continue;
          }
          if (got !== wanted.item) {
            const other = to[got];
            const valid = other !== undefined && !listed.has(got) && !excluded.has(got);
            // Rows that are one point are equally far whatever the arithmetic: only their ids decide.
            const isTie =
              valid &&
              Math.abs(reference.poincareDistance(user, other, c) - wanted.distance) <= TOLERANCE.tie * wanted.distance &&
              !other.at.every((value, axis) => value === to[wanted.item]!.at[axis]);
            if (!isTie) ++misplaced;
          }
          listed.add(got);
          const actual = to[got] === undefined ? Number.NaN : reference.poincareDistance(user, to[got], c);
          distanceError = Math.max(distanceError, rowError([distance], [actual]));
        }
      }
      return [
        { output: 'misplaced items', error: misplaced, tolerance: 0 },
        { output: 'distances', error: distanceError, tolerance: TOLERANCE.distance },
      ];
    },
  },
};

export type Kernel = keyof typeof KERNELS;

const cases: KernelCase[] = [];
export const kernelCases: readonly KernelCase[] = cases;

function add<Inputs extends Curved, Outputs>(
  kernel: Kernel,
  row: KernelRow<Inputs, Outputs>,
  label: string,
  onHost: boolean,
  inputs: () => Inputs,
): void {
  const one: KernelCase<Inputs, Outputs> = {
    kernel,
    label,
    onHost,
    inputs,
    // The type knows the backends of a published build; a test build has one more.
    run: (backend, args) => row.run({ curvature: args.curvature, backend: backend as 'cpu' }, args),
    measure: row.measure,
  };
  cases.push(one as KernelCase);
}

/** Both kernels of a kind of inputs get every case of it. */
function addPairs(label: string, onHost: boolean, inputs: (random: Random) => PairInputs): void {
  const seed = cases.length;
  const seeded = (): PairInputs => inputs(seededRandom(seed));
  add('poincareDistance', KERNELS.poincareDistance, label, onHost, seeded);
  add('poincareDistanceGradient', KERNELS.poincareDistanceGradient, label, onHost, seeded);
}

// ── pairs of points ──

/** Every two radii in random directions; near, coincident, opposite and aligned points at every radius; the origin. */
function pairsOfAllKinds(random: Random, dim: number, c: number): [Float32Array, Float32Array][] {
  const at = (radius: number): Float32Array => pointAt(random, dim, radius, c);
  const zero = new Float32Array(dim);
  const far = RADII.flatMap((rx) => RADII.map((ry): [Float32Array, Float32Array] => [at(rx), at(ry)]));
  const related = RADII.flatMap((radius, i): [Float32Array, Float32Array][] => {
    const x = at(radius);
    return [
      [x, pointNear(random, x, 1e-3 / Math.sqrt(c), c)],
      [x, x.slice()],
      [x, x.map((value) => -value)],
      [x, pointAlong(x, RADII[(i + 4) % RADII.length]!, c)],
      [zero, x],
      [x, zero],
    ];
  });
  return [...far, ...related, [zero, zero]];
}

for (const c of CURVATURES)
  for (const dim of DIMS) {
    const onHost = c === 1 && [1, 7, 32, 33, 128].includes(dim);
    addPairs(`dim ${dim}, c ${c}, all radii`, onHost, (random) => {
      const pairs = pairsOfAllKinds(random, dim, c);
      const x = concatenated(
        pairs.map(([one]) => one),
        dim,
      );
      const y = concatenated(
        pairs.map(([, other]) => other),
        dim,
      );
      const upstream = Float32Array.from(pairs, (_, i) => (i % 10 === 9 ? 0 : normalUpstream(random)));
      return { x, y, dim, upstream, curvature: c };
    });
  }

function normalUpstream(random: Random): number {
  return (2 * random() - 1) * 10 ** integer(random, 3);
}

addPairs('no rows', true, () => ({ x: new Float32Array(0), y: new Float32Array(0), dim: 64, upstream: new Float32Array(0), curvature: 1 }));
addPairs('20000 rows of mixed radii', false, (random) => {
  const [rows, dim, c] = [20_000, 16, 0.3];
  const side = (): Float32Array => table(random, rows, dim, c, () => mixedRadius(random));
  return { x: side(), y: side(), dim, upstream: Float32Array.from({ length: rows }, () => normalUpstream(random)), curvature: c };
});

// ── neighbourhoods ──

function addNeighborhoods(label: string, onHost: boolean, inputs: (random: Random) => NeighborhoodInputs): void {
  const seed = cases.length;
  const seeded = (): NeighborhoodInputs => inputs(seededRandom(seed));
  add('neighborhood', KERNELS.neighborhood, label, onHost, seeded);
  add('neighborhoodGradient', KERNELS.neighborhoodGradient, label, onHost, seeded);
}

/** Rows of items, of other entities and of relations, given the items. */
interface Arrangement {
  entities(random: Random, items: number, dim: number, c: number): Float32Array;
  relations(random: Random, entities: Float32Array, dim: number, c: number): Float32Array;
  /** Whose tails an item has: its own entities (those with its number, modulo the number of items), or any. */
  tails: 'own' | 'any';
}

const ENTITIES_PER_ITEM = 5;
const RELATIONS = 7;

const allAt = (radius: (random: Random) => number): Arrangement => ({
  entities: (random, items, dim, c) => table(random, ENTITIES_PER_ITEM * items, dim, c, () => radius(random)),
  relations: (random, _, dim, c) => table(random, RELATIONS, dim, c, () => radius(random)),
  tails: 'any',
});

/** Items, and around each of them its entities, at about `distance`/√c. */
const clusters = (distance: number, radius: (random: Random) => number): Arrangement => ({
  entities(random, items, dim, c) {
    const centres = Array.from({ length: items }, () => pointAt(random, dim, radius(random), c));
    const around = Array.from({ length: (ENTITIES_PER_ITEM - 1) * items }, (_, i) =>
      pointNear(random, centres[i % items]!, distance / Math.sqrt(c), c),
    );
    return concatenated([...centres, ...around], dim);
  },
  relations: (random, _, dim, c) => table(random, RELATIONS, dim, c, () => 0.3 * random()),
  tails: 'own',
});

const ARRANGEMENTS: Readonly<Record<string, Arrangement>> = {
  'mixed radii': allAt(mixedRadius),
  'tiny radii': allAt((random) => 10 ** (-6 + 3 * random())),
  'middle radii': allAt((random) => 0.1 + 0.8 * random()),
  'all at the edge': allAt(() => EDGE),
  'tight clusters at mixed radii': clusters(0.01, mixedRadius),
  'clusters at the edge': clusters(0.5, () => EDGE),
  'relations opposite to items': {
    ...allAt(mixedRadius),
    relations: (random, entities, dim, c) =>
      concatenated(
        Array.from({ length: RELATIONS }, (_, i) => {
          const opposite = entities.subarray(i * dim, (i + 1) * dim).map((value) => -value);
          return i < 2 ? opposite : pointNear(random, opposite, 0.5 / Math.sqrt(c), c);
        }),
        dim,
      ),
  },
};

const DEGREES: readonly number[] = [0, 1, 2, 3, 40, 7, 1, 0, 5, 33, 4];

function neighborhoods(
  random: Random,
  arrangement: Arrangement,
  dim: number,
  c: number,
  degrees: readonly number[] = DEGREES,
  listed?: readonly number[],
): NeighborhoodInputs {
  const count = degrees.length;
  const entities = arrangement.entities(random, count, dim, c);
  const relations = arrangement.relations(random, entities, dim, c);
  const graph = graphOf(random, degrees, RELATIONS, (item) =>
    arrangement.tails === 'any' ? integer(random, ENTITIES_PER_ITEM * count) : item + count * (1 + integer(random, ENTITIES_PER_ITEM - 1)),
  );
  const items = Uint32Array.from(listed ?? [3, 3, 1, ...degrees.keys(), 4, 3]);
  const upstream = Float32Array.from(items, () => 2 * random() - 1);
  return { entities, relations, dim, graph, items, upstream, curvature: c };
}

for (const [name, arrangement] of Object.entries(ARRANGEMENTS))
  for (const c of CURVATURES)
    for (const dim of name === 'mixed radii' ? DIMS : [2, 8, 64]) {
      const onHost = (c === 0.3 && dim === 8) || (name === 'mixed radii' && c === 1 && [1, 7, 32, 33, 64, 128].includes(dim));
      addNeighborhoods(`dim ${dim}, c ${c}, ${name}`, onHost, (random) => neighborhoods(random, arrangement, dim, c));
    }

const mixed = ARRANGEMENTS['mixed radii']!;
addNeighborhoods('no items', true, (random) => neighborhoods(random, mixed, 8, 1, DEGREES, []));
addNeighborhoods('no item has triples', true, (random) => neighborhoods(random, mixed, 8, 1, [0, 0, 0, 0, 0]));
addNeighborhoods('some items listed, in no order', true, (random) => neighborhoods(random, mixed, 33, 0.3, DEGREES, [9, 2, 5]));
addNeighborhoods('degree 1000', false, (random) => neighborhoods(random, mixed, 64, 0.3, [2, 1000, 3, 0, 1]));
addNeighborhoods('degree 1000, at the edge', false, (random) =>
  neighborhoods(random, ARRANGEMENTS['all at the edge']!, 8, 1, [2, 1000, 3, 0, 1]),
);
addNeighborhoods('degree 300, few dimensions', true, (random) => neighborhoods(random, mixed, 3, 1, [2, 300, 3, 0, 1]));

for (const c of CURVATURES)
  addNeighborhoods(`coincident tails, self-loops, c ${c}`, c === 1, (random) => {
    const args = neighborhoods(random, ARRANGEMENTS['middle radii']!, 8, c, [1, 4, 3, 2, 6, 5, 2]);
    const { graph, dim, entities } = args;
    const from = (item: number): number => graph.offsets[item]!;
    entities.copyWithin(21 * dim, 20 * dim, 21 * dim); // 20 and 21 are one point
    entities.copyWithin(2 * dim, 22 * dim, 23 * dim); // item 2 and entity 22 are one point
    graph.tails[from(0)] = 0; // its own only tail
    graph.tails.set([20, 21, 20, 21], from(1)); // one tail four times, apart from the item
    graph.tails.set([2, 22, 2], from(2)); // all of its tails are where it is
    graph.tails.set([3, 10], from(3)); // itself and another
    graph.tails.set([20, 20, 11, 11, 12, 4], from(4));
    graph.relations.set([1, 1, 0, 0, 3, 0], from(4)); // triples that repeat
    return args;
  });

addNeighborhoods('one tail and one relation in all of 1500 items', false, (random) => {
  const args = neighborhoods(random, mixed, 8, 1, new Array<number>(1500).fill(3), [...new Array(1500).keys()]);
  for (let item = 0; item < 1500; ++item) {
    args.graph.tails[3 * item + 1] = 1501;
    args.graph.relations[3 * item + 2] = 2;
  }
  return args;
});
addNeighborhoods('2000 items of the tuned size', false, (random) =>
  neighborhoods(
    random,
    mixed,
    64,
    0.015625,
    Array.from({ length: 2000 }, () => integer(random, 12)),
    [...new Array(2000).keys()],
  ),
);

// ── hypergradient ──

function addHypergradient(label: string, onHost: boolean, inputs: (random: Random) => HypergradientInputs): void {
  const seed = cases.length;
  add('hypergradient', KERNELS.hypergradient, label, onHost, () => inputs(seededRandom(seed)));
}

const BATCH_RADII: Readonly<Record<string, (random: Random) => number>> = {
  'middle radii': (random) => 0.1 + 0.6 * random(),
  'tiny radii': (random) => 10 ** (-6 + 3 * random()),
  'mixed radii': mixedRadius,
  'all at the edge': () => EDGE,
};
for (const [name, radius] of Object.entries(BATCH_RADII))
  for (const c of CURVATURES)
    for (const dim of name === 'middle radii' ? DIMS : [2, 8, 64])
      addHypergradient(`dim ${dim}, c ${c}, ${name}`, (c === 1 && [1, 7, 33, 64].includes(dim)) || (c === 0.3 && dim === 8), (random) => ({
        ...bilevelInputs(random, dim, c, () => radius(random)),
        curvature: c,
      }));

const middleBatch = (random: Random): HypergradientInputs & { outer: kernels.Samples } => ({
  ...bilevelInputs(random, 8, 0.3, () => 0.1 + 0.6 * random()),
  curvature: 0.3,
});
const noSamples: kernels.Samples = { users: new Uint32Array(0), positives: new Uint32Array(0), negatives: new Uint32Array(0) };
addHypergradient('outer is inner by default', true, (random) => {
  const { outer: _, ...args } = middleBatch(random);
  return args;
});
addHypergradient('no outer samples', true, (random) => ({ ...middleBatch(random), outer: noSamples }));
addHypergradient('no inner samples', true, (random) => ({ ...middleBatch(random), inner: noSamples }));
addHypergradient('rate 0', true, (random) => ({ ...middleBatch(random), innerLearningRate: 0 }));
addHypergradient('a batch of one', true, (random) => {
  const one = { users: Uint32Array.of(1), positives: Uint32Array.of(1), negatives: Uint32Array.of(2) };
  return { ...middleBatch(random), inner: one, outer: { ...one, negatives: Uint32Array.of(4) } };
});
addHypergradient('a batch of 3000 with one item in most samples', false, (random) => {
  const [users, items, dim, c] = [400, 300, 16, 0.1];
  const radius = (): number => 0.1 + 0.6 * random();
  const batch = (size: number): kernels.Samples => {
    const samples = batchOf(random, size, users, items);
    for (let i = 0; i < size; ++i) if (i % 3 > 0) samples.positives[i] = 7;
    return samples;
  };
  const args = {
    users: table(random, users, dim, c, radius),
    entities: table(random, 2 * items, dim, c, radius),
    relations: table(random, RELATIONS, dim, c, radius),
    dim,
    graph: graphOf(
      random,
      Array.from({ length: items }, () => integer(random, 8)),
      RELATIONS,
      () => integer(random, 2 * items),
    ),
    beta: Float32Array.from({ length: items }, () => 2 * random() - 1),
    inner: batch(3000),
    outer: batch(1000),
  };
  return { ...args, innerLearningRate: insideLearningRate(args, c), curvature: c };
});

// ── top-K ──

function addTopK(label: string, onHost: boolean, inputs: (random: Random) => TopKInputs): void {
  const seed = cases.length;
  add('topK', KERNELS.topK, label, onHost, () => inputs(seededRandom(seed)));
}

/** CSR of random ids, in no order, some of them twice. */
function excluding(random: Random, users: number, items: number, most: number): { offsets: Uint32Array; items: Uint32Array } {
  const lists = Array.from({ length: users }, () => Array.from({ length: integer(random, most + 1) }, () => integer(random, items)));
  const offsets = new Uint32Array(users + 1);
  for (const [i, list] of lists.entries()) offsets[i + 1] = offsets[i]! + list.length;
  return { offsets, items: Uint32Array.from(lists.flat()) };
}

for (const c of CURVATURES)
  for (const dim of DIMS) {
    const onHost = c === 1 && [1, 7, 32, 33, 128].includes(dim);
    addTopK(`dim ${dim}, c ${c}, mixed radii`, onHost, (random) => ({
      users: table(random, 9, dim, c, () => mixedRadius(random)),
      items: table(random, 130, dim, c, () => mixedRadius(random)),
      dim,
      k: 20,
      exclude: excluding(random, 9, 130, 30),
      curvature: c,
    }));
    addTopK(`dim ${dim}, c ${c}, users at the edge, items in a tight cluster`, onHost && dim !== 32, (random) => {
      const centre = pointAt(random, dim, 0.999, c);
      return {
        users: table(random, 5, dim, c, () => EDGE),
        items: concatenated(
          Array.from({ length: 70 }, () => pointNear(random, centre, 0.01 / Math.sqrt(c), c)),
          dim,
        ),
        dim,
        k: 10,
        curvature: c,
      };
    });
  }

const ranking = (random: Random, users: number, items: number, dim: number, k: number, c = 1): TopKInputs => ({
  users: table(random, users, dim, c, () => mixedRadius(random)),
  items: table(random, items, dim, c, () => mixedRadius(random)),
  dim,
  k,
  curvature: c,
});
addTopK('no users', true, (random) => ranking(random, 0, 10, 8, 3));
addTopK('no items', true, (random) => ranking(random, 3, 0, 8, 3));
addTopK('fewer candidates than k', true, (random) => ({ ...ranking(random, 6, 12, 7, 20), exclude: excluding(random, 6, 12, 40) }));
addTopK('k 1', true, (random) => ranking(random, 70, 65, 5, 1));
addTopK('several tiles of users and items', true, (random) => ({
  ...ranking(random, 130, 260, 16, 20),
  exclude: excluding(random, 130, 260, 40),
}));
for (const [dim, k] of [
  [1, 32],
  [3, 33],
  [31, 100],
  [64, 20],
  [65, 1],
  [100, 32],
  [256, 33],
] as const)
  addTopK(`every item stands twice, dim ${dim}, k ${k}`, true, (random) => {
    const args = ranking(random, 5, 150, dim, k);
    args.items.copyWithin(75 * dim, 0, 75 * dim);
    return { ...args, exclude: excluding(random, 5, 150, 30) };
  });
for (const c of [1e-36, 1e-30, 1e30]) addTopK(`all items in order, c ${c}`, true, (random) => ranking(random, 5, 90, 8, 90, c));
addTopK('all items in order', true, (random) => ranking(random, 3, 100, 33, 100));
addTopK('every item stands four times', true, (random) => {
  const args = ranking(random, 8, 80, 8, 30);
  for (let copy = 1; copy < 4; ++copy) args.items.copyWithin(copy * 20 * 8, 0, 20 * 8);
  return args;
});
addTopK('all items are one point', true, (random) => {
  const args = ranking(random, 4, 200, 8, 50);
  for (let copy = 1; copy < 200; ++copy) args.items.copyWithin(copy * 8, 0, 8);
  return { ...args, exclude: excluding(random, 4, 200, 20) };
});
addTopK('users and items are the same points', true, (random) => {
  const args = ranking(random, 40, 40, 3, 8);
  return { ...args, items: args.users.slice() };
});
addTopK('points on a grid, many equally far', false, (random) => {
  const items = Float32Array.from({ length: 2 * 400 }, (_, i) => ((i % 2 === 0 ? (i >> 1) % 20 : Math.floor(i / 40)) - 10) / 16);
  return { users: Float32Array.of(0, 0, 0.25, 0.25, -0.5, 0.125, random(), 0), items, dim: 2, k: 60, curvature: 0.5 };
});
addTopK('5000 items of the tuned size', false, (random) => ({
  ...ranking(random, 24, 5000, 64, 20, 0.015625),
  exclude: excluding(random, 24, 5000, 200),
}));
addTopK('5000 items, 300 users', false, (random) => ranking(random, 300, 5000, 8, 20));
addTopK('5000 items at the edge, k 1000', false, (random) => ({
  ...ranking(random, 6, 1, 8, 1000),
  items: table(random, 5000, 8, 1, () => EDGE),
}));

// ── a training step ──

function addStep(label: string, onHost: boolean, inputs: (random: Random) => BilevelStepInputs): void {
  const seed = cases.length;
  add('bilevelStep', KERNELS.bilevelStep, label, onHost, () => inputs(seededRandom(seed)));
}

/** The inputs of a step of the inner batch, with Eq. 3 or with so many shared negatives. */
function stepInputs(random: Random, args: HypergradientInputs, shared: number, scale: number): BilevelStepInputs {
  const { inner, outer: _, ...rest } = args;
  const batch = shared === 0 ? inner : withSharedNegatives(random, inner, args.beta.length, shared);
  const rate = insideLearningRate({ ...rest, inner: batch }, args.curvature);
  return { ...rest, batch, scale, innerLearningRate: rate / Math.max(1, scale * scale) };
}

for (const shared of [0, 1, 5, 8])
  for (const [name, radius] of Object.entries(BATCH_RADII))
    for (const c of [1, 0.3])
      for (const dim of name === 'middle radii' ? [1, 2, 7, 8, 31, 32, 33, 64, 100, 128, 256] : [2, 8, 64])
        addStep(
          `dim ${dim}, c ${c}, ${name}, ${shared || 'no'} shared negatives`,
          (shared === 5 && c === 1 && [1, 7, 33, 64].includes(dim)) || (shared < 8 && c === 0.3 && dim === 8),
          (random) =>
            stepInputs(
              random,
              { ...bilevelInputs(random, dim, c, () => radius(random)), curvature: c },
              shared,
              name === 'tiny radii' ? 300 : name === 'middle radii' ? 1.5 : 1,
            ),
        );

function manySamples(random: Random, samples: number, items: number, dim: number, c: number): HypergradientInputs {
  const users = 40;
  const radius = (): number => 0.1 + 0.6 * random();
  const degrees = Array.from({ length: items }, () => integer(random, 5));
  return {
    users: table(random, users, dim, c, radius),
    entities: table(random, 2 * items, dim, c, radius),
    relations: table(random, RELATIONS, dim, c, radius),
    dim,
    graph: graphOf(random, degrees, RELATIONS, () => integer(random, 2 * items)),
    beta: Float32Array.from({ length: items }, () => 2 * random() - 1),
    inner: batchOf(random, samples, users, items),
    innerLearningRate: 0,
    curvature: c,
  };
}
for (const shared of [31, 32, 33, 70, 90])
  for (const dim of [5, 16, 64])
    addStep(`300 samples, dim ${dim}, ${shared} shared negatives`, shared === 70 && dim === 5, (random) =>
      stepInputs(random, manySamples(random, 300, 90, dim, 0.5), shared, 2),
    );
for (const scale of [1e-3, 30])
  addStep(`points far apart for their scale ${scale}`, true, (random) => stepInputs(random, manySamples(random, 40, 60, 8, 1), 40, scale));

// ── after all others, whose inputs depend on their number ──

addNeighborhoods('attention of temperature 4', true, (random) => ({ ...neighborhoods(random, mixed, 33, 0.3), temperature: 4 }));
addNeighborhoods('attention of temperature 0.25, clusters at the edge', true, (random) => ({
  ...neighborhoods(random, ARRANGEMENTS['clusters at the edge']!, 64, 1),
  temperature: 0.25,
}));
addTopK('2010 items of all radii, some users have nearly all of them excluded', true, (random) => ({
  ...ranking(random, 14, 2010, 6, 7),
  items: table(random, 2010, 6, 1, () => mixedRadius(random)),
  exclude: excluding(random, 14, 2010, 6000),
}));
addTopK('2016 items, of which one in every 40 is at the edge', false, (random) => {
  const items = table(random, 2016, 16, 1, () => 0.4 * random());
  for (let item = 0; item < 2016; item += 40)
    items.set(
      table(random, 1, 16, 1, () => EDGE),
      item * 16,
    );
  return { ...ranking(random, 200, 1, 16, 30), items, exclude: excluding(random, 200, 2016, 12) };
});
addTopK('3000 items, each stands ten times, k 61', false, (random) => {
  const args = ranking(random, 13, 3000, 9, 61);
  for (let copy = 1; copy < 10; ++copy) args.items.copyWithin(copy * 300 * 9, 0, 300 * 9);
  return { ...args, exclude: excluding(random, 13, 3000, 50) };
});
