import { HyperKnowError } from '../errors.ts';
import { release } from './release.ts';
import { inPieces, PIECE, type Steps } from './steps.ts';

/** An id of the caller's own: a string or a safe integer. The number 1 and the string '1' are two ids. */
export type Id = string | number;

/** Which items each user has: user u's are `items[offsets[u] .. offsets[u + 1]]`, distinct and ascending. */
export interface Interactions {
  /** users + 1 entries */
  offsets: Uint32Array;
  items: Uint32Array;
}

/** The triples whose head is an item: item v's are `offsets[v] .. offsets[v + 1]`, sorted by relation, then tail. */
export interface Graph {
  /** items + 1 entries */
  offsets: Uint32Array;
  relations: Uint32Array;
  tails: Uint32Array;
}

/** Triples (head, relation, tail) as three columns of equal length. */
export interface Triples {
  heads: Uint32Array;
  relations: Uint32Array;
  tails: Uint32Array;
}

/** Interactions as read: two columns of equal length, in any order, repeats included. */
export interface Pairs {
  users: Uint32Array;
  items: Uint32Array;
}

/**
 * The most interactions that a split may have, and the most triples of a data set and of its graph; a multiple of PIECE. Offsets are 32-bit numbers,
 * and the sum of two of them is one in a binary search. An object, so that tests can reach the limit.
 */
export const limits: { rows: number } = { rows: 2 ** 31 };

/** More rows than `limits` has. */
export class TooManyRows extends HyperKnowError {
  constructor(what: string = 'interactions in a split, and as many triples') {
    super('ERR_HK_DATA', `a data set has at most ${limits.rows} ${what}`);
  }
}

/** A Uint32Array that grows, block by block: doubling one array would keep the event loop waiting for the copies. */
export class Uint32List {
  private readonly full: Uint32Array[] = [];
  private block = new Uint32Array(PIECE);
  private used = 0;

  get length(): number {
    return this.full.length * PIECE + this.used;
  }

  push(value: number): void {
    if (this.used === PIECE) {
      if (this.length >= limits.rows) throw new TooManyRows();
      this.full.push(this.block);
      this.block = new Uint32Array(PIECE);
      this.used = 0;
    }
    this.block[this.used++] = value;
  }

  /** All values in one array. The list is empty afterwards. */
  *take(): Steps<Uint32Array> {
    const values = new Uint32Array(this.length);
    values.set(this.block.subarray(0, this.used), this.full.length * PIECE);
    this.used = 0;
    while (this.full.length > 0) {
      const block = this.full.pop()!;
      values.set(block, this.full.length * PIECE);
      release(block);
      yield;
    }
    return values;
  }
}

/** CSR by user of the distinct pairs, and how many pairs were repeats. */
export function* interactionsOf(pairs: Pairs, users: number, items: number): Steps<{ interactions: Interactions; repeated: number }> {
  // Users in the order of their items, then these items in the order of their users: each user's ascend.
  const byItem = yield* grouped(pairs.items, pairs.users, items);
  const { offsets, items: sorted } = yield* transposed(byItem, users);
  release(byItem.offsets, byItem.items);
  const rows = sorted.length;
  let kept = 0;
  let user = 0;
  let last = -1;
  yield* inPieces(rows, (begin, end) => {
    for (let i = begin; i < end; ++i) {
      while (i === offsets[user + 1]) {
        offsets[++user] = kept;
        last = -1;
      }
      const item = sorted[i]!;
      if (item !== last) sorted[kept++] = last = item;
    }
  });
  offsets.fill(kept, user + 1);
  if (kept === rows) return { interactions: { offsets, items: sorted }, repeated: 0 };
  const distinct = sorted.slice(0, kept);
  release(sorted);
  return { interactions: { offsets, items: distinct }, repeated: rows - kept };
}

/** CSR by key of the values, each key's in the order given. `bound` bounds the keys. */
function* grouped(keys: Uint32Array, values: Uint32Array, bound: number): Steps<Interactions> {
  const next = yield* countsOf(keys, bound);
  const offsets = new Uint32Array(bound + 1);
  offsets.set(next, 1);
  yield* accumulate(offsets);
  next.set(offsets.subarray(0, bound));
  const items = new Uint32Array(values.length);
  yield* inPieces(values.length, (begin, end) => {
    for (let i = begin; i < end; ++i) items[next[keys[i]!]!++] = values[i]!;
  });
  release(next);
  return { offsets, items };
}

