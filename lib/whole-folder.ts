import { randomBytes } from 'node:crypto';
import { basename, dirname, join, resolve } from 'node:path';
import { files } from './files.ts';

/**
 * Writes a folder that is there whole or not at all: `fill` writes into one beside it, which is flushed and renamed. An older folder at `path`
 * is moved aside first and goes only when the new one is in its place; if that fails, it is moved back. The folder around it must be there.
 *
 * @param checkTarget throws if what is at `path` may not be replaced; asked before and after `fill`
 * @throws what `checkTarget`, `fill` and the file system throw; nothing is left behind then, unless the message says what and where
 */
export async function writeWholeFolder(
  path: string,
  checkTarget: () => Promise<void>,
  fill: (temporary: string) => Promise<void>,
): Promise<void> {
  const target = resolve(path);
  const suffix = randomBytes(6).toString('hex');
  const beside = (what: string) => join(dirname(target), `.${basename(target)}.${suffix}.${what}`);
  const [temporary, old] = [beside('tmp'), beside('old')];
  const remove = (folder: string) => files.rm(folder, { recursive: true, force: true });
  await checkTarget();
  try {
    await files.mkdir(temporary);
    await fill(temporary);
    await syncFolder(temporary);
    await checkTarget();
    const isThere = await exists(target);
    if (isThere) await files.rename(target, old);
    let inPlace = false;
    try {
      await files.rename(temporary, target);
      inPlace = true;
      await syncFolder(dirname(target));
    } catch (error) {
      const both = `it is in place, but may not outlast a loss of power${isThere ? `; what was there before is left at ${old}` : ''}`;
      if (inPlace) await files.rename(target, temporary).catch((second) => leaves(second, both));
      if (isThere) await files.rename(old, target).catch((second) => leaves(second, `what was at ${target} is now at ${old}`));
      throw error;
    }
    if (isThere) await remove(old).catch((error) => leaves(error, `it was written; what was there before is left at ${old}`));
  } catch (error) {
    await remove(temporary).catch(() => {});
    throw error;
  }
}

/** Throws the error of the file system with what it leaves behind. */
function leaves(error: Error, what: string): never {
  error.message += `; ${what}`;
  throw error;
}

export async function exists(path: string): Promise<boolean> {
  return files.stat(path).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return false;
      throw error;
    },
  );
}

/** What is said where a folder cannot be flushed at all: it may be written but not read, or its file system knows no such thing. */
const NO_SUCH_FLUSH = { open: ['EACCES', 'EISDIR', 'EPERM'], fsync: ['EBADF', 'EINVAL', 'ENOSYS', 'ENOTSUP', 'EOPNOTSUPP'] };

/** Makes the names in a folder outlast a loss of power, where its file system can. */
export async function syncFolder(path: string): Promise<void> {
  if (process.platform === 'win32') return; // a folder cannot be opened there
  const unless = (codes: readonly string[]) => (error: NodeJS.ErrnoException) => {
    if (!codes.includes(error.code ?? '')) throw error;
    return undefined;
  };
  const folder = await files.open(path, 'r').catch(unless(NO_SUCH_FLUSH.open));
  await folder
    ?.sync()
    .catch(unless(NO_SUCH_FLUSH.fsync))
    .finally(() => folder.close());
}
