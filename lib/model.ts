// Symbol.dispose, for programs that are compiled against the declarations without @types/node and for an older target.
/// <reference lib="esnext.disposable" preserve="true" />
import { show } from './check.ts';
import type { Graph, Id, Interactions } from './data/csr.ts';
import { finishInTurns } from './data/steps.ts';
import { type Diagnostics, radiusDiagnostics } from './diagnostics.ts';
import { type Embedding, hasId, type NeighborBlend, type TrainingRecord } from './embedding.ts';
import { argumentError, HyperKnowError } from './errors.ts';
import { type Explanation, explain } from './explain.ts';
import { foldInUser } from './fold-in.ts';
import { foldInItem, type ItemTriple } from './fold-in-item.ts';
import { type GraphInfluence, graphInfluence, itemWeights } from './influence.ts';
import { releaseItems } from './item-tables.ts';
import { type LorentzPoints, toLorentz } from './lorentz.ts';
import type { Protocol } from './protocol.ts';
import type { FilterOptions } from './ranking.ts';
import { type Recommendation, type RecommendOneOptions, recommend } from './recommend.ts';
import {
  type RecommendationBatch,
  type RecommendBatchOptions,
  type RecommendBatchSyncOptions,
  recommendBatch,
  recommendBatchSync,
} from './recommend-batch.ts';
import { type SimilarUser, similarItems, similarUsers } from './similar.ts';

/**
 * A trained model. It needs neither the data set nor the trainer; its arrays are the caller's to read.
 *
 * The first call that ranks items prepares them, in twice the memory of their points, and later ones rank these: a copy. After writing into
 * `entities` make a `new Model(model)`.
 *
 * `close()` (or `using model = …`) frees that copy and lets go of the arrays, so that their memory can be collected however long the model
 * itself is kept; every method then throws ERR_HK_DISPOSED.
 */
export class Model implements Embedding {
  /** [users, dim] points of the ball of radius 1/√curvature. */
  readonly users: Float32Array;
  /** [entities, dim]; row i of the first `itemIds.length` is item i. */
  readonly entities: Float32Array;
  /** [relations, dim] */
  readonly relations: Float32Array;
  /** [items] β_v; σ(β_v) is the weight of L_K in the variants that learn it. */
  readonly beta: Float32Array;
  /** Coordinates of a point. */
  readonly dim: number;
  /** c. 0 in the Euclidean variants: plain coordinates, with distance 2‖x − y‖. */
  readonly curvature: number;
  /** The triples that training knew, those with an item as head. */
  readonly graph: Graph;
  /** The training and validation items of each user. */
  readonly seen: Interactions;
  /** Weights and interactions that ranking blends neighbours by; absent where it goes by distance alone. */
  readonly blend?: NeighborBlend;
  /** The caller's ids by row of `users`. */
  readonly userIds: readonly Id[];
  /** The caller's ids of the items, the first rows of `entities`. */
  readonly itemIds: readonly Id[];
  /** The caller's ids by row of `entities`. */
  readonly entityIds: readonly Id[];
  /** The caller's ids by row of `relations`. */
  readonly relationIds: readonly Id[];
  /** How the model came to be: variant, options, epoch. */
  readonly training: TrainingRecord;
  /** How it was made: options, data, split, device, versions. Absent in models of files that were written without. */
  readonly protocol?: Protocol;
  #closed = false;

  constructor(embedding: Embedding) {
    this.users = embedding.users;
    this.entities = embedding.entities;
    this.relations = embedding.relations;
    this.beta = embedding.beta;
    this.dim = embedding.dim;
    this.curvature = embedding.curvature;
    this.graph = embedding.graph;
    this.seen = embedding.seen;
    if (embedding.blend !== undefined) this.blend = embedding.blend;
    this.userIds = embedding.userIds;
    this.itemIds = embedding.itemIds;
    this.entityIds = embedding.entityIds;
    this.relationIds = embedding.relationIds;
    this.training = embedding.training;
    if (embedding.protocol !== undefined) this.protocol = embedding.protocol;
  }

