// A thread that the system refuses ends the job with an error, not the process; afterwards the same job comes to the same bits.
import { execFileSync, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { temporaryFolder } from './helpers.ts';

const refusals = suite('threads that the system refuses');

/** The library that refuses; undefined, and said so, where it cannot be made. */
function preload(): string | undefined {
  if (process.platform !== 'linux') return void console.log('skipped: threads are refused on Linux alone');
  const library = join(temporaryFolder(), 'refuse-threads.so');
  const source = fileURLToPath(new URL('refuse-threads.c', import.meta.url));
  try {
    execFileSync('cc', ['-shared', '-fPIC', '-O1', '-o', library, source, '-ldl']);
  } catch (error) {
    return void console.log(`skipped: no C compiler makes the library that refuses threads (${(error as Error).message.split('\n')[0]})`);
  }
  return library;
}
const library = preload();

/** Runs a module with the library, after `data`, `options` and a first training to `expected` on one thread. Returns what it prints, as JSON. */
function ran(body: string, environment: Record<string, string> = {}): unknown {
  const lib = (name: string) => JSON.stringify(new URL(`../lib/${name}.ts`, import.meta.url).href);
  const code = `
    import { train } from ${lib('train')};
    import { synthetic } from ${lib('data/synthetic')};
    const data = synthetic({ users: 150, items: 150, interactionsPerUser: [8, 14], seed: 5 });
    const options = { dim: 8, epochs: 2, batchSize: 1024, seed: 3, backend: 'cpu' };
    const bits = async (threads) => Buffer.from((await train(data, { ...options, threads })).users.buffer).toString('base64');
    const outcome = (threads) => bits(threads).then((found) => (found === expected ? 'same' : 'different'), (error) => error);
    const expected = await bits(1);
    ${body}`;
  const args = ['--import', 'tsx', '--input-type=module', '-e', code];
  const env = { ...process.env, ...(library === undefined ? {} : { LD_PRELOAD: library }), ...environment };
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', env, timeout: 120_000 });
  if (status !== 0) throw new Error(`it ended with ${status ?? signal}: ${stderr}`);
  return JSON.parse(stdout);
}

const test = library === undefined ? refusals.skip : refusals;

test('every thread, and those after the first few: an error of the job, then the same bits', () => {
  const found = ran(`
    const refused = [];
    for (const refuse of ['all', 'after 1', 'after 2', 'after 3', 'after 100']) {
      process.env.REFUSE_THREADS = refuse;
      const result = await outcome(4); // on a thread of its job and three more
      delete process.env.REFUSE_THREADS;
      refused.push([refuse, result.code ?? result, /^a thread could not be started: /.test(result.message), await outcome(4)]);
    }
    console.log(JSON.stringify(refused));`);
  assert.equal(found, [
    ['all', 'ERR_HK_MEMORY', true, 'same'],
    ['after 1', 'ERR_HK_MEMORY', true, 'same'],
    ['after 2', 'ERR_HK_MEMORY', true, 'same'],
    ['after 3', 'ERR_HK_MEMORY', true, 'same'],
    ['after 100', 'same', false, 'same'],
  ]);
});

test('planted: a training that is another, and a process that dies of it, are reported', () => {
  assert.is(ran('options.seed = 4; console.log(JSON.stringify(await outcome(4)));'), 'different');
  const dies = `
    const { Worker } = await import('node:worker_threads');
    process.env.REFUSE_THREADS = 'all';
    new Worker('', { eval: true }); // nobody listens for its error`;
  assert.throws(() => ran(dies), /it ended with/);
});

refusals.run();
