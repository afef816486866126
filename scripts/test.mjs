// Runs uvu over test/**/*.test.ts, in one process, and closes with the plain line "N passed, N failed, N skipped".
//   node scripts/test.mjs [PART OF A PATH …]      e.g. kernels/parity unit/data; no argument: every test file
// Fails on a failing test, on zero tests, on a file that never runs its suites (uvu passes those in silence), and when the process
// ends before the summary.
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

process.chdir(fileURLToPath(new URL('..', import.meta.url)));

function close(passed, failed, skipped, remark = '') {
  console.log(`${passed} passed, ${failed} failed, ${skipped} skipped${remark && ` (${remark})`}`);
  process.exit(failed > 0 || passed === 0 ? 1 : 0);
}

/** The suites of a test file, `test` itself included, that no line runs. */
function suitesNotRun(source) {
  const names = [...source.matchAll(/\b(\w+)\s*=\s*suite\s*[(<]/g)].map(([, name]) => name);
  if (/import\s*\{[^}]*\btest\b[^}]*\}\s*from\s*'uvu'/.test(source)) names.push('test');
  return names.length === 0 ? ['any suite'] : names.filter((name) => !new RegExp(`^\\s*${name}\\.run\\(\\);`, 'm').test(source));
}

const wanted = process.argv.slice(2).map((part) => part.replace(/^\.?\/?test\//, ''));
const files = readdirSync('test', { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile() && entry.name.endsWith('.test.ts'))
  .map((entry) => relative('test', join(entry.parentPath, entry.name)).split(sep).join('/'))
  .filter((file) => wanted.length === 0 || wanted.some((part) => file.includes(part)))
  .sort();
if (files.length === 0) close(0, 0, 0, `no test file matches ${wanted.join(' ') || 'test/**/*.test.ts'}`);

let broken = 0;
for (const file of files)
  for (const name of suitesNotRun(readFileSync(join('test', file), 'utf8'))) {
    console.log(`test/${file}: ${name} is never run: add ${name === 'any suite' ? 'a suite and its' : `\`${name}`}.run();\``);
    broken++;
  }
if (broken > 0) close(0, broken, 0, 'no test was started');

const pattern = `^(${files.map((file) => file.replace(/[.*+?^${}()|[\]\\]/g, '\\$&').replaceAll('/', '[\\\\/]')).join('|')})$`;
const args = ['--import', 'tsx', 'node_modules/uvu/bin.js', '--no-color', 'test', pattern];
const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill(signal));
let output = '';
let hung = false;
const summary = () => /\n {2}Total: +(\d+)\n {2}Passed: +(\d+)\n {2}Skipped: +(\d+)\n {2}Duration:.*\n\n$/.exec(output);
child.stdout.setEncoding('utf8').on('data', (text) => {
  process.stdout.write(text);
  output += text;
  // After its summary the process has only to remove what it wrote, a thousand folders, which took a busy disk more than 10 s; what keeps it alive longer
  // would keep a caller's process alive, too.
  if (summary()) setTimeout(() => (hung = child.kill('SIGKILL')), 60_000).unref();
});
child.on('close', (code, signal) => {
  if (summary() === null) {
    const last = files.filter((file) => output.includes(`${file}\n`)).at(-1);
    const when = last === undefined ? 'while the test files were loaded' : `in or after test/${last}`;
    close(0, 1, 0, `the test process ended early, ${signal ?? `exit code ${code}`}, ${when}`);
  }
  const [total, passed, skipped] = summary().slice(1).map(Number);
  if (hung) close(passed, total - passed + 1, skipped, 'the test process did not end by itself after the last test');
  close(passed, Math.max(total - passed, code === 0 ? 0 : 1), skipped, signal ? `the test process ended with ${signal}` : '');
});
