// How well folded-in users and items are recommended.
import type { Interactions } from '../../lib/data/csr.ts';
import type { Dataset } from '../../lib/data/dataset.ts';
import { Random } from '../../lib/data/random.ts';
import { popularity, rankBy } from '../../lib/controls.ts';
import { evaluatePerUser, evaluateRanking, meanMetrics, type Rank } from '../../lib/evaluate.ts';
import { userPoint } from '../../lib/fold-in.ts';
import { itemPoint } from '../../lib/fold-in-item.ts';
import { einsteinMidpoint } from '../../lib/geometry.ts';
import type { Model } from '../../lib/model.ts';
import { native } from '../../lib/native.ts';
import { gather, itemTable, NONE } from '../../lib/ranking.ts';
import { filtered } from './hold-out.ts';

/** NDCG@20 over the new users with an item in the split. */
export interface UserRow {
  split: 'validation' | 'test';
  users: number;
  /** By the model that was trained with them. */
  trained: number;
  /** By the one without, from their training items. */
  folded: number;
  /** The Einstein midpoint of their training items, no step made. */
  midpoint: number;
  popularity: number;
  /** Of folding in one user. */
  milliseconds: number;
}

const itemsOf = ({ offsets, items }: Interactions, user: number) => items.subarray(offsets[user], offsets[user + 1]);

export async function judgeUsers(dataset: Dataset, full: Model, without: Model, newUsers: Uint32Array): Promise<UserRow[]> {
  const judged = new Set(newUsers);
  const { dim, curvature } = without;
  const pointsOf = (point: (own: Uint32Array) => ArrayLike<number>): ReadonlyMap<number, Float32Array> =>
    new Map(Array.from(newUsers, (user) => [user, Float32Array.from(point(itemsOf(dataset.train, user)))]));
  const began = performance.now();
  const folded = pointsOf((own) => userPoint(without, own));
  const milliseconds = (performance.now() - began) / newUsers.length;
  const midpoints = pointsOf((own) => einsteinMidpoint(gather(itemTable(without), own, dim), null, dim, curvature));
  const rows: UserRow[] = [];
  for (const split of ['validation', 'test'] as const) {
    const part = { ...dataset, [split]: filtered(dataset[split], (user) => judged.has(user)) };
    const ranked = async (rank: Rank) => meanMetrics(await evaluateRanking(rank, part, { split }));
    const most = await ranked(rankBy(popularity(dataset), part));
    rows.push({
      split,
      users: most.users,
      trained: meanMetrics(await evaluatePerUser(full, part, { split })).ndcg[20]!,
      folded: (await ranked(rankPoints(dataset, without, folded))).ndcg[20]!,
      midpoint: (await ranked(rankPoints(dataset, without, midpoints))).ndcg[20]!,
      popularity: most.ndcg[20]!,
      milliseconds,
    });
  }
  return rows;
}

/** What the model recommends to users whom it does not know, by their points and their training items. */
function rankPoints(dataset: Dataset, model: Model, points: ReadonlyMap<number, Float32Array>): Rank {
  const { itemIds } = model;
  const rowOf = new Map(itemIds.map((id, row) => [id, row]));
  const idsOf = (rows: Uint32Array) => Array.from(rows, (row) => itemIds[row]!);
  return async (users, k, { offsets, items }) => {
    const lists = new Uint32Array(users.length * k).fill(NONE);
    for (const [i, user] of users.entries()) {
      const exclude = idsOf(items.subarray(offsets[i], offsets[i + 1]));
      const list = model.recommend(points.get(user)!, k, { history: idsOf(itemsOf(dataset.train, user)), exclude });
      for (const [at, { item }] of list.entries()) lists[i * k + at] = rowOf.get(item)!;
    }
    return lists;
  };
}

/** Over the users with a new item among their test items, ranking the new items alone. */
export interface ItemRow {
  items: number;
  users: number;
  by: string;
  recall: number;
  ndcg: number;
}

/**
 * Each user's new test items among all new items but those in the user's training and validation sets, which no model without them has seen: a
 * model that was trained with them has seen those, and may be compared. Nobody has had a new item, so its popularity is 0 in what the model
 * knows. What can be known is how popular the items are that share its entities; how often it will be had is shown as what it is, the future.
 */
