// What a command would do: its runs, which are finished, the memory they need and about how long they take. Nothing is trained.
import { availableParallelism } from 'node:os';
import { duration } from '../../lib/cli/progress.ts';
import { estimateMemory } from '../../lib/memory.ts';
import { resolveOptions } from '../../lib/options.ts';
import { type RunRecord, runName } from '../../lib/report/run-folder.ts';
import { finishedRun, type PlannedRun, partialFolder } from './methods.ts';
import { markdown } from './table.ts';
import { epochsKept } from './train-run.ts';
import type { OpenDatasets } from './work.ts';

/**
 * Samples × 64 coordinates a second: of one core, and of a GPU. From the epochs of last-fm-resplit on two cores (.83 s of 304,445 samples) and of the size of
 * Last-FM on an H200 (57 ms of 1,289,003): README.md. Other machines and shapes are off by a factor of a few.
 */
const SAMPLES_PER_SECOND = { cpu: 180_000, cuda: 20_000_000 } as const;

export async function dryRun(
  runs: readonly PlannedRun[],
  { out, datasets, keepModel }: { out: string; datasets: OpenDatasets; keepModel: boolean },
): Promise<void> {
  const finished = new Map<PlannedRun, RunRecord>();
  for (const run of runs) {
    const record = await finishedRun(out, run.key, keepModel);
    if (record) finished.set(run, record);
  }
  /** Of the same method and options with another seed, on this machine or another. */
  const measured = ({ key }: PlannedRun): number | undefined => {
    const alike = [...finished].find(([other]) => other.key.method === key.method && same(other.key.options, key.options));
    return alike?.[1].seconds;
  };
  const lines: string[][] = [];
  let [most, total, unknown] = [0, 0, 0];
  for (const run of runs) {
    const before = finished.get(run);
    const kept = before ? 0 : epochsKept(partialFolder(out, run.key));
    const state = before ? 'finished' : kept > 0 ? `interrupted at epoch ${kept}` : 'to do';
    const needed = before ? undefined : await needOf(run, datasets);
    const seconds = before ? 0 : (measured(run) ?? needed?.seconds);
    if (seconds === undefined) ++unknown;
    total += seconds ?? 0;
    most = Math.max(most, needed?.memory ?? 0);
    const memory = needed?.memory === undefined ? '' : `${(needed.memory / 2 ** 20).toFixed(0)} MiB`;
    lines.push([runName(run.key), state, memory, before ? '' : seconds === undefined ? 'not known' : duration(seconds)]);
  }
  console.log(markdown(['run', 'state', 'memory', 'about'], lines));
  const rest = unknown > 0 ? `, and ${unknown} whose time is not known (a control's: as its grid and the data will have it)` : '';
  console.log(
    `${runs.length} runs, ${finished.size} finished; about ${duration(total)} to go${rest}; at most ${(most / 2 ** 20).toFixed(0)} MiB at once`,
  );
}

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);

/** Of a training; undefined for a control, whose tables are small beside it. */
async function needOf(
  { method, source, splitSeed, key }: PlannedRun,
  datasets: OpenDatasets,
): Promise<{ memory: number; seconds: number } | undefined> {
  if (method.kind === 'control') return undefined;
  const dataset = await datasets.open(source, splitSeed);
  const { threads = availableParallelism() } = method.options;
  const { epochs, dim, loss, negatives } = resolveOptions(
    method.options,
    dataset.train.items.length,
    dataset.validation.items.length > 0,
  ).hyperparameters;
  const speed = key.options.backend === 'cuda' ? SAMPLES_PER_SECOND.cuda : SAMPLES_PER_SECOND.cpu * threads;
  const work = (dataset.train.items.length * Math.max(dim, 8) * (loss === 'bpr' ? 1 : 1 + negatives / 300)) / 64;
  const checkpoint = { path: 'checkpoint' };
  return { memory: estimateMemory(dataset, { ...method.options, checkpoint }).total, seconds: (epochs * work) / speed };
}
