// The variants of the paper's Table 3 beside the controls, on one data set, in one preset or both. Every seed is one of the split, too.
import { join } from 'node:path';
import { comparisonRows, type Row } from '../../lib/report/comparison.ts';
import { METRICS } from '../../lib/report/compared-metrics.ts';
import { number } from '../../lib/report/numbers.ts';
import { listedRuns, type RunRecord, runName, writeText } from '../../lib/report/run-folder.ts';
import type { TrainOptions } from '../../lib/train.ts';
import { VERSION } from '../../lib/version.ts';
import type { Command } from './command.ts';
import { controlsFor } from './controls.ts';
import { checkTested, sizesOf } from './data.ts';
import { finishedRun, type Method, type PlannedRun, plannedRun } from './methods.ts';
import { protocolOf } from './protocol.ts';
import { remarksOf, tableOf } from './table.ts';
import { measuredIn, paperTables, type ResultsDocument, tableDocument } from '../../lib/report/tables/paper-tables.ts';
import { type OpenDatasets, type Part, takeOver, type Work } from './work.ts';
import { writeTables } from './write-tables.ts';

/** What is compared with each other: the variants in one preset, and the controls. */
interface Group {
  preset: string;
  methods: Method[];
  /** Method → its planned runs, by seed. */
  runs: Map<string, PlannedRun[]>;
}

/** A row, what it was compared within, and the folders of its runs. */
export interface ResultRow extends Row {
  preset: string;
  runs: string[];
}

export async function planComparison(command: Command, datasets: OpenDatasets): Promise<Part> {
  const { sources, variants, seeds, options, presets, controls: wanted } = command;
  const source = sources[0]!;
  const first = await datasets.open(source, 1);
  checkTested(first, source.name);
  process.stderr.write(`${source.name}: ${sizesOf(first)}\n`);
  const data = { ...(await datasets.key(source, 1)), users: first.users, items: first.items, report: first.report };
  const { controls, remarks: missing } = wanted ? controlsFor(first) : { controls: [], remarks: [] };
  const groups: Group[] = presets.map((preset) => {
    const own: TrainOptions = presets.length > 1 ? { ...options, preset } : options;
    const methods: Method[] = [
      ...variants.map(({ name, label }) => ({ name, label, kind: 'model' as const, options: { ...own, variant: name } })),
      ...controls.map((control) => ({ name: control.name, label: control.label, kind: 'control' as const, control })),
    ];
    return { preset, methods, runs: new Map(methods.map(({ name }) => [name, []])) };
  });
  const planned: PlannedRun[] = [];
  for (const seed of seeds) {
    const key = await datasets.key(source, seed);
    for (const { methods, runs } of groups)
      for (const method of methods) {
        const run = plannedRun(method, { source, data: key, seed, splitSeed: seed });
        const own = runs.get(method.name)!;
        if (!own.some((one) => runName(one.key) === runName(run.key))) own.push(run); // a control's for one split but once
        planned.push(run);
      }
  }
  return { runs: planned, conclude: (records) => conclude(command, { data, groups, missing }, records) };
}

interface Compared {
  /** Key and report of the data set. */
  data: ResultsDocument['protocol']['dataset'];
  groups: readonly Group[];
  /** Why controls are left out. */
  missing: readonly string[];
}

async function conclude(command: Command, { data, groups, missing }: Compared, records: ReadonlyMap<string, RunRecord>): Promise<void> {
  const { seeds, options, presets, out, tables } = command;
  const rows: ResultRow[] = [];
  const remarks = [...missing];
  for (const [i, { preset, methods, runs }] of groups.entries()) {
    const results = new Map([...runs].map(([name, own]) => [name, own.map(({ key }) => records.get(runName(key))!)]));
    const own = comparisonRows(
      methods,
      results,
      METRICS.map(({ name }) => name),
    );
    rows.push(...own.map((row) => ({ ...row, preset, runs: results.get(row.method)!.map(({ key }) => runName(key)) })));
    if (groups.length > 1) console.log(`${i > 0 ? '\n' : ''}${preset} preset`);
    console.log(tableOf(own, METRICS, 'recall@20'));
    const said = remarksOf(own, 'recall@20');
    for (const remark of [...(i === 0 ? missing : []), ...said]) console.log(remark);
    remarks.push(...said.map((remark) => (groups.length > 1 ? `${preset} preset: ${remark}` : remark)));
  }
  const all = new Map(records);
  const elsewhere = tables.length > 0 ? await ofOtherBackends(groups, command, all) : [];
  const { threads, ...decisive } = options;
  const document = {
    schema: 'hyper-know/results/3',
    version: VERSION,
    protocol: { dataset: data, options: decisive, presets, seeds, ...protocolOf(threads) },
    ledgers: ledgersOf(groups, records),
    rows,
    remarks,
    ...(tables.length > 0 ? { tables, elsewhere: Object.fromEntries(elsewhere) } : {}),
    runs: listedRuns(all),
  };
  await writeText(join(out, 'results.json'), `${JSON.stringify(document, undefined, 2)}\n`);
  process.stderr.write(`wrote ${join(out, 'results.json')}\n`);
  if (tables.length === 0) return;
  const written = JSON.parse(JSON.stringify(document)) as ResultsDocument; // made of what the file says, so that it can be verified
  const made = paperTables(tables, measuredIn(written, all));
  await writeTables(
    made.map((table) => tableDocument(table, written)),
    out,
  );
}

export function workOf({ out, from, keepModels, options }: Command, datasets: OpenDatasets): Work {
  return {
    ...{ out, from, datasets, keepModel: keepModels, threads: options.threads },
    describe: ({ metrics }) => METRICS.map(({ name, title }) => `${title} ${number(metrics[name]!)}`).join('  '),
  };
}

/**
 * Finished runs of the same models on other backends, for their times: `METHOD PRESET` → names of their folders. Those of other OUTs are taken over.
 *
 * @param records gets them
 */
async function ofOtherBackends(
  groups: readonly Group[],
  { out, from }: Command,
  records: Map<string, RunRecord>,
): Promise<[who: string, folders: string[]][]> {
  const found = new Map<string, string[]>();
  for (const { preset, runs } of groups)
    for (const [name, own] of runs)
      for (const { key } of own.filter((run) => run.method.kind === 'model'))
        for (const backend of ['cpu', 'cuda'].filter((other) => other !== key.options.backend)) {
          const other = { ...key, options: { ...key.options, backend } };
          await takeOver(other, { from, out, wantsModel: false });
          const record = await finishedRun(out, other, false);
          if (record === undefined) continue;
          records.set(runName(other), record);
          found.set(`${name} ${preset}`, [...(found.get(`${name} ${preset}`) ?? []), runName(other)]);
        }
  return [...found];
}

/** The ledger of each preset: that of Hyper-Know, or of what is there in its place. */
function ledgersOf(groups: readonly Group[], records: ReadonlyMap<string, RunRecord>): Record<string, RunRecord['ledger']> {
  return Object.fromEntries(
    groups.flatMap(({ preset, methods, runs }) => {
      const method = methods.find(({ name }) => name === 'hyper-know') ?? methods[0];
      const run = method && runs.get(method.name)![0];
      return run ? [[preset, records.get(runName(run.key))!.ledger]] : [];
    }),
  );
}
