// What is on a disk when the power goes: the calls that files and folders are written with, recorded, and replayed up to any of them without what was
// not flushed by then.
import { readdirSync, readFileSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { basename, dirname, join, relative } from 'node:path';
import { files } from '../lib/files.ts';

/** Folders and files go by numbers, since their names change; `folder` is the one that a name is in. */
type Event =
  | { call: 'write' | 'sync'; file: number; bytes?: Buffer }
  | { call: 'create' | 'mkdir'; folder: number; name: string; node: number }
  | { call: 'rename'; folder: number; from: string; to: string }
  | { call: 'remove'; folder: number; name: string }
  | { call: 'sync folder'; folder: number };

/** What changed a name, as opposed to a content. */
const changesNames = (event: Event): event is Extract<Event, { folder: number }> =>
  event.call === 'create' || event.call === 'mkdir' || event.call === 'rename' || event.call === 'remove';

/** Files by their paths below a folder, and folders by theirs and a slash. */
export type Disk = Map<string, Buffer>;

export function diskOf(folder: string, prefix = ''): Disk {
  const disk: Disk = new Map();
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const [path, name] = [join(folder, entry.name), prefix + entry.name];
    if (!entry.isDirectory()) disk.set(name, readFileSync(path));
    else for (const [inner, content] of [[`${name}/`, Buffer.alloc(0)] as const, ...diskOf(path, `${name}/`)]) disk.set(inner, content);
  }
  return disk;
}

export interface Recording {
  before: Disk;
  events: Event[];
}

/** Of the folder all is in. */
const ROOT = 0;

/** Records what `work` does below a folder. */
export async function recorded(root: string, work: () => Promise<unknown>): Promise<Recording> {
  const [before, events] = [diskOf(root), [] as Event[]];
  const real = { ...files };
  const folders = new Map([['', ROOT]]);
  for (const path of before.keys()) if (path.endsWith('/')) folders.set(path.slice(0, -1), folders.size);
  let nodes = folders.size;
  /** Its number, and the name in it; undefined where it is elsewhere. */
  const placeOf = (path: string): { folder: number; name: string } | undefined => {
    const folder = folders.get(relative(root, dirname(path)));
    return folder === undefined || path === root ? undefined : { folder, name: basename(path) };
  };
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
  Object.assign(files, {
    open: async (path: string, flags = 'r', ...rest: unknown[]) => {
      const handle = await (real.open as (...all: unknown[]) => Promise<FileHandle>)(path, flags, ...rest);
      const folder = folders.get(relative(root, path));
      if (folder !== undefined) {
        const sync = async () => {
          await handle.sync();
          events.push({ call: 'sync folder', folder });
        };
        return { sync, close: () => handle.close() };
      }
      const place = placeOf(path);
      if (place === undefined || flags === 'r') return handle;
      events.push({ call: 'create', ...place, node: nodes });
      return handleOf(handle, nodes++);
    },
    mkdir: async (path: string, options?: object) => {
      const made = await real.mkdir(path, options);
      const place = placeOf(path);
      if (place === undefined || folders.has(relative(root, path))) return made;
      events.push({ call: 'mkdir', ...place, node: nodes });
      folders.set(relative(root, path), nodes++);
      return made;
    },
    rename: async (from: string, to: string) => {
      await real.rename(from, to);
      const [source, target] = [placeOf(from), placeOf(to)];
      if (source === undefined && target === undefined) return;
      if (source === undefined || source.folder !== target?.folder) throw new Error(`${from} to ${to} is not looked at`);
      events.push({ call: 'rename', folder: source.folder, from: source.name, to: target.name });
      const [old, now] = [relative(root, from), relative(root, to)];
      for (const [path, node] of [...folders])
        if (path === old || path.startsWith(`${old}/`)) {
          folders.delete(path);
          folders.set(now + path.slice(old.length), node);
        }
    },
    rm: async (path: string, options: object) => {
      const place = placeOf(path);
      await real.rm(path, options);
      if (place !== undefined) events.push({ call: 'remove', ...place });
      for (const inner of [...folders.keys()]) if (`${inner}/`.startsWith(`${relative(root, path)}/`)) folders.delete(inner);
    },
  });
  try {
    await work();
  } finally {
    Object.assign(files, real);
  }
  return { before, events };
}

