// The command as a user has it: a process of its own without a terminal, its words taken apart by stream.
import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const main = fileURLToPath(new URL('../../lib/cli/main.ts', import.meta.url));
const tsx = import.meta.resolve('tsx');

export interface Outcome {
  status: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

export interface SpawnOptions {
  cwd?: string;
  /** Beside the environment of the tests, without what would decide colours there, and where data are that only tests read. */
  env?: Record<string, string>;
  /** Sees the process and everything it has written to standard error so far, at every piece of it. */
  watch?: (child: ChildProcess, stderr: string) => void;
}

/** `hyper-know …args`. Never rejects: a test looks at the status. */
export function hyperKnow(args: readonly string[], { cwd, env = {}, watch }: SpawnOptions = {}): Promise<Outcome> {
  const { NO_COLOR: _, FORCE_COLOR: __, CI: ___, HYPER_KNOW_DATA: ____, ...inherited } = process.env;
  const child = spawn(process.execPath, ['--import', tsx, main, ...args], {
    cwd,
    env: { ...inherited, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const outcome: Outcome = { status: null, signal: null, stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    outcome.stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    outcome.stderr += text;
    watch?.(child, outcome.stderr);
  });
  return new Promise((resolve) => child.on('close', (status, signal) => resolve({ ...outcome, status, signal })));
}
