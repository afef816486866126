// Works off a list of runs: one after the other, those that are finished not again, those that another process is at when that is done.
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Dataset } from '../../lib/data/dataset.ts';
import { dataKeyOf } from '../../lib/report/data-key.ts';
import { copyRun, type RunKey, type RunRecord, runDigest, runName } from '../../lib/report/run-folder.ts';
import { claim } from './claim.ts';
import type { Source } from './data.ts';
import { finishedFolder, finishedRun, makeRun, type PlannedRun, partialFolder, runsFolder } from './methods.ts';
import { Progress } from './progress.ts';

/** Part `index` of `count`, from 1. */
export interface Shard {
  index: number;
  count: number;
}

/** What a command makes: the runs that it needs, and what comes of them. */
export interface Part {
  runs: PlannedRun[];
  /** @param records name of the folder → run; all of `runs` are there */
  conclude(records: ReadonlyMap<string, RunRecord>): Promise<void>;
}

/** Every run once, whoever asks for it more often: a control is the same for all seeds of one split, Hyper-Know is in tables and figures. */
export function distinctRuns(runs: readonly PlannedRun[]): PlannedRun[] {
  const found = new Map<string, PlannedRun>();
  for (const run of runs) {
    const before = found.get(runName(run.key)) ?? run;
    found.set(runName(run.key), run.needsModel ? { ...before, needsModel: true } : before);
  }
  return [...found.values()];
}

/** The runs of a shard: by the order of their digests, in turn, whoever asks and in whatever order they are listed. */
export function shardOf(runs: readonly PlannedRun[], { index, count }: Shard): PlannedRun[] {
  const place = new Map([...runs.map(({ key }) => runDigest(key))].sort().map((digest, i) => [digest, i]));
  return runs.filter(({ key }) => place.get(runDigest(key))! % count === index - 1);
}

/** What a command with --shard ends with. */
export function sayWhere(own: number, all: number, out: string): void {
  process.stderr.write(
    `the ${own} runs of this shard, of ${all}, are in ${out}; the same command without --shard puts them together, with --from those of other folders\n`,
  );
}

/** Opens data sets; the last one stays open, so that runs of one split are best worked off together. */
export class OpenDatasets {
  #last: { source: Source; seed: number; dataset: Promise<Dataset> } | undefined;
  readonly #keys = new Map<Source, Map<number, Record<string, unknown>>>();

  open(source: Source, seed: number): Promise<Dataset> {
    if (this.#last?.source !== source || this.#last.seed !== seed) this.#last = { source, seed, dataset: source.open(seed) };
    return this.#last.dataset;
  }

  /** What dataKeyOf says of them, for which each is opened but once. */
  async key(source: Source, seed: number): Promise<Record<string, unknown>> {
    const keys = this.#keys.get(source) ?? new Map<number, Record<string, unknown>>();
    this.#keys.set(source, keys);
    const key = keys.get(seed) ?? dataKeyOf(await this.open(source, seed));
    keys.set(seed, key);
    return key;
  }
}

export interface Work {
  out: string;
  /** Other folders whose finished runs are taken over. */
  from: readonly string[];
  threads: number | undefined;
  keepModel: boolean;
  datasets: OpenDatasets;
  /** What is said of a run that is there. */
  describe(record: RunRecord): string;
}

/** Makes what is missing, and hands over every run of the list as it comes to be there. */
export async function workOff(runs: readonly PlannedRun[], work: Work, take: (run: PlannedRun, record: RunRecord) => void): Promise<void> {
  const progress = new Progress(runs.length);
  const done = (run: PlannedRun, record: RunRecord, how?: string) => {
    const who = run.method.kind === 'control' ? run.method.label : `${run.method.label}, seed ${run.seed}`;
    progress.finish(`${who}: ${work.describe(record)}  (${how ?? `${record.seconds.toFixed(1)} s`})`, how !== undefined);
    take(run, record);
  };
  let open = [...runs];
  let waiting = false;
  while (open.length > 0) {
    const later: PlannedRun[] = [];
    for (const run of open) {
      const before = await finishedRun(work.out, run.key, keepsModel(run, work));
      if (before) done(run, before, 'finished before');
      else if (await takeOver(run.key, { ...work, wantsModel: keepsModel(run, work) }))
        done(run, (await finishedRun(work.out, run.key, keepsModel(run, work)))!, 'taken over');
      else {
        const record = await claimed(run, work, progress);
        if (record) done(run, record);
        else later.push(run);
      }
    }
    if (later.length === open.length) {
      // All that is left is being made by others.
      if (!waiting) process.stderr.write(`waiting for ${later.length} runs that other processes are at\n`);
      waiting = true;
      await sleep(1000);
    }
    open = later;
  }
}

/** Makes the run, unless another process is at it. */
async function claimed(run: PlannedRun, work: Work, progress: Progress): Promise<RunRecord | undefined> {
  const { out, threads, datasets } = work;
  const keepModel = keepsModel(run, work);
  const partial = partialFolder(out, run.key);
  const own = claim(partial);
  if (own === null) {
    progress.show(`${run.method.label}, seed ${run.seed}: another process is at it`, 0);
    return undefined;
  }
  try {
    const before = await finishedRun(out, run.key, keepModel); // since it was looked for
    const record =
      before ??
      (await makeRun(run, await datasets.open(run.source, run.splitSeed), {
        ...{ out, threads, keepModel },
        show: (what, share) => progress.show(what, share),
      }));
    removeLeavings(out, run);
    return record;
  } finally {
    own.release();
  }
}

/** What processes that were killed have left of the run: its partial folder, and half-written ones. */
function removeLeavings(out: string, { key }: PlannedRun): void {
  for (const name of readdirSync(runsFolder(out)))
    if (name.startsWith(`.${runName(key)}.`)) rmSync(join(runsFolder(out), name), { recursive: true, force: true });
}

const keepsModel = ({ needsModel = false }: PlannedRun, { keepModel }: Pick<Work, 'keepModel'>): boolean => keepModel || needsModel;

/** Copies the finished run from another OUT, if it is in one; whether it was. One that is here is left as it is. */
export async function takeOver(
  key: RunKey,
  { from, out, wantsModel }: Pick<Work, 'from' | 'out'> & { wantsModel: boolean },
): Promise<boolean> {
  if (await finishedRun(out, key, wantsModel)) return false;
  for (const folder of from)
    if (await finishedRun(folder, key, wantsModel)) {
      await copyRun(finishedFolder(folder, key), folder, out);
      return true;
    }
  return false;
}
