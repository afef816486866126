/** Everything that decides what is learned, but for the data and the seed. `TrainingOptions` says what each one means. */
export interface Hyperparameters {
  dim: number;
  curvature: number | 'learned';
  parameters: 'tangent' | 'ball';
  epochs: number;
  batchSize: number;
  learningRate: number;
  betaLearningRate: number;
  curvatureLearningRate: number;
  /** α of the lookahead; 'learningRate': whatever that is. */
  innerLearningRate: number | 'learningRate';
  regularization: number;
  adam: 'touched' | 'exact' | 'dense';
  knowledgeWeight: number;
  initScale: number;
  /** In epochs. */
  evaluateEvery: number;
  /** Steps without a better validation recall@20 after which training stops. */
  patience: number;
}

export interface Preset extends Hyperparameters {
  /** Where a curvature that is learned starts. */
  learnedCurvatureStart: number;
  /** What differs in the Euclidean variants. */
  euclidean: Partial<Hyperparameters>;
}

export type PresetName = 'tuned' | 'paper';

const tuned: Preset = {
  dim: 64,
  curvature: 1 / 36,
  learnedCurvatureStart: 1,
  parameters: 'tangent',
  epochs: 200,
  batchSize: 4096,
  learningRate: 0.002,
  betaLearningRate: 0.05,
  curvatureLearningRate: 0.002,
  innerLearningRate: 'learningRate',
  regularization: 0.05,
  adam: 'touched',
  knowledgeWeight: 0.5,
  initScale: 0.01,
  evaluateEvery: 5,
  patience: 1000,
  euclidean: { learningRate: 0.005 },
};

/**
 * 'tuned' is what works best over the data sets tried, one setting for all of them. 'paper' takes what the paper says wherever it says
 * something: c = 1, d = 64, batches of 4096, and Adam as the frameworks have it, which moves every row at every step.
 */
export const PRESETS: Readonly<Record<PresetName, Readonly<Preset>>> = {
  tuned,
  paper: { ...tuned, curvature: 1, adam: 'exact' },
};
