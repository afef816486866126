// A published data set as the source of a command: fetched when it is first opened, after whoever runs the command has seen its terms.
import { createInterface } from 'node:readline/promises';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadDataset } from '../../../lib/data/dataset.ts';
import type { Source } from '../data.ts';
import { fetchDataset } from './fetch-dataset.ts';
import { publishedDataset } from './published-files.ts';

/** Ignored by Git: the data may not be passed on. */
const FOLDER = fileURLToPath(new URL('../../../data', import.meta.url));

async function ask(terms: string, accepted: boolean): Promise<boolean> {
  process.stderr.write(`${terms}\n`);
  if (accepted || !process.stdin.isTTY || !process.stderr.isTTY) return accepted;
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  const answer = await terminal.question('Do you accept these terms? [yes/no] ').finally(() => terminal.close());
  return /^y(es)?$/i.test(answer.trim());
}

/** @throws {UsageError} if no data set has this name */
export function publishedSource(name: string, acceptTerms: boolean, folder: string = join(FOLDER, name)): Source {
  publishedDataset(name);
  let fetching: Promise<void> | undefined;
  return {
    name,
    folder: resolve(folder),
    open: async (seed) => {
      fetching ??= fetchDataset(name, folder, {
        acceptTerms: (terms) => ask(terms, acceptTerms),
        onFile: ({ name: file, bytes, sha256, pinned }) =>
          process.stderr.write(
            `${file}: ${bytes.toLocaleString('en-US')} bytes, sha-256 ${sha256} (${pinned ? 'as published' : 'noted'})\n`,
          ),
      });
      await fetching;
      return loadDataset(folder, { seed });
    },
  };
}
