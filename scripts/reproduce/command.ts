// The command line of `npm run reproduce`.
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import type { TrainOptions } from '../../lib/train.ts';
import { VARIANTS } from '../../lib/variants.ts';
import { type Source, SYNTHETIC, sourcesIn } from './data.ts';
import { FIGURE_FLAGS, type FigureRequest, figureRequest } from './figures/request.ts';

/** What is small enough for two minutes: batches of 1024 give the synthetic world's 6,000 interactions a few steps an epoch. */
const SYNTHETIC_DEFAULTS = { batchSize: 1024, epochs: 100, evaluateEvery: 10 } as const;

export interface Command {
  ablate: boolean;
  /** Null: none is asked for. */
  figures: FigureRequest | null;
  sources: Source[];
  variants: typeof VARIANTS;
  /** Of the models. */
  seeds: number[];
  /** Of `train`, for every model. */
  options: TrainOptions;
  controls: boolean;
  out: string;
}

function positive(name: string, text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new RangeError(`--${name}: must be a positive integer, got ${JSON.stringify(text)}`);
  return value;
}

/** @throws {TypeError, RangeError, SyntaxError} for what cannot be meant; the options of `train` are checked by `train` */
export function parseCommand(argv: readonly string[]): Command {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      ablate: { type: 'boolean', default: false },
      data: { type: 'string', multiple: true },
      variants: { type: 'string' },
      seeds: { type: 'string', default: '3' },
      epochs: { type: 'string' },
      'batch-size': { type: 'string' },
      preset: { type: 'string' },
      options: { type: 'string' },
      backend: { type: 'string', default: 'auto' },
      threads: { type: 'string' },
      out: { type: 'string' },
      'no-controls': { type: 'boolean', default: false },
      ...FIGURE_FLAGS,
    },
  });
  const names = values.variants?.split(',') ?? VARIANTS.map(({ name }) => name);
  for (const name of names)
    if (!VARIANTS.some((variant) => variant.name === name))
      throw new RangeError(`--variants: ${JSON.stringify(name)} is not one of ${VARIANTS.map((v) => v.name).join(', ')}`);
  const sources = values.data?.flatMap(sourcesIn) ?? [SYNTHETIC];
  if (sources.length > 1 && !values.ablate)
    throw new RangeError(`--data: one data set, or --ablate, got ${sources.map(({ name }) => name).join(', ')}`);
  const options: TrainOptions = {
    ...(values.data === undefined ? SYNTHETIC_DEFAULTS : {}),
    ...(values.options === undefined ? {} : (JSON.parse(values.options) as TrainOptions)),
    backend: values.backend as 'auto' | 'cpu' | 'cuda',
  };
  if (values.epochs !== undefined) options.epochs = positive('epochs', values.epochs);
  if (values['batch-size'] !== undefined) options.batchSize = positive('batch-size', values['batch-size']);
  if (values.threads !== undefined) options.threads = positive('threads', values.threads);
  if (values.preset !== undefined) options.preset = values.preset as 'tuned' | 'paper';
  const figures = figureRequest(values);
  if (figures && values.ablate) throw new RangeError('--figures: goes without --ablate');
  return {
    ablate: values.ablate,
    figures,
    sources,
    variants: VARIANTS.filter(({ name }) => names.includes(name)),
    seeds: Array.from({ length: positive('seeds', values.seeds) }, (_, i) => i + 1),
    options,
    controls: !values['no-controls'],
    out: resolve(values.out ?? 'runs'),
  };
}
