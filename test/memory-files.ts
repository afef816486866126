// Files of a folder that exist in memory alone, for tests that read tens of thousands of them.
import fs, { type FileHandle } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { basename, dirname } from 'node:path';
import { files } from '../lib/files.ts';

/** While `work` runs, the files of `folder`, which need not exist, are those of `contents`; what it puts there counts at once. Paths elsewhere are real. */
export async function withFilesInMemory<T>(folder: string, contents: Record<string, Buffer>, work: () => Promise<T>): Promise<T> {
  const [real, realFiles] = [{ open: fs.open, stat: fs.stat, access: fs.access }, { ...files }];
  const fakes = {
    open: async (path: string) => handleOf(path, bytesOf(path)),
    stat: async (path: string) => statsOf(bytesOf(path)),
    access: async (path: string) => void bytesOf(path),
  };
  const bytesOf = (path: string): Buffer => {
    const bytes = contents[basename(path)];
    if (bytes === undefined)
      throw Object.assign(new Error(`ENOENT: '${path}' is not in memory`), { code: 'ENOENT', syscall: 'open', path });
    return bytes;
  };
  for (const [name, fake] of Object.entries(fakes)) {
    const call = real[name as keyof typeof real] as (...all: unknown[]) => Promise<unknown>;
    const either = (path: string, ...rest: unknown[]) => (dirname(path) === folder ? fake(path) : call(path, ...rest));
    Object.assign(fs, { [name]: either });
    if (name in files) Object.assign(files, { [name]: either });
  }
  syncBuiltinESMExports();
  try {
    return await work();
  } finally {
    Object.assign(fs, real);
    Object.assign(files, realFiles);
    syncBuiltinESMExports();
  }
}

const statsOf = (bytes: Buffer) => ({ size: bytes.length, isFile: () => true, isDirectory: () => false });

/** An open file in memory, for reading. `mostBytes`: it gives no more at once. */
export function handleOf(path: string, bytes: Buffer, mostBytes: number = Number.POSITIVE_INFINITY): FileHandle {
  const read = async (buffer: Buffer, offset: number, length: number, position: number) => ({
    bytesRead: bytes.copy(buffer, offset, position, Math.min(bytes.length, position + Math.min(length, mostBytes))),
    buffer,
  });
  return { path, read, stat: async () => statsOf(bytes), close: async () => {} } as unknown as FileHandle;
}
