// Every kernel against the float64 reference, over the whole table and every backend that can run here. The CUDA sources run a second
// time, as fibers on the host, in processes of their own: `npm test` builds that addon into .host/.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { backends } from '../../lib/native.ts';
import { HOST_BUILD, hostEnvironment } from '../helpers.ts';
import { KERNELS, kernelCases } from './cases.ts';
import { failures } from './measures.ts';
import type { CaseReport } from './run-cases.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const parity = suite('parity');

parity('the table has cases for every kernel, with labels of their own', () => {
  for (const kernel of Object.keys(KERNELS))
    for (const onHost of [true, false])
      assert.ok(
        kernelCases.some((one) => one.kernel === kernel && one.onHost === onHost),
        `${kernel}, ${onHost ? 'also' : 'not'} on the host`,
      );
  assert.is(new Set(kernelCases.map(({ kernel, label }) => `${kernel} ${label}`)).size, kernelCases.length);
});

for (const { name, reason } of backends()) {
  if (reason !== undefined) {
    console.log(`skipped: the kernels on ${name}: ${reason}`);
    parity.skip(name);
    continue;
  }
  for (const one of kernelCases)
    if (one.onHost || name !== 'cuda-on-host')
      parity(`${name}, ${one.kernel}: ${one.label}`, () => {
        const inputs = one.inputs();
        assert.equal(failures(one.measure(inputs, one.run(name, inputs))), []);
      });
}

const hostBuild = join(HOST_BUILD, 'build', 'Release', 'hyper_know.node');

/** The table on one backend in a process of its own. */
function runCases(backend: string, environment: Record<string, string>): CaseReport[] {
  const child = spawnSync(process.execPath, ['--import', 'tsx', join(root, 'test', 'kernels', 'run-cases.ts'), '--backend', backend], {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    env: { ...process.env, ...environment },
  });
  assert.is(child.status, 0, `ended with ${child.signal ?? child.status}\n${child.stderr.slice(0, 4000)}`);
  return JSON.parse(child.stdout, (key, value) => (key === 'error' ? Number(value) : value)) as CaseReport[];
}

const wrongCases = (reports: readonly CaseReport[]): string[] =>
  reports.flatMap(({ case: name, measurements, threw }) =>
    (threw === undefined ? failures(measurements ?? []) : [threw]).map((what) => `${name}: ${what}`),
  );

// The narrower instruction sets of this processor; the widest has been run above. NEON needs a processor that has it.
const widest = backends().find(({ name }) => name === 'cpu')!.device;
for (const level of ['baseline', ...(widest.includes('AVX-512') ? ['avx2'] : [])]) {
  if (widest.includes('baseline')) continue;
  parity(`cpu, as ${level}`, () => {
    const reports = runCases('cpu', { HYPER_KNOW_CPU: level });
    assert.is(reports.length, kernelCases.length);
    assert.equal(wrongCases(reports), []);
  });
}

// The order in which threads take their turns is drawn from the seed: 0 is ascending.
for (const schedule of [0, 1, 2]) {
  if (!existsSync(hostBuild)) {
    console.log(`skipped: the CUDA sources on the host, schedule ${schedule}: ${hostBuild} is not built`);
    parity.skip(`cuda-on-host, schedule ${schedule}`);
    continue;
  }
  parity(`cuda-on-host, schedule ${schedule}`, () => {
    const reports = runCases('cuda-on-host', hostEnvironment(schedule));
    assert.is(reports.length, kernelCases.filter((one) => one.onHost).length);
    assert.equal(wrongCases(reports), []);
    assert.ok(reports.every(({ threw, measurements }) => threw !== undefined || measurements!.length > 0));
  });
}

parity.run();
