/** What a benchmark trains on, and the native trainer with the options that `train` would give it. */
import { basename, resolve } from 'node:path';
import type { Graph, Interactions } from '../../lib/data/csr.ts';
import { type Dataset, loadDataset } from '../../lib/data/dataset.ts';
import { type Shape, synthetic } from '../../lib/data/synthetic.ts';
import { argumentError } from '../../lib/errors.ts';
import type { TrainerConfig } from '../../lib/native.ts';
import { resolveOptions, type TrainOptions } from '../../lib/options.ts';
import { oneOf } from './document.ts';

/** What training needs of a data set. */
export interface Data {
  /** What it is called in results. */
  label: string;
  users: number;
  items: number;
  entities: number;
  relations: number;
  train: Interactions;
  graph: Graph;
}

export const SHAPES: readonly Shape[] = ['last-fm', 'amazon-book', 'yelp2018'];

/** --data FOLDER, or --shape: a synthetic data set of a published one's size. Neither: the shape of last-fm. */
export async function openDataset({
  data,
  shape,
}: {
  data?: string | undefined;
  shape?: string | undefined;
}): Promise<Dataset & { label: string }> {
  if (data !== undefined && shape !== undefined) throw argumentError('range', '--shape', 'excludes --data');
  if (data !== undefined) return { ...(await loadDataset(data)), label: basename(resolve(data)) };
  const known = oneOf('shape', shape ?? 'last-fm', SHAPES);
  return { ...synthetic({ shape: known, seed: 1 }), label: `synthetic, shape ${known}` };
}

/** A small data set with everything that is handled apart: see `withEdges`. */
export function smallData(): Data {
  const dataset = synthetic({ users: 150, items: 200, interactionsPerUser: [8, 14], validationFraction: 0, seed: 7 });
  return { ...withEdges(dataset), label: 'synthetic, small' };
}

/** Adds a user who has every item, for whom there is no negative; takes the triples of item 0; makes item 1 its only neighbour. */
function withEdges({ users, items, entities, relations, train, graph }: Omit<Data, 'label'>): Omit<Data, 'label'> {
  const everything = Uint32Array.from({ length: items }, (_, item) => item);
  const { offsets } = graph;
  const kept = offsets[2]!;
  return {
    ...{ users: users + 1, items, entities, relations },
    train: {
      offsets: Uint32Array.of(...train.offsets, train.items.length + items),
      items: Uint32Array.of(...train.items, ...everything),
    },
    graph: {
      offsets: offsets.map((offset, item) => (item < 2 ? 0 : offset - kept + 1)),
      relations: Uint32Array.of(0, ...graph.relations.subarray(kept)),
      tails: Uint32Array.of(1, ...graph.tails.subarray(kept)),
    },
  };
}

/** What the peers train: the attention of Eq. 4 as it stands, of temperature 1, and all else as the preset has it. */
export const AS_THE_PEERS: TrainOptions = { attentionTemperature: 1 };

/** The trainer's configuration for these options of `train`. */
export function configuration(
  data: Omit<Data, 'label'>,
  options: TrainOptions,
  { backend = 'cpu', threads = 1 }: { backend?: string; threads?: number } = {},
): TrainerConfig {
  const resolved = resolveOptions(options, data.train.items.length, false);
  const { hyperparameters: h, variant, adaptive, curvature, innerLearningRate, seed } = resolved;
  const { users, items, entities, relations, train, graph } = data;
  return {
    ...{ backend, threads, dim: h.dim, users, items, entities, relations, seed, batchSize: h.batchSize },
    ...{ trainOffsets: train.offsets, trainItems: train.items },
    ...{ graphOffsets: graph.offsets, graphRelations: graph.relations, graphTails: graph.tails },
    ...{ geometry: variant.geometry, knowledge: variant.knowledge, attention: variant.attention, adaptive, curvature },
    ...{ learnCurvature: false, parameters: h.parameters, knowledgeWeight: h.knowledgeWeight, initScale: h.initScale, adam: h.adam },
    ...{ attentionTemperature: h.attentionTemperature },
    ...{ learningRate: h.learningRate, betaLearningRate: h.betaLearningRate, curvatureLearningRate: h.curvatureLearningRate },
    ...{ innerLearningRate, regularization: h.regularization, averageDecay: 0, averageEvery: 0, sharedNegatives: 0, timeKernels: false },
  };
}
