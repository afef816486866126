// What is on a disk when the power goes: the calls that files are written with, recorded, and replayed up to any of them without what was not
// flushed by then.
import { readdirSync, readFileSync, statSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { files } from '../lib/files.ts';

type Event =
  | { call: 'create' | 'write' | 'sync'; file: number; bytes?: Buffer; name?: string }
  | { call: 'rename'; from: string; to: string }
  | { call: 'remove'; name: string }
  | { call: 'sync folder' };

/** Records what `work` does to the files of one folder. */
export async function recorded(folder: string, work: () => Promise<unknown>): Promise<Event[]> {
  const events: Event[] = [];
  const real = { ...files };
  let opened = 0;
  const handleOf = (handle: FileHandle, file: number): object => ({
    stat: () => handle.stat(),
    read: (...all: Parameters<FileHandle['read']>) => handle.read(...all),
    write: async (bytes: Uint8Array, begin = 0, length = bytes.length - begin) => {
      const done = await handle.write(bytes, begin, length);
      events.push({ call: 'write', file, bytes: Buffer.from(bytes.subarray(begin, begin + done.bytesWritten)) });
      return done;
    },
    sync: async () => {
      await handle.sync();
      events.push({ call: 'sync', file });
    },
    close: () => handle.close(),
  });
  const inside = (path: unknown) => dirname(String(path)) === folder;
  Object.assign(files, {
    open: async (path: string, flags?: string, ...rest: unknown[]) => {
      const handle = await (real.open as (...all: unknown[]) => Promise<FileHandle>)(path, flags, ...rest);
      if (path === folder) {
        const sync = async () => {
          await handle.sync();
          events.push({ call: 'sync folder' });
        };
        return { sync, close: () => handle.close() };
      }
      if (!inside(path) || flags === undefined || flags === 'r') return handle;
      events.push({ call: 'create', file: ++opened, name: basename(path) });
      return handleOf(handle, opened);
    },
    rename: async (from: string, to: string) => {
      await real.rename(from, to);
      events.push({ call: 'rename', from: basename(from), to: basename(to) });
    },
    rm: async (path: string, options: object) => {
      await real.rm(path, options);
      events.push({ call: 'remove', name: basename(path) });
    },
  });
  try {
    await work();
  } finally {
    Object.assign(files, real);
  }
  return events;
}

/** The files of a folder by name. */
export type Disk = Map<string, Buffer>;

export function diskOf(folder: string): Disk {
  const names = readdirSync(folder).filter((name) => statSync(join(folder, name)).isFile());
  return new Map(names.map((name) => [name, readFileSync(join(folder, name))]));
}

/**
 * Every state that a disk can be in when the power goes after the first `count` events: bytes that were not flushed are lost, all or from some
 * write on; of what changed names since the folder was flushed, what came first is there, up to any point.
 */
export function* disksAfter(before: Disk, events: readonly Event[], count: number): Generator<Disk> {
  const done = events.slice(0, count);
  const flushed = done.findLastIndex(({ call }) => call === 'sync folder');
  const named = done.flatMap((event, i) => (['create', 'rename', 'remove'].includes(event.call) ? [i] : []));
  const pending = named.filter((i) => i > flushed);
  for (let kept = 0; kept <= pending.length; ++kept)
    for (const unflushed of ['none', 'half', 'all'] as const) {
      const lost = new Set(pending.slice(kept));
      const disk = new Map<string, Buffer | number>(before);
      for (const [i, event] of done.entries()) {
        if (lost.has(i)) continue;
        if (event.call === 'create') disk.set(event.name!, event.file);
        else if (event.call === 'remove') disk.delete(event.name);
        else if (event.call === 'rename' && disk.has(event.from)) {
          disk.set(event.to, disk.get(event.from)!);
          disk.delete(event.from);
        }
      }
      yield new Map(
        [...disk].map(([name, content]) => [name, typeof content === 'number' ? contentOf(done, content, unflushed) : content]),
      );
    }
}

/** What is on the disk of a file: what was flushed, and of the later writes none, half or all. */
function contentOf(done: readonly Event[], file: number, unflushed: 'none' | 'half' | 'all'): Buffer {
  const flushed = done.findLastIndex((event) => event.call === 'sync' && event.file === file);
  const writes = done.flatMap((event, i) => (event.call === 'write' && event.file === file ? [{ i, bytes: event.bytes! }] : []));
  const later = writes.filter(({ i }) => i > flushed);
  const some = { none: 0, half: later.length >> 1, all: later.length }[unflushed];
  return Buffer.concat([...writes.filter(({ i }) => i <= flushed), ...later.slice(0, some)].map(({ bytes }) => bytes));
}
