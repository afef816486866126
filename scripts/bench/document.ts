/**
 * What a benchmark reports: one JSON document with the machine, the commit and every number, and the tables that people read, on standard
 * output or as Markdown. The tables are part of the document, so that a README can be made from it again.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, release, totalmem } from 'node:os';
import { basename, dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type ParseArgsConfig, parseArgs } from 'node:util';
import { checkInteger, checkNumber, checkOneOf, show } from '../../lib/check.ts';
import { argumentError } from '../../lib/errors.ts';
import { backends } from '../../lib/native.ts';
import type { Spread } from './measure.ts';

// ── arguments ──

/** What every benchmark takes. */
export const COMMON = {
  json: { type: 'string' },
  markdown: { type: 'boolean', default: false },
} as const;

type Options = NonNullable<ParseArgsConfig['options']>;

/** The arguments of this process; unknown ones are refused. */
export function options<T extends Options>(own: T) {
  return parseArgs({ options: { ...own, ...COMMON }, allowPositionals: false }).values;
}

/** An integer option; the error names it. */
export function integer(name: string, text: string, least = 1, most: number = Number.MAX_SAFE_INTEGER): number {
  return checkInteger(`--${name}`, numberIn(name, text), least, most);
}

export function number(name: string, text: string, least: number): number {
  return checkNumber(`--${name}`, numberIn(name, text), least);
}

function numberIn(name: string, text: string): number {
  if (text.trim() === '' || Number.isNaN(Number(text))) throw argumentError('range', `--${name}`, `must be a number, got ${show(text)}`);
  return Number(text);
}

export function oneOf<T extends string>(name: string, text: string, allowed: readonly T[]): T {
  return checkOneOf(`--${name}`, text, allowed);
}

/** `5%` or `0.05`. */
export function percent(name: string, text: string): number {
  const match = /^(\d+(?:\.\d+)?)(%?)$/.exec(text.trim());
  if (match === null) throw argumentError('range', `--${name}`, `must be a share such as 5%, got ${JSON.stringify(text)}`);
  return Number(match[1]) / (match[2] === '%' ? 100 : 1);
}

/** Values separated by commas. */
export function list(text: string): string[] {
  return text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
}

// ── the document ──

export interface Table {
  title: string;
  /** Names of the columns; those after the first are numbers and stand to the right. */
  columns: readonly string[];
  rows: readonly (readonly string[])[];
  /** Sentences below the table. */
  notes?: readonly string[];
}

export interface Machine {
  /** Commit that is measured, marked where the tree differs from it; absent outside a checkout. */
  commit?: string;
  /** Of the card, in measurements on one. */
  driver?: string;
  /** Of the backend: processor or card, with the instruction set in use. */
  device: string;
  processor: string;
  processors: number;
  memoryBytes: number;
  platform: string;
  node: string;
  /** Processes that wanted a processor before the measurement began, averaged over a minute: above 0.5, somebody else was at work. */
  loadBefore: number;
}

const root = fileURLToPath(new URL('../..', import.meta.url));

