import { availableParallelism } from 'node:os';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { checkBackend, checkInteger, checkOneOf, checkOptions, show } from './check.ts';
import { hasInteraction, type Interactions } from './data/csr.ts';
import type { Dataset } from './data/dataset.ts';
import { finishInTurns, type Steps } from './data/steps.ts';
import { type BlendedEmbedding, isBlended } from './embedding.ts';
import { argumentError } from './errors.ts';
import { preparedItems } from './item-tables.ts';
import { METRICS, type MetricName } from './metrics.ts';
import { checkModel, type Model } from './model.ts';
import { native, resolveBackend } from './native.ts';
import { blendedList, type BlendedRanking, blendedRanking, depthOf, itemGaps, trainItems } from './neighbor-blend.ts';
import { gather, interactionsOfUsers } from './ranking.ts';
import { mean } from './statistics.ts';

/** What is measured, and where lists are cut. */
export interface RankingOptions {
  /** Cut-off, or several. Default 20. */
  k?: number | readonly number[];
  /** Which interactions are to be found. Default 'test'. */
  split?: 'test' | 'validation';
  /**
   * Definition of NDCG. 'standard' (default): the ideal list has min(k, |test|) hits. 'kgat': the ideal list is the hits among the
   * model's own first 100, cut at k, which is KGAT's code and the paper's tables. 'both': `ndcg` is the standard one, `ndcgKgat` the other.
   */
  ndcg?: 'standard' | 'kgat' | 'both';
}

/** Of `evaluate`: what is measured, and where that is computed. */
export interface EvaluateOptions extends RankingOptions {
  /** Default 'auto'. */
  backend?: 'cpu' | 'cuda' | 'auto';
  /** Default: as many as the machine runs at once. */
  threads?: number;
}

/** Means over users, by cut-off. */
export interface Metrics {
  /** Users with an item to be found; the others are left out. */
  users: number;
  recall: Record<number, number>;
  ndcg: Record<number, number>;
  /** Only with ndcg: 'both'. */
  ndcgKgat?: Record<number, number>;
  precision: Record<number, number>;
  hitRate: Record<number, number>;
  mrr: Record<number, number>;
}

/** The values that `Metrics` are the means of, one for each user of `users`. */
export interface PerUserMetrics {
  /** Rows of the users with an item to be found, ascending. */
  users: Uint32Array;
  recall: Record<number, Float64Array>;
  ndcg: Record<number, Float64Array>;
  ndcgKgat?: Record<number, Float64Array>;
  precision: Record<number, Float64Array>;
  hitRate: Record<number, Float64Array>;
  mrr: Record<number, Float64Array>;
}

/**
 * Ranks all items for each of `users` but those listed for that position in `exclude`, best first. Returns [users, k] item rows; lists
 * that are shorter are padded with 0xffffffff. They are read before the next call; `exclude` is not looked at again.
 */
export interface Rank {
  (users: Uint32Array, k: number, exclude: Interactions): Promise<Uint32Array>;
  /** How many users it is best asked for at once; 8192 where it does not say. */
  readonly usersAtOnce?: number;
}

/** What `Rank` puts where there is no item. */
const NONE = 0xffffffff;

/** Users ranked at once: on a GPU more of them, of which a block then sees more items in a row. */
const USERS_AT_ONCE = 8192;
export const usersAtOnceOn = (backend: string): number => (backend === 'cuda' ? 1 << 15 : USERS_AT_ONCE);

/** Users whose lists are judged between two turns of the event loop. */
const JUDGED_PER_TURN = 1024;

/**
 * Full ranking: every item that is not in the user's training set — and, for the test split, not in the validation set — is a candidate.
 * Users with an empty split are left out. Exact, ties by smaller item row. A model that blends neighbours (`neighborBlend` of `train`) is ranked by its
 * scores, as `recommend` does.
 *
 * @throws {TypeError, RangeError} for bad arguments, or a data set the model was not made for; {HyperKnowError} ERR_HK_BACKEND
 * @example
 * const { users, recall, ndcg } = await evaluate(model, dataset, { k: [10, 20] });
 * console.log(users, recall[20], ndcg[10]);
 */
