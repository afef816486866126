// `bench compare` finds a regression that is planted, and refuses what may not be compared.
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Change, changes, differences, medians } from '../../scripts/bench/compare.ts';
import { percent } from '../../scripts/bench/document.ts';
import { temporaryFolder } from '../helpers.ts';

const compare = suite('bench compare');
const folder = temporaryFolder();
const script = fileURLToPath(new URL('../../scripts/bench.ts', import.meta.url));

const time = (median: number) => ({ median, smallest: 0.9 * median, largest: 1.1 * median, runs: 5 });
const before = {
  ...{ benchmark: 'epoch', commit: 'a', device: 'CPU', processor: 'P', processors: 2, backend: 'cpu', threads: 2, data: 'tiny' },
  seconds: { load: time(1), epoch: time(2) },
  kernels: [{ name: 'adam', ...time(0.5) }],
  tables: [],
};

const file = (name: string, content: unknown): string => {
  const path = join(folder, name);
  writeFileSync(path, JSON.stringify(content));
  return path;
};

function run(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--import', import.meta.resolve('tsx'), script, 'compare', ...args], {
    encoding: 'utf8',
  });
  return { status, stdout, stderr };
}

compare('medians go by their path, and in an array by their name', () => {
  assert.equal([...medians(before).keys()], ['seconds.load', 'seconds.epoch', 'kernels.adam']);
});

compare('changes are relative to A and know whether ranges meet', () => {
  const found = changes(before, { ...before, seconds: { epoch: time(3) }, kernels: [{ name: 'adam', ...time(0.45) }] });
  const byPath = new Map(found.map((change): [string, Change] => [change.path, change]));
  assert.equal([...byPath.keys()], ['seconds.epoch', 'kernels.adam']);
  assert.ok(Math.abs(byPath.get('seconds.epoch')!.growth - 0.5) < 1e-12);
  assert.not.ok(byPath.get('seconds.epoch')!.overlap);
  assert.ok(byPath.get('kernels.adam')!.growth < 0 && byPath.get('kernels.adam')!.overlap);
});

compare('the commit may differ, the machine and the data may not', () => {
  assert.equal(differences(before, { ...before, commit: 'b', node: 'v22' }), []);
  assert.equal(differences(before, { ...before, processor: 'Q', data: 'other' }), ['processor: "P", "Q"', 'data: "tiny", "other"']);
});

compare('a limit is a share, with or without a percent sign', () => {
  assert.is(percent('limit', '5%'), 0.05);
  assert.is(percent('limit', '0.1'), 0.1);
  assert.throws(() => percent('limit', 'much'), /--limit: must be a share/);
});

const a = file('a.json', before);

compare('exit 0 where nothing is slower than allowed', () => {
  const { status, stdout, stderr } = run(a, file('same.json', { ...before, commit: 'b', seconds: { load: time(1.04), epoch: time(1.5) } }));
  assert.is(status, 0, stderr);
  assert.match(stdout, /None is slower than allowed/);
});

compare('exit 5 on a planted regression, which --fail-above can allow', () => {
  const planted = file('planted.json', { ...before, seconds: { load: time(1), epoch: time(2.12) } });
  const { status, stdout } = run(a, planted, '--json', join(folder, 'changes.json'));
  assert.is(status, 5);
  assert.match(stdout, /seconds\.epoch .*\+6\.0 % .*slower/);
  assert.is(JSON.parse(readFileSync(join(folder, 'changes.json'), 'utf8')).changes.length, 3);
  assert.is(run(a, planted, '--fail-above', '10%').status, 0);
});

compare('exit 5 on a median that is no number', () => {
  assert.is(
    run(file('zero.json', { ...before, seconds: { load: time(0) } }), file('zeros.json', { ...before, seconds: { load: time(0) } })).status,
    5,
  );
});

compare('exit 2 for other machines, unless forced, and for bad usage', () => {
  const other = file('other.json', { ...before, device: 'GPU' });
  const { status, stderr } = run(a, other);
  assert.is(status, 2);
  assert.match(stderr, /device: "CPU", "GPU"/);
  assert.is(run(a, other, '--force').status, 0);
  assert.is(run(a).status, 2);
  assert.is(run(a, join(folder, 'absent.json')).status, 2);
  assert.is(run(a, a, '--fail-above', 'much').status, 2);
  assert.is(run(a, file('empty.json', { ...before, seconds: {}, kernels: [] })).status, 2);
});

compare.run();
