// Tables 2, 3 and 4 of the paper, with what was measured here.
import type { Dataset } from '../../data/dataset.ts';
import { type Published, publishedWith } from '../../data/published.ts';
import type { Row } from '../comparison.ts';
import type { RunRecord } from '../run-folder.ts';
import { mean, meanAndDeviation, quantile } from '../../statistics.ts';
import { VARIANTS } from '../../variants.ts';
import { titleOf } from '../compared-metrics.ts';
import { DATA_SETS, type DataSetName, SOURCE, TABLE_2, TABLE_3, TABLE_4 } from './quoted.ts';
import type { Cell, Column, PaperTable, TableRow } from './table.ts';

export const TABLES = [2, 3, 4] as const;
export type TableNumber = (typeof TABLES)[number];

/** What the tables need of results.json, as it is or as JSON has it. */
export interface ResultsDocument {
  protocol: { dataset: { users: number; items: number; report: Dataset['report'] } } & Record<string, unknown>;
  ledgers: Record<string, unknown>;
  rows: Measured['rows'];
  runs: readonly Record<string, unknown>[];
  /** `METHOD PRESET` → names of folders of runs of it on other backends. */
  elsewhere?: Record<string, string[]>;
}

/** @param records name of the folder → run, of all that the document names */
export function measuredIn({ protocol, rows, runs, elsewhere = {} }: ResultsDocument, records: ReadonlyMap<string, RunRecord>): Measured {
  const { users, items, report } = protocol.dataset;
  const { name } = runs[0]!.data as { name: string };
  const others = Object.entries(elsewhere).map(([who, folders]) => [who, folders.map((folder) => records.get(folder)!)] as const);
  const { interactions } = [...records.values()][0]!.protocol.data as { interactions: Measured['interactions'] };
  return { name, report, users, items, interactions, rows, records, elsewhere: new Map(others) };
}

/** tableN.json as it is read back: numbers that are none are null. */
export const tableDocument = (table: PaperTable, { protocol, ledgers }: Pick<ResultsDocument, 'protocol' | 'ledgers'>): PaperTable =>
  JSON.parse(JSON.stringify({ schema: 'hyper-know/table/1', ...table, protocol, ledgers })) as PaperTable;

export interface Measured {
  /** Of the data set. */
  name: string;
  report: Dataset['report'];
  users: number;
  items: number;
  /** Distinct ones of each split. */
  interactions: { train: number; validation: number; test: number };
  rows: readonly (Row & { preset: string; runs: readonly string[] })[];
  /** Name of the folder → run. */
  records: ReadonlyMap<string, RunRecord>;
  /** `METHOD PRESET` → runs of it on other backends, for their times alone. */
  elsewhere?: ReadonlyMap<string, readonly RunRecord[]>;
}

export function paperTables(numbers: readonly TableNumber[], measured: Measured): PaperTable[] {
  const make = { 2: table2, 3: table3, 4: table4 };
  return numbers.map((number) => make[number](measured));
}

/** A data set of the paper with as many users and items as the one at hand. */
interface Like {
  name: DataSetName;
  title: string;
  published: Readonly<Published>;
  /** Whether the interactions are split into the same training and test sets, too, as far as counts tell. */
  same: boolean;
}

function publishedLike({ report, users, items, interactions: { train, validation, test } }: Measured): Like | undefined {
  const published = report.source === 'kgat' ? publishedWith(users, items) : undefined;
  const set = DATA_SETS.find(({ name }) => name === published?.name);
  if (!published || !set) return undefined;
  const training = train + (report.validationSplit === 'random' ? validation : 0);
  return { ...set, published, same: training === published.train && test === published.test };
}

/** Which of the paper's data sets to quote: the one at hand or of the same users and items, else all. */
const quotedSets = (measured: Measured) => {
  const like = publishedLike(measured);
  return DATA_SETS.map((set, i) => ({ ...set, i })).filter(({ name }) => like === undefined || name === like.name);
};

const ours = (row: Row & { preset: string }): string =>
  row.method.startsWith('control:') ? 'control, here' : `here, ${row.preset} preset`;

const NDCG_NOTE = "The paper does not define NDCG; its numbers fit KGAT's definition and stand in that column. Both are computed here.";

