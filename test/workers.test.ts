// Trainings in worker threads, at once and ended in the middle, and processes that end while they train: the same bits, and clean ends.
import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Worker } from 'node:worker_threads';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { readTensors } from '../lib/safetensors.ts';
import { seededRandom, temporaryFolder } from './helpers.ts';
import { startWorker, trained } from './worker-train.ts';

const workers = suite('workers and ends');

/** Times that each way of ending is tried; more with HYPER_KNOW_DEATHS. */
const DEATHS = Number(process.env.HYPER_KNOW_DEATHS ?? 1);

const script = fileURLToPath(new URL('worker-train.ts', import.meta.url));

/** What a worker posts first. */
const answerOf = (worker: Worker): Promise<string> =>
  new Promise((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
  });

workers(
  'two and four trainings at once in worker threads, of the same data and of other data, are those of one after the other',
  async () => {
    const folder = temporaryFolder();
    const alone = new Map<number, string>();
    for (const seed of [1, 2, 3]) alone.set(seed, await trained({ folder, seed, endless: false }));
    assert.is(new Set(alone.values()).size, 3, 'planted: other data are another model');
    for (const seeds of [
      [1, 1],
      [1, 2, 3, 1],
    ]) {
      const together = seeds.map((seed) => answerOf(startWorker({ folder, seed, endless: false })));
      const here = trained({ folder, seed: 2, endless: false }); // and one on the main thread
      assert.equal(
        await Promise.all(together),
        seeds.map((seed) => alone.get(seed)),
      );
      assert.is(await here, alone.get(2));
    }
  },
);

/** Threads of this process, where the system counts them. */
const threads = (): number | undefined => (process.platform === 'linux' ? readdirSync('/proc/self/task').length : undefined);

workers('workers that are terminated while they train leave no thread behind, and the process works on', async () => {
  const folder = temporaryFolder();
  const random = seededRandom(1);
  const expected = await trained({ folder, seed: 2, endless: false });
  const counts: (number | undefined)[] = [];
  for (let time = 0; time < 2 * DEATHS + 2; ++time) {
    const worker = startWorker({ folder, seed: 1, endless: true, tell: true });
    if (time % 3 > 0) await answerOf(worker);
    if (time === 2 && counts[0] !== undefined) assert.ok(threads()! > counts[0], 'planted: a thread that is still there counts');
    await sleep(200 * random());
    await worker.terminate();
    counts.push(threads());
  }
  if (counts[0] !== undefined) assert.ok(counts.at(-1)! <= counts[0], `threads after each: ${counts}`);
  assert.is(await trained({ folder, seed: 2, endless: false }), expected);
});

interface End {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
  hung: boolean;
}

/** Runs a mode of worker-train.ts to its end; `kill`: sends a signal once training is under way. */
function endOf(mode: string, folder: string, kill?: NodeJS.Signals, mostMs = 60_000): Promise<End> {
  const child = spawn(process.execPath, ['--import', 'tsx', script, mode, folder], { stdio: ['ignore', 'pipe', 'pipe'] });
  const end: End = { code: null, signal: null, stdout: '', stderr: '', hung: false };
  const timer = setTimeout(() => {
    end.hung = true;
    child.kill('SIGKILL');
  }, mostMs);
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    end.stdout += text;
    if (kill && text.includes('under way')) setTimeout(() => child.kill(kill), 200 * Math.random());
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => (end.stderr = `${end.stderr}${text}`));
  return new Promise((resolve) =>
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      resolve({ ...end, code, signal });
    }),
  );
}

interface Wanted {
  code?: number;
  signal?: NodeJS.Signals;
  stderr?: RegExp;
  stdout?: RegExp;
}

/** What is not as wanted of an end. */
function problemsOf(end: End, { code, signal, stderr, stdout }: Wanted): string[] {
  const problems: string[] = [];
  if (end.hung) problems.push('it did not end');
  if (end.code !== (code ?? null) || end.signal !== (signal ?? null))
    problems.push(`it ended with ${end.signal ?? end.code}: ${end.stderr}`);
  if (stderr && !stderr.test(end.stderr)) problems.push(`it said ${end.stderr}`);
  if (stdout && !stdout.test(end.stdout)) problems.push(`it printed ${end.stdout}`);
  if (!stderr && end.stderr !== '') problems.push(`it said ${end.stderr}`);
  return problems;
}

const WANTED: Readonly<Record<string, Wanted & { kill?: NodeJS.Signals }>> = {
  exit: { code: 7 },
  throw: { code: 1, stderr: /planted: uncaught/ },
  reject: { code: 1, stderr: /planted: unhandled/ },
  worker: { code: 0, stdout: /^[0-9a-f]{64}\n$/ },
  workerExit: { code: 0, stdout: /^[0-9a-f]{64}\n$/ },
  exitOverWorker: { code: 7 },
  SIGTERM: { signal: 'SIGTERM', kill: 'SIGTERM' },
  SIGINT: { signal: 'SIGINT', kill: 'SIGINT' },
};

for (const [mode, wanted] of Object.entries(WANTED))
  workers(`a process that trains ends cleanly: ${mode}`, async () => {
    for (let time = 0; time < DEATHS; ++time) {
      const folder = temporaryFolder();
      const end = await endOf(wanted.kill ? 'wait' : mode, folder, wanted.kill);
      assert.equal(problemsOf(end, wanted), []);
      for (const name of readdirSync(folder)) if (name.startsWith('checkpoint')) await readTensors(join(folder, name)); // whole
    }
  });

workers('planted: a crash, an end that does not come and another status are reported', async () => {
  const folder = temporaryFolder();
  assert.match(problemsOf(await endOf('crash', folder), { code: 0 }).join(), /it ended with SIGABRT/);
  assert.match(problemsOf(await endOf('stays', folder, undefined, 3000), { code: 0 }).join(), /it did not end/);
  assert.match(problemsOf(await endOf('exit', folder), { code: 0 }).join(), /it ended with 7/);
});

workers.run();
