import { type Graph, type Id, type Interactions, transposed } from './csr.ts';
import { allNearestRows, NearestRows } from './nearest-rows.ts';
import type { Steps } from './steps.ts';

/** Which entities two items can share, and how many neighbours an item gets by them. */
export interface SharedEntities {
  /** An entity counts if at most so many items have it. */
  mostItems: number;
  /** The strongest neighbours of an item that become triples. */
  perItem: number;
}

/** Items whose few triples are handled between two yields. */
const ITEMS_PER_STEP = 1024;

/** What the relation between items that share rare entities is called, where no other has the name. */
export const SHARED_ENTITIES_RELATION = 'shares rare entities with';

/** The name, or the same with as many ^ in front as make it a new id. */
export function newRelation(name: string, taken: readonly Id[]): Id {
  let id = name;
  while (taken.includes(id)) id = `^${id}`;
  return id;
}

/**
 * The graph, and for each item v the triples (v, `relation`, w) to the `perItem` other items w with the largest
 *
 *   weight(v, w) = Σ ln(items / n_e) over the entities e that are tails of both, whatever the relation, with n_e ≤ mostItems,
 *
 * where n_e is the number of items that have e as a tail. Equal weights: the smaller row; a weight of 0 is none.
 *
 * A triple pulls an item towards an entity, and through it towards the other items that have it. That way is long, and where an entity is
 * rare it is hardly walked: the entity gets a gradient only in the batches that one of its few items is in. The new triples are the product
 * A·diag(idf)·Aᵀ of the item-entity matrix, cut to its largest entries: they make two steps one. ln(items / n_e) is the information
 * in having e: what many items have says little about two of them.
 *
 * Time is that of Σ n_e² over the entities that count, at most mostItems times the triples.
 *
 * @param entities number of entities, which bounds the tails
 * @param relation above all relations of the graph
 */
export function* withSharedEntities(graph: Graph, entities: number, relation: number, options: SharedEntities): Steps<Graph> {
  return yield* withRelation(graph, relation, yield* sharedBy(yield* distinctTails(graph), entities, options));
}

/**
 * The graph, and for each item v the triples (v, `relation`, w) to its neighbours w, ascending.
 *
 * @param relation above all relations of the graph
 * @param neighbors by item, in any order, distinct
 */
export function* withRelation(graph: Graph, relation: number, neighbors: Interactions): Steps<Graph> {
  const items = graph.offsets.length - 1;
  const size = graph.tails.length + neighbors.items.length;
  const offsets = new Uint32Array(items + 1);
  const relations = new Uint32Array(size);
  const tails = new Uint32Array(size);
  let at = 0;
  for (let item = 0; item < items; ++item) {
    const own = graph.offsets[item]!;
    const ownEnd = graph.offsets[item + 1]!;
    relations.set(graph.relations.subarray(own, ownEnd), at);
    tails.set(graph.tails.subarray(own, ownEnd), at);
    at += ownEnd - own;
    const others = neighbors.items.slice(neighbors.offsets[item], neighbors.offsets[item + 1]).sort();
    relations.fill(relation, at, at + others.length);
    tails.set(others, at);
    at += others.length;
    offsets[item + 1] = at;
    if (item % ITEMS_PER_STEP === ITEMS_PER_STEP - 1) yield;
  }
  return { offsets, relations, tails };
}

/** The tails of each item, once each, ascending. */
export function* distinctTails(graph: Graph): Steps<Interactions> {
  const items = graph.offsets.length - 1;
  const offsets = new Uint32Array(items + 1);
  const tails = new Uint32Array(graph.tails.length);
  let kept = 0;
  for (let item = 0; item < items; ++item) {
    let last = -1;
    for (const tail of graph.tails.slice(graph.offsets[item], graph.offsets[item + 1]).sort()) {
      if (tail !== last) tails[kept++] = tail;
      last = tail;
    }
    offsets[item + 1] = kept;
    if (item % ITEMS_PER_STEP === ITEMS_PER_STEP - 1) yield;
  }
  return { offsets, items: tails.slice(0, kept) };
}

function* sharedBy(byItem: Interactions, entities: number, { mostItems, perItem }: SharedEntities): Steps<Interactions> {
  const items = byItem.offsets.length - 1;
  const byEntity = yield* transposed(byItem, entities);
  const weights = Float64Array.from({ length: entities }, (_, entity) => {
    const having = byEntity.offsets[entity + 1]! - byEntity.offsets[entity]!;
    return having > 1 && having <= mostItems ? Math.log(items / having) : 0;
  });
  yield;
  return yield* allNearestRows(new NearestRows(byItem, byEntity, weights, perItem, (overlap) => overlap));
}
