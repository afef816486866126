import type { Id } from './data/csr.ts';
import { PIECE, type Steps } from './data/steps.ts';
import { type Embedding, knowledgeWeight } from './embedding.ts';
import { neighborhoodOf } from './neighborhood.ts';
import { quantiles } from './statistics.ts';

/** What one relation of the graph contributes to where the items stand. */
export interface RelationInfluence {
  relation: Id;
  /** Triples of this relation with an item as head, and the items that have one. */
  triples: number;
  items: number;
  /** Σ of the attention that its triples get; all relations together: the number of items with a triple. */
  attention: number;
  /** Σ of attention · weight of L_K of the item, σ(β_v) where it is learned. */
  influence: number;
  /** Its part of all influence, in [0, 1]; 0 where nothing has any. */
  share: number;
  /** influence / attention: the weight of L_K of the items that attend to it. Above the mean of all items, it helps more than the rest of the graph. */
  meanWeight: number;
}

/** Which part of the graph helps. */
export interface GraphInfluence {
  /** By influence, largest first. */
  relations: RelationInfluence[];
  /** Of the weights of L_K of the items with a triple. NaN where there is none. */
  itemWeight: { mean: number; p10: number; p50: number; p90: number };
}

/** [items] weight of L_K of every item: σ(β_v) where it is learned, the fixed weight, or 0 in the variants without L_K. */
export function itemWeights(model: Embedding): Float32Array {
  return Float32Array.from(model.itemIds, (_, item) => knowledgeWeight(model, item));
}

/** How much each relation has to say, over all items. */
export function* graphInfluence(model: Embedding): Steps<GraphInfluence> {
  const { graph, itemIds, relationIds } = model;
  const sums = relationIds.map((relation): RelationInfluence => {
    return { relation, triples: 0, items: 0, attention: 0, influence: 0, share: 0, meanWeight: 0 };
  });
  const last = new Int32Array(relationIds.length).fill(-1);
  const weights: number[] = [];
  let sinceYield = 0;
  for (let item = 0; item < itemIds.length; ++item) {
    const [begin, end] = [graph.offsets[item]!, graph.offsets[item + 1]!];
    if (begin === end) continue;
    const relations = graph.relations.subarray(begin, end);
    const point = model.entities.subarray(item * model.dim, (item + 1) * model.dim);
    const { attention } = neighborhoodOf(model, point, relations, graph.tails.subarray(begin, end));
    const weight = knowledgeWeight(model, item);
    weights.push(weight);
    for (let i = 0; i < attention.length; ++i) {
      const sum = sums[relations[i]!]!;
      sum.triples++;
      if (last[relations[i]!] !== item) sum.items++;
      last[relations[i]!] = item;
      sum.attention += attention[i]!;
      sum.influence += attention[i]! * weight;
    }
    // A neighbourhood costs some 30 times what a row of an array does.
    sinceYield += 32 * (end - begin);
    if (sinceYield < PIECE) continue;
    sinceYield = 0;
    yield;
  }
  const total = sums.reduce((sum, { influence }) => sum + influence, 0);
  for (const sum of sums) {
    sum.share = total > 0 ? sum.influence / total : 0;
    sum.meanWeight = sum.attention > 0 ? sum.influence / sum.attention : 0;
  }
  const [p10, p50, p90] = quantiles(weights, [0.1, 0.5, 0.9]) as [number, number, number];
  return {
    relations: sums.sort((a, b) => b.influence - a.influence || b.attention - a.attention),
    itemWeight: {
      mean: weights.reduce((sum, weight) => sum + weight, 0) / weights.length,
      p10,
      p50,
      p90,
    },
  };
}
