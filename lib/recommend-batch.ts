import { availableParallelism } from 'node:os';
import { checkBackend, checkInteger, checkOneOf, checkOptions, show } from './check.ts';
import type { Id, Interactions } from './data/csr.ts';
import { type Embedding, rowOf } from './embedding.ts';
import { argumentError } from './errors.ts';
import { itemTable, preparedItems } from './item-tables.ts';
import { type NativeTopK, native, resolveBackend } from './native.ts';
import { excludedRows, type FilterOptions, gather, NONE, selectionOf, seenItems, union, without } from './ranking.ts';
import type { Recommendation, RecommendOptions } from './recommend.ts';

/** Of `Model.recommendBatchSync`. */
export interface RecommendBatchSyncOptions extends RecommendOptions {
  /** Length of the lists. Default 20. */
  k?: number;
}

/** Of `Model.recommendBatch`. */
export interface RecommendBatchOptions extends RecommendBatchSyncOptions {
  /** Default 'auto'. */
  backend?: 'cpu' | 'cuda' | 'auto';
  /** Default: as many as the machine runs at once. */
  threads?: number;
}

/** Lists for many users, in the order the users were given. */
export class RecommendationBatch {
  /** Length of a list. */
  readonly k: number;
  /** [users, k] rows of items: `model.itemIds[row]` is the caller's id. 0xffffffff where fewer than k items were left. */
  readonly items: Uint32Array;
  /** [users, k], ascending within a list. Infinity where fewer were left. */
  readonly distances: Float32Array;
  readonly #itemIds: readonly Id[];

  /** @internal */
  constructor(k: number, items: Uint32Array, distances: Float32Array, itemIds: readonly Id[]) {
    this.k = k;
    this.items = items;
    this.distances = distances;
    this.#itemIds = itemIds;
  }

  /** How many users there are. */
  get length(): number {
    return this.items.length / this.k;
  }

