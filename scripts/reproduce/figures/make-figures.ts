// `npm run reproduce -- --figures …`: trains what the figures need, and writes their data, the drawings and the report's page.
import { join } from 'node:path';
import { UsageError } from '../../../lib/cli/exit.ts';
import type { Dataset } from '../../../lib/data/dataset.ts';
import type { Model } from '../../../lib/model.ts';
import type { TrainOptions } from '../../../lib/train.ts';
import { VERSION } from '../../../lib/version.ts';
import { METRICS } from '../metrics.ts';
import { Progress } from '../progress.ts';
import { captionOf } from './captions.ts';
import { FIGURES } from './draw.ts';
import { attentionEntropy, diskOf, radiusDegree } from './model-data.ts';
import { placeUntrained, trainedRows } from './place-untrained.ts';
import { figuresIn, writeDrawings, writeReport } from './report.ts';
import type { FigureRequest } from './request.ts';
import { Store, writeJson } from './store.ts';
import { itemGroups, type TrainedRun, type TrainingContext, trainedRun } from './training-run.ts';
import { chosenEntities, Incidence } from './two-hop.ts';
import type { BetaSweep, BetaTrajectory, FigureData, LearningCurves, Provenance } from './types.ts';

export interface FigureJob {
  request: FigureRequest;
  source: { name: string; open(seed: number): Promise<Dataset> };
  seeds: readonly number[];
  options: TrainOptions;
  out: string;
}

export async function makeFigures({ request, source, seeds, options: given, out }: FigureJob): Promise<void> {
  const options: TrainOptions = { ...given, variant: 'hyper-know' };
  const { figures, betas } = request;
  const first = await source.open(seeds[0]!);
  const limits = { hubDegree: request.hubDegree, perNode: [24, 8] } as const;
  const incidence = new Incidence(first);
  const wantsSweep = figures.includes('2');
  const wantsSeeds = wantsSweep || figures.includes('curves');
  const wantsModel = figures.includes('radius') || figures.includes('attention');
  const rows = figures.includes('3') ? rowsOf(request.entities, first) : []; // an id that is unknown is met before hours of training
  const runs =
    (wantsSeeds ? seeds.length : Number(wantsModel)) + (wantsSweep ? betas.length * seeds.length : 0) + Number(figures.includes('3'));

  if (wantsSweep && first.test.items.length === 0)
    throw new UsageError('--figures: 2 compares metrics of the test split, and the data have none');
  checkFolder(out, source.name, first);
  const store = new Store(out);
  const progress = new Progress(runs);
  const context = (dataset: Dataset): TrainingContext => ({
    dataset,
    store,
    show: (text) => progress.show(text, 0.5),
    finish: (text, isNew) => progress.finish(text, !isNew),
  });
  const made: FigureData[] = [];
  const adaptive: TrainedRun[] = [];
  const fixed = betas.map((weight) => ({ weight, runs: [] as TrainedRun[] }));
  let model: Model | undefined;
  for (const seed of wantsSeeds ? seeds : wantsModel ? seeds.slice(0, 1) : []) {
    const dataset = seed === seeds[0] ? first : await source.open(seed);
    const learned = await trainedRun('adaptive', { ...options, beta: 'adaptive', seed }, context(dataset), wantsModel && seed === seeds[0]);
    adaptive.push(learned.run);
    model ??= learned.model;
    if (!wantsSweep) continue;
    for (const { weight, runs: own } of fixed)
      own.push((await trainedRun(`fixed-${weight}`, { ...options, beta: weight, seed }, context(dataset))).run);
  }
  const { users, items, entities, relations, triples } = first;
  const provenance = (trained: readonly number[], run: TrainedRun, used: TrainOptions): Provenance => {
    const { threads: _threads, variant: _variant, preset = 'tuned', ...own } = used;
    const sizes = { users, items, entities, relations, triples: triples.heads.length };
    const { backend, device, host } = run;
    return {
      version: VERSION,
      data: source.name,
      sizes,
      options: own as Record<string, unknown>,
      preset,
      seeds: [...trained],
      backend,
      device,
      host,
    };
  };
  if (wantsSweep) {
    const origin = provenance(seeds, adaptive[0]!, options);
    made.push(sweepOf(origin, fixed, adaptive));
    made.push(trajectoryOf(origin, first, adaptive));
  }
  if (figures.includes('curves')) made.push(curvesOf(provenance(seeds, adaptive[0]!, options), adaptive));
  if (model) {
    const origin = provenance(seeds.slice(0, 1), adaptive[0]!, options);
    if (figures.includes('radius')) made.push({ figure: 'radius-degree', ...origin, ...radiusDegree(model, first, incidence) });
    if (figures.includes('attention')) made.push({ figure: 'attention-entropy', ...origin, ...attentionEntropy(model) });
  }
  if (figures.includes('3')) {
    const planar = planarOptions(options);
    const { run, model: flat } = await trainedRun('disk', { ...planar, seed: seeds[0]! }, context(first), true);
    const trained = trainedRows(flat!);
    const centers = rows.length > 0 ? rows : chosenEntities(incidence, first, limits, (row) => trained[row] === 1, 8);
    const placement = request.kgHeads === 'all' ? placeUntrained(flat!, first) : null;
    if (placement)
      process.stderr.write(
        `kg-heads all: ${placement.placed.reduce((sum, is) => sum + is, 0)} entities placed, mean L_K of their heads ${placement.before.toFixed(3)} → ${placement.after.toFixed(3)}\n`,
      );
    const nameOf = (row: number): string => {
      const id = String(first.entityIds[row]);
      return request.names.get(id) ?? (/^\d+$/.test(id) ? `${row < items ? 'item' : 'entity'} ${id}` : id);
    };
    const disk = diskOf({ model: flat!, dataset: first, incidence, centers, limits, nameOf, placement });
    const found = { recall: run.metrics['recall@20'] ?? null, epoch: run.selectedEpoch };
    made.push({ figure: 'disk', ...provenance(seeds.slice(0, 1), run, planar), ...disk, ...found });
  }

  for (const found of made) {
    const data = JSON.parse(JSON.stringify(found)) as FigureData; // drawn from what the file says
    const { title } = FIGURES[data.figure];
    const nothing = whatIsMissing(data);
    if (nothing) {
      console.log(`${title}\nNot drawn: ${nothing}.\n`);
      continue;
    }
    await writeJson(join(store.folder, `${FIGURES[data.figure].file}.json`), data);
    await writeDrawings(store.folder, data);
    console.log(`${title}\n${captionOf(data)}\n`);
  }
  process.stderr.write(`wrote ${store.folder} and ${await writeReport(out)}\n`);
}