/** The user of every entry of `interactions.items`. */
export function* usersOf({ offsets, items }: Interactions): Steps<Uint32Array> {
  const users = new Uint32Array(items.length);
  for (let user = 0; user + 1 < offsets.length; ++user) {
    users.fill(user, offsets[user]!, offsets[user + 1]!);
    if (user % PIECE === PIECE - 1) yield;
  }
  return users;
}

/** Column by column: the users of every item, ascending. `columns` bounds the items. */
export function* transposed(interactions: Interactions, columns: number): Steps<Interactions> {
  const users = yield* usersOf(interactions);
  const byItem = yield* grouped(interactions.items, users, columns);
  release(users);
  return byItem;
}

/** Parts `interactions` in two: the entries with a 0 in `mask` and those with a 1. */
export function* partedBy(mask: Uint8Array, interactions: Interactions): Steps<[zeros: Interactions, ones: Interactions]> {
  const { offsets, items } = interactions;
  let ones = 0;
  yield* inPieces(mask.length, (begin, end) => {
    for (let i = begin; i < end; ++i) ones += mask[i]!;
  });
  const part = (size: number) => ({ offsets: new Uint32Array(offsets.length), items: new Uint32Array(size), count: 0 });
  const parts = [part(items.length - ones), part(ones)] as const;
  const users = yield* usersOf(interactions);
  yield* inPieces(items.length, (begin, end) => {
    for (let i = begin; i < end; ++i) {
      const part = parts[mask[i]!]!;
      part.items[part.count++] = items[i]!;
      part.offsets[users[i]! + 1]!++;
    }
  });
  release(users);
  for (const { offsets } of parts) yield* accumulate(offsets);
  return [
    { offsets: parts[0].offsets, items: parts[0].items },
    { offsets: parts[1].offsets, items: parts[1].items },
  ];
}

/** Whether `item` is among the items of `user`. */
export function hasInteraction({ offsets, items }: Interactions, user: number, item: number): boolean {
  let low = offsets[user]!;
  let high = offsets[user + 1]!;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (items[middle]! < item) low = middle + 1;
    else high = middle;
  }
  return low < offsets[user + 1]! && items[low] === item;
}

/** The item that `rank` others, of those that the user has not, stand before. */
export function unseenItem({ offsets, items }: Interactions, user: number, rank: number): number {
  const begin = offsets[user]!;
  let low = begin;
  let high = offsets[user + 1]!;
  // Before the user's k-th item, counted from 0, stand items[begin + k] − k others; find the first k where that is more than rank.
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (items[middle]! - (middle - begin) > rank) high = middle;
    else low = middle + 1;
  }
  return rank + (low - begin);
}

/** The first of each set of equal triples in the order given, the same triples sorted by head, relation, tail, and how many were dropped. */
export function* distinctTriples(
  triples: Triples,
  entities: number,
  relations: number,
): Steps<{ triples: Triples; sorted: Triples; repeated: number }> {
  const quick = yield* sortedByHead(triples, entities, relations);
  if (quick) return { triples: yield* withoutRepeats(triples, entities, quick), sorted: quick.sorted, repeated: quick.repeated };
  const { heads, relations: kinds, tails } = triples;
  const rows = heads.length;
  const places = yield* rowNumbers(rows);
  const records = yield* sortedRows([heads, kinds, tails, places], [entities, relations, entities]);
  const keep = new Uint8Array(rows);
  const sorted = emptyTriples(rows);
  let kept = 0;
  let [lastHead, lastKind, lastTail] = [-1, -1, -1];
  yield* inPieces(rows, (begin, end) => {
    for (let i = begin; i < end; ++i) {
      const head = records[4 * i]!;
      const kind = records[4 * i + 1]!;
      const tail = records[4 * i + 2]!;
      if (tail === lastTail && kind === lastKind && head === lastHead) continue;
      // The sort is stable: this is the first of its equals.
      keep[records[4 * i + 3]!] = 1;
      setTriple(sorted, kept++, head, kind, tail);
      lastHead = head;
      lastKind = kind;
      lastTail = tail;
    }
  });
  release(places, records);
  if (kept === rows) return { triples, sorted, repeated: 0 };
  const distinct = emptyTriples(kept);
  let next = 0;
  yield* inPieces(rows, (begin, end) => {
    for (let row = begin; row < end; ++row) if (keep[row] === 1) setTriple(distinct, next++, heads[row]!, kinds[row]!, tails[row]!);
  });
  return { triples: distinct, sorted: firstOf(sorted, kept), repeated: rows - kept };
}

/** Longest neighbourhood that is sorted in one turn of the event loop. */
const LONGEST = 4 * PIECE;

/** The most repeats, as a share of the rows, that are dropped one by one. */
const FEW = 1 / 16;