export async function evaluate(model: Model, dataset: Dataset, options?: EvaluateOptions): Promise<Metrics> {
  return meanMetrics(await evaluatePerUser(model, dataset, options));
}

/**
 * `evaluate`, before the means are taken: for paired tests.
 *
 * @throws as `evaluate`
 * @example
 * const own = await evaluatePerUser(model, dataset);
 * const other = await evaluateRanking(rankBy(popularity(dataset), dataset), dataset);
 * const { difference, p } = pairedTTest(own.recall[20]!, other.recall[20]!);
 */
export async function evaluatePerUser(model: Model, dataset: Dataset, options?: EvaluateOptions): Promise<PerUserMetrics> {
  const { backend = 'auto', threads, ...ranking } = checkOptions('options', options, ['k', 'split', 'ndcg', 'backend', 'threads']);
  checkModel(model);
  checkDataset(dataset);
  const { users, itemIds, dim, curvature } = model;
  for (const [what, ours, theirs] of [
    ['users', users.length / dim, dataset.users],
    ['items', itemIds.length, dataset.items],
  ] as const)
    if (ours !== theirs) throw argumentError('range', 'dataset', `has ${theirs} ${what}, the model ${ours}`);
  const name = resolveBackend(checkBackend(backend, ['cpu', 'cuda', 'auto']));
  const count = threads === undefined ? availableParallelism() : checkInteger('threads', threads, 1, 1024);
  const items = preparedItems(model, true);
  const nearest = async (rows: Uint32Array, k: number, { offsets, items: left }: Interactions) =>
    (await native.topKAsync(name, count, gather(users, rows, dim), items, dim, k, offsets, left, curvature).promise).items;
  const rank = isBlended(model) ? await blendedRank(model, nearest) : nearest;
  return evaluateRanking(Object.assign(rank, { usersAtOnce: usersAtOnceOn(name) }), dataset, ranking);
}

/** Ranks by the scores of a model that blends. */
async function blendedRank(model: BlendedEmbedding, nearest: Rank): Promise<Rank> {
  const ranking = await finishInTurns(blendedRanking(model));
  return async (users, k, exclude) => {
    const depth = depthOf(k);
    const near = await nearest(users, depth, interactionsOfUsers(model.blend.train, users));
    return finishInTurns(blendedLists(ranking, model, users, near, k, exclude));
  };
}

function* blendedLists(
  ranking: BlendedRanking,
  model: BlendedEmbedding,
  users: Uint32Array,
  near: Uint32Array,
  k: number,
  exclude: Interactions,
): Steps<Uint32Array> {
  const ranked = new Uint32Array(users.length * k).fill(NONE);
  const left = new Uint8Array(model.itemIds.length);
  const depth = near.length / users.length;
  const gaps = itemGaps(model);
  const isLeft = (item: number) => left[item] === 1;
  for (const [i, user] of users.entries()) {
    const own = exclude.items.subarray(exclude.offsets[i], exclude.offsets[i + 1]);
    for (const item of own) left[item] = 1;
    const point = model.users.subarray(user * model.dim, (user + 1) * model.dim);
    const history = trainItems(model, user);
    yield* ranking.prepare(history);
    const given = { point, history, near: near.subarray(i * depth, (i + 1) * depth), gaps };
    ranked.set(blendedList(ranking, model, given, { k, isLeft, candidates: null }).items, i * k);
    for (const item of own) left[item] = 0;
    yield;
  }
  return ranked;
}

/**
 * The same evaluation of anything that ranks items.
 *
 * @throws {TypeError, RangeError} for bad arguments; what `rank` throws
 * @example
 * const perUser = await evaluateRanking(rankBy(itemKnn(dataset), dataset), dataset, { k: 20, ndcg: 'both' });
 */
export async function evaluateRanking(rank: Rank, dataset: Dataset, options?: RankingOptions): Promise<PerUserMetrics> {
  const judge = new Judge(dataset, options);
  const { users, split, length } = judge;
  await rankUsers(rank, dataset, { users, split, length }, (user, list) => judge.take(user, list));
  return judge.metrics();
}

/** Validation items of a user up to which one list serves both splits. */
const SPARE_FOR_VALIDATION = 32;

/**
 * `evaluateRanking` of both splits in little more time than one takes: the list for the test split is what is left of the other when the user's validation
 * items are taken out.
 */