  /** The list of the user at `position`, as `recommend` gives it. */
  list(position: number): Recommendation[] {
    checkInteger('position', position, 0, this.length - 1);
    const list: Recommendation[] = [];
    for (let i = position * this.k; i < (position + 1) * this.k && this.items[i] !== NONE; ++i)
      list.push({ item: this.#itemIds[this.items[i]!]!, distance: this.distances[i]! });
    return list;
  }
}

/** Users ranked at once: the copies of points and lists stay small beside the items. */
const CHUNK = 8192;

/** Users beside whom it costs little to look for changes in all of the items. */
const MANY = 256;

const OPTIONS = ['k', 'exclude', 'filter', 'candidates'] as const;

/** `recommend` for many users, off the event loop. A `filter` function is asked of every item once. */
export async function recommendBatch(
  model: Embedding,
  users: Iterable<Id> | Float32Array,
  options: RecommendBatchOptions | undefined,
): Promise<RecommendationBatch> {
  const { backend = 'auto', threads, ...own } = checkOptions('options', options, [...OPTIONS, 'backend', 'threads']);
  const name = resolveBackend(checkBackend(backend, ['cpu', 'cuda', 'auto']));
  const count = threads === undefined ? availableParallelism() : checkInteger('threads', threads, 1, 1024);
  const calls = callsOf(model, users, own);
  let call = calls.next();
  while (!call.done) call = calls.next(await native.topKAsync(name, count, ...call.value).promise);
  return call.value;
}

/** The same at once, on the CPU. */
export function recommendBatchSync(
  model: Embedding,
  users: Iterable<Id> | Float32Array,
  options: RecommendBatchSyncOptions | undefined,
): RecommendationBatch {
  const calls = callsOf(model, users, checkOptions('options', options, OPTIONS));
  let call = calls.next();
  while (!call.done) call = calls.next(native.topK('cpu', ...call.value));
  return call.value;
}

/** What native topK and topKAsync take after their settings. */
type TopKCall = Parameters<typeof native.topK> extends [string, ...infer Rest] ? Rest : never;

/** The calls of topK that a batch needs, each to be answered with what it found, and then the batch. */
function* callsOf(
  model: Embedding,
  users: Iterable<Id> | Float32Array,
  options: RecommendBatchSyncOptions,
): Generator<TopKCall, RecommendationBatch, NativeTopK> {
  const { k = 20, exclude = 'seen', ...narrowed } = options;
  checkInteger('k', k, 1, 1 << 24);
  const { dim, curvature, itemIds } = model;
  const { points, rows } = pointsOf(model, users);
  if (typeof exclude === 'string') checkOneOf('exclude', exclude, ['seen', 'none']);
  const shared = narrow(model, narrowed, typeof exclude === 'string' ? new Uint32Array(0) : excludedRows(model, exclude, undefined));
  const { allowed } = shared;
  const total = points.length / dim;
  const items = new Uint32Array(total * k).fill(NONE);
  const distances = new Float32Array(total * k).fill(Number.POSITIVE_INFINITY);
  const batch = new RecommendationBatch(k, items, distances, itemIds);
  if (total === 0 || (allowed ?? itemIds).length === 0) return batch;
  const table = allowed ? gather(itemTable(model), allowed, dim) : preparedItems(model, total >= MANY);
  for (let begin = 0; begin < total; begin += CHUNK) {
    const end = Math.min(total, begin + CHUNK);
    const own = exclude === 'seen' && rows ? rows.slice(begin, end) : undefined;
    const left = exclusions(model, end - begin, own, shared);
    const found = yield [points.subarray(begin * dim, end * dim), table, dim, k, left.offsets, left.items, curvature];
    items.set(allowed ? found.items.map((item) => (item === NONE ? NONE : allowed[item]!)) : found.items, begin * k);
    distances.set(found.distances, begin * k);
  }
  return batch;
}

function pointsOf(model: Embedding, users: unknown): { points: Float32Array; rows: number[] | null } {
  const { dim } = model;
  if (users instanceof Float32Array) {
    if (users.length % dim !== 0)
      throw argumentError('range', 'users', `must be points of ${dim} coordinates, has ${users.length} numbers`);
    return { points: users, rows: null };
  }
  if (users === null || typeof users !== 'object' || !(Symbol.iterator in users))
    throw argumentError('type', 'users', `must be an iterable of ids or a Float32Array of points, got ${show(users)}`);
  const rows: number[] = [];
  for (const user of users as Iterable<unknown>) rows.push(rowOf(`users[${rows.length}]`, model.userIds, user));
  return { points: gather(model.users, rows, dim), rows };
}

/** What is the same for all users: the only items that count (null: all), or else the items left out. */
interface Shared {
  allowed: Uint32Array | null;
  left: Uint32Array;
  /** Position of an item row in `allowed`, −1 where it is not there. */
  positions: Int32Array | null;
}

function narrow({ itemIds }: Embedding, options: FilterOptions, excluded: Uint32Array): Shared {
  const { left, candidates, keep } = selectionOf(itemIds, options, excluded);
  if (!candidates && !keep) return { allowed: null, left, positions: null };
  const among = without(candidates ?? Uint32Array.from(itemIds, (_, row) => row), left);
  const allowed = keep ? among.filter(keep) : among;
  const positions = new Int32Array(itemIds.length).fill(-1);
  for (let i = 0; i < allowed.length; ++i) positions[allowed[i]!] = i;
  return { allowed, left: new Uint32Array(0), positions };
}

/** CSR by user of what is left out of the table that is searched. `rows`: users whose seen items are among it. */
function exclusions(model: Embedding, users: number, rows: number[] | undefined, { left, positions }: Shared): Interactions {
  const offsets = new Uint32Array(users + 1);
  const lists: Uint32Array[] = [];
  for (let i = 0; i < users; ++i) {
    let list = left;
    if (rows) {
      const seen = seenItems(model, rows[i]!);
      list = union(left, positions ? seen.filter((item) => positions[item]! >= 0).map((item) => positions[item]!) : seen);
    }
    lists.push(list);
    offsets[i + 1] = offsets[i]! + list.length;
  }
  const items = new Uint32Array(offsets[users]!);
  for (let i = 0; i < users; ++i) items.set(lists[i]!, offsets[i]!);
  return { offsets, items };
}
