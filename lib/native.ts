import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { HyperKnowError } from './errors.ts';

/** One way of computing that this build knows. `reason` says why it cannot be used here; it is absent where it can. */
export interface BackendInfo {
  /** 'cpu', 'cuda', or in test builds 'cuda-on-host'. */
  name: string;
  /** Processor or card, with the instruction set in use. */
  device: string;
  /** Memory of the device in bytes; 0 if the backend is unusable. */
  memoryBytes: number;
  reason?: string;
}

/** A computation on a thread of its own. */
export interface NativeJob<T> {
  promise: Promise<T>;
  /** Stops at the next step; the promise then rejects with an AbortError. */
  cancel(): void;
}

/** Everything a training run needs to be told once. All arrays are copied. */
export interface TrainerConfig {
  backend: string;
  threads: number;
  dim: number;
  users: number;
  items: number;
  entities: number;
  relations: number;
  /** Training interactions, CSR by user, items ascending and distinct. */
  trainOffsets: Uint32Array;
  trainItems: Uint32Array;
  /** item → triples, CSR; any order within an item, sorted by relation is fastest. */
  graphOffsets: Uint32Array;
  graphRelations: Uint32Array;
  graphTails: Uint32Array;
  seed: number;
  batchSize: number;
  /** 0: L_R is Eq. 3, one negative a sample. Else sampled softmax over so many negatives, all items at most, that a batch shares. */
  sharedNegatives: number;
  /** 'poincare', or 'euclidean': the limit c → 0, distance 2‖x − y‖. */
  geometry: 'poincare' | 'euclidean';
  /** c > 0; the start value where `learnCurvature`. Points live in the unit ball and distances are scaled by 1/√c. */
  curvature: number;
  learnCurvature: boolean;
  parameters: 'tangent' | 'ball';
  /** false: L = L_R alone (BPR+E, BPR+H). */
  knowledge: boolean;
  /** false: every neighbour has attention 1 and relations are not used (BPR+Avg+H). */
  attention: boolean;
  /** true: β learned by the bilevel step; false: every weight σ(β_v) is `knowledgeWeight`. */
  adaptive: boolean;
  /** Weight of L_K: the fixed one, or where σ(β_v) starts. */
  knowledgeWeight: number;
  /** T of the attention exp(−d/T) */
  attentionTemperature: number;
  learningRate: number;
  betaLearningRate: number;
  curvatureLearningRate: number;
  /** α of the lookahead Θ̃ = Θ − α ∇J_inner. */
  innerLearningRate: number;
  /**
   * λ: weight of ‖u‖² + ‖v‖² + ‖v′‖² of every sample (u, v, v′), in the coordinates that are trained; of shared negatives, once for the batch.
   */
  regularization: number;
  /** 'touched': Adam moves the rows of the batch; 'exact': equal bit for bit to dense Adam, missed steps are replayed; 'dense'. */
  adam: 'touched' | 'exact' | 'dense';
  /**
   * Every `averageEvery` steps the parameters of users, entities and relations enter a moving average with this decay, in [0, 1); it is then
   * what `topK` and `read` see, while training goes on from the last iterate. 0: none is kept.
   */
  averageDecay: number;
  averageEvery: number;
  /** Parameters start uniform in [−initScale, initScale]. */
  initScale: number;
  /** Every kernel is waited for and measured: `EpochResult.kernelSeconds`. */
  timeKernels: boolean;
}

export interface EpochResult {
  steps: number;
  samples: number;
  /** Means over the samples of the epoch: L_R, and Σ σ(β_v) L_K(v). Both NaN only if training diverged. */
  rankingLoss: number;
  knowledgeLoss: number;
  /** Training time of this epoch in seconds. */
  seconds: number;
  /** 1/√c after the epoch. */
  scale: number;
  /** Kernel → seconds in this epoch; empty unless kernels are timed. */
  kernelSeconds: Record<string, number>;
  /** Of `seconds`, those in which the GPU worked; NaN on the CPU, and where kernels are timed. */
  busySeconds: number;
  /** What training holds of the GPU's memory; 0 on the CPU. */
  memoryBytes: number;
  /** The step, from 1 since training began, with the first loss that is not finite: the epoch ended there. 0: none; on a GPU always. */
  divergedStep: number;
}

