import type { Id } from './data/csr.ts';
import { Random } from './data/random.ts';
import { show } from './check.ts';
import { type Embedding, rowOf, rowsOf } from './embedding.ts';
import { argumentError } from './errors.ts';
import { einsteinMidpoint, expMapOrigin, expMapOriginGradient, logMapOrigin } from './geometry.ts';
import { native } from './native.ts';
import { distanceOf, neighborhoodOf } from './neighborhood.ts';

/** One triple of a new item, without its head. `tail` and `entity` (as in an explanation) are two names of the same. */
export type ItemTriple = { relation: Id; tail: Id } | { relation: Id; entity: Id };

const STEPS = 100;
const LEARNING_RATE = 0.05;
const NEGATIVES = 10;

/** Stream of Random for the negatives; those of a user are always the same. */
const NEGATIVE_STREAM = 11;

/**
 * A point for a user who was not there at training: the items' Einstein midpoint, moved by 100 steps of Adam on what training
 * minimises for a user — the mean BPR loss against 10 negatives per item, and λ‖w‖² in the tangent space at the origin — while
 * all items stay where they are. The same items always give the same point.
 *
 * @param items ids of the user's items, at least one
 * @returns dim coordinates, for `recommend`
 */
export function foldInUser(model: Embedding, items: Iterable<Id>): Float32Array {
  const { dim, curvature, entities } = model;
  const own = rowsOf('items', model.itemIds, items);
  if (own.length === 0) throw argumentError('range', 'items', 'must hold at least one item');
  const midpoint = einsteinMidpoint(rowsAt(entities, own, dim), null, dim, curvature);
  const negatives = drawNegatives(own, model.itemIds.length);
  if (negatives.length === 0) return Float32Array.from(midpoint);

  const pairs = own.length + negatives.length;
  const others = new Float32Array(pairs * dim);
  others.set(rowsAt(entities, own, dim));
  others.set(rowsAt(entities, negatives, dim), own.length * dim);
  const repeated = new Float32Array(pairs * dim);
  const upstream = new Float32Array(pairs);
  const weightDecay = 2 * model.training.options.regularization * (curvature === 0 ? 1 : curvature);
  const tangent = logMapOrigin(midpoint, curvature);
  const adam = new Adam(dim, LEARNING_RATE / Math.sqrt(curvature === 0 ? 1 : curvature));
  for (let step = 0; step < STEPS; ++step) {
    const point = Float32Array.from(expMapOrigin(tangent, curvature));
    for (let pair = 0; pair < pairs; ++pair) repeated.set(point, pair * dim);
    const distances = native.poincareDistance('cpu', repeated, others, dim, curvature);
    upstream.fill(0);
    for (let i = 0; i < negatives.length; ++i) {
      const positive = i % own.length;
      const share = 1 / (1 + Math.exp(distances[own.length + i]! - distances[positive]!)) / negatives.length;
      upstream[positive]! += share;
      upstream[own.length + i] = -share;
    }
    const { gradX } = native.poincareDistanceGradient('cpu', repeated, others, dim, upstream, curvature);
    const sum = new Float64Array(dim);
    for (let i = 0; i < gradX.length; ++i) sum[i % dim]! += gradX[i]!;
    const gradient = expMapOriginGradient(tangent, sum, curvature);
    adam.step(
      tangent,
      gradient.map((g, i) => g + weightDecay * tangent[i]!),
    );
  }
  return Float32Array.from(expMapOrigin(tangent, curvature));
}

/**
 * A point for an item that nobody has had yet, from its triples alone: the fixed point of v ← n_v(v) (Eq. 5), where L_K is 0, found from
 * the tails' Einstein midpoint.
 *
 * @param triples at least one
 * @returns dim coordinates
 */
export function foldInItem(model: Embedding, triples: Iterable<ItemTriple>): Float32Array {
  const { dim, curvature, entities } = model;
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
  const rows = rowsAt(entities, tails, dim);
  let point = Float32Array.from(einsteinMidpoint(rows, null, dim, curvature));
  for (let iteration = 0; iteration < 100; ++iteration) {
    const { midpoint } = neighborhoodOf(model, point, Uint32Array.from(relations), Uint32Array.from(tails));
    const moved = distanceOf(model, point, midpoint);
    point = Float32Array.from(midpoint);
    if (moved <= 1e-6) break;
  }
  return point;
}

function rowsAt(table: Float32Array, rows: ArrayLike<number>, dim: number): Float32Array {
  const listed = new Float32Array(rows.length * dim);
  for (let i = 0; i < rows.length; ++i) listed.set(table.subarray(rows[i]! * dim, (rows[i]! + 1) * dim), i * dim);
  return listed;
}

/** NEGATIVES items for each of `own`, none of them in `own`; none at all where nothing else is left. */
function drawNegatives(own: Uint32Array, items: number): Uint32Array {
  if (own.length === items) return new Uint32Array(0);
  const random = new Random(0, NEGATIVE_STREAM);
  return Uint32Array.from({ length: own.length * NEGATIVES }, () => {
    // The r-th item that is not in `own`, which ascends.
    let item = random.below(items - own.length);
    for (const taken of own) {
      if (taken > item) break;
      ++item;
    }
    return item;
  });
}

class Adam {
  readonly #rate: number;
  readonly #first: Float64Array;
  readonly #second: Float64Array;
  #steps = 0;

  constructor(size: number, rate: number) {
    this.#rate = rate;
    this.#first = new Float64Array(size);
    this.#second = new Float64Array(size);
  }

  step(parameters: Float64Array, gradient: Float64Array): void {
    ++this.#steps;
    for (let i = 0; i < parameters.length; ++i) {
      const first = 0.9 * this.#first[i]! + 0.1 * gradient[i]!;
      const second = 0.999 * this.#second[i]! + 0.001 * gradient[i]! ** 2;
      this.#first[i] = first;
      this.#second[i] = second;
      parameters[i]! -= (this.#rate * (first / (1 - 0.9 ** this.#steps))) / (Math.sqrt(second / (1 - 0.999 ** this.#steps)) + 1e-8);
    }
  }
}
