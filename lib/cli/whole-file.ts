import { basename } from 'node:path';
import { HyperKnowError } from '../errors.ts';
import { writeAll, writeWholeFile as writeWhole } from '../whole-file.ts';

/**
 * Writes a file piece by piece so that it is there whole or not at all; an older one is replaced.
 *
 * @throws {HyperKnowError} ERR_HK_IO if it cannot be written; what `pieces` throws
 */
export async function writeWholeFile(
  path: string,
  pieces: AsyncIterable<string | Uint8Array> | Iterable<string | Uint8Array>,
): Promise<void> {
  try {
    await writeWhole(path, async (file) => {
      for await (const piece of pieces) await writeAll(file, typeof piece === 'string' ? Buffer.from(piece) : piece);
    });
  } catch (cause) {
    if (!(cause instanceof Error && 'syscall' in cause)) throw cause;
    throw new HyperKnowError('ERR_HK_IO', `${path}: it cannot be written (${cause.message})`, { file: basename(path), cause });
  }
}
