/**
 * What every kernel computes, in float64, exact (to about 1e-10) everywhere with √c‖x‖ ≤ 1 − 1e-5, from the same float32 inputs. Readable
 * before fast: all pairs of tails of an item are looked at.
 *
 * The paper's forms cancel near the boundary in float64, too (`literal.ts` has them). Here a point travels with its gap A = 1 − c‖x‖², and
 * what is a difference of large terms in the paper is a sum of differences of points. c = 0 is the Euclidean limit: distance 2‖x − y‖,
 * v ⊕ r = v + r, the midpoint a weighted mean.
 */
import type { Graph, Samples } from '../../lib/kernels.ts';
import { dot, plus, scaled } from './literal.ts';

export interface Point {
  at: Float64Array;
  /** 1 − c‖at‖² */
  gap: number;
}

const minus = (x: Float64Array, y: Float64Array): Float64Array => x.map((value, i) => value - y[i]!);

function squaredDistance(x: Float64Array, y: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < x.length; ++i) sum += (x[i]! - y[i]!) ** 2;
  return sum;
}

/** `sum += factor · x` */
function accumulate(sum: Float64Array, factor: number, x: Float64Array): void {
  for (let i = 0; i < sum.length; ++i) sum[i]! += factor * x[i]!;
}

/** The rows of a matrix [n, dim] as points. */
export function pointsOf(rows: ArrayLike<number>, dim: number, c: number): Point[] {
  return Array.from({ length: rows.length / dim }, (_, row) => {
    const at = Float64Array.from({ length: dim }, (_, i) => rows[row * dim + i]!);
    return { at, gap: 1 - c * dot(at, at) };
  });
}

// ── distance, Eq. 1 ──

/** d = (2/√c) arsinh √(c s / (A_x A_y)) for s = ‖x − y‖². */
function distanceOf(sqdist: number, xGap: number, yGap: number, c: number): number {
  const root = Math.sqrt(sqdist) / Math.sqrt(xGap * yGap);
  return c === 0 ? 2 * root : (2 / Math.sqrt(c)) * Math.asinh(Math.sqrt(c) * root);
}

/** ∇_x d = k[(x − y) + (c s/A_x) x], k = 2/√(s (c s + A_x A_y)), from the difference x − y; 0 at coincident points. */
function distanceGradientOf(difference: Float64Array, x: Point, yGap: number, c: number): Float64Array {
  const sqdist = dot(difference, difference);
  if (sqdist === 0) return new Float64Array(difference.length);
  const k = 2 / (Math.sqrt(sqdist) * Math.sqrt(c * sqdist + x.gap * yGap));
  return scaled(k, plus(difference, scaled((c * sqdist) / x.gap, x.at)));
}

export function poincareDistance(x: Point, y: Point, c: number): number {
  return distanceOf(squaredDistance(x.at, y.at), x.gap, y.gap, c);
}

/** ∇_x d(x, y) */
export function poincareDistanceGradient(x: Point, y: Point, c: number): Float64Array {
  return distanceGradientOf(minus(x.at, y.at), x, y.gap, c);
}

// ── Möbius addition, Eq. 2 ──

/** v ⊕ r = v + (A_v/D)(r + c‖r‖²v) with D = c‖v + r‖² + A_v A_r; its gap is A_v A_r/D. */
export function mobiusAdd(v: Point, r: Point, c: number): Point {
  const sum = plus(v.at, r.at);
  const denominator = c * dot(sum, sum) + v.gap * r.gap;
  const step = plus(r.at, scaled(c * dot(r.at, r.at), v.at));
  return { at: plus(v.at, scaled(v.gap / denominator, step)), gap: (v.gap * r.gap) / denominator };
}

/** The gradients of g · (v ⊕ r). */
export function mobiusAddGradient(v: Point, r: Point, g: Float64Array, c: number): { v: Float64Array; r: Float64Array } {
  const sum = plus(v.at, r.at);
  const denominator = c * dot(sum, sum) + v.gap * r.gap;
  const rSqnorm = dot(r.at, r.at);
  const factor = v.gap / denominator;
  const along = dot(g, plus(r.at, scaled(c * rSqnorm, v.at)));
  const ofV = scaled(1 + factor * c * rSqnorm, g);
  accumulate(ofV, (-2 * c * along) / denominator, v.at);
  accumulate(ofV, (-2 * c * along * factor) / denominator, minus(sum, scaled(r.gap, v.at)));
  const ofR = scaled(factor, g);
  accumulate(ofR, 2 * c * factor * dot(g, v.at), r.at);
  accumulate(ofR, (-2 * c * along * factor) / denominator, minus(sum, scaled(v.gap, r.at)));
  return { v: ofV, r: ofR };
}

