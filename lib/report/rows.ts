// Runs that differ by nothing but the seed become one row.
import { HyperKnowError } from '../errors.ts';
import { mean, standardDeviation } from '../statistics.ts';
import type { Run } from './runs.ts';

/** The mean over the runs of a row that have the metric, and their standard deviation (n − 1); null where there are fewer than two. */
export interface Value {
  mean: number;
  sd: number | null;
  runs: number;
}

export interface ReportRow {
  data: string;
  split: string;
  method: string;
  label: string;
  /** The options by which it differs from the other rows of its method on its data. */
  differs: Record<string, unknown>;
  seeds: (number | null)[];
  runs: number;
  metrics: Record<string, Value>;
  epochSeconds?: number;
  files: string[];
}

/** Above this two files do not say the same of one run. */
const TOLERANCE = 1e-9;

/**
 * A row for every method with its options on every data set, in the order in which they come first; a run that several files hold counts
 * once, with all that they say of it.
 *
 * @throws {HyperKnowError} ERR_HK_DATA if two files contradict each other
 */
export function rowsOf(runs: readonly Run[]): ReportRow[] {
  const groups = new Map<string, Run[]>();
  for (const run of distinct(runs)) {
    const key = JSON.stringify([run.dataKey, run.split, run.method, sorted(run.options)]);
    groups.set(key, [...(groups.get(key) ?? []), run]);
  }
  const all = [...groups.values()];
  return all.map((group) => {
    const { data, dataKey, split, method, label, options } = group[0]!;
    const siblings = all.map(([first]) => first!).filter((one) => one.dataKey === dataKey && one.split === split && one.method === method);
    const names = new Set(siblings.flatMap((one) => Object.keys(one.options)));
    const text = (one: Run, name: string) => JSON.stringify(one.options[name]);
    const differing = [...names].filter((name) => siblings.some((one) => text(one, name) !== text(group[0]!, name)));
    const seconds = group.flatMap(({ epochSeconds }) => (epochSeconds === undefined ? [] : [epochSeconds]));
    return {
      ...{ data, split, method, label },
      differs: Object.fromEntries(differing.map((name) => [name, options[name] ?? null])),
      seeds: group.map(({ seed }) => seed).sort((a, b) => (a ?? -1) - (b ?? -1)),
      runs: group.length,
      metrics: Object.fromEntries(
        [...new Set(group.flatMap(({ metrics }) => Object.keys(metrics)))].map((name) => [name, merged(group, name)]),
      ),
      ...(seconds.length > 0 ? { epochSeconds: mean(seconds) } : {}),
      files: [...new Set(group.map(({ file }) => file))],
    };
  });
}

function merged(group: readonly Run[], metric: string): Value {
  const values = group.flatMap(({ metrics }) => (metrics[metric] === undefined ? [] : [metrics[metric]]));
  return { mean: mean(values), sd: values.length > 1 ? standardDeviation(values) : null, runs: values.length };
}

function distinct(runs: readonly Run[]): Run[] {
  const known = new Map<string, Run>();
  for (const run of runs) {
    const before = known.get(run.identity);
    if (before === undefined) {
      known.set(run.identity, { ...run, metrics: { ...run.metrics } });
      continue;
    }
    for (const [name, value] of Object.entries(run.metrics)) {
      const other = before.metrics[name];
      if (other !== undefined && !(Math.abs(other - value) <= TOLERANCE) && !(Number.isNaN(other) && Number.isNaN(value)))
        throw new HyperKnowError(
          'ERR_HK_DATA',
          `${run.file}: says ${name} ${value} of the run of ${run.label}, seed ${run.seed}, of which ${before.file} says ${other}`,
          { file: run.file },
        );
      before.metrics[name] = value;
    }
  }
  return [...known.values()];
}

const sorted = (options: Record<string, unknown>): [string, unknown][] => Object.entries(options).sort(([a], [b]) => (a < b ? -1 : 1));

const ORDER = ['recall', 'ndcg', 'ndcgKgat', 'precision', 'hitRate', 'mrr'];

/** All metrics that a row has, recall first, then by cut-off. */
export function metricsIn(rows: readonly ReportRow[]): string[] {
  const names = [...new Set(rows.flatMap(({ metrics }) => Object.keys(metrics)))];
  const place = (name: string): [number, number] => {
    const [kind = '', k = '0'] = name.split('@');
    return [ORDER.indexOf(kind) < 0 ? ORDER.length : ORDER.indexOf(kind), Number(k)];
  };
  return names.sort((a, b) => place(a)[0] - place(b)[0] || place(a)[1] - place(b)[1]);
}