/** The trained embeddings, in ball coordinates of radius 1/√curvature (euclidean: curvature 0, plain coordinates). */
export interface TrainedParameters {
  users: Float32Array;
  entities: Float32Array;
  relations: Float32Array;
  /** β_v, one per item; σ(β_v) is the weight of L_K. */
  beta: Float32Array;
  curvature: number;
}

/** Everything that resuming bit for bit needs beside the configuration: parameters, moments, averages, counters. */
export interface TrainerState {
  steps: number;
  tensors: Record<string, Float32Array | Float64Array | Uint32Array>;
}

/** One job at a time. Whatever is long happens on the jobs' threads: the first of them also builds the tables. */
export interface NativeTrainer {
  /** Trains epoch `epoch` (0-based; it selects the shuffle and the negatives); learning rates of Θ and β times learningRateFactor. */
  epoch(epoch: number, learningRateFactor: number): NativeJob<EpochResult>;
  /**
   * The (user, positive, negative) triples of one epoch, in order, without training. A user with no negative gives 0xffffffff three times.
   * `shared`: the negatives that each batch shares, batch after batch; empty where samples have their own.
   */
  samples(epoch: number): { users: Uint32Array; positives: Uint32Array; negatives: Uint32Array; shared: Uint32Array };
  /** Exact full ranking for `users` with the parameters as they are, or their averages where they are kept; see topK. */
  topK(users: Uint32Array, k: number, excludeOffsets: Uint32Array | null, excludeItems: Uint32Array | null): NativeJob<NativeTopK>;
  read(): NativeJob<TrainedParameters>;
  /** [items] β_v alone. */
  beta(): NativeJob<Float32Array>;
  /** `read`, then `dispose`: in less memory than one after the other. Every later call throws ERR_HK_DISPOSED. */
  finish(): NativeJob<TrainedParameters>;
  state(): NativeJob<TrainerState>;
  /** The arrays of `state` must not change until the job is done. */
  restore(state: TrainerState): NativeJob<void>;
  /** Frees native memory now; every later call throws ERR_HK_DISPOSED. */
  dispose(): void;
}

/** Items that many calls of topK rank, copied and prepared once. Results are the same to the bit as with the points themselves. */
export interface NativeItemTable {
  /**
   * Whether these are the points that the table was made of. Of a table of more than 2¹⁶ numbers 32 rows are compared, unless `whole`.
   */
  matches(items: Float32Array, whole: boolean): boolean;
  /** Frees native memory, once no job uses it; every later call with the table throws ERR_HK_DISPOSED. */
  dispose(): void;
}

export interface NativeTopK {
  items: Uint32Array;
  distances: Float32Array;
}

export interface BilevelStep {
  /** [samples] */
  loss: Float32Array;
  scaleGradient: number;
  users: Float32Array;
  entities: Float32Array;
  relations: Float32Array;
  /** [items] */
  hypergradient: Float32Array;
}

/** Points, and the triples of items among them. */
type GraphTables = [
  entities: Float32Array,
  relations: Float32Array,
  dim: number,
  offsets: Uint32Array,
  graphRelations: Uint32Array,
  tails: Uint32Array,
];

/** Samples (u, v, v′), column by column; or the negatives that all of them share. */
type SampleColumns = [users: Uint32Array, positives: Uint32Array, negatives: Uint32Array];

/** What topK ranks for whom, and leaves out. */
type RankingArguments = [
  users: Float32Array,
  items: Float32Array | NativeItemTable,
  dim: number,
  k: number,
  excludeOffsets: Uint32Array | null,
  excludeItems: Uint32Array | null,
  curvature: number,
];

/**
 * The addon. Every function checks its arguments completely and throws TypeError or RangeError with the argument's name
 * before it computes anything. Curvature 0 stands for the Euclidean limit (distance 2‖x − y‖) wherever a curvature is taken here.
 */
