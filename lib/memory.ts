import type { Dataset } from './data/dataset.ts';
import { ATTRIBUTE_KNN, ITEM_KNN } from './data/item-similarity.ts';
import { finish } from './data/steps.ts';
import { backends, native } from './native.ts';
import { resolveOptions, type TrainOptions } from './options.ts';
import { trainedGraph, trainerConfig } from './trainer-config.ts';

/** What a training is expected to hold at most, in bytes. */
export interface MemoryEstimate {
  /** Embeddings, their points and Adam's moments, in the backend's memory. */
  parameters: number;
  /** What a step leaves for its backward passes: grows with the batch and with the triples of its items. */
  batch: number;
  /** The graph and the interactions, in the backend's memory. */
  graph: number;
  /** Copies in the process: the data set, the best parameters so far, a checkpoint's state. */
  host: number;
  total: number;
}

/**
 * The memory of `train(dataset, options)`. All but `host` is counted, not estimated: the trainer is built on a backend that only adds up what
 * it is asked for, in the units of a GPU's memory. That takes the time and the passing memory of setting up a training, and with
 * `sharedEntities` or `sharedUsers` of finding what is shared. With the CPU backend `total` is what the process grows by; with CUDA all but `host` is the
 * card's, where the training itself makes sure beforehand that it fits.
 *
 * @throws {TypeError, RangeError} for options that `train` refuses too
 * @example
 * const { total } = estimateMemory(dataset, { dim: 128, batchSize: 8192 });
 * console.error(`${(total / 2 ** 20).toFixed(0)} MiB`);
 */
export function estimateMemory(dataset: Dataset, options?: TrainOptions): MemoryEstimate {
  const { train, validation, test, users, items, entities, relations, triples } = dataset;
  const resolved = resolveOptions(options, train.items.length, validation.items.length > 0);
  const { hyperparameters, checkpoint, earlyStopping } = resolved;
  const trained = finish(trainedGraph(dataset, resolved));
  const { parameters, graph, steps } = native.Trainer.plan(trainerConfig(dataset, trained, resolved, countedOn(resolved.backend)));

  const pairs = train.items.length + validation.items.length + test.items.length;
  const table = ((users + entities + relations) * hyperparameters.dim + items) * 4;
  const host =
    (triples.heads.length * 3 + trained.graph.tails.length * 2 + pairs * 2) * 4 +
    table * (earlyStopping ? 2 : 1) +
    (checkpoint ? 2 * table * 3 : 0) + // the state, and the one that is being written
    (hyperparameters.neighborBlend ? neighborTables(items, pairs, trained.graph.tails.length) : 0) +
    (users + entities) * 8;
  return { parameters, batch: steps, graph, host, total: parameters + steps + graph + host };
}

/** What the two kNN tables of `neighborBlend` are made of, and hold once all of their rows were asked for. */
function neighborTables(items: number, interactions: number, triples: number): number {
  const rows = ITEM_KNN.neighbors + ATTRIBUTE_KNN.neighbors;
  return items * Math.min(rows, 2 * items) * 12 + (2 * interactions + 3 * triples) * 4;
}

/** The backend that is asked for, where it can run here: they need a little more or less of this and that. */
function countedOn(backend: string): string {
  const usable = backends().filter(({ reason }) => reason === undefined);
  return (usable.find(({ name }) => name === backend || (backend === 'auto' && name === 'cuda')) ?? { name: 'cpu' }).name;
}
