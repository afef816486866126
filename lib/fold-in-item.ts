import { Adam } from './adam.ts';
import { show } from './check.ts';
import type { Id } from './data/csr.ts';
import { Random } from './data/random.ts';
import { type Embedding, rowOf } from './embedding.ts';
import { argumentError } from './errors.ts';
import { ballGap, einsteinMidpoint, expMapOrigin, expMapOriginGradient, logMapOrigin } from './geometry.ts';
import { type ItemAffinity, itemAffinity, itemsAlike, reach } from './item-affinity.ts';
import { distanceOf, neighborhoodOf } from './neighborhood.ts';
import { gather, itemTable } from './ranking.ts';

/** One triple of a new item, without its head. `tail` and `entity` (as in an explanation) are two names of the same. */
export type ItemTriple = { relation: Id; tail: Id } | { relation: Id; entity: Id };

/**
 * A point for an item that nobody has had yet, from its triples alone: `itemPoint`.
 *
 * @param triples at least one
 * @returns dim coordinates
 */
export function foldInItem(model: Embedding, triples: Iterable<ItemTriple>): Float32Array {
  const relations: number[] = [];
  const tails: number[] = [];
  if (triples === null || typeof triples !== 'object' || !(Symbol.iterator in triples))
    throw argumentError('type', 'triples', `must be an iterable of { relation, tail }, got ${show(triples)}`);
  for (const triple of triples) {
    const at = `triples[${tails.length}]`;
    if (triple === null || typeof triple !== 'object') throw argumentError('type', at, `must be { relation, tail }, got ${show(triple)}`);
    relations.push(rowOf(`${at}.relation`, model.relationIds, triple.relation));
    tails.push(rowOf(`${at}.tail`, model.entityIds, 'tail' in triple ? triple.tail : triple.entity));
  }
  if (tails.length === 0) throw argumentError('range', 'triples', 'must hold at least one triple');
  return itemPoint(model, Uint32Array.from(relations), Uint32Array.from(tails));
}

const STEPS = 50;

/** Adam's rate, in the radius 1/√c of the ball; it falls to 0 over the second half of the steps. */
const LEARNING_RATE = 0.03;

/** p/m of an item whose triples promise the mean: times that it is had for each that it is a negative. In training 1; more ranks new items better. */
const POPULARITY = 10;

/** Interactions of others that the item is a negative of. */
const NEGATIVES = 512;

/** Items v′ for each user that it is a positive of. */
const OTHERS = 16;

const STREAM = 23;

/**
 * The point that training would give an item, if the users of the items alike had it. Alike are those that share most with its triples
 * (`itemsAlike`); how much of it each of their users has, q_u, and how often the item is had at all, p, is read off them. 50 steps of Adam from
 * their weighted Einstein midpoint, while all users stay where they are, on the mean loss of Eq. 3 over all pairs that the item would be in,
 *
 *   (p Σ_u q_u E_{v′} ln(1 + exp(d(u, v) − d(u, v′))) + m E_{(u, v⁺)} ln(1 + exp(d(u, v⁺) − d(u, v)))) / (p + m) + λ‖w‖²,   v = exp_0(w),
 *
 * m the times that an item is a negative in an epoch, (u, v⁺) what anyone has. Its radius is then that of an item as popular as it promises to be.
 * An item that shares nothing with any, or whose likes nobody has, gets the fixed point of v ← n_v(v) (Eq. 5), where L_K is 0.
 *
 * @param relations rows, at least one
 * @param tails rows of entities, one for each relation
 */
export function itemPoint(model: Embedding, relations: Uint32Array, tails: Uint32Array): Float32Array {
  const { dim, curvature, training } = model;
  const affinity = itemAffinity(model);
  const alike = itemsAlike(affinity, tails);
  const promise = reach(affinity, alike) / affinity.meanReach;
  if (!(promise > 0)) return neighborhoodPoint(model, relations, tails);
  const rows = alike.map(({ item }) => item);
  const squares = alike.map(({ weight }) => weight * weight);
  const start = einsteinMidpoint(gather(itemTable(model), rows, dim), squares, dim, curvature);
  const had = POPULARITY * promise;
  const pairs = [...asPositive(model, affinity, rows, squares, had / (had + 1)), ...asNegative(model, 1 / (had + 1))];
  const loss = new ItemLoss(model, pairs);
  const weightDecay = 2 * training.options.regularization * (curvature === 0 ? 1 : curvature);
  const tangent = logMapOrigin(start, curvature);
  const adam = new Adam(dim);
  const rate = LEARNING_RATE / Math.sqrt(curvature === 0 ? 1 : curvature);
  for (let step = 0; step < STEPS; ++step) {
    const gradient = expMapOriginGradient(tangent, loss.gradient(expMapOrigin(tangent, curvature)), curvature);
    for (let i = 0; i < dim; ++i) gradient[i]! += weightDecay * tangent[i]!;
    adam.step(tangent, gradient, rate * Math.min(1, 2 * (1 - step / STEPS)));
  }
  return Float32Array.from(expMapOrigin(tangent, curvature));
}