// ── the neighbourhood of an item, Eq. 4–7 ──

export interface Neighbor {
  relation: Point;
  tail: Point;
}

export interface Neighborhood {
  /** n_v */
  midpoint: Point;
  /** α γ / Σ α γ, one per neighbour. */
  attention: Float64Array;
  /** L_K = d(v, n_v) */
  distance: number;
}

/**
 * The sums behind the midpoint. With hyperboloid coordinates γ_j = (2 − A_j)/A_j, T_j = 2t_j/A_j: n = Σ a T / (Σ a γ + L), where
 * L² = (Σ a γ)² − c‖Σ a T‖² = Σ_ij a_i a_j (1 + 2c Q_ij), Q_ij = ‖t_i − t_j‖²/(A_i A_j): the last form does not cancel.
 */
interface MidpointSums {
  /** x_j = v ⊕ r_j */
  moved: Point[];
  /** a_j ∝ α(v, t_j), the nearest tail's being 1: a common factor drops out of Eq. 5. */
  a: number[];
  weight: number; // Σ a
  time: number; // Σ a γ
  length: number; // L
  spread: number[]; // Σ_i a_i Q_ij
  excess: number; // L − Σ a
  /** n − v */
  fromItem: Float64Array;
  midpoint: Point;
}

function midpointSums(v: Point, neighbors: readonly Neighbor[], c: number, temperature: number): MidpointSums {
  const moved = neighbors.map(({ relation }) => mobiusAdd(v, relation, c));
  const reach = neighbors.map(({ tail }, j) => poincareDistance(moved[j]!, tail, c));
  const nearest = Math.min(...reach);
  const a = reach.map((distance) => Math.exp((nearest - distance) / temperature));
  const spread = neighbors.map(({ tail: t }) =>
    neighbors.reduce((sum, { tail: s }, i) => sum + (a[i]! * squaredDistance(t.at, s.at)) / (t.gap * s.gap), 0),
  );
  const weight = a.reduce((sum, value) => sum + value, 0);
  const time = neighbors.reduce((sum, { tail }, j) => sum + (a[j]! * (2 - tail.gap)) / tail.gap, 0);
  const beyond = 2 * c * a.reduce((sum, value, j) => sum + value * spread[j]!, 0); // L² − (Σ a)²
  const length = Math.sqrt(weight * weight + beyond);
  const excess = beyond / (length + weight);
  // n − v = [Σ a (T − γ v) − L v]/(Σ a γ + L), and T − γ v = 2(t − v)/A + v.
  const fromItem = scaled(-excess, v.at);
  for (const [j, { tail }] of neighbors.entries()) accumulate(fromItem, (2 * a[j]!) / tail.gap, minus(tail.at, v.at));
  for (let i = 0; i < fromItem.length; ++i) fromItem[i]! /= time + length;
  const midpoint = { at: plus(v.at, fromItem), gap: (2 * length) / (time + length) };
  return { moved, a, weight, time, length, spread, excess, fromItem, midpoint };
}

/** Without neighbours: the item itself, distance 0. */
export function neighborhood(v: Point, neighbors: readonly Neighbor[], c: number, temperature = 1): Neighborhood {
  if (neighbors.length === 0) return { midpoint: v, attention: new Float64Array(0), distance: 0 };
  const { a, time, fromItem, midpoint } = midpointSums(v, neighbors, c, temperature);
  const attention = Float64Array.from(neighbors, ({ tail }, j) => (a[j]! * (2 - tail.gap)) / tail.gap / time);
  return { midpoint, attention, distance: distanceOf(dot(fromItem, fromItem), v.gap, midpoint.gap, c) };
}

