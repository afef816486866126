import { type Id, unseenItem } from './data/csr.ts';
import { Random } from './data/random.ts';
import { Adam } from './adam.ts';
import { type Embedding, rowsOf } from './embedding.ts';
import { argumentError } from './errors.ts';
import { ballGap, einsteinMidpoint, expMapOrigin, expMapOriginGradient, logMapOrigin } from './geometry.ts';
import { rememberHistory } from './neighbor-blend.ts';
import { gather, itemTable } from './ranking.ts';

const STEPS = 40;

/** Items that the user has not, all of them or drawn once. */
const NEGATIVES = 500;

/** λσ², with σ² the mean of ‖w‖² over the trained users: how strongly a new user is expected to be one like them. */
const PRIOR = 0.36;

/** Adam's rate, in σ; it falls to 0 over the second half of the steps. */
const LEARNING_RATE = 0.125;

/** Stream of Random for the negatives; those of a user are always the same. */
const NEGATIVE_STREAM = 11;

/**
 * A point for a user who was not there at training: the items' Einstein midpoint, moved by 40 steps of Adam over all of the user's items P and
 * up to 500 others N at once, while all items stay where they are, on
 *
 *   (1/|P|) Σ_{v ∈ P} ln(1 + Σ_{v′ ∈ N} exp(d(u, v) − d(u, v′))) + λ‖w‖²,   u = exp_0(w).
 *
 * That is sampled softmax, also where training minimises BPR. Users who were not there at training keep more of their NDCG with it (`scripts/fold-in.ts`
 * measures it): their items have not moved for them, and the nearest negatives, which count most in this loss, are what stands before them.
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
  const negatives = drawNegatives(own, model.itemIds.length);
  const spread = meanSquare(model);
  if (negatives.length === 0 || spread === 0) return Float32Array.from(midpoint);
  const loss = new UserLoss(rows, gather(items, negatives, dim), dim, curvature);
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
    this.#positives = positives.length / dim;
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

  /** Puts the loss's derivative by each distance in the distance's place; all of them from the one sum of exp(m − d) over the negatives. */
  #slopes(): void {
    const [weights, positives] = [this.#weights, this.#positives];
    let nearest = Number.POSITIVE_INFINITY;
    for (let row = positives; row < weights.length; ++row) nearest = Math.min(nearest, weights[row]!);
    let sum = 0;
    for (let row = positives; row < weights.length; ++row) sum += weights[row] = Math.exp(nearest - weights[row]!);
    let total = 0;
    for (let row = 0; row < positives; ++row) {
      // The share of the negatives: S exp(d − m) / (1 + S exp(d − m)).
      const share = 1 / (1 + Math.exp(nearest - weights[row]!) / sum) / positives;
      weights[row] = share;
      total += share;
    }
    for (let row = positives; row < weights.length; ++row) weights[row] = (-total * weights[row]!) / sum;
  }
}

/** All items but `own`, or NEGATIVES of them, drawn with replacement. */
function drawNegatives(own: Uint32Array, items: number): Uint32Array {
  const taken = { offsets: Uint32Array.of(0, own.length), items: own };
  const others = items - own.length;
  if (others <= NEGATIVES) return Uint32Array.from({ length: others }, (_, rank) => unseenItem(taken, 0, rank));
  const random = new Random(0, NEGATIVE_STREAM);
  return Uint32Array.from({ length: NEGATIVES }, () => unseenItem(taken, 0, random.below(others)));
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