/**
 * Every state that a disk can be in when the power goes after the first `count` events: bytes that were not flushed are lost, all or from some
 * write on; of what changed names in a folder since that was flushed, what came first is there, up to any point, whatever there is of other folders.
 */
export function* disksAfter({ before, events }: Recording, count: number): Generator<Disk> {
  const done = events.slice(0, count);
  const pending = new Map<number, number[]>();
  done.forEach((event, i) => {
    if (event.call === 'sync folder') pending.delete(event.folder);
    else if (changesNames(event)) pending.set(event.folder, [...(pending.get(event.folder) ?? []), i]);
  });
  for (const lost of lossesOf([...pending.values()]))
    for (const unflushed of ['none', 'half', 'all'] as const) yield replayed(before, done, lost, unflushed);
}

/** Every choice of what is lost: of each list, what comes after any of its beginnings. */
function* lossesOf(lists: readonly (readonly number[])[]): Generator<Set<number>> {
  const [first, ...rest] = lists;
  if (first === undefined) return yield new Set();
  for (const lost of lossesOf(rest)) for (let kept = 0; kept <= first.length; ++kept) yield new Set([...lost, ...first.slice(kept)]);
}

type Unflushed = 'none' | 'half' | 'all';

function replayed(before: Disk, done: readonly Event[], lost: ReadonlySet<number>, unflushed: Unflushed): Disk {
  /** By folder: what a name stands for, a folder, a file or the content that one had before. */
  const folders = new Map<number, Map<string, number | Buffer>>([[ROOT, new Map()]]);
  const paths = new Map([['', ROOT]]);
  for (const [path, content] of before) {
    const isFolder = path.endsWith('/');
    const own = isFolder ? path.slice(0, -1) : path;
    const around = folders.get(paths.get(own.includes('/') ? dirname(own) : '')!)!;
    around.set(basename(own), isFolder ? paths.size : content);
    if (!isFolder) continue;
    folders.set(paths.size, new Map());
    paths.set(own, paths.size);
  }
  for (const [i, event] of done.entries()) {
    if (event.call === 'mkdir') folders.set(event.node, new Map());
    if (lost.has(i) || !changesNames(event)) continue;
    const names = folders.get(event.folder)!;
    if (event.call === 'create' || event.call === 'mkdir') names.set(event.name, event.node);
    else if (event.call === 'remove') names.delete(event.name);
    else if (event.call === 'rename' && names.has(event.from)) {
      names.set(event.to, names.get(event.from)!);
      names.delete(event.from);
    }
  }
  const disk: Disk = new Map();
  const add = (folder: number, prefix: string): void => {
    for (const [name, what] of folders.get(folder)!)
      if (typeof what !== 'number') disk.set(prefix + name, what);
      else if (!folders.has(what)) disk.set(prefix + name, contentOf(done, what, unflushed));
      else {
        disk.set(`${prefix + name}/`, Buffer.alloc(0));
        add(what, `${prefix + name}/`);
      }
  };
  add(ROOT, '');
  return disk;
}

/** What is on the disk of a file: what was flushed, and of the later writes none, half or all. */
function contentOf(done: readonly Event[], file: number, unflushed: Unflushed): Buffer {
  const flushed = done.findLastIndex((event) => event.call === 'sync' && event.file === file);
  const writes = done.flatMap((event, i) => (event.call === 'write' && event.file === file ? [{ i, bytes: event.bytes! }] : []));
  const later = writes.filter(({ i }) => i > flushed);
  const some = { none: 0, half: later.length >> 1, all: later.length }[unflushed];
  return Buffer.concat([...writes.filter(({ i }) => i <= flushed), ...later.slice(0, some)].map(({ bytes }) => bytes));
}
