// What a command would do: its runs, which are finished, the memory they need and about how long they take. Nothing is trained.
import { availableParallelism } from 'node:os';
import { duration } from '../../lib/cli/progress.ts';
import type { Interactions } from '../../lib/data/csr.ts';
import type { Dataset } from '../../lib/data/dataset.ts';
import { estimateMemory } from '../../lib/memory.ts';
import { resolveOptions } from '../../lib/options.ts';
import { markdown } from '../../lib/report/numbers.ts';
import { type RunRecord, runName } from '../../lib/report/run-folder.ts';
import { quantile } from '../../lib/statistics.ts';
import { finishedRun, type PlannedRun, partialFolder } from './methods.ts';
import { epochsKept } from './train-run.ts';
import type { OpenDatasets } from './work.ts';

/**
 * Samples × 64 coordinates a second: of one core, and of a GPU. From the epochs of last-fm-resplit on two cores (0.85 s of 304,445 samples) and of the size of
 * Last-FM on an H200 (55 ms of 1,160,103): README.md. Other machines and shapes are off by a factor of a few.
 */
const SAMPLES_PER_SECOND = { cpu: 180_000, cuda: 20_000_000 } as const;

/**
 * Coordinates × steps a second of one core: what exact Adam has to catch up on, all rows at all steps. From 1.8 s of an epoch of last-fm-resplit in 298
 * steps (bench/README.md). On a GPU it is lost in the rest.
 */
const REPLAYED_PER_SECOND = 7e8;

/** Users × items × (dim + 1) a second, likewise: 1.08 s for all of Last-FM on two cores, .043 s for all of Amazon-book on a GPU (bench/README.md). */
const RANKED_PER_SECOND = { cpu: 34e9, cuda: 2.6e12 } as const;

export async function dryRun(
  runs: readonly PlannedRun[],
  { out, datasets, keepModel }: { out: string; datasets: OpenDatasets; keepModel: boolean },
): Promise<void> {
  const finished = new Map<PlannedRun, RunRecord>();
  for (const run of runs) {
    const record = await finishedRun(out, run.key, keepModel || run.needsModel === true);
    if (record) finished.set(run, record);
  }
  const pace = await paceOf(finished, datasets);
  /** Of the same method and options with another seed, on this machine or another. */
  const measured = ({ key }: PlannedRun): number | undefined => {
    const alike = [...finished].find(([other]) => other.key.method === key.method && same(other.key.options, key.options));
    return alike?.[1].seconds;
  };
  /** Of runs that differ by the seed alone, whose splits are alike. */
  const memory = new Map<string, number>();
  const lines: string[][] = [];
  let [most, total, unknown, models] = [0, 0, 0, 0];
  for (const run of runs) {
    const before = finished.get(run);
    const kept = before ? 0 : epochsKept(partialFolder(out, run.key));
    const state = before ? 'finished' : kept > 0 ? `interrupted at epoch ${kept}` : 'to do';
    const needed = before ? undefined : await needOf(run, datasets, memory);
    const seconds = before ? 0 : (measured(run) ?? (needed && needed.seconds * pace));
    if (seconds === undefined) ++unknown;
    total += seconds ?? 0;
    most = Math.max(most, needed?.memory ?? 0);
    models += before ? (before.model?.bytes ?? 0) : keepModel || run.needsModel ? (needed?.model ?? 0) : 0;
    const held = needed === undefined ? '' : `${(needed.memory / 2 ** 20).toFixed(0)} MiB`;
    lines.push([runName(run.key), state, held, before ? '' : seconds === undefined ? 'not known' : duration(seconds)]);
  }
  console.log(markdown(['run', 'state', 'memory', 'about'], lines));
  const rest = unknown > 0 ? `, and ${unknown} whose time is not known (a control's: as its grid and the data will have it)` : '';
  console.log(
    `${runs.length} runs, ${finished.size} finished; about ${duration(total)} to go${rest}; at most ${bytesText(most)} at once; ` +
      `models of ${bytesText(models)} in all`,
  );
}

