import { basename, dirname, join, resolve } from 'node:path';
import { isObject } from '../check.ts';
import { type Dataset, loadDataset } from '../data/dataset.ts';
import { HyperKnowError } from '../errors.ts';
import { files } from '../files.ts';
import { Model } from '../model.ts';
import { comparisonRows, REFERENCE } from './comparison.ts';
import { controlScorer } from './control-scorers.ts';
import { dataDifference, dataKeyOf, syntheticWorld } from './data-key.ts';
import { type Judgement, judge } from './judge.ts';
import { type RunRecord, readRun, runName, sha256OfFile } from './run-folder.ts';

/** What was found of one run, or of the rows of results.json. */
export interface Verdict {
  what: string;
  /** 'missing': a file is not there. 'unchecked': nothing is kept that it could be recomputed from. */
  status: 'ok' | 'different' | 'missing' | 'unchecked';
  /** What differs or is missing; of 'ok' what there was nothing to check against. */
  remarks: string[];
}

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
  const datasets = new Datasets(out, options.data);
  const records = new Map<string, RunRecord>();
  for (const folder of folders) {
    const what = basename(folder);
    let record: RunRecord;
    try {
      record = await readRun(resolve(out, folder));
    } catch (error) {
      yield verdictOf(what, error);
      continue;
    }
    records.set(what, record);
    const listed = documents.flatMap(({ file, runs }) => runs.filter((run) => run.folder === folder).map((run) => ({ file, run })));
    yield await verifyRun(what, resolve(out, folder), record, { check, datasets, listed, threads: options.threads });
  }
  for (const { file, content } of documents)
    if (/results/.test(String(content.schema)) && Array.isArray(content.rows)) yield verifyRows(file, content.rows, records, check);
}

/** A file that lists runs. */
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
    return { out: dirname(path), ...(await listedIn([path])) };
  }
  const entries = await files.readdir(path);
  const lists = DOCUMENTS.filter((name) => entries.includes(name));
  if (lists.length > 0) return { out: path, ...(await listedIn(lists.map((name) => join(path, name)))) };
  if (entries.includes('run.json')) return { out: dirname(dirname(resolve(path))), documents: [], folders: [resolve(path)] };
  const runs = entries.includes('runs') ? await files.readdir(join(path, 'runs')) : [];
  const folders = runs.filter((name) => !name.startsWith('.') && !name.endsWith('.json')).sort();
  if (folders.length === 0) throw bad(path, 'holds neither results.json nor runs');
  return { out: path, documents: [], folders: folders.map((name) => `runs/${name}`) };
}

async function listedIn(paths: readonly string[]): Promise<{ documents: Document[]; folders: string[] }> {
  const documents: Document[] = [];
  for (const path of paths) documents.push(await documentAt(path));
  return { documents, folders: [...new Set(documents.flatMap(({ runs }) => runs.map(({ folder }) => folder)))] };
}

async function documentAt(path: string): Promise<Document> {
  let content: unknown;
  try {
    content = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(await files.readFile(path)));
  } catch (error) {
    throw bad(path, `is not JSON (${(error as Error).message.slice(0, 100)})`);
  }
  if (!isObject(content) || !/^hyper-know\/(results|ablation|sweep)\//.test(String(content.schema)) || !Array.isArray(content.runs))
    throw bad(path, 'is no results of `reproduce`');
  const isPlaced = (run: unknown): run is Json & { folder: string } =>
    isObject(run) && typeof run.folder === 'string' && /^runs\/[^/\\.][^/\\]*$/.test(run.folder);
  if (!content.runs.every(isPlaced))
    throw bad(path, 'does not say where its runs are: it was written by an older release, which kept no embeddings');
  return { file: basename(path), content, runs: content.runs };
}

const bad = (path: string, what: string): HyperKnowError =>
  new HyperKnowError('ERR_HK_DATA', `${basename(path)}: ${what}`, { file: basename(path) });

/** Of an error about a file: that it is missing, or that it is not what was written. */
function verdictOf(what: string, error: unknown): Verdict {
  if (!(error instanceof HyperKnowError)) throw error;
  const isMissing = (error.cause as NodeJS.ErrnoException | undefined)?.code === 'ENOENT';
  return isMissing
    ? { what, status: 'missing', remarks: [`${error.file} is not there`] }
    : { what, status: 'different', remarks: [error.message] };
}

interface Context {
  check: Checks;
  datasets: Datasets;
  /** What files that list runs say of this one. */
  listed: readonly { file: string; run: Json }[];
  threads: number | undefined;
}

