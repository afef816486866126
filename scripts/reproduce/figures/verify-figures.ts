// The figures of a folder again: their data from the runs that they name, the drawings from the data, the page from all of it. Nothing is trained.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { HyperKnowError } from '../../../lib/errors.ts';
import { Model } from '../../../lib/model.ts';
import { Checks, type Verdict, verdictOfError, verdictOn } from '../../../lib/report/checks.ts';
import { RunData } from '../../../lib/report/run-data.ts';
import { readRun } from '../../../lib/report/run-folder.ts';
import { runsFolder } from '../methods.ts';
import { drawingsOf, FIGURES } from './draw.ts';
import { attentionOf, curvesOf, type FigureRun, planeOf, radiusOf, sweepOf, trajectoryOf } from './figure-data.ts';
import { placeUntrained } from './place-untrained.ts';
import { figuresIn, reportPage } from './report.ts';
import { Incidence } from './two-hop.ts';
import type { Disk, FigureData } from './types.ts';

/**
 * @param out the folder that holds `figures/`; without any there is nothing to say
 * @param data where the data set is, instead of where the runs have it
 */
export async function* verifyFigures(out: string, data: string | undefined): AsyncGenerator<Verdict> {
  const folder = join(out, 'figures');
  const figures = figuresIn(folder);
  const datasets = new RunData(out, data);
  for (const figure of figures) {
    const what = `figures/${FIGURES[figure.figure].file}`;
    if (!Array.isArray(figure.folders)) {
      yield { what, status: 'unchecked', remarks: ['it does not say what runs it is drawn from: it was written by an older release'] };
      continue;
    }
    try {
      const again = JSON.parse(JSON.stringify(await drawnAgain(figure, out, datasets))) as FigureData;
      const difference = new Checks(0).tree(withoutLabels(figure), withoutLabels(again));
      const wrong = difference === undefined ? [] : [`${FIGURES[figure.figure].file}.json: ${difference}`];
      const drawings = drawingsOf(figure);
      const missing = [...drawings.keys()].filter((name) => !existsSync(join(folder, name)));
      for (const [name, svg] of drawings)
        if (!missing.includes(name) && readFileSync(join(folder, name), 'utf8') !== svg) wrong.push(`${name} is not what its data give`);
      if (wrong.length > 0 || missing.length === 0) yield verdictOn(what, wrong);
      else yield { what, status: 'missing', remarks: missing.map((name) => `${name} is not there`) };
    } catch (error) {
      if (!(error instanceof HyperKnowError)) throw error;
      yield verdictOfError(what, error);
    }
  }
  const page = join(out, 'report.html');
  if (figures.length > 0 && !existsSync(page)) yield { what: 'report.html', status: 'missing', remarks: ['report.html is not there'] };
  else if (figures.length > 0)
    yield verdictOn(
      'report.html',
      readFileSync(page, 'utf8') === (await reportPage(out)) ? [] : ['it is not what results.json, the tables and the figures give'],
    );
}

async function drawnAgain(figure: FigureData, out: string, datasets: RunData): Promise<FigureData> {
  const runs = (names: readonly string[]): Promise<FigureRun[]> =>
    Promise.all(names.map(async (name) => ({ folder: name, record: await readRun(join(runsFolder(out), name)) })));
  const own = await runs(figure.folders);
  const [first] = own;
  const dataset = await datasets.open(first!.record);
  const model = (): Promise<Model> => Model.load(join(runsFolder(out), first!.folder, first!.record.model?.file ?? 'model.safetensors'));
  switch (figure.figure) {
    case 'beta-sweep':
      return sweepOf(
        own,
        await Promise.all(figure.fixed.map(async ({ weight, folders }) => ({ weight, runs: await runs(folders) }))),
        dataset,
      );
    case 'beta-trajectory':
      return trajectoryOf(own, dataset);
    case 'learning-curves':
      return curvesOf(own, dataset);
    case 'radius-degree':
      return radiusOf(first!, await model(), dataset, new Incidence(dataset));
    case 'attention-entropy':
      return attentionOf(first!, await model(), dataset);
    case 'disk': {
      const flat = await model();
      const rows = new Map(dataset.entityIds.map((id, row) => [String(id), row]));
      const { hubDegree, perNode } = figure.entities[0]!;
      return planeOf(first!, {
        ...{ model: flat, dataset, incidence: new Incidence(dataset), limits: { hubDegree, perNode }, nameOf: () => '' },
        centers: figure.entities.flatMap(({ id }) => rows.get(id) ?? []),
        placement: figure.kgHeads === 'all' ? placeUntrained(flat, dataset) : null,
      });
    }
  }
}

/** What the caller has called the nodes is no number of a run. */
function withoutLabels(figure: FigureData): unknown {
  if (figure.figure !== 'disk') return figure;
  const entities: Disk['entities'] = figure.entities.map((one) => ({ ...one, nodes: one.nodes.map((node) => ({ ...node, label: '' })) }));
  return { ...figure, entities };
}
