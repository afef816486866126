import type { Graph, Id } from './data/csr.ts';
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
  neighbors: Neighbor[];
}

export interface Neighbor {
  relation: Id;
  entity: Id;
  attention: number;
  /** Where training found that the two items share rare entities (its option `sharedEntities`): these, those that fewest items have first. */
  shared?: Id[];
}

/** Why an item stands where it does for a user. */
export function explain(model: Embedding, user: Id, item: Id): Explanation {
  const { users, entities, dim, graph } = model;
  const u = rowOf('user', model.userIds, user);
  const v = rowOf('item', model.itemIds, item);
  const point = entities.subarray(v * dim, (v + 1) * dim);
  const begin = graph.offsets[v]!;
  const sharing = model.training.options.sharedEntities ? model.relationIds.length - 1 : undefined;
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
    neighbors: Array.from(attention, (weight, i) => {
      const relation = graph.relations[begin + i]!;
      const tail = graph.tails[begin + i]!;
      const neighbor: Neighbor = { relation: model.relationIds[relation]!, entity: model.entityIds[tail]!, attention: weight };
      return relation === sharing ? { ...neighbor, shared: sharedEntities(model, v, tail, sharing) } : neighbor;
    }).sort((a, b) => b.attention - a.attention),
  };
}

/** How many items have each entity as a tail, not counting the relation that sharing makes; by graph. */
const itemCounts: WeakMap<Graph, Uint32Array> = new WeakMap();

/** The tails that both items have, but for those of the relation `sharing` itself and those that too many items have. */
function sharedEntities({ graph, entityIds, training }: Embedding, item: number, other: number, sharing: number): Id[] {
  const { mostItems } = training.options.sharedEntities as { mostItems: number };
  const visitTails = (v: number, visit: (tail: number) => void) => {
    for (let i = graph.offsets[v]!; i < graph.offsets[v + 1]!; ++i) if (graph.relations[i] !== sharing) visit(graph.tails[i]!);
  };
  let counts = itemCounts.get(graph);
  if (counts === undefined) {
    counts = new Uint32Array(entityIds.length);
    const last = new Int32Array(entityIds.length).fill(-1); // an item may have an entity by several relations
    for (let v = 0; v + 1 < graph.offsets.length; ++v)
      visitTails(v, (tail) => {
        if (last[tail] !== v) counts![tail]!++;
        last[tail] = v;
      });
    itemCounts.set(graph, counts);
  }
  const having = counts;
  const own = new Set<number>();
  const shared = new Set<number>();
  visitTails(item, (tail) => own.add(tail));
  visitTails(other, (tail) => {
    if (own.has(tail) && having[tail]! <= mostItems) shared.add(tail);
  });
  return [...shared].sort((a, b) => having[a]! - having[b]! || a - b).map((tail) => entityIds[tail]!);
}
