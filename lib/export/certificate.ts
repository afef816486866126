import { Best } from '../data/best.ts';
import type { Steps } from '../data/steps.ts';
import { SAFE_RADIUS } from '../diagnostics.ts';
import { type BlendedEmbedding, type Embedding, isBlended } from '../embedding.ts';
import { ballGap } from '../geometry.ts';
import { native } from '../native.ts';
import { blendedList, blendedRanking, depthOf, trainItems } from '../neighbor-blend.ts';
import { itemTable } from '../ranking.ts';
import type { Encoding, EncodingName } from './encoding.ts';

/** What an export is worth: how much of the model's own order is left in the vectors as they are written. */
export interface Certificate {
  encoding: EncodingName;
  columns: number;
  /** What orders the items: the larger inner product, or the smaller L2 distance, is the nearer one. */
  metric: 'inner product' | 'l2';
  /** Length of the lists that were compared, and for how many users, evenly spread over all of them. */
  k: number;
  users: number;
  /**
   * Mean share of the k nearest items by float64 distances in the model that a full scan of the written vectors finds, all items candidates.
   * The scan is done here with float32 sums, one after the other, as the plainest engine would. An item as near as the k-th counts as found.
   */
  recall: number;
  /**
   * Where the model blends neighbours into its lists, which vectors cannot hold: the mean share of the first k items of these lists that the scan
   * finds, nothing left out of either but what the user has in training. Absent where lists go by distance.
   */
  blendedRecall?: number;
  /** The share of the user for whom `recall` is least. */
  worstUser: number;
  /** Largest relative error of a distance in these lists, where it is calculated from what the engine returns. */
  distanceError: number;
  /** Largest √c‖x‖ of users and items. 0 in the Euclidean variants. */
  largestRadius: number;
  /** In sentences; empty where nothing is wrong. */
  warnings: string[];
}

/** Scans what was written and compares it with the model. */
export function* certify(model: Embedding, encoding: Encoding, k: number, wanted: number): Steps<Certificate> {
  const { dim, itemIds } = model;
  const items = itemTable(model);
  const all = model.users.length / dim;
  const users = Math.min(wanted, all);
  const length = Math.min(k, itemIds.length);
  const best = new Best(length);
  const blendedBest = isBlended(model) ? yield* sharedWithBlend(model, encoding, k) : undefined;
  let shared = 0;
  let found = 0;
  let worstUser = 1;
  let distanceError = 0;
  for (let sample = 0; sample < users; ++sample) {
    const user = Math.floor((sample * all) / users);
    const point = model.users.subarray(user * dim, (user + 1) * dim);
    const truth = native.topK('cpu', point, items, dim, length, null, null, model.curvature);
    yield;
    const keyOf = keysOf(model, point);
    const limit = keyOf(truth.items[length - 1]!);
    scan(encoding, user, best);
    let right = 0;
    best.drain((item, score) => {
      const key = keyOf(item);
      if (key <= limit) ++right;
      const distance = distanceOf(key, ballGap(point, 0, dim, model.curvature), model.curvature);
      if (distance > 0)
        distanceError = Math.max(distanceError, Math.abs(distanceFrom(encoding, user, score, model.curvature) / distance - 1));
    });
    if (blendedBest) shared += yield* blendedBest(user);
    found += right / length;
    worstUser = Math.min(worstUser, right / length);
    yield;
  }
  const recall = found / users;
  const largestRadius = yield* largest(model);
  const warnings: string[] = [];
  if (encoding.name === 'augmented-l2' && largestRadius > SAFE_RADIUS)
    warnings.push(
      `the outermost point has radius ${largestRadius.toFixed(6)}; beyond ${SAFE_RADIUS} a graph index loses items: take the exact scan (index 'none'), or train with a larger regularization`,
    );
  if (recall < 0.9999)
    warnings.push(`a full scan of the vectors as written finds ${recall.toFixed(4)} of the nearest ${length} items, not all`);
  const blended = blendedBest ? { blendedRecall: shared / users } : {};
  if (blendedBest)
    warnings.push(
      `the model blends neighbours into its lists and vectors hold distances alone: a full scan has ${(shared / users).toFixed(4)} of the first ${length} of these lists`,
    );
  return {
    ...{ encoding: encoding.name, columns: encoding.columns, metric: encoding.metric, k: length, users },
    ...{ recall, ...blended, worstUser, distanceError, largestRadius, warnings },
  };
}

