import { randomBytes } from 'node:crypto';
import { open, rename, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { HyperKnowError } from '../errors.ts';

/**
 * Writes a file piece by piece so that it is there whole or not at all; an older one is replaced.
 *
 * @throws {HyperKnowError} ERR_HK_IO if it cannot be written; what `pieces` throws
 */
export async function writeWholeFile(
  path: string,
  pieces: AsyncIterable<string | Uint8Array> | Iterable<string | Uint8Array>,
): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path)}.${randomBytes(6).toString('hex')}.tmp`);
  try {
    const file = await open(temporary, 'wx');
    try {
      for await (const piece of pieces) await file.writeFile(piece);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (cause) {
    await unlink(temporary).catch(() => {});
    if (!(cause instanceof Error && 'syscall' in cause)) throw cause;
    const { code, message } = cause as NodeJS.ErrnoException;
    throw new HyperKnowError('ERR_HK_IO', `${path}: it cannot be written (${code ?? message})`, { file: basename(path), cause });
  }
}