/** Why there is nothing to draw, if there is not. */
function whatIsMissing(data: FigureData): string | undefined {
  switch (data.figure) {
    case 'beta-trajectory':
      if (data.items === 0) return 'no item has a triple, so that there is no β';
      return data.runs.some(({ epochs }) => epochs.length === 0)
        ? 'no epoch was evaluated: there is no validation split, or evaluateEvery is more than the epochs'
        : undefined;
    case 'radius-degree':
      return data.groups.length === 0 ? 'no two entities have a triple' : undefined;
    case 'attention-entropy':
      return data.items === 0 ? 'no item has two triples, so that there is nothing to choose from' : undefined;
    case 'disk':
      return data.entities.length === 0 ? 'no entity has three triples; --entity ID takes one that has fewer' : undefined;
    default:
      return undefined;
  }
}

/** Figures of different data on one page would pass for one. @throws {UsageError} where the folder holds some of others */
function checkFolder(out: string, name: string, { users, items, entities }: Dataset): void {
  for (const { data, sizes } of figuresIn(join(out, 'figures')))
    if (data !== name || sizes.users !== users || sizes.items !== items || sizes.entities !== entities)
      throw new UsageError(`--out: ${out} holds figures of ${data}; give those of ${name} another folder`);
}

/**
 * Of the training in the plane: two dimensions, and unless it is said otherwise the paper's c = 1. A curvature that suits 64 dimensions leaves
 * everything so near to the origin that the disk is as good as flat.
 */
function planarOptions(options: TrainOptions): TrainOptions {
  return { curvature: 1, ...options, dim: 2 };
}

/** @throws {UsageError} for an id that the data do not have */
function rowsOf(ids: readonly string[], { entityIds }: Dataset): number[] {
  if (ids.length === 0) return paperEntities(entityIds);
  const rows = new Map(entityIds.map((id, row) => [String(id), row]));
  return ids.map((id) => {
    const row = rows.get(id);
    if (row === undefined) throw new UsageError(`--entity: the data have no entity ${JSON.stringify(id)}`);
    return row;
  });
}

/** 48130 and 97468 of the published Last-FM, known by its size; otherwise none. */
function paperEntities(entityIds: Dataset['entityIds']): number[] {
  return entityIds.length === 106_389 && entityIds[48_130] === 48_130 ? [48_130, 97_468] : [];
}

const valuesOf = (runs: readonly TrainedRun[]): Record<string, number[]> =>
  Object.fromEntries(METRICS.map(({ name }) => [name, runs.map(({ metrics }) => metrics[name]!)]));

function sweepOf(origin: Provenance, fixed: { weight: number; runs: TrainedRun[] }[], adaptive: readonly TrainedRun[]): BetaSweep {
  return {
    figure: 'beta-sweep',
    ...origin,
    metrics: METRICS.map((metric) => ({ ...metric })),
    fixed: fixed.map(({ weight, runs }) => ({ weight, values: valuesOf(runs) })),
    adaptive: { values: valuesOf(adaptive) },
  };
}

/** The groups are those of the first seed's split; other splits differ by what they hold out. */
function trajectoryOf(origin: Provenance, dataset: Dataset, adaptive: readonly TrainedRun[]): BetaTrajectory {
  const groups = itemGroups(dataset);
  return {
    figure: 'beta-trajectory',
    ...origin,
    start: adaptive[0]!.startWeight,
    items: groups.items.length,
    itemsWithoutTriples: dataset.items - groups.items.length,
    popularity: groups.popularity.groups,
    degree: groups.degree.groups,
    runs: adaptive.map(({ seed, selectedEpoch, weights }) => {
      const popularity = groups.popularity.groups.map((_, i) => weights.flatMap((record) => record.popularity[i] ?? []));
      const degree = groups.degree.groups.map((_, i) => weights.flatMap((record) => record.degree[i] ?? []));
      return { seed, selectedEpoch, epochs: weights.map(({ epoch }) => epoch), all: weights.map(({ all }) => all), popularity, degree };
    }),
  };
}

function curvesOf(origin: Provenance, adaptive: readonly TrainedRun[]): LearningCurves {
  return {
    figure: 'learning-curves',
    ...origin,
    runs: adaptive.map(({ seed, selectedEpoch, rankingLoss, knowledgeLoss, validation }) => ({
      ...{ seed, selectedEpoch, rankingLoss, knowledgeLoss, validation },
    })),
  };
}
