// The PyTorch peer of scripts/bench/peers trains the same steps in float64 and has to come to the parameters that our trainer comes to.
// Needs a python3 (or what PYTHON names) with torch; without it, the test is skipped.
import { execFileSync, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { temporaryFolder } from './helpers.ts';

const peers = suite('peers');

const root = fileURLToPath(new URL('..', import.meta.url));
const scripts = join(root, 'scripts', 'bench', 'peers');
const python = process.env.PYTHON ?? 'python3';
const env = { ...process.env, OMP_NUM_THREADS: '1', PYTHONIOENCODING: 'utf-8', PYTHONDONTWRITEBYTECODE: '1' };

const title = 'ten steps of the trainer are those of plain PyTorch in float64';
if (spawnSync(python, ['-c', 'import torch'], { env }).status === 0)
  peers(title, () => {
    const folder = temporaryFolder();
    const exporting = ['--import', 'tsx', join(scripts, 'export.ts'), '--small', '--out', folder];
    execFileSync(process.execPath, exporting, { cwd: root, stdio: 'pipe' });
    const comparing = [join(scripts, 'hyper_know.py'), '--mode', 'oracle', '--export', folder];
    const { status, stdout, stderr } = spawnSync(python, comparing, { encoding: 'utf8', env });
    assert.is(status, 0, stdout + stderr);
    const lines = stdout.trim().split('\n');
    assert.is(lines.at(-1), 'oracle: agrees', stdout + stderr);
    // Of each of four cases: two other ways of taking ∂J_outer/∂β, two losses, four tables.
    assert.is(lines.length, 4 * (2 + 2 + 4) + 1, stdout);
  });
else {
  console.log(`skipped: ${title}: ${python} has no torch`);
  peers.skip(title);
}

peers.run();