function commit(): string | undefined {
  const git = (...args: string[]) => execFileSync('git', args, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  try {
    // Results and the tables made of them are written while other benchmarks still run.
    const others = [':!scripts/bench/results', ':!scripts/bench/README.md'];
    const changed = git('status', '--porcelain', '--untracked-files=no', '--', '.', ...others) !== '';
    return `${git('describe', '--always', '--abbrev=12')}${changed ? '-dirty' : ''}`;
  } catch {
    return undefined;
  }
}

/** Version of the NVIDIA driver, where its own program says it. */
function driver(): string | undefined {
  try {
    const all = execFileSync('nvidia-smi', ['--query-gpu=driver_version', '--format=csv,noheader'], { encoding: 'utf8', stdio: 'pipe' });
    return all.split('\n')[0];
  } catch {
    return undefined;
  }
}

export function machine(backend: string): Machine {
  const own = commit();
  const ownDriver = backend === 'cuda' ? driver() : undefined;
  return {
    ...(own === undefined ? {} : { commit: own }),
    ...(ownDriver === undefined ? {} : { driver: ownDriver }),
    device: backends().find(({ name }) => name === backend)!.device,
    processor: cpus()[0]!.model,
    processors: availableParallelism(),
    memoryBytes: totalmem(),
    platform: `${process.platform} ${process.arch} ${release()}`,
    node: process.version,
    loadBefore: loadavg()[0]!,
  };
}

export interface Document extends Machine {
  benchmark: string;
  backend: string;
  tables: readonly Table[];
  [result: string]: unknown;
}

interface Destination {
  json?: string | undefined;
  markdown?: boolean | undefined;
}

/** Prints the machine and the document's tables, and writes the document to --json, with the command that made it. */
export function report(document: Document, to: Destination): void {
  console.log(to.markdown ? `${sentence(document)}\n` : sentence(document));
  write({ command: literalCommand(document.benchmark), ...document }, to);
}

/** How this process was called, without where its output goes; of paths only the last part, which means the same elsewhere. */
function literalCommand(benchmark: string): string {
  const words: string[] = [];
  const rest = process.argv.slice(2);
  for (let i = 0; i < rest.length; ++i) {
    const word = rest[i]!;
    if (word === '--markdown' || word.startsWith('--json=')) continue;
    if (word === '--json') ++i;
    else
      words.push(
        word.startsWith('--')
          ? word
          : word
              .split(',')
              .map((part) => basename(part))
              .join(','),
      );
  }
  return ['npm run bench --', benchmark, ...words].join(' ');
}

/** The same without the machine. */
export function write(document: { tables: readonly Table[]; [result: string]: unknown }, { json, markdown = false }: Destination): void {
  for (const table of document.tables) console.log(markdown ? markdownOf(table) : textOf(table));
  if (json === undefined) return;
  mkdirSync(dirname(json), { recursive: true });
  writeFileSync(json, `${JSON.stringify(document, null, 2)}\n`);
}

/** The machine in one sentence. */
export function sentence({ device, processor, processors, backend, threads, node, commit, loadBefore }: Document): string {
  const where = device.includes(processor) ? device : `${device}; ${processor}`;
  const parts = [
    `${where}, ${processors} processors`,
    `backend ${backend}${threads === undefined ? '' : `, ${threads} threads`}`,
    `Node ${node}`,
    ...(commit === undefined ? [] : [`commit ${commit}`]),
    `load before ${loadBefore.toFixed(2)}`,
  ];
  return parts.join('; ');
}

export function markdownOf({ title, columns, rows, notes = [] }: Table): string {
  const line = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  const rule = `| ${columns.map((_, i) => (i === 0 ? '---' : '---:')).join(' | ')} |`;
  return [`**${title}**`, '', line(columns), rule, ...rows.map(line), ...notes.flatMap((note) => ['', note]), ''].join('\n');
}

export function textOf({ title, columns, rows, notes = [] }: Table): string {
  const width = columns.map((column, i) => Math.max(column.length, ...rows.map((row) => row[i]!.length)));
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, i) => (i === 0 ? cell.padEnd(width[i]!) : cell.padStart(width[i]!)))
      .join('  ')
      .trimEnd();
  return ['', title, line(columns), ...rows.map(line), ...notes].join('\n');
}

// ── numbers as they are written ──

/** Three digits, without an exponent. */
export function digits(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  if (Math.abs(value) >= 100) return Math.round(value).toLocaleString('en-US');
  return value === 0 ? '0' : value.toFixed(Math.max(0, Math.min(9, 2 - Math.floor(Math.log10(Math.abs(value))))));
}

/** `median (smallest – largest)`, times `factor`. */
export function showSpread({ median, smallest, largest }: Spread, factor = 1): string {
  return `${digits(factor * median)} (${digits(factor * smallest)} – ${digits(factor * largest)})`;
}

/** `12.3× (11.9 – 13.0)` of ratios. */
export function showRatio({ middle, smallest, largest }: { middle: number; smallest: number; largest: number }): string {
  return `${digits(middle)}× (${digits(smallest)} – ${digits(largest)})`;
}

/** Whether the module is the program that was started, by itself or through scripts/bench.ts, and not one that a test imports. */
export const isMain = (module: string): boolean => process.argv[1] === fileURLToPath(module);

/** Runs a benchmark. A bad argument is one line and exit status 2, not a stack trace. */
export async function command(main: () => Promise<number | undefined> | number | undefined): Promise<void> {
  try {
    process.exitCode = (await main()) ?? 0;
  } catch (error) {
    const code = (error as { code?: unknown }).code;
    if (typeof code !== 'string' || !/^ERR_(PARSE_ARGS|HK_(TYPE|RANGE|IO|FORMAT|BACKEND))/.test(code)) throw error;
    console.error((error as Error).message);
    process.exitCode = 2;
  }
}
