/** The ceilings of a machine: measured here for the processor (ceilings.cc), or read from what ceilings.cu wrote for a card. */
import { execFile, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { argumentError } from '../../lib/errors.ts';
import { type Spread, spread } from './measure.ts';
import type { Ceilings } from './work.ts';

/** One ceiling of the processor: a repetition moves or computes `amount` of `unit` in so many seconds. */
export interface Ceiling {
  unit: 'B' | 'flop';
  amount: number;
  seconds: Spread;
}
export type ProcessorCeilings = Record<string, Ceiling>;

const COPY = 'copy of 256 MiB, read and written';
const ARITHMETIC = 'float32 multiply-adds';
const ROWS = [8e6, 29e6, 256e6].map((bytes) => ({ bytes, name: `random rows of 256 B from ${bytes / 1e6} MB` }));

/** The C++ compiler that CXX names, or the first that is there. */
function compiler(): string | undefined {
  const { CXX } = process.env;
  return (CXX ? [CXX] : ['c++', 'g++', 'clang++']).find((name) => spawnSync(name, ['--version'], { stdio: 'ignore' }).status === 0);
}

/** Builds ceilings.cc in a temporary folder and runs it. Where there is no compiler, the reason why not. */
export async function measureProcessor(threads: number): Promise<ProcessorCeilings | string> {
  const cxx = compiler();
  if (cxx === undefined) return 'no C++ compiler (CXX names another)';
  const folder = mkdtempSync(join(tmpdir(), 'hyper-know-ceilings-'));
  try {
    const program = join(folder, 'ceilings');
    const source = fileURLToPath(new URL('ceilings.cc', import.meta.url));
    const built = spawnSync(cxx, ['-O3', '-march=native', '-std=c++17', '-pthread', source, '-o', program], { encoding: 'utf8' });
    if (built.status !== 0) return `${cxx} does not build ceilings.cc: ${built.stderr.trim().split('\n')[0]}`;
    const { stdout } = await promisify(execFile)(program, [String(threads)]);
    const measured = JSON.parse(stdout) as Record<string, { unit: 'B' | 'flop'; amount: number; seconds: number[] }>;
    return Object.fromEntries(
      Object.entries(measured).map(([name, { seconds, ...what }]) => [name, { ...what, seconds: spread(seconds) }]),
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Bytes or flops per second, at the median. */
export const rateOf = ({ amount, seconds }: Ceiling): number => amount / seconds.median;

export function limitsOf(measured: ProcessorCeilings): Ceilings {
  const rate = (name: string): number => rateOf(measured[name]!);
  return {
    kind: 'processor',
    device: cpus()[0]!.model,
    flops: rate(ARITHMETIC),
    memory: rate(COPY),
    randomRows: ROWS.map(({ name, bytes }) => ({ bytes, perSecond: rate(name) })),
  };
}

const UNITS: Readonly<Record<string, number>> = { 'GB/s': 1e9, 'TFLOP/s': 1e12, us: 1e-6 };

/** What ceilings.cu wrote of a card, or the `ceilings` benchmark of a processor. */
export function readCeilings(file: string): Ceilings {
  let document: { device?: string; processor?: string; ceilings?: Record<string, Partial<Ceiling> & { value?: number }> };
  try {
    document = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw argumentError('range', '--ceilings', `must be a JSON file of ceilings: ${(error as Error).message}`);
  }
  const found = document.ceilings ?? {};
  if (found[COPY]?.seconds !== undefined) return { ...limitsOf(found as ProcessorCeilings), device: document.processor ?? 'unknown' };
  const value = (name: string): number => {
    const { value, unit } = (found[name] ?? {}) as { value?: number; unit?: string };
    const factor = UNITS[unit ?? ''];
    if (value === undefined || factor === undefined) throw argumentError('range', '--ceilings', `${file} has no ${JSON.stringify(name)}`);
    return value * factor;
  };
  return {
    kind: 'card',
    device: document.device ?? 'unknown',
    flops: value('float32 multiply-adds'),
    memory: value('copy of 1 GiB, read and written'),
    cache: value('reading a quarter of the L2, 50 times'),
    phaseSeconds: value('an empty kernel in a graph'),
  };
}
