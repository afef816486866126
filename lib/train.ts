import type { Checkpoint, Progress } from './checkpoint.ts';
import type { Interactions } from './data/csr.ts';
import type { Dataset } from './data/dataset.ts';
import { splitDigest } from './data/digest.ts';
import { release } from './data/release.ts';
import { finishInTurns, inPieces, PIECE, type Steps } from './data/steps.ts';
import { type Embedding, sigmoid, type TrainingRecord } from './embedding.ts';
import { HyperKnowError } from './errors.ts';
import { checkDataset, evaluateBothSplits, evaluateRanking, type Metrics, meanMetrics, usersAtOnceOn } from './evaluate.ts';
import { Model } from './model.ts';
import {
  backends,
  type EpochResult,
  type NativeJob,
  type NativeTrainer,
  native,
  resolveBackend,
  type TrainedParameters,
} from './native.ts';
import { type EpochEvent, LEAST_CURVATURE, MOST_CURVATURE, type ResolvedOptions, resolveOptions, type TrainOptions } from './options.ts';
import type { BlendWeights } from './presets.ts';
import { dataProtocol, type Protocol, type WarmStartRecord } from './protocol.ts';
import { learningRateFactor } from './schedule.ts';
import { quantiles } from './statistics.ts';
import { type TrainedGraph, trainedGraph, trainerConfig } from './trainer-config.ts';
import { VERSION } from './version.ts';

export type { EpochEvent, TrainOptions } from './options.ts';

/**
 * Trains a model (Algorithm 1). Setting up, the steps, validation and copying parameters run on threads of their own: the caller's event
 * loop stays free.
 *
 * Await the run for the model, iterate it for its epochs, or both; it starts at once either way. Leaving the iteration early does not stop
 * the training, an AbortSignal does: the run then rejects with `signal.reason`, after writing the checkpoint if there is one.
 *
 * @throws {TypeError, RangeError} for bad arguments, at once; {HyperKnowError} ERR_HK_BACKEND at once. The run rejects with
 *   ERR_HK_DIVERGED if a loss stops being finite, ERR_HK_MEMORY, ERR_HK_IO, ERR_HK_MODEL_FILE.
 * @example
 * const run = train(dataset, { dim: 16, epochs: 5, batchSize: 256, seed: 1 });
 * for await (const { epoch, loss, seconds } of run) console.log(epoch, loss, seconds);
 * const trained = await run; // a Model
 */
export function train(dataset: Dataset, options?: TrainOptions): TrainingRun {
  checkDataset(dataset);
  const resolved = resolveOptions(options, dataset.train.items.length, dataset.validation.items.length > 0);
  return new TrainingRun(dataset, resolved, resolveBackend(resolved.backend));
}

/** A training under way: a promise of its model, and an iterable of its epochs. */
export class TrainingRun implements PromiseLike<Model>, AsyncIterable<EpochEvent> {
  readonly #model: Promise<Model>;
  readonly #events: EpochEvent[] = [];
  #ended = false;
  #wake: (() => void)[] = [];

