import { createHash } from 'node:crypto';
import type { Dataset } from '../data/dataset.ts';
import { synthetic } from '../data/synthetic.ts';

/** The data of runs without a folder: what `reproduce` takes where it is given none. */
export const syntheticWorld = (): Dataset => synthetic({ seed: 1 });

/** Everything about the data that decides a result: their size, their files, and who has which item in training and validation. */
export function dataKeyOf({ users, items, entities, relations, train, validation, report }: Dataset): Record<string, unknown> {
  const hash = createHash('sha256');
  for (const { buffer, byteOffset, byteLength } of [train.offsets, train.items, validation.offsets, validation.items])
    hash.update(new Uint8Array(buffer, byteOffset, byteLength));
  const { seed: _seed, ...options } = report.options;
  const files = report.files.map(({ name, bytes, sha256 }) => ({ name, bytes, sha256 }));
  return { users, items, entities, relations, files, options, split: hash.digest('hex').slice(0, 16) };
}

/** How the data differ, in words; undefined: they do not. */
export function dataDifference(recorded: Record<string, unknown>, found: Record<string, unknown>): string | undefined {
  for (const name of new Set([...Object.keys(recorded), ...Object.keys(found)])) {
    if (name === 'files') continue; // last: what follows from them is said more clearly by the counts
    const [before, now] = [JSON.stringify(recorded[name]), JSON.stringify(found[name])];
    if (before !== now) return `${name} ${before} when it was made, now ${now}`;
  }
  const digests = (value: unknown): Map<string, string> =>
    new Map(Array.isArray(value) ? value.map(({ name, sha256 }: { name: string; sha256: string }) => [name, sha256]) : []);
  const [before, now] = [digests(recorded.files), digests(found.files)];
  for (const name of new Set([...before.keys(), ...now.keys()]))
    if (before.get(name) !== now.get(name)) return `${name} is another file (sha-256)`;
  return undefined;
}
