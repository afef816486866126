// Runs uvu over test/**/*.test.ts and closes with the plain line "N passed, N failed, N skipped".
//   node scripts/test.mjs [PART OF A PATH …]      e.g. kernels/parity unit/data; no argument: every test file
// Two processes take file after file, the output of each in one piece; then one process takes those that must have the machine for themselves. Fails
// on a failing test, on zero tests, on a file that never runs its suites (uvu passes those in silence), and when a process ends before it has run the
// file that it took.
import { fork } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, relative, sep } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

/** They look at the clock or at the memory of the machine. */
const ALONE = /^(abort|event-loop|leaks|memory|workers|download\/|unit\/data\/dataset)/;

/** They take longest; begun last, one of them would leave the other process idle. */
const FIRST = /^(install|reproduce|kill)/;

/** Of each file that has been run. */
const seconds = new Map();
/** By a signal. */
let stopped = false;

const AS_RUNNER = '--as-runner';
process.chdir(fileURLToPath(new URL('..', import.meta.url)));
if (process.argv[2] === AS_RUNNER) runThoseNamed();
else runAll(process.argv.slice(2));

/** In a process of its own: runs each test file that the parent names and tells it what came of it; uvu writes to stdout. */
function runThoseNamed() {
  globalThis.UVU_DEFER = 1; // the suites of a file wait in the queue
  process.on('message', async ({ file }) => {
    if (file === undefined) return process.disconnect();
    await import('uvu');
    globalThis.UVU_QUEUE.splice(0, Number.POSITIVE_INFINITY, []);
    process.stdout.write(`${file}\n`);
    const began = performance.now();
    await import(pathToFileURL(join('test', file)).href);
    const counts = { passed: 0, failed: 0, skipped: 0 };
    for (const run of globalThis.UVU_QUEUE[0]) {
      const [errors, passed, skipped, total] = await run();
      counts.passed += passed;
      counts.failed += total - passed;
      counts.skipped += skipped;
      if (errors.length > 0) process.stdout.write(`\n${errors}\n`);
    }
    process.send({ ...counts, seconds: (performance.now() - began) / 1000 });
  });
}

async function runAll(wanted) {
  const files = testFiles(wanted.map((part) => part.replace(/^\.?\/?test\//, '')));
  if (files.length === 0) close({ failed: 0 }, `no test file matches ${wanted.join(' ') || 'test/**/*.test.ts'}`);
  const idle = files.flatMap(suitesNotRun);
  for (const line of idle) console.log(line);
  if (idle.length > 0) close({ failed: idle.length }, 'no test was started');

  const [alone, together] = [files.filter((file) => ALONE.test(file)), files.filter((file) => !ALONE.test(file))];
  together.sort((a, b) => Number(FIRST.test(b)) - Number(FIRST.test(a)));
  const count = Math.min(2, availableParallelism(), together.length);
  const ends = [...(await Promise.all(Array.from({ length: count }, () => runner(together, count === 1)))), await runner(alone, true)];
  const sum = (key) => ends.reduce((total, end) => total + end[key], 0);
  const slowest = [...seconds].sort(([, a], [, b]) => b - a).slice(0, 5);
  if (slowest.length > 1) console.log(`slowest: ${slowest.map(([file, time]) => `${file} ${time.toFixed(1)} s`).join(', ')}`);
  const remarks = ends.flatMap(({ remark }) => remark ?? []);
  close({ passed: sum('passed'), failed: sum('failed') + remarks.length, skipped: sum('skipped') }, remarks.join('; '));
}

function close({ passed = 0, failed, skipped = 0 }, remark = '') {
  console.log(`${passed} passed, ${failed} failed, ${skipped} skipped${remark && ` (${remark})`}`);
  process.exit(failed > 0 || passed === 0 ? 1 : 0);
}

function testFiles(parts) {
  return readdirSync('test', { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.test.ts'))
    .map((entry) => relative('test', join(entry.parentPath, entry.name)).split(sep).join('/'))
    .filter((file) => parts.length === 0 || parts.some((part) => file.includes(part)))
    .sort();
}

/** A line for each suite of a test file, `test` itself included, that it does not run. */
function suitesNotRun(file) {
  const source = readFileSync(join('test', file), 'utf8');
  const names = [...source.matchAll(/\b(\w+)\s*=\s*suite\s*[(<]/g)].map(([, name]) => name);
  if (/import\s*\{[^}]*\btest\b[^}]*\}\s*from\s*'uvu'/.test(source)) names.push('test');
  if (names.length === 0) return [`test/${file}: it has no suite: add one, and \`NAME.run();\``];
  const missing = names.filter((name) => !new RegExp(`^\\s*${name}\\.run\\(\\);`, 'm').test(source));
  return missing.map((name) => `test/${file}: ${name} is never run: add \`${name}.run();\``);
}

/**
 * A process that runs files until the list, which others may share, is empty. `live`: its output appears as it comes.
 *
 * @returns the tests that passed, failed and were skipped; a remark where the process did not end as it should
 */
function runner(files, live) {
  const counts = { passed: 0, failed: 0, skipped: 0 };
  if (files.length === 0 || stopped) return counts;
  const child = fork('scripts/test.mjs', [AS_RUNNER], { execArgv: ['--import', 'tsx'], stdio: ['ignore', 'pipe', 'pipe', 'ipc'] });
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => (stopped = child.kill(signal)));
  let [file, output, hung] = [undefined, '', false];
  const next = () => {
    file = files.shift();
    child.send({ file });
    if (file !== undefined) return;
    // It has only to remove what it wrote, a thousand folders, which took a busy disk more than 10 s; what keeps it alive longer would keep a caller's
    // process alive, too.
    setTimeout(() => (hung = child.kill('SIGKILL')), 60_000).unref();
  };
  const flush = () => {
    process.stdout.write(output);
    output = '';
  };
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text) => {
      output += text;
      if (live) flush();
    });
  child.on('message', (report) => {
    for (const key of Object.keys(counts)) counts[key] += report[key];
    seconds.set(file, report.seconds);
    // What it wrote before is on its way through another pipe.
    setImmediate(() => {
      flush();
      next();
    });
  });
  child.on('error', () => {}); // it has ended, which is seen below
  next();
  return new Promise((resolve) =>
    child.on('close', (code, signal) => {
      flush();
      const end = signal ?? `exit code ${code}`;
      if (file !== undefined) resolve({ ...counts, remark: `the test process ended early, ${end}, in test/${file}` });
      else if (hung) resolve({ ...counts, remark: 'the test process did not end by itself after the last test' });
      else if (code !== 0 && counts.failed === 0) resolve({ ...counts, remark: `the test process ended with ${end}` });
      else resolve(counts);
    }),
  );
}