/** Where ours and the quoted numbers are of different data. */
function otherData(measured: Measured): string[] {
  const like = publishedLike(measured);
  if (like?.same) return [];
  const { name, interactions } = measured;
  const apart = 'its quoted numbers are of other data and not to be compared with ours';
  if (like === undefined) return [`${name} is none of the paper's data sets: ${apart}.`];
  const { train, test } = like.published;
  const count = (n: number) => n.toLocaleString('en-US');
  const own = `${count(interactions.train + interactions.validation)} for training and validation and ${count(interactions.test)} for testing`;
  return [`${name} has the users and items of ${like.title}, but ${own}, not ${count(train)} and ${count(test)} interactions: ${apart}.`];
}

const dataTitle = (measured: Measured): string => {
  const like = publishedLike(measured);
  return like?.same ? like.title : measured.name;
};

const over = (runs: readonly RunRecord[], of: (run: RunRecord) => number | undefined): Cell => {
  const values = runs.flatMap((run) => of(run) ?? []);
  return values.length === 0 ? null : meanAndDeviation(values);
};

const runsOf = ({ records }: Measured, row: { runs: readonly string[] }): RunRecord[] => row.runs.map((name) => records.get(name)!);

const METRIC_COLUMNS: readonly Column[] = ['recall@20', 'ndcgKgat@20', 'ndcg@20'].map(
  (name): Column => ({ name, title: titleOf(name), digits: 4, best: 'most' }),
);

/** Of a row measured here: metrics, the t-test, and what the test split would have selected. */
function cellsOf(measured: Measured, row: Measured['rows'][number], data: string): Record<string, Cell> {
  const runs = runsOf(measured, row);
  const test = row.againstHyperKnow?.['recall@20'];
  return {
    data,
    method: row.label,
    source: ours(row),
    seeds: row.seeds,
    ...Object.fromEntries(METRIC_COLUMNS.map(({ name }) => [name, row.metrics[name] ?? null])),
    difference: test?.difference ?? null,
    p: test?.p ?? null,
    epoch: over(runs, ({ bestEpoch }) => bestEpoch),
    testSelected: over(runs, ({ testSelected }) => testSelected?.metrics['recall@20']),
    testSelectedNdcg: over(runs, ({ testSelected }) => testSelected?.metrics['ndcgKgat@20']),
  };
}

const COMPARED: readonly Column[] = [
  { name: 'seeds', title: 'runs', digits: 0 },
  ...METRIC_COLUMNS,
  { name: 'difference', title: 'Hyper-Know − this, Recall@20', digits: 4 },
  { name: 'p', title: 'p', digits: 4, least: 0.0001 },
  { name: 'epoch', title: 'epoch', digits: 0 },
  { name: 'testSelected', title: 'Recall@20, epoch selected on test', digits: 4 },
  { name: 'testSelectedNdcg', title: 'NDCG@20 (kgat), epoch selected on test', digits: 4 },
];

const WHO: readonly Column[] = [
  { name: 'data', title: 'Data' },
  { name: 'method', title: 'Method' },
  { name: 'source', title: 'Source' },
];

const SELECTION_NOTES = [
  'Epochs and settings are selected by validation Recall@20. The columns "epoch selected on test" are no results: they say what selecting on the test split, as much published code does, would have shown.',
  '± is the standard deviation over the runs; p is of a two-sided paired t-test over users, each averaged over the seeds, against Hyper-Know in the same preset.',
];

/** A control is one row, though it is compared with either preset: against the first. */
const once = (rows: Measured['rows']): Measured['rows'] =>
  rows.filter((row, i) => !row.method.startsWith('control:') || rows.findIndex(({ method }) => method === row.method) === i);

/** A table of metrics: what the paper prints, then what was made here. */
function comparison(number: 2 | 3, title: string, measured: Measured, quoted: readonly TableRow[], made: Measured['rows']): PaperTable {
  const data = dataTitle(measured);
  return {
    number,
    title,
    columns: [...WHO, ...COMPARED],
    rows: [...quoted, ...made.map((row) => ({ quoted: false, cells: cellsOf(measured, row, data) }))],
    notes: [
      ...otherData(measured),
      `Quoted rows are numbers that ${SOURCE} prints; nothing of them was run here.`,
      NDCG_NOTE,
      ...SELECTION_NOTES,
    ],
  };
}