/** In the unit that keeps it short. */
const bytesText = (bytes: number): string =>
  bytes < 2 ** 20 ? `${(bytes / 2 ** 10).toFixed(0)} KiB` : `${(bytes / 2 ** 20).toFixed(0)} MiB`;

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);

/** How much longer than foreseen the trainings took that are finished: the median of them, which have stopped early or not; 1 without any. */
async function paceOf(finished: ReadonlyMap<PlannedRun, RunRecord>, datasets: OpenDatasets): Promise<number> {
  const shares: number[] = [];
  for (const [run, { seconds }] of finished)
    if (run.method.kind === 'model') shares.push(seconds / secondsOf(run, await datasets.open(run.source, run.splitSeed)));
  return shares.length > 0 ? quantile(shares, 0.5) : 1;
}

/** Of a training; undefined for a control, whose tables are small beside it. */
async function needOf(
  run: PlannedRun,
  datasets: OpenDatasets,
  known: Map<string, number>,
): Promise<{ memory: number; seconds: number; model: number } | undefined> {
  const { method, source, splitSeed } = run;
  if (method.kind === 'control') return undefined;
  const dataset = await datasets.open(source, splitSeed);
  const { users, items, entities, relations, train, validation, graph } = dataset;
  const { dim } = resolveOptions(method.options, train.items.length, validation.items.length > 0).hyperparameters;
  const like = JSON.stringify([source.name, run.key.method, run.key.options]);
  const memory = known.get(like) ?? estimateMemory(dataset, { ...method.options, checkpoint: { path: 'checkpoint' } }).total;
  known.set(like, memory);
  return {
    memory,
    seconds: secondsOf(run, dataset),
    model: 4 * ((users + entities + relations) * dim + 2 * (items + users + graph.tails.length) + train.items.length),
  };
}

/** Of all its epochs and evaluations; one that stops early takes less. */
function secondsOf({ method, key }: PlannedRun, dataset: Dataset): number {
  if (method.kind === 'control') return Number.NaN;
  const { users, items, entities, train, validation, test } = dataset;
  const cores = availableParallelism();
  const { threads = cores } = method.options;
  const resolved = resolveOptions(method.options, train.items.length, validation.items.length > 0);
  const { epochs, evaluateEvery, batchSize, dim, loss, negatives, adam } = resolved.hyperparameters;
  const onGpu = key.options.backend === 'cuda';
  const samples = (train.items.length * Math.max(dim, 8) * (loss === 'bpr' ? 1 : 1 + negatives / 300)) / 64;
  const replayed = adam === 'touched' || onGpu ? 0 : Math.ceil(train.items.length / batchSize) * (users + entities) * dim;
  const judged = [usersIn(validation), key.judged === undefined ? usersIn(test) : 0] as const;
  const scores = items * (dim + 1); // of a user; one list serves both splits while training
  const own = Math.min(threads, cores);
  return (
    (epochs * samples) / (onGpu ? SAMPLES_PER_SECOND.cuda : SAMPLES_PER_SECOND.cpu * own) +
    (epochs * replayed) / (REPLAYED_PER_SECOND * own) +
    (Math.ceil(epochs / evaluateEvery) * Math.max(...judged) * scores) / (onGpu ? RANKED_PER_SECOND.cuda : RANKED_PER_SECOND.cpu * own) +
    ((judged[0] + judged[1]) * scores) / (RANKED_PER_SECOND.cpu * own) // what the run itself is judged by, on the CPU always
  );
}

/** Users who have an item. */
function usersIn({ offsets }: Interactions): number {
  let users = 0;
  for (let user = 0; user + 1 < offsets.length; ++user) users += Number(offsets[user + 1]! > offsets[user]!);
  return users;
}
