import { type Graph, type Interactions, transposed } from './csr.ts';
import { NearestRows } from './nearest-rows.ts';
import { inPieces, type Steps } from './steps.ts';

/** What items are compared by: a sparse matrix of items and features. */
export interface ItemFeatures {
  /** The features of each item. */
  byItem: Interactions;
  /** The items of each feature. */
  byFeature: Interactions;
  /** [features], not negative; null: all 1. */
  weights: Float64Array | null;
}

/** Most similar items of each that count, and what is added to the denominator of the cosine. */
export interface SimilarityOptions {
  neighbors: number;
  shrinkage: number;
}

/** Of item-kNN, where nothing else is said. */
export const ITEM_KNN: Readonly<SimilarityOptions> = { neighbors: 200, shrinkage: 10 };

/** Of the kNN over attributes, where nothing else is said. */
export const ATTRIBUTE_KNN: Readonly<SimilarityOptions> = { neighbors: 200, shrinkage: 0 };

/** An item is the set of the users who have it. */
export function* usersOfItems(interactions: Interactions, items: number): Steps<ItemFeatures> {
  return { byItem: yield* transposed(interactions, items), byFeature: interactions, weights: null };
}

/**
 * An item is the set of its (relation, tail) pairs, each weighed by its inverse document frequency ln(items / items that have it); those that more
 * than half of the items have count for nothing.
 *
 * @param relations the relations of the graph that count are those below
 * @param entities above all tails
 */
export function* attributesOfItems(graph: Graph, relations: number, entities: number): Steps<ItemFeatures> {
  const items = graph.offsets.length - 1;
  const offsets = new Uint32Array(items + 1);
  const attributes = new Uint32Array(graph.tails.length);
  const known = new Map<number, number>();
  let count = 0;
  let item = 0;
  yield* inPieces(graph.tails.length, (begin, end) => {
    for (let i = begin; i < end; ++i) {
      while (graph.offsets[item + 1]! <= i) offsets[++item] = count;
      if (graph.relations[i]! >= relations) continue;
      const pair = graph.relations[i]! * entities + graph.tails[i]!;
      let attribute = known.get(pair);
      if (attribute === undefined) {
        attribute = known.size;
        known.set(pair, attribute);
      }
      attributes[count++] = attribute;
    }
  });
  offsets.fill(count, item + 1);
  const byItem = { offsets, items: attributes.subarray(0, count) };
  const byFeature = yield* transposed(byItem, known.size);
  const weights = new Float64Array(known.size);
  yield* inPieces(known.size, (begin, end) => {
    for (let attribute = begin; attribute < end; ++attribute) {
      const having = byFeature.offsets[attribute + 1]! - byFeature.offsets[attribute]!;
      weights[attribute] = having > items / 2 ? 0 : Math.log(items / having);
    }
  });
  return { byItem, byFeature, weights };
}

/** The items most similar to each by cosine, Σ w² / (‖a‖‖b‖ + shrinkage) over the features that both have. */
export function* similarItems(
  { byItem, byFeature, weights }: ItemFeatures,
  { neighbors, shrinkage }: SimilarityOptions,
): Steps<NearestRows> {
  const squares = weights?.map((weight) => weight ** 2) ?? null;
  const norms = new Float64Array(byItem.offsets.length - 1);
  yield* inPieces(norms.length, (begin, end) => {
    for (let item = begin; item < end; ++item) {
      for (let i = byItem.offsets[item]!; i < byItem.offsets[item + 1]!; ++i) norms[item]! += squares ? squares[byItem.items[i]!]! : 1;
      norms[item] = Math.sqrt(norms[item]!);
    }
  });
  const cosine = (overlap: number, item: number, other: number) => overlap / (norms[item]! * norms[other]! + shrinkage);
  return new NearestRows(byItem, byFeature, squares, neighbors, cosine);
}