/** The gradients of L_K with respect to the item and each neighbour's relation and tail. */
export function neighborhoodGradient(
  v: Point,
  neighbors: readonly Neighbor[],
  c: number,
  temperature = 1,
): { item: Float64Array; neighbors: { relation: Float64Array; tail: Float64Array }[] } {
  if (neighbors.length === 0) return { item: new Float64Array(v.at.length), neighbors: [] };
  const { moved, a, time, length, spread, excess, fromItem, midpoint } = midpointSums(v, neighbors, c, temperature);
  const inverse = 1 / (time + length);
  const item = distanceGradientOf(scaled(-1, fromItem), v, midpoint.gap, c);
  const g = distanceGradientOf(fromItem, midpoint, v.gap, c); // with respect to n
  const gn = dot(g, midpoint.at);
  const perGap = neighbors.reduce((sum, { tail }, j) => sum + a[j]! / tail.gap, 0); // Σ a/A
  const of = neighbors.map(({ relation, tail: t }, j) => {
    const aj = a[j]!;
    const q = spread[j]!;
    const gt = dot(g, minus(t.at, midpoint.at));
    // By way of t in γ and T, attention held: (2a/(A(Σaγ + L)))·{g + (2c/A)(g·(t−n)) t + (c/L)(g·n)[Σ a T − 2(Σ a/A + c Σ a Q) t]}.
    const tail = scaled(1, g);
    accumulate(tail, (2 * c * gt) / t.gap, t.at);
    accumulate(tail, (c * gn) / (length * inverse), midpoint.at);
    accumulate(tail, ((-2 * c * gn) / length) * (perGap + c * q), t.at);
    for (let i = 0; i < tail.length; ++i) tail[i]! *= (2 * aj * inverse) / t.gap;
    // By way of the attention: ∂n/∂a = [2(t − n)/A + (1 − ∂L/∂a) n]/(Σaγ + L), ∂L/∂a = (Σ a + 2c Σ a Q)/L, and ∂a/∂d = −a/T.
    const ofDistance = ((-aj * inverse) / temperature) * ((2 * gt) / t.gap + ((excess - 2 * c * q) / length) * gn);
    accumulate(tail, ofDistance, poincareDistanceGradient(t, moved[j]!, c));
    const ofMoved = scaled(ofDistance, poincareDistanceGradient(moved[j]!, t, c));
    const pulled = mobiusAddGradient(v, relation, ofMoved, c);
    accumulate(item, 1, pulled.v);
    return { relation: pulled.r, tail };
  });
  return { item, neighbors: of };
}

// ── whole tables ──

/** Θ. Rows are points; items are the first entities. */
export interface Tables {
  users: Point[];
  entities: Point[];
  relations: Point[];
}
/** A gradient: one vector per row of `Tables`. */
export interface TableGradient {
  users: Float64Array[];
  entities: Float64Array[];
  relations: Float64Array[];
}

export function neighborsOf(item: number, graph: Graph, { entities, relations }: Omit<Tables, 'users'>): Neighbor[] {
  const neighbors: Neighbor[] = [];
  for (let j = graph.offsets[item]!; j < graph.offsets[item + 1]!; ++j)
    neighbors.push({ relation: relations[graph.relations[j]!]!, tail: entities[graph.tails[j]!]! });
  return neighbors;
}

const zeros = (points: readonly Point[]): Float64Array[] => points.map(({ at }) => new Float64Array(at.length));

export function zeroGradient({ users, entities, relations }: Tables): TableGradient {
  return { users: zeros(users), entities: zeros(entities), relations: zeros(relations) };
}

/** Adds the gradient of `factor · L_K(item)` to `sum`. */
export function addKnowledgeGradient(
  sum: TableGradient,
  factor: number,
  item: number,
  graph: Graph,
  tables: Tables,
  c: number,
  temperature = 1,
): void {
  const gradient = neighborhoodGradient(tables.entities[item]!, neighborsOf(item, graph, tables), c, temperature);
  accumulate(sum.entities[item]!, factor, gradient.item);
  for (const [j, { relation, tail }] of gradient.neighbors.entries()) {
    const triple = graph.offsets[item]! + j;
    accumulate(sum.relations[graph.relations[triple]!]!, factor, relation);
    accumulate(sum.entities[graph.tails[triple]!]!, factor, tail);
  }
}

// ── the losses, Eq. 3 and 9, and the bilevel step, Eq. 10–12 ──