  /** @internal */
  constructor(dataset: Dataset, options: ResolvedOptions, backend: string) {
    this.#model = new Training(dataset, options, backend, (event) => {
      this.#events.push(event);
      this.#notify();
    }).run();
    const end = () => {
      this.#ended = true;
      this.#notify();
    };
    this.#model.then(end, end); // who only iterates meets the error there, and an error nobody waits for is not unhandled twice
  }

  /** Of the promise of the model: `await run`. */
  // biome-ignore lint/suspicious/noThenProperty: a run is awaited like the promise of its model
  then<A = Model, B = never>(
    onModel?: ((model: Model) => A | PromiseLike<A>) | null,
    onError?: ((error: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return this.#model.then(onModel, onError);
  }

  /** Of the promise of the model. */
  catch<B = never>(onError?: ((error: unknown) => B | PromiseLike<B>) | null): Promise<Model | B> {
    return this.#model.catch(onError);
  }

  /** Of the promise of the model. */
  finally(onEnd?: (() => void) | null): Promise<Model> {
    return this.#model.finally(onEnd);
  }

  /** Every epoch once, from the first, however late the iteration begins; throws what the run rejects with. */
  async *[Symbol.asyncIterator](): AsyncGenerator<EpochEvent, void, void> {
    for (let next = 0; ; ++next) {
      while (next >= this.#events.length && !this.#ended) await new Promise<void>((resolve) => this.#wake.push(resolve));
      if (next >= this.#events.length) break;
      yield this.#events[next]!;
    }
    await this.#model;
  }

  #notify(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }
}

const VALIDATION = { k: 20 } as const;
const TEST = { k: 20, ndcg: 'both' } as const;

/** Loaded by the first run that has need of them, as is all that few runs do. */
const checkpoints = () => import('./checkpoint.ts');

class Training {
  readonly #dataset: Dataset;
  readonly #options: ResolvedOptions;
  readonly #backend: string;
  readonly #emit: (event: EpochEvent) => void;
  #trainer!: NativeTrainer;
  #trained!: TrainedGraph;
  #warmStart: WarmStartRecord | null = null;
  #progress: Progress = { epoch: 0, bestStep: 0, bestEpoch: 0, bestRecall: -1 };
  #best: TrainedParameters | null = null;
  #steps = 0;
  /** Where an abort within an epoch leaves the run: the end of the epoch before. */
  #boundary: Checkpoint | null = null;
  /** When the last checkpoint was written, or the run began. */
  #savedAt = performance.now();
  /** What a checkpoint has to agree on. */
  #fingerprint: Record<string, unknown> = {};

  constructor(dataset: Dataset, options: ResolvedOptions, backend: string, emit: (event: EpochEvent) => void) {
    this.#dataset = dataset;
    this.#options = options;
    this.#backend = backend;
    this.#emit = emit;
  }

  async run(): Promise<Model> {
    const { signal, resume, checkpoint, warmStart } = this.#options;
    await null; // the constructor's caller has the run before anything can fail
    signal?.throwIfAborted();
    const model = typeof warmStart === 'string' ? await Model.load(warmStart) : warmStart;
    if (model) (await import('./warm-start.ts')).checkWarmStart(model, this.#options);
    this.#trained = await finishInTurns(trainedGraph(this.#dataset, this.#options), signal);
    signal?.throwIfAborted();
    this.#trainer = new native.Trainer(trainerConfig(this.#dataset, this.#trained, this.#options, this.#backend));
    try {
      if (model) await this.#startFrom(model);
      if (checkpoint || resume !== undefined) this.#fingerprint = await this.#configuration();
      if (resume !== undefined) await this.#restore(await (await checkpoints()).loadCheckpoint(resume, this.#fingerprint));
      await this.#epochs();
      signal?.throwIfAborted();
      return await this.#model();
    } catch (error) {
      if (!signal?.aborted) throw error;
      if (this.#boundary) await (await checkpoints()).saveCheckpoint(this.#options.checkpoint!.path, this.#boundary);
      throw signal.reason;
    } finally {
      this.#trainer.dispose();
    }
  }

  /** Before the first step. */
  async #startFrom(model: Model): Promise<void> {
    const state = await cancellable(this.#trainer.state(), this.#options.signal); // the first job: it sets the trainer up
    const { warmState } = await import('./warm-start.ts');
    const steps = warmState(model, this.#dataset, this.#trained.relationIds, this.#options, state);
    this.#warmStart = await finishInTurns(steps, this.#options.signal);
    await this.#trainer.restore(state).promise;
  }

  /** What a checkpoint has to agree on: every hyper-parameter, the seed, the backend, the data and the model that was begun with. */
  async #configuration(): Promise<Record<string, unknown>> {
    const { hyperparameters, variant, adaptive, seed, earlyStopping } = this.#options;
    const { train: interactions, validation, graph } = this.#dataset;
    const dataset = await finishInTurns(splitDigest(this.#dataset, [interactions, validation], graph), this.#options.signal);
    return {
      ...{ variant: variant.name, adaptive, ...hyperparameters, seed, backend: this.#backend, earlyStopping, dataset },
      ...(this.#warmStart ? { warmStart: this.#warmStart.sha256 } : {}),
    };
  }

  async #epochs(): Promise<void> {
    const { hyperparameters: h, signal, checkpoint, earlyStopping, onEpoch } = this.#options;
    while (this.#progress.epoch < h.epochs && !this.#isStale(earlyStopping ? h.patience : Number.POSITIVE_INFINITY)) {
      const result = await this.#oneEpoch();
      const epoch = ++this.#progress.epoch;
      this.#steps += result.steps;
      const event = this.#eventOf(epoch, result);
      if (epoch % h.evaluateEvery === 0 || epoch === h.epochs) await this.#validate(event);
      if (checkpoint && this.#isCheckpointDue(checkpoint)) {
        this.#boundary = null;
        await (await checkpoints()).saveCheckpoint(checkpoint.path, await this.#snapshot());
        this.#savedAt = performance.now();
      } else if (checkpoint && signal) this.#boundary = await this.#snapshot();
      this.#emit(event);
      await onEpoch?.(event);
      signal?.throwIfAborted();
    }
  }

  #isCheckpointDue({ every, minSeconds }: NonNullable<ResolvedOptions['checkpoint']>): boolean {
    const { epoch } = this.#progress;
    return (
      (epoch % every === 0 || epoch === this.#options.hyperparameters.epochs) && performance.now() - this.#savedAt >= minSeconds * 1000
    );
  }

  /** Whether the best epoch is so many steps ago. */
  #isStale(patience: number): boolean {
    return this.#progress.bestEpoch > 0 && this.#steps - this.#progress.bestStep >= patience;
  }

  async #oneEpoch(): Promise<EpochResult> {
    const { hyperparameters: h, signal } = this.#options;
    const { epoch } = this.#progress;
    const result = await cancellable(this.#trainer.epoch(epoch, learningRateFactor(h.schedule, epoch, h.epochs)), signal);
    const { steps, rankingLoss, knowledgeLoss, divergedStep } = result;
    const curvature = 1 / (result.scale * result.scale);
    const isCurvature = h.curvature !== 'learned' || (curvature >= LEAST_CURVATURE && curvature <= MOST_CURVATURE);
    if (Number.isFinite(rankingLoss + knowledgeLoss) && isCurvature) return result;
    const at =
      divergedStep > 0
        ? `step ${divergedStep} (epoch ${epoch + 1}, batch ${divergedStep - this.#steps})`
        : `epoch ${epoch + 1} (steps ${this.#steps + 1} to ${this.#steps + steps})`;
    const { outermost } = await import('./divergence.ts');
    const where = await finishInTurns(outermost(await this.#trainer.read().promise, h.dim));
    throw diverged(`${at} has L_R ${rankingLoss}, L_K ${knowledgeLoss}${isCurvature ? '' : `, curvature ${curvature}`}; ${where}`);
  }

  #eventOf(epoch: number, result: EpochResult): EpochEvent {
    const { rankingLoss, knowledgeLoss, seconds, scale, kernelSeconds, busySeconds, memoryBytes } = result;
    const curvature = this.#options.variant.geometry === 'euclidean' ? 0 : 1 / (scale * scale);
    const event = { epoch, step: this.#steps, loss: rankingLoss + knowledgeLoss, rankingLoss, knowledgeLoss, seconds, curvature };
    return {
      ...event,
      ...(Object.keys(kernelSeconds).length > 0 ? { kernelSeconds } : {}),
      ...(Number.isNaN(busySeconds) ? {} : { device: { busySeconds, memoryBytes } }),
    };
  }

  /** Adds what validation finds to the event, and keeps the parameters if they are the best so far. */
  async #validate(event: EpochEvent): Promise<void> {
    const { adaptive, earlyStopping, monitorTest, signal, itemWeights } = this.#options;
    if (this.#dataset.validation.items.length > 0) {
      let lists: Uint32Array = new Uint32Array(0);
      const rank = async (users: Uint32Array, k: number, exclude: Interactions) => {
        const job = this.#trainer.topK(users, k, exclude.offsets, exclude.items); // which copies them
        release(exclude.offsets, exclude.items);
        const { items, distances } = await cancellable(job, signal);
        release(lists, distances); // the lists of the users before have been judged
        lists = items;
        return items;
      };
      const wide = Object.assign(rank, { usersAtOnce: usersAtOnceOn(this.#backend) });
      const { validation, test } = monitorTest
        ? await evaluateBothSplits(wide, this.#dataset, { validation: VALIDATION, test: TEST })
        : { validation: await evaluateRanking(wide, this.#dataset, { ...VALIDATION, split: 'validation' }), test: null };
      const metrics: Metrics = meanMetrics(validation);
      event.metrics = metrics;
      if (test) event.testMetrics = meanMetrics(test);
      const recall = metrics.recall[20]!;
      if (recall > this.#progress.bestRecall) {
        this.#progress = { ...this.#progress, bestStep: this.#steps, bestEpoch: event.epoch, bestRecall: recall };
        if (earlyStopping) this.#best = await this.#trainer.read().promise;
      }
      if (adaptive) {
        const weights = await finishInTurns(weightsOf(await this.#trainer.beta().promise));
        const [p10, p50, p90] = quantiles(weights, [0.1, 0.5, 0.9]) as [number, number, number];
        event.knowledgeWeight = { p10, p50, p90 };
        if (itemWeights) event.itemWeights = Float32Array.from(weights);
      }
    }
  }

  async #snapshot(): Promise<Checkpoint> {
    const state = await this.#trainer.state().promise;
    return { progress: { ...this.#progress }, state, best: this.#best, configuration: this.#fingerprint };
  }

  async #restore({ progress, state, best }: Checkpoint): Promise<void> {
    await this.#trainer.restore(state).promise;
    this.#progress = { ...progress };
    this.#best = best;
    this.#steps = state.steps;
  }

  async #model(): Promise<Model> {
    const { hyperparameters, variant, preset, adaptive, seed, earlyStopping } = this.#options;
    const { graph, relationIds } = this.#trained;
    const { userIds, itemIds, entityIds } = this.#dataset;
    const { users, entities, relations, beta, curvature } = this.#best ?? (await this.#trainer.finish().promise);
    this.#trainer.dispose(); // before what is made here takes memory
    for (const [name, values] of Object.entries({ users, entities, relations, beta }))
      if (!(await finishInTurns(areFinite(values)))) throw diverged(`${name} holds a number that is not finite`);
    const { epoch, bestEpoch, bestRecall, bestStep } = this.#progress;
    const selected = earlyStopping && bestEpoch > 0;
    const options = { ...hyperparameters, beta: adaptive ? 'adaptive' : hyperparameters.knowledgeWeight } as const;
    const embedding: Embedding = {
      users,
      entities,
      relations,
      beta,
      dim: hyperparameters.dim,
      curvature,
      graph,
      seen: await finishInTurns(seenBy(this.#dataset)),
      userIds,
      itemIds,
      entityIds,
      relationIds,
      training: {
        variant: variant.name,
        preset,
        options: { ...options, seed, backend: this.#backend },
        epoch: selected ? bestEpoch : epoch,
        steps: selected ? bestStep : this.#steps,
        ...(selected ? { validationRecall: bestRecall } : {}),
      },
      protocol: await this.#protocol(
        { epoch: selected ? bestEpoch : epoch, by: selected ? 'validation recall@20' : 'last epoch' },
        options,
      ),
    };
    return new Model(hyperparameters.neighborBlend ? await this.#blended(embedding, hyperparameters.neighborBlend) : embedding);
  }

  /** With the weights of neighbours, where these are to be chosen by validation and there is any; by 0 and 0 ranking stays with distance. */
  async #blended(embedding: Embedding, given: 'validation' | BlendWeights): Promise<Embedding> {
    const { threads, signal } = this.#options;
    const train = { offsets: this.#dataset.train.offsets.slice(), items: this.#dataset.train.items.slice() };
    let chosen: TrainingRecord['neighborBlend'] = given === 'validation' ? { itemKnn: 0, attributeKnn: 0 } : given;
    if (given === 'validation' && this.#dataset.validation.items.length > 0) {
      const { chooseBlend } = await import('./blend-search.ts');
      chosen = await chooseBlend(embedding, this.#dataset, train, { backend: this.#backend, threads, signal });
    }
    const { itemKnn, attributeKnn } = chosen;
    const { training, protocol } = embedding;
    return {
      ...embedding,
      training: { ...training, neighborBlend: chosen },
      protocol: { ...protocol!, selection: { ...protocol!.selection, neighborBlend: chosen } },
      ...(itemKnn + attributeKnn > 0 ? { blend: { itemKnn, attributeKnn, train } } : {}),
    };
  }

  async #protocol(selection: Omit<Protocol['selection'], 'epochs'>, options: Protocol['options']): Promise<Protocol> {
    const { variant, preset, seed } = this.#options;
    const { train: interactions, validation, test, graph } = this.#dataset;
    const digest = await finishInTurns(splitDigest(this.#dataset, [interactions, validation, test], graph));
    return {
      ...{ version: VERSION, variant: variant.name, preset, seed, options },
      ...dataProtocol(this.#dataset, digest),
      selection: { ...selection, epochs: this.#progress.epoch },
      backend: this.#backend,
      device: backends().find(({ name }) => name === this.#backend)!.device,
      ...(this.#warmStart ? { warmStart: this.#warmStart } : {}),
    };
  }
}

function* areFinite(values: Float32Array): Steps<boolean> {
  for (let begin = 0; begin < values.length; begin += PIECE) {
    const end = Math.min(values.length, begin + PIECE);
    for (let i = begin; i < end; ++i) if (!Number.isFinite(values[i]!)) return false;
    yield;
  }
  return true;
}

function diverged(what: string): HyperKnowError {
  return new HyperKnowError('ERR_HK_DIVERGED', `training diverged: ${what}; try a smaller learningRate`);
}

/** The job's result; an abort cancels it. */
async function cancellable<T>(job: NativeJob<T>, signal: AbortSignal | undefined): Promise<T> {
  const cancel = () => job.cancel();
  if (signal?.aborted) cancel();
  signal?.addEventListener('abort', cancel, { once: true });
  try {
    return await job.promise;
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    throw error;
  } finally {
    signal?.removeEventListener('abort', cancel);
  }
}

/** Users whose few items are handled between two yields. */
const USERS_PER_STEP = 1024;

/** Training and validation items of each user. */
function* seenBy({ users, train: interactions, validation }: Dataset): Steps<Interactions> {
  const offsets = new Uint32Array(users + 1);
  const items = new Uint32Array(interactions.items.length + validation.items.length);
  for (let user = 0, at = 0; user < users; ++user) {
    for (const { offsets: own, items: all } of [interactions, validation])
      for (let i = own[user]!; i < own[user + 1]!; ++i) items[at++] = all[i]!;
    offsets[user + 1] = at;
    items.subarray(offsets[user], at).sort();
    if (user % USERS_PER_STEP === USERS_PER_STEP - 1) yield;
  }
  return { offsets, items };
}

/** [items] σ(β_v). */
function* weightsOf(beta: Float32Array): Steps<Float64Array> {
  const weights = new Float64Array(beta.length);
  yield* inPieces(beta.length, (begin, end) => {
    for (let i = begin; i < end; ++i) weights[i] = sigmoid(beta[i]!);
  });
  return weights;
}
