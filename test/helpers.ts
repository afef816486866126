import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, readSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Dataset, Interactions } from '../lib/data/dataset.ts';

const root: string = resolve(dirname(fileURLToPath(import.meta.url)), '..');

/** A folder under test/fixtures. */
export function fixture(name: string): string {
  return join(root, 'test', 'fixtures', name);
}

/** A real data set's folder under HYPER_KNOW_DATA; where it is absent, says so and returns undefined: the caller skips. */
export function dataFolder(name: string): string | undefined {
  const folder = resolve(root, process.env.HYPER_KNOW_DATA ?? '../shared/data', name);
  if (existsSync(folder)) return folder;
  console.log(`skipped: no data set ${name} (set HYPER_KNOW_DATA to the folder that holds it)`);
  return undefined;
}

const temporary: string[] = [];
process.on('exit', () => {
  for (const folder of temporary) rmSync(folder, { recursive: true, force: true });
});

/** A fresh folder, removed when the process ends. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'hyper-know-'));
  temporary.push(folder);
  return folder;
}

/** A fresh folder with these files. */
export function folderWith(files: Record<string, string | Uint8Array>): string {
  const folder = temporaryFolder();
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
  return folder;
}

/** Of a file's bytes, in hexadecimal. */
export const sha256OfFile = (path: string): string => createHash('sha256').update(readFileSync(path)).digest('hex');

/** Milliseconds that this process works on processors from now on, all its threads together: what other processes do takes none of them. */
export function workClock(): () => number {
  const began = process.cpuUsage();
  return () => {
    const { user, system } = process.cpuUsage(began);
    return (user + system) / 1000;
  };
}

/** Milliseconds that this thread has had a processor; null where the system does not say. */
export function threadClock(): { worked: () => number; close: () => void } | null {
  try {
    const file = openSync('/proc/thread-self/schedstat', 'r');
    const bytes = Buffer.alloc(100);
    const worked = () => Number.parseInt(bytes.toString('latin1', 0, readSync(file, bytes, 0, 100, 0)), 10) / 1e6;
    return { worked, close: () => closeSync(file) };
  } catch {
    return null;
  }
}

/** Uniform numbers in [0, 1), the same for a seed everywhere (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let z = Math.imul(state ^ (state >>> 15), state | 1);
    z ^= z + Math.imul(z ^ (z >>> 7), z | 61);
    return ((z ^ (z >>> 14)) >>> 0) / 4294967296;
  };
}

/** Where the addon stands whose 'cuda-on-host' backend runs the CUDA sources on the host. */
export const HOST_BUILD: string = join(root, '.host');

/** What a process needs to load that addon. `schedule` seeds the order in which threads take their turns; 0 is ascending. */
export function hostEnvironment(schedule: number): Record<string, string> {
  const addon = join(HOST_BUILD, 'build', 'Release', 'hyper_know.node');
  // One built with AddressSanitizer wants that library loaded before everything else.
  const preload =
    process.platform === 'linux' ? /libasan\S* => (\S+)/.exec(execFileSync('ldd', [addon], { encoding: 'utf8' }))?.[1] : undefined;
  return {
    HYPER_KNOW_PREBUILD: HOST_BUILD,
    HYPER_KNOW_HOST_SCHEDULE: String(schedule),
    ...(preload === undefined ? {} : { LD_PRELOAD: preload, ASAN_OPTIONS: 'detect_leaks=0' }),
  };
}

/** A data set of dense ids as train.txt, test.txt and kg_final.txt, but for its validation split. */
export function writeKgat(folder: string, { train, test, triples: { heads, relations, tails } }: Dataset): void {
  const lines = ({ offsets, items }: Interactions): string =>
    Array.from({ length: offsets.length - 1 }, (_, user) =>
      `${user} ${items.subarray(offsets[user], offsets[user + 1]).join(' ')}`.trimEnd(),
    ).join('\n');
  writeFileSync(join(folder, 'train.txt'), `${lines(train)}\n`);
  writeFileSync(join(folder, 'test.txt'), `${lines(test)}\n`);
  writeFileSync(join(folder, 'kg_final.txt'), Array.from(heads, (head, i) => `${head} ${relations[i]} ${tails[i]}\n`).join(''));
}
