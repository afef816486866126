import { Best } from './data/best.ts';
import { ATTRIBUTE_KNN, attributesOfItems, ITEM_KNN, similarItems, usersOfItems } from './data/item-similarity.ts';
import type { NearestRows } from './data/nearest-rows.ts';
import { Scores } from './data/scores.ts';
import type { Steps } from './data/steps.ts';
import { type BlendedEmbedding, dataRelations, type Embedding } from './embedding.ts';
import { ballGap } from './geometry.ts';
import { itemTable, preparedItems } from './item-tables.ts';
import { native } from './native.ts';
import type { BlendWeights } from './presets.ts';
import { NONE } from './ranking.ts';

/** Items beyond the length of a list that native topK is asked for: with them one call is nearly always enough. */
const SPARE = 24;

/** So many candidates are rather measured one by one than looked for among the nearest. */
const FEW = 1024;

/**
 * T of exp((d(u, v₁) − d(u, v))/T). 1 is what a softmax of the loss makes of the odds; by validation of three data sets 0.5, 1 and 2 were all but the same in
 * recall@20, and 2 had the best NDCG on each.
 */
const TEMPERATURE = 2;

/** More than two calculations of one distance, in float32 and in float64, can differ, relative. */
const DISTANCE_ERROR = 1e-5;

/** The most similar items of each item, found when they are first asked for: some 12 bytes a neighbour are kept from then on. */
class SimilarItems {
  readonly #nearest: NearestRows;
  readonly #known: Map<number, { items: Uint32Array; values: Float64Array }> = new Map();

  constructor(nearest: NearestRows) {
    this.#nearest = nearest;
  }

  /** Adds Σ_{j ∈ history} similarity(j, i) to the score of every i among the most similar of j. */
  add(history: Uint32Array, scores: Scores): void {
    for (const item of history) {
      const { items, values } = this.#of(item);
      for (let i = 0; i < items.length; ++i) scores.add(items[i]!, values[i]!);
    }
  }

  /** Finds what `add` will ask for: for hundreds of popular items that takes too long at once. */
  *prepare(history: Uint32Array): Steps<void> {
    for (const item of history) {
      if (this.#known.has(item)) continue;
      this.#of(item);
      yield;
    }
  }

  #of(item: number): { items: Uint32Array; values: Float64Array } {
    let row = this.#known.get(item);
    if (row === undefined) {
      const items: number[] = [];
      const values: number[] = [];
      this.#nearest.visit(item, (other, near) => {
        items.push(other);
        values.push(near);
      });
      row = { items: Uint32Array.from(items), values: Float64Array.from(values) };
      this.#known.set(item, row);
    }
    return row;
  }
}

/** 1 − c‖v‖² of every item: half of what a distance costs. */
export function itemGaps(model: Embedding): Float64Array {
  const { dim, curvature, itemIds } = model;
  const items = itemTable(model);
  return Float64Array.from(itemIds, (_, item) => ballGap(items, item * dim, dim, curvature));
}

const known: WeakMap<object, BlendedRanking> = new WeakMap();

/** The ranking of a model that blends, made once for its interactions: as long as setting up a training. */
export function* blendedRanking(model: BlendedEmbedding): Steps<BlendedRanking> {
  let ranking = known.get(model.blend.train);
  if (ranking === undefined) {
    const { graph, itemIds, entityIds } = model;
    const itemKnn = yield* similarItems(yield* usersOfItems(model.blend.train, itemIds.length), ITEM_KNN);
    const attributeKnn = yield* similarItems(yield* attributesOfItems(graph, dataRelations(model), entityIds.length), ATTRIBUTE_KNN);
    ranking = new BlendedRanking(new SimilarItems(itemKnn), new SimilarItems(attributeKnn), itemIds.length);
    known.set(model.blend.train, ranking);
  }
  return ranking;
}

/** What a list is made of: items, best first, and their scores. */
export interface ScoredItems {
  items: Uint32Array;
  scores: Float64Array;
}

