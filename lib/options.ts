import { availableParallelism } from 'node:os';
import { checkBackend, checkBoolean, checkInteger, checkNumber, checkOneOf, checkOptions, show } from './check.ts';
import { argumentError } from './errors.ts';
import type { Metrics } from './evaluate.ts';
import { Model } from './model.ts';
import { AVERAGING, type BlendWeights, type Hyperparameters, PRESETS, type PresetName, SHARED_ENTITIES, SHARED_USERS } from './presets.ts';
import type { Schedule } from './schedule.ts';
import { VARIANTS, type Variant, type VariantName } from './variants.ts';

/** What happened in one epoch. */
export interface EpochEvent {
  /** From 1. */
  epoch: number;
  /** Steps since the beginning of training. */
  step: number;
  /** rankingLoss + knowledgeLoss, means over the samples of the epoch: L_R of Eq. 3 and σ(β_v)·L_K of Eq. 9. */
  loss: number;
  rankingLoss: number;
  knowledgeLoss: number;
  /** Training time of this epoch in seconds; evaluation and saving are not in it. */
  seconds: number;
  /** c after this epoch; it moves only where it is learned. 0 in the Euclidean variants. */
  curvature: number;
  /** Kernel → seconds, where the environment has HYPER_KNOW_TIME_KERNELS=1: every kernel is then waited for. */
  kernelSeconds?: Record<string, number>;
  /** On a GPU: those of `seconds` in which it worked, and what training holds of its memory. */
  device?: { busySeconds: number; memoryBytes: number };
  /** Validation metrics, in the epochs that were evaluated. */
  metrics?: Metrics;
  /** Of the test split, in the same epochs; only with `monitorTest`. */
  testMetrics?: Metrics;
  /** Quantiles of the weight σ(β_v) over the items, in the epochs that were evaluated; only where β is learned. */
  knowledgeWeight?: { p10: number; p50: number; p90: number };
  /** [items] σ(β_v) of every item, in the epochs that were evaluated; only where β is learned and the option `itemWeights` is true. */
  itemWeights?: Float32Array;
}