interface SortedByHead {
  /** distinct */
  sorted: Triples;
  repeated: number;
  /** head → relation · entities + tail of each of its triples that occurs more than once → whether it has been met */
  repeats: Map<number, Map<number, boolean>>;
}

/**
 * The distinct triples sorted by head, relation, tail, or null if many are repeats, or a head has too many, or the ids are too large, for
 * this way: one counting sort by head of numbers that hold relation and tail, then each head's numbers for themselves. Memory is gone
 * through out of order once, where `sortedRows` does so three times.
 */
function* sortedByHead({ heads, relations: kinds, tails }: Triples, entities: number, relations: number): Steps<SortedByHead | null> {
  const rows = heads.length;
  if (relations * entities > Number.MAX_SAFE_INTEGER) return null;
  const ends = yield* countsOf(heads, entities);
  let longest = 0;
  yield* inPieces(entities, (begin, end) => {
    for (let head = begin; head < end; ++head) longest = Math.max(longest, ends[head]!);
  });
  if (longest > LONGEST) return null;
  yield* accumulate(ends);
  const keys = new Float64Array(rows);
  yield* inPieces(rows, (begin, end) => {
    for (let i = begin; i < end; ++i) keys[--ends[heads[i]!]!] = kinds[i]! * entities + tails[i]!;
  });
  const starts = ends; // each has been counted down to its head's first row
  const sorted = emptyTriples(rows);
  const repeats: SortedByHead['repeats'] = new Map();
  let kept = 0;
  let sinceYield = 0;
  for (let head = 0; head < entities; ++head) {
    const begin = starts[head]!;
    const end = head + 1 < entities ? starts[head + 1]! : rows;
    sortNumbers(keys, begin, end);
    for (let i = begin; i < end; ++i) {
      const key = keys[i]!;
      if (i > begin && key === keys[i - 1]) {
        if (i - kept >= FEW * rows) {
          releaseTriples(sorted);
          release(keys, starts);
          return null;
        }
        const own = repeats.get(head) ?? new Map<number, boolean>();
        repeats.set(head, own.set(key, false));
        continue;
      }
      const kind = Math.floor(key / entities);
      setTriple(sorted, kept++, head, kind, key - kind * entities);
    }
    sinceYield += end - begin + 1;
    if (sinceYield < PIECE) continue;
    sinceYield = 0;
    yield;
  }
  release(keys, starts);
  return { sorted: firstOf(sorted, kept), repeated: rows - kept, repeats };
}

/** The triples in the order given, of equal ones the first. */
function* withoutRepeats(triples: Triples, entities: number, { repeated, repeats }: SortedByHead): Steps<Triples> {
  if (repeated === 0) return triples;
  const { heads, relations: kinds, tails } = triples;
  const rows = heads.length;
  const isRepeating = new Uint8Array(entities);
  for (const head of repeats.keys()) isRepeating[head] = 1;
  const distinct = emptyTriples(rows - repeated);
  let next = 0;
  yield* inPieces(rows, (begin, end) => {
    for (let row = begin; row < end; ++row) {
      const head = heads[row]!;
      if (isRepeating[head] === 1) {
        const key = kinds[row]! * entities + tails[row]!;
        const own = repeats.get(head)!;
        const met = own.get(key);
        if (met === true) continue;
        if (met === false) own.set(key, true);
      }
      setTriple(distinct, next++, head, kinds[row]!, tails[row]!);
    }
  });
  return distinct;
}

function firstOf({ heads, relations, tails }: Triples, count: number): Triples {
  return { heads: heads.subarray(0, count), relations: relations.subarray(0, count), tails: tails.subarray(0, count) };
}

/** Sorts values[begin .. end) in place. */
function sortNumbers(values: Float64Array, begin: number, end: number): void {
  if (end - begin > 64) {
    values.subarray(begin, end).sort();
    return;
  }
  for (let i = begin + 1; i < end; ++i) {
    const value = values[i]!;
    let at = i;
    for (; at > begin && values[at - 1]! > value; --at) values[at] = values[at - 1]!;
    values[at] = value;
  }
}

/**
 * The triples whose head is an item, in CSR form.
 *
 * @param sorted distinct triples by head, relation, tail; the first `items` entities are the items
 */
export function* graphOf(sorted: Triples, items: number): Steps<Graph> {
  // Sorted by head, those of the items come first.
  let size = 0;
  for (let above = sorted.heads.length; size < above; ) {
    const middle = (size + above) >>> 1;
    if (sorted.heads[middle]! < items) size = middle + 1;
    else above = middle;
  }
  const offsets = new Uint32Array(items + 1);
  offsets.set(yield* countsOf(sorted.heads.subarray(0, size), items), 1);
  yield* accumulate(offsets);
  return { offsets, relations: sorted.relations.slice(0, size), tails: sorted.tails.slice(0, size) };
}

