/** Seeded float32 inputs of kernels: points at chosen radii, graphs of chosen degrees, batches. */
import type { Graph, HypergradientArguments, Samples } from '../../lib/kernels.ts';
import { type Batch, innerLossGradient, mobiusAdd, pointsOf, type Tables } from './reference.ts';

export type Random = () => number;

/** Accuracy is promised up to here: √c‖x‖ ≤ 1 − 1e-5. */
export const EDGE: number = 1 - 1e-5;

/** √c‖x‖ of points from next to the origin to next to the boundary. */
export const RADII: readonly number[] = [1e-6, 1e-3, 0.1, 0.5, 0.9, 0.99, 0.999, 1 - 1e-4, EDGE];

export const integer = (random: Random, below: number): number => Math.floor(random() * below);

export function normal(random: Random): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

function scaledNorm(x: Float32Array, c: number): number {
  return Math.sqrt(c * x.reduce((sum, value) => sum + value * value, 0));
}

/** The direction at √c‖x‖ = radius, drawn inwards until its float32 coordinates are not beyond EDGE. */
export function pointAlong(direction: ArrayLike<number>, radius: number, c: number): Float32Array {
  const length = Math.sqrt(c) * Math.hypot(...Array.from(direction));
  for (let inwards = 0; ; inwards += 1e-8) {
    const point = Float32Array.from(direction, (value) => (length === 0 ? 0 : (value / length) * radius * (1 - inwards)));
    if (scaledNorm(point, c) <= EDGE) return point;
  }
}

/** A point in a random direction. c = 0 means 1 here: there is no boundary to be near to. */
export function pointAt(random: Random, dim: number, radius: number, c: number): Float32Array {
  const direction = Float64Array.from({ length: dim }, () => normal(random));
  return pointAlong(direction, radius, c === 0 ? 1 : c);
}

/** A point about `distance` away from x, as near as float32 has one. */
export function pointNear(random: Random, x: Float32Array, distance: number, c: number): Float32Array {
  const dim = x.length;
  const step = pointAt(random, dim, Math.tanh((Math.sqrt(c) * distance) / 2), c);
  const [from, by] = [pointsOf(x, dim, c)[0]!, pointsOf(step, dim, c)[0]!];
  const to = Float32Array.from(mobiusAdd(from, by, c).at);
  return scaledNorm(to, c) <= EDGE ? to : pointAlong(to, EDGE, c);
}

export function concatenated(rows: readonly Float32Array[], dim: number): Float32Array {
  const out = new Float32Array(rows.length * dim);
  for (const [i, row] of rows.entries()) out.set(row, i * dim);
  return out;
}

/** n rows, the i-th at √c‖x‖ = radius(i). */
export function table(random: Random, n: number, dim: number, c: number, radius: (row: number) => number): Float32Array {
  return concatenated(
    Array.from({ length: n }, (_, row) => pointAt(random, dim, radius(row), c)),
    dim,
  );
}

/** √c‖x‖ with a gap spread evenly over the decades down to the edge, sometimes tiny. */
export function mixedRadius(random: Random): number {
  return random() < 0.15 ? 10 ** (-6 + 5 * random()) : Math.min(1 - 10 ** (-5 * random()), EDGE);
}

/** Triples with uniform relations (in no order) and tails; item i has degrees[i] of them. */
export function graphOf(random: Random, degrees: readonly number[], relations: number, tail: (item: number) => number): Graph {
  const offsets = new Uint32Array(degrees.length + 1);
  for (const [item, degree] of degrees.entries()) offsets[item + 1] = offsets[item]! + degree;
  const heads = degrees.flatMap((degree, item) => new Array<number>(degree).fill(item));
  return {
    offsets,
    relations: Uint32Array.from(heads, () => integer(random, relations)),
    tails: Uint32Array.from(heads, tail),
  };
}

export function batchOf(random: Random, size: number, users: number, items: number): Samples {
  const column = (below: number): Uint32Array => Uint32Array.from({ length: size }, () => integer(random, below));
  return { users: column(users), positives: column(items), negatives: column(items) };
}

