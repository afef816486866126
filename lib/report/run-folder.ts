// One run = one method with one seed on one data set. A finished run is a folder named by the digest of everything that decides its result, so
// that the same command continues where it stopped, other options never meet old results, and folders of several machines can be put together.
import { createHash } from 'node:crypto';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { isObject } from '../check.ts';
import { HyperKnowError } from '../errors.ts';
import { files } from '../files.ts';
import type { Model } from '../model.ts';
import { writeAll, writeWholeFile } from '../whole-file.ts';
import { writeWholeFolder } from '../whole-folder.ts';
import type { ItemWeights } from './item-groups.ts';
import type { JudgedSplit } from './judge.ts';

const RUN_SCHEMA = 'hyper-know/run/1';
const RUN_FILE = 'run.json';
const MODEL_FILE = 'model.safetensors';

/** Everything that decides the result of a run; plain JSON. */
export interface RunKey {
  dataset: Record<string, unknown>;
  method: string;
  /** null: the method knows none. */
  seed: number | null;
  options: Record<string, unknown>;
  version: string;
  /** 'validation': the test split was not looked at; absent: 'test'. */
  judged?: JudgedSplit;
}

/** Where the data of a run are to be found again. */
export interface RunData {
  name: string;
  /** From the folder that holds `runs/`; null: they were made. */
  folder: string | null;
  /** Seed of the split, where the files do not hold one. */
  splitSeed: number;
}

/** One epoch, as training told it. */
export interface RunEpoch {
  epoch: number;
  loss: number;
  rankingLoss: number;
  knowledgeLoss: number;
  /** Of training alone. */
  seconds: number;
  curvature: number;
  validation?: Record<string, number>;
  /** No part of training or selection. */
  test?: Record<string, number>;
  /** Quantiles of σ(β_v) over the items. */
  knowledgeWeight?: { p10: number; p50: number; p90: number };
  /** Percentiles of σ(β_v) over the items with a triple, and within their quartiles by popularity and by degree. */
  itemWeights?: ItemWeights;
}

/** What stands in run.json. */
export interface RunRecord {
  key: RunKey;
  label: string;
  data: RunData;
  /** `recall@20` → mean over users, of the split of the key. */
  metrics: Record<string, number>;
  /** Metric → one value per user with an item of the split, in ascending order of users. */
  perUser: Record<string, number[]>;
  /** Means over users of the validation split; absent where it is empty. */
  validation?: Record<string, number>;
  /** Validation recall@20 by which the epoch, or a control's setting, was selected. */
  validationRecall?: number;
  /** Epochs trained and the epoch whose parameters are the model; absent for controls. */
  epochs?: number;
  bestEpoch?: number;
  /** What selecting the epoch by the test split would have given. */
  testSelected?: { note: string; epoch: number; metrics: Record<string, number> };
  history?: RunEpoch[];
  /** Of the history as JSON without its seconds: the same training has the same. The lists of runs have it, too. */
  historySha256?: string;
  /** What a control chose on validation. */
  setting?: unknown;
  /** How it was made: for a model its own protocol. */
  protocol: Record<string, unknown>;
  /** What was decided where the paper leaves something open. */
  ledger: { topic: string; paper: string; here: string }[];
  /** Median training time of an epoch, and of the whole run with evaluation, in seconds. */
  epochSeconds?: number;
  seconds: number;
  host: Record<string, unknown>;
  /** File of the model of the selected epoch; absent: a control, or none was kept. */
  model?: { file: string; bytes: number; sha256: string };
}

export const runDigest = (key: RunKey): string => createHash('sha256').update(JSON.stringify(key)).digest('hex').slice(0, 16);

export const runName = (key: RunKey): string =>
  `${key.method.replaceAll(':', '-')}${key.seed === null ? '' : `-seed${key.seed}`}-${runDigest(key)}`;

/** Runs as a results file lists them: without what only their own folders have room for. */
export const listedRuns = (
  runs: ReadonlyMap<string, Omit<RunRecord, 'perUser'> & { perUser?: RunRecord['perUser'] }>,
): Record<string, unknown>[] =>
  [...runs].map(([name, { perUser: _perUser, history: _history, ledger: _ledger, ...rest }]) => ({ folder: `runs/${name}`, ...rest }));

export const sha256OfHistory = (history: readonly RunEpoch[]): string =>
  createHash('sha256')
    .update(JSON.stringify(history.map(({ seconds: _seconds, ...epoch }) => epoch)))
    .digest('hex');