export const sigmoid = (z: number): number => (z >= 0 ? 1 / (1 + Math.exp(-z)) : Math.exp(z) / (1 + Math.exp(z)));
const softplus = (z: number): number => Math.max(z, 0) + Math.log1p(Math.exp(-Math.abs(z)));

/** −ln σ(d(u, v′) − d(u, v)), Eq. 3. */
export function rankingLoss(user: Point, positive: Point, negative: Point, c: number): number {
  return softplus(poincareDistance(user, positive, c) - poincareDistance(user, negative, c));
}

/** ln(1 + Σ_j exp(d(u, v) − d(u, v′_j))): sampled softmax. With one negative it is Eq. 3. */
export function softmaxLoss(user: Point, positive: Point, negatives: readonly Point[], c: number): number {
  const { most, sum } = exponentials(user, positive, negatives, c);
  return most > 0 ? most + Math.log(Math.exp(-most) + sum) : Math.log1p(sum);
}

/** e^(z_j − most) with their sum, most being the largest of all z_j = d(u, v) − d(u, v′_j) and 0. */
function exponentials(
  user: Point,
  positive: Point,
  negatives: readonly Point[],
  c: number,
): { most: number; terms: number[]; sum: number } {
  const distance = poincareDistance(user, positive, c);
  const z = negatives.map((negative) => distance - poincareDistance(user, negative, c));
  const most = Math.max(0, ...z);
  const terms = z.map((value) => Math.exp(value - most));
  return { most, terms, sum: terms.reduce((all, term) => all + term, 0) };
}

/**
 * A batch with Eq. 3, or where `leftOut` is given with sampled softmax: `negatives` are then shared by all samples, and bit j % 32 of word
 * ⌊j / 32⌋ of a sample's ⌈S / 32⌉ words says that it leaves out the j-th.
 */
export interface Batch extends Samples {
  leftOut?: Uint32Array;
}

/** The negatives that a sample does not leave out. */
function sharedNegatives({ negatives, leftOut }: Batch, sample: number): number[] {
  const words = Math.ceil(negatives.length / 32);
  return Array.from(negatives).filter((_, j) => ((leftOut![sample * words + (j >> 5)]! >>> (j & 31)) & 1) === 0);
}

/** J_outer: the sum of L_R over a batch. */
export function outerLoss(tables: Tables, batch: Batch, c: number): number {
  const { users, entities } = tables;
  let sum = 0;
  for (const [i, user] of batch.users.entries()) sum += sampleLoss(users[user]!, entities, batch, i, c);
  return sum;
}

/** L_R of one sample. */
export function sampleLoss(user: Point, entities: readonly Point[], batch: Batch, sample: number, c: number): number {
  const positive = entities[batch.positives[sample]!]!;
  if (!batch.leftOut) return rankingLoss(user, positive, entities[batch.negatives[sample]!]!, c);
  const negatives = sharedNegatives(batch, sample).map((item) => entities[item]!);
  return softmaxLoss(user, positive, negatives, c);
}

export function outerLossGradient(tables: Tables, batch: Batch, c: number): TableGradient {
  const sum = zeroGradient(tables);
  for (const [i, user] of batch.users.entries()) {
    const positive = batch.positives[i]!;
    if (batch.leftOut) {
      const negatives = sharedNegatives(batch, i);
      const [u, p] = [tables.users[user]!, tables.entities[positive]!];
      const of = negatives.map((item) => tables.entities[item]!);
      const { most, terms, sum: all } = exponentials(u, p, of, c);
      const total = Math.exp(-most) + all;
      accumulate(sum.users[user]!, all / total, poincareDistanceGradient(u, p, c));
      accumulate(sum.entities[positive]!, all / total, poincareDistanceGradient(p, u, c));
      for (const [j, item] of negatives.entries()) {
        accumulate(sum.users[user]!, -terms[j]! / total, poincareDistanceGradient(u, of[j]!, c));
        accumulate(sum.entities[item]!, -terms[j]! / total, poincareDistanceGradient(of[j]!, u, c));
      }
      continue;
    }
    const negative = batch.negatives[i]!;
    const [u, p, n] = [tables.users[user]!, tables.entities[positive]!, tables.entities[negative]!];
    const slope = sigmoid(poincareDistance(u, p, c) - poincareDistance(u, n, c));
    accumulate(sum.users[user]!, slope, poincareDistanceGradient(u, p, c));
    accumulate(sum.users[user]!, -slope, poincareDistanceGradient(u, n, c));
    accumulate(sum.entities[positive]!, slope, poincareDistanceGradient(p, u, c));
    accumulate(sum.entities[negative]!, -slope, poincareDistanceGradient(n, u, c));
  }
  return sum;
}

