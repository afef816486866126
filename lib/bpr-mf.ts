import { checkInteger, checkNumber, checkOptions } from './check.ts';
import type { Scorer } from './controls.ts';
import { unseenItem, usersOf } from './data/csr.ts';
import type { Dataset } from './data/dataset.ts';
import { Random } from './data/random.ts';
import type { Steps } from './data/steps.ts';
import { checkDataset } from './evaluate.ts';
import { dot, type Factors, innerProducts } from './inner-products.ts';

/** BPR-MF: what Hyper-Know's ranking loss gives with inner products, without the ball and without the graph. */

export interface BprOptions {
  /** Size of the factors, beside one for the items' bias. Default 64. */
  dim?: number;
  /** η of the first step; it falls to 0 in a line. Default 0.5. */
  learningRate?: number;
  /** λ of every row that a sample holds. Default 0.01. */
  regularization?: number;
  /** Samples, in training interactions. Default 100. */
  epochs?: number;
  /** Of the start and of the samples. Default 1. */
  seed?: number;
}

/** Stream of Random for the start and the samples. */
const BPR_STREAM = 13;

/** Samples between two yields. */
const SAMPLES_PER_STEP = 4096;

/**
 * Matrix factorisation by Bayesian personalised ranking (Rendle et al., 2009): steps of stochastic gradients on
 *
 *   −ln σ(s(u, i) − s(u, j)) + λ/2·(‖x_u‖² + ‖y_i‖² + ‖y_j‖² + b_i² + b_j²),   s(u, i) = x_u·y_i + b_i,
 *
 * of one sample each: an interaction (u, i) uniform over the training set, drawn anew every time, and an item j uniform over those that u has
 * not there. The result has dim + 1 columns: the last is 1 for users and the bias b for items.
 */
export function* bprFactors(dataset: Dataset, options?: BprOptions): Steps<Factors> {
  const { dim, learningRate, regularization, epochs, seed } = checkBpr(options);
  const { users, items, train } = dataset;
  const random = new Random(seed, BPR_STREAM);
  const width = dim + 1;
  // Uniform with standard deviation 0.1/√dim; biases start at 0.
  const start = (rows: number, last: number) =>
    Float64Array.from({ length: rows * width }, (_, k) =>
      k % width === dim ? last : 0.1 * Math.sqrt(3 / dim) * (2 * random.uniform() - 1),
    );
  const factors: Factors = { users: start(users, 1), items: start(items, 0), dim: width };
  const owners = yield* usersOf(train);
  const samples = epochs * owners.length;
  for (let sample = 0; sample < samples; ++sample) {
    if (sample % SAMPLES_PER_STEP === SAMPLES_PER_STEP - 1) yield;
    const at = random.below(owners.length);
    const user = owners[at]!;
    const unseen = items - (train.offsets[user + 1]! - train.offsets[user]!);
    if (unseen === 0) continue;
    const negative = unseenItem(train, user, random.below(unseen));
    const rate = learningRate * (1 - sample / samples);
    moveSample(factors, user, train.items[at]!, negative, rate, regularization);
  }
  return factors;
}

/** Ranks by the inner products of `bprFactors`. */
export function bprMf(dataset: Dataset, options?: BprOptions): Scorer {
  checkBpr(options);
  return innerProducts(checkDataset(dataset), () => bprFactors(dataset, options));
}

/** One step on one sample, in place. */
function moveSample(factors: Factors, user: number, positive: number, negative: number, rate: number, regularization: number): void {
  const { users, items, dim: width } = factors;
  const [u, i, j] = [user * width, positive * width, negative * width];
  const slope = 1 / (1 + Math.exp(dot(users, u, items, i, width) - dot(users, u, items, j, width)));
  const step = rate * slope;
  const keep = 1 - rate * regularization;
  for (let k = 0; k < width - 1; ++k) {
    const [x, y, z] = [users[u + k]!, items[i + k]!, items[j + k]!];
    users[u + k] = keep * x + step * (y - z);
    items[i + k] = keep * y + step * x;
    items[j + k] = keep * z - step * x;
  }
  items[i + width - 1] = keep * items[i + width - 1]! + step;
  items[j + width - 1] = keep * items[j + width - 1]! - step;
}

function checkBpr(options: BprOptions | undefined): Required<BprOptions> {
  const known = ['dim', 'learningRate', 'regularization', 'epochs', 'seed'] as const;
  const defaults = { dim: 64, learningRate: 0.5, regularization: 0.01, epochs: 100, seed: 1 };
  const all = { ...defaults, ...checkOptions('options', options, known) };
  return {
    dim: checkInteger('dim', all.dim, 1, 4096),
    learningRate: checkNumber('learningRate', all.learningRate, 0, Number.MAX_VALUE, true),
    regularization: checkNumber('regularization', all.regularization, 0),
    epochs: checkInteger('epochs', all.epochs, 0),
    seed: checkInteger('seed', all.seed, 0),
  };
}
