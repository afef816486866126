// What the figures are drawn from: plain JSON, one document a figure, so that each can be drawn again without training.

import type { ItemGroup, Percentiles } from '../../../lib/report/item-groups.ts';

export type { ItemGroup, Percentiles };

/** How the numbers of a figure came to be. */
export interface Provenance {
  /** Of hyper-know. */
  version: string;
  /** What the data set is called. */
  data: string;
  sizes: { users: number; items: number; entities: number; relations: number; triples: number };
  /** What decided the runs beside the preset; of a sweep, the adaptive ones. */
  options: Record<string, unknown>;
  /** 'tuned' or 'paper': where all other options come from. */
  preset: string;
  seeds: number[];
  /** Names of the folders of the runs, by seed; of a sweep, the adaptive ones. */
  folders: string[];
  backend: string;
  /** What ran the kernels. */
  device: string;
  /** Where the first of the runs was trained. */
  host: string;
}

/** Figure 2: a fixed weight of L_K against one that is learned for every item. */
export interface BetaSweep extends Provenance {
  figure: 'beta-sweep';
  metrics: { name: string; title: string }[];
  /** By ascending weight; `values`: metric → one value a seed. */
  fixed: { weight: number; values: Record<string, number[]>; folders: string[] }[];
  adaptive: { values: Record<string, number[]> };
}

/** σ(β) over the epochs, of the items that have a triple. */
export interface BetaTrajectory extends Provenance {
  figure: 'beta-trajectory';
  /** Where σ(β) starts. */
  start: number;
  items: number;
  itemsWithoutTriples: number;
  popularity: ItemGroup[];
  degree: ItemGroup[];
  runs: TrajectoryRun[];
}

export interface TrajectoryRun {
  seed: number;
  /** The epoch whose parameters the model has. */
  selectedEpoch: number;
  epochs: number[];
  /** One an epoch; of the groups in their order. */
  all: Percentiles[];
  popularity: Percentiles[][];
  degree: Percentiles[][];
}

export interface LearningCurves extends Provenance {
  figure: 'learning-curves';
  runs: {
    seed: number;
    selectedEpoch: number;
    /** Means over the samples of every epoch, from the first. */
    rankingLoss: number[];
    knowledgeLoss: number[];
    validation: { epoch: number; recall: number; ndcg: number }[];
  }[];
}

/** Distance from the origin against the number of triples. */
export interface RadiusDegree extends Provenance {
  figure: 'radius-degree';
  dim: number;
  curvature: number;
  /** Entities that are in no item's neighbourhood, left out. */
  untrained: number;
  groups: {
    name: string;
    rows: number;
    /** Of degree and distance; null where all degrees are one. */
    spearman: number | null;
    /** Degrees from `from` to `to`, both included. */
    bins: { from: number; to: number; rows: number; distance: Percentiles }[];
    /** Some of the rows: degree, distance. */
    sample: [number, number][];
  }[];
}

/** Entropy of the attention over each item's triples, over the logarithm of how many they are: 1 is an average, 0 one triple alone. */
export interface AttentionEntropy extends Provenance {
  figure: 'attention-entropy';
  /** Items with two triples or more. */
  items: number;
  itemsWithFewer: number;
  /** In equal parts of [0, 1]. */
  histogram: number[];
  percentiles: Percentiles;
  byDegree: { label: string; items: number; entropy: Percentiles }[];
}

/** Figure 3. */
export interface Disk extends Provenance {
  figure: 'disk';
  curvature: number;
  /** 'items': as the paper has it; 'all': the other heads were placed by their triples afterwards. */
  kgHeads: 'items' | 'all';
  /** Of the model in the plane, on the test split; null where there is none. */
  recall: number | null;
  epoch: number;
  /** Names of the relations that edges have, most frequent first. */
  relations: string[];
  /** Some of the items, in the unit disk: where the others are. */
  background: [number, number][];
  entities: DiskNeighborhood[];
}

export interface DiskNeighborhood {
  id: string;
  nodes: DiskNode[];
  edges: { source: number; target: number; relation: number }[];
  /** More triples than this make a hub, whose other neighbours are not followed. */
  hubDegree: number;
  /** Most neighbours that are shown: of the entity, and of each of them. */
  perNode: [first: number, second: number];
  /** Neighbours that are not shown: of hubs, and above `perNode`. */
  omitted: { ofHubs: number; abovePerNode: number };
}

export interface DiskNode {
  label: string;
  kind: 'item' | 'entity';
  /** 0: the entity itself. */
  hop: 0 | 1 | 2;
  /** Triples that it is head or tail of. */
  degree: number;
  /** In the unit disk. */
  x: number;
  y: number;
  /** How it got there: by training, by its triples afterwards, or not at all. */
  placed: 'trained' | 'by its triples' | 'never';
}

export type FigureData = BetaSweep | BetaTrajectory | LearningCurves | RadiusDegree | AttentionEntropy | Disk;
