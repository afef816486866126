import type { Graph } from './data/csr.ts';
import type { Dataset } from './data/dataset.ts';
import { resolveOptions, type TrainOptions } from './options.ts';

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

/** Triples of one tail or relation whose gradients are summed at once (kChunk of native/src/kernels.h). */
const CHUNK = 512;

/** Samples whose gradients on a shared negative are summed at once (kSampleChunk there). */
const SAMPLE_CHUNK = 128;

/**
 * Estimates the memory of `train(dataset, options)` from the sizes alone, allocating next to nothing. With the CPU backend `total` is what the
 * process grows by; with CUDA all but `host` is the card's, where the training itself makes sure beforehand that it fits.
 *
 * @throws {TypeError, RangeError} for options that `train` refuses too
 * @example
 * const { total } = estimateMemory(dataset, { dim: 128, batchSize: 8192 });
 * console.error(`${(total / 2 ** 20).toFixed(0)} MiB`);
 */
export function estimateMemory(dataset: Dataset, options?: TrainOptions): MemoryEstimate {
  const { train, validation, test, graph, users, items, entities, relations, triples } = dataset;
  const {
    hyperparameters: h,
    variant,
    checkpoint,
    earlyStopping,
  } = resolveOptions(options, train.items.length, validation.items.length > 0);
  const { dim } = h;
  const rows = users + entities + relations;
  const points = h.parameters === 'tangent' ? 4 : 3;
  const parameters =
    rows * (dim * 4 * (points + (h.averaging ? 2 : 0)) + 8 + (h.adam === 'exact' ? 4 : 0) + (h.averaging ? 8 : 0)) + items * 16;

  const shared = h.sharedEntities && variant.knowledge ? items * h.sharedEntities.perItem : 0;
  const edges = graph.tails.length + shared;
  const batchUsers = Math.min(users, h.batchSize);
  const batchItems = Math.min(entities, 2 * h.batchSize);
  const heads = variant.knowledge ? Math.min(items, h.batchSize) : 0;
  const most = variant.knowledge ? mostOfBatch(graph, heads) : { triples: 0, groups: 0 };
  const batchTriples = most.triples + Math.min(shared, heads * (h.sharedEntities ? h.sharedEntities.perItem : 0));
  const touched = variant.knowledge ? Math.min(entities, batchItems + batchTriples) : 0;
  const batch =
    batchUsers * dim * (4 + 2 * 8) + // gradient, lookahead and its points
    batchItems * dim * (4 + 3 * 8) +
    heads * dim * 2 * 8 +
    batchTriples * 4 * 8 +
    (variant.attention ? most.groups * dim * 4 : 0) +
    touched * dim * 4 +
    relations * dim * 4 +
    (variant.knowledge ? Math.floor(edges / CHUNK) * dim * 8 * (variant.attention ? 2 : 1) : 0) +
    h.batchSize * 100 +
    (h.loss === 'sampled-softmax'
      ? h.batchSize * h.negatives * 8 + Math.ceil(h.batchSize / SAMPLE_CHUNK) * h.negatives * (dim + 2) * 8
      : 0) +
    2 * 4 * 2 * (users + 2 * entities + items); // lists of rows, of this batch and the next

  const pairs = train.items.length + validation.items.length + test.items.length;
  const table = rows * dim * 4;
  return total({
    parameters,
    batch,
    graph: edges * 40 + train.items.length * 12 + (users + entities) * 12,
    host:
      (triples.heads.length * 3 + edges * 2 + pairs * 2) * 4 +
      table * (earlyStopping ? 2 : 1) +
      (checkpoint ? 2 * table * 3 : 0) + // the state, and the one that is being written
      (users + entities) * 8,
  });
}

function total(parts: Omit<MemoryEstimate, 'total'>): MemoryEstimate {
  return { ...parts, total: parts.parameters + parts.batch + parts.graph + parts.host };
}

/** The triples, and the pairs of item and relation, of the `heads` items that have most. */
function mostOfBatch({ offsets, relations }: Graph, heads: number): { triples: number; groups: number } {
  const items = offsets.length - 1;
  const degrees = new Uint32Array(items);
  const kinds = new Uint32Array(items);
  for (let item = 0; item < items; ++item) {
    degrees[item] = offsets[item + 1]! - offsets[item]!;
    for (let i = offsets[item]!; i < offsets[item + 1]!; ++i) if (i === offsets[item] || relations[i] !== relations[i - 1]) kinds[item]!++;
  }
  const largest = (counts: Uint32Array) =>
    counts
      .sort()
      .subarray(items - heads)
      .reduce((sum, value) => sum + value, 0);
  return { triples: largest(degrees), groups: largest(kinds) };
}
