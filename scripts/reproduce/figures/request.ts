// What `--figures` and its companions on the command line ask for.
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { UsageError } from '../../../lib/cli/exit.ts';
import { HyperKnowError } from '../../../lib/errors.ts';

export const FIGURE_NAMES = ['2', '3', 'radius', 'curves', 'attention'] as const;
export type FigureName = (typeof FIGURE_NAMES)[number];

export interface FigureRequest {
  figures: FigureName[];
  /** Fixed weights of the sweep, ascending. */
  betas: number[];
  /** Ids of Figure 3; none: some are chosen. */
  entities: string[];
  kgHeads: 'items' | 'all';
  hubDegree: number;
  /** Id → name, from a file of lines `id TAB name`. */
  names: ReadonlyMap<string, string>;
}

/** For `parseArgs`. */
export const FIGURE_FLAGS = {
  figures: { type: 'string' },
  betas: { type: 'string' },
  entity: { type: 'string', multiple: true },
  'kg-heads': { type: 'string' },
  'hub-degree': { type: 'string' },
  names: { type: 'string' },
} as const;

const BETAS = [0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1];

/** The values of these flags as `parseArgs` finds them. */
export interface FigureFlags {
  figures?: string | undefined;
  betas?: string | undefined;
  entity?: string[] | undefined;
  'kg-heads'?: string | undefined;
  'hub-degree'?: string | undefined;
  names?: string | undefined;
}

/**
 * What is asked for, or null where no figure is.
 *
 * @throws {UsageError} for what cannot be meant; {HyperKnowError} ERR_HK_IO for a file that cannot be read
 */
export function figureRequest(flags: FigureFlags): FigureRequest | null {
  const { figures, betas, entity = [], 'kg-heads': kgHeads = 'items', 'hub-degree': hubDegree = '100', names } = flags;
  if (figures === undefined) {
    for (const name of ['betas', 'entity', 'kg-heads', 'hub-degree', 'names'] as const)
      if (flags[name] !== undefined) throw new UsageError(`--${name}: has no meaning without --figures`);
    return null;
  }
  const wanted = figures === 'all' ? [...FIGURE_NAMES] : figures.split(',');
  for (const name of wanted)
    if (!(FIGURE_NAMES as readonly string[]).includes(name))
      throw new UsageError(`--figures: ${JSON.stringify(name)} is not one of ${FIGURE_NAMES.join(', ')}, all`);
  if (kgHeads !== 'items' && kgHeads !== 'all') throw new UsageError(`--kg-heads: must be items or all, got ${JSON.stringify(kgHeads)}`);
  const hub = Number(hubDegree);
  if (!Number.isInteger(hub) || hub < 1) throw new UsageError(`--hub-degree: must be a positive integer, got ${JSON.stringify(hubDegree)}`);
  return {
    figures: FIGURE_NAMES.filter((name) => wanted.includes(name)),
    betas: betas === undefined ? BETAS : betasOf(betas),
    entities: entity.flatMap((ids) => ids.split(',')),
    kgHeads,
    hubDegree: hub,
    names: names === undefined ? new Map() : namesIn(names),
  };
}

function betasOf(text: string): number[] {
  const values = text.split(',').map((part) => (part.trim() === '' ? Number.NaN : Number(part)));
  if (!values.every((value) => value >= 0 && value <= 1e6))
    throw new UsageError(`--betas: must be numbers from 0, got ${JSON.stringify(text)}`);
  const distinct = [...new Set(values)].sort((a, b) => a - b);
  if (distinct.filter((value) => value > 0).length < 2) throw new UsageError('--betas: must have two different values above 0 at least');
  return distinct;
}

function namesIn(path: string): Map<string, string> {
  const names = new Map<string, string>();
  const lines = textOf(path)
    .replace(/^\ufeff/, '')
    .split(/\r?\n/);
  lines.forEach((line, i) => {
    if (line === '') return;
    const tab = line.indexOf('\t');
    if (tab < 0) throw new UsageError(`--names: ${path}, line ${i + 1}: must be an id, a tab and a name`);
    names.set(line.slice(0, tab), line.slice(tab + 1).trim());
  });
  return names;
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    const file = basename(path);
    throw new HyperKnowError('ERR_HK_IO', `--names: ${file} cannot be read (${(cause as NodeJS.ErrnoException).code})`, { file, cause });
  }
}
