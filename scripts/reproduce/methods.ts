// Runs a method on a data set: trains a model or fits a control, and judges it on the test split once.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { rankBy } from '../../lib/controls.ts';
import type { Dataset } from '../../lib/data/dataset.ts';
import { evaluatePerUser, evaluateRanking, meanMetrics, type PerUserMetrics } from '../../lib/evaluate.ts';
import { quantile } from '../../lib/statistics.ts';
import { type TrainOptions, train } from '../../lib/train.ts';
import { type Control, GRIDS } from './controls.ts';
import type { Progress } from './progress.ts';
import { finishedRun, type RunKey, type RunResult, runFile, writeWhole } from './runs.ts';

export const METRICS = [
  { name: 'recall@20', title: 'Recall@20' },
  { name: 'ndcg@20', title: 'NDCG@20 (standard)' },
  { name: 'ndcgKgat@20', title: 'NDCG@20 (kgat)' },
] as const;

const RANKING = { k: 20, split: 'test', ndcg: 'both' } as const;

export const VERSION: string = (
  JSON.parse(readFileSync(fileURLToPath(new URL('../../package.json', import.meta.url)), 'utf8')) as { version: string }
).version;

/** A row of a table: options of `train`, its variant included, for every seed; or a control, which knows no seed. */
export type Method = { name: string; label: string } & ({ kind: 'model'; options: TrainOptions } | { kind: 'control'; control: Control });

export interface Occasion {
  dataset: Dataset;
  /** Of `dataset`. */
  data: Record<string, unknown>;
  seed: number;
  out: string;
  progress: Progress;
}

/** The result of the run: the finished one, where there is one. `isNew` says whether it had to be made. */
export async function resultOf(method: Method, { dataset, data, seed, out, progress }: Occasion): Promise<RunResult & { isNew: boolean }> {
  const key = keyOfRun(method, data, seed);
  const before = finishedRun(out, key);
  if (before) return { ...before, isNew: false };
  const result =
    method.kind === 'model'
      ? await trainRun(key, dataset, { ...method.options, seed }, (text) => progress.show(`${method.label}, seed ${seed}: ${text}`, 0.5))
      : await controlRun(key, dataset, method.control);
  writeWhole(runFile(out, key), `${JSON.stringify(result)}\n`);
  return { ...result, isNew: true };
}

function keyOfRun(method: Method, dataset: Record<string, unknown>, seed: number): RunKey {
  if (method.kind === 'control') return { dataset, method: method.name, seed: null, options: { grids: GRIDS }, version: VERSION };
  const { threads: _threads, variant = 'hyper-know', ...decisive } = method.options; // threads do not change a result
  return { dataset, method: variant, seed, options: decisive, version: VERSION };
}

/** The results of a method for all seeds so far, a control's for one split but once. */
export function keepResult(results: Map<string, RunResult[]>, method: Method, result: RunResult): void {
  const all = results.get(method.name) ?? [];
  if (!all.some(({ key }) => JSON.stringify(key) === JSON.stringify(result.key))) all.push(result);
  results.set(method.name, all);
}

/** `recall@20` → one value per user. */
function flatten(metrics: PerUserMetrics): Record<string, number[]> {
  const { users: _users, ...named } = metrics;
  return Object.fromEntries(
    Object.entries(named).flatMap(([name, perCutOff]) => Object.entries(perCutOff).map(([k, values]) => [`${name}@${k}`, [...values]])),
  );
}

function finish(key: RunKey, metrics: PerUserMetrics, started: number): RunResult {
  const { users: _users, ...named } = meanMetrics(metrics);
  const means = Object.entries(named).flatMap(([name, perCutOff]) => Object.entries(perCutOff).map(([k, mean]) => [`${name}@${k}`, mean]));
  return { key, metrics: Object.fromEntries(means), perUser: flatten(metrics), seconds: (performance.now() - started) / 1000 };
}

async function trainRun(key: RunKey, dataset: Dataset, options: TrainOptions, show: (text: string) => void): Promise<RunResult> {
  const started = performance.now();
  const seconds: number[] = [];
  const run = train(dataset, options);
  for await (const event of run) {
    seconds.push(event.seconds);
    show(`epoch ${event.epoch}, loss ${event.loss.toFixed(4)}`);
  }
  const model = await run;
  const result = finish(key, await evaluatePerUser(model, dataset, { ...RANKING, backend: options.backend ?? 'auto' }), started);
  const { epoch: bestEpoch, validationRecall } = model.training;
  return {
    ...result,
    epochs: seconds.length,
    bestEpoch,
    ...(validationRecall === undefined ? {} : { validationRecall }),
    epochSeconds: quantile(seconds, 0.5),
  };
}

async function controlRun(key: RunKey, dataset: Dataset, control: Control): Promise<RunResult> {
  const started = performance.now();
  const scorer = control.scorer(dataset);
  const rank = rankBy(scorer, dataset);
  const result = finish(key, await evaluateRanking(rank, dataset, RANKING), started);
  const { validation } = dataset;
  return {
    ...result,
    ...(validation.items.length === 0
      ? {}
      : { validationRecall: meanMetrics(await evaluateRanking(rank, dataset, { split: 'validation' })).recall[20]! }),
    ...(scorer.setting ? { setting: scorer.setting() } : {}),
  };
}
