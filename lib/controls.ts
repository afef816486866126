import { setImmediate as nextTurn } from 'node:timers/promises';
import { checkInteger, checkNumber, checkOptions } from './check.ts';
import { Best } from './data/best.ts';
import type { Dataset } from './data/dataset.ts';
import {
  ATTRIBUTE_KNN,
  attributesOfItems,
  ITEM_KNN,
  type ItemFeatures,
  type SimilarityOptions,
  similarItems,
  usersOfItems,
} from './data/item-similarity.ts';
import { allNearestRows, type Neighbors } from './data/nearest-rows.ts';
import { Scores } from './data/scores.ts';
import { finishInTurns, type Steps } from './data/steps.ts';
import { checkDataset, evaluateRanking, meanMetrics, type Rank } from './evaluate.ts';

export { Scores };

/** A simple method to compare a model with. It scores items: higher is better, 0 is the least and stands for "nothing known". */
export interface Scorer {
  readonly items: number;
  /** Whatever is needed before the first score, in short turns of the event loop. */
  prepare(): Promise<void>;
  /** Adds `weight` times the user's scores. */
  add(user: number, weight: number, scores: Scores): void;
  /** All items, best first, where the order is the same for everybody. */
  order?: Uint32Array;
  /** A faster way to rank by these scores, if there is one; called after `prepare`. */
  rank?: Rank;
}

/** Of `itemKnn` and `attributeKnn`. */
export interface NeighborOptions {
  /** Most similar items that count, for each item. */
  neighbors?: number;
  /** Added to the denominator of the cosine: takes similarities that rest on little towards 0. */
  shrinkage?: number;
}

/** Users ranked between two turns of the event loop. */
const USERS_PER_TURN = 32;

/**
 * Training interactions of each item: the same for everybody.
 *
 * @example
 * const { recall } = meanMetrics(await evaluateRanking(rankBy(popularity(dataset), dataset), dataset));
 */
export function popularity(dataset: Dataset): Scorer {
  const counts = new Uint32Array(dataset.items);
  for (const item of checkDataset(dataset).train.items) counts[item]!++;
  const order = Uint32Array.from(counts.keys()).sort((a, b) => counts[b]! - counts[a]! || a - b);
  return {
    items: dataset.items,
    prepare: async () => {},
    add: (_user, weight, scores) => {
      for (let item = 0; item < counts.length; ++item) scores.add(item, weight * counts[item]!);
    },
    order,
  };
}

/**
 * Item-based nearest neighbours: the score of an item is the sum of its cosine similarities to the user's training items, where an
 * item is the set of its training users: s(u, i) = Σ_{j ∈ u} |i ∩ j| / (√|i| √|j| + shrinkage), over the nearest neighbours of j.
 *
 * @param options default 200 neighbours, shrinkage 10
 * @throws {TypeError, RangeError} for bad arguments
 * @example
 * const knn = itemKnn(dataset, { neighbors: 50, shrinkage: 0 });
 * const perUser = await evaluateRanking(rankBy(knn, dataset), dataset, { k: [10, 20] });
 */
export function itemKnn(dataset: Dataset, options?: NeighborOptions): Scorer {
  const { train, items } = checkDataset(dataset);
  return nearestNeighbors(dataset, () => usersOfItems(train, items), checkNeighbors(options, ITEM_KNN));
}

/**
 * The same over the knowledge graph: an item is the set of its (relation, tail) pairs, each weighed by its inverse document frequency
 * ln(items / items that have it), and those that more than half of the items have count for nothing.
 *
 * @param options default 200 neighbours, no shrinkage
 * @throws {TypeError, RangeError} for bad arguments
 * @example
 * const both = blend(itemKnn(dataset), attributeKnn(dataset), 0.3);
 */
export function attributeKnn(dataset: Dataset, options?: NeighborOptions): Scorer {
  const { graph, relations, entities } = checkDataset(dataset);
  return nearestNeighbors(dataset, () => attributesOfItems(graph, relations, entities), checkNeighbors(options, ATTRIBUTE_KNN));
}

/**
 * share · a + (1 − share) · b, where each user's scores are first divided by their largest.
 *
 * @param share in [0, 1], default 0.5
 * @throws {TypeError, RangeError} for a share outside
 * @example
 * const rank = rankBy(blend(itemKnn(dataset), popularity(dataset), 0.9), dataset);
 */
export function blend(a: Scorer, b: Scorer, share: number = 0.5): Scorer {
  checkNumber('share', share, 0, 1);
  let own: Scores | undefined;
  const addNormalized = (scorer: Scorer, user: number, weight: number, scores: Scores) => {
    own ??= new Scores(a.items);
    scorer.add(user, 1, own);
    let largest = 0;
    for (const item of own.items) largest = Math.max(largest, own.values[item]!);
    for (const item of own.items) scores.add(item, (weight / largest) * own.values[item]!);
    own.clear();
  };
  const prepare = async () => {
    await a.prepare();
    await b.prepare();
  };
  const add = (user: number, weight: number, scores: Scores) => {
    addNormalized(a, user, weight * share, scores);
    addNormalized(b, user, weight * (1 - share), scores);
  };
  return { items: a.items, prepare, add };
}

/** Shares of a that `validatedBlend` tries; both ends are the scorers by themselves. */
export const SHARES: readonly number[] = [0.5, 0, 0.1, 0.3, 0.7, 0.9, 1];

