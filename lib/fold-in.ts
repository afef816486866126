import { show } from './check.ts';
import type { Id } from './data/csr.ts';
import { Random } from './data/random.ts';
import { type Embedding, rowOf, rowsOf } from './embedding.ts';
import { argumentError } from './errors.ts';
import { ballGap, einsteinMidpoint, expMapOrigin, expMapOriginGradient, logMapOrigin } from './geometry.ts';
import { distanceOf, neighborhoodOf } from './neighborhood.ts';
import { gather, itemTable } from './ranking.ts';

/** One triple of a new item, without its head. `tail` and `entity` (as in an explanation) are two names of the same. */
export type ItemTriple = { relation: Id; tail: Id } | { relation: Id; entity: Id };

const STEPS = 100;
const LEARNING_RATE = 0.05;
const NEGATIVES = 10;

/** Beyond this many pairs there are fewer negatives per item, down to one: the time of a fold-in stays in the milliseconds. */
const MOST_PAIRS = 2048;

/** Stream of Random for the negatives; those of a user are always the same. */
const NEGATIVE_STREAM = 11;

/**
 * A point for a user who was not there at training: the items' Einstein midpoint, moved by 100 steps of Adam on what training
 * minimises for a user — the mean BPR loss against 10 negatives per item (fewer for a user of more than 186 items), and λ‖w‖² in the tangent
 * space at the origin — while all items stay where they are. The same items always give the same point.
 *
 * @param items ids of the user's items, at least one
 * @returns dim coordinates, for `recommend`
 */
export function foldInUser(model: Embedding, items: Iterable<Id>): Float32Array {
  const own = rowsOf('items', model.itemIds, items);
  if (own.length === 0) throw argumentError('range', 'items', 'must hold at least one item');
  return userPoint(model, itemTable(model), own);
}

/**
 * The same from rows of any item table of the model's space.
 *
 * @param own distinct rows, ascending, at least one
 */
export function userPoint(model: Pick<Embedding, 'dim' | 'curvature' | 'training'>, items: Float32Array, own: Uint32Array): Float32Array {
  const { dim, curvature } = model;
  const rows = gather(items, own, dim);
  const midpoint = einsteinMidpoint(rows, null, dim, curvature);
  const negatives = drawNegatives(own, items.length / dim);
  if (negatives.length === 0) return Float32Array.from(midpoint);
  const pairs = new UserPairs(rows, gather(items, negatives, dim), dim, curvature);
  const weightDecay = 2 * model.training.options.regularization * (curvature === 0 ? 1 : curvature);
  const tangent = logMapOrigin(midpoint, curvature);
  const adam = new Adam(dim, LEARNING_RATE / Math.sqrt(curvature === 0 ? 1 : curvature));
  for (let step = 0; step < STEPS; ++step) {
    const gradient = expMapOriginGradient(tangent, pairs.gradient(expMapOrigin(tangent, curvature)), curvature);
    for (let i = 0; i < dim; ++i) gradient[i]! += weightDecay * tangent[i]!;
    adam.step(tangent, gradient);
  }
  return Float32Array.from(expMapOrigin(tangent, curvature));
}

/** The mean BPR loss of one user's point against fixed items, and its gradient with respect to the point. */
class UserPairs {
  readonly #rows: Float64Array;
  readonly #gaps: Float64Array;
  readonly #squares: Float64Array;
  readonly #weights: Float64Array;
  readonly #distances: Float64Array;
  readonly #positives: number;
  readonly #dim: number;
  readonly #curvature: number;

  constructor(positives: Float32Array, negatives: Float32Array, dim: number, curvature: number) {
    this.#rows = new Float64Array(positives.length + negatives.length);
    this.#rows.set(positives);
    this.#rows.set(negatives, positives.length);
    const count = this.#rows.length / dim;
    this.#gaps = Float64Array.from({ length: count }, (_, row) => ballGap(this.#rows, row * dim, dim, curvature));
    this.#squares = new Float64Array(count);
    this.#weights = new Float64Array(count);
    this.#distances = new Float64Array(count);
    this.#positives = positives.length / dim;
    this.#dim = dim;
    this.#curvature = curvature;
  }

  /**
   * Of −(1/n) Σ ln σ(d(u, v′) − d(u, v)), the i-th of the n negatives v′ paired with the positive i mod their number:
   * ∇d(x, y) = 2 / (√s √(AB + cs)) · ((x − y) + (cs/A) x), s = ‖x − y‖², A = 1 − c‖x‖², B = 1 − c‖y‖²; 0 where x = y.
   */
  gradient(point: Float64Array): Float64Array {
    const [rows, gaps, squares, weights, distances, dim, c] = [
      ...([this.#rows, this.#gaps, this.#squares, this.#weights, this.#distances] as const),
      ...([this.#dim, this.#curvature] as const),
    ];
    const gap = ballGap(point, 0, dim, c);
    for (let row = 0, at = 0; row < gaps.length; ++row) {
      let square = 0;
      for (let i = 0; i < dim; ++i) square += (point[i]! - rows[at++]!) ** 2;
      squares[row] = square;
      distances[row] = c === 0 ? 2 * Math.sqrt(square) : (2 / Math.sqrt(c)) * Math.asinh(Math.sqrt((c * square) / (gap * gaps[row]!)));
    }
    weights.fill(0);
    const negatives = gaps.length - this.#positives;
    for (let i = 0; i < negatives; ++i) {
      const positive = i % this.#positives;
      const negative = this.#positives + i;
      const share = 1 / (1 + Math.exp(distances[negative]! - distances[positive]!)) / negatives;
      weights[positive]! += share;
      weights[negative] = -share;
    }
    const gradient = new Float64Array(dim);
    let onPoint = 0;
    for (let row = 0; row < gaps.length; ++row) {
      const square = squares[row]!;
      if (square === 0 || weights[row] === 0) continue;
      const factor = (2 * weights[row]!) / (Math.sqrt(square) * Math.sqrt(gap * gaps[row]! + c * square));
      onPoint += factor * (1 + (c * square) / gap);
      const begin = row * dim;
      for (let i = 0; i < dim; ++i) gradient[i]! -= factor * rows[begin + i]!;
    }
    for (let i = 0; i < dim; ++i) gradient[i]! += onPoint * point[i]!;
    return gradient;
  }
}

/**
 * A point for an item that nobody has had yet, from its triples alone: the fixed point of v ← n_v(v) (Eq. 5), where L_K is 0, found from
 * the tails' Einstein midpoint.
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

/** The same from rows of relations and entities, at least one. */
export function itemPoint(model: Embedding, relations: Uint32Array, tails: Uint32Array): Float32Array {
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

/** Up to NEGATIVES items for each of `own`, none of them in `own`; none at all where nothing else is left. */
function drawNegatives(own: Uint32Array, items: number): Uint32Array {
  if (own.length === items) return new Uint32Array(0);
  const random = new Random(0, NEGATIVE_STREAM);
  const each = Math.max(1, Math.min(NEGATIVES, Math.floor(MOST_PAIRS / own.length) - 1));
  return Uint32Array.from({ length: own.length * each }, () => {
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