/** How often each item stands among the positives. */
export function positiveCounts(batch: Samples): Map<number, number> {
  const counts = new Map<number, number>();
  for (const item of batch.positives) counts.set(item, (counts.get(item) ?? 0) + 1);
  return counts;
}

/** J_inner: the sum of Eq. 9 over a batch. */
export function innerLoss(tables: Tables, graph: Graph, beta: ArrayLike<number>, batch: Batch, c: number): number {
  let sum = outerLoss(tables, batch, c);
  for (const [item, count] of positiveCounts(batch))
    sum += count * sigmoid(beta[item]!) * neighborhood(tables.entities[item]!, neighborsOf(item, graph, tables), c).distance;
  return sum;
}

export function innerLossGradient(tables: Tables, graph: Graph, beta: ArrayLike<number>, batch: Batch, c: number): TableGradient {
  const sum = outerLossGradient(tables, batch, c);
  for (const [item, count] of positiveCounts(batch)) addKnowledgeGradient(sum, count * sigmoid(beta[item]!), item, graph, tables, c);
  return sum;
}

/** Θ − rate · gradient. */
export function moved(tables: Tables, rate: number, gradient: TableGradient, c: number): Tables {
  const table = (points: readonly Point[], of: readonly Float64Array[]): Point[] =>
    points.map(({ at }, row) => {
      const next = at.slice();
      accumulate(next, -rate, of[row]!);
      return { at: next, gap: 1 - c * dot(next, next) };
    });
  return {
    users: table(tables.users, gradient.users),
    entities: table(tables.entities, gradient.entities),
    relations: table(tables.relations, gradient.relations),
  };
}

export interface BilevelProblem {
  tables: Tables;
  graph: Graph;
  beta: ArrayLike<number>;
  inner: Batch;
  outer: Batch;
  innerLearningRate: number;
}

/** J_outer(Θ − α ∇J_inner(Θ, β)), Eq. 11 and 12. */
export function lookaheadLoss({ tables, graph, beta, inner, outer, innerLearningRate }: BilevelProblem, c: number): number {
  return outerLoss(moved(tables, innerLearningRate, innerLossGradient(tables, graph, beta, inner, c), c), outer, c);
}

/**
 * Its gradient with respect to β: −α σ′(β_v) count_v ⟨∇J_outer(Θ̃), ∇L_K(v)⟩. The product runs over all of Θ: over row v and over every
 * neighbour that is an item of the outer batch.
 */
export function hypergradient({ tables, graph, beta, inner, outer, innerLearningRate }: BilevelProblem, c: number): Float64Array {
  const lookahead = moved(tables, innerLearningRate, innerLossGradient(tables, graph, beta, inner, c), c);
  const ofOuter = outerLossGradient(lookahead, outer, c);
  const out = new Float64Array(beta.length);
  for (const [item, count] of positiveCounts(inner)) {
    const weight = sigmoid(beta[item]!);
    const neighbors = neighborsOf(item, graph, tables);
    const gradient = neighborhoodGradient(tables.entities[item]!, neighbors, c);
    let product = dot(ofOuter.entities[item]!, gradient.item);
    for (const [j, { tail }] of gradient.neighbors.entries())
      product += dot(ofOuter.entities[graph.tails[graph.offsets[item]! + j]!]!, tail);
    out[item] = -innerLearningRate * weight * (1 - weight) * count * product;
  }
  return out;
}

// ── ranking ──

/** The candidates of a user by distance, nearest first, ties by smaller id; at most k. */
export function topK(
  user: Point,
  items: readonly Point[],
  k: number,
  excluded: ReadonlySet<number>,
  c: number,
): { item: number; distance: number }[] {
  return items
    .map((item, id) => ({ item: id, distance: poincareDistance(user, item, c) }))
    .filter(({ item }) => !excluded.has(item))
    .sort((x, y) => x.distance - y.distance || x.item - y.item)
    .slice(0, k);
}
