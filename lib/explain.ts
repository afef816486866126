import type { Graph, Id } from './data/csr.ts';
import { finish } from './data/steps.ts';
import { type BlendedEmbedding, dataRelations, type Embedding, isBlended, knowledgeWeight, rowOf } from './embedding.ts';
import { intoBall, mobiusAdd } from './geometry.ts';
import { distanceOf, neighborhoodOf } from './neighborhood.ts';
import { type BlendedRanking, blendedRanking, depthOf, type ScoreParts, trainItems } from './neighbor-blend.ts';
import { seenItems } from './ranking.ts';

/** Why an item stands where it does for a user. */
export interface Explanation {
  /** d(u, v). */
  distance: number;
  /** Where the model blends neighbours (`neighborBlend` of `train`): what the list goes by, and the parts that it is the sum of. */
  score?: { total: number } & ScoreParts;
  /** The item's place, from 1, among all items that the user has not seen; of an item they have seen, the place it would have among these. */
  rank: number;
  /** Weight of L_K of this item, σ(β_v) where it is learned: how much its neighbourhood had to say. 0 in the variants without knowledge. */
  knowledgeWeight: number;
  /** L_K(v) = d(v, n_v); 0 for an item without triples. */
  neighborhoodDistance: number;
  /** The item's triples, most attention first; attention sums to 1 (weights of the Einstein midpoint, Eq. 4 and 5). */
  neighbors: Neighbor[];
  /** What the triple with most attention does; null for an item with fewer than two triples, which has no neighbourhood without it. */
  deletion: Deletion | null;
}

/** One of the item's triples. */
export interface Neighbor {
  relation: Id;
  entity: Id;
  attention: number;
  /** Where the user has items with the same entity, by whatever relation, or that are it: these, but for the item itself, in the order of rows. */
  via?: Id[];
  /** Where training found that the two items share rare entities (its option `sharedEntities`): these, those that fewest items have first. */
  shared?: Id[];
}

/**
 * A counterfactual, without retraining: the triple with most attention is left out, the attention of the others is scaled to sum to 1 again,
 * and v is carried along with its neighbourhood, from n_v to n′_v, by the translation x ↦ n′_v ⊕ (⊖n_v ⊕ x) of the ball; everything else
 * stays. The item's rank there says how much of its place for this user hangs on that triple.
 *
 * Where the model blends neighbours, what these give the item stays as it is. It takes for granted that the item follows its neighbourhood all the way. Recommending itself looks at d(u, v) alone: triples have their
 * say in training, where they pull v towards n_v with weight σ(β_v) — where that is small, an item retrained without the triple moves less.
 */
export interface Deletion {
  relation: Id;
  entity: Id;
  /** The rank without the triple. */
  rank: number;
  /** That rank minus the item's own: above 0, the triple brings the item nearer to this user; below, it keeps it away. */
  moved: number;
}

/** Why an item stands where it does for a user. */
export function explain(model: Embedding, user: Id, item: Id): Explanation {
  const { users, entities, dim, graph } = model;
  const u = rowOf('user', model.userIds, user);
  const v = rowOf('item', model.itemIds, item);
  const place = users.subarray(u * dim, (u + 1) * dim);
  const point = entities.subarray(v * dim, (v + 1) * dim);
  const [begin, end] = [graph.offsets[v]!, graph.offsets[v + 1]!];
  const relations = graph.relations.subarray(begin, end);
  const tails = graph.tails.subarray(begin, end);
  const sharing = model.training.options.sharedEntities ? dataRelations(model) : undefined; // the first after the data's own
  const { midpoint, attention } = neighborhoodOf(model, point, relations, tails);
  const via = itemsVia(model, u, v, tails);
  const ranking = isBlended(model) ? rankingOf(model, u, place) : undefined;
  const rankAt = ranking ? blendedRankFor(model as BlendedEmbedding, ranking, u, v) : rankFor(model, u, v, place);
  const rank = rankAt(point);
  const neighbors = Array.from(attention, (weight, i) => {
    const relation = relations[i]!;
    const tail = tails[i]!;
    const neighbor: Neighbor = { relation: model.relationIds[relation]!, entity: model.entityIds[tail]!, attention: weight };
    const own = via.get(tail);
    if (own) neighbor.via = own;
    if (relation === sharing) neighbor.shared = sharedEntities(model, v, tail, sharing);
    return neighbor;
  });
  return {
    distance: distanceOf(model, place, point),
    ...(ranking ? { score: scoreOf(model as BlendedEmbedding, ranking, v) } : {}),
    rank,
    knowledgeWeight: knowledgeWeight(model, v),
    neighborhoodDistance: distanceOf(model, point, midpoint),
    neighbors: neighbors.sort((a, b) => b.attention - a.attention),
    deletion: tails.length < 2 ? null : deletionOf(model, point, midpoint, relations, tails, attention, rank, rankAt),
  };
}