/** The points of the matrices, for the reference. */
export function tablesOf(
  args: { users?: ArrayLike<number>; entities: ArrayLike<number>; relations: ArrayLike<number>; dim: number },
  c: number,
): Tables {
  return {
    users: pointsOf(args.users ?? [], args.dim, c),
    entities: pointsOf(args.entities, args.dim, c),
    relations: pointsOf(args.relations, args.dim, c),
  };
}

/** Items of the bilevel problem whose hypergradient is 0: without triples; its own only tail; no positive of the inner batch. */
export const WITHOUT_HYPERGRADIENT: readonly number[] = [3, 5, 7];

/**
 * Everything that a batch can do at once: items that are tails of other items and of themselves, repeated triples, repeated positives,
 * items in both batches, an item as positive and as negative, one without triples (3), with one tail (2), with coincident tails (4: rows
 * 20 and 21 are one point), with itself as its only tail (5), and one that is no positive of the inner batch (7).
 */
export function bilevelInputs(random: Random, dim: number, c: number, radius: () => number): HypergradientArguments & { outer: Samples } {
  const [users, items, entities, relations] = [5, 8, 24, 3];
  const graph = graphOf(random, [6, 9, 1, 0, 3, 1, 4, 12], relations, () => integer(random, random() < 0.5 ? items : entities));
  const from = (item: number): number => graph.offsets[item]!;
  graph.tails.set([1, 1, 2], from(0));
  graph.tails.set([1, 9, 9], from(1));
  graph.relations.set([1, 2, 2], from(1));
  graph.tails.set([20, 21, 20], from(4));
  graph.tails[from(5)] = 5;
  const rows = table(random, entities, dim, c, radius);
  rows.copyWithin(21 * dim, 20 * dim, 21 * dim);
  const args = {
    users: table(random, users, dim, c, radius),
    entities: rows,
    relations: table(random, relations, dim, c, radius),
    dim,
    graph,
    beta: Float32Array.from({ length: items }, () => 4 * random() - 2),
    inner: {
      users: Uint32Array.of(0, 1, 2, 2, 4, 3, 0, 1, 2),
      positives: Uint32Array.of(0, 1, 2, 0, 3, 4, 5, 6, 0),
      negatives: Uint32Array.of(1, 7, 7, 2, 0, 6, 1, 3, 4),
    },
    outer: batchOf(random, 7, users, items),
  };
  return { ...args, innerLearningRate: insideLearningRate(args, c) };
}

/**
 * Distinct items as negatives that the samples share. Each sample leaves out its positive and one in eight of the others; the last of
 * several leaves out all.
 */
export function withSharedNegatives(random: Random, { users, positives }: Samples, items: number, count: number): Required<Batch> {
  const order = Array.from({ length: items }, (_, item) => ({ item, at: random() })).sort((x, y) => x.at - y.at);
  const negatives = Uint32Array.from(order.slice(0, count), ({ item }) => item);
  const words = Math.ceil(negatives.length / 32);
  const leftOut = new Uint32Array(words * users.length);
  for (let i = 0; i < users.length; ++i)
    for (let j = 0; j < 32 * words; ++j)
      if (j >= negatives.length || negatives[j] === positives[i] || random() < 0.125 || (i > 0 && i === users.length - 1))
        leftOut[i * words + (j >> 5)]! |= 1 << (j & 31);
  return { users, positives, negatives, leftOut };
}

/** The largest innerLearningRate up to 0.01 that moves no row by more than a quarter of its gap. */
export function insideLearningRate(
  args: Omit<HypergradientArguments, 'innerLearningRate' | 'inner'> & { inner: Batch },
  c: number,
): number {
  const tables = tablesOf(args, c);
  const gradient = innerLossGradient(tables, args.graph, args.beta, args.inner, c);
  let rate = 0.01;
  for (const name of ['users', 'entities', 'relations'] as const)
    for (const [row, { gap }] of tables[name].entries())
      rate = Math.min(rate, (0.25 * gap) / Math.sqrt(c === 0 ? 1 : c) / Math.hypot(...gradient[name][row]!));
  return rate;
}
