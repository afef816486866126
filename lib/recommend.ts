import { checkInteger, checkOptions } from './check.ts';
import type { Id } from './data/csr.ts';
import { type Embedding, rowOf } from './embedding.ts';
import { checkPoint, excludedRows, type FilterOptions, nearestRows, selectionOf } from './ranking.ts';

/** Of `Model.recommend`: which items may stand in the list. */
export interface RecommendOptions extends FilterOptions {
  /** Items to leave out: 'seen' (the user's training and validation items, the default), 'none', or any items by their ids. */
  exclude?: 'seen' | 'none' | Iterable<Id>;
}

/** One entry of a list: the caller's id of the item, and d(u, v). */
export interface Recommendation {
  item: Id;
  distance: number;
}

/**
 * The k items nearest to a user, nearest first, ties by smaller row. Fewer where fewer are left.
 *
 * @param user a user's id, or a point of the model's space (dim coordinates) such as `foldInUser` returns, which has seen nothing
 */
export function recommend(model: Embedding, user: Id | Float32Array, k: number, options: RecommendOptions | undefined): Recommendation[] {
  const { exclude = 'seen', ...narrowed } = checkOptions('options', options, ['exclude', 'filter', 'candidates']);
  const row = user instanceof Float32Array ? undefined : rowOf('user', model.userIds, user);
  const { users, itemIds, dim } = model;
  const point = user instanceof Float32Array ? checkPoint('user', model, user) : users.subarray(row! * dim, (row! + 1) * dim);
  const count = Math.min(checkInteger('k', k, 1), itemIds.length);
  const selection = selectionOf(itemIds, narrowed, excludedRows(model, exclude, row));
  const { rows, distances } = nearestRows(model, 'items', point, count, selection);
  return Array.from(rows, (item, i) => ({ item: itemIds[item]!, distance: distances[i]! }));
}
