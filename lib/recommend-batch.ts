import { availableParallelism } from 'node:os';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { checkBackend, checkInteger, checkOneOf, checkOptions, show } from './check.ts';
import type { Id, Interactions } from './data/csr.ts';
import { type BlendedEmbedding, type Embedding, isBlended, rowOf, rowsOf } from './embedding.ts';
import { argumentError } from './errors.ts';
import { itemTable, preparedItems } from './item-tables.ts';
import { type NativeTopK, native, resolveBackend } from './native.ts';
import { type BlendedRanking, blendedList, blendedRanking, depthOf, trainItems } from './neighbor-blend.ts';
import { excludedRows, type FilterOptions, gather, joined, NONE, selectionOf, seenItems, union, without } from './ranking.ts';
import type { Recommendation, RecommendOptions } from './recommend.ts';

/** Of `Model.recommendBatchSync`. */
export interface RecommendBatchSyncOptions extends RecommendOptions {
  /** Length of the lists. Default 20. */
  k?: number;
  /** The items of each user, as `history` of `recommend` has them. Default: the training items of users by id, none of points. */
  histories?: Iterable<Iterable<Id>>;
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
  /** [users, k], ascending within a list, unless the model blends neighbours. Infinity where fewer were left. */
  readonly distances: Float32Array;
  /** [users, k] what lists go by, descending, where the model blends neighbours; null where they go by distance. 0 where fewer were left. */
  readonly scores: Float64Array | null;
  readonly #itemIds: readonly Id[];

  /** @internal */
  constructor(k: number, items: Uint32Array, distances: Float32Array, itemIds: readonly Id[], scores: Float64Array | null = null) {
    this.k = k;
    this.scores = scores;
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
      list.push({
        item: this.#itemIds[this.items[i]!]!,
        distance: this.distances[i]!,
        ...(this.scores ? { score: this.scores[i]! } : {}),
      });
    return list;
  }
}

/** Users ranked at once: the copies of points and lists stay small beside the items. */
const CHUNK = 8192;

/** Users beside whom it costs little to look for changes in all of the items. */
const MANY = 256;

const OPTIONS = ['k', 'exclude', 'filter', 'candidates', 'histories'] as const;

/** Milliseconds for which users are ranked in JavaScript before other events of the process have their turn. */
const TURN = 6;

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
  for (let began = performance.now(); !call.done; ) {
    if (call.value) call = calls.next(await native.topKAsync(name, count, ...call.value).promise);
    else if (performance.now() - began < TURN) {
      call = calls.next();
      continue;
    } else {
      await nextTurn();
      call = calls.next();
    }
    began = performance.now();
  }
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
  while (!call.done) call = call.value ? calls.next(native.topK('cpu', ...call.value)) : calls.next();
  return call.value;
}

/** What native topK and topKAsync take after their settings. */
type TopKCall = Parameters<typeof native.topK> extends [string, ...infer Rest] ? Rest : never;

/** The calls of topK that a batch needs, each to be answered with what it found, and then the batch; undefined: a good moment for a pause. */
function* callsOf(
  model: Embedding,
  users: Iterable<Id> | Float32Array,
  options: RecommendBatchSyncOptions,
): Generator<TopKCall | undefined, RecommendationBatch, NativeTopK | undefined> {
  const { k = 20, exclude = 'seen', histories, ...narrowed } = options;
  checkInteger('k', k, 1, 1 << 24);
  const { dim, curvature, itemIds } = model;
  const { points, rows } = pointsOf(model, users);
  if (typeof exclude === 'string') checkOneOf('exclude', exclude, ['seen', 'none']);
  const shared = narrow(model, narrowed, typeof exclude === 'string' ? new Uint32Array(0) : excludedRows(model, exclude, undefined));
  const { allowed } = shared;
  const total = points.length / dim;
  const items = new Uint32Array(total * k).fill(NONE);
  const distances = new Float32Array(total * k).fill(Number.POSITIVE_INFINITY);
  const given = histories === undefined ? undefined : historiesOf(model, histories, total);
  const scores = isBlended(model) ? new Float64Array(total * k) : null;
  const batch = new RecommendationBatch(k, items, distances, itemIds, scores);
  if (total === 0 || (allowed ?? itemIds).length === 0) return batch;
  if (isBlended(model)) {
    yield* blendedBatch(model, { batch, points, rows, histories: given, leaveSeen: exclude === 'seen' && rows !== null }, shared);
    return batch;
  }
  const table = allowed ? gather(itemTable(model), allowed, dim) : preparedItems(model, total >= MANY);
  for (let begin = 0; begin < total; begin += CHUNK) {
    const end = Math.min(total, begin + CHUNK);
    const own = exclude === 'seen' && rows ? rows.slice(begin, end) : undefined;
    const left = exclusions(model, end - begin, own, shared);
    const found = (yield [points.subarray(begin * dim, end * dim), table, dim, k, left.offsets, left.items, curvature])!;
    items.set(allowed ? found.items.map((item) => (item === NONE ? NONE : allowed[item]!)) : found.items, begin * k);
    distances.set(found.distances, begin * k);
  }
  return batch;
}

