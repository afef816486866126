// Whole training steps on CUDA against the CPU: the same samples, the same losses, the same parameters but for rounding. With a GPU on it;
// and always with the CUDA sources on the host, in a process of their own (`npm test` builds that addon into .host/).
import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { backends } from '../../lib/native.ts';
import { HOST_BUILD, hostEnvironment } from '../helpers.ts';
import type { TrainingReport } from './run-training.ts';

const script = fileURLToPath(new URL('run-training.ts', import.meta.url));
const training = suite('training on backends');

function run(backend: string, environment: Record<string, string>): SpawnSyncReturns<string> {
  return spawnSync(process.execPath, ['--import', 'tsx', script, '--backend', backend], {
    encoding: 'utf8',
    env: { ...process.env, ...environment },
  });
}

function reports(backend: string, environment: Record<string, string>): TrainingReport[] {
  const child = run(backend, environment);
  assert.is(child.status, 0, `ended with ${child.signal ?? child.status}\n${child.stderr.slice(0, 4000)}`);
  return JSON.parse(child.stdout) as TrainingReport[];
}

/** Adam divides by √v: where v is tiny, rounding in a gradient shows in full, so parameters may differ by more than losses. */
function check(all: readonly TrainingReport[]): void {
  assert.is(all.length, 11);
  for (const { case: name, steps, sameSamples, loss, tensors, repeatable } of all) {
    assert.ok(steps >= 9, `${name}: ${steps} steps`);
    assert.ok(sameSamples, `${name}: the samples are the CPU's`);
    assert.ok(loss <= 1e-5, `${name}: losses differ by ${loss}`);
    assert.ok(Object.keys(tensors).length >= 6, `${name}: ${Object.keys(tensors)}`);
    for (const [tensor, difference] of Object.entries(tensors))
      assert.ok(difference <= 2e-4, `${name}: ${tensor} differs by ${difference}`);
    assert.ok(repeatable, `${name}: a second run ends with the same bits`);
  }
}

const cuda = backends().find(({ name }) => name === 'cuda');
if (cuda && cuda.reason === undefined) training('cuda', () => check(reports('cuda', {})));
else {
  console.log(`skipped: training on cuda: ${cuda?.reason}`);
  training.skip('cuda');
}

const isBuilt = existsSync(join(HOST_BUILD, 'build', 'Release', 'hyper_know.node'));
if (!isBuilt) console.log(`skipped: training with the CUDA sources on the host: ${HOST_BUILD} is not built`);
const onHost = isBuilt ? training : training.skip;

for (const schedule of [0, 1])
  onHost(`cuda-on-host, schedule ${schedule}`, () => check(reports('cuda-on-host', hostEnvironment(schedule))));

onHost('memory that will not suffice is refused before anything is allocated, with both numbers', () => {
  const { status, stderr } = run('cuda-on-host', { ...hostEnvironment(0), HYPER_KNOW_HOST_MEMORY: '100000' });
  assert.is.not(status, 0);
  assert.match(stderr, /training needs (\d{6,}) bytes of the backend's memory, 100000 are free/);
  assert.match(stderr, /ERR_HK_MEMORY/);
});

training.run();