/** What the item is to one user: −`weight` is a negative. `others` are the distances from the user that its own is compared with. */
interface Pair {
  user: number;
  weight: number;
  others: Float64Array;
}

/** The users of the items alike, each by the weights of those that they have; weights sum to `total`. */
function asPositive(model: Embedding, { users }: ItemAffinity, rows: readonly number[], weights: readonly number[], total: number): Pair[] {
  const parts = new Map<number, number>();
  let sum = 0;
  for (const [i, item] of rows.entries())
    for (let at = users.offsets[item]!; at < users.offsets[item + 1]!; ++at) {
      parts.set(users.items[at]!, (parts.get(users.items[at]!) ?? 0) + weights[i]!);
      sum += weights[i]!;
    }
  const items = itemTable(model);
  return [...parts].map(([user, part]) => {
    const random = new Random(user, STREAM);
    const others = Float64Array.from({ length: OTHERS }, () => distance(model, user, items, random.below(model.itemIds.length)));
    return { user, weight: (total * part) / sum, others };
  });
}

/** Interactions drawn uniformly; weights sum to −`total`. */
function asNegative(model: Embedding, total: number): Pair[] {
  const { seen } = model;
  const random = new Random(0, STREAM);
  const items = itemTable(model);
  return Array.from({ length: NEGATIVES }, () => {
    const at = random.below(seen.items.length);
    // The last user whose items begin at or before it.
    let [user, above] = [0, seen.offsets.length - 1];
    while (above - user > 1) {
      const middle = (user + above) >>> 1;
      if (seen.offsets[middle]! <= at) user = middle;
      else above = middle;
    }
    return { user, weight: -total / NEGATIVES, others: Float64Array.of(distance(model, user, items, seen.items[at]!)) };
  });
}

/** d(u, v) of a user and a row of items, in float64. */
function distance({ users, dim, curvature: c }: Embedding, user: number, items: Float32Array, item: number): number {
  let square = 0;
  for (let i = 0; i < dim; ++i) square += (users[user * dim + i]! - items[item * dim + i]!) ** 2;
  if (c === 0) return 2 * Math.sqrt(square);
  const gaps = ballGap(users, user * dim, dim, c) * ballGap(items, item * dim, dim, c);
  return (2 / Math.sqrt(c)) * Math.asinh(Math.sqrt((c * square) / gaps));
}

/** The mean loss of one item's point against fixed users, by its gradient with respect to the point. */
class ItemLoss {
  readonly #pairs: readonly Pair[];
  readonly #rows: Float64Array;
  readonly #gaps: Float64Array;
  readonly #dim: number;
  readonly #curvature: number;

  constructor({ users, dim, curvature }: Embedding, pairs: readonly Pair[]) {
    this.#pairs = pairs;
    this.#rows = Float64Array.from(
      gather(
        users,
        pairs.map(({ user }) => user),
        dim,
      ),
    );
    this.#gaps = Float64Array.from(pairs, (_, row) => ballGap(this.#rows, row * dim, dim, curvature));
    this.#dim = dim;
    this.#curvature = curvature;
  }

  /** ∇d(x, y) as in fold-in.ts. */
  gradient(point: Float64Array): Float64Array {
    const [rows, dim, c] = [this.#rows, this.#dim, this.#curvature];
    const gap = ballGap(point, 0, dim, c);
    const gradient = new Float64Array(dim);
    let onPoint = 0;
    for (const [row, { weight, others }] of this.#pairs.entries()) {
      const begin = row * dim;
      let square = 0;
      for (let i = 0; i < dim; ++i) square += (point[i]! - rows[begin + i]!) ** 2;
      if (square === 0) continue;
      const root = Math.sqrt(gap * this.#gaps[row]! + c * square);
      const own = c === 0 ? 2 * Math.sqrt(square) : (2 / Math.sqrt(c)) * Math.asinh(Math.sqrt((c * square) / (gap * this.#gaps[row]!)));
      let slope = 0;
      for (const other of others) slope += 1 / (1 + Math.exp(Math.sign(weight) * (other - own)));
      const factor = (2 * weight * slope) / (others.length * Math.sqrt(square) * root);
      onPoint += factor * (1 + (c * square) / gap);
      for (let i = 0; i < dim; ++i) gradient[i]! -= factor * rows[begin + i]!;
    }
    for (let i = 0; i < dim; ++i) gradient[i]! += onPoint * point[i]!;
    return gradient;
  }
}

/** The fixed point of v ← n_v(v), found from the tails' Einstein midpoint. */
function neighborhoodPoint(model: Embedding, relations: Uint32Array, tails: Uint32Array): Float32Array {
  const { dim, curvature, entities } = model;
  let point = Float32Array.from(einsteinMidpoint(gather(entities, tails, dim), null, dim, curvature));
  for (let iteration = 0; iteration < 100; ++iteration) {
    const { midpoint } = neighborhoodOf(model, point, relations, tails);
    const moved = distanceOf(model, point, midpoint);
    point = Float32Array.from(midpoint);
    if (moved <= 1e-6) break;
  }
  return point;
}
