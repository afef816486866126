import { checkFloat32Array, show } from './check.ts';
import type { Id, Interactions } from './data/csr.ts';
import { type Embedding, rowsOf } from './embedding.ts';
import { argumentError } from './errors.ts';
import { ballGap } from './geometry.ts';
import { itemTable, preparedItems } from './item-tables.ts';
import { native } from './native.ts';

export { itemTable };

/** What native topK puts where there is no item. */
export const NONE = 0xffffffff;

/** Which of a table's rows may stand in a list. */
export interface Selection {
  /** Rows that may not, ascending. */
  left: Uint32Array;
  /** Those that alone may, ascending; null: all. */
  candidates: Uint32Array | null;
  /** Whether the row may; asked in the order of the list, and only as far as the list goes. */
  keep: ((row: number) => boolean) | null;
}

export interface NearestRows {
  rows: Uint32Array;
  distances: Float32Array;
}

/** What narrows a list down; which of an item's or a user's neighbours count. */
export interface FilterOptions {
  /**
   * A function that says of an item whether it may be recommended, or the ids of items to leave out beside those of `exclude`. The function is
   * asked in the order of the list until that is full: of some dozens of items, not of all of them.
   */
  filter?: ((item: Id) => boolean) | Iterable<Id>;
  /** The only items that may be recommended, by their ids. */
  candidates?: Iterable<Id>;
}

/** Checks `filter` and `candidates`; `left` are rows that are left out anyway. */
export function selectionOf(ids: readonly Id[], { filter, candidates }: FilterOptions, left: Uint32Array): Selection {
  const selection: Selection = { left, candidates: candidates === undefined ? null : rowsOf('candidates', ids, candidates), keep: null };
  if (typeof filter === 'function') selection.keep = (row) => Boolean(filter(ids[row]!));
  else if (filter !== undefined) selection.left = union(left, rowsOf('filter', ids, filter));
  return selection;
}

/** The ascending union of two ascending lists. */
export function union(a: Uint32Array, b: Uint32Array): Uint32Array {
  if (a.length === 0 || b.length === 0) return a.length === 0 ? b : a;
  return Uint32Array.from(new Set([...a, ...b])).sort();
}

/** The entries of `rows` that are not in `left`; both ascend. */
export function without(rows: Uint32Array, left: Uint32Array): Uint32Array {
  if (left.length === 0) return rows;
  let at = 0;
  return rows.filter((row) => {
    while (at < left.length && left[at]! < row) ++at;
    return left[at] !== row;
  });
}

/** Rows of a table side by side. */
export function gather(table: Float32Array, rows: ArrayLike<number>, dim: number): Float32Array {
  const gathered = new Float32Array(rows.length * dim);
  for (let i = 0; i < rows.length; ++i) gathered.set(table.subarray(rows[i]! * dim, (rows[i]! + 1) * dim), i * dim);
  return gathered;
}

/** CSR of these lists, in their order. */
export function joined(lists: readonly Uint32Array[]): Interactions {
  const offsets = new Uint32Array(lists.length + 1);
  for (const [i, list] of lists.entries()) offsets[i + 1] = offsets[i]! + list.length;
  const items = new Uint32Array(offsets[lists.length]!);
  for (const [i, list] of lists.entries()) items.set(list, offsets[i]!);
  return { offsets, items };
}

/** The interactions of some users, in their order. */
export function interactionsOfUsers({ offsets, items }: Interactions, users: Uint32Array): Interactions {
  return joined(Array.from(users, (user) => items.subarray(offsets[user], offsets[user + 1])));
}

/** The user's training and validation items, ascending. */
export function seenItems({ seen }: Embedding, user: number): Uint32Array {
  return seen.items.subarray(seen.offsets[user], seen.offsets[user + 1]);
}

/**
 * The `count` items or users nearest to a point, nearest first, ties by smaller row; fewer where fewer are left. All of the work is one call
 * of native topK; one call more for each time that `keep` refused so many that the list did not get full.
 */
export function nearestRows(
  model: Embedding,
  among: 'items' | 'users',
  point: Float32Array,
  count: number,
  selection: Selection,
): NearestRows {
  const { dim, curvature } = model;
  const { left, keep } = selection;
  const candidates = selection.candidates && without(selection.candidates, left);
  const table = among === 'items' ? itemTable(model) : model.users;
  const rows = candidates ? candidates.length : table.length / dim;
  const searched = candidates ? gather(table, candidates, dim) : among === 'items' ? preparedItems(model) : table;
  const none = candidates ? new Uint32Array(0) : left;
  for (let depth = Math.min(rows, keep ? 4 * count : count); ; depth = Math.min(rows, 8 * depth)) {
    if (depth === 0) return { rows: new Uint32Array(0), distances: new Float32Array(0) };
    const found = native.topK('cpu', point, searched, dim, depth, Uint32Array.of(0, none.length), none, curvature);
    let size = 0;
    let end = 0;
    for (; end < depth && found.items[end] !== NONE && size < count; ++end) {
      const row = candidates ? candidates[found.items[end]!]! : found.items[end]!;
      if (keep && !keep(row)) continue;
      found.items[size] = row;
      found.distances[size++] = found.distances[end]!;
    }
    if (size === count || depth === rows || end < depth)
      return { rows: found.items.subarray(0, size), distances: found.distances.subarray(0, size) };
  }
}

/** A point of the model's space. */
export function checkPoint(argument: string, { dim, curvature }: Embedding, value: unknown): Float32Array {
  const point = checkFloat32Array(argument, value);
  if (point.length !== dim) throw argumentError('range', argument, `must have ${dim} coordinates, has ${point.length}`);
  if (!(ballGap(point, 0, dim, curvature) > 0)) throw argumentError('range', argument, 'must be a point inside the ball');
  return point;
}

/** The rows that `exclude` names for a user; `user` undefined: one who has seen nothing. */
export function excludedRows(model: Embedding, exclude: unknown, user: number | undefined): Uint32Array {
  if (typeof exclude !== 'string') return rowsOf('exclude', model.itemIds, exclude);
  if (exclude === 'seen') return user === undefined ? new Uint32Array(0) : seenItems(model, user);
  if (exclude === 'none') return new Uint32Array(0);
  throw argumentError('range', 'exclude', `must be 'seen', 'none' or an iterable of item ids, got ${show(exclude)}`);
}
