import { loadEmbedding, saveEmbedding } from './artifact.ts';
import { show } from './check.ts';
import type { Graph, Id, Interactions } from './data/csr.ts';
import type { Embedding, TrainingRecord } from './embedding.ts';
import { argumentError } from './errors.ts';
import { type Explanation, explain } from './explain.ts';
import { foldInItem, foldInUser, type ItemTriple } from './fold-in.ts';
import { type LorentzPoints, toLorentz } from './lorentz.ts';
import { type Recommendation, type RecommendOptions, recommend } from './recommend.ts';

/** A trained model. It needs neither the data set nor the trainer; its arrays are the caller's to read. */
export class Model implements Embedding {
  /** [users, dim] points of the ball of radius 1/√curvature. */
  readonly users: Float32Array;
  /** [entities, dim]; row i of the first `itemIds.length` is item i. */
  readonly entities: Float32Array;
  /** [relations, dim] */
  readonly relations: Float32Array;
  /** [items] β_v; σ(β_v) is the weight of L_K in the variants that learn it. */
  readonly beta: Float32Array;
  readonly dim: number;
  /** c. 0 in the Euclidean variants: plain coordinates, with distance 2‖x − y‖. */
  readonly curvature: number;
  readonly graph: Graph;
  /** The training and validation items of each user. */
  readonly seen: Interactions;
  readonly userIds: readonly Id[];
  readonly itemIds: readonly Id[];
  readonly entityIds: readonly Id[];
  readonly relationIds: readonly Id[];
  readonly training: TrainingRecord;

  constructor(embedding: Embedding) {
    this.users = embedding.users;
    this.entities = embedding.entities;
    this.relations = embedding.relations;
    this.beta = embedding.beta;
    this.dim = embedding.dim;
    this.curvature = embedding.curvature;
    this.graph = embedding.graph;
    this.seen = embedding.seen;
    this.userIds = embedding.userIds;
    this.itemIds = embedding.itemIds;
    this.entityIds = embedding.entityIds;
    this.relationIds = embedding.relationIds;
    this.training = embedding.training;
  }

  /**
   * The k items nearest to a user, nearest first, ties by smaller row; fewer where fewer are left.
   *
   * @param user a user's id, or a point such as `foldInUser` returns, which has seen nothing
   * @throws {HyperKnowError} ERR_HK_UNKNOWN_ID; {TypeError, RangeError} for bad arguments
   */
  recommend(user: Id | Float32Array, k: number = 20, options?: RecommendOptions): Recommendation[] {
    return recommend(this, user, k, options);
  }

  /**
   * Why an item stands where it does for a user: their distance, and the item's triples by the attention they get.
   *
   * @throws {HyperKnowError} ERR_HK_UNKNOWN_ID
   */
  explain(user: Id, item: Id): Explanation {
    return explain(this, user, item);
  }

  /** A point for a user who was not there at training, from the ids of their items, at least one; for `recommend`. */
  foldInUser(items: Iterable<Id>): Float32Array {
    return foldInUser(this, items);
  }

  /** A point for an item that was not there at training, from its triples { relation, tail }, at least one. */
  foldInItem(triples: Iterable<ItemTriple>): Float32Array {
    return foldInItem(this, triples);
  }

  /** Users and items on the hyperboloid, [n, dim + 1] with the time coordinate first: a larger Minkowski product −U₀V₀ + Σ UᵢVᵢ is a smaller distance. */
  toLorentz(): LorentzPoints {
    return toLorentz(this);
  }

  /**
   * Writes one safetensors file; an older one at `path` is replaced in one step or stays whole.
   *
   * @throws {HyperKnowError} ERR_HK_IO; ERR_HK_DIVERGED if a number is not finite
   */
  async save(path: string): Promise<void> {
    await saveEmbedding(this, checkPath(path));
  }

  /**
   * Reads a file of `save` and checks all of it.
   *
   * @throws {HyperKnowError} ERR_HK_IO; ERR_HK_MODEL_FILE if it is damaged, no model, or of a newer format
   */
  static async load(path: string): Promise<Model> {
    return new Model(await loadEmbedding(checkPath(path)));
  }
}

function checkPath(path: unknown): string {
  if (typeof path !== 'string' || path === '') throw argumentError('type', 'path', `must be the path of a file, got ${show(path)}`);
  return path;
}
