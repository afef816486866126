// A published data set in a folder: what is there is verified, what is not is fetched, and the folder appears when all of it is right.
import { mkdir, open, readdir, rename, rm, rmdir, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { type Dataset, loadDataset } from '../../../lib/data/dataset.ts';
import { HyperKnowError } from '../../../lib/errors.ts';
import { exists, syncFolder } from '../../../lib/whole-folder.ts';
import { checkArchive } from './archive.ts';
import { DownloadError } from './download-error.ts';
import { type Fetched, fetchFile, readNote } from './fetch-file.ts';
import { type PublishedDataset, publishedDataset } from './published-files.ts';

export interface FetchOptions {
  /** Asked for once, before anything is fetched; false: nothing is. */
  acceptTerms: (terms: string) => boolean | Promise<boolean>;
  signal?: AbortSignal;
  /** Another server with the same files, e.g. of one's own institution; https, too. */
  base?: string;
  /** Certificates to trust besides those of Node, PEM. */
  ca?: string;
  onFile?: (file: Fetched & { pinned: boolean }) => void;
}

/** Where the files came from and what they were, kept with them: what is not pinned is compared with this ever after. */
const RECORD = 'SOURCE.json';
/** A graph may take so much, unpacked. */
const MOST_UNPACKED_BYTES = 1 << 27;

/**
 * `amazon-book`, `last-fm` or `yelp2018` in `folder`. If the folder is there, its files are verified and nothing is fetched. Else they are fetched into
 * `.NAME.partial` beside it, which becomes the folder once they are verified; a run that was interrupted is taken up where it ended.
 *
 * @throws {DownloadError} with what to do; nothing that was refused is left behind
 */
export async function fetchDataset(name: string, folder: string, options: FetchOptions): Promise<void> {
  await fetchPublished(publishedDataset(name), folder, options);
}

export async function fetchPublished(dataset: PublishedDataset, folder: string, options: FetchOptions): Promise<void> {
  const target = resolve(folder);
  if (await isFilled(target)) return verified(dataset, target, 'folder');
  const partial = join(dirname(target), `.${basename(target)}.partial`);
  if (!(await options.acceptTerms(dataset.terms)))
    throw new DownloadError('terms', `the terms of ${dataset.counts.name} were not accepted (--accept-terms): nothing is fetched`);
  const made = await mkdir(partial, { recursive: true });
  try {
    const fetched: Fetched[] = [];
    for (const file of dataset.files) {
      const { base = dataset.base, ca, signal, onFile } = options;
      const one = (await isThere(partial, file.name)) ?? (await fetchFile(base, file, partial, { ca, signal }));
      await writeRecord(join(partial, `.${file.name}.done`), one);
      if (file.name.endsWith('.zip')) await checkArchive(join(partial, file.name), file.name, MOST_UNPACKED_BYTES);
      fetched.push(one);
      onFile?.({ ...one, pinned: file.sha256 !== undefined });
    }
    await verified(dataset, partial, 'refused');
    await writeRecord(join(partial, RECORD), {
      ...{ dataset: dataset.counts.name, fetched: new Date().toISOString(), terms: dataset.terms.split('\n') },
      files: fetched.map((file) => ({
        ...file,
        pinned: dataset.files.some(({ name, sha256 }) => name === file.name && sha256 !== undefined),
      })),
    });
    for (const { name } of dataset.files) await rm(join(partial, `.${name}.done`));
    await syncFolder(partial);
    await rmdir(target).catch(() => {}); // an empty one
    await rename(partial, target);
    await syncFolder(dirname(target));
  } catch (error) {
    const reason = error instanceof DownloadError ? error.reason : error instanceof HyperKnowError ? 'refused' : undefined;
    if (reason === 'refused') await rm(partial, { recursive: true, force: true });
    // What has come stays for the next time; folders that are still empty go.
    for (let at = partial; made !== undefined && at.length >= made.length; at = dirname(at)) await rmdir(at).catch(() => {});
    if (reason !== 'refused' && reason !== 'unreachable') throw error;
    throw new DownloadError(reason, `${(error as Error).message}\n${byHand(dataset, target)}`, error);
  }
}

/** What to put where, for who has no network or gets the files another way. */
export function byHand({ base, files, counts }: PublishedDataset, folder: string): string {
  return [
    `To have ${counts.name} without this download, put these files into ${resolve(folder)} and run the same command again:`,
    ...files.map(({ name }) => `  ${name}${name.endsWith('.zip') ? ` (or ${name.slice(0, -4)}, unpacked)` : ''}  from ${base}/${name}`),
  ].join('\n');
}

async function isFilled(folder: string): Promise<boolean> {
  if (!(await exists(folder))) return false;
  const names = await readdir(folder).catch((cause: NodeJS.ErrnoException) => {
    throw new DownloadError('folder', `${folder}: is there and cannot be read as a folder (${cause.code})`, cause);
  });
  return names.length > 0;
}

/** What an earlier run has fetched of a file, if that is all of it. */
async function isThere(partial: string, name: string): Promise<Fetched | undefined> {
  const done = await readNote<Fetched>(join(partial, `.${name}.done`));
  return done !== undefined && (await exists(join(partial, name))) ? done : undefined;
}

async function writeRecord(path: string, content: object): Promise<void> {
  await writeFile(path, `${JSON.stringify(content, undefined, 2)}\n`);
  const file = await open(path, 'r');
  await file.sync().finally(() => file.close());
}

/**
 * Reads the whole data set and compares it with what was published: digests where they are known or were noted, and all counts.
 *
 * @param reason that of the error
 */
async function verified(dataset: PublishedDataset, folder: string, reason: 'refused' | 'folder'): Promise<void> {
  const { counts } = dataset;
  const found = await loadDataset(folder).catch((error: Error) => {
    const how = reason === 'folder' ? `\n${byHand(dataset, folder)}` : '';
    throw new DownloadError(reason, `${counts.name}: ${error.message}${how}`, error);
  });
  const record = (await readNote<{ files?: Fetched[] }>(join(folder, RECORD)))?.files ?? [];
  const done = await Promise.all(dataset.files.map(({ name }) => isThere(folder, name)));
  const faults: string[] = [];
  for (const { name, sha256 } of found.report.files) {
    const pinned = dataset.files.find((file) => file.name === name)?.sha256;
    const noted = [...record, ...done].find((file) => file?.name === name)?.sha256;
    if (pinned !== undefined && sha256 !== pinned) faults.push(`the sha-256 of ${name} is ${sha256}, published is ${pinned}`);
    else if (noted !== undefined && sha256 !== noted) faults.push(`the sha-256 of ${name} is ${sha256}, fetched was ${noted}`);
  }
  for (const [key, value] of Object.entries(countsOf(found))) {
    const published = counts[key as keyof ReturnType<typeof countsOf>];
    if (value !== published) faults.push(`${key}: ${value.toLocaleString('en-US')}, published are ${published.toLocaleString('en-US')}`);
  }
  if (faults.length > 0)
    throw new DownloadError(
      reason,
      [`${counts.name}: ${folder} is not what was published:`, ...faults.map((fault) => `  ${fault}`)].join('\n') +
        (reason === 'folder' ? '\nIt is left as it is; move it away to fetch the data set anew.' : ''),
    );
}

function countsOf({ users, items, entities, relations, train, validation, test, triples }: Dataset) {
  const interactions = { train: train.items.length + validation.items.length, test: test.items.length };
  return { users, items, ...interactions, entities, relations, triples: triples.heads.length };
}
