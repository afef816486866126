import { type Graph, type Interactions, transposed } from './csr.ts';
import { allNearestRows, NearestRows } from './nearest-rows.ts';
import { withRelation } from './shared-entities.ts';
import type { Steps } from './steps.ts';

/** How many neighbours an item gets by the users that two items share, and what these are taken by. */
export interface SharedUsers {
  /** Two items are neighbours if so many users have both. */
  leastUsers: number;
  /** The strongest neighbours of an item that become triples. */
  perItem: number;
  /** Added to the denominator of the cosine: takes what rests on few users towards 0. */
  shrinkage: number;
}

/** What the relation between items of the same users is called, where no other has the name. */
export const SHARED_USERS_RELATION = 'is had by the users of';

/**
 * The graph, and for each item v the triples (v, `relation`, w) to the `perItem` other items w with the largest
 *
 *   cosine(v, w) = |v ∩ w| / (√|v| √|w| + shrinkage) where |v ∩ w| ≥ leastUsers,
 *
 * where an item is the set of its training users: the similarity of `itemKnn`. Equal ones: the smaller row.
 *
 * A user's item is pulled towards the user, and through it towards the user's other items. On that way every item meets all that its
 * users have, popular ones first; the new triples are the product AᵀA of the user-item matrix, normalised so that popularity is
 * divided out, and cut to its largest entries. With them the midpoint of an item's neighbours is what item-based nearest neighbours would say of it.
 * Items that one user alone has both of tell nothing about others: what training would learn from them is that user's list by heart.
 *
 * Time is that of Σ n_u² over the users, where n_u is the number of the user's items.
 *
 * @param train training interactions; others must not be seen
 * @param relation above all relations of the graph
 */
export function* withSharedUsers(
  graph: Graph,
  train: Interactions,
  relation: number,
  { leastUsers, perItem, shrinkage }: SharedUsers,
): Steps<Graph> {
  const byItem = yield* transposed(train, graph.offsets.length - 1);
  const norms = Float64Array.from({ length: byItem.offsets.length - 1 }, (_, item) =>
    Math.sqrt(byItem.offsets[item + 1]! - byItem.offsets[item]!),
  );
  yield;
  const cosine = (common: number, item: number, other: number) =>
    common < leastUsers ? 0 : common / (norms[item]! * norms[other]! + shrinkage);
  const nearest = new NearestRows(byItem, train, null, perItem, cosine);
  return yield* withRelation(graph, relation, yield* allNearestRows(nearest));
}
