import { checkFloat32Array, checkInteger, checkOptions } from './check.ts';
import type { Id } from './data/csr.ts';
import { type Embedding, rowOf, rowsOf } from './embedding.ts';
import { argumentError } from './errors.ts';
import { ballGap } from './geometry.ts';
import { native } from './native.ts';

export interface RecommendOptions {
  /** Items to leave out: 'seen' (the user's training and validation items, the default), 'none', or any items by their ids. */
  exclude?: 'seen' | 'none' | Iterable<Id>;
}

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
  const { exclude = 'seen' } = checkOptions('options', options, ['exclude']);
  const row = user instanceof Float32Array ? undefined : rowOf('user', model.userIds, user);
  const point = user instanceof Float32Array ? checkPoint('user', model, user) : userPoint(model, row!);
  const items = model.itemIds.length;
  const count = Math.min(checkInteger('k', k, 1), items);
  let left: Uint32Array = new Uint32Array(0);
  if (typeof exclude !== 'string') left = rowsOf('exclude', model.itemIds, exclude);
  else if (exclude === 'seen') left = row === undefined ? left : seenItems(model, row);
  else if (exclude !== 'none') throw argumentError('range', 'exclude', "must be 'seen', 'none' or an iterable of item ids");
  const rows = model.entities.subarray(0, items * model.dim);
  const found = native.topK('cpu', point, rows, model.dim, count, Uint32Array.of(0, left.length), left, model.curvature);
  const list: Recommendation[] = [];
  for (let i = 0; i < count && found.distances[i] !== Number.POSITIVE_INFINITY; ++i)
    list.push({ item: model.itemIds[found.items[i]!]!, distance: found.distances[i]! });
  return list;
}

function userPoint({ users, dim }: Embedding, row: number): Float32Array {
  return users.subarray(row * dim, (row + 1) * dim);
}

function seenItems({ seen }: Embedding, row: number): Uint32Array {
  return seen.items.slice(seen.offsets[row], seen.offsets[row + 1]);
}

function checkPoint(argument: string, { dim, curvature }: Embedding, value: unknown): Float32Array {
  const point = checkFloat32Array(argument, value);
  if (point.length !== dim) throw argumentError('range', argument, `must have ${dim} coordinates, has ${point.length}`);
  if (!(ballGap(point, 0, dim, curvature) > 0)) throw argumentError('range', argument, 'must be a point inside the ball');
  return point;
}
