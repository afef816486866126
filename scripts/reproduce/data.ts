// Which data a command is about.
import { readdirSync, statSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { UsageError } from '../../lib/cli/exit.ts';
import { type Dataset, loadDataset } from '../../lib/data/dataset.ts';
import { formats } from '../../lib/data/formats/index.ts';
import { HyperKnowError } from '../../lib/errors.ts';
import { syntheticWorld } from '../../lib/report/data-key.ts';

export interface Source {
  name: string;
  /** Absolute; null: they are made. */
  folder: string | null;
  /** The data with what the seed decides about them: the validation split, where the files do not hold one. */
  open(seed: number): Promise<Dataset>;
}

export const SYNTHETIC: Source = { name: 'synthetic world', folder: null, open: async () => syntheticWorld() };

const isDataFolder = (path: string): boolean => Object.values(formats).some(({ claims }) => claims(readdirSync(path)));

/**
 * A folder of data, or those in a folder that holds some.
 *
 * @throws {HyperKnowError} ERR_HK_IO if there is none
 */
export function sourcesIn(path: string): Source[] {
  try {
    readdirSync(path);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new HyperKnowError('ERR_HK_IO', `${basename(path)}: cannot be read as a folder of data (${code})`, {
      file: basename(path),
      cause,
    });
  }
  const sourceOf = (folder: string): Source => ({
    name: basename(resolve(folder)),
    folder: resolve(folder),
    open: (seed) => loadDataset(folder, { seed }),
  });
  if (isDataFolder(path)) return [sourceOf(path)];
  const folders = readdirSync(path)
    .sort()
    .map((name) => join(path, name))
    .filter((folder) => statSync(folder).isDirectory() && isDataFolder(folder));
  return folders.length > 0 ? folders.map(sourceOf) : [sourceOf(path)]; // whose error says what was expected
}

/**
 * What compares methods on the test split needs users there: said before the first training, not after the last.
 *
 * @throws {UsageError}
 */
export function checkTested({ test: { offsets } }: Dataset, name: string): void {
  let users = 0;
  for (let user = 0; user + 1 < offsets.length; ++user) if (offsets[user + 1]! > offsets[user]!) ++users;
  if (users < 2)
    throw new UsageError(`--data: ${name} has ${users === 0 ? 'no user' : 'one user'} with a test item, a comparison needs two`);
}

export function sizesOf({ users, items, entities, relations, triples, train, validation, test }: Dataset): string {
  return (
    `${users} users, ${items} items, ${entities} entities, ${relations} relations, ${triples.heads.length} triples; ` +
    `${train.items.length} training, ${validation.items.length} validation, ${test.items.length} test interactions`
  );
}
