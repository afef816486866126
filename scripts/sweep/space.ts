// A declared space of options of `train`, and the settings that a search takes out of it.
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { isObject } from '../../lib/check.ts';
import { UsageError } from '../../lib/cli/exit.ts';
import { Random } from '../../lib/data/random.ts';
import { HyperKnowError } from '../../lib/errors.ts';
import { resolveOptions } from '../../lib/options.ts';
import type { TrainOptions } from '../../lib/train.ts';
import { checkFree, OF_SWEEPS } from '../reproduce/command.ts';
import { grid } from '../reproduce/grid.ts';

/** Values to choose from, or where to draw one: uniformly, uniformly on a logarithmic scale, or the same of integers. */
export type Dimension =
  | readonly unknown[]
  | { uniform: readonly [number, number] }
  | { log: readonly [number, number] }
  | { integer: readonly [number, number] }
  | { logInteger: readonly [number, number] };

export interface Space {
  /** Of every setting. */
  base: TrainOptions;
  space: Record<string, Dimension>;
  /** 'grid': every combination, of lists alone; or so many settings drawn by a seed. */
  search: 'grid' | { random: number; seed: number };
}

/** Stream of Random for drawn settings. */
const STREAM = 21;

const DRAWS = ['uniform', 'log', 'integer', 'logInteger'] as const;

/** @throws {UsageError, HyperKnowError} with the file's name and the place in it */
export function readSpace(path: string): Space {
  const file = basename(path);
  const value = contentOf(path, file);
  if (!isObject(value)) throw new UsageError(`${file}: must be an object with "space"`);
  for (const name of Object.keys(value))
    if (!['base', 'space', 'search'].includes(name)) throw new UsageError(`${file}: "${name}" is none of base, space, search`);
  const { base = {}, space, search = 'grid' } = value;
  if (!isObject(space)) throw new UsageError(`${file}: must be an object with "space"`);
  if (!isObject(base)) throw new UsageError(`${file}: base must be an object of options of train`);
  checkFree(`${file}: base`, base, OF_SWEEPS);
  checkFree(`${file}: space`, space, OF_SWEEPS);
  if (Object.keys(space).length === 0) throw new UsageError(`${file}: space has no options`);
  for (const [name, dimension] of Object.entries(space)) checkDimension(`${file}: space.${name}`, dimension, search === 'grid');
  if (search !== 'grid') {
    const { random, seed } = (isObject(search) ? search : {}) as { random?: unknown; seed?: unknown };
    if (!Number.isInteger(random) || (random as number) < 1 || !Number.isInteger(seed) || (seed as number) < 0)
      throw new UsageError(`${file}: search must be "grid" or { "random": how many, "seed": an integer }`);
  }
  return { base, space, search } as Space;
}

function contentOf(path: string, file: string): unknown {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new HyperKnowError('ERR_HK_IO', `${file}: cannot be read (${code})`, { file, cause });
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new UsageError(`${file}: is not JSON (${(error as Error).message.slice(0, 100)})`);
  }
}

function checkDimension(where: string, dimension: unknown, isGrid: boolean): void {
  if (Array.isArray(dimension)) {
    if (dimension.length === 0) throw new UsageError(`${where}: has no values`);
    return;
  }
  const kind = DRAWS.find((name) => Array.isArray((dimension as Record<string, unknown> | null)?.[name]));
  if (kind === undefined || Object.keys(dimension as object).length !== 1)
    throw new UsageError(`${where}: must be a list of values or one of ${DRAWS.map((name) => `{ "${name}": [least, most] }`).join(', ')}`);
  if (isGrid) throw new UsageError(`${where}: ${kind} needs "search": { "random": how many, "seed": … }, a grid lists its values`);
  const [least, most] = (dimension as Record<string, unknown[]>)[kind] as [unknown, unknown];
  const isRange = Number.isFinite(least) && Number.isFinite(most) && (least as number) < (most as number);
  if (!isRange || (kind.startsWith('log') && !((least as number) > 0)) || (/nteger/.test(kind) && ![least, most].every(Number.isInteger)))
    throw new UsageError(`${where}: ${kind} needs [least, most] with least < most${kind.startsWith('log') ? ', both above 0' : ''}`);
}

/** The settings, in order; of a random search the first ones are the same however many are drawn. Doubles are left out. */
export function settingsOf({ base, space, search }: Space): TrainOptions[] {
  const own = search === 'grid' ? [...grid(space as Record<string, readonly unknown[]>)] : drawn(space, search);
  return distinct(own.map((setting) => ({ ...base, ...setting })));
}

export function distinct(settings: readonly TrainOptions[]): TrainOptions[] {
  return [...new Map(settings.map((setting) => [JSON.stringify(Object.entries(setting).sort()), setting])).values()];
}

/** Every setting is one that `train` takes: said before the first training, not at the last. */
export function checkSettings(settings: readonly TrainOptions[]): void {
  for (const setting of settings) {
    try {
      resolveOptions(setting, 1000, true);
    } catch (error) {
      (error as Error).message += ` (in ${JSON.stringify(setting)})`;
      throw error;
    }
  }
}

function drawn(space: Space['space'], { random: count, seed }: { random: number; seed: number }): TrainOptions[] {
  const random = new Random(seed, STREAM);
  return Array.from({ length: count }, () =>
    Object.fromEntries(Object.entries(space).map(([name, dimension]) => [name, draw(dimension, random.uniform())])),
  );
}

/** @param share in [0, 1) */
function draw(dimension: Dimension, share: number): unknown {
  if (Array.isArray(dimension)) return dimension[Math.floor(share * dimension.length)];
  const [kind, [least, most]] = Object.entries(dimension)[0] as [(typeof DRAWS)[number], [number, number]];
  const within = (from: number, to: number) =>
    kind.startsWith('log') ? Math.exp(Math.log(from) + share * (Math.log(to) - Math.log(from))) : from + share * (to - from);
  return /nteger/.test(kind) ? Math.min(most, Math.floor(within(least, most + 1))) : Number(within(least, most).toPrecision(4));
}