/** The same, with (t, r + relations, h) besides for every (h, r, t) whose tail is an item. */
export function* graphWithInverses(triples: Triples, items: number, entities: number, relations: number): Steps<Graph> {
  const { heads, relations: kinds, tails } = triples;
  let size = 0;
  yield* inPieces(heads.length, (begin, end) => {
    for (let i = begin; i < end; ++i) size += Number(heads[i]! < items) + Number(tails[i]! < items);
  });
  if (size > limits.rows) throw new TooManyRows('triples in its graph, inverses included');
  const both = emptyTriples(size);
  let next = 0;
  yield* inPieces(heads.length, (begin, end) => {
    for (let i = begin; i < end; ++i) {
      if (heads[i]! < items) setTriple(both, next++, heads[i]!, kinds[i]!, tails[i]!);
      if (tails[i]! < items) setTriple(both, next++, tails[i]!, kinds[i]! + relations, heads[i]!);
    }
  });
  const { sorted } = yield* distinctTriples(both, entities, 2 * relations);
  releaseTriples(both);
  const graph = yield* graphOf(sorted, items);
  releaseTriples(sorted);
  return graph;
}

/** 0 .. count − 1 */
export function* rowNumbers(count: number): Steps<Uint32Array> {
  const numbers = new Uint32Array(count);
  yield* inPieces(count, (begin, end) => {
    for (let i = begin; i < end; ++i) numbers[i] = i;
  });
  return numbers;
}

/** How often each of `bound` values stands in `values`. */
export function* countsOf(values: Uint32Array, bound: number): Steps<Uint32Array> {
  const counts = new Uint32Array(bound);
  yield* inPieces(values.length, (begin, end) => {
    for (let i = begin; i < end; ++i) counts[values[i]!]!++;
  });
  return counts;
}

function emptyTriples(size: number): Triples {
  return { heads: new Uint32Array(size), relations: new Uint32Array(size), tails: new Uint32Array(size) };
}

/** `release`, of the three columns. */
export function releaseTriples({ heads, relations, tails }: Triples): void {
  release(heads, relations, tails);
}

function setTriple(triples: Triples, row: number, head: number, relation: number, tail: number): void {
  triples.heads[row] = head;
  triples.relations[row] = relation;
  triples.tails[row] = tail;
}

/**
 * The rows of a table by its first column, then the second and so on as far as there are bounds, ties in the order given: one counting
 * sort a column, last column first. Row i of the result is at i · columns.length. Whole rows are moved, which takes one cache miss a
 * row and column; sorting an index of rows takes three, and took twice as long on five million triples.
 *
 * @param bounds all values of the column are below its bound
 */
export function* sortedRows(columns: readonly Uint32Array[], bounds: readonly number[]): Steps<Uint32Array> {
  const width = columns.length;
  const rows = columns[0]!.length;
  let source = new Uint32Array(width * rows);
  let target = new Uint32Array(width * rows);
  yield* inPieces(rows, (begin, end) => {
    for (let k = 0; k < width; ++k) {
      const column = columns[k]!;
      for (let i = begin; i < end; ++i) source[i * width + k] = column[i]!;
    }
    // Touched in order first: otherwise the first piece to be sorted meets every page of it for the first time, all in one turn.
    target.fill(0, begin * width, end * width);
  });
  for (let k = bounds.length - 1; k >= 0; --k) {
    const ends = yield* countsOf(columns[k]!, bounds[k]!);
    yield* accumulate(ends);
    // ends[v] is the end of v's rows; they are filled from there downwards, from the last row to the first, which keeps ties in order.
    yield* inPieces(rows, (begin, end) => moveRows(source, target, width, k, ends, rows - end, rows - begin));
    [source, target] = [target, source];
  }
  release(target);
  return source;
}

function moveRows(source: Uint32Array, target: Uint32Array, width: number, k: number, ends: Uint32Array, begin: number, end: number): void {
  for (let row = end - 1; row >= begin; --row) {
    const from = row * width;
    const to = --ends[source[from + k]!]! * width;
    for (let j = 0; j < width; ++j) target[to + j] = source[from + j]!;
  }
}

/** Replaces counts by their running sums, in place. */
function* accumulate(counts: Uint32Array): Steps<void> {
  let sum = 0;
  yield* inPieces(counts.length, (begin, end) => {
    for (let i = begin; i < end; ++i) counts[i] = sum += counts[i]!;
  });
}
