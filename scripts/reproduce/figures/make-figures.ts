// `npm run reproduce -- --figures …`: the runs that the figures need, and from them their data, the drawings and the report's page.
import { join } from 'node:path';
import { UsageError } from '../../../lib/cli/exit.ts';
import type { Dataset } from '../../../lib/data/dataset.ts';
import { Model } from '../../../lib/model.ts';
import { type RunRecord, runName } from '../../../lib/report/run-folder.ts';
import type { TrainOptions } from '../../../lib/train.ts';
import type { Command } from '../command.ts';
import { finishedFolder, type PlannedRun, plannedRun } from '../methods.ts';
import type { OpenDatasets, Part } from '../work.ts';
import { captionOf } from './captions.ts';
import { FIGURES } from './draw.ts';
import { attentionOf, curvesOf, type FigureRun, planeOf, radiusOf, sweepOf, trajectoryOf } from './figure-data.ts';
import { writeJson } from './json.ts';
import { placeUntrained, trainedRows } from './place-untrained.ts';
import { figuresIn, writeDrawings, writeReport } from './report.ts';
import type { FigureRequest } from './request.ts';
import { chosenEntities, Incidence } from './two-hop.ts';
import type { FigureData } from './types.ts';

/** Most neighbours that are shown: of the entity, and of each of them. */
const PER_NODE = [24, 8] as const;

/** The runs of the figures, which the comparison may need as well: adaptive ones are its Hyper-Know. With both presets they are of the first. */
export async function planFigures(command: Command, request: FigureRequest, datasets: OpenDatasets): Promise<Part> {
  const { sources, seeds, options: given, presets, out } = command;
  const { figures, betas } = request;
  const source = sources[0]!;
  const options: TrainOptions = { ...given, variant: 'hyper-know', preset: presets[0]! };
  const first = await datasets.open(source, seeds[0]!);
  const centers = figures.includes('3') ? rowsOf(request.entities, first) : []; // an id that is unknown is met before hours of training
  const isTested = first.test.items.length > 0;
  if (figures.includes('2') && !isTested) throw new UsageError('--figures: 2 compares metrics of the test split, and the data have none');
  checkFolder(out, source.name, first);

  const planned = async (label: string, own: TrainOptions, seed: number, needsModel = false): Promise<PlannedRun> => {
    const data = await datasets.key(source, seed);
    const place = { source, data, seed, splitSeed: seed, ...(isTested ? {} : { judged: 'validation' as const }) };
    return { ...plannedRun({ name: 'hyper-know', label, kind: 'model', options: own }, place), needsModel };
  };
  const wantsModel = figures.includes('radius') || figures.includes('attention');
  const trained = figures.includes('2') || figures.includes('curves') ? seeds : wantsModel ? seeds.slice(0, 1) : [];
  const learned = given.beta === undefined ? options : { ...options, beta: 'adaptive' as const };
  const adaptive: PlannedRun[] = [];
  for (const [i, seed] of trained.entries()) adaptive.push(await planned('(6) Hyper-Know', learned, seed, wantsModel && i === 0));
  const fixed: { weight: number; runs: PlannedRun[] }[] = [];
  if (figures.includes('2'))
    for (const weight of betas) {
      const runs: PlannedRun[] = [];
      for (const seed of seeds) runs.push(await planned(`Hyper-Know, weight ${weight} for all`, { ...options, beta: weight }, seed));
      fixed.push({ weight, runs });
    }
  const plane = figures.includes('3') ? await planned('Hyper-Know in the plane', planarOptions(options), seeds[0]!, true) : null;
  return {
    runs: [...adaptive, ...fixed.flatMap(({ runs }) => runs), ...(plane ? [plane] : [])],
    async conclude(records) {
      const of = ({ key }: PlannedRun): FigureRun => ({ folder: runName(key), record: records.get(runName(key))! });
      const dataset = await datasets.open(source, seeds[0]!);
      const runs = {
        adaptive: adaptive.map(of),
        fixed: fixed.map(({ weight, runs: own }) => ({ weight, runs: own.map(of) })),
        plane: plane && of(plane),
      };
      await write(out, await draw(runs, { request, dataset, centers, modelOf: ({ record }) => modelIn(out, record) }));
    },
  };
}

const modelIn = (out: string, { key, model }: RunRecord): Promise<Model> => Model.load(join(finishedFolder(out, key), model!.file));

interface Drawn {
  request: FigureRequest;
  dataset: Dataset;
  /** Rows of Figure 3's entities; none: some are chosen. */
  centers: readonly number[];
  modelOf(run: FigureRun): Promise<Model>;
}

interface FigureRuns {
  adaptive: FigureRun[];
  fixed: { weight: number; runs: FigureRun[] }[];
  plane: FigureRun | null;
}

async function draw({ adaptive, fixed, plane }: FigureRuns, { request, dataset, centers, modelOf }: Drawn): Promise<FigureData[]> {
  const { figures } = request;
  const incidence = new Incidence(dataset);
  const made: FigureData[] = [];
  if (figures.includes('2')) made.push(sweepOf(adaptive, fixed, dataset), trajectoryOf(adaptive, dataset));
  if (figures.includes('curves')) made.push(curvesOf(adaptive, dataset));
  if (figures.includes('radius') || figures.includes('attention')) {
    const model = await modelOf(adaptive[0]!);
    if (figures.includes('radius')) made.push(radiusOf(adaptive[0]!, model, dataset, incidence));
    if (figures.includes('attention')) made.push(attentionOf(adaptive[0]!, model, dataset));
  }
  if (plane) {
    const model = await modelOf(plane);
    const limits = { hubDegree: request.hubDegree, perNode: PER_NODE };
    const isTrained = trainedRows(model);
    const shown = centers.length > 0 ? centers : chosenEntities(incidence, dataset, limits, (row) => isTrained[row] === 1, 8);
    const placement = request.kgHeads === 'all' ? placeUntrained(model, dataset) : null;
    if (placement)
      process.stderr.write(
        `kg-heads all: ${placement.placed.reduce((sum, is) => sum + is, 0)} entities placed, mean L_K of their heads ${placement.before.toFixed(3)} → ${placement.after.toFixed(3)}\n`,
      );
    const nameOf = (row: number): string => {
      const id = String(dataset.entityIds[row]);
      return request.names.get(id) ?? (/^\d+$/.test(id) ? `${row < dataset.items ? 'item' : 'entity'} ${id}` : id);
    };
    made.push(planeOf(plane, { model, dataset, incidence, centers: shown, limits, nameOf, placement }));
  }
  return made;
}

async function write(out: string, made: readonly FigureData[]): Promise<void> {
  const folder = join(out, 'figures');
  for (const found of made) {
    const data = JSON.parse(JSON.stringify(found)) as FigureData; // drawn from what the file says
    const { title } = FIGURES[data.figure];
    const nothing = whatIsMissing(data);
    if (nothing) {
      console.log(`${title}\nNot drawn: ${nothing}.\n`);
      continue;
    }
    await writeJson(join(folder, `${FIGURES[data.figure].file}.json`), data);
    await writeDrawings(folder, data);
    console.log(`${title}\n${captionOf(data)}\n`);
  }
  process.stderr.write(`wrote ${folder} and ${await writeReport(out)}\n`);
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