/** What one item's score is the sum of. */
export interface ScoreParts {
  /** (1 − w₁ − w₂) · exp((d(u, v₁) − d(u, v))/2) */
  model: number;
  /** w₁ · k₁(u, v) */
  itemKnn: number;
  /** w₂ · k₂(u, v) */
  attributeKnn: number;
}

/**
 * Ranks items for one user after the other by
 *
 *   score(u, v) = (1 − w₁ − w₂) · exp((d(u, v₁) − d(u, v))/2) + w₁ · k₁(u, v) + w₂ · k₂(u, v),   k(u, v) = Σ_{j ∈ u} s(j, v) / max_{v′} Σ_{j ∈ u} s(j, v′),
 *
 * where j ∈ u are the user's training items, v₁ is the nearest item and v′ runs over the items that are none of these, and s is the similarity of `itemKnn` (k₁) and of
 * `attributeKnn` (k₂) with their defaults. So each of the three is 1 for the item that it puts first, and the first is the root of what the
 * model itself makes of the odds of v against v₁: exp(−d) is the weight that a softmax of its loss gives an item.
 *
 * Exact without a pass over all items: k₁ and k₂ are above 0 for few, and of the others the nearest come first. Among the n nearest and those
 * with a k above 0 are the best, unless the last of a list is no better than an item at the distance of the n-th without a k can be: then n is doubled.
 * All sums are in float64; ties by smaller row.
 */
export class BlendedRanking {
  readonly #similar: readonly [SimilarItems, SimilarItems];
  readonly #sums: readonly [Scores, Scores];
  /** [items] d(u, v), NaN where it is not known yet, and those that are. */
  readonly #distances: Float64Array;
  readonly #measured: number[] = [];
  /** [items] 1: among the near ones, 2: in the history. */
  readonly #marks: Uint8Array;
  #model!: Embedding;
  #items!: Float32Array;
  #point!: Float32Array;
  #gap = 0;
  /** Of the items, where the caller has worked them out. */
  #gaps: Float64Array | null = null;
  #history: Uint32Array = new Uint32Array(0);
  #near: number[] = [];
  /** Items outside the history with a sum above 0, and their two sums. */
  #sparse: Uint32Array = new Uint32Array(0);
  #ones: Float64Array = new Float64Array(0);
  #others: Float64Array = new Float64Array(0);
  #isAll = false;
  #largest: readonly [number, number] = [0, 0];
  #nearest = 0;
  #farthest = 0;

  constructor(itemKnn: SimilarItems, attributeKnn: SimilarItems, items: number) {
    this.#similar = [itemKnn, attributeKnn];
    this.#sums = [new Scores(items), new Scores(items)];
    this.#distances = new Float64Array(items).fill(Number.NaN);
    this.#marks = new Uint8Array(items);
  }