/** What share of a user's blended list a scan finds, both without the user's training items. */
function* sharedWithBlend(model: BlendedEmbedding, encoding: Encoding, k: number): Steps<(user: number) => Steps<number>> {
  const ranking = yield* blendedRanking(model);
  const { dim, itemIds } = model;
  return function* (user) {
    const history = trainItems(model, user);
    const length = Math.min(k, itemIds.length - history.length);
    if (length === 0) return 1;
    const own = new Set(history);
    yield* ranking.prepare(history);
    const best = new Best(length + history.length);
    scan(encoding, user, best);
    yield;
    const scanned: number[] = [];
    best.drain((item) => void (own.has(item) || scanned.push(item)));
    const point = model.users.subarray(user * dim, (user + 1) * dim);
    const isLeft = (item: number) => own.has(item);
    const { items } = blendedList(ranking, model, { point, history, near: depthOf(length) }, { k: length, isLeft, candidates: null });
    const first = new Set(scanned.slice(0, length));
    return items.reduce((count, item) => count + Number(first.has(item)), 0) / length;
  };
}

/** For one user the order of distances is that of ‖u − v‖²/(1 − c‖v‖²); in float64. */
function keysOf({ entities, dim, curvature }: Embedding, point: Float32Array): (item: number) => number {
  return (item) => {
    let square = 0;
    for (let i = 0; i < dim; ++i) square += (point[i]! - entities[item * dim + i]!) ** 2;
    return square / ballGap(entities, item * dim, dim, curvature);
  };
}

function distanceOf(key: number, gap: number, c: number): number {
  return c === 0 ? 2 * Math.sqrt(key) : (2 / Math.sqrt(c)) * Math.asinh(Math.sqrt((c * key) / gap));
}

/** The items that a full scan puts first: inner products, or squared L2 distances with their sign changed. */
function scan({ metric, columns, items, users }: Encoding, user: number, best: Best): void {
  const query = users.subarray(user * columns, (user + 1) * columns);
  const round = Math.fround;
  const rows = items.length / columns;
  for (let item = 0, at = 0; item < rows; ++item) {
    let sum = 0;
    if (metric === 'inner product') for (let i = 0; i < columns; ++i) sum = round(sum + round(query[i]! * items[at++]!));
    else
      for (let i = 0; i < columns; ++i) {
        const difference = round(query[i]! - items[at++]!);
        sum = round(sum - round(difference * difference));
      }
    best.offer(item, sum);
  }
}

/** The distance that a score stands for. */
function distanceFrom({ metric, base, factor }: Encoding, user: number, score: number, c: number): number {
  if (!base || !factor) return 2 * Math.sqrt(-score);
  // Two unit vectors: ‖q − v‖² = 2 − 2 q·v.
  const product = metric === 'l2' ? 1 + score / 2 : score;
  return Math.acosh(Math.max(1, base[user]! + factor[user]! * product)) / Math.sqrt(c);
}

function* largest(model: Embedding): Steps<number> {
  const { dim, curvature } = model;
  let least = 1;
  for (const table of [model.users, itemTable(model)])
    for (let at = 0; at < table.length; at += dim) {
      least = Math.min(least, curvature === 0 ? 1 : ballGap(table, at, dim, curvature));
      if ((at / dim) % 1024 === 1023) yield;
    }
  return Math.sqrt(1 - least);
}
