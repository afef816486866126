import { randomBytes } from 'node:crypto';
import { createHash } from 'node:crypto';
import { type FileHandle, mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { HyperKnowError } from '../errors.ts';

export interface WrittenFile {
  name: string;
  bytes: number;
  sha256: string;
}

/** By this file a folder of ours is known, so that nothing else is ever replaced. */
export const CERTIFICATE_FILE = 'certificate.json';

/** Text gathered before it is written. */
const BLOCK = 1 << 16;

/** A folder that is there whole or not at all: files are written beside it, flushed, and the folder renamed. */
export class ExportFolder {
  readonly files: WrittenFile[] = [];
  readonly #target: string;
  readonly #temporary: string;

  private constructor(target: string, temporary: string) {
    this.#target = target;
    this.#temporary = temporary;
  }

  /**
   * Makes the folder, calls `fill`, and puts it in its place.
   *
   * @throws {HyperKnowError} ERR_HK_IO if it cannot be written, if something is there already, or, with `overwrite`, if that is no export;
   *   then and if `fill` throws nothing is left behind
   */
  static async write(path: string, overwrite: boolean, fill: (folder: ExportFolder) => Promise<void>): Promise<WrittenFile[]> {
    const target = resolve(path);
    const beside = (what: string) => join(dirname(target), `.${basename(target)}.${randomBytes(6).toString('hex')}.${what}`);
    const folder = new ExportFolder(target, beside('tmp'));
    try {
      await folder.#checkTarget(overwrite);
      await mkdir(folder.#temporary, { recursive: true });
      await fill(folder);
      await flush(folder.#temporary);
      await folder.#checkTarget(overwrite);
      const old = beside('old');
      const replaced = await rename(target, old).then(
        () => true,
        () => false,
      );
      await rename(folder.#temporary, target);
      await flush(dirname(target));
      if (replaced) await rm(old, { recursive: true, force: true });
      return folder.files;
    } catch (cause) {
      await rm(folder.#temporary, { recursive: true, force: true }).catch(() => {});
      if (!(cause instanceof Error && 'syscall' in cause)) throw cause;
      throw new HyperKnowError('ERR_HK_IO', `${basename(target)}: it cannot be written (${cause.message})`, {
        file: basename(target),
        cause,
      });
    }
  }

  async #checkTarget(overwrite: boolean): Promise<void> {
    const bad = (what: string) => new HyperKnowError('ERR_HK_IO', `${basename(this.#target)}: ${what}`, { file: basename(this.#target) });
    if (!(await exists(this.#target))) return;
    if (!overwrite) throw bad('it is there already; the option overwrite replaces an export');
    const isOurs = await readFile(join(this.#target, CERTIFICATE_FILE), 'utf8').then(
      (text) => text.includes('"hyper-know export"'),
      () => false,
    );
    if (!isOurs) throw bad(`it is there already and is no export (it has no ${CERTIFICATE_FILE} of one), so it is not replaced`);
  }

  /** Writes a file of text, piece by piece. */
  async text(name: string, pieces: Iterable<string>): Promise<void> {
    await this.bytes(name, encoded(pieces));
  }

  /** Writes a file, piece by piece, with a turn of the event loop between two of them. */
  async bytes(name: string, pieces: Iterable<Uint8Array>): Promise<void> {
    const hash = createHash('sha256');
    let bytes = 0;
    const file: FileHandle = await open(join(this.#temporary, name), 'wx');
    try {
      for (const piece of pieces) {
        hash.update(piece);
        bytes += piece.length;
        await file.writeFile(piece);
        await nextTurn();
      }
      await file.sync();
    } finally {
      await file.close();
    }
    this.files.push({ name, bytes, sha256: hash.digest('hex') });
  }
}

function* encoded(pieces: Iterable<string>): Generator<Uint8Array> {
  let block = '';
  for (const piece of pieces) {
    block += piece;
    if (block.length < BLOCK) continue;
    yield Buffer.from(block);
    block = '';
  }
  if (block !== '') yield Buffer.from(block);
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return false;
      throw error;
    },
  );
}

async function flush(folder: string): Promise<void> {
  if (process.platform === 'win32') return; // a folder cannot be opened there
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
