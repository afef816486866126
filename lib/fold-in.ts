import { type Id, unseenItem } from './data/csr.ts';
import { Random } from './data/random.ts';
import { Adam } from './adam.ts';
import { type Embedding, rowsOf } from './embedding.ts';
import { argumentError } from './errors.ts';
import { ballGap, einsteinMidpoint, expMapOrigin, expMapOriginGradient, logMapOrigin } from './geometry.ts';
import { rememberHistory } from './neighbor-blend.ts';
import { gather, itemTable, nearestRows, union } from './ranking.ts';

const STEPS = 40;

/** Items that the user has not and that are nearest to where the steps begin: what is to stay behind the user's own. */
const NEAREST = 200;

/** Of the other items so many, drawn once, stand for all. */
const OTHERS = 300;

/** τ: how much more the nearest of the others count. */
const SHARPNESS = 2;

/** λσ², with σ² the mean of ‖w‖² over the trained users: how strongly a new user is expected to be one like them. */
const PRIOR = 0.8;

/** Adam's rate, in σ; it falls to 0 over the second half of the steps. */
const LEARNING_RATE = 0.125;

/** Stream of Random for the negatives; those of a user are always the same. */
const NEGATIVE_STREAM = 11;

/**
 * A point for a user who was not there at training: the items' Einstein midpoint, moved by 40 steps of Adam over all of the user's items P
 * at once, while all items stay where they are, on
 *
 *   (1/|P|) Σ_{v ∈ P} ln(1 + Σ_{v′ ∉ P} exp(τ(d(u, v) − d(u, v′)))) + λ‖w‖²,   u = exp_0(w), τ = 2.
 *
 * The inner sum has the 200 items nearest to the midpoint and an estimate of the rest: 300 of them, drawn once, each for as many as they stand for.
 * That is a softmax over all items, also where training minimises BPR. Users who were not there at training keep more of their NDCG with it, and with
 * nearest items that count for more (`scripts/fold-in.ts` measures it): their items have not moved for them, and these are what stands before them.
 * λ follows from the mean of ‖w‖² over the trained users. The same items always give the same point.
 *
 * The array that is returned is known to be made of these items where a list of it blends neighbours (`neighborBlend` of `train`); a copy of it is not.
 *
 * @param items ids of the user's items, at least one
 * @returns dim coordinates, for `recommend`
 */
export function foldInUser(model: Embedding, items: Iterable<Id>): Float32Array {
  const own = rowsOf('items', model.itemIds, items);
  if (own.length === 0) throw argumentError('range', 'items', 'must hold at least one item');
  return rememberHistory(userPoint(model, own), own);
}

/**
 * The same from rows of items.
 *
 * @param own distinct, ascending, at least one
 */
export function userPoint(model: Embedding, own: Uint32Array): Float32Array {
  const { dim, curvature } = model;
  const items = itemTable(model);
  const rows = gather(items, own, dim);
  const midpoint = einsteinMidpoint(rows, null, dim, curvature);
  const negatives = negativesAt(model, Float32Array.from(midpoint), own);
  const spread = meanSquare(model);
  if (negatives.rows.length === 0 || spread === 0) return Float32Array.from(midpoint);
  const loss = new UserLoss(rows, gather(items, negatives.rows, dim), negatives.counts, dim, curvature);
  const tangent = logMapOrigin(midpoint, curvature);
  const adam = new Adam(dim);
  for (let step = 0; step < STEPS; ++step) {
    const gradient = expMapOriginGradient(tangent, loss.gradient(expMapOrigin(tangent, curvature)), curvature);
    for (let i = 0; i < dim; ++i) gradient[i]! += ((2 * PRIOR) / spread) * tangent[i]!;
    adam.step(tangent, gradient, LEARNING_RATE * Math.sqrt(spread) * Math.min(1, 2 * (1 - step / STEPS)));
  }
  return Float32Array.from(expMapOrigin(tangent, curvature));
}

/** The loss of one user's point against fixed items, by its gradient with respect to the point. */
class UserLoss {
  readonly #rows: Float64Array;
  readonly #gaps: Float64Array;
  readonly #squares: Float64Array;
  readonly #weights: Float64Array;
  readonly #positives: number;
  readonly #counts: Float64Array;
  readonly #dim: number;
  readonly #curvature: number;

  /** counts: how many items each of the negatives stands for. */
  constructor(positives: Float32Array, negatives: Float32Array, counts: Float64Array, dim: number, curvature: number) {
    this.#rows = new Float64Array(positives.length + negatives.length);
    this.#rows.set(positives);
    this.#rows.set(negatives, positives.length);
    const count = this.#rows.length / dim;
    this.#gaps = Float64Array.from({ length: count }, (_, row) => ballGap(this.#rows, row * dim, dim, curvature));
    this.#squares = new Float64Array(count);
    this.#weights = new Float64Array(count);
    this.#positives = positives.length / dim;
    this.#counts = counts;
    this.#dim = dim;
    this.#curvature = curvature;
  }

