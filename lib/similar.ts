import { checkInteger, checkOptions } from './check.ts';
import type { Id } from './data/csr.ts';
import { type Embedding, rowOf } from './embedding.ts';
import { checkPoint, type FilterOptions, nearestRows, selectionOf } from './ranking.ts';
import type { Recommendation } from './recommend.ts';

/** One entry of a list of `similarUsers`. */
export interface SimilarUser {
  user: Id;
  distance: number;
}

/** The k items nearest to an item, itself left out, or to a point such as `foldInItem` returns. */
export function similarItems(model: Embedding, item: Id | Float32Array, k: number, options: FilterOptions | undefined): Recommendation[] {
  return nearestTo(model, 'items', item, k, options).map(({ id, distance }) => ({ item: id, distance }));
}

/** The k users nearest to a user, themselves left out, or to a point such as `foldInUser` returns. */
export function similarUsers(model: Embedding, user: Id | Float32Array, k: number): SimilarUser[] {
  return nearestTo(model, 'users', user, k, undefined).map(({ id, distance }) => ({ user: id, distance }));
}

function nearestTo(
  model: Embedding,
  among: 'items' | 'users',
  given: Id | Float32Array,
  k: number,
  options: FilterOptions | undefined,
): { id: Id; distance: number }[] {
  const narrowed = checkOptions('options', options, ['filter', 'candidates']);
  const { dim } = model;
  const [argument, ids, table] =
    among === 'items' ? (['item', model.itemIds, model.entities] as const) : (['user', model.userIds, model.users] as const);
  const row = given instanceof Float32Array ? undefined : rowOf(argument, ids, given);
  const point = given instanceof Float32Array ? checkPoint(argument, model, given) : table.subarray(row! * dim, (row! + 1) * dim);
  const count = Math.min(checkInteger('k', k, 1), ids.length);
  const selection = selectionOf(ids, narrowed, row === undefined ? new Uint32Array(0) : Uint32Array.of(row));
  const { rows, distances } = nearestRows(model, among, point, count, selection);
  return Array.from(rows, (near, i) => ({ id: ids[near]!, distance: distances[i]! }));
}
