import { randomBytes } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { files } from './files.ts';
import { syncFolder } from './whole-folder.ts';

/** Bytes of one write, between two turns of the event loop. */
const PIECE_BYTES = 1 << 21;

/**
 * Writes a file that is there whole or not at all: `fill` writes a temporary one beside it, which is flushed and renamed over it; then the folder
 * is flushed. If only that last flush fails, the new file is in place, whole, and the error says so.
 *
 * @throws what `fill` and the file system throw; no temporary is left then
 */
export async function writeWholeFile(path: string, fill: (file: FileHandle) => Promise<void>): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path)}.${randomBytes(6).toString('hex')}.tmp`);
  try {
    const file = await files.open(temporary, 'wx');
    try {
      await fill(file);
      await file.sync();
    } finally {
      await file.close();
    }
    await files.rename(temporary, path);
  } catch (error) {
    await files.rm(temporary, { force: true }).catch(() => {});
    throw error;
  }
  await syncFolder(dirname(path)).catch((error: Error) => {
    error.message += '; it is in place, but a loss of power may still undo that';
    throw error;
  });
}

/** Writes all of the bytes, however few of them the system takes at a time. */
export async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let begin = 0; begin < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, begin, Math.min(PIECE_BYTES, bytes.length - begin));
    if (bytesWritten === 0) throw Object.assign(new Error('the system writes nothing more'), { code: 'EIO', syscall: 'write' });
    begin += bytesWritten;
  }
}
