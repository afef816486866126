import { type Interactions, partedBy, rowNumbers, usersOf } from './csr.ts';
import { Random } from './random.ts';
import { release } from './release.ts';
import { inPieces, PIECE, type Steps } from './steps.ts';

// Streams of Random: one for each split that a seed decides.
const VALIDATION = 1;
const TEST = 2;

/**
 * Holds out `fraction` of all interactions, drawn uniformly over all of them, but never a user's last one:
 * such a draw is passed over for another, so that fewer than asked are held out only where no more can be.
 */
export function* holdOut(interactions: Interactions, fraction: number, seed: number): Steps<[kept: Interactions, held: Interactions]> {
  const { offsets, items } = interactions;
  const users = yield* usersOf(interactions);
  const left = new Uint32Array(offsets.length - 1);
  for (let user = 0; user < left.length; ++user) left[user] = offsets[user + 1]! - offsets[user]!;
  const mask = new Uint8Array(items.length);
  const drawn = yield* rowNumbers(items.length);
  const random = new Random(seed, VALIDATION);
  let wanted = Math.round(fraction * items.length);
  yield* inPieces(items.length, (begin, end) => {
    for (let i = begin; i < end && wanted > 0; ++i) {
      const j = i + random.below(items.length - i);
      const entry = drawn[j]!;
      drawn[j] = drawn[i]!;
      const user = users[entry]!;
      if (left[user] === 1) continue;
      left[user]!--;
      mask[entry] = 1;
      --wanted;
    }
  });
  release(users, left, drawn);
  const parts = yield* partedBy(mask, interactions);
  release(mask);
  return parts;
}

/** Holds out `fraction` of the interactions of every user, rounded, but never all of them. */
export function* holdOutPerUser(
  interactions: Interactions,
  fraction: number,
  seed: number,
): Steps<[kept: Interactions, held: Interactions]> {
  const { offsets, items } = interactions;
  const mask = new Uint8Array(items.length);
  const random = new Random(seed, TEST);
  let sinceYield = 0;
  for (let user = 0; user + 1 < offsets.length; ++user) {
    const begin = offsets[user]!;
    const degree = offsets[user + 1]! - begin;
    const wanted = Math.min(Math.round(fraction * degree), degree - 1);
    // Floyd's sampling: `wanted` distinct entries out of `degree`, each set equally likely, without a list of them.
    for (let top = degree - wanted; top < degree; ++top) {
      const entry = random.below(top + 1);
      mask[begin + (mask[begin + entry] === 1 ? top : entry)] = 1;
      if (++sinceYield % PIECE === 0) yield;
    }
  }
  return yield* partedBy(mask, interactions);
}
