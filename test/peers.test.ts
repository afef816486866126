// The peers of scripts/bench/peers train the same steps and have to come to the parameters that our trainer comes to. PyTorch and NumPy do it in
// float64 and need a python3 (or what PYTHON names) that has them; without it, their tests are skipped.
import { execFileSync, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { checkJavaScript, TOLERANCE } from '../scripts/bench/peers/agreement.ts';
import { temporaryFolder } from './helpers.ts';

const peers = suite('peers');

const root = fileURLToPath(new URL('..', import.meta.url));
const scripts = join(root, 'scripts', 'bench', 'peers');
const python = process.env.PYTHON ?? 'python3';
const env = { ...process.env, OMP_NUM_THREADS: '1', PYTHONIOENCODING: 'utf-8', PYTHONDONTWRITEBYTECODE: '1' };

function exported(): string {
  const folder = temporaryFolder();
  const exporting = ['--import', 'tsx', join(scripts, 'export.ts'), '--small', '--out', folder];
  execFileSync(process.execPath, exporting, { cwd: root, stdio: 'pipe' });
  return folder;
}

for (const { module, title, script, lines } of [
  {
    module: 'torch',
    title: 'ten steps of the trainer are those of plain PyTorch in float64',
    script: 'hyper_know.py',
    // Of each of four cases: two other ways of taking ∂J_outer/∂β, two losses, four tables.
    lines: 4 * (2 + 2 + 4) + 1,
  },
  {
    module: 'numpy',
    title: 'ten steps of the trainer are those of plain NumPy in float64',
    script: 'hyper_know_numpy.py',
    lines: 2 + 4 + 1,
  },
])
  if (spawnSync(python, ['-c', `import ${module}`], { env }).status === 0)
    peers(title, () => {
      const comparing = [join(scripts, script), '--mode', 'oracle', '--export', exported()];
      const { status, stdout, stderr } = spawnSync(python, comparing, { encoding: 'utf8', env });
      assert.is(status, 0, stdout + stderr);
      const printed = stdout.trim().split('\n');
      assert.is(printed.at(-1), 'oracle: agrees', stdout + stderr);
      assert.is(printed.length, lines, stdout);
    });
  else {
    console.log(`skipped: ${title}: ${python} has no ${module}`);
    peers.skip(title);
  }

peers('ten steps of the trainer are those of plain JavaScript', async () => {
  const difference = await checkJavaScript();
  assert.ok(difference <= TOLERANCE, `${difference}`);
});

peers.run();
