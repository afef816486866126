// Trains a few epochs on two backends of one addon and prints a JSON array: per case, how far apart the two are.
//   node --import tsx test/backends/run-training.ts --backend cuda-on-host
// training.test.ts beside it starts it in a process of its own for the backend of the test build: one process loads one addon.
import { parseArgs } from 'node:util';
import { synthetic } from '../../lib/data/synthetic.ts';
import { native, type TrainerConfig, type TrainerState } from '../../lib/native.ts';

export interface TrainingReport {
  case: string;
  steps: number;
  /** Whether all sampled triples are the same integers. */
  sameSamples: boolean;
  /** Largest relative difference of the losses of an epoch. */
  loss: number;
  /** Tensor of the state → largest difference, over the largest value. */
  tensors: Record<string, number>;
  /** Whether a second run on the backend ends with the same bits. */
  repeatable: boolean;
}

const EPOCHS = 3;
const CASES: Record<string, Partial<TrainerConfig>> = {
  'tangent parameters, adaptive, learned curvature': { curvature: 0.04, learnCurvature: true },
  'ball coordinates, adaptive, exact Adam': { parameters: 'ball', adam: 'exact', learningRate: 0.001 },
  'Euclidean, attention, dense Adam': { geometry: 'euclidean', adaptive: false, adam: 'dense' },
  'average in place of attention': { attention: false, adaptive: false },
  'moving averages of tangent vectors': { averageDecay: 0.8, averageEvery: 2 },
  'moving averages of ball coordinates, dense Adam': { parameters: 'ball', adam: 'dense', averageDecay: 0.9, averageEvery: 3 },
  'moving averages, exact Adam': { adam: 'exact', averageDecay: 0.8, averageEvery: 3 },
  'sampled softmax, tangent parameters, learned curvature': { sharedNegatives: 20, batchSize: 50, curvature: 0.04, learnCurvature: true },
  'sampled softmax, ball coordinates, more negatives than items': { sharedNegatives: 64, parameters: 'ball', learningRate: 0.001 },
  'sampled softmax, Euclidean, no knowledge': { sharedNegatives: 33, geometry: 'euclidean', knowledge: false, adaptive: false },
  'no knowledge': { knowledge: false, adaptive: false },
};

const { values } = parseArgs({ options: { backend: { type: 'string', default: 'cpu' } } });
const { users, items, entities, relations, train, graph } = synthetic({ users: 30, items: 50, interactionsPerUser: [4, 8], seed: 3 });
const base: Omit<TrainerConfig, 'backend'> = {
  ...{ threads: 2, dim: 24, users, items, entities, relations, seed: 5, batchSize: 40, sharedNegatives: 0 },
  ...{ trainOffsets: train.offsets, trainItems: train.items },
  ...{ graphOffsets: graph.offsets, graphRelations: graph.relations, graphTails: graph.tails },
  ...{ geometry: 'poincare', curvature: 1, learnCurvature: false, parameters: 'tangent', knowledge: true, attention: true, adaptive: true },
  ...{ attentionTemperature: 1.5 },
  ...{ knowledgeWeight: 0.4, learningRate: 0.01, betaLearningRate: 0.1, curvatureLearningRate: 0.01, innerLearningRate: 0.001 },
  ...{ regularization: 0.01, adam: 'touched', averageDecay: 0, averageEvery: 0, initScale: 0.2, timeKernels: false },
};

interface Outcome {
  samples: Uint32Array[];
  losses: number[];
  state: TrainerState;
}

async function trained(config: TrainerConfig): Promise<Outcome> {
  const trainer = new native.Trainer(config);
  const samples: Uint32Array[] = [];
  const losses: number[] = [];
  for (let epoch = 0; epoch < EPOCHS; ++epoch) {
    const { rankingLoss, knowledgeLoss } = await trainer.epoch(epoch, 1 / (1 + epoch)).promise;
    losses.push(rankingLoss, knowledgeLoss);
    samples.push(...Object.values(trainer.samples(epoch)));
  }
  const state = await trainer.state().promise;
  trainer.dispose();
  return { samples, losses, state };
}

const reports: TrainingReport[] = [];
for (const [name, changes] of Object.entries(CASES)) {
  const config = { ...base, ...changes };
  const expected = await trained({ ...config, backend: 'cpu' });
  const found = await trained({ ...config, backend: values.backend });
  const again = await trained({ ...config, backend: values.backend });
  const tensors = Object.entries(expected.state.tensors).map(([tensor, wanted]): [string, number] => {
    const got = found.state.tensors[tensor];
    if (got?.length !== wanted.length) return [tensor, Number.MAX_VALUE];
    let largest = 1e-30;
    let worst = 0;
    for (const value of wanted) largest = Math.max(largest, Math.abs(value));
    for (let i = 0; i < wanted.length; ++i) {
      const difference = Math.abs(got[i]! - wanted[i]!);
      worst = difference <= worst ? worst : Number.isNaN(difference) ? Number.MAX_VALUE : difference;
    }
    worst /= largest;
    return [tensor, worst];
  });
  const bytesOf = (outcome: Outcome) => JSON.stringify([outcome.losses, Object.values(outcome.state.tensors).map((values) => [...values])]);
  reports.push({
    case: name,
    steps: found.state.steps,
    sameSamples: JSON.stringify(found.samples) === JSON.stringify(expected.samples),
    loss: Math.max(...expected.losses.map((loss, i) => Math.abs(found.losses[i]! - loss) / Math.max(Math.abs(loss), 1e-30))),
    tensors: Object.fromEntries(tensors),
    repeatable: bytesOf(found) === bytesOf(again),
  });
}
process.stdout.write(JSON.stringify(reports));
