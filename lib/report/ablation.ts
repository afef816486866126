// What an ablation found: rows from its runs, and what is written of them.
import { meanAndDeviation, pairedTTest } from '../statistics.ts';
import type { TrainOptions } from '../train.ts';
import { averageOverSeeds } from './comparison.ts';
import { markdown, number, signed, spread } from './numbers.ts';
import type { RunRecord } from './run-folder.ts';

export interface AblationRow {
  method: string;
  label: string;
  runs: number;
  validationRecall: { mean: number; sd: number };
  recall: { mean: number; sd: number };
  ndcg: { mean: number; sd: number };
  /** This minus the base, test recall@20 per user, each user's mean over the seeds; absent for the base. */
  againstBase?: { difference: number; p: number; users: number };
  epochSeconds?: number;
  bestEpoch?: number;
}

type Judged = Pick<RunRecord, 'metrics' | 'perUser' | 'validationRecall' | 'epochSeconds' | 'bestEpoch'> &
  Partial<Pick<RunRecord, 'protocol' | 'validation'>>;

/** Of the lists that the test metrics are of: where neighbours are blended into them, not what the epoch was selected by. */
function validationRecallOf({ protocol, validation, validationRecall }: Judged): number | undefined {
  const { neighborBlend } = (protocol?.selection ?? {}) as { neighborBlend?: object };
  return neighborBlend && validation ? validation['recall@20'] : validationRecall;
}

export function ablationRows(
  methods: readonly { name: string; label: string }[],
  results: ReadonlyMap<string, readonly Judged[]>,
): AblationRow[] {
  const base = results.get(methods[0]!.name)!;
  const over = (runs: readonly Judged[], of: (run: Judged) => number | undefined) =>
    meanAndDeviation(runs.map((run) => of(run) ?? Number.NaN));
  return methods.map(({ name, label }) => {
    const runs = results.get(name)!;
    const row: AblationRow = {
      ...{ method: name, label, runs: runs.length },
      validationRecall: over(runs, validationRecallOf),
      recall: over(runs, (run) => run.metrics['recall@20']),
      ndcg: over(runs, (run) => run.metrics['ndcg@20']),
    };
    if (runs !== base) {
      const { difference, p, pairs } = pairedTTest(averageOverSeeds(runs, 'recall@20'), averageOverSeeds(base, 'recall@20'));
      row.againstBase = { difference, p, users: pairs };
    }
    if (runs[0]!.epochSeconds !== undefined) {
      row.epochSeconds = over(runs, (run) => run.epochSeconds).mean;
      row.bestEpoch = over(runs, (run) => run.bestEpoch).mean;
    }
    return row;
  });
}

/** The table of one data set. */
export function ablationTable(rows: readonly AblationRow[]): string {
  const head = ['', 'validation Recall@20', 'Recall@20', 'NDCG@20', 'this − Hyper-Know', 'p', 's/epoch', 'best epoch'];
  return markdown(
    head,
    rows.map(({ label, validationRecall, recall, ndcg, againstBase, epochSeconds, bestEpoch }) => [
      label,
      spread(validationRecall),
      spread(recall),
      spread(ndcg),
      againstBase ? signed(againstBase.difference) : '',
      againstBase ? (Number.isFinite(againstBase.p) && againstBase.p < 1e-4 ? '< 0.0001' : number(againstBase.p)) : '',
      epochSeconds === undefined ? '' : epochSeconds.toPrecision(2),
      bestEpoch === undefined ? '' : bestEpoch.toFixed(0),
    ]),
  );
}

/** What each change does to validation recall@20, data set by data set: what a preset may be chosen by. */
export function overviewTable(sets: readonly { name: string; rows: readonly AblationRow[] }[]): string {
  const labels = new Map(
    sets.flatMap(({ rows }) => rows.filter(({ againstBase }) => againstBase).map(({ method, label }) => [method, label])),
  );
  return markdown(
    ['validation Recall@20, this − Hyper-Know', ...sets.map(({ name }) => name)],
    [...labels].map(([method, label]) => [
      label,
      ...sets.map(({ rows }) => {
        const row = rows.find((one) => one.method === method);
        return row ? signed(row.validationRecall.mean - rows[0]!.validationRecall.mean) : '';
      }),
    ]),
  );
}

/** The rows of one data set as ablation.json has them. */
export interface AblatedSet {
  name: string;
  /** In words. */
  sizes: string;
  data: Record<string, unknown>;
  /** `folders`: names of the runs that the row is of. */
  rows: (AblationRow & { folders: string[] })[];
  remarks: string[];
}

/** ablation.json */
export interface AblationDocument {
  schema: string;
  version: string;
  protocol: { options: TrainOptions; seeds: number[] } & Record<string, unknown>;
  dataSets: AblatedSet[];
  runs: Record<string, unknown>[];
}

export const dataSetText = ({ name, sizes, rows, remarks }: AblatedSet): string =>
  [`## ${name}`, '', `${sizes}.`, '', ablationTable(rows), ...(remarks.length > 0 ? ['', ...remarks] : [])].join('\n');

/** ablation.md */
export function ablationText({ protocol: { options, seeds }, dataSets }: AblationDocument): string {
  const { preset = 'tuned', backend: _backend, ...rest } = options;
  const extra = Object.keys(rest).length > 0 ? ` and ${JSON.stringify(rest)}` : '';
  return [
    '# Ablation',
    '',
    `Each row is ${preset}${extra} with one thing changed; ${seeds.length} seed${seeds.length > 1 ? 's' : ''}, one split. ` +
      'The epoch is chosen on validation Recall@20, the test split is looked at once; ± is the standard deviation over the seeds, p of the paired ' +
      't-test over the users.',
    '',
    overviewTable(dataSets),
    '',
    ...dataSets.flatMap((set) => [dataSetText(set), '']),
  ].join('\n');
}
