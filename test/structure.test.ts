// The tree keeps the shape that native/README.md describes: imports run one way, every kernel has its two twins.
import { appendFileSync, cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { checkLayers } from '../scripts/check-layers.ts';
import { checkTwins } from '../scripts/check-twins.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const structure = suite('structure');
let copy = '';

structure.before.each(() => {
  copy = mkdtempSync(join(tmpdir(), 'hyper-know-structure-'));
  for (const folder of ['lib', 'native']) cpSync(join(root, folder), join(copy, folder), { recursive: true });
});
structure.after.each(() => rmSync(copy, { recursive: true, force: true }));

/** Replaces text in a file of the copy; the text must be there. */
function edit(file: string, from: string | RegExp, to: string): void {
  const before = readFileSync(join(copy, file), 'utf8');
  const after = before.replace(from, to);
  assert.not.equal(after, before, `${file} holds ${from}`);
  writeFileSync(join(copy, file), after);
}

/** The violations of the copy that those of the tree itself do not explain. */
function caught(check: (folder: string) => { violations: string[] }): string {
  const known = check(root).violations;
  return check(copy)
    .violations.filter((violation) => !known.includes(violation))
    .join('\n');
}

structure('imports run one way', () => {
  const { files, violations } = checkLayers(root);
  assert.equal(violations, []);
  assert.ok(files > 50, `${files} files were looked at`);
});

structure('every kernel has one CPU and one CUDA twin under one name', () => {
  const { kernels, violations } = checkTwins(root);
  assert.equal(violations, []);
  assert.ok(kernels.includes('poincare_distance') && kernels.includes('hypergradient'), kernels.join(' '));
});

const plantedImports: readonly [label: string, file: string, line: string, expected: RegExp][] = [
  [
    'a lower C++ layer includes a higher one',
    'native/src/error.h',
    '#include "step.h"',
    /^native\/src\/error\.h:\d+: imports step\.h of a higher layer/,
  ],
  [
    'two kernels include each other',
    'native/src/cpu/adam.cc',
    '#include "top_k.cc"',
    /^native\/src\/cpu\/adam\.cc:\d+: imports top_k\.cc of its own layer/,
  ],
  ['Node-API outside the binding', 'native/src/step.cc', '#include <napi.h>', /^native\/src\/step\.cc:\d+: imports Node-API/],
  ['CUDA outside native/cuda', 'native/src/ball.h', '#  include <cuda_runtime.h>', /^native\/src\/ball\.h:\d+: imports CUDA/],
  ['an include of nothing', 'native/src/step.cc', '#include "steps.h"', /^native\/src\/step\.cc:\d+: imports steps\.h, which is no file/],
  [
    'a lower TypeScript layer imports a higher one',
    'lib/check.ts',
    "import './native.ts';",
    /^lib\/check\.ts:\d+: imports \.\/native\.ts of a higher layer/,
  ],
  [
    'also by a type',
    'lib/errors.ts',
    "import type { Native } from './native.ts';",
    /^lib\/errors\.ts:\d+: imports \.\/native\.ts of a higher/,
  ],
  ['also dynamically', 'lib/errors.ts', "void import('./native.ts');", /^lib\/errors\.ts:\d+: imports \.\/native\.ts of a higher layer/],
  ['the package takes a dependency', 'lib/check.ts', "export * from 'uvu';", /^lib\/check\.ts:\d+: imports a package \(uvu\)/],
];
for (const [label, file, line, expected] of plantedImports)
  structure(`caught: ${label}`, () => {
    appendFileSync(join(copy, file), `\n${line}\n`);
    assert.match(caught(checkLayers), expected);
  });

structure('an import in a comment is none', () => {
  appendFileSync(join(copy, 'lib/errors.ts'), "\n// import './native.ts';\n/* import './native.ts'; */\n");
  assert.is(caught(checkLayers), '');
});

structure('caught: a file that the tables do not place', () => {
  writeFileSync(join(copy, 'lib/utils.ts'), 'export {};\n');
  assert.match(caught(checkLayers), /^lib\/utils\.ts:1: has no place/);
});

structure('caught: a kernel without a definition', () => {
  edit('native/src/backend.h', /(virtual void top_k\(.*\n)/, '$1  virtual void top_q(const TopK& a) = 0;\n');
  assert.match(caught(checkTwins), /CpuBackend::top_q is defined in no \.cc file\n.*CudaBackend::top_q is defined in no \.cu file/);
});

structure('caught: a kernel removed from one backend', () => {
  edit('native/cuda/top_k.cu', 'void CudaBackend::top_k(', 'void top_k(');
  assert.match(caught(checkTwins), /CudaBackend::top_k is defined in no \.cu file/);
});

structure('caught: a kernel that is no longer in the interface', () => {
  edit('native/src/backend.h', /.*virtual void top_k\(.*\n/, '');
  assert.match(caught(checkTwins), /CpuBackend::top_k is no kernel of native\/src\/backend\.h/);
});

structure('caught: a helper of several kernels, unless its class keeps it private', () => {
  appendFileSync(join(copy, 'native/cuda/top_k.cu'), '\nvoid hk::CudaBackend::top_q(const TopK& a) {\n}\n');
  const header = 'native/cuda/cuda_backend.h';
  edit(header, ' private:\n', '  void top_q(const TopK& a);\n\n private:\n');
  assert.match(caught(checkTwins), /CudaBackend::top_q is no kernel of native\/src\/backend\.h/);
  edit(header, '  void top_q(const TopK& a);\n\n private:\n', ' private:\n  void top_q(const TopK& a);\n');
  assert.is(caught(checkTwins), '');
});

structure('caught: a kernel defined twice', () => {
  appendFileSync(join(copy, 'native/src/cpu/adam.cc'), '\nvoid hk::CpuBackend::top_k(const TopK& a) {\n}\n');
  assert.match(caught(checkTwins), /CpuBackend::top_k is defined 2 times, in adam, top_k/);
});

structure('caught: twins in files of different names', () => {
  cpSync(join(copy, 'native/src/cpu/top_k.cc'), join(copy, 'native/src/cpu/ranking_list.cc'));
  rmSync(join(copy, 'native/src/cpu/top_k.cc'));
  assert.match(caught(checkTwins), /top_k: the CPU twin is in ranking_list\.cc, the CUDA twin in top_k\.cu/);
});

structure.run();
