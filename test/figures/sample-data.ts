// Small, made-up data of every figure.
import type {
  AttentionEntropy,
  BetaSweep,
  BetaTrajectory,
  Disk,
  FigureData,
  LearningCurves,
  Percentiles,
  Provenance,
  RadiusDegree,
} from '../../scripts/reproduce/figures/types.ts';
import { seededRandom } from '../helpers.ts';

const origin: Provenance = {
  ...{ version: '0', data: 'a <set> & "more"', sizes: { users: 10, items: 20, entities: 1_234, relations: 9, triples: 40 } },
  ...{
    options: { epochs: 3 },
    preset: 'tuned',
    seeds: [1, 2],
    folders: ['hyper-know-seed1-a', 'hyper-know-seed2-b'],
    backend: 'cpu',
    device: 'CPU',
    host: 'a machine',
  },
};

const around = (p50: number, wide = 0.1): Percentiles => ({
  p5: p50 - wide,
  p25: p50 - wide / 2,
  p50,
  p75: p50 + wide / 2,
  p95: p50 + wide,
});

export const sweep: BetaSweep = {
  figure: 'beta-sweep',
  ...origin,
  metrics: [
    { name: 'recall@20', title: 'Recall@20' },
    { name: 'ndcg@20', title: 'NDCG@20 (standard)' },
    { name: 'ndcgKgat@20', title: 'NDCG@20 (kgat)' },
  ],
  fixed: [0, 0.01, 0.1, 0.5, 1].map((weight, i) => ({
    weight,
    values: { 'recall@20': [0.2 + 0.02 * i, 0.21 + 0.03 * i], 'ndcg@20': [0.1 + 0.01 * i, 0.1], 'ndcgKgat@20': [0.2, 0.3] },
    folders: [`hyper-know-seed1-${i}`, `hyper-know-seed2-${i}`],
  })),
  adaptive: { values: { 'recall@20': [0.31, 0.33], 'ndcg@20': [0.15, 0.16], 'ndcgKgat@20': [0.3, 0.31] } },
};

export const trajectory: BetaTrajectory = {
  figure: 'beta-trajectory',
  ...origin,
  ...{ start: 0.15, items: 20, itemsWithoutTriples: 2 },
  popularity: ['0–1 interactions', '2–3 interactions', '4–9 interactions'].map((label) => ({ label, items: 6 })),
  degree: [{ label: '1 triple', items: 20 }],
  runs: [1, 2].map((seed) => ({
    ...{ seed, selectedEpoch: 20, epochs: [10, 20, 30] },
    all: [0.2, 0.3, 0.4].map((value) => around(value)),
    popularity: [0.2, 0.3, 0.4].map((value) => [value, value + 0.1, value + 0.2].map((median) => around(median))),
    degree: [[0.2, 0.3, 0.4].map((value) => around(value))],
  })),
};

export const curves: LearningCurves = {
  figure: 'learning-curves',
  ...origin,
  runs: [1, 2].map((seed) => ({
    ...{ seed, selectedEpoch: 400 },
    rankingLoss: Array.from({ length: 1000 }, (_, i) => 1 / (1 + i / 50) + seed / 100),
    knowledgeLoss: Array.from({ length: 1000 }, (_, i) => 0.2 / (1 + i / 50)),
    validation: [200, 400, 600, 800, 1000].map((epoch, i) => ({ epoch, recall: 0.2 + 0.01 * i * seed, ndcg: 0.1 + 0.01 * i })),
  })),
};

export const radius: RadiusDegree = {
  figure: 'radius-degree',
  ...origin,
  ...{ dim: 64, curvature: 0.01, untrained: 7 },
  groups: ['Items', 'Other entities'].map((name, i) => ({
    ...{ name, rows: 5000, spearman: -0.3 - i / 10 },
    bins: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map((power) => ({
      from: 2 ** power,
      to: 2 ** (power + 1) - 1,
      rows: 100,
      distance: around(9 - power / 2, 1),
    })),
    sample: [
      [3, 8.2],
      [40, 6.5],
    ],
  })),
};

export const attention: AttentionEntropy = {
  figure: 'attention-entropy',
  ...origin,
  ...{ items: 100, itemsWithFewer: 3 },
  histogram: Array.from({ length: 40 }, (_, i) => (i >= 10 && i < 30 ? 5 : 0)),
  percentiles: around(0.6, 0.2),
  byDegree: ['2–3 triples', '4–5 triples', '6–20 triples'].map((label, i) => ({ label, items: 30, entropy: around(0.5 + i / 10) })),
};

/** A centre with `first` neighbours, each with two more; among them a hub, one that is not trained, and names that want escaping. */
export function diskOf(first = 8): Disk {
  const random = seededRandom(5);
  const point = (radius: number) => {
    const [angle, distance] = [2 * Math.PI * random(), radius * Math.sqrt(random())];
    return { x: distance * Math.cos(angle), y: distance * Math.sin(angle) };
  };
  const entity = (id: string): Disk['entities'][number] => {
    const nodes: Disk['entities'][number]['nodes'] = [
      { label: `item ${id}`, kind: 'item', hop: 0, degree: first, placed: 'trained', ...point(0.5) },
    ];
    const edges: Disk['entities'][number]['edges'] = [];
    for (let i = 0; i < first; ++i) {
      const own = nodes.length;
      const label = i === 0 ? 'the <hub> & "all"' : `entity ${id}-${i}`;
      nodes.push({ label, kind: 'entity', hop: 1, degree: i === 0 ? 5000 : 3, placed: i === 1 ? 'never' : 'trained', ...point(0.9) });
      edges.push({ source: 0, target: own, relation: i % 8 });
      if (i === 0) continue;
      for (const other of [1, 2]) {
        edges.push({ source: own, target: nodes.length, relation: (i + other) % 8 });
        nodes.push({ label: `item ${id}-${i}-${other}`, kind: 'item', hop: 2, degree: 1, placed: 'trained', ...point(0.97) });
      }
    }
    return { id, nodes, edges, hubDegree: 100, perNode: [24, 8], omitted: { ofHubs: 4999, abovePerNode: 12 } };
  };
  return {
    figure: 'disk',
    ...origin,
    ...{ curvature: 1, kgHeads: 'items', recall: 0.05, epoch: 7 },
    relations: Array.from({ length: 8 }, (_, i) => `relation ${i}`),
    background: Array.from({ length: 50 }, () => {
      const { x, y } = point(0.9);
      return [x, y];
    }),
    entities: [entity('1'), entity('a/b')],
  };
}

export const ALL: readonly FigureData[] = [sweep, trajectory, diskOf(), radius, curves, attention];