export interface Native {
  backends(): BackendInfo[];
  poincareDistance(backend: string, x: Float32Array, y: Float32Array, dim: number, curvature: number): Float32Array;
  poincareDistanceGradient(
    backend: string,
    x: Float32Array,
    y: Float32Array,
    dim: number,
    upstream: Float32Array,
    curvature: number,
  ): { gradX: Float32Array; gradY: Float32Array };
  neighborhood(...args: [backend: string, ...graph: GraphTables, items: Uint32Array, curvature: number, temperature: number]): {
    midpoint: Float32Array;
    attention: Float32Array;
    distance: Float32Array;
  };
  neighborhoodGradient(
    ...args: [backend: string, ...graph: GraphTables, items: Uint32Array, upstream: Float32Array, curvature: number, temperature: number]
  ): {
    entities: Float32Array;
    relations: Float32Array;
  };
  hypergradient(
    ...args: [
      backend: string,
      users: Float32Array,
      ...graph: GraphTables,
      beta: Float32Array,
      ...inner: SampleColumns,
      ...outer: SampleColumns,
      innerLearningRate: number,
      curvature: number,
    ]
  ): Float32Array;
  /**
   * One training step but for what it does with its gradients, for tests: L_R of each sample, the gradient of J_inner with respect to the distance
   * scale and all of Θ, and ∂J_outer(Θ̃)/∂β for the same batch. `leftOut` null: Eq. 3, one negative a sample; else sampled softmax over `negatives`,
   * which all samples share, bit j % 32 of word ⌊j / 32⌋ of a sample's ⌈S / 32⌉ words saying that it leaves negative j out (and set for j ≥ S).
   */
  bilevelStep(
    ...args: [
      backend: string,
      users: Float32Array,
      ...graph: GraphTables,
      beta: Float32Array,
      ...batch: SampleColumns,
      leftOut: Uint32Array | null,
      innerLearningRate: number,
      scale: number,
      curvature: number,
    ]
  ): BilevelStep;
  /** A table is used with the dim and curvature that it was made with. */
  topK(...args: [backend: string, ...ranking: RankingArguments]): NativeTopK;
  /** The same on a thread of its own, over `threads` threads; inputs are copied, a table is not. */
  topKAsync(...args: [backend: string, threads: number, ...ranking: RankingArguments]): NativeJob<NativeTopK>;
  ItemTable: new (items: Float32Array, dim: number, curvature: number) => NativeItemTable;
  Trainer: {
    new (config: TrainerConfig): NativeTrainer;
    /** The bytes that such a trainer will hold on its backend, counted by setting one up on a backend that only counts. */
    plan(config: TrainerConfig): { parameters: number; graph: number; steps: number };
  };
}

const root = fileURLToPath(new URL('..', import.meta.url));

function load(): Native {
  const require = createRequire(import.meta.url);
  try {
    return require('node-gyp-build')(root) as Native;
  } catch (cause) {
    throw new HyperKnowError(
      'ERR_HK_BACKEND',
      `the native addon of hyper-know does not load (${(cause as Error).message}); build it with \`npm rebuild hyper-know\`, or in a clone with \`npm run build:native\``,
      { cause },
    );
  }
}

export const native: Native = load();

/**
 * What this build and this machine can run, best first. An unusable backend is listed with its `reason`.
 *
 * @example
 * const hasGpu = backends().some(({ name, reason }) => name === 'cuda' && reason === undefined);
 */
export function backends(): BackendInfo[] {
  return native.backends();
}

/** The backend a caller's `backend` option stands for. @throws {HyperKnowError} ERR_HK_BACKEND, with the reason, if it cannot run here */
export function resolveBackend(backend: string): string {
  const known = native.backends();
  if (backend === 'auto') return (known.find((b) => b.name === 'cuda' && b.reason === undefined) ?? { name: 'cpu' }).name;
  const found = known.find((b) => b.name === backend);
  if (found === undefined || found.reason !== undefined)
    throw new HyperKnowError('ERR_HK_BACKEND', `backend '${backend}' cannot run here: ${found?.reason ?? 'this build does not have it'}`);
  return backend;
}