/** What the paper prints of a method on one of its data sets. */
const quotedRow = (table: number, data: string, method: string, cells: TableRow['cells']): TableRow => ({
  quoted: true,
  cells: { data, method, source: `quoted: ${SOURCE}, Table ${table}`, ...cells },
});

function table2(measured: Measured): PaperTable {
  const data = dataTitle(measured);
  const quoted: TableRow[] = quotedSets(measured).flatMap(({ title, i }) =>
    TABLE_2.map(({ method, values }) =>
      quotedRow(2, title, method, { seeds: 5, 'recall@20': values[i]![0], 'ndcgKgat@20': values[i]![1] }),
    ),
  );
  const made = once(measured.rows.filter(({ method }) => method === 'hyper-know' || method.startsWith('control:')));
  return comparison(
    2,
    `Comparison on ${data}: Hyper-Know and controls of this project, and what the paper reports`,
    measured,
    quoted,
    made,
  );
}

function table3(measured: Measured): PaperTable {
  const data = dataTitle(measured);
  const labels = new Map<string, string>(VARIANTS.map(({ name, label }) => [name, label]));
  const quoted: TableRow[] = quotedSets(measured)
    .filter(({ i }) => i < 2)
    .flatMap(({ title, i }) =>
      TABLE_3.map(({ variant, values }) =>
        quotedRow(3, title, labels.get(variant)!, { seeds: 5, 'recall@20': values[i]![0], 'ndcgKgat@20': values[i]![1] }),
      ),
    );
  const made = measured.rows.filter(({ method }) => labels.has(method));
  return comparison(3, `Ablation on ${data}: Att attention, Avg average, E Euclidean, H hyperbolic`, measured, quoted, made);
}

function table4(measured: Measured): PaperTable {
  const data = dataTitle(measured);
  const quoted: TableRow[] = quotedSets(measured).flatMap(({ title, i }) =>
    TABLE_4.map(({ method, seconds }) =>
      quotedRow(4, title, method, { backend: '', hardware: 'NVIDIA Tesla V100', mean: seconds[i]!, epochs: 20 }),
    ),
  );
  const made: TableRow[] = measured.rows
    .filter(({ method }) => !method.startsWith('control:'))
    .flatMap((row) =>
      byHardware([...runsOf(measured, row), ...(measured.elsewhere?.get(`${row.method} ${row.preset}`) ?? [])]).map(
        ({ backend, hardware, runs }) => {
          const seconds = runs.flatMap(({ history }) => history!.map((epoch) => epoch.seconds));
          return {
            quoted: false,
            cells: {
              ...{ data, method: row.label, source: ours(row), backend, hardware },
              ...{ mean: mean(seconds), median: quantile(seconds, 0.5), p10: quantile(seconds, 0.1), p90: quantile(seconds, 0.9) },
              epochs: seconds.length,
            },
          };
        },
      ),
    );
  const column = (name: string, title: string): Column => ({ name, title, significant: 3 });
  return {
    number: 4,
    title: `Training time per epoch in seconds on ${data}`,
    columns: [
      ...[...WHO, { name: 'backend', title: 'Backend' }, { name: 'hardware', title: 'Hardware' }],
      ...[column('mean', 'mean'), column('median', 'median'), column('p10', '10 %'), column('p90', '90 %')],
      { name: 'epochs', title: 'epochs', digits: 0 },
    ],
    rows: [...quoted, ...made],
    notes: [
      'Seconds of training alone: validation, checkpoints and saving are not in them, nor is the first set-up. Over all epochs of all seeds.',
      'Rows of different hardware say nothing about the methods; the first epochs of a process are slower than the others.',
      ...otherData(measured),
    ],
  };
}

/** Runs by backend and machine: seconds of different ones are not averaged. */
function byHardware(runs: readonly RunRecord[]): { backend: string; hardware: string; runs: RunRecord[] }[] {
  const groups = new Map<string, { backend: string; hardware: string; runs: RunRecord[] }>();
  for (const run of runs) {
    const { backend, device } = run.protocol as { backend: string; device: string };
    const hardware =
      backend === 'cpu' ? `${String(run.host.cpu)}, ${device.replace(/^CPU, /, '')}, threads: ${String(run.host.threads)}` : device;
    const key = `${backend} ${hardware}`;
    const group = groups.get(key) ?? { backend, hardware, runs: [] };
    group.runs.push(run);
    groups.set(key, group);
  }
  return [...groups.values()];
}
