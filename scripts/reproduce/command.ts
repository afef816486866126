// The command line of `npm run reproduce`.
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { isObject, show } from '../../lib/check.ts';
import { UsageError } from '../../lib/cli/exit.ts';
import type { TrainOptions } from '../../lib/train.ts';
import { PRESETS, type PresetName } from '../../lib/presets.ts';
import { VARIANTS } from '../../lib/variants.ts';
import { type Source, SYNTHETIC, sourcesIn } from './data.ts';
import { publishedSource } from './download/published-source.ts';
import { TABLES, type TableNumber } from '../../lib/report/tables/paper-tables.ts';
import { FIGURE_FLAGS, type FigureRequest, figureRequest } from './figures/request.ts';
import type { Shard } from './work.ts';

/** What is small enough for two minutes: batches of 1024 give the synthetic world's 6,000 interactions a few steps an epoch. */
const SYNTHETIC_DEFAULTS = { batchSize: 1024, epochs: 100, evaluateEvery: 10 } as const;

export interface Command {
  ablate: boolean;
  /** Null: none is asked for. */
  figures: FigureRequest | null;
  /** Recompute what is there instead of making anything. */
  verify: boolean;
  /** Say what would be made, and make nothing. */
  dryRun: boolean;
  /** Of the paper, to be written; none: the comparison alone. */
  tables: TableNumber[];
  presets: PresetName[];
  shard: Shard | null;
  /** Folders whose finished runs are taken over. */
  from: string[];
  keepModels: boolean;
  sources: Source[];
  variants: typeof VARIANTS;
  /** Of the models. */
  seeds: number[];
  /** Of `train`, for every model. */
  options: TrainOptions;
  /** Folders, as given or of what is published; `sources` without any is the synthetic world. */
  data: string[];
  controls: boolean;
  out: string;
}

export function positive(name: string, text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new UsageError(`--${name}: must be a positive integer, got ${JSON.stringify(text)}`);
  return value;
}

function tablesOf(text: string): TableNumber[] {
  return [...new Set(text.split(','))].sort().map((name) => {
    const table = TABLES.find((number) => String(number) === name);
    if (table === undefined) throw new UsageError(`--tables: ${JSON.stringify(name)} is not one of ${TABLES.join(', ')}`);
    return table;
  });
}

function presetsOf(text: string | undefined): PresetName[] {
  if (text === 'both') return ['tuned', 'paper'];
  if (text !== undefined && !Object.hasOwn(PRESETS, text))
    throw new UsageError(`--preset: ${JSON.stringify(text)} is not one of ${Object.keys(PRESETS).join(', ')}, both`);
  return [(text ?? 'tuned') as PresetName];
}

/** Options of `train` that decide which run it is or how it is made: each has a place of its own. */
const SET_ELSEWHERE = {
  ...{ variant: '--variants', preset: '--preset', seed: '--seeds', backend: '--backend', threads: '--threads' },
  ...{ checkpoint: null, resume: null, signal: null, onEpoch: null, monitorTest: null, itemWeights: null },
} as const;
type SetElsewhere = keyof typeof SET_ELSEWHERE;

/** A sweep has no options for these two: its settings say them. */
export const OF_SWEEPS = ['variant', 'preset'] as const satisfies readonly SetElsewhere[];

/**
 * Options of `train` as JSON; what they may be is checked by `train`.
 *
 * @param where what the message calls it
 * @param but which of those with a place of their own are allowed here
 */
export function optionsOf(where: string, text: string, but: readonly SetElsewhere[] = []): TrainOptions {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new UsageError(`${where}: is not JSON (${(error as Error).message.slice(0, 100)})`);
  }
  if (!isObject(value)) throw new UsageError(`${where}: must be an object, got ${show(value)}`);
  checkFree(where, value, but);
  return value as TrainOptions;
}

/** What is set elsewhere would be overridden without a word, or say one thing in the results and do another. */
export function checkFree(where: string, options: object, but: readonly SetElsewhere[] = []): void {
  for (const [name, flag] of Object.entries(SET_ELSEWHERE))
    if (Object.hasOwn(options, name) && !(but as readonly string[]).includes(name))
      throw new UsageError(`${where}: ${name} ${flag === null ? 'is set by the command' : `has an option of its own, ${flag}`}`);
}

