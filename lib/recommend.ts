import { checkInteger, checkOptions } from './check.ts';
import type { Id } from './data/csr.ts';
import { finish } from './data/steps.ts';
import { type BlendedEmbedding, type Embedding, isBlended, rowOf, rowsOf } from './embedding.ts';
import { blendedList, blendedRanking, depthOf, historyOfPoint, trainItems } from './neighbor-blend.ts';
import { checkPoint, excludedRows, type FilterOptions, nearestRows, type Selection, selectionOf, without } from './ranking.ts';

/** Of `Model.recommend`: which items may stand in the list. */
export interface RecommendOptions extends FilterOptions {
  /** Items to leave out: 'seen' (the user's training and validation items, the default), 'none', or any items by their ids. */
  exclude?: 'seen' | 'none' | Iterable<Id>;
}

/** Of `Model.recommend`, for one user. */
export interface RecommendOneOptions extends RecommendOptions {
  /**
   * The user's items by their ids, where the model blends neighbours (`neighborBlend` of `train`) and goes by others than it knows: for a point that was
   * stored, or what has come since the training. Default: the user's training items; of an array that `foldInUser` returned, the items it was
   * made of; of any other point none. Nothing is left out for being among them.
   */
  history?: Iterable<Id>;
}

/** One entry of a list: the caller's id of the item, and d(u, v). */
export interface Recommendation {
  item: Id;
  distance: number;
  /** What the list goes by, largest first, where the model blends neighbours (`neighborBlend` of `train`); absent where it goes by distance. */
  score?: number;
}

/**
 * The k items nearest to a user, nearest first, or where the model blends neighbours those with the largest score; ties by smaller row. Fewer where
 * fewer are left.
 *
 * @param user a user's id, or a point of the model's space (dim coordinates) such as `foldInUser` returns, which has seen nothing
 */
export function recommend(
  model: Embedding,
  user: Id | Float32Array,
  k: number,
  options: RecommendOneOptions | undefined,
): Recommendation[] {
  const given = checkOptions('options', options, ['exclude', 'filter', 'candidates', 'history']);
  const { exclude = 'seen', history, ...narrowed } = given;
  const row = user instanceof Float32Array ? undefined : rowOf('user', model.userIds, user);
  const { users, itemIds, dim } = model;
  const point = user instanceof Float32Array ? checkPoint('user', model, user) : users.subarray(row! * dim, (row! + 1) * dim);
  const count = Math.min(checkInteger('k', k, 1), itemIds.length);
  const selection = selectionOf(itemIds, narrowed, excludedRows(model, exclude, row));
  const own = history === undefined ? undefined : rowsOf('history', itemIds, history);
  if (isBlended(model)) {
    const known = own ?? (row === undefined ? historyOfPoint(point) : trainItems(model, row));
    return bestOf(model, point, known, count, selection);
  }
  const { rows, distances } = nearestRows(model, 'items', point, count, selection);
  return Array.from(rows, (item, i) => ({ item: itemIds[item]!, distance: distances[i]! }));
}

/** `keep` is asked in the order of the list; where it refuses so many that this does not get full, for one that is longer. */
function bestOf(
  model: BlendedEmbedding,
  point: Float32Array,
  history: Uint32Array,
  count: number,
  { left, candidates, keep }: Selection,
): Recommendation[] {
  const ranking = finish(blendedRanking(model));
  const rows = candidates && without(candidates, left);
  const told = new Set(rows ?? left);
  const isLeft = rows ? (item: number) => !told.has(item) : (item: number) => told.has(item);
  const list: Recommendation[] = [];
  for (let asked = 0, k = keep ? 4 * count : count; ; k *= 8) {
    const near = depthOf(rows ? 1 : k, rows ? 0 : left.length);
    const { items, scores, distances } = blendedList(ranking, model, { point, history, near }, { k, isLeft, candidates: rows });
    for (; asked < items.length && list.length < count; ++asked)
      if (!keep || keep(items[asked]!))
        list.push({ item: model.itemIds[items[asked]!]!, distance: distances[asked]!, score: scores[asked]! });
    if (list.length === count || items.length < k) return list;
  }
}
