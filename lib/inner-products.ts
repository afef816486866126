import { availableParallelism } from 'node:os';
import type { Scorer } from './controls.ts';
import type { Dataset } from './data/dataset.ts';
import { finishInTurns, type Steps } from './data/steps.ts';
import type { Rank } from './evaluate.ts';
import { native } from './native.ts';

/** Ranking by inner products of users and items. */

/** Users and items as rows of `dim` factors. */
export interface Factors {
  users: Float64Array;
  items: Float64Array;
  dim: number;
}

/** A scorer over factors that `compute` finds; as scores, those below 0 count for nothing. */
export function innerProducts(dataset: Dataset, compute: () => Steps<Factors>): Scorer {
  let found: Factors | undefined;
  let rank: Rank | undefined;
  const prepare = async () => {
    if (found) return;
    found = await finishInTurns(compute());
    rank = largestInnerProducts(found);
  };
  return {
    items: dataset.items,
    prepare,
    add: (user, weight, scores) => {
      const { users, items, dim } = found!;
      for (let item = 0; item < dataset.items; ++item)
        scores.add(item, weight * Math.max(0, dot(users, user * dim, items, item * dim, dim)));
    },
    rank: (users, k, exclude) => rank!(users, k, exclude),
  };
}

/**
 * Ranks by inner product with the addon's exact ranking by distance. With one more column, 0 for a user x and √(most² − ‖y‖²) for an item y, where
 * most is the largest ‖y‖, ‖x − y‖² = ‖x‖² + most² − 2x·y: the nearest item is the one with the largest x·y (Bachrach et al., 2014).
 */
function largestInnerProducts({ users, items, dim }: Factors): Rank {
  const columns = dim + 1;
  const extended = new Float32Array((items.length / dim) * columns);
  const squares = Float64Array.from({ length: items.length / dim }, (_, i) => dot(items, i * dim, items, i * dim, dim));
  const most = squares.reduce((largest, square) => Math.max(largest, square), 0);
  squares.forEach((square, i) => {
    extended.set(items.subarray(i * dim, (i + 1) * dim), i * columns);
    extended[i * columns + dim] = Math.sqrt(most - square);
  });
  return async (listed, k, exclude) => {
    const rows = new Float32Array(listed.length * columns);
    listed.forEach((user, i) => {
      rows.set(users.subarray(user * dim, (user + 1) * dim), i * columns);
    });
    const { promise } = native.topKAsync('cpu', availableParallelism(), rows, extended, columns, k, exclude.offsets, exclude.items, 0);
    return (await promise).items;
  };
}

/** Σ_k x[from + k]·y[at + k] over `length` k, in four sums. */
export function dot(x: Float64Array, from: number, y: Float64Array, at: number, length: number): number {
  let a = 0;
  let b = 0;
  let c = 0;
  let d = 0;
  let k = 0;
  for (; k + 4 <= length; k += 4) {
    a += x[from + k]! * y[at + k]!;
    b += x[from + k + 1]! * y[at + k + 1]!;
    c += x[from + k + 2]! * y[at + k + 2]!;
    d += x[from + k + 3]! * y[at + k + 3]!;
  }
  for (; k < length; ++k) a += x[from + k]! * y[at + k]!;
  return a + b + (c + d);
}