  /** In short pieces, what `begin` with this history would otherwise do at once. */
  *prepare(history: Uint32Array): Steps<void> {
    for (const similar of this.#similar) yield* similar.prepare(history);
  }

  /**
   * The user who is ranked for from now on, until the next.
   *
   * @param model one of these interactions
   * @param history rows of the user's training items, ascending
   * @param near what native topK found nearest to the point outside the history, or how many of these are to be looked for
   * @param gaps `itemGaps` of the model, for who ranks many users while its points stay as they are
   */
  begin(
    model: Embedding,
    point: Float32Array,
    history: Uint32Array,
    near: ArrayLike<number> | number,
    gaps: Float64Array | null = null,
  ): void {
    const { dim, curvature } = model;
    this.#clear();
    this.#model = model;
    this.#items = itemTable(model);
    this.#point = point;
    this.#gap = ballGap(point, 0, dim, curvature);
    this.#gaps = gaps;
    this.#history = history;
    for (const item of history) this.#marks[item] = 2;
    this.#largest = [this.#sum(0), this.#sum(1)];
    this.#list();
    this.#take(typeof near === 'number' ? this.#find(near) : near);
    this.#nearest = this.#near.reduce((least, item) => Math.min(least, this.distance(item)), Number.POSITIVE_INFINITY);
    if (this.#near.length === 0) this.#nearest = 0;
  }

  /** Says that no item but these may be in a list, so that none has to be looked for. */
  only(rows: Uint32Array): void {
    for (const item of rows)
      if (this.#marks[item] === 0) {
        this.#marks[item] = 1;
        this.#near.push(item);
      }
    this.#isAll = true;
  }

  /** The k items with the largest scores, fewer where fewer are left; ties by smaller row. */
  top({ itemKnn, attributeKnn }: BlendWeights, k: number, isLeft: (item: number) => boolean): ScoredItems {
    const own = 1 - itemKnn - attributeKnn;
    const first = this.#factor(0, itemKnn);
    const second = this.#factor(1, attributeKnn);
    const [one, other] = [this.#sums[0].values, this.#sums[1].values];
    const score = (item: number) => own * this.#odds(this.distance(item)) + first * one[item]! + second * other[item]!;
    for (;;) {
      const best = new Best(Math.min(k, this.#marks.length));
      for (const item of this.#near) if (!isLeft(item)) best.offer(item, score(item));
      for (const item of this.#history) if (!isLeft(item)) best.offer(item, score(item));
      /** What an item can have that is not among the near ones, beside what neighbours give it. */
      const most = this.#isAll ? 0 : own * this.#odds(this.#farthest * (1 - DISTANCE_ERROR));
      let { worst } = best;
      for (let i = 0; i < this.#sparse.length; ++i) {
        if (most + first * this.#ones[i]! + second * this.#others[i]! < worst) continue;
        const item = this.#sparse[i]!;
        if (this.#marks[item] !== 0 || isLeft(item)) continue;
        best.offer(item, score(item));
        worst = best.worst;
      }
      if (this.#isAll || best.worst > most) return listOf(best);
      this.#take(this.#find(2 * Math.max(this.#near.length, k)));
    }
  }

  /** What the score of an item is the sum of. */
  parts({ itemKnn, attributeKnn }: BlendWeights, item: number, distance: number = this.distance(item)): ScoreParts {
    return {
      model: (1 - itemKnn - attributeKnn) * this.#odds(distance),
      itemKnn: this.#factor(0, itemKnn) * this.#sums[0].values[item]!,
      attributeKnn: this.#factor(1, attributeKnn) * this.#sums[1].values[item]!,
    };
  }

  /** d(u, v) from the user to any point, in float64; `gap`: 1 − c‖v‖² of the point, where it is known. */
  distanceTo(table: ArrayLike<number>, at: number, gap?: number): number {
    const { dim, curvature: c } = this.#model;
    const point = this.#point;
    let square = 0;
    for (let i = 0; i < dim; ++i) square += (point[i]! - table[at + i]!) ** 2;
    if (c === 0) return 2 * Math.sqrt(square);
    return (2 / Math.sqrt(c)) * Math.asinh(Math.sqrt((c * square) / (this.#gap * (gap ?? ballGap(table, at, dim, c)))));
  }

  /** d(u, v) in float64. */
  distance(item: number): number {
    let distance = this.#distances[item]!;
    if (Number.isNaN(distance)) {
      distance = this.distanceTo(this.#items, item * this.#model.dim, this.#gaps?.[item]);
      this.#distances[item] = distance;
      this.#measured.push(item);
    }
    return distance;
  }

  #odds(distance: number): number {
    return Math.exp((this.#nearest - distance) / TEMPERATURE);
  }

  #factor(which: 0 | 1, weight: number): number {
    return this.#largest[which] > 0 ? weight / this.#largest[which] : 0;
  }

  /** Sums the similarities to the history; returns the largest of an item outside. */
  #sum(which: 0 | 1): number {
    const scores = this.#sums[which];
    this.#similar[which].add(this.#history, scores);
    let largest = 0;
    for (const item of scores.items) if (this.#marks[item] !== 2) largest = Math.max(largest, scores.values[item]!);
    return largest;
  }

  /** Lists the items outside the history with a sum above 0. */
  #list(): void {
    const [first, second] = this.#sums;
    const [ones, others] = [first.items, second.items];
    const most = ones.length + others.length;
    const [sparse, a, b] = [new Uint32Array(most), new Float64Array(most), new Float64Array(most)];
    let count = 0;
    const add = (item: number) => {
      sparse[count] = item;
      a[count] = first.values[item]!;
      b[count++] = second.values[item]!;
    };
    for (let i = 0; i < ones.length; ++i) if (this.#marks[ones[i]!] === 0) add(ones[i]!);
    for (let i = 0; i < others.length; ++i) if (first.values[others[i]!] === 0 && this.#marks[others[i]!] === 0) add(others[i]!);
    this.#sparse = sparse.subarray(0, count);
    this.#ones = a;
    this.#others = b;
  }

  /** Rows nearest to the point outside the history, padded where there are fewer than `depth`. */
  #find(depth: number): Uint32Array {
    const { dim, curvature } = this.#model;
    const [point, none] = [this.#point, this.#history];
    const count = Math.max(1, Math.min(depth, this.#marks.length));
    return native.topK('cpu', point, preparedItems(this.#model), dim, count, Uint32Array.of(0, none.length), none, curvature).items;
  }

  /** The near items are these, which hold those of before. */
  #take(near: ArrayLike<number>): void {
    let count = 0;
    for (; count < near.length && near[count] !== NONE; ++count) {
      const item = near[count]!;
      if (this.#marks[item] !== 0) continue;
      this.#marks[item] = 1;
      this.#near.push(item);
    }
    this.#isAll = count < near.length || count >= this.#marks.length - this.#history.length;
    this.#farthest = this.#near.reduce((most, item) => Math.max(most, this.distance(item)), 0);
  }

  #clear(): void {
    for (const item of this.#history) this.#marks[item] = 0;
    for (const item of this.#near) this.#marks[item] = 0;
    for (const item of this.#measured) this.#distances[item] = Number.NaN;
    for (const scores of this.#sums) scores.clear();
    this.#measured.length = 0;
    this.#near = [];
  }
}

function listOf(best: Best): ScoredItems {
  const items: number[] = [];
  const scores: number[] = [];
  best.drain((item, score) => {
    items.push(item);
    scores.push(score);
  });
  return { items: Uint32Array.from(items), scores: Float64Array.from(scores) };
}

const histories: WeakMap<Float32Array, Uint32Array> = new WeakMap();

/** Notes of which items a point was made, for who ranks from that very array. */
export function rememberHistory(point: Float32Array, rows: Uint32Array): Float32Array {
  histories.set(point, rows);
  return point;
}

/** The items that a point was made of; none where that is not known. */
export function historyOfPoint(point: Float32Array): Uint32Array {
  return histories.get(point) ?? new Uint32Array(0);
}

/** A user's training items, ascending. */
export function trainItems({ blend: { train } }: BlendedEmbedding, user: number): Uint32Array {
  return train.items.subarray(train.offsets[user], train.offsets[user + 1]);
}

/** Which items may be in a list, and where it is cut. */
export interface ListOptions {
  k: number;
  isLeft: (item: number) => boolean;
  /** All that are not left out, where that is known to be few; null: they are found among the near ones. */
  candidates: Uint32Array | null;
}

/** Who is ranked for; as of `BlendedRanking.begin`. */
export interface BlendedUser {
  point: Float32Array;
  history: Uint32Array;
  near: ArrayLike<number> | number;
  gaps?: Float64Array | null;
}

/** The list of one user, with distances beside the scores. */
export function blendedList(
  ranking: BlendedRanking,
  model: BlendedEmbedding,
  { point, history, near, gaps = null }: BlendedUser,
  { k, isLeft, candidates }: ListOptions,
): ScoredItems & { distances: Float32Array } {
  ranking.begin(model, point, history, near, gaps);
  if (candidates && candidates.length <= FEW) ranking.only(candidates);
  const list = ranking.top(model.blend, k, isLeft);
  return { ...list, distances: Float32Array.from(list.items, (item) => ranking.distance(item)) };
}

/** How many near items a list of k is begun with, where so many beside the history are left out. */
export const depthOf = (k: number, left = 0): number => k + SPARE + left;
