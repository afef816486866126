import { randomBytes } from 'node:crypto';
import { mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';

/**
 * Writes a folder that is there whole or not at all: `fill` writes into one beside it, which is flushed and renamed. An older folder at `path`
 * is moved aside first and goes only when the new one is in its place; if that fails, it is moved back. The folder around it must be there.
 *
 * @param checkTarget throws if what is at `path` may not be replaced; asked before and after `fill`
 * @throws what `checkTarget`, `fill` and the file system throw; nothing is left behind then
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
  await checkTarget();
  try {
    await mkdir(temporary);
    await fill(temporary);
    await syncFolder(temporary);
    await checkTarget();
    const isThere = await exists(target);
    if (isThere) await rename(target, old);
    try {
      await rename(temporary, target);
    } catch (error) {
      if (isThere) await rename(old, target);
      throw error;
    }
    await syncFolder(dirname(target));
    if (isThere) await rm(old, { recursive: true, force: true });
  } catch (error) {
    await rm(temporary, { recursive: true, force: true }).catch(() => {});
    throw error;
  }
}

export async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return false;
      throw error;
    },
  );
}

/** Makes the names in a folder outlast a loss of power. */
export async function syncFolder(path: string): Promise<void> {
  if (process.platform === 'win32') return; // a folder cannot be opened there
  const folder = await open(path, 'r');
  await folder.sync().finally(() => folder.close());
}