function deletionOf(
  model: Embedding,
  point: Float32Array,
  midpoint: Float32Array,
  relations: Uint32Array,
  tails: Uint32Array,
  attention: Float32Array,
  rank: number,
  rankAt: (point: ArrayLike<number>) => number,
): Deletion {
  const top = attention.indexOf(Math.max(...attention));
  const rest = neighborhoodOf(
    model,
    point,
    relations.filter((_, i) => i !== top),
    tails.filter((_, i) => i !== top),
  ).midpoint;
  const { curvature } = model;
  const offset = mobiusAdd(
    midpoint.map((x) => -x),
    point,
    curvature,
  );
  const without = rankAt(intoBall(mobiusAdd(rest, offset, curvature), curvature));
  return { relation: model.relationIds[relations[top]!]!, entity: model.entityIds[tails[top]!]!, rank: without, moved: without - rank };
}

/** The place that an item would have at a point, among those the user has not seen; ties by smaller row, as in a list. */
function rankFor(model: Embedding, user: number, item: number, place: Float32Array): (point: ArrayLike<number>) => number {
  const { entities, dim, curvature, itemIds } = model;
  // For one user the order of distances is that of ‖u − v‖²/(1 − c‖v‖²); in float64.
  const keyOf = (table: ArrayLike<number>, begin: number): number => {
    let square = 0;
    let norm = 0;
    for (let i = 0; i < dim; ++i) {
      const x = table[begin + i]!;
      square += (place[i]! - x) ** 2;
      norm += x * x;
    }
    return square / (1 - curvature * norm);
  };
  const keys = Float64Array.from(itemIds, (_, row) => keyOf(entities, row * dim));
  for (const row of seenItems(model, user)) keys[row] = Number.POSITIVE_INFINITY;
  keys[item] = Number.POSITIVE_INFINITY;
  return (point) => {
    const key = keyOf(point, 0);
    let rank = 1;
    for (let row = 0; row < keys.length; ++row) if (keys[row]! < key || (keys[row] === key && row < item)) ++rank;
    return rank;
  };
}

/** The ranking of the user's training items, which no other user may take over until the explanation is done. */
function rankingOf(model: BlendedEmbedding, user: number, place: Float32Array): BlendedRanking {
  const ranking = finish(blendedRanking(model));
  ranking.begin(model, place, trainItems(model, user), depthOf(1));
  return ranking;
}

function scoreOf(model: BlendedEmbedding, ranking: BlendedRanking, item: number): { total: number } & ScoreParts {
  const parts = ranking.parts(model.blend, item);
  return { total: parts.model + parts.itemKnn + parts.attributeKnn, ...parts };
}

/** `rankFor` by scores: an item that moves keeps what neighbours give it. */
function blendedRankFor(
  model: BlendedEmbedding,
  ranking: BlendedRanking,
  user: number,
  item: number,
): (point: ArrayLike<number>) => number {
  const scores = Float64Array.from(model.itemIds, (_, row) => scoreOf(model, ranking, row).total);
  for (const row of seenItems(model, user)) scores[row] = Number.NEGATIVE_INFINITY;
  scores[item] = Number.NEGATIVE_INFINITY;
  return (point) => {
    const parts = ranking.parts(model.blend, item, ranking.distanceTo(point, 0));
    const score = parts.model + parts.itemKnn + parts.attributeKnn;
    let rank = 1;
    for (let row = 0; row < scores.length; ++row) if (scores[row]! > score || (scores[row] === score && row < item)) ++rank;
    return rank;
  };
}

/** By tail: the user's items, but for `item`, that have it or are it; nothing for a tail that none has. */
function itemsVia(model: Embedding, user: number, item: number, tails: Uint32Array): Map<number, Id[]> {
  const { graph, itemIds } = model;
  const wanted = new Set(tails);
  const via = new Map<number, Id[]>();
  for (const other of seenItems(model, user)) {
    if (other === item) continue;
    for (const tail of new Set([other, ...graph.tails.subarray(graph.offsets[other]!, graph.offsets[other + 1]!)]))
      if (wanted.has(tail)) via.set(tail, [...(via.get(tail) ?? []), itemIds[other]!]);
  }
  return via;
}

/** How many items have each entity as a tail, not counting the relations that training made; by graph. */
const itemCounts: WeakMap<Graph, Uint32Array> = new WeakMap();

/** The tails that both items have, but for those of the relation `sharing` and any after it, and those that too many items have. */
function sharedEntities({ graph, entityIds, training }: Embedding, item: number, other: number, sharing: number): Id[] {
  const { mostItems } = training.options.sharedEntities as { mostItems: number };
  const visitTails = (v: number, visit: (tail: number) => void) => {
    for (let i = graph.offsets[v]!; i < graph.offsets[v + 1]!; ++i) if (graph.relations[i]! < sharing) visit(graph.tails[i]!);
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
