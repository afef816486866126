// What was decided where the paper leaves something open, and what the paper says where it does not: in every result.
import type { Hyperparameters } from '../../lib/presets.ts';

export interface LedgerEntry {
  topic: string;
  /** What the paper says of it. */
  paper: string;
  here: string;
}

/** Of the evaluation: for every method. */
export const EVALUATION_LEDGER: readonly LedgerEntry[] = [
  {
    topic: 'selection of the epoch or setting',
    paper: 'hyper-parameters on the validation set; of the epoch nothing',
    here: 'best validation recall@20; what the test split would have selected stands beside it, marked as such',
  },
  {
    topic: 'validation split',
    paper: '10 % of the training interactions, at random',
    here: 'as the files have it, else 10 % of all training interactions, by the seed; not added to training afterwards',
  },
  {
    topic: 'candidates',
    paper: 'all items that are not in the training set',
    here: 'all items that are in neither the training nor the validation set of the user; ties by smaller item',
  },
  {
    topic: 'NDCG',
    paper: 'no definition; its numbers fit that of the code of KGAT',
    here: "both: ndcg (ideal of min(20, test items) hits) and ndcgKgat (ideal of the hits among the method's own first 100, cut at 20)",
  },
  { topic: 'users', paper: 'not said', here: 'all that have a test item' },
  { topic: 'repeated interactions and triples', paper: 'not said', here: 'count once' },
  {
    topic: 'significance',
    paper: 'paired t-test against the best baseline, pairs not said',
    here: 'two-sided paired t-test over users, each user averaged over the seeds',
  },
];

/** Of a model: the evaluation's, and every hyper-parameter. */
export function ledgerOf(h: Hyperparameters & { beta: 'adaptive' | number }, preset: string): LedgerEntry[] {
  const here = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value));
  const entry = (topic: string, paper: string, value: unknown): LedgerEntry => ({ topic, paper, here: here(value) });
  return [
    entry('preset', 'none', preset),
    entry('dim', '64', h.dim),
    entry('curvature c', '1', h.curvature),
    entry('batchSize', '4096', h.batchSize),
    entry('parameters', 'points of the ball, moved by Adam; how they stay inside is not said', h.parameters),
    entry('optimiser', 'Adam; of its betas and ε nothing', `Adam (0.9, 0.999), ${h.adam} rows`),
    entry('learningRate', 'tuned, not told', h.learningRate),
    entry('schedule of the learning rate', 'none told', h.schedule),
    entry('loss', 'BPR, Eq. 3', h.loss === 'bpr' ? 'bpr' : `${h.loss}, ${h.negatives} negatives a batch`),
    entry(
      'negatives',
      'one sampled at random',
      h.loss === 'bpr' ? 'one, uniform over the items the user has not in training' : h.negatives,
    ),
    entry('regularization λ', 'λ‖Θ‖_F, λ not told', `${h.regularization} · (‖u‖² + ‖v‖² + ‖v′‖²) of every sample`),
    entry('weight of L_K', 'σ(β_v), start not told', h.beta === 'adaptive' ? `adaptive, from ${h.knowledgeWeight}` : h.beta),
    entry('rate of β', 'not told', h.betaLearningRate),
    entry('inner rate α', 'not told', h.innerLearningRate),
    entry('batches of the outer step', 'not told', 'those of the inner step; J as sums over the batch'),
    entry('attention temperature', 'none: 1', h.attentionTemperature),
    entry(
      'neighbourhood',
      'triples whose head is the item',
      "the same; an item without any has no L_K; an entity in no item's neighbourhood stays where it started",
    ),
    entry('shared entities as neighbours', 'none', h.sharedEntities),
    entry('items of the same users as neighbours', 'none', h.sharedUsers),
    entry('blending neighbours into lists', 'none', h.neighborBlend),
    entry('averaging of parameters', 'none told', h.averaging),
    entry('start', 'not told', `uniform in ±${h.initScale}`),
    entry('epochs', 'until convergence', `at most ${h.epochs}, validated every ${h.evaluateEvery}`),
    entry('patience', 'not told', `${h.patience} steps`),
    ...EVALUATION_LEDGER,
  ];
}