async function verifyRun(what: string, folder: string, record: RunRecord, { check, datasets, listed, threads }: Context): Promise<Verdict> {
  const { key, model, setting } = record;
  const split = key.judged ?? 'test';
  const wrong: string[] = [];
  if (runName(key) !== what) wrong.push(`its name is not that of its key, which would be ${runName(key)}`);
  for (const { file, run } of listed) wrong.push(...listedDifferences(file, run, record, check));
  wrong.push(...selectionProblems(record, check));

  const dataset = await datasets.open(record);
  const difference = dataDifference(key.dataset, dataKeyOf(dataset));
  if (difference !== undefined) return { what, status: 'different', remarks: [...wrong, `the data set is another: ${difference}`] };

  let judged: Model | ReturnType<typeof controlScorer>;
  if (model) {
    const path = join(folder, model.file);
    try {
      if (/[/\\]/.test(model.file)) throw bad(folder, `its model is not beside it: ${model.file}`);
      judged = await Model.load(path);
      if ((await sha256OfFile(path)) !== model.sha256) wrong.push(`${model.file} is not the file that was written (sha-256)`);
      if (judged.users.length / judged.dim !== dataset.users || judged.itemIds.length !== dataset.items)
        return { what, status: 'different', remarks: [...wrong, `${model.file} has other users or items than the data set`] };
    } catch (error) {
      const verdict = verdictOf(what, error);
      return { ...verdict, remarks: [...wrong, ...verdict.remarks] };
    }
  } else if (key.seed === null) {
    judged = controlScorer(key.method, setting, dataset);
    if (!judged) return { what, status: 'different', remarks: [...wrong, `${key.method} is no control that is known here`] };
  } else {
    const remark = 'no model was kept: its metrics cannot be recomputed';
    return wrong.length > 0 ? { what, status: 'different', remarks: wrong } : { what, status: 'unchecked', remarks: [remark] };
  }

  wrong.push(...judgedDifferences(record, await judge(judged, dataset, split, threads), check));
  if (split === 'test' && record.validation && dataset.validation.items.length > 0)
    wrong.push(...check.numbers('validation ', record.validation, (await judge(judged, dataset, 'validation', threads)).metrics));
  return { what, status: wrong.length > 0 ? 'different' : 'ok', remarks: wrong };
}

function listedDifferences(file: string, listed: Json, record: RunRecord, check: Checks): string[] {
  const wrong = check.numbers(`${file}: `, isObject(listed.metrics) ? (listed.metrics as Record<string, number>) : {}, record.metrics);
  const ours = record as unknown as Json;
  for (const name of Object.keys(listed))
    if (name !== 'folder' && name !== 'metrics' && JSON.stringify(listed[name]) !== JSON.stringify(ours[name]))
      wrong.push(`${file}: ${name} is not that of run.json`);
  return wrong;
}

/** What was selected has to be what the history says; of the epochs that were not, no embeddings are kept. */
function selectionProblems({ history, bestEpoch, validationRecall, testSelected }: RunRecord, check: Checks): string[] {
  const wrong: string[] = [];
  const best = (part: 'validation' | 'test') => Math.max(...(history ?? []).flatMap((epoch) => epoch[part]?.['recall@20'] ?? []));
  if (validationRecall !== undefined && bestEpoch !== undefined) {
    if (!check.same(best('validation'), validationRecall))
      wrong.push('the selected epoch has not the best validation recall@20 of the history');
    if (!check.same(history?.[bestEpoch - 1]?.validation?.['recall@20'], validationRecall))
      wrong.push(`the history has another validation recall@20 of epoch ${bestEpoch}`);
  }
  if (testSelected && !check.same(best('test'), testSelected.metrics['recall@20']))
    wrong.push('testSelected has not the best test recall@20 of the history');
  return wrong;
}

function judgedDifferences({ metrics, perUser }: RunRecord, now: Judgement, check: Checks): string[] {
  const wrong = check.numbers('', metrics, now.metrics);
  for (const name of new Set([...Object.keys(perUser), ...Object.keys(now.perUser)])) {
    const [before, found] = [perUser[name] ?? [], now.perUser[name] ?? []];
    if (before.length !== found.length) wrong.push(`${name}: values of ${before.length} users, recomputed of ${found.length}`);
    else {
      const at = before.flatMap((value, user) => (check.same(value, found[user]) ? [] : [user]));
      if (at.length > 0)
        wrong.push(`${name}: other values of ${at.length} users, first of number ${at[0]}: ${before[at[0]!]}, recomputed ${found[at[0]!]}`);
    }
  }
  return wrong;
}