/**
 * `blend` with the share of a, of 0, 0.1, 0.3, 0.5, 0.7, 0.9 and 1, that has the best validation recall@20, found by `prepare`; 0.5 where
 * the validation split is empty.
 *
 * @example
 * const scorer = validatedBlend(itemKnn(dataset), attributeKnn(dataset), dataset);
 * await scorer.prepare(); // fits both and tries the shares
 */
export function validatedBlend(a: Scorer, b: Scorer, dataset: Dataset): ChosenScorer {
  return bestOnValidation(
    SHARES.map((share) => blend(a, b, share)),
    dataset,
  );
}

/** A scorer that is one of several. */
export interface ChosenScorer extends Scorer {
  /** Which of the candidates it is; −1 before `prepare`. */
  readonly chosen: number;
}

/**
 * The candidate with the best validation recall@20, found by `prepare`: the first where several are alike, or where the validation split is
 * empty. The test split plays no part.
 */
export function bestOnValidation(candidates: readonly Scorer[], dataset: Dataset): ChosenScorer {
  let chosen = -1;
  const prepare = async () => {
    if (chosen >= 0) return;
    let best = 0;
    let bestRecall = Number.NEGATIVE_INFINITY;
    if (dataset.validation.items.length > 0)
      for (const [i, candidate] of candidates.entries()) {
        const { recall } = meanMetrics(await evaluateRanking(rankBy(candidate, dataset), dataset, { split: 'validation' }));
        if (!(recall[20]! > bestRecall)) continue;
        bestRecall = recall[20]!;
        best = i;
      }
    await candidates[best]!.prepare();
    chosen = best;
  };
  return {
    items: dataset.items,
    prepare,
    add: (user, weight, scores) => candidates[chosen]!.add(user, weight, scores),
    rank: (users, k, exclude) => rankBy(candidates[chosen]!, dataset)(users, k, exclude),
    get chosen() {
      return chosen;
    },
  };
}

/**
 * Ranks by score, for `evaluateRanking`; ties by smaller item row.
 *
 * @example
 * const rank = rankBy(popularity(dataset), dataset);
 * const items = await rank(Uint32Array.of(0, 1), 2, dataset.train); // [2 users, 2] rows of items they have not
 */
export function rankBy(scorer: Scorer, dataset: Dataset): Rank {
  const { items } = checkDataset(dataset);
  if (scorer.order) return rankAlike(scorer.order);
  return async (users, k, exclude) => {
    await scorer.prepare();
    if (scorer.rank) return scorer.rank(users, k, exclude);
    const scores = new Scores(items);
    const excluded = new Uint8Array(items);
    const ranked = new Uint32Array(users.length * k).fill(0xffffffff);
    const best = new Best(k);
    for (let i = 0; i < users.length; ++i) {
      const without = exclude.items.subarray(exclude.offsets[i], exclude.offsets[i + 1]);
      for (const item of without) excluded[item] = 1;
      scorer.add(users[i]!, 1, scores);
      for (const item of scores.items) if (excluded[item] === 0) best.offer(item, scores.values[item]!);
      // Too few of them: the rest follows with score 0.
      for (let item = 0; item < items && !best.isFull; ++item) if (excluded[item] === 0 && scores.values[item] === 0) best.offer(item, 0);
      best.drain((item, _score, place) => {
        ranked[i * k + place] = item;
      });
      scores.clear();
      for (const item of without) excluded[item] = 0;
      if (i % USERS_PER_TURN === USERS_PER_TURN - 1) await nextTurn();
    }
    return ranked;
  };
}

function rankAlike(order: Uint32Array): Rank {
  return async (users, k, exclude) => {
    const ranked = new Uint32Array(users.length * k).fill(0xffffffff);
    for (let i = 0; i < users.length; ++i) {
      const without = new Set(exclude.items.subarray(exclude.offsets[i], exclude.offsets[i + 1]));
      let place = 0;
      for (let next = 0; next < order.length && place < k; ++next) if (!without.has(order[next]!)) ranked[i * k + place++] = order[next]!;
    }
    return ranked;
  };
}

function nearestNeighbors(dataset: Dataset, features: () => Steps<ItemFeatures>, options: SimilarityOptions): Scorer {
  const { train, items: itemCount } = dataset;
  let found: Neighbors | undefined;
  const compute = function* (): Steps<Neighbors> {
    return yield* allNearestRows(yield* similarItems(yield* features(), options));
  };
  const prepare = async () => {
    found ??= await finishInTurns(compute());
  };
  const add = (user: number, weight: number, scores: Scores) => {
    const { offsets, items, values } = found!;
    for (let at = train.offsets[user]!; at < train.offsets[user + 1]!; ++at) {
      const item = train.items[at]!;
      for (let i = offsets[item]!; i < offsets[item + 1]!; ++i) scores.add(items[i]!, weight * values[i]!);
    }
  };
  return { items: itemCount, prepare, add };
}

function checkNeighbors(options: NeighborOptions | undefined, defaults: Required<NeighborOptions>): Required<NeighborOptions> {
  const { neighbors, shrinkage } = { ...defaults, ...checkOptions('options', options, ['neighbors', 'shrinkage']) };
  return { neighbors: checkInteger('neighbors', neighbors, 1, 1 << 24), shrinkage: checkNumber('shrinkage', shrinkage, 0) };
}
