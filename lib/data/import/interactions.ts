import { HyperKnowError } from '../../errors.ts';
import { inPieces, finishInTurns, type Steps } from '../steps.ts';
import { countsOf, type Pairs, rowNumbers, sortedRows, Uint32List } from '../csr.ts';
import { quoteToken } from '../formats/file.ts';
import type { IdMap } from '../id-map.ts';
import { type Cell, readTable, type TableFile } from '../tables/table.ts';
import type { ImportOptions } from './options.ts';

/** Distinct pairs by user, then item, each with the time at which it was first seen: milliseconds, or whatever the numbers of the column are. */
export interface TimedPairs extends Pairs {
  times: Float64Array | null;
}

export interface ReadInteractions {
  file: TableFile;
  pairs: TimedPairs;
  /** Rows left out for their rating. */
  lowRated: number;
}

/** Reads one table of interactions and gives users and items dense ids in the order of their appearance. */
export async function readInteractions(table: ImportOptions['interactions'], users: IdMap, items: IdMap): Promise<ReadInteractions> {
  const columns = [
    table.user,
    table.item,
    ...(table.time === undefined ? [] : [table.time]),
    ...(table.rating === undefined ? [] : [table.rating]),
  ];
  const timeAt = table.time === undefined ? -1 : 2;
  const ratingAt = table.rating === undefined ? -1 : columns.length - 1;
  const all = { users: new Uint32List(), items: new Uint32List() };
  const times: number[][] = [[]];
  let lowRated = 0;
  const name = fileName(table.path);
  const row = (cells: readonly Cell[], line: number) => {
    if (ratingAt >= 0) {
      const rating = cells[ratingAt] === '' ? Number.NEGATIVE_INFINITY : numberOf(cells[ratingAt]!);
      if (Number.isNaN(rating)) throw cellError(name, line, table.rating!, 'must be a number', cells[ratingAt]!);
      if (rating < table.minRating!) {
        ++lowRated;
        return;
      }
    }
    if (timeAt >= 0) {
      const time = timeOf(cells[timeAt]!);
      if (Number.isNaN(time))
        throw cellError(name, line, table.time!, 'must be a number or a date like 2024-05-31 or 2024-05-31T12:00:00Z', cells[timeAt]!);
      if (times.at(-1)!.length === 1 << 16) times.push([]);
      times.at(-1)!.push(time);
    }
    all.users.push(users.add(idOf(cells[0]!, name, line, table.user)));
    all.items.push(items.add(idOf(cells[1]!, name, line, table.item)));
  };
  const file = await readTable(table.path, columns, row, table.delimiter === undefined ? {} : { delimiter: table.delimiter });
  const pairs = { users: await finishInTurns(all.users.take()), items: await finishInTurns(all.items.take()) };
  const flat = timeAt < 0 ? null : await finishInTurns(flattened(times, pairs.users.length));
  return { file, lowRated, pairs: await finishInTurns(distinctPairs(pairs, flat, users.size, items.size)) };
}

function* flattened(parts: number[][], length: number): Steps<Float64Array> {
  const values = new Float64Array(length);
  let at = 0;
  for (const part of parts) {
    values.set(part, at);
    at += part.length;
    yield;
  }
  return values;
}

/** Of each pair one, with the earliest of its times. */
function* distinctPairs({ users, items }: Pairs, times: Float64Array | null, userCount: number, itemCount: number): Steps<TimedPairs> {
  const rows = users.length;
  const sorted = yield* sortedRows([users, items, yield* rowNumbers(rows)], [userCount, itemCount]);
  const result = { users: new Uint32Array(rows), items: new Uint32Array(rows), times: times && new Float64Array(rows) };
  let kept = 0;
  yield* inPieces(rows, (begin, end) => {
    for (let i = begin; i < end; ++i) {
      const [user, item, row] = [sorted[3 * i]!, sorted[3 * i + 1]!, sorted[3 * i + 2]!];
      if (kept > 0 && result.users[kept - 1] === user && result.items[kept - 1] === item) {
        if (times) result.times![kept - 1] = Math.min(result.times![kept - 1]!, times[row]!);
        continue;
      }
      result.users[kept] = user;
      result.items[kept] = item;
      if (times) result.times![kept] = times[row]!;
      ++kept;
    }
  });
  return { users: result.users.subarray(0, kept), items: result.items.subarray(0, kept), times: result.times?.subarray(0, kept) ?? null };
}