  /**
   * Whether the model knows a user of this id.
   *
   * @example
   * const list = model.hasUser('dan') ? model.recommend('dan') : []; // nothing for one who is new
   */
  hasUser(id: Id): boolean {
    return hasId(this.#open().userIds, id);
  }

  /** Whether the model knows an item of this id. */
  hasItem(id: Id): boolean {
    return hasId(this.#open().itemIds, id);
  }

  /**
   * The k items nearest to a user, nearest first, ties by smaller row; fewer where fewer are left.
   *
   * @param user a user's id, or a point such as `foldInUser` returns, which has seen nothing
   * @throws {HyperKnowError} ERR_HK_UNKNOWN_ID; {TypeError, RangeError} for bad arguments
   * @example
   * const list = model.recommend('ann', 10, { filter: (item) => item !== 'rug' }); // [{ item, distance }, …] without what ann has
   * const sale = model.recommend('ann', 2, { exclude: 'none', candidates: ['lamp', 'desk', 'chair'] });
   */
  recommend(user: Id | Float32Array, k: number = 20, options?: RecommendOneOptions): Recommendation[] {
    return recommend(this.#open(), user, k, options);
  }

  /**
   * The same for many users at once, on threads of its own: at some dozens of microseconds a user the fast way to lists for everyone.
   *
   * @param users ids, or points [n, dim] one after the other, which have seen nothing
   * @returns lists in the order of `users`: rows of items and distances in two typed arrays
   * @throws (rejects) {HyperKnowError} ERR_HK_UNKNOWN_ID, ERR_HK_BACKEND; {TypeError, RangeError} for bad arguments
   * @example
   * const batch = await model.recommendBatch(model.userIds, { k: 2 });
   * const best = model.itemIds[batch.items[0]!]; // the first item of the first user
   * const lists = model.userIds.map((user, i) => ({ user, list: batch.list(i) }));
   */
  async recommendBatch(users: Iterable<Id> | Float32Array, options?: RecommendBatchOptions): Promise<RecommendationBatch> {
    return recommendBatch(this.#open(), users, options);
  }

  /**
   * `recommendBatch` there and then, on the CPU: for a handful of users, as a server has at once, faster than waiting for threads. 12 users
   * take about as long as two one by one.
   *
   * @throws {HyperKnowError} ERR_HK_UNKNOWN_ID; {TypeError, RangeError} for bad arguments
   * @example
   * const waiting = ['ann', 'bob'];
   * const answers = model.recommendBatchSync(waiting, { k: 2 });
   * const first = answers.list(0); // [{ item, distance }, …] for ann
   */
  recommendBatchSync(users: Iterable<Id> | Float32Array, options?: RecommendBatchSyncOptions): RecommendationBatch {
    return recommendBatchSync(this.#open(), users, options);
  }

  /**
   * The k items nearest to an item, itself left out.
   *
   * @param item an item's id, or a point such as `foldInItem` returns
   * @throws {HyperKnowError} ERR_HK_UNKNOWN_ID; {TypeError, RangeError} for bad arguments
   * @example
   * const alike = model.similarItems('lamp', 3); // [{ item, distance }, …]
   */
  similarItems(item: Id | Float32Array, k: number = 20, options?: FilterOptions): Recommendation[] {
    return similarItems(this.#open(), item, k, options);
  }

  /**
   * The k users nearest to a user, themselves left out.
   *
   * @param user a user's id, or a point such as `foldInUser` and `foldInItem` return
   * @throws {HyperKnowError} ERR_HK_UNKNOWN_ID; {TypeError, RangeError} for bad arguments
   * @example
   * const [nearest] = model.similarUsers('ann', 1); // { user, distance }
   */
  similarUsers(user: Id | Float32Array, k: number = 20): SimilarUser[] {
    return similarUsers(this.#open(), user, k);
  }

  /**
   * Why an item stands where it does for a user: distance and rank, the item's triples by the attention they get, the user's items that
   * share them, and what would be without the first of them.
   *
   * @throws {HyperKnowError} ERR_HK_UNKNOWN_ID
   * @example
   * const { rank, neighbors } = model.explain('ann', 'rug');
   * const [reason] = neighbors; // { relation: 'designer', entity: 'Studio North', attention: …, via: ['lamp'] }
   */
  explain(user: Id, item: Id): Explanation {
    return explain(this.#open(), user, item);
  }

  /**
   * A point for a user who was not there at training, from the ids of their items, at least one. Some milliseconds; nothing is retrained.
   *
   * @throws {HyperKnowError} ERR_HK_UNKNOWN_ID; {TypeError, RangeError} for bad arguments
   * @example
   * const basket = ['lamp', 'desk'];
   * const guest = model.foldInUser(basket);
   * const list = model.recommend(guest, 10, { exclude: basket });
   */
  foldInUser(items: Iterable<Id>): Float32Array {
    return foldInUser(this.#open(), items);
  }

  /**
   * A point for an item that was not there at training, from its triples { relation, tail }, at least one: where training would put it if the
   * users of the items that share most with it had it. Some milliseconds, and once for a model as long as setting up a training.
   *
   * @throws {HyperKnowError} ERR_HK_UNKNOWN_ID; {TypeError, RangeError} for bad arguments
   * @example
   * const launch = model.foldInItem([{ relation: 'designer', tail: 'Studio North' }]);
   * const audience = model.similarUsers(launch, 5); // the users it would be recommended to first
   * const alike = model.similarItems(launch, 5);
   */
  foldInItem(triples: Iterable<ItemTriple>): Float32Array {
    return foldInItem(this.#open(), triples);
  }

  /**
   * [items] the weight of L_K of every item, σ(β_v) where it is learned: how much the graph was found to say about it.
   *
   * @example
   * const weights = model.itemWeights();
   * const mostKnowing = model.itemIds[weights.indexOf(Math.max(...weights))];
   */
  itemWeights(): Float32Array {
    return itemWeights(this.#open());
  }

  /**
   * Which part of the graph helps: for every relation the attention its triples get, weighed by σ(β_v) of the items.
   *
   * @example
   * const { relations } = await model.graphInfluence();
   * for (const { relation, share, meanWeight } of relations) console.error(relation, share, meanWeight);
   */
  graphInfluence(): Promise<GraphInfluence> {
    return this.#inTurns(graphInfluence);
  }

  /**
   * Radii of all tables, what stands at the boundary, and what float32 and vector engines lose there.
   *
   * @example
   * const { items, warnings } = await model.diagnostics();
   * if (items.atBoundary > 0) console.error(warnings.join('\n'));
   */
  diagnostics(): Promise<Diagnostics> {
    return this.#inTurns(radiusDiagnostics);
  }

  /**
   * Users and items on the hyperboloid, [n, dim + 1] with the time coordinate first: a larger Minkowski product −U₀V₀ + Σ UᵢVᵢ is a smaller
   * distance.
   *
   * X₀ = (1 + c‖x‖²) / (√c (1 − c‖x‖²)), Xᵢ = 2xᵢ / (1 − c‖x‖²), and d(u, v) = arcosh(−c⟨U, V⟩)/√c. For an engine that knows only the plain inner
   * product, change the sign of the users' first coordinate; `exportModel` does it. The Euclidean variants have U = (1/2, u), V = (‖v‖², v).
   *
   * @example
   * const { users, items } = model.toLorentz();
   * const columns = model.dim + 1;
   * const product = (u: number, v: number): number => {
   *   let sum = -users[u * columns]! * items[v * columns]!;
   *   for (let i = 1; i < columns; ++i) sum += users[u * columns + i]! * items[v * columns + i]!;
   *   return sum; // of two items, the one with the larger product is nearer
   * };
   */
  toLorentz(): LorentzPoints {
    return toLorentz(this.#open());
  }

  /**
   * Writes one safetensors file; an older one at `path` is replaced in one step or stays whole.
   *
   * @throws {HyperKnowError} ERR_HK_IO; ERR_HK_DIVERGED if a number is not finite
   * @example
   * await model.save('model.safetensors');
   */
  async save(path: string): Promise<void> {
    const model = new Model(this.#open()); // as it is now, whatever becomes of this one
    checkPath(path);
    const { saveEmbedding } = await import('./artifact.ts'); // what reads and writes files is loaded with the first
    await saveEmbedding(model, path);
  }

  /**
   * Reads a file of `save` and checks all of it.
   *
   * @throws {HyperKnowError} ERR_HK_IO; ERR_HK_MODEL_FILE if it is damaged, no model, or of a newer format
   * @example
   * await model.save('model.safetensors');
   * const same = await Model.load('model.safetensors');
   */
  static async load(path: string): Promise<Model> {
    checkPath(path);
    const { loadEmbedding } = await import('./artifact.ts');
    return new Model(await loadEmbedding(path));
  }

  /** Whether `close` was called. */
  get closed(): boolean {
    return this.#closed;
  }

  /** Lets go of all arrays: they are empty from now on. May be called more than once. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    releaseItems(this);
    const none = { offsets: new Uint32Array(1), items: new Uint32Array(0), relations: new Uint32Array(0), tails: new Uint32Array(0) };
    const empty: Partial<Embedding> = {
      ...{ users: new Float32Array(0), entities: new Float32Array(0), relations: new Float32Array(0), beta: new Float32Array(0) },
      ...{ graph: none, seen: none, userIds: [], itemIds: [], entityIds: [], relationIds: [] },
    };
    Object.assign(this, empty, this.blend ? { blend: { ...this.blend, train: none } } : {});
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #open(): this {
    if (this.#closed) throw new HyperKnowError('ERR_HK_DISPOSED', 'the model was closed');
    return this;
  }

  async #inTurns<T>(work: (model: Embedding) => Generator<undefined, T, undefined>): Promise<T> {
    return finishInTurns(work(this.#open()));
  }
}

/** The same model with lists by distance alone. */
export function byDistance({ blend: _blend, ...rest }: Model): Model {
  return new Model(rest);
}

/**
 * Of functions that take a model.
 *
 * @throws {TypeError} if it is none; {HyperKnowError} ERR_HK_DISPOSED if it was closed
 */
export function checkModel(value: unknown): Model {
  if (!(value instanceof Model)) throw argumentError('type', 'model', `must be a Model, got ${show(value)}`);
  if (value.closed) throw new HyperKnowError('ERR_HK_DISPOSED', 'the model was closed');
  return value;
}

function checkPath(path: unknown): string {
  if (typeof path !== 'string' || path === '') throw argumentError('type', 'path', `must be the path of a file, got ${show(path)}`);
  return path;
}