export async function evaluateBothSplits(
  rank: Rank,
  dataset: Dataset,
  options: { validation: Omit<RankingOptions, 'split'>; test: Omit<RankingOptions, 'split'> },
): Promise<{ validation: PerUserMetrics; test: PerUserMetrics }> {
  const validation = new Judge(dataset, { ...options.validation, split: 'validation' });
  const test = new Judge(dataset, { ...options.test, split: 'test' });
  const users = Uint32Array.from(new Set([...validation.users, ...test.users])).sort();
  const length = Math.min(Math.max(validation.length, test.length + SPARE_FOR_VALIDATION), dataset.items);
  const apart: number[] = []; // users whose validation items are too many for that
  await rankUsers(rank, dataset, { users, split: 'validation', length }, (user, list) => {
    const left = validation.relevant(user);
    if (left > 0) validation.take(user, list);
    if (test.relevant(user) === 0) return;
    if (left > SPARE_FOR_VALIDATION) apart.push(user);
    else test.take(user, left === 0 ? list : list.filter((item) => !hasInteraction(dataset.validation, user, item)));
  });
  const rest = { users: Uint32Array.from(apart), split: 'test', length: test.length } as const;
  await rankUsers(rank, dataset, rest, (user, list) => test.take(user, list));
  return { validation: validation.metrics(), test: test.metrics() };
}

/** Calls `take` with the list of each of the users: `length` items, of which those that are no candidates of the split are left out. */
async function rankUsers(
  rank: Rank,
  dataset: Dataset,
  { users, split, length }: { users: Uint32Array; split: Split; length: number },
  take: (user: number, list: Uint32Array) => void,
): Promise<void> {
  const { usersAtOnce = USERS_AT_ONCE } = rank;
  for (let begin = 0; begin < users.length; begin += usersAtOnce) {
    const chunk = users.subarray(begin, begin + usersAtOnce);
    const ranked = await rank(chunk, length, exclusions(dataset, split, chunk));
    for (let i = 0; i < chunk.length; ++i) {
      take(chunk[i]!, ranked.subarray(i * length, (i + 1) * length));
      if (i % JUDGED_PER_TURN === JUDGED_PER_TURN - 1) await nextTurn();
    }
  }
}

/** Judges the lists of the users of one split, in whatever order they come. */
class Judge {
  readonly split: Split;
  /** With an item to be found, ascending. */
  readonly users: Uint32Array;
  /** How much of a list is looked at. */
  readonly length: number;
  readonly #wanted: Interactions;
  readonly #cutOffs: readonly number[];
  readonly #rows: readonly [result: ResultName, metric: MetricName][];
  readonly #places: Uint32Array;
  readonly #values: Omit<Required<PerUserMetrics>, 'users'>;
  readonly #hits: Uint8Array;

