// What each figure is drawn from, out of finished runs: the same for whoever computes it, so that it can be verified.
import type { Dataset } from '../../../lib/data/dataset.ts';
import { METRICS } from '../../../lib/report/compared-metrics.ts';
import { itemGroups } from '../../../lib/report/item-groups.ts';
import type { RunRecord } from '../../../lib/report/run-folder.ts';
import type { Model } from '../../../lib/model.ts';
import { attentionEntropy, type DiskInput, diskOf, radiusDegree } from './model-data.ts';
import type { Incidence } from './two-hop.ts';
import type { AttentionEntropy, BetaSweep, BetaTrajectory, Disk, LearningCurves, Provenance, RadiusDegree } from './types.ts';

/** A finished run, and the name of its folder. */
export interface FigureRun {
  folder: string;
  record: RunRecord;
}

/** What a figure says of the runs that it is drawn from. */
function provenanceOf(runs: readonly FigureRun[], { users, items, entities, relations, triples }: Dataset): Provenance {
  const { key, data, host, protocol } = runs[0]!.record;
  const { preset, ...options } = key.options;
  const { backend, device } = protocol as { backend: string; device: string };
  return {
    ...{ version: key.version, data: data.name, sizes: { users, items, entities, relations, triples: triples.heads.length } },
    ...{ options, preset: String(preset) },
    ...{ seeds: runs.map(({ record }) => record.key.seed!), folders: runs.map(({ folder }) => folder) },
    ...{ backend, device, host: `${host.cpu ?? 'unknown processor'}, Node ${host.node}` },
  };
}

const valuesOf = (runs: readonly FigureRun[]): Record<string, number[]> =>
  Object.fromEntries(METRICS.map(({ name }) => [name, runs.map(({ record }) => record.metrics[name]!)]));

/** @param fixed by ascending weight */
export function sweepOf(
  adaptive: readonly FigureRun[],
  fixed: readonly { weight: number; runs: FigureRun[] }[],
  dataset: Dataset,
): BetaSweep {
  return {
    figure: 'beta-sweep',
    ...provenanceOf(adaptive, dataset),
    metrics: METRICS.map((metric) => ({ ...metric })),
    fixed: fixed.map(({ weight, runs }) => ({ weight, values: valuesOf(runs), folders: runs.map(({ folder }) => folder) })),
    adaptive: { values: valuesOf(adaptive) },
  };
}

/** The groups are those of the first seed's split; other splits differ by what they hold out. */
export function trajectoryOf(adaptive: readonly FigureRun[], dataset: Dataset): BetaTrajectory {
  const groups = itemGroups(dataset);
  const { options } = adaptive[0]!.record.protocol as { options: { knowledgeWeight: number } };
  return {
    figure: 'beta-trajectory',
    ...provenanceOf(adaptive, dataset),
    start: options.knowledgeWeight,
    items: groups.items.length,
    itemsWithoutTriples: dataset.items - groups.items.length,
    popularity: groups.popularity.groups,
    degree: groups.degree.groups,
    runs: adaptive.map(({ record: { key, bestEpoch, history } }) => {
      const told = history!.flatMap(({ epoch, itemWeights }) => (itemWeights ? [{ epoch, ...itemWeights }] : []));
      return {
        ...{ seed: key.seed!, selectedEpoch: bestEpoch!, epochs: told.map(({ epoch }) => epoch), all: told.map(({ all }) => all) },
        popularity: groups.popularity.groups.map((_, i) => told.flatMap(({ popularity }) => popularity[i] ?? [])),
        degree: groups.degree.groups.map((_, i) => told.flatMap(({ degree }) => degree[i] ?? [])),
      };
    }),
  };
}

export function curvesOf(adaptive: readonly FigureRun[], dataset: Dataset): LearningCurves {
  return {
    figure: 'learning-curves',
    ...provenanceOf(adaptive, dataset),
    runs: adaptive.map(({ record: { key, bestEpoch, history } }) => ({
      ...{ seed: key.seed!, selectedEpoch: bestEpoch! },
      rankingLoss: history!.map(({ rankingLoss }) => rankingLoss),
      knowledgeLoss: history!.map(({ knowledgeLoss }) => knowledgeLoss),
      validation: history!.flatMap(({ epoch, validation }) =>
        validation ? [{ epoch, recall: validation['recall@20']!, ndcg: validation['ndcg@20']! }] : [],
      ),
    })),
  };
}

export const radiusOf = (run: FigureRun, model: Model, dataset: Dataset, incidence: Incidence): RadiusDegree => ({
  figure: 'radius-degree',
  ...provenanceOf([run], dataset),
  ...radiusDegree(model, dataset, incidence),
});

export const attentionOf = (run: FigureRun, model: Model, dataset: Dataset): AttentionEntropy => ({
  figure: 'attention-entropy',
  ...provenanceOf([run], dataset),
  ...attentionEntropy(model),
});

/** Recall is null where the run has not looked at a test split. */
export const planeOf = (run: FigureRun, input: DiskInput): Disk => ({
  figure: 'disk',
  ...provenanceOf([run], input.dataset),
  ...diskOf(input),
  recall: run.record.key.judged === undefined ? (run.record.metrics['recall@20'] ?? null) : null,
  epoch: run.record.bestEpoch!,
});
