// scripts/test.mjs says of every way in which test files end what it must: nothing that goes wrong passes for a success.
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { temporaryFolder } from './helpers.ts';

const runner = suite('scripts/test.mjs');
const root = fileURLToPath(new URL('..', import.meta.url));

/** Runs test files of these contents, by name; the last line and the status. */
function ran(tests: Record<string, string>): { last: string; status: number | null; output: string } {
  const folder = temporaryFolder();
  for (const name of ['scripts', 'test']) mkdirSync(join(folder, name));
  copyFileSync(join(root, 'scripts', 'test.mjs'), join(folder, 'scripts', 'test.mjs'));
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'), 'junction');
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
  for (const [name, body] of Object.entries(tests)) writeFileSync(join(folder, 'test', `${name}.test.ts`), body);
  const { status, stdout } = spawnSync(process.execPath, ['scripts/test.mjs'], { cwd: folder, encoding: 'utf8', timeout: 120_000 });
  return { status, last: stdout.trimEnd().split('\n').at(-1)!, output: stdout };
}

/** In pieces, or scripts/test.mjs would take what stands in strings for suites of this file. */
const [UVU, SUITE] = ["'uvu'", 'suite'];
/** A file with one test. */
const fileWith = (body: string) => `import { test } from ${UVU};\ntest('one', async () => { ${body} });\ntest.run();\n`;
const passing = fileWith('');

runner('counts what passes, fails and is skipped, of the files side by side and of the one that runs alone', () => {
  const { last, status, output } = ran({
    a: `import { test } from ${UVU};\ntest('one', () => {});\ntest('two', () => {});\ntest.skip('three', () => {});\ntest.run();\n`,
    b: passing,
    leaks: fileWith('console.log("\\n  Total:     9\\n  Passed:    9\\n\\n9 passed, 0 failed, 0 skipped")'), // such words count for nothing
  });
  assert.equal([last, status], ['4 passed, 0 failed, 1 skipped', 0]);
  assert.match(output, /Total: {5}9/);
  const failing = ran({ a: passing, b: fileWith('throw new Error("planted")'), c: passing });
  assert.equal([failing.last, failing.status], ['2 passed, 1 failed, 0 skipped', 1]);
  assert.match(failing.output, /FAIL.*one[\s\S]*planted/);
});

runner('planted: a process that ends early, whichever way, is a failure that names the file', () => {
  const waits = 'await new Promise((done) => setTimeout(done, 1e6))';
  const killed = ran({ a: fileWith('process.exit(0)'), b: fileWith(`process.kill(process.pid, 'SIGKILL'); ${waits}`), c: passing });
  assert.match(killed.last, /^\d passed, 2 failed, 0 skipped \(/);
  assert.match(killed.last, /ended early, exit code 0, in test\/a\.test\.ts/);
  assert.match(killed.last, /ended early, SIGKILL, in test\/b\.test\.ts/);
  assert.is(killed.status, 1);
  const thrown = ran({ a: fileWith(`setTimeout(() => { throw new Error('late') }); ${waits}`), b: `import './none.ts';\n${passing}` });
  assert.match(thrown.last, /^0 passed, 2 failed, 0 skipped \(/);
  for (const file of ['a', 'b']) assert.match(thrown.last, `in test/${file}.test.ts`);
});

runner('planted: a failure after the last test, a suite that is never run and no test at all are failures', () => {
  const after = ran({ b: `${passing}process.on('exit', () => { process.exitCode = 3; });\n` });
  assert.equal([after.last, after.status], ['1 passed, 1 failed, 0 skipped (the test process ended with exit code 3)', 1]);
  const idle = ran({ a: passing, b: `import { suite } from ${UVU};\nconst some = ${SUITE}('some');\nsome('one', () => {});\n` });
  assert.equal([idle.last, idle.status], ['0 passed, 1 failed, 0 skipped (no test was started)', 1]);
  assert.match(ran({}).last, /^0 passed, 0 failed, 0 skipped \(no test file matches/);
});

runner.run();
