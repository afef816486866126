// A small published data set, and what an attempt to fetch it from a server came to.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { DownloadError, Reason } from '../../scripts/reproduce/download/download-error.ts';
import { type FetchOptions, fetchPublished } from '../../scripts/reproduce/download/fetch-dataset.ts';
import type { PublishedDataset } from '../../scripts/reproduce/download/published-files.ts';
import { contentOf } from '../failing-files.ts';
import { fixture, folderWith } from '../helpers.ts';
import { zipOf } from '../unit/data/zip.ts';
import { type Handler, type Server, serve } from './server.ts';

export const published = Object.fromEntries(
  ['train.txt', 'test.txt', 'kg_final.txt'].map((name) => [name, readFileSync(join(fixture('kgat'), name))]),
) as Record<'train.txt' | 'test.txt' | 'kg_final.txt', Buffer>;
export const graph = zipOf({ 'kg_final.txt': published['kg_final.txt'] }, {});
export const honest = { 'train.txt': published['train.txt'], 'test.txt': published['test.txt'], 'kg_final.txt.zip': graph };
export const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

/** The checkerboard of test/fixtures as if it were published: one file pinned, the others known by their counts. */
export const checkerboard: PublishedDataset = {
  counts: {
    ...{ name: 'checkerboard', source: 'test/fixtures', terms: 'none', users: 12, items: 12, train: 60, test: 12 },
    ...{ entities: 15, relations: 2, triples: 14 },
  },
  base: 'https://localhost:1',
  terms: 'For tests only.',
  files: [
    { name: 'train.txt', mostBytes: 1 << 16, bytes: published['train.txt'].length, sha256: sha256(published['train.txt']) },
    { name: 'test.txt', mostBytes: 1 << 16 },
    { name: 'kg_final.txt.zip', mostBytes: 1 << 26 },
  ],
};

export interface Attempt {
  /** The error; undefined where the data were accepted. */
  error: DownloadError | undefined;
  seconds: number;
  /** The folder around the data set's, before anything was fetched and after. */
  before: string[];
  after: string[];
  parent: string;
}

/** Fetches into a fresh folder beside which something else lies. */
export async function attempt(
  { origin, ca }: Pick<Server, 'origin' | 'ca'>,
  { parent = folderWith({ 'beside.txt': 'not ours' }), ...options }: Partial<FetchOptions> & { parent?: string } = {},
): Promise<Attempt> {
  const before = contentOf(parent);
  const start = performance.now();
  const error = await fetchPublished(checkerboard, join(parent, 'data'), {
    acceptTerms: () => true,
    base: `${origin}/data`,
    ca,
    ...options,
  }).then(
    () => undefined,
    (reason: DownloadError) => reason,
  );
  return { error, seconds: (performance.now() - start) / 1000, before, after: contentOf(parent), parent };
}

export async function against<T>(handler: Handler, use: (server: Server) => Promise<T>): Promise<T> {
  const server = await serve(handler);
  return use(server).finally(() => server.close());
}

/** What is wrong with how an attempt ended, where it should have been refused for this reason, in time, with nothing left. */
export function faultsOf({ error, seconds, before, after }: Attempt, expected: RegExp, reason: Reason = 'refused'): string[] {
  const left = after.filter((line) => !before.includes(line));
  return [
    ...(error === undefined ? ['it was accepted'] : []),
    ...(error !== undefined && (error.reason !== reason || !expected.test(error.message)) ? [`${error.reason}: ${error.stack}`] : []),
    ...(seconds < 30 ? [] : [`it took ${seconds} s`]),
    ...left.map((line) => `left behind: ${line}`),
    ...(before.every((line) => after.includes(line)) ? [] : ['something else is gone']),
  ];
}
