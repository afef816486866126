import { basename, dirname, join, resolve } from 'node:path';
import { isObject } from '../check.ts';
import { HyperKnowError } from '../errors.ts';
import { files } from '../files.ts';
import { Checks, type Verdict, verdictOfError } from './checks.ts';
import { RunData } from './run-data.ts';
import { type RunRecord, readRun } from './run-folder.ts';
import { verifyDocument } from './verify-documents.ts';
import { verifyRun } from './verify-run.ts';

export type { Verdict } from './checks.ts';

export interface VerifyOptions {
  /** Where the data are, instead of where the runs have them. */
  data?: string;
  threads?: number;
  /** Largest difference of a number that is none; 0: every bit. Other processors may order items of all but the same distance differently. */
  tolerance?: number;
}

type Json = Record<string, unknown>;

/**
 * Recomputes every metric of the runs of a results file, of a folder with `runs/`, or of one run, from what is kept of each: a model's embeddings, a
 * control's setting. Nothing of a model is trained.
 *
 * @param path results.json, ablation.json or sweep.json, the folder around them, or the folder of one run
 * @throws {HyperKnowError} if there is nothing at `path` that could be verified, or data cannot be opened
 */
export async function* verifyResults(path: string, options: VerifyOptions = {}): AsyncGenerator<Verdict> {
  const { out, documents, folders } = await found(path);
  const check = new Checks(options.tolerance ?? 0);
  const datasets = new RunData(out, options.data);
  const records = new Map<string, RunRecord>();
  for (const folder of folders) {
    const what = basename(folder);
    let record: RunRecord;
    try {
      record = await readRun(resolve(out, folder));
    } catch (error) {
      if (!(error instanceof HyperKnowError)) throw error;
      yield verdictOfError(what, error);
      continue;
    }
    records.set(what, record);
    const listed = documents.flatMap(({ file, runs }) => runs.filter((run) => run.folder === folder).map((run) => ({ file, run })));
    yield await verifyRun(what, resolve(out, folder), record, { check, datasets, listed, threads: options.threads });
  }
  for (const document of documents) yield* verifyDocument(document, { out, records, check });
}

/** A file that lists runs; of figures, one that names those that it is drawn from. */
interface Document {
  file: string;
  content: Json;
  runs: (Json & { folder: string })[];
}

/** What is in one folder, each by another command. */
const DOCUMENTS = ['results.json', 'ablation.json', 'sweep.json'];

/** Runs to look at, from `out`, and the documents that list them. */
async function found(path: string): Promise<{ out: string; documents: Document[]; folders: string[] }> {
  const kind = await files.stat(path).catch((cause: NodeJS.ErrnoException) => {
    throw new HyperKnowError('ERR_HK_IO', `${basename(path)}: cannot be read (${cause.code})`, { file: basename(path), cause });
  });
  if (!kind.isDirectory()) {
    if (basename(path) === 'run.json')
      return { out: dirname(dirname(dirname(resolve(path)))), documents: [], folders: [dirname(resolve(path))] };
    return { out: dirname(path), ...(await listedIn([path], dirname(path))) };
  }
  const entries = await files.readdir(path);
  const listed = await listedIn(
    DOCUMENTS.filter((name) => entries.includes(name)).map((name) => join(path, name)),
    path,
  );
  if (listed.documents.length + listed.folders.length > 0) return { out: path, ...listed };
  if (entries.includes('run.json')) return { out: dirname(dirname(resolve(path))), documents: [], folders: [resolve(path)] };
  const runs = entries.includes('runs') ? await files.readdir(join(path, 'runs')) : [];
  const folders = runs.filter((name) => !name.startsWith('.') && !name.endsWith('.json')).sort();
  if (folders.length === 0) throw bad(path, 'holds neither results.json nor runs');
  return { out: path, documents: [], folders: folders.map((name) => `runs/${name}`) };
}

async function listedIn(paths: readonly string[], out: string): Promise<{ documents: Document[]; folders: string[] }> {
  const documents: Document[] = [];
  for (const path of paths) documents.push(await documentAt(path));
  const listed = documents.flatMap(({ runs }) => runs.map(({ folder }) => folder));
  return { documents, folders: [...new Set([...listed, ...(await drawnFrom(join(out, 'figures')))])] };
}

/** The runs that figures beside the lists are drawn from. */
async function drawnFrom(folder: string): Promise<string[]> {
  const names = (await files.readdir(folder).catch((): string[] => [])).filter((name) => name.endsWith('.json')).sort();
  const runs: unknown[] = [];
  for (const name of names) {
    const content = await jsonAt(join(folder, name));
    if (!isObject(content) || !Array.isArray(content.folders)) continue; // of an older release, which kept no runs of them
    runs.push(
      ...content.folders,
      ...(Array.isArray(content.fixed) ? content.fixed.filter(isObject).flatMap(({ folders }) => folders) : []),
    );
  }
  return runs.map((name) => {
    if (typeof name !== 'string' || !IN_RUNS.test(`runs/${name}`)) throw bad(folder, 'a figure does not say what runs it is drawn from');
    return `runs/${name}`;
  });
}

/** A folder of a run, and nothing else. */
const IN_RUNS = /^runs\/[^/\\.][^/\\]*$/;

async function jsonAt(path: string): Promise<unknown> {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(await files.readFile(path)));
  } catch (error) {
    throw bad(path, `is not JSON (${(error as Error).message.slice(0, 100)})`);
  }
}

async function documentAt(path: string): Promise<Document> {
  const content = await jsonAt(path);
  if (!isObject(content) || !/^hyper-know\/(results|ablation|sweep)\//.test(String(content.schema)) || !Array.isArray(content.runs))
    throw bad(path, 'is no results of `reproduce`');
  const isPlaced = (run: unknown): run is Json & { folder: string } =>
    isObject(run) && typeof run.folder === 'string' && IN_RUNS.test(run.folder);
  if (!content.runs.every(isPlaced))
    throw bad(path, 'does not say where its runs are: it was written by an older release, which kept no embeddings');
  return { file: basename(path), content, runs: content.runs };
}

const bad = (path: string, what: string): HyperKnowError =>
  new HyperKnowError('ERR_HK_DATA', `${basename(path)}: ${what}`, { file: basename(path) });