export async function judgeItems(dataset: Dataset, full: Model, without: Model, newItems: Uint32Array): Promise<ItemRow[]> {
  const { dim } = full;
  const place = new Map([...newItems].map((item, at) => [item, at]));
  const among = (interactions: Interactions): Interactions => {
    const { offsets, items } = filtered(interactions, (_, item) => place.has(item));
    return { offsets, items: items.map((item) => place.get(item)!) };
  };
  const graph = { offsets: new Uint32Array(newItems.length + 1), relations: new Uint32Array(0), tails: new Uint32Array(0) };
  const parts = { train: among(dataset.train), validation: among(dataset.validation), test: among(dataset.test) };
  const small: Dataset = { ...dataset, ...parts, items: newItems.length, entities: newItems.length, graph };

  const rows: ItemRow[] = [];
  const judge = async (by: string, rank: Rank) => {
    const { users, recall, ndcg } = meanMetrics(await evaluateRanking(rank, small));
    rows.push({ items: newItems.length, users, by, recall: recall[20]!, ndcg: ndcg[20]! });
  };
  const byDistance =
    (model: Model, points: Float32Array): Rank =>
    async (users, k, { offsets, items }) =>
      native.topK('cpu', gather(model.users, users, dim), points, dim, k, offsets, items, model.curvature).items;
  const byScore = (scores: ArrayLike<number>): Rank => {
    const order = Array.from(newItems, (_, at) => at).sort((a, b) => scores[b]! - scores[a]! || a - b);
    return async (users, k, { offsets, items }) => {
      const lists = new Uint32Array(users.length * k).fill(0xffffffff);
      for (let i = 0; i < users.length; ++i) {
        const left = new Set(items.subarray(offsets[i], offsets[i + 1]));
        lists.set(order.filter((at) => !left.has(at)).slice(0, k), i * k);
      }
      return lists;
    };
  };

  await judge('trained with them', byDistance(full, gather(full.entities, newItems, dim)));
  const points = new Float32Array(newItems.length * dim);
  const known = new Map(without.entityIds.map((id, row) => [id, row]));
  const likes = popularAttributes(without);
  const expected = new Float64Array(newItems.length);
  newItems.forEach((item, at) => {
    const [begin, end] = [dataset.graph.offsets[item]!, dataset.graph.offsets[item + 1]!];
    const relations: number[] = [];
    const tails: number[] = [];
    for (let i = begin; i < end; ++i) {
      const tail = known.get(dataset.entityIds[dataset.graph.tails[i]!]!);
      if (tail === undefined) continue;
      relations.push(dataset.graph.relations[i]!);
      tails.push(tail);
    }
    // All of its triples may be with other new items: then there is nothing to fold in, and the origin is as near to everyone as any.
    if (tails.length > 0) points.set(itemPoint(without, Uint32Array.from(relations), Uint32Array.from(tails)), at * dim);
    expected[at] = likes(tails);
  });
  await judge('folded in', byDistance(without, points));
  await judge('popularity of its entities', byScore(expected));
  await judge('at random', byScore(new Random(1, 29).permutation(newItems.length)));
  const had = new Float64Array(newItems.length);
  for (const part of Object.values(parts)) for (const at of part.items) had[at]!++;
  await judge('(its own popularity, in the future)', byScore(had));
  return rows;
}

/** The mean over the tails of how many users the items have, on average, that have the tail; 0 without one. */
function popularAttributes({ graph, seen, itemIds, entityIds }: Model): (tails: readonly number[]) => number {
  const users = new Float64Array(itemIds.length);
  for (const item of seen.items) users[item]!++;
  const sums = new Float64Array(entityIds.length);
  const counts = new Float64Array(entityIds.length);
  for (let item = 0; item < itemIds.length; ++item)
    for (const tail of itemsOf({ offsets: graph.offsets, items: graph.tails }, item)) {
      sums[tail]! += users[item]!;
      counts[tail]!++;
    }
  return (tails) => {
    const had = tails.filter((tail) => counts[tail]! > 0);
    return had.length === 0 ? 0 : had.reduce((sum, tail) => sum + sums[tail]! / counts[tail]!, 0) / had.length;
  };
}
