import type { Graph, Id, Interactions } from './data/csr.ts';
import { IdMap, idProblem } from './data/id-map.ts';
import { argumentError, HyperKnowError } from './errors.ts';
import { show } from './check.ts';
import type { BlendWeights, Hyperparameters, PresetName } from './presets.ts';
import type { Protocol } from './protocol.ts';
import { VARIANTS, type Variant, type VariantName } from './variants.ts';

/** How a model came to be; plain JSON. */
export interface TrainingRecord {
  variant: VariantName;
  preset: PresetName;
  /** Every hyper-parameter in force; `beta` is 'adaptive', or the fixed weight of L_K. */
  options: Hyperparameters & { beta: 'adaptive' | number; seed: number; backend: string };
  /** The epoch, counted from 1, whose parameters these are, and the steps up to its end. 0: untrained. */
  epoch: number;
  steps: number;
  /** Validation recall@20 of that epoch, where it was selected by it. */
  validationRecall?: number;
  /** The weights of the option `neighborBlend`, where it was on, and validation recall@20 with them, where validation chose them. */
  neighborBlend?: BlendWeights & { validationRecall?: number };
}

/** What ranking adds to a model's own scores: `neighborBlend` of `TrainOptions`. */
export interface NeighborBlend extends Readonly<BlendWeights> {
  /** Training interactions of each user, which validation interactions are none of. */
  readonly train: Interactions;
}

/** What training leaves behind, and all that recommending, explaining and saving need. */
export interface Embedding {
  /** [users, dim] */
  readonly users: Float32Array;
  /** [entities, dim], items first */
  readonly entities: Float32Array;
  /** [relations, dim] */
  readonly relations: Float32Array;
  /** [items]; σ(β_v) is the weight of L_K where it is learned */
  readonly beta: Float32Array;
  readonly dim: number;
  /** c; points lie in the ball of radius 1/√c. 0 in the Euclidean variants: plain coordinates, distance 2‖x − y‖. */
  readonly curvature: number;
  readonly graph: Graph;
  /** The training and validation items of each user. */
  readonly seen: Interactions;
  /** Where ranking blends; absent where it goes by distance alone. */
  readonly blend?: NeighborBlend;
  readonly userIds: readonly Id[];
  readonly itemIds: readonly Id[];
  readonly entityIds: readonly Id[];
  readonly relationIds: readonly Id[];
  readonly training: TrainingRecord;
  readonly protocol?: Protocol;
}

export type BlendedEmbedding = Embedding & { readonly blend: NeighborBlend };

export function isBlended(model: Embedding): model is BlendedEmbedding {
  return model.blend !== undefined;
}

/** How many relations are the data's own; those that training made come after them. */
export function dataRelations({ relationIds, training: { options } }: Pick<Embedding, 'relationIds' | 'training'>): number {
  return relationIds.length - (options.sharedEntities ? 1 : 0) - (options.sharedUsers ? 1 : 0);
}

export function variantOf({ training }: Embedding): Variant {
  return VARIANTS.find(({ name }) => name === training.variant)!;
}

/** σ(x), where 0 < σ < 1. */
export const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

/** Weight of L_K of an item: σ(β_v), the fixed weight, or 0 where the variant has no L_K. */
export function knowledgeWeight(model: Embedding, item: number): number {
  if (!variantOf(model).knowledge) return 0;
  const { beta } = model.training.options;
  return beta === 'adaptive' ? sigmoid(model.beta[item]!) : beta;
}

const indexes: WeakMap<readonly Id[], IdMap> = new WeakMap();

/**
 * The row of one of the caller's ids.
 *
 * @throws {TypeError} if it can be no id; {HyperKnowError} ERR_HK_UNKNOWN_ID if it is none of `ids`
 */
export function rowOf(what: string, ids: readonly Id[], id: unknown): number {
  const problem = idProblem(id);
  if (problem) throw argumentError('type', what, `${problem}, got ${show(id)}`);
  const row = indexOf(ids).get(id);
  if (row === undefined) throw new HyperKnowError('ERR_HK_UNKNOWN_ID', `${what}: the model does not know ${show(id)}`);
  return row;
}

/** Whether `id` is one of `ids`. */
export function hasId(ids: readonly Id[], id: unknown): boolean {
  return indexOf(ids).get(id) !== undefined;
}

function indexOf(ids: readonly Id[]): IdMap {
  let index = indexes.get(ids);
  if (!index) {
    index = new IdMap();
    for (const id of ids) index.add(id);
    indexes.set(ids, index);
  }
  return index;
}

/** The distinct rows of an iterable of the caller's ids, ascending. */
export function rowsOf(what: string, ids: readonly Id[], given: unknown): Uint32Array {
  if (given === null || typeof given !== 'object' || !(Symbol.iterator in given))
    throw argumentError('type', what, `must be an iterable of ids, got ${show(given)}`);
  const rows = new Set<number>();
  for (const id of given as Iterable<unknown>) rows.add(rowOf(`${what}[${rows.size}]`, ids, id));
  return Uint32Array.from(rows).sort();
}
