// What a sweep found, best first.
import { mean, meanAndDeviation } from '../statistics.ts';
import type { TrainOptions } from '../train.ts';
import { csvLine } from './formats.ts';
import { markdown, number, spread } from './numbers.ts';
import type { RunRecord } from './run-folder.ts';

export interface SweepCell {
  data: string;
  runs: number;
  /** Names of the folders of the runs. */
  folders: string[];
  /** Validation recall@20 and NDCG@20 of the selected epoch. */
  recall: { mean: number; sd: number };
  ndcg: { mean: number; sd: number };
  epoch: number;
  epochs: number;
  epochSeconds: number;
}

export interface SweepRow {
  options: TrainOptions;
  /** Mean over the data sets of its recall divided by the best setting's: 1 is the best everywhere. */
  score: number;
  cells: SweepCell[];
}

/** A run and the name of its folder. */
export type Judged = Pick<RunRecord, 'metrics' | 'bestEpoch' | 'epochs' | 'epochSeconds'> & { folder: string };

/** @param results for each setting the runs of every data set, in the order of `names` */
export function sweepRows(
  settings: readonly TrainOptions[],
  names: readonly string[],
  results: readonly (readonly (readonly Judged[])[])[],
): SweepRow[] {
  const over = (runs: readonly Judged[], of: (run: Judged) => number) => meanAndDeviation(runs.map(of));
  const cells = results.map((bySet) =>
    bySet.map((runs, i) => ({
      ...{ data: names[i]!, runs: runs.length, folders: runs.map(({ folder }) => folder) },
      recall: over(runs, ({ metrics }) => metrics['recall@20']!),
      ndcg: over(runs, ({ metrics }) => metrics['ndcg@20']!),
      epoch: over(runs, ({ bestEpoch }) => bestEpoch!).mean,
      epochs: over(runs, ({ epochs }) => epochs!).mean,
      epochSeconds: over(runs, ({ epochSeconds }) => epochSeconds!).mean,
    })),
  );
  const best = names.map((_, i) => Math.max(...cells.map((own) => own[i]!.recall.mean)));
  return settings
    .map((options, s) => ({ options, score: mean(cells[s]!.map(({ recall }, i) => recall.mean / best[i]!)), cells: cells[s]! }))
    .sort((a, b) => b.score - a.score);
}

/** The options in which the settings differ. */
export function differing(rows: readonly { options: TrainOptions }[]): string[] {
  const text = (options: TrainOptions, name: string) => JSON.stringify((options as Record<string, unknown>)[name]);
  const names = [...new Set(rows.flatMap(({ options }) => Object.keys(options)))];
  return names.filter((name) => rows.some(({ options }) => text(options, name) !== text(rows[0]!.options, name)));
}

const value = (options: TrainOptions, name: string): string => {
  const found = (options as Record<string, unknown>)[name];
  return found === undefined ? '' : typeof found === 'string' ? found : JSON.stringify(found);
};

export function sweepTable(rows: readonly SweepRow[], names: readonly string[]): string {
  const options = differing(rows);
  const head = [
    names.length > 1 ? 'of the best' : '',
    ...options,
    ...names.flatMap((name) => [`${name}: Recall@20`, 'NDCG@20', 'epoch', 's/epoch']),
  ];
  return markdown(
    head,
    rows.map((row, i) => [
      names.length > 1 ? row.score.toFixed(4) : String(i + 1),
      ...options.map((name) => value(row.options, name)),
      ...row.cells.flatMap(({ recall, ndcg, epoch, epochs, epochSeconds }) => [
        spread(recall),
        number(ndcg.mean),
        `${epoch.toFixed(0)} of ${epochs.toFixed(0)}`,
        epochSeconds.toPrecision(2),
      ]),
    ]),
  );
}

export function sweepCsv(rows: readonly SweepRow[]): string {
  const options = differing(rows);
  return [
    csvLine([
      'score',
      ...options,
      'data',
      'runs',
      'recall@20',
      'recall@20 sd',
      'ndcg@20',
      'ndcg@20 sd',
      'epoch',
      'epochs',
      'epoch seconds',
    ]),
    ...rows.flatMap((row) =>
      row.cells.map(({ data, runs, recall, ndcg, epoch, epochs, epochSeconds }) => {
        const sd = (one: number | null) => (Number.isFinite(one) ? one : null);
        const numbers = [runs, recall.mean, sd(recall.sd), ndcg.mean, sd(ndcg.sd), epoch, epochs, epochSeconds];
        return csvLine([row.score, ...options.map((name) => value(row.options, name)), data, ...numbers]);
      }),
    ),
    '',
  ].join('\n');
}

/** sweep.json */
export interface SweepDocument {
  schema: string;
  version: string;
  /** What was searched. */
  space: object;
  selection: string;
  seeds: number[];
  splitSeed: number;
  /** Names of the data sets. */
  data: string[];
  host: Record<string, unknown>;
  rows: SweepRow[];
  runs: Record<string, unknown>[];
}

/** Settings, from which on it says something what those with one value have in common. */
const MANY = 12;

/** An option with more values than this is looked at in thirds of the settings. */
const FEW_VALUES = 6;

/** For every option that was varied: the means over the settings with each of its values, or over the thirds with the smallest, middle and largest. */
export function effectsTable(rows: readonly SweepRow[], names: readonly string[]): string {
  const over = (own: readonly SweepRow[], of: (cell: SweepCell) => number, i: number) =>
    number(mean(own.map(({ cells }) => of(cells[i]!))));
  const lines = differing(rows).flatMap((name) =>
    groupsOf(rows, name).map(([label, own]) => [
      name,
      label,
      String(own.length),
      ...names.flatMap((_, i) => [over(own, ({ recall }) => recall.mean, i), over(own, ({ ndcg }) => ndcg.mean, i)]),
    ]),
  );
  return markdown(['option', 'value', 'settings', ...names.flatMap((name) => [`${name}: Recall@20`, 'NDCG@20'])], lines);
}

function groupsOf(rows: readonly SweepRow[], name: string): [label: string, rows: SweepRow[]][] {
  const byValue = new Map<string, SweepRow[]>();
  for (const row of rows) byValue.set(value(row.options, name), [...(byValue.get(value(row.options, name)) ?? []), row]);
  const numeric = [...byValue.keys()].every((text) => text !== '' && Number.isFinite(Number(text)));
  const order = numeric ? (a: string, b: string) => Number(a) - Number(b) : (a: string, b: string) => (a < b ? -1 : Number(a > b));
  if (!numeric || byValue.size <= FEW_VALUES) return [...byValue].sort(([a], [b]) => order(a, b));
  const sorted = rows.toSorted((a, b) => order(value(a.options, name), value(b.options, name)));
  return [0, 1, 2].map((third) => {
    const own = sorted.slice(Math.round((third * sorted.length) / 3), Math.round(((third + 1) * sorted.length) / 3));
    return [`${value(own[0]!.options, name)} – ${value(own.at(-1)!.options, name)}`, own];
  });
}

/** sweep.md */
export function sweepText({ seeds, selection, space, rows, data }: SweepDocument): string {
  const about = `${seeds.length} seed${seeds.length > 1 ? 's' : ''}, one split; ${selection}. Of \`${JSON.stringify(space)}\`.`;
  const effects =
    rows.length < MANY
      ? []
      : ['What settings have in common that share a value, whatever else they have:', '', effectsTable(rows, data), ''];
  return ['# Sweep', '', about, '', sweepTable(rows, data), '', ...effects].join('\n');
}