/** What a batch of a model that blends is made from. */
interface BlendedUsers {
  batch: RecommendationBatch;
  points: Float32Array;
  /** Of users by id; null: points. */
  rows: number[] | null;
  histories: Uint32Array[] | undefined;
  leaveSeen: boolean;
}

/** Fills the batch: the nearest items of all users of a chunk by one call, then the lists user by user. */
function* blendedBatch(
  model: BlendedEmbedding,
  { batch, points, rows, histories, leaveSeen }: BlendedUsers,
  { allowed, left }: Shared,
): Generator<TopKCall | undefined, void, NativeTopK | undefined> {
  const { k, length: total } = batch;
  const { dim, curvature } = model;
  const ranking: BlendedRanking = yield* blendedRanking(model) as Generator<undefined, BlendedRanking, unknown>;
  const leftOut = new Uint8Array(model.itemIds.length).fill(allowed ? 1 : 0);
  for (const item of allowed ?? left) leftOut[item] = allowed ? 0 : 1;
  const isLeft = (item: number) => leftOut[item] !== 0;
  const depth = depthOf(Math.min(k, model.itemIds.length), left.length);
  for (let begin = 0; begin < total; begin += CHUNK) {
    const end = Math.min(total, begin + CHUNK);
    const known = Array.from({ length: end - begin }, (_, i) => {
      return histories?.[begin + i] ?? (rows ? trainItems(model, rows[begin + i]!) : new Uint32Array(0));
    });
    const { offsets, items } = joined(known);
    const chunk = points.subarray(begin * dim, end * dim);
    const { items: near } = (yield [chunk, preparedItems(model, total >= MANY), dim, depth, offsets, items, curvature])!;
    for (let i = 0; i < end - begin; ++i) {
      yield* ranking.prepare(known[i]!) as Generator<undefined, void, unknown>;
      const seen = leaveSeen ? seenItems(model, rows![begin + i]!).filter((item) => leftOut[item] === 0) : [];
      for (const item of seen) leftOut[item] = 1;
      const user = { point: chunk.subarray(i * dim, (i + 1) * dim), history: known[i]!, near: near.subarray(i * depth, (i + 1) * depth) };
      const list = blendedList(ranking, model, user, { k, isLeft, candidates: allowed });
      batch.items.set(list.items, (begin + i) * k);
      batch.distances.set(list.distances, (begin + i) * k);
      batch.scores!.set(list.scores, (begin + i) * k);
      for (const item of seen) leftOut[item] = 0;
      yield;
    }
  }
}

function historiesOf(model: Embedding, given: unknown, users: number): Uint32Array[] {
  if (given === null || typeof given !== 'object' || !(Symbol.iterator in given))
    throw argumentError('type', 'histories', `must be an iterable of iterables of ids, got ${show(given)}`);
  const histories: Uint32Array[] = [];
  for (const history of given as Iterable<unknown>) histories.push(rowsOf(`histories[${histories.length}]`, model.itemIds, history));
  if (histories.length !== users)
    throw argumentError('range', 'histories', `must be one for each of ${users} users, got ${histories.length}`);
  return histories;
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
  const lists: Uint32Array[] = [];
  for (let i = 0; i < users; ++i) {
    let list = left;
    if (rows) {
      const seen = seenItems(model, rows[i]!);
      list = union(left, positions ? seen.filter((item) => positions[item]! >= 0).map((item) => positions[item]!) : seen);
    }
    lists.push(list);
  }
  return joined(lists);
}
