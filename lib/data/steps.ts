import { setImmediate as nextTurn } from 'node:timers/promises';

/** Work cut into short pieces: it yields between two of them and returns its result. */
export type Steps<T> = Generator<undefined, T, undefined>;

/** Rows of an array to handle between two yields: about a millisecond of work, even where every row is a cache miss. */
export const PIECE: number = 1 << 14;

/** Calls `piece(begin, end)` for one piece of 0 .. length after the other. */
export function* inPieces(length: number, piece: (begin: number, end: number) => void): Steps<void> {
  for (let begin = 0; begin < length; begin += PIECE) {
    piece(begin, Math.min(length, begin + PIECE));
    yield;
  }
}

/** Longest time in milliseconds that `finishInTurns` keeps the event loop for itself, but for the piece in hand. */
const TURN = 6;

/** Does all the work at once. */
export function finish<T>(steps: Steps<T>): T {
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
  }
}

/** Does the work in short turns, so that timers and sockets of the process are served in between; an abort ends it there. */
export async function finishInTurns<T>(steps: Steps<T>, signal?: AbortSignal): Promise<T> {
  let began = performance.now();
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
    if (performance.now() - began < TURN) continue;
    await nextTurn();
    signal?.throwIfAborted();
    began = performance.now();
  }
}