/** Of `train`; what is left out comes from the preset. Names that are not known are refused. */
export interface TrainOptions {
  /** Where unset options come from: 'tuned' (default), 'softmax', whose epochs take several times as long and rank better, or 'paper'. */
  preset?: PresetName;
  /** Row of the paper's Table 3; default 'hyper-know'. */
  variant?: VariantName;
  /** 'adaptive': β is learned, one per item; a number: the fixed weight of L_K. Default as the variant has it. */
  beta?: 'adaptive' | number;
  /** Size of the embedding, 1 to 4096. */
  dim?: number;
  /** c > 0, or 'learned': distances are then scaled by a learned 1/√c. Has no meaning in the Euclidean variants. */
  curvature?: number | 'learned';
  /** Default: as many as make the preset's number of steps. */
  epochs?: number;
  batchSize?: number;
  /** Adam's rate for users, entities and relations. */
  learningRate?: number;
  /**
   * L_R of a sample (u, v). 'bpr': Eq. 3, against one item v′ that u has not in training. 'sampled-softmax':
   * ln(1 + Σ_j exp(d(u, v) − d(u, v′_j))), against uniform items v′_j that the whole batch shares, those left out that u has in training.
   */
  loss?: 'bpr' | 'sampled-softmax';
  /** How many items a batch shares as negatives, 1 to 65536; all items at most. Has no meaning with 'bpr'. */
  negatives?: number;
  /** 'decay': the rates of Θ and β fall over the second half of the epochs. */
  schedule?: Schedule;
  betaLearningRate?: number;
  curvatureLearningRate?: number;
  /** α of the lookahead Θ̃ = Θ − α ∇J_inner. Default: the learning rate. */
  innerLearningRate?: number;
  /**
   * λ: weight of ‖u‖² + ‖v‖² + ‖v′‖² of every sample (u, v, v′), in the coordinates that are trained; of negatives that a batch shares, once for
   * the batch.
   */
  regularization?: number;
  /** 'touched' moves the rows of a batch; 'exact' equals 'dense' bit for bit, which moves all rows at every step. */
  adam?: 'touched' | 'exact' | 'dense';
  /**
   * The model is a moving average of users, entities and relations, in the coordinates that are trained, taken every `every` steps (default 8)
   * with weight `decay` (default 0.95) for what was before; true stands for the defaults. Steps of stochastic gradients go on wandering around
   * a minimum, and the mean of where they were is nearer to it than the last of them (Polyak and Juditsky, 1992). Training itself goes on
   * from the last iterate; β and a learned curvature are not averaged: distances keep their order whatever they are. Validation, the best
   * epoch and the saved model see the average.
   */
  averaging?: boolean | { decay?: number; every?: number };
  /** Where the weight σ(β_v) starts, in (0, 1), or the fixed weight of a variant that does not learn it; the defaults of the two differ. */
  knowledgeWeight?: number;
  /**
   * T: the attention of Eq. 4 becomes exp(−d(v ⊕ r, t)/T), above 0. 30 by default, 1 in the paper; the larger T, the more alike the weights of an
   * item's neighbours, up to those of `variant: 'bpr-avg-h'`, which all count alike.
   */
  attentionTemperature?: number;
  /**
   * The graph also gets a relation 'shares rare entities with' between items: every item has it to the `perItem` (default 10) others that share
   * most with it, Σ ln(items / n_e) over the common tails e that n_e ≤ `mostItems` (default 300) items have; true stands for the defaults.
   * What is two steps away in the graph, by way of something rare, becomes a neighbour. Has no meaning in the variants without knowledge.
   */
  sharedEntities?: boolean | { mostItems?: number; perItem?: number };
  /**
   * The graph also gets a relation 'is had by the users of' between items: every item has it to the `perItem` (default 10) others with
   * the largest |v ∩ w| / (√|v| √|w| + `shrinkage`) (default 10) of those that at least `leastUsers` (default 2) users have as well, where an item
   * is the set of its training users; true stands for the defaults. That is the similarity of item-based nearest neighbours, in which
   * popularity is divided out. Has no meaning in the variants without knowledge.
   */
  sharedUsers?: boolean | { leastUsers?: number; perItem?: number; shrinkage?: number };
  /**
   * Lists go by a blend of three scores, each divided by the largest of an item that the user has not in training,
   *
   *   (1 − w₁ − w₂) · exp((d(u, v₁) − d(u, v))/2) + w₁ · k₁(u, v) + w₂ · k₂(u, v),
   *
   * where v₁ is the nearest of these items, k₁ is the score of `itemKnn` and k₂ that of `attributeKnn`, with their defaults, of training interactions
   * and of the data's own triples. Training and the choice of the epoch are as without: it is a matter of ranking, of `recommend`, `recommendBatch`,
   * `evaluate` and `explain`. `{ itemKnn, attributeKnn }` are w₁ and w₂, default 0, together below 1. 'validation' (or true) takes of
   * `BLEND_WEIGHTS`, the model alone among them, what has most of validation recall@20 and NDCG@20, each divided by the best of all; without a
   * validation split it takes the model alone. Neighbours by `similarItems`, and vectors that are exported, go by distance whatever this says.
   */
  neighborBlend?: boolean | 'validation' | Partial<BlendWeights>;
  /** Parameters start uniform in [−initScale, initScale]. */
  initScale?: number;
  /** 'tangent': tangent vectors at the origin, x = exp_0(w); 'ball': coordinates, projected after every step. */
  parameters?: 'tangent' | 'ball';
  /** Integer in [0, 2^53). Default 1. */
  seed?: number;
  backend?: 'cpu' | 'cuda' | 'auto';
  /** Default: as many as the machine runs at once. Results do not depend on it. */
  threads?: number;
  /** Same bits every time. Every backend does that anyway. */
  deterministic?: boolean;
  /** Epochs between two validations. */
  evaluateEvery?: number;
  /**
   * Also measures the test split where validation is measured, as `testMetrics` of the event, both definitions of NDCG. Nothing in training looks at it:
   * it is for saying what selecting the epoch on the test split would have shown. Default false.
   */
  monitorTest?: boolean;
  /**
   * Stop when validation recall@20 has not risen for `patience` steps, and keep the best epoch. Default true with the preset's patience;
   * false: all epochs are trained and the last is kept. Without a validation split it is always false.
   */
  earlyStopping?: boolean | { patience: number };
  /**
   * Writes everything that continuing needs to `path`, whole or not at all, every `every` epochs (default 1) and on abort. One that comes less than `minSeconds`
   * (default 0) after the one before, or after the beginning, is left out: of a large model it takes longer than some epochs.
   */
  checkpoint?: { path: string; every?: number; minSeconds?: number };
  /** Continues from a checkpoint; the data and all other options must be the same. The model comes out the same bit for bit. */
  resume?: string;
  /**
   * A model, or the path of its file, to begin with: users, items, entities, relations and β start where it has the same ids; new users
   * and items start folded in, everything else as usual; moments and the schedule start anew. Its dim, parameters and curvature must be
   * those of this training. For data that have grown: the metrics of a training from the beginning come after clearly fewer epochs, so
   * give `epochs`, too.
   */
  warmStart?: Model | string;
  signal?: AbortSignal;
  /** Whether events hold `itemWeights`: 4 bytes an item and evaluation, kept as long as the run. Default false. */
  itemWeights?: boolean;
  /** Called after every epoch with what the iteration yields, and waited for; if it throws or rejects, training ends with that error. */
  onEpoch?: (event: EpochEvent) => unknown;
}

