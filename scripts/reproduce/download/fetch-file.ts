// One published file, from the server to a name on the disk: what is there of it is gone on with, what is wrong with it is refused.
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { hashAll } from '../../../lib/data/formats/file.ts';
import { DownloadError } from './download-error.ts';
import { type Answer, type GetOptions, httpsGet } from './https-get.ts';
import type { PublishedFile } from './published-files.ts';

/** How often a connection may end early and be taken up again where it ended. */
const MOST_ATTEMPTS = 3;

export interface Fetched {
  name: string;
  url: string;
  bytes: number;
  sha256: string;
}

const count = (bytes: number): string => bytes.toLocaleString('en-US');

/**
 * Brings `base/NAME` to `folder/NAME`; beside it, until it is whole, there is `.NAME.part` with what has come and `.NAME.from` with what it is of.
 *
 * @throws {DownloadError}
 */
export async function fetchFile(base: string, file: PublishedFile, folder: string, options: GetOptions): Promise<Fetched> {
  const { name } = file;
  const url = `${base}/${name}`;
  const [part, from] = [join(folder, `.${name}.part`), join(folder, `.${name}.from`)];
  // Not through a link that someone else has laid there.
  const handle = await open(part, constants.O_RDWR | constants.O_CREAT | (constants.O_NOFOLLOW ?? 0), 0o644);
  try {
    for (let attempt = 1; ; ++attempt)
      try {
        await receive(url, file, handle, from, options);
        break;
      } catch (error) {
        if (!(error instanceof DownloadError)) throw error;
        if (error.reason === 'interrupted' && attempt < MOST_ATTEMPTS) continue;
        throw new DownloadError(error.reason === 'interrupted' ? 'refused' : error.reason, `${name}: ${error.message}`, error);
      }
    await handle.sync();
    const hash = createHash('sha256');
    const bytes = await hashAll(handle, hash);
    const sha256 = hash.digest('hex');
    if (file.bytes !== undefined && bytes !== file.bytes)
      throw new DownloadError('refused', `${name}: has ${count(bytes)} bytes, published are ${count(file.bytes)}`);
    if (file.sha256 !== undefined && sha256 !== file.sha256)
      throw new DownloadError('refused', `${name}: its sha-256 is ${sha256}, published is ${file.sha256}`);
    await rename(part, join(folder, name));
    await rm(from, { force: true });
    return { name, url, bytes, sha256 };
  } finally {
    const isEmpty = (await handle.stat()).size === 0;
    await handle.close();
    if (isEmpty) for (const path of [part, from]) await rm(path, { force: true });
  }
}

/** A note of an earlier run; undefined if there is none, or none that was written to its end. */
export async function readNote<T extends object>(path: string): Promise<T | undefined> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as T;
  } catch {
    return undefined;
  }
}

/** What a part is of: the server's word for one version of the file, which it must be able to tell from others byte by byte. */
function versionOf({ headers: { etag } }: Answer): string | undefined {
  return etag !== undefined && /^"[^"]*"$/.test(etag) ? etag : undefined;
}

async function receive(url: string, file: PublishedFile, handle: FileHandle, from: string, options: GetOptions): Promise<void> {
  const known = (await readNote<{ url?: string; version?: string }>(from)) ?? {};
  let begin = known.url === url && known.version !== undefined ? (await handle.stat()).size : 0;
  if (begin > file.mostBytes) begin = 0;
  const range: Record<string, string> = begin > 0 ? { range: `bytes=${begin}-`, 'if-range': known.version! } : {};
  const answer = await httpsGet(url, range, options);
  const refuse = (what: string): never => {
    answer.discard();
    throw new DownloadError('refused', what);
  };
  const { status, headers } = answer;
  const version = versionOf(answer);
  if (begin > 0 && status === 416) {
    // It has no more than what is here, or is another file now: from the beginning.
    answer.discard();
    await rm(from, { force: true });
    return receive(url, file, handle, from, options);
  }
  if (status === 206) {
    const [, first] = /^bytes (\d+)-\d+\/\d+$/.exec(headers['content-range'] ?? '') ?? [];
    if (begin === 0 || Number(first) !== begin || (version !== undefined && version !== known.version))
      refuse('the server sends another part than was asked for');
  } else if (status === 200) begin = 0;
  else refuse(`the server answers with status ${status}`);
  if (/^\s*(text\/html|application\/xhtml)/i.test(headers['content-type'] ?? '')) refuse('the server sends a web page instead of the file');
  if (!/^(identity)?$/i.test(headers['content-encoding'] ?? '')) refuse(`the server sends it packed (${headers['content-encoding']})`);
  const announced = headers['content-length'] === undefined ? undefined : begin + Number(headers['content-length']);
  const limit = file.bytes ?? file.mostBytes;
  if (announced !== undefined && (announced > limit || (file.bytes !== undefined && announced !== file.bytes)))
    refuse(`the server announces ${count(announced)} bytes, ${file.bytes === undefined ? 'at most' : 'published are'} ${count(limit)}`);

  if (begin === 0) {
    await handle.truncate(0);
    await writeFile(from, JSON.stringify({ url, version }));
  }
  let bytes = begin;
  for await (const piece of answer.body) {
    bytes += piece.length;
    if (bytes > limit) refuse(`the server sends more than ${count(limit)} bytes`);
    await writeAt(handle, piece, bytes - piece.length);
  }
  if (announced !== undefined && bytes !== announced)
    throw new DownloadError('interrupted', `ends after ${count(bytes)} of ${count(announced)} bytes`);
}

async function writeAt(handle: FileHandle, bytes: Buffer, position: number): Promise<void> {
  for (let begin = 0; begin < bytes.length; ) {
    const { bytesWritten } = await handle.write(bytes, begin, bytes.length - begin, position + begin);
    begin += bytesWritten;
  }
}