export async function sha256OfFile(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const piece of piecesOf(path)) hash.update(piece);
  return hash.digest('hex');
}

/** A file's content; each piece lasts until the next is asked for. */
async function* piecesOf(path: string): AsyncGenerator<Uint8Array> {
  const file = await files.open(path, 'r');
  try {
    const piece = Buffer.alloc(1 << 21);
    for (;;) {
      const { bytesRead } = await file.read(piece, 0, piece.length, null);
      if (bytesRead === 0) return;
      yield piece.subarray(0, bytesRead);
    }
  } finally {
    await file.close();
  }
}

/** Unlike that of Node it flushes what it has written. */
async function copyFile(from: string, to: string): Promise<void> {
  await writeWholeFile(to, async (file) => {
    for await (const piece of piecesOf(from)) await writeAll(file, piece);
  });
}

/** Writes the folder of a run under `runs` whole or not at all; one that is there, damaged or the same, is replaced. */
export async function writeRun(runs: string, record: Omit<RunRecord, 'model'>, model: Model | null): Promise<RunRecord> {
  let whole: RunRecord = record;
  await files.mkdir(runs, { recursive: true });
  await writeWholeFolder(
    join(runs, runName(record.key)),
    async () => {},
    async (folder) => {
      if (model) {
        const path = join(folder, MODEL_FILE);
        await model.save(path);
        whole = { ...record, model: { file: MODEL_FILE, bytes: (await files.stat(path)).size, sha256: await sha256OfFile(path) } };
      }
      await writeText(join(folder, RUN_FILE), `${JSON.stringify({ schema: RUN_SCHEMA, ...whole })}\n`);
    },
  );
  return whole;
}

/** Copies the folder of a finished run from one OUT/runs into another's, whole or not at all. */
export async function copyRun(folder: string, from: string, out: string): Promise<void> {
  const record = await readRun(folder);
  const data = { ...record.data, folder: record.data.folder === null ? null : relative(out, resolve(from, record.data.folder)) || '.' };
  await files.mkdir(join(out, 'runs'), { recursive: true });
  await writeWholeFolder(
    join(out, 'runs', basename(folder)),
    async () => {},
    async (temporary) => {
      if (record.model) await copyFile(join(folder, record.model.file), join(temporary, record.model.file));
      await writeText(join(temporary, RUN_FILE), `${JSON.stringify({ schema: RUN_SCHEMA, ...record, data })}\n`);
    },
  );
}

/** Writes a text file so that it is there whole or not at all, and the folder around it. */
export async function writeText(path: string, text: string): Promise<void> {
  await files.mkdir(dirname(path), { recursive: true });
  await writeWholeFile(path, (file) => writeAll(file, Buffer.from(text)));
}

/**
 * Reads the folder of a run, not its model.
 *
 * @throws {HyperKnowError} ERR_HK_IO, ERR_HK_DATA, with the names of folder and file
 */
export async function readRun(folder: string): Promise<RunRecord> {
  const file = `${basename(folder)}/${RUN_FILE}`;
  const bad = (what: string) => new HyperKnowError('ERR_HK_DATA', `${file}: ${what}`, { file: RUN_FILE });
  const bytes = await files.readFile(join(folder, RUN_FILE)).catch((cause: NodeJS.ErrnoException) => {
    const what = cause.code === 'ENOENT' ? 'is not there' : `cannot be read (${cause.code})`;
    throw new HyperKnowError('ERR_HK_IO', `${file}: ${what}`, { file: RUN_FILE, cause });
  });
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    throw bad(`is not JSON (${(error as Error).message.slice(0, 100)})`);
  }
  const { schema, ...record } = (value ?? {}) as RunRecord & { schema: unknown };
  if (schema !== RUN_SCHEMA) throw bad(`is no ${RUN_SCHEMA}`);
  for (const name of ['key', 'data', 'metrics', 'perUser', 'protocol'] as const) if (!isObject(record[name])) throw bad(`has no ${name}`);
  if (!Object.values(record.metrics).every((metric) => typeof metric === 'number' || metric === null) || !isObject(record.key.dataset))
    throw bad('has metrics that are no numbers, or no data set');
  if (!Object.values(record.perUser).every(Array.isArray)) throw bad('has a metric without users');
  return record;
}