/** Options with every default in place. */
export interface ResolvedOptions {
  preset: PresetName;
  variant: Readonly<Variant>;
  adaptive: boolean;
  hyperparameters: Hyperparameters;
  /** Where the curvature starts. */
  curvature: number;
  innerLearningRate: number;
  monitorTest: boolean;
  earlyStopping: boolean;
  seed: number;
  backend: string;
  threads: number;
  checkpoint?: { path: string; every: number; minSeconds: number };
  resume?: string;
  warmStart?: Model | string;
  signal?: AbortSignal;
  itemWeights: boolean;
  onEpoch?: (event: EpochEvent) => unknown;
}

const KNOWN = [
  'preset',
  'variant',
  'beta',
  'dim',
  'curvature',
  'epochs',
  'batchSize',
  'learningRate',
  'loss',
  'negatives',
  'schedule',
  'betaLearningRate',
  'curvatureLearningRate',
  'innerLearningRate',
  'regularization',
  'adam',
  'averaging',
  'knowledgeWeight',
  'attentionTemperature',
  'sharedEntities',
  'sharedUsers',
  'neighborBlend',
  'initScale',
  'parameters',
  'seed',
  'backend',
  'threads',
  'deterministic',
  'evaluateEvery',
  'monitorTest',
  'earlyStopping',
  'checkpoint',
  'resume',
  'warmStart',
  'signal',
  'itemWeights',
  'onEpoch',
] as const;

/** Curvatures that may be given, and learned. */
export const LEAST_CURVATURE = 1e-12;
export const MOST_CURVATURE = 1e12;

