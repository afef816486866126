import { createHash } from 'node:crypto';
import { basename, join, resolve } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { HyperKnowError } from '../errors.ts';
import { files } from '../files.ts';
import { writeAll } from '../whole-file.ts';
import { exists, writeWholeFolder } from '../whole-folder.ts';

/** A file of an export, and its digest. */
export interface WrittenFile {
  name: string;
  bytes: number;
  sha256: string;
}

/** By this file a folder of ours is known, so that nothing else is ever replaced. */
export const CERTIFICATE_FILE = 'certificate.json';

/** Text gathered before it is written. */
const BLOCK = 1 << 16;

/** The folder of an export, which is there whole or not at all. */
export class ExportFolder {
  readonly files: WrittenFile[];
  readonly #path: string;

  private constructor(path: string, files: WrittenFile[]) {
    this.#path = path;
    this.files = files;
  }

  /**
   * Makes the folder, calls `fill`, and puts it in its place.
   *
   * @throws {HyperKnowError} ERR_HK_IO if it cannot be written, if something is there already, or, with `overwrite`, if that is no export;
   *   then and if `fill` throws nothing is left behind
   */
  static async write(path: string, overwrite: boolean, fill: (folder: ExportFolder) => Promise<void>): Promise<WrittenFile[]> {
    const target = resolve(path);
    const written: WrittenFile[] = [];
    try {
      await writeWholeFolder(
        target,
        () => checkTarget(target, overwrite),
        (temporary) => fill(new ExportFolder(temporary, written)),
      );
      return written;
    } catch (cause) {
      if (!(cause instanceof Error && 'syscall' in cause)) throw cause;
      throw new HyperKnowError('ERR_HK_IO', `${basename(target)}: it cannot be written (${cause.message})`, {
        file: basename(target),
        cause,
      });
    }
  }

  /** Writes a file of text, piece by piece. */
  async text(name: string, pieces: Iterable<string>): Promise<void> {
    await this.bytes(name, encoded(pieces));
  }

  /** Writes a file, piece by piece, with a turn of the event loop between two of them. */
  async bytes(name: string, pieces: Iterable<Uint8Array>): Promise<void> {
    const hash = createHash('sha256');
    let bytes = 0;
    const file = await files.open(join(this.#path, name), 'wx');
    try {
      for (const piece of pieces) {
        hash.update(piece);
        bytes += piece.length;
        await writeAll(file, piece);
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

async function checkTarget(target: string, overwrite: boolean): Promise<void> {
  const bad = (what: string) => new HyperKnowError('ERR_HK_IO', `${basename(target)}: ${what}`, { file: basename(target) });
  if (!(await exists(target))) return;
  if (!overwrite) throw bad('it is there already; the option overwrite (--force) replaces an export');
  const isOurs = await files.readFile(join(target, CERTIFICATE_FILE), 'utf8').then(
    (text) => text.includes('"hyper-know export"'),
    () => false,
  );
  if (!isOurs) throw bad(`it is there already and is no export (it has no ${CERTIFICATE_FILE} of one), so it is not replaced`);
}
