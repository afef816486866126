import type { Id } from './data/csr.ts';
import { type Embedding, knowledgeWeight, rowOf } from './embedding.ts';
import { distanceOf, neighborhoodOf } from './neighborhood.ts';

export interface Explanation {
  /** d(u, v). */
  distance: number;
  /** Weight of L_K of this item: how much its neighbourhood had to say. 0 in the variants without knowledge. */
  knowledgeWeight: number;
  /** L_K(v) = d(v, n_v); 0 for an item without triples. */
  neighborhoodDistance: number;
  /** The item's triples, most attention first; attention sums to 1 (weights of the Einstein midpoint, Eq. 4 and 5). */
  neighbors: { relation: Id; entity: Id; attention: number }[];
}

/** Why an item stands where it does for a user. */
export function explain(model: Embedding, user: Id, item: Id): Explanation {
  const { users, entities, dim, graph } = model;
  const u = rowOf('user', model.userIds, user);
  const v = rowOf('item', model.itemIds, item);
  const point = entities.subarray(v * dim, (v + 1) * dim);
  const begin = graph.offsets[v]!;
  const { midpoint, attention } = neighborhoodOf(
    model,
    point,
    graph.relations.subarray(begin, graph.offsets[v + 1]),
    graph.tails.subarray(begin, graph.offsets[v + 1]),
  );
  return {
    distance: distanceOf(model, users.subarray(u * dim, (u + 1) * dim), point),
    knowledgeWeight: knowledgeWeight(model, v),
    neighborhoodDistance: distanceOf(model, point, midpoint),
    neighbors: Array.from(attention, (weight, i) => ({
      relation: model.relationIds[graph.relations[begin + i]!]!,
      entity: model.entityIds[graph.tails[begin + i]!]!,
      attention: weight,
    })).sort((a, b) => b.attention - a.attention),
  };
}