/** Checks the options of `train` and fills in the preset. `interactions` are the training interactions, `validated` whether there is a validation split. */
export function resolveOptions(options: TrainOptions | undefined, interactions: number, validated: boolean): ResolvedOptions {
  const given = checkOptions<TrainOptions>('options', options, KNOWN);
  const presetName = checkOneOf('preset', given.preset ?? 'tuned', Object.keys(PRESETS) as PresetName[]);
  const name = checkOneOf(
    'variant',
    given.variant ?? 'hyper-know',
    VARIANTS.map((variant) => variant.name),
  );
  const variant = VARIANTS.find((row) => row.name === name)!;
  const { euclidean, steps, pace, evaluations, learnedCurvatureStart, fixedKnowledgeWeight, ...base } = PRESETS[presetName];
  const preset = { ...base, ...(variant.geometry === 'euclidean' ? euclidean : {}) };
  const positive = (option: keyof TrainOptions, fallback: number): number =>
    checkNumber(option, given[option] ?? fallback, 0, Number.MAX_VALUE, true);
  const notNegative = (option: keyof TrainOptions, fallback: number): number => checkNumber(option, given[option] ?? fallback, 0);

  const beta = given.beta ?? (variant.adaptive ? 'adaptive' : undefined);
  if (beta !== undefined && beta !== 'adaptive') checkNumber('beta', beta, 0, 1e6);
  const adaptive = beta === 'adaptive' && variant.knowledge;
  const knowledgeWeight = checkNumber(
    'knowledgeWeight',
    typeof beta === 'number' ? beta : (given.knowledgeWeight ?? (adaptive ? preset.knowledgeWeight : fixedKnowledgeWeight)),
    0,
    1e6,
  );
  if (adaptive && !(knowledgeWeight > 0 && knowledgeWeight < 1))
    throw argumentError('range', 'knowledgeWeight', `must lie between 0 and 1 where β is learned, got ${show(knowledgeWeight)}`);
  const curvature = given.curvature ?? preset.curvature;
  if (curvature !== 'learned') checkNumber('curvature', curvature, LEAST_CURVATURE, MOST_CURVATURE);
  const batchSize = checkInteger('batchSize', given.batchSize ?? preset.batchSize, 1, 1 << 24);
  const stepsPerEpoch = Math.max(1, Math.ceil(interactions / batchSize));
  const paced = pace ? Math.min(pace.most, Math.max(pace.least, pace.rate * Math.sqrt(interactions))) : preset.learningRate;
  const learningRate = positive('learningRate', paced);
  const planned = pace ? Math.min(1e5, pace.work / learningRate) : steps / stepsPerEpoch;
  const epochs = checkInteger('epochs', given.epochs ?? Math.max(1, Math.ceil(planned)), 0, 1e9);
  const { earlyStopping = true } = given;
  if (typeof earlyStopping !== 'boolean') checkOptions('earlyStopping', earlyStopping, ['patience']);
  const patience = checkInteger(
    'earlyStopping.patience',
    typeof earlyStopping === 'boolean' || earlyStopping.patience === undefined ? preset.patience : earlyStopping.patience,
    1,
  );
  const adam = checkOneOf('adam', given.adam ?? preset.adam, ['touched', 'exact', 'dense']);
  const averaging = resolveAveraging(given.averaging ?? preset.averaging);
  const sharedEntities = resolveSharedEntities(given.sharedEntities ?? preset.sharedEntities);
  const sharedUsers = resolveSharedUsers(given.sharedUsers ?? preset.sharedUsers);
  if (given.deterministic !== undefined) checkBoolean('deterministic', given.deterministic);
  const innerLearningRate = given.innerLearningRate ?? preset.innerLearningRate;

  const resolved: ResolvedOptions = {
    preset: presetName,
    variant,
    adaptive,
    hyperparameters: {
      dim: checkInteger('dim', given.dim ?? preset.dim, 1, 4096),
      curvature,
      parameters: checkOneOf('parameters', given.parameters ?? preset.parameters, ['tangent', 'ball']),
      epochs,
      batchSize,
      learningRate,
      loss: checkOneOf('loss', given.loss ?? preset.loss, ['bpr', 'sampled-softmax']),
      negatives: checkInteger('negatives', given.negatives ?? preset.negatives, 1, 1 << 16),
      schedule: checkOneOf('schedule', given.schedule ?? preset.schedule, ['constant', 'decay']),
      betaLearningRate: notNegative('betaLearningRate', preset.betaLearningRate),
      curvatureLearningRate: notNegative('curvatureLearningRate', preset.curvatureLearningRate),
      innerLearningRate,
      regularization: notNegative('regularization', preset.regularization),
      adam,
      averaging,
      knowledgeWeight,
      attentionTemperature: checkNumber('attentionTemperature', given.attentionTemperature ?? preset.attentionTemperature, 1e-6, 1e6),
      sharedEntities: variant.knowledge && sharedEntities,
      sharedUsers: variant.knowledge && sharedUsers,
      neighborBlend: resolveNeighborBlend(given.neighborBlend ?? preset.neighborBlend),
      initScale: checkNumber('initScale', given.initScale ?? preset.initScale, 0, 1),
      evaluateEvery: checkInteger('evaluateEvery', given.evaluateEvery ?? Math.max(1, Math.round(epochs / evaluations)), 1),
      patience,
    },
    curvature: curvature === 'learned' ? learnedCurvatureStart : curvature,
    innerLearningRate: innerLearningRate === 'learningRate' ? learningRate : checkNumber('innerLearningRate', innerLearningRate, 0),
    monitorTest: checkBoolean('monitorTest', given.monitorTest ?? false),
    earlyStopping: earlyStopping !== false && validated,
    seed: checkInteger('seed', given.seed ?? 1, 0),
    backend: checkBackend(given.backend ?? 'auto', ['cpu', 'cuda', 'auto']),
    threads: checkInteger('threads', given.threads ?? availableParallelism(), 1, 1024),
    itemWeights: checkBoolean('itemWeights', given.itemWeights ?? false),
  };
  if (given.checkpoint !== undefined) {
    const { path, every = 1, minSeconds = 0 } = checkOptions('checkpoint', given.checkpoint, ['path', 'every', 'minSeconds']);
    resolved.checkpoint = {
      path: checkPath('checkpoint.path', path),
      every: checkInteger('checkpoint.every', every, 1),
      minSeconds: checkNumber('checkpoint.minSeconds', minSeconds, 0),
    };
  }
  if (given.resume !== undefined) resolved.resume = checkPath('resume', given.resume);
  if (given.warmStart !== undefined) {
    if (!(given.warmStart instanceof Model) && (typeof given.warmStart !== 'string' || given.warmStart === ''))
      throw argumentError('type', 'warmStart', `must be a Model or the path of one, got ${show(given.warmStart)}`);
    resolved.warmStart = given.warmStart;
  }
  if (given.signal !== undefined) {
    if (!(given.signal instanceof AbortSignal)) throw argumentError('type', 'signal', `must be an AbortSignal, got ${show(given.signal)}`);
    resolved.signal = given.signal;
  }
  if (given.onEpoch !== undefined) {
    if (typeof given.onEpoch !== 'function') throw argumentError('type', 'onEpoch', `must be a function, got ${show(given.onEpoch)}`);
    resolved.onEpoch = given.onEpoch;
  }
  // null is no way to ask for a default.
  for (const name of KNOWN) if (given[name] === null) throw argumentError('type', name, 'must not be null');
  return resolved;
}

