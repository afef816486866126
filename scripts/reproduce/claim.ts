// Who is making a run: so that two processes on one folder do not make the same one. A claim is a file with the process that holds it, touched every
// few seconds; that of a process which is gone, or which has not touched it for long, may be taken over.
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';

const TOUCH_MS = 5_000;
/** A process that is alive touches its claim, unless the machine stands still. */
const STALE_MS = 120_000;

export interface Claim {
  release(): void;
}

const OWNER = 'owner.json';

/** Takes the folder for this process, making it where it is not there; null: another one has it. */
export function claim(folder: string): Claim | null {
  mkdirSync(folder, { recursive: true });
  const path = join(folder, OWNER);
  const own = JSON.stringify({ pid: process.pid, host: hostname(), token: randomBytes(8).toString('hex') });
  if (!create(path, own)) {
    if (isHeld(path)) return null;
    // Of several that find a claim abandoned one moves it away; the others find it gone, or a new one.
    const aside = `${path}.${randomBytes(6).toString('hex')}`;
    try {
      renameSync(path, aside);
      rmSync(aside, { force: true });
    } catch {
      return null;
    }
    if (!create(path, own)) return null;
  }
  const timer = setInterval(() => {
    const now = new Date();
    try {
      utimesSync(path, now, now);
    } catch {
      // Somebody removed it: what is being made is the same for whoever makes it.
    }
  }, TOUCH_MS);
  timer.unref();
  return {
    release() {
      clearInterval(timer);
      try {
        if (readFileSync(path, 'utf8') === own) rmSync(path, { force: true });
      } catch {
        // It is gone with its folder.
      }
    },
  };
}

function create(path: string, text: string): boolean {
  try {
    writeFileSync(path, text, { flag: 'wx' });
    return true;
  } catch (error) {
    if (['EEXIST', 'ENOENT'].includes((error as NodeJS.ErrnoException).code ?? '')) return false; // ENOENT: the run was just finished
    throw error;
  }
}

function isHeld(path: string): boolean {
  try {
    if (Date.now() - statSync(path).mtimeMs > STALE_MS) return false;
    const { pid, host } = JSON.parse(readFileSync(path, 'utf8')) as { pid: number; host: string };
    if (host !== hostname()) return true;
    if (pid === process.pid) return true;
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: it is there and somebody else's. ENOENT: it has just been released. Half a file: its process is writing it, or was killed at that.
    const { code } = error as NodeJS.ErrnoException;
    return code === 'EPERM' || (error instanceof SyntaxError && Date.now() - statSync(path).mtimeMs < TOUCH_MS);
  }
}