  /** ∇d(x, y) = 2 / (√s √(AB + cs)) · ((x − y) + (cs/A) x), s = ‖x − y‖², A = 1 − c‖x‖², B = 1 − c‖y‖²; 0 where x = y. */
  gradient(point: Float64Array): Float64Array {
    const [rows, gaps, squares, weights, dim, c] = [this.#rows, this.#gaps, this.#squares, this.#weights, this.#dim, this.#curvature];
    const gap = ballGap(point, 0, dim, c);
    for (let row = 0, at = 0; row < gaps.length; ++row) {
      let square = 0;
      for (let i = 0; i < dim; ++i) square += (point[i]! - rows[at++]!) ** 2;
      squares[row] = square;
      weights[row] = c === 0 ? 2 * Math.sqrt(square) : (2 / Math.sqrt(c)) * Math.asinh(Math.sqrt((c * square) / (gap * gaps[row]!)));
    }
    this.#slopes();
    const gradient = new Float64Array(dim);
    let onPoint = 0;
    for (let row = 0; row < gaps.length; ++row) {
      const square = squares[row]!;
      if (square === 0) continue;
      const factor = (2 * weights[row]!) / (Math.sqrt(square) * Math.sqrt(gap * gaps[row]! + c * square));
      onPoint += factor * (1 + (c * square) / gap);
      const begin = row * dim;
      for (let i = 0; i < dim; ++i) gradient[i]! -= factor * rows[begin + i]!;
    }
    for (let i = 0; i < dim; ++i) gradient[i]! += onPoint * point[i]!;
    return gradient;
  }

  /** Puts the loss's derivative by each distance in the distance's place; all of them from the one sum of exp(τ(m − d)) over the negatives. */
  #slopes(): void {
    const [weights, counts, positives] = [this.#weights, this.#counts, this.#positives];
    let nearest = Number.POSITIVE_INFINITY;
    for (let row = positives; row < weights.length; ++row) nearest = Math.min(nearest, weights[row]!);
    let sum = 0;
    for (let row = positives; row < weights.length; ++row)
      sum += weights[row] = counts[row - positives]! * Math.exp(SHARPNESS * (nearest - weights[row]!));
    let total = 0;
    for (let row = 0; row < positives; ++row) {
      // τ times the share of the negatives: S exp(τ(d − m)) / (1 + S exp(τ(d − m))).
      const slope = SHARPNESS / (1 + Math.exp(SHARPNESS * (nearest - weights[row]!)) / sum) / positives;
      weights[row] = slope;
      total += slope;
    }
    for (let row = positives; row < weights.length; ++row) weights[row] = (-total * weights[row]!) / sum;
  }
}

/** All items but `own`, the nearest to the point first; of what is left after these OTHERS at most, drawn with replacement. */
function negativesAt(model: Embedding, point: Float32Array, own: Uint32Array): { rows: Uint32Array; counts: Float64Array } {
  const near = nearestRows(model, 'items', point, NEAREST, { left: own, candidates: null, keep: null }).rows;
  const items = union(own, near.slice().sort());
  const taken = { offsets: Uint32Array.of(0, items.length), items };
  const left = model.itemIds.length - items.length;
  const random = new Random(0, NEGATIVE_STREAM);
  const others =
    left <= OTHERS
      ? Uint32Array.from({ length: left }, (_, rank) => unseenItem(taken, 0, rank))
      : Uint32Array.from({ length: OTHERS }, () => unseenItem(taken, 0, random.below(left)));
  const rows = Uint32Array.of(...near, ...others);
  return { rows, counts: Float64Array.from(rows, (_, i) => (i < near.length ? 1 : left / others.length)) };
}

const meanSquares: WeakMap<Float32Array, number> = new WeakMap();

/** The mean of ‖log_0(u)‖² over the users. */
function meanSquare({ users, dim, curvature }: Embedding): number {
  let mean = meanSquares.get(users);
  if (mean === undefined) {
    mean = 0;
    const count = users.length / dim;
    for (let user = 0; user < count; ++user) {
      const square = 1 - ballGap(users, user * dim, dim, curvature === 0 ? 1 : curvature);
      mean += (curvature === 0 ? square : Math.atanh(Math.sqrt(Math.min(square, 1 - 1e-9))) ** 2 / curvature) / count;
    }
    meanSquares.set(users, mean);
  }
  return mean;
}
