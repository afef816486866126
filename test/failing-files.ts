// The calls that files are written with, one of which fails: the N-th of a run, for every N until none is left to fail.
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { files } from '../lib/files.ts';

type Call = keyof typeof files | 'write' | 'sync' | 'close' | 'read';

const MESSAGES = { ENOSPC: 'no space left on device', EIO: 'i/o error', EDQUOT: 'disk quota exceeded', EACCES: 'permission denied' };
export type Code = keyof typeof MESSAGES;

export interface Plan {
  /** The call that fails, from 1. */
  at: number;
  code: Code;
  /** Whether every later call fails, too, but for those that move, remove, look and close: a full disk. */
  onwards: boolean;
}

/** What a run did: its calls in order, and which of them failed. */
export interface Calls {
  made: Call[];
  failed: Call[];
}

const ON_A_FULL_DISK: readonly Call[] = ['mkdir', 'open', 'write', 'sync'];

/** Runs `work` where a call fails as planned; every write takes at most `mostBytes` at a time. */
export async function withFailing<T>(plan: Plan | null, work: () => Promise<T>, mostBytes = Number.POSITIVE_INFINITY) {
  const calls: Calls = { made: [], failed: [] };
  const real = { ...files };
  const meet = (call: Call, path: string): void => {
    calls.made.push(call);
    const number = calls.made.length;
    if (plan === null || (number !== plan.at && !(plan.onwards && number > plan.at && ON_A_FULL_DISK.includes(call)))) return;
    calls.failed.push(call);
    const message = `${plan.code}: ${MESSAGES[plan.code]}, ${call} '${path}'`;
    throw Object.assign(new Error(message), { code: plan.code, syscall: call === 'sync' ? 'fsync' : call, path });
  };
  for (const name of Object.keys(real) as (keyof typeof files)[])
    Object.assign(files, {
      [name]: async (path: string, ...rest: unknown[]) => {
        meet(name, path);
        const result = await (real[name] as (...all: unknown[]) => Promise<unknown>)(path, ...rest);
        return name === 'open' ? handleOf(result as FileHandle, path) : result;
      },
    });
  const handleOf = (handle: FileHandle, path: string) => ({
    stat: () => handle.stat(),
    read: async (...all: Parameters<FileHandle['read']>) => {
      meet('read', path);
      return handle.read(...all);
    },
    write: async (bytes: Uint8Array, begin = 0, length = bytes.length - begin) => {
      meet('write', path);
      return handle.write(bytes, begin, Math.min(length, mostBytes));
    },
    sync: async () => {
      meet('sync', path);
      await handle.sync();
    },
    // What cannot be closed is closed all the same: so it is on Linux.
    close: async () => {
      await handle.close();
      meet('close', path);
    },
  });
  try {
    return {
      calls,
      outcome: await work().then(
        (value) => ({ value }),
        (error: unknown) => ({ error }),
      ),
    };
  } finally {
    Object.assign(files, real);
  }
}

/** Every file below a folder with its digest: equal folders have equal lists. */
export function contentOf(folder: string): string[] {
  return (readdirSync(folder, { recursive: true }) as string[])
    .sort()
    .map((name) => join(folder, name))
    .map((path) => {
      const digest = statSync(path).isDirectory() ? 'folder' : createHash('sha256').update(readFileSync(path)).digest('hex');
      return `${relative(folder, path)} ${digest}`;
    });
}