/** Folders that hold finished runs. */
export function fromFolders(folders: readonly string[]): string[] {
  return folders.map((folder) => {
    if (!existsSync(join(folder, 'runs'))) throw new UsageError(`--from: ${folder} holds no runs`);
    return resolve(folder);
  });
}

/** `i/n`, from 1. */
export function parseShard(text: string): Shard {
  const [, index = 0, count = 0] = (/^([1-9]\d{0,5})\/([1-9]\d{0,5})$/.exec(text) ?? []).map(Number);
  if (!(index >= 1 && index <= count)) throw new UsageError(`--shard: must be i/n with 1 ≤ i ≤ n, got ${JSON.stringify(text)}`);
  return { index, count };
}

/** @throws {UsageError} for what cannot be meant; the options of `train` are checked by `train` */
export function parseCommand(argv: readonly string[]): Command {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      ablate: { type: 'boolean', default: false },
      data: { type: 'string', multiple: true },
      dataset: { type: 'string' },
      'accept-terms': { type: 'boolean', default: false },
      variants: { type: 'string' },
      seeds: { type: 'string', default: '3' },
      epochs: { type: 'string' },
      'batch-size': { type: 'string' },
      preset: { type: 'string' },
      options: { type: 'string' },
      backend: { type: 'string', default: 'auto' },
      threads: { type: 'string' },
      out: { type: 'string' },
      from: { type: 'string', multiple: true },
      tables: { type: 'string' },
      shard: { type: 'string' },
      verify: { type: 'boolean', default: false },
      'dry-run': { type: 'boolean', default: false },
      'no-controls': { type: 'boolean', default: false },
      ...FIGURE_FLAGS,
      'no-models': { type: 'boolean', default: false },
    },
  });
  const tables = values.tables === undefined ? [] : tablesOf(values.tables);
  const presets = presetsOf(values.preset);
  if (values.ablate && (tables.length > 0 || presets.length > 1))
    throw new UsageError('--ablate: goes with one preset, and without --tables');
  const all = VARIANTS.map(({ name }) => name as string);
  const names = values.variants?.split(',') ?? (tables.length > 0 && !tables.includes(3) ? ['hyper-know'] : all);
  for (const name of names)
    if (!VARIANTS.some((variant) => variant.name === name))
      throw new UsageError(`--variants: ${JSON.stringify(name)} is not one of ${VARIANTS.map((v) => v.name).join(', ')}`);
  if (tables.length > 0 && !names.includes('hyper-know')) names.push('hyper-know');
  const published = values.dataset === undefined ? [] : [publishedSource(values.dataset, values['accept-terms'])];
  const given = [...published, ...(values.data ?? []).flatMap(sourcesIn)];
  const sources = given.length > 0 ? given : [SYNTHETIC];
  if (sources.length > 1 && !values.ablate)
    throw new UsageError(`--data: one data set, or --ablate, got ${sources.map(({ name }) => name).join(', ')}`);
  const options: TrainOptions = {
    ...(given.length === 0 ? SYNTHETIC_DEFAULTS : {}),
    ...(values.options === undefined ? {} : optionsOf('--options', values.options)),
    backend: values.backend as 'auto' | 'cpu' | 'cuda',
  };
  if (values.epochs !== undefined) options.epochs = positive('epochs', values.epochs);
  if (values['batch-size'] !== undefined) options.batchSize = positive('batch-size', values['batch-size']);
  if (values.threads !== undefined) options.threads = positive('threads', values.threads);
  const figures = figureRequest(values);
  if (figures && values.ablate) throw new UsageError('--figures: goes without --ablate');
  if (values.preset !== undefined && presets.length === 1) options.preset = presets[0]!;
  return {
    figures,
    ...{ ablate: values.ablate, verify: values.verify, dryRun: values['dry-run'], tables, presets },
    shard: values.shard === undefined ? null : parseShard(values.shard),
    from: fromFolders(values.from ?? []),
    keepModels: !values['no-models'],
    data: [...published.map(({ folder }) => folder!), ...(values.data ?? [])],
    sources,
    variants: VARIANTS.filter(({ name }) => names.includes(name)),
    seeds: Array.from({ length: positive('seeds', values.seeds) }, (_, i) => i + 1),
    options,
    controls: !values['no-controls'] && (tables.length === 0 || tables.includes(2)),
    out: resolve(values.out ?? 'runs'),
  };
}