/** The pairs for which `mask` is 1. */
export function* chosen({ users, items, times }: TimedPairs, mask: Uint8Array): Steps<TimedPairs> {
  let size = 0;
  yield* inPieces(mask.length, (begin, end) => {
    for (let i = begin; i < end; ++i) size += mask[i]!;
  });
  const result = { users: new Uint32Array(size), items: new Uint32Array(size), times: times && new Float64Array(size) };
  let at = 0;
  yield* inPieces(mask.length, (begin, end) => {
    for (let i = begin; i < end; ++i) {
      if (mask[i] === 0) continue;
      result.users[at] = users[i]!;
      result.items[at] = items[i]!;
      if (times) result.times![at] = times[i]!;
      ++at;
    }
  });
  return result;
}

/** The k-core: the largest set of pairs in which every user and every item has at least `k`. */
export function* core(pairs: TimedPairs, k: number, users: number, items: number): Steps<TimedPairs> {
  for (let left = pairs; ; ) {
    const perUser = yield* countsOf(left.users, users);
    const perItem = yield* countsOf(left.items, items);
    const mask = new Uint8Array(left.users.length);
    let dropped = 0;
    yield* inPieces(mask.length, (begin, end) => {
      for (let i = begin; i < end; ++i) {
        mask[i] = Number(perUser[left.users[i]!]! >= k && perItem[left.items[i]!]! >= k);
        dropped += 1 - mask[i]!;
      }
    });
    if (dropped === 0) return left;
    left = yield* chosen(left, mask);
  }
}

/** Control characters, line ends among them, could not be written into a file that is read line by line. */
const CONTROL = /\p{Cc}/u;

/** An id as it stands, byte for byte. */
export function idOf(cell: Cell, name: string, line: number, column: string): string {
  if (typeof cell !== 'string') throw cellError(name, line, column, 'must be one value', cell.join(' '));
  if (cell === '') throw cellError(name, line, column, 'is empty', cell);
  if (CONTROL.test(cell)) throw cellError(name, line, column, 'holds a control character', cell);
  return cell;
}

export function cellError(name: string, line: number, column: string, what: string, cell: Cell): HyperKnowError {
  const got = cell === '' ? '' : `, got ${quoteToken(typeof cell === 'string' ? cell : cell.join(' '))}`;
  return new HyperKnowError('ERR_HK_DATA', `${name}, line ${line}: the ${column} ${what}${got}`, { file: name, line });
}

/** A decimal number, whole; NaN for anything else. */
export function numberOf(cell: Cell): number {
  return typeof cell === 'string' && /^\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*$/i.test(cell) ? Number(cell) : Number.NaN;
}

/** A number, or a date in ISO form (with a space for the T, as databases write it), which without a zone is UTC. */
function timeOf(cell: Cell): number {
  const number = numberOf(cell);
  if (Number.isFinite(number) || typeof cell !== 'string') return number;
  const match = /^\s*(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d+)?)?)\s*(Z|UTC|[+-]\d\d:?\d\d)?)?\s*$/.exec(cell);
  if (!match) return Number.NaN;
  const [, day, time = '00:00:00', zone = 'Z'] = match;
  return Date.parse(`${day}T${time}${zone === 'UTC' ? 'Z' : zone.replace(/^([+-]\d\d)(\d\d)$/, '$1:$2')}`);
}

function fileName(path: string): string {
  return path.replace(/^.*[/\\]/, '');
}