function resolveAveraging(value: boolean | { decay?: number; every?: number }): Hyperparameters['averaging'] {
  if (typeof value === 'boolean') return value && { ...AVERAGING };
  const { decay = AVERAGING.decay, every = AVERAGING.every } = checkOptions('averaging', value, ['decay', 'every']);
  return { decay: checkNumber('averaging.decay', decay, 0, 1 - 1e-9), every: checkInteger('averaging.every', every, 1, 1 << 30) };
}

function resolveSharedEntities(value: boolean | { mostItems?: number; perItem?: number }): Hyperparameters['sharedEntities'] {
  if (typeof value === 'boolean') return value && { ...SHARED_ENTITIES };
  const { mostItems = SHARED_ENTITIES.mostItems, perItem = SHARED_ENTITIES.perItem } = checkOptions('sharedEntities', value, [
    'mostItems',
    'perItem',
  ]);
  return {
    mostItems: checkInteger('sharedEntities.mostItems', mostItems, 2, 1e9),
    perItem: checkInteger('sharedEntities.perItem', perItem, 1, 1000),
  };
}

function resolveSharedUsers(value: NonNullable<TrainOptions['sharedUsers']>): Hyperparameters['sharedUsers'] {
  if (typeof value === 'boolean') return value && { ...SHARED_USERS };
  const {
    leastUsers = SHARED_USERS.leastUsers,
    perItem = SHARED_USERS.perItem,
    shrinkage = SHARED_USERS.shrinkage,
  } = checkOptions('sharedUsers', value, ['leastUsers', 'perItem', 'shrinkage']);
  return {
    leastUsers: checkInteger('sharedUsers.leastUsers', leastUsers, 1, 1e9),
    perItem: checkInteger('sharedUsers.perItem', perItem, 1, 1000),
    shrinkage: checkNumber('sharedUsers.shrinkage', shrinkage, 0),
  };
}

function resolveNeighborBlend(value: NonNullable<TrainOptions['neighborBlend']>): Hyperparameters['neighborBlend'] {
  if (typeof value === 'boolean') return value && 'validation';
  if (typeof value === 'string') return checkOneOf('neighborBlend', value, ['validation'] as const);
  const { itemKnn = 0, attributeKnn = 0 } = checkOptions('neighborBlend', value, ['itemKnn', 'attributeKnn']);
  checkNumber('neighborBlend.itemKnn', itemKnn, 0, 1);
  checkNumber('neighborBlend.attributeKnn', attributeKnn, 0, 1);
  if (!(itemKnn + attributeKnn < 1))
    throw argumentError('range', 'neighborBlend', `must leave the model a weight above 0, got ${show(itemKnn)} and ${show(attributeKnn)}`);
  return { itemKnn, attributeKnn };
}

function checkPath(argument: string, value: unknown): string {
  if (typeof value !== 'string' || value === '') throw argumentError('type', argument, `must be a path, got ${show(value)}`);
  return value;
}