  constructor(dataset: Dataset, options: RankingOptions | undefined) {
    const { k = 20, split = 'test', ndcg = 'standard' } = checkOptions('options', options, ['k', 'split', 'ndcg']);
    checkDataset(dataset);
    this.split = checkOneOf('split', split, ['test', 'validation']);
    checkOneOf('ndcg', ndcg, ['standard', 'kgat', 'both']);
    this.#cutOffs = checkCutOffs(k);
    this.#wanted = dataset[this.split];
    const rows: [result: ResultName, metric: MetricName][] = [
      ['recall', 'recall'],
      ['ndcg', ndcg === 'kgat' ? 'ndcgKgat' : 'ndcg'],
      ['precision', 'precision'],
      ['hitRate', 'hitRate'],
      ['mrr', 'mrr'],
    ];
    if (ndcg === 'both') rows.push(['ndcgKgat', 'ndcgKgat']);
    this.#rows = rows;
    const users = usersWithItems(this.#wanted);
    this.users = users;
    this.#places = new Uint32Array(dataset.users);
    for (const [place, user] of users.entries()) this.#places[user] = place;
    const perCutOff = () => Object.fromEntries(this.#cutOffs.map((cutOff) => [cutOff, new Float64Array(users.length)]));
    this.#values = Object.fromEntries(rows.map(([result]) => [result, perCutOff()])) as Omit<Required<PerUserMetrics>, 'users'>;
    const depth = Math.max(...rows.flatMap(([, metric]) => this.#cutOffs.map((cutOff) => METRICS[metric].depth(cutOff))));
    this.length = Math.min(depth, dataset.items);
    this.#hits = new Uint8Array(this.length);
  }

  /** How many items of the user are to be found. */
  relevant(user: number): number {
    return this.#wanted.offsets[user + 1]! - this.#wanted.offsets[user]!;
  }

  take(user: number, list: Uint32Array): void {
    const hits = this.#hits;
    for (let place = 0; place < hits.length; ++place) {
      const item = list[place] ?? NONE;
      hits[place] = item !== NONE && hasInteraction(this.#wanted, user, item) ? 1 : 0;
    }
    const ranked = { hits, relevant: this.relevant(user) };
    for (const [result, metric] of this.#rows)
      for (const cutOff of this.#cutOffs) this.#values[result][cutOff]![this.#places[user]!] = METRICS[metric].value(ranked, cutOff);
  }

  metrics(): PerUserMetrics {
    return { users: this.users, ...this.#values };
  }
}

/**
 * Means over the users. NaN where there are none.
 *
 * @example
 * const { recall } = meanMetrics(await evaluatePerUser(model, dataset, { k: 2 }));
 * console.log(recall[2]);
 */
export function meanMetrics({ users, ...values }: PerUserMetrics): Metrics {
  const means = Object.entries(values).map(([name, perCutOff]) => [
    name,
    Object.fromEntries(Object.entries(perCutOff).map(([k, perUser]) => [k, mean(perUser)])),
  ]);
  return { users: users.length, ...Object.fromEntries(means) };
}

/** A data set, as far as can be told without reading all of it. */
export function checkDataset(value: unknown): Dataset {
  const dataset = value as Dataset | null | undefined;
  const isWhole = (rows: unknown, { offsets, entries }: { offsets: unknown; entries: readonly unknown[] }): boolean =>
    offsets instanceof Uint32Array && offsets.length === Number(rows) + 1 && entries.every((array) => array instanceof Uint32Array);
  const lists = [dataset?.train, dataset?.validation, dataset?.test];
  if (
    !lists.every((list) => isWhole(dataset?.users, { offsets: list?.offsets, entries: [list?.items] })) ||
    !isWhole(dataset?.items, { offsets: dataset?.graph?.offsets, entries: [dataset?.graph?.relations, dataset?.graph?.tails] })
  )
    throw argumentError('type', 'dataset', `must be what loadDataset, createDataset or synthetic return, got ${show(value)}`);
  return dataset!;
}

type Split = 'test' | 'validation';
type ResultName = Exclude<keyof PerUserMetrics, 'users'>;

function checkCutOffs(k: unknown): number[] {
  if (!Array.isArray(k)) return [checkInteger('k', k, 1, 1 << 24)];
  if (k.length === 0) throw argumentError('range', 'k', 'must hold at least one cut-off');
  return k.map((cutOff, i) => checkInteger(`k[${i}]`, cutOff, 1, 1 << 24));
}

function usersWithItems({ offsets }: Interactions): Uint32Array {
  const users: number[] = [];
  for (let user = 0; user + 1 < offsets.length; ++user) if (offsets[user + 1]! > offsets[user]!) users.push(user);
  return Uint32Array.from(users);
}

/** The items that are no candidates, ascending, by position in `users`. */
function exclusions({ train, validation }: Dataset, split: Split, users: Uint32Array): Interactions {
  const sources = split === 'test' ? [train, validation] : [train];
  const offsets = new Uint32Array(users.length + 1);
  for (let i = 0; i < users.length; ++i)
    offsets[i + 1] = sources.reduce((sum, source) => sum + source.offsets[users[i]! + 1]! - source.offsets[users[i]!]!, offsets[i]!);
  const items = new Uint32Array(offsets[users.length]!);
  for (let i = 0; i < users.length; ++i) {
    let at = offsets[i]!;
    for (const source of sources) {
      const own = source.items.subarray(source.offsets[users[i]!], source.offsets[users[i]! + 1]);
      items.set(own, at);
      at += own.length;
    }
    items.subarray(offsets[i], offsets[i + 1]).sort();
  }
  return { offsets, items };
}
