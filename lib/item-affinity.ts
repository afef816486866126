import { type Interactions, transposed } from './data/csr.ts';
import { Random } from './data/random.ts';
import { finish } from './data/steps.ts';
import type { Embedding } from './embedding.ts';

/** Which items share entities with a new one, and who has them: what a model knows about an item that nobody has had. */
export interface ItemAffinity {
  /** Entity → the items that have it as a tail. */
  having: Interactions;
  /** Item → the users that have it. */
  users: Interactions;
  /** The mean of `reach` over the items. */
  meanReach: number;
}

export interface Alike {
  item: number;
  weight: number;
}

/** Items that `meanReach` is a mean of. */
const SAMPLE = 500;

const SAMPLE_STREAM = 19;

const known: WeakMap<Interactions, ItemAffinity> = new WeakMap();

/** Made once for a model; some hundred milliseconds for a million triples. */
export function itemAffinity(model: Embedding): ItemAffinity {
  let affinity = known.get(model.seen);
  if (affinity === undefined) {
    const { graph, seen, itemIds, entityIds } = model;
    const having = finish(transposed({ offsets: graph.offsets, items: graph.tails }, entityIds.length));
    affinity = { having, users: finish(transposed(seen, itemIds.length)), meanReach: 0 };
    const order = new Random(0, SAMPLE_STREAM).permutation(itemIds.length).subarray(0, SAMPLE);
    for (const item of order) {
      const tails = graph.tails.subarray(graph.offsets[item], graph.offsets[item + 1]);
      affinity.meanReach += reach(affinity, itemsAlike(affinity, tails, item)) / order.length;
    }
    known.set(model.seen, affinity);
  }
  return affinity;
}

/** How many items are looked at for a new one. */
const MOST = 20;

/**
 * The 20 items that share most with one of these tails, most first: weight Σ ln(items / n_e) over the shared entities e, which n_e items have.
 * A tail that is an item itself is shared with that item alone.
 *
 * @param itself left out
 */
export function itemsAlike({ having, users }: ItemAffinity, tails: Uint32Array, itself = -1): Alike[] {
  const items = users.offsets.length - 1;
  const weights = new Map<number, number>();
  const add = (item: number, weight: number) => weights.set(item, (weights.get(item) ?? 0) + weight);
  for (const tail of new Set(tails)) {
    const [begin, end] = [having.offsets[tail]!, having.offsets[tail + 1]!];
    for (let at = begin; at < end; ++at) add(having.items[at]!, Math.log(items / (end - begin)));
    if (tail < items) add(tail, Math.log(items));
  }
  weights.delete(itself);
  return [...weights]
    .map(([item, weight]) => ({ item, weight }))
    .filter(({ weight }) => weight > 0)
    .sort((a, b) => b.weight - a.weight || a.item - b.item)
    .slice(0, MOST);
}

/** Σ weight · users of the item: grows with how many of the triples are shared, and with how popular those are that share them. */
export function reach({ users: { offsets } }: ItemAffinity, alike: readonly Alike[]): number {
  return alike.reduce((sum, { item, weight }) => sum + weight * (offsets[item + 1]! - offsets[item]!), 0);
}
