import type { Graph, Id } from './data/csr.ts';
import type { Dataset } from './data/dataset.ts';
import { newRelation, SHARED_ENTITIES_RELATION, withSharedEntities } from './data/shared-entities.ts';
import { SHARED_USERS_RELATION, withSharedUsers } from './data/shared-users.ts';
import type { Steps } from './data/steps.ts';
import type { TrainerConfig } from './native.ts';
import type { ResolvedOptions } from './options.ts';

/** The graph that is trained on: that of the data set, or more. */
export interface TrainedGraph {
  graph: Graph;
  relationIds: readonly Id[];
}

/** The data set's graph, with the relations of shared entities and of shared users, in this order, where they are asked for. */
export function* trainedGraph(dataset: Dataset, options: ResolvedOptions): Steps<TrainedGraph> {
  const { sharedEntities, sharedUsers } = options.hyperparameters;
  let { graph } = dataset;
  const relationIds = [...dataset.relationIds];
  if (sharedEntities) {
    graph = yield* withSharedEntities(graph, dataset.entities, relationIds.length, sharedEntities);
    relationIds.push(newRelation(SHARED_ENTITIES_RELATION, relationIds));
  }
  if (sharedUsers) {
    graph = yield* withSharedUsers(graph, dataset.train, relationIds.length, sharedUsers);
    relationIds.push(newRelation(SHARED_USERS_RELATION, relationIds));
  }
  return { graph, relationIds };
}

/** What the native trainer is told. */
export function trainerConfig(
  { train: interactions, users, items, entities }: Dataset,
  { graph, relationIds }: TrainedGraph,
  options: ResolvedOptions,
  backend: string,
): TrainerConfig {
  const { hyperparameters: h, variant, adaptive, curvature, innerLearningRate, seed, threads } = options;
  return {
    backend,
    threads,
    dim: h.dim,
    users,
    items,
    entities,
    relations: relationIds.length,
    trainOffsets: interactions.offsets,
    trainItems: interactions.items,
    graphOffsets: graph.offsets,
    graphRelations: graph.relations,
    graphTails: graph.tails,
    seed,
    batchSize: h.batchSize,
    geometry: variant.geometry,
    curvature,
    learnCurvature: h.curvature === 'learned',
    parameters: h.parameters,
    knowledge: variant.knowledge,
    attention: variant.attention,
    adaptive,
    knowledgeWeight: h.knowledgeWeight,
    attentionTemperature: h.attentionTemperature,
    sharedNegatives: h.loss === 'bpr' ? 0 : h.negatives,
    learningRate: h.learningRate,
    betaLearningRate: h.betaLearningRate,
    curvatureLearningRate: h.curvatureLearningRate,
    innerLearningRate,
    regularization: h.regularization,
    adam: h.adam,
    averageDecay: h.averaging ? h.averaging.decay : 0,
    averageEvery: h.averaging ? h.averaging.every : 0,
    initScale: h.initScale,
    timeKernels: process.env.HYPER_KNOW_TIME_KERNELS === '1',
  };
}
