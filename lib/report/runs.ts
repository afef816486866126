// Measurements from the files that hold some: of `hyper-know eval --json`, and of `hyper-know reproduce`.
import { createHash } from 'node:crypto';
import { basename } from 'node:path';
import { isObject } from '../check.ts';
import { HyperKnowError } from '../errors.ts';

/** One method with one seed, measured on one data set. */
export interface Run {
  /** What the data set is called, as far as the file says. */
  data: string;
  /** The same for the same files, however they are called. */
  dataKey: string;
  split: string;
  method: string;
  label: string;
  /** What decided the result, but for the seed. */
  options: Record<string, unknown>;
  /** null: the method knows none. */
  seed: number | null;
  /** `recall@20` → mean over users */
  metrics: Record<string, number>;
  epochSeconds?: number;
  /** Base name of the file. */
  file: string;
  /** The same for the same run in two files. */
  identity: string;
}

type Json = Record<string, unknown>;

/** Names of `hyper-know eval`'s metrics. */
const METRICS = ['recall', 'ndcg', 'ndcgKgat', 'precision', 'hitRate', 'mrr'] as const;

/** Options that change where a result comes from, not what it is. */
const INDIFFERENT = ['backend', 'threads'];

/**
 * The runs in a document, or null if it is of no kind that holds some.
 *
 * @param file its base name, for messages
 * @param labels method → how tables call it
 * @throws {HyperKnowError} ERR_HK_DATA if it is of such a kind and damaged
 */
export function runsIn(document: unknown, file: string, labels: ReadonlyMap<string, string>): Run[] | null {
  if (!isObject(document)) return null;
  const bad = (what: string): HyperKnowError => new HyperKnowError('ERR_HK_DATA', `${file}: ${what}`, { file });
  const { schema } = document;
  if ((schema === undefined || schema === 'hyper-know/run/1') && isObject(document.key) && isObject(document.metrics))
    return [reproduced(document, file, labels, bad)];
  if (schema === 'hyper-know/eval/1') return [evaluated(document, file, labels, bad)];
  if (!['hyper-know/results/2', 'hyper-know/results/3', 'hyper-know/ablation/1', 'hyper-know/sweep/1'].includes(String(schema)))
    return null;
  if (!Array.isArray(document.runs)) throw bad('it has no runs');
  const named = namesIn(document);
  return document.runs.map((run) => {
    if (!isObject(run)) throw bad('one of its runs is no object');
    const one = reproduced(run, file, named.labels.size > 0 ? new Map([...labels, ...named.labels]) : labels, bad);
    return { ...one, data: named.data.get(one.dataKey) ?? one.data };
  });
}

/** What a results file calls its methods and data sets. */
function namesIn(document: Json): { labels: Map<string, string>; data: Map<string, string> } {
  const labels = new Map<string, string>();
  const data = new Map<string, string>();
  const sets = Array.isArray(document.dataSets) ? document.dataSets.filter(isObject) : [];
  const rows = [document.rows, ...sets.map((set) => set.rows)].flatMap((some) => (Array.isArray(some) ? some.filter(isObject) : []));
  // The rows of an ablation are named by what was changed, their runs by the variant: only controls are the same in both.
  for (const { method, label } of rows)
    if (typeof method === 'string' && typeof label === 'string' && (document.dataSets === undefined || method.startsWith('control:')))
      labels.set(method, label.replace(/^\(\d\) /, '')); // without the row's number in the paper's Table 3
  for (const set of sets) if (isObject(set.data) && typeof set.name === 'string') data.set(dataKeyOf(set.data), set.name);
  return { labels, data };
}

function reproduced(run: Json, file: string, labels: ReadonlyMap<string, string>, bad: (what: string) => Error): Run {
  const { key, metrics, epochSeconds } = run;
  if (!isObject(key) || !isObject(key.dataset) || typeof key.method !== 'string') throw bad('a run does not say what it is of');
  if (!isObject(metrics) || !Object.values(metrics).every((value) => typeof value === 'number')) throw bad('a run has no metrics');
  const { dataset, method, seed } = key;
  const named = isObject(run.data) && typeof run.data.name === 'string' ? run.data.name : undefined;
  const { grids: _grids, ...options } = isObject(key.options) ? key.options : {};
  return {
    data: named ?? dataName(dataset),
    dataKey: dataKeyOf(dataset),
    split: key.judged === 'validation' ? 'validation' : 'test',
    method,
    label: labels.get(method) ?? (method.startsWith('control:') && typeof run.label === 'string' ? run.label : method),
    options: decisive(options),
    seed: typeof seed === 'number' ? seed : null,
    metrics: metrics as Record<string, number>,
    ...(typeof epochSeconds === 'number' ? { epochSeconds } : {}),
    file,
    identity: digest(key),
  };
}

function evaluated(document: Json, file: string, labels: ReadonlyMap<string, string>, bad: (what: string) => Error): Run {
  const { model, data, split, ndcgDefinition, training, files } = document;
  if (typeof model !== 'string' || typeof data !== 'string' || typeof split !== 'string') throw bad('it does not say what was measured');
  const metrics: Record<string, number> = {};
  for (const name of METRICS) {
    const byCutOff = document[name];
    const called = name === 'ndcg' && ndcgDefinition === 'kgat' ? 'ndcgKgat' : name;
    if (isObject(byCutOff))
      for (const [k, value] of Object.entries(byCutOff)) if (typeof value === 'number') metrics[`${called}@${k}`] = value;
  }
  if (Object.keys(metrics).length === 0) throw bad('it has no metrics');
  const record = isObject(training) ? training : {};
  const { seed, ...options } = isObject(record.options) ? record.options : {};
  const method = typeof record.variant === 'string' ? record.variant : basename(model);
  const dataKey = Array.isArray(files) && files.length > 0 ? dataKeyOf({ files }) : data;
  return {
    data: basename(data),
    dataKey,
    split,
    method,
    label: labels.get(method) ?? method,
    options: { ...(typeof record.preset === 'string' ? { preset: record.preset } : {}), ...decisive(options) },
    seed: typeof seed === 'number' ? seed : null,
    metrics,
    file,
    identity: digest({ dataKey, split, method, training: record, ...(isObject(training) ? {} : { model }) }),
  };
}

const decisive = (options: Json): Json => Object.fromEntries(Object.entries(options).filter(([name]) => !INDIFFERENT.includes(name)));

/** By the digests of the files; of data that were made, by what they were made with. */
function dataKeyOf({ users, items, entities, relations, files, options }: Json): string {
  if (Array.isArray(files) && files.length > 0)
    return digest(files.map((one) => (isObject(one) ? one.sha256 : null)).sort((a, b) => (String(a) < String(b) ? -1 : 1)));
  return digest({ users, items, entities, relations, options });
}

/** RecBole's files are called after the data; others are told apart by their sizes. */
function dataName({ users, items, files }: Json): string {
  const first = Array.isArray(files) && isObject(files[0]) && typeof files[0].name === 'string' ? files[0].name : '';
  const name = /^(.+?)(\.(train|valid|test|part\d+))?\.(inter|kg|link)(\.gz|\.zip)?$/.exec(first)?.[1];
  return name ?? `${users} users, ${items} items`;
}

const digest = (value: unknown): string => createHash('sha256').update(JSON.stringify(value)).digest('hex').slice(0, 16);
