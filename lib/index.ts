/** Hyper-Know (Ma et al., AAAI 2021): top-K recommendation from interactions and a knowledge graph in the Poincaré ball. */
export {
  attributeKnn,
  blend,
  type ChosenScorer,
  itemKnn,
  type NeighborOptions,
  popularity,
  rankBy,
  type Scorer,
  type Scores,
  validatedBlend,
} from './controls.ts';
export {
  createDataset,
  type Dataset,
  type DatasetOptions,
  type DatasetReport,
  type DataSource,
  type Graph,
  type Id,
  type Interaction,
  type Interactions,
  loadDataset,
  type SourceFile,
  type Triple,
  type Triples,
} from './data/dataset.ts';
export { type Diagnosis, diagnose, type Finding } from './data/diagnose.ts';
export type {
  ImportedTables,
  ImportOptions,
  ImportReport,
  KnowledgeReport,
  RelationColumn,
  RelationReport,
} from './data/import/import-tables.ts';
export { type Shape, type SyntheticOptions, synthetic } from './data/synthetic.ts';
export type { Diagnostics, RadiusSummary } from './diagnostics.ts';
export type { NeighborBlend, TrainingRecord } from './embedding.ts';
export { type ErrorCode, HyperKnowError } from './errors.ts';
export {
  type EvaluateOptions,
  evaluate,
  evaluatePerUser,
  evaluateRanking,
  type Metrics,
  meanMetrics,
  type PerUserMetrics,
  type Rank,
  type RankingOptions,
} from './evaluate.ts';
export type { Deletion, Explanation, Neighbor } from './explain.ts';
export type { ItemTriple } from './fold-in-item.ts';
export type { GraphInfluence, RelationInfluence } from './influence.ts';
export type { LorentzPoints } from './lorentz.ts';
export { importTables } from './import-tables.ts';
export { estimateMemory, type MemoryEstimate } from './memory.ts';
export { Model } from './model.ts';
export type { Certificate, EncodingName, ExportOptions, ExportReport, ExportTarget, WrittenFile } from './export/index.ts';
export { exportModel } from './export-model.ts';
export { type BackendInfo, backends } from './native.ts';
export type { EpochEvent, TrainOptions } from './options.ts';
export { BLEND_WEIGHTS, type BlendWeights, type Hyperparameters, PRESETS, type Preset, type PresetName } from './presets.ts';
export type { Protocol, RowCounts, WarmStartRecord } from './protocol.ts';
export type { ScoreParts } from './neighbor-blend.ts';
export type { FilterOptions } from './ranking.ts';
export type { Recommendation, RecommendOneOptions, RecommendOptions } from './recommend.ts';
export type { RecommendationBatch, RecommendBatchOptions, RecommendBatchSyncOptions } from './recommend-batch.ts';
export type { SimilarUser } from './similar.ts';
export { type PairedTTest, pairedTTest } from './statistics.ts';
export type { Schedule } from './schedule.ts';
export { type TrainingRun, train } from './train.ts';
export { VARIANTS, type Variant, type VariantName } from './variants.ts';
