// The newcomer's first ten minutes, as scripts/newcomer.ts runs them on the packed package.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { isOffline } from './pack.ts';

const newcomer = suite('newcomer');
const script = fileURLToPath(new URL('../scripts/newcomer.ts', import.meta.url));
const run = (...args: string[]) =>
  spawnSync(process.execPath, ['--import', import.meta.resolve('tsx'), script, ...args], { encoding: 'utf8', timeout: 300_000 });

newcomer('from an empty folder to recommendations with reasons, by the README alone', () => {
  const { status, stdout, stderr } = run('--runs', '1', '--json');
  if (status !== 0 && isOffline(stderr)) {
    console.log('skipped: npm cannot reach its registry');
    return;
  }
  assert.is(status, 0, stderr);
  const { schema, steps, seconds, sizes, measured } = JSON.parse(stdout);
  assert.is(schema, 'hyper-know/newcomer/1');
  const names = steps.map(({ command }: { command: string }) => command.split(' ').slice(0, 3).join(' '));
  const commands = ['import', 'check', 'train', 'eval'].map((name) => `npx hyper-know ${name}`);
  assert.equal(names, ['npm install hyper-know', ...commands, 'node serve.js']);
  assert.ok(seconds < 600, `${seconds} s`);
  assert.match(steps.at(-1).output, /SKU-\d+/);
  assert.match(steps.at(-1).output, /category:/);
  for (const [name, bytes] of Object.entries<number>(sizes)) assert.ok(bytes > 1000 && bytes < 50e6, `${name}: ${bytes}`);
  assert.ok(sizes.tarballWithoutPrebuildBytes < sizes.tarballBytes);
  const [node, , , served] = measured.map(({ residentBytes }: { residentBytes: { median: number } }) => residentBytes.median);
  assert.ok(served > node && served < node + 100e6, `${served} bytes resident with a model, ${node} without`);
});

newcomer('a wrong number of runs is an error that names the option', () => {
  const { status, stderr } = run('--runs', '0');
  assert.is(status, 2, stderr);
  assert.match(stderr, /--runs: must be an integer from 1/);
});

newcomer.run();