/** Means, deviations and tests, again from the runs that each row names. */
function verifyRows(file: string, found: readonly unknown[], records: ReadonlyMap<string, RunRecord>, check: Checks): Verdict {
  const what = `rows of ${file}`;
  const rows = found.filter(isObject) as unknown as (Json & {
    method: string;
    label: string;
    preset: string;
    runs: string[];
  })[];
  const wrong: string[] = [];
  for (const preset of new Set(rows.map((row) => row.preset))) {
    const own = rows.filter((row) => row.preset === preset);
    const missing = own.flatMap(({ runs }) => (runs ?? []).filter((name) => !records.has(name)));
    if (missing.length > 0) return { what, status: 'missing', remarks: missing.map((name) => `${name} is not there`) };
    const results = new Map(own.map(({ method, runs }) => [method, runs.map((name) => records.get(name)!)]));
    const metrics = Object.keys((own.find(({ method }) => method === REFERENCE) ?? own[0]!).metrics as Json);
    const again = comparisonRows(
      own.map(({ method, label }) => ({ name: method, label })),
      results,
      metrics,
    );
    own.forEach(({ preset: _preset, runs: _runs, ...row }, i) => {
      const difference = check.tree(row, JSON.parse(JSON.stringify(again[i])));
      if (difference !== undefined) wrong.push(`${row.label}: ${difference}`);
    });
  }
  return { what, status: wrong.length > 0 ? 'different' : 'ok', remarks: wrong };
}

/** Comparisons that a number which is not one never passes. */
class Checks {
  readonly #tolerance: number;

  constructor(tolerance: number) {
    this.#tolerance = tolerance;
  }

  /** A number that is not finite stands as null in JSON. */
  same(before: number | null | undefined, now: number | null | undefined): boolean {
    const [a, b] = [before, now].map((value) => (typeof value === 'number' && Number.isFinite(value) ? value : null));
    return a === null || b === null ? a === b && before !== undefined && now !== undefined : Math.abs(a! - b!) <= this.#tolerance;
  }

  numbers(prefix: string, before: Record<string, number>, now: Record<string, number>): string[] {
    return [...new Set([...Object.keys(before), ...Object.keys(now)])]
      .filter((name) => !this.same(before[name], now[name]))
      .map((name) => `${prefix}${name}: ${before[name] ?? 'absent'}, recomputed ${now[name] ?? 'absent'}`);
  }

  /** The path of the first difference. */
  tree(before: unknown, now: unknown, path = ''): string | undefined {
    if (isObject(before) && isObject(now)) {
      for (const name of new Set([...Object.keys(before), ...Object.keys(now)])) {
        const difference = this.tree(before[name], now[name], path === '' ? name : `${path}.${name}`);
        if (difference !== undefined) return difference;
      }
      return undefined;
    }
    const isSame = typeof before === 'number' && typeof now === 'number' ? this.same(before, now) : before === now;
    return isSame ? undefined : `${path} ${String(before)}, recomputed ${String(now)}`;
  }
}

/** Opens the data of runs; the last one stays open. */
class Datasets {
  readonly #out: string;
  readonly #instead: string | undefined;
  #last: { what: string; dataset: Dataset } | undefined;

  constructor(out: string, instead: string | undefined) {
    this.#out = out;
    this.#instead = instead;
  }

  async open({ data, key }: RunRecord): Promise<Dataset> {
    const folder = this.#instead ?? (data.folder === null ? null : resolve(this.#out, data.folder));
    const options = isObject(key.dataset.options) ? key.dataset.options : {};
    const what = JSON.stringify([folder, data.splitSeed, options]);
    if (this.#last?.what !== what) {
      const { inverse = false, validationFraction = 0.1 } = options as { inverse?: boolean; validationFraction?: number };
      const open = () => (folder === null ? syntheticWorld() : loadDataset(folder, { inverse, validationFraction, seed: data.splitSeed }));
      this.#last = {
        what,
        dataset: await Promise.resolve()
          .then(open)
          .catch((error) => elsewhere(error, folder)),
      };
    }
    return this.#last.dataset;
  }
}

function elsewhere(error: unknown, folder: string | null): never {
  if (error instanceof HyperKnowError && folder !== null) error.message += `; --data says where the data set ${basename(folder)} is now`;
  throw error;
}
