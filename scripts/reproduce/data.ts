// Which data a command is about, and what tells one split of them from another.
import { createHash } from 'node:crypto';
import { readdirSync, statSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { type Dataset, loadDataset } from '../../lib/data/dataset.ts';
import { formats } from '../../lib/data/formats/index.ts';
import { synthetic } from '../../lib/data/synthetic.ts';

export interface Source {
  name: string;
  /** The data with what the seed decides about them: the validation split, where the files do not hold one. */
  open(seed: number): Promise<Dataset>;
}

export const SYNTHETIC: Source = { name: 'synthetic world', open: async () => synthetic({ seed: 1 }) };

const isDataFolder = (path: string): boolean => Object.values(formats).some(({ claims }) => claims(readdirSync(path)));

/** A folder of data, or those in a folder that holds some. */
export function sourcesIn(path: string): Source[] {
  const sourceOf = (folder: string): Source => ({ name: basename(resolve(folder)), open: (seed) => loadDataset(folder, { seed }) });
  if (isDataFolder(path)) return [sourceOf(path)];
  const folders = readdirSync(path)
    .sort()
    .map((name) => join(path, name))
    .filter((folder) => statSync(folder).isDirectory() && isDataFolder(folder));
  return folders.length > 0 ? folders.map(sourceOf) : [sourceOf(path)]; // whose error says what was expected
}

/** Everything about the data that decides a result: their size, their files, and who has which item in training and validation. */
export function keyOf({ users, items, entities, relations, train, validation, report }: Dataset): Record<string, unknown> {
  const hash = createHash('sha256');
  for (const { buffer, byteOffset, byteLength } of [train.offsets, train.items, validation.offsets, validation.items])
    hash.update(new Uint8Array(buffer, byteOffset, byteLength));
  const { seed: _seed, ...options } = report.options;
  const files = report.files.map(({ name, bytes, sha256 }) => ({ name, bytes, sha256 }));
  return { users, items, entities, relations, files, options, split: hash.digest('hex').slice(0, 16) };
}

export function sizesOf({ users, items, entities, relations, triples, train, validation, test }: Dataset): string {
  return (
    `${users} users, ${items} items, ${entities} entities, ${relations} relations, ${triples.heads.length} triples; ` +
    `${train.items.length} training, ${validation.items.length} validation, ${test.items.length} test interactions`
  );
}
