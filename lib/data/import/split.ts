import { Random } from '../random.ts';
import { inPieces, PIECE, type Steps } from '../steps.ts';
import { chosen, type TimedPairs } from './interactions.ts';

export interface Parts {
  train: TimedPairs;
  validation: TimedPairs;
  test: TimedPairs;
}

const [TRAIN, VALIDATION, TEST] = [0, 1, 2];

/** Stream of Random; 1 and 2 are those of ../split.ts. */
const STREAM = 3;

/** The last of all pairs are for test, those before them for validation; at one time, those of smaller users, then items, count as earlier. */
export function* splitByTime(pairs: TimedPairs, validationFraction: number, testFraction: number): Steps<Parts> {
  const rows = pairs.users.length;
  const order = yield* orderOf(pairs.times!);
  const test = Math.round(testFraction * rows);
  const validation = Math.round(validationFraction * rows);
  const part = new Uint8Array(rows);
  yield* inPieces(rows, (begin, end) => {
    for (let i = begin; i < end; ++i) part[order[i]!] = i >= rows - test ? TEST : i >= rows - test - validation ? VALIDATION : TRAIN;
  });
  return yield* parted(pairs, part);
}

/** Of every user's pairs the last where there are times, else drawn by the seed; at least one stays for training. */
export function* splitByUser(pairs: TimedPairs, validationFraction: number, testFraction: number, seed: number): Steps<Parts> {
  const { users, times } = pairs;
  const random = new Random(seed, STREAM);
  const part = new Uint8Array(users.length);
  let sinceYield = 0;
  for (let begin = 0; begin < users.length; ) {
    let end = begin;
    while (end < users.length && users[end] === users[begin]) ++end;
    const degree = end - begin;
    const order = Uint32Array.from({ length: degree }, (_, i) => begin + i);
    if (times) order.sort((a, b) => times[a]! - times[b]! || a - b);
    else
      for (let i = degree - 1; i > 0; --i) {
        const j = random.below(i + 1);
        [order[i], order[j]] = [order[j]!, order[i]!];
      }
    const test = Math.min(Math.round(testFraction * degree), degree - 1);
    const validation = Math.min(Math.round(validationFraction * degree), degree - 1 - test);
    order.subarray(degree - test).forEach((row) => {
      part[row] = TEST;
    });
    order.subarray(degree - test - validation, degree - test).forEach((row) => {
      part[row] = VALIDATION;
    });
    sinceYield += degree;
    if (sinceYield >= PIECE) {
      sinceYield = 0;
      yield;
    }
    begin = end;
  }
  return yield* parted(pairs, part);
}

function* parted(pairs: TimedPairs, part: Uint8Array): Steps<Parts> {
  const of = function* (which: number): Steps<TimedPairs> {
    const mask = new Uint8Array(part.length);
    yield* inPieces(part.length, (begin, end) => {
      for (let i = begin; i < end; ++i) mask[i] = Number(part[i] === which);
    });
    return yield* chosen(pairs, mask);
  };
  return { train: yield* of(TRAIN), validation: yield* of(VALIDATION), test: yield* of(TEST) };
}

/** Rows by ascending value, equal ones in the order given: short runs are sorted, then merged, so that no turn is long. */
export function* orderOf(values: Float64Array): Steps<Uint32Array> {
  const rows = values.length;
  let source = new Uint32Array(rows);
  yield* inPieces(rows, (begin, end) => {
    for (let i = begin; i < end; ++i) source[i] = i;
    source.subarray(begin, end).sort((a, b) => values[a]! - values[b]! || a - b);
  });
  let target = new Uint32Array(rows);
  for (let width = PIECE; width < rows; width *= 2) {
    for (let begin = 0; begin < rows; begin += 2 * width) {
      const [middle, end] = [Math.min(rows, begin + width), Math.min(rows, begin + 2 * width)];
      let [left, right] = [begin, middle];
      for (let at = begin; at < end; ++at) {
        const takeLeft = left < middle && (right >= end || values[source[left]!]! <= values[source[right]!]!);
        target[at] = takeLeft ? source[left++]! : source[right++]!;
        if (at % PIECE === 0) yield;
      }
    }
    [source, target] = [target, source];
  }
  return source;
}
