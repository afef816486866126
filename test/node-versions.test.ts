// The package under other versions of Node: the same test files, run by their binaries, which npm has as packages.
//   HYPER_KNOW_NODES=22,24,26 node scripts/test.mjs node-versions        minutes for each; where no registry is in reach, says so and skips
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { temporaryFolder } from './helpers.ts';
import { isOffline, npm, run } from './pack.ts';

const versions = suite('versions of Node');
const root = fileURLToPath(new URL('..', import.meta.url));

const WANTED = (process.env.HYPER_KNOW_NODES ?? '').split(',').filter((version) => version !== '');
if (WANTED.length === 0) console.log('skipped: other versions of Node; HYPER_KNOW_NODES=22,24,26 runs them');

/** Installed from the tarball, imported and required; ends of processes and workers; every method in every state. */
const FILES = ['install.test', 'workers.test', 'states.test'];

/** The binary of the newest release of a major version; undefined, and said so, where it is not to be had. */
async function binaryOf(version: string): Promise<string | undefined> {
  const folder = temporaryFolder();
  const name = `node-${process.platform === 'win32' ? 'win' : process.platform}-${process.arch}@${version}`;
  const { status, output } = await run(npm, ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--prefix', folder, name], folder);
  if (status !== 0 && isOffline(output)) return void console.log(`skipped: ${name} cannot be had, npm cannot reach its registry`);
  assert.is(status, 0, output);
  return join(folder, 'node_modules', name.split('@')[0]!, 'bin', process.platform === 'win32' ? 'node.exe' : 'node');
}

/** The last line that scripts/test.mjs prints of these files under a binary. */
async function lastLineOf(binary: string, files: readonly string[]): Promise<string> {
  const addon = process.env.HYPER_KNOW_PREBUILD;
  const environment: Record<string, string> = addon === undefined ? {} : { HYPER_KNOW_PREBUILD: addon };
  const { output } = await run(binary, [join(root, 'scripts', 'test.mjs'), ...files], root, environment);
  const last = output.trimEnd().split('\n').at(-1)!;
  if (!/^\d+ passed, 0 failed/.test(last)) console.log(output);
  return last;
}

for (const version of WANTED)
  versions(`Node ${version} passes ${FILES.join(', ')}`, async () => {
    const binary = await binaryOf(version);
    if (binary === undefined) return;
    const { output } = await run(binary, ['-p', 'process.versions.node'], root);
    assert.match(output, new RegExp(`^${version.split('.')[0]}\\.`), 'it is the version that was asked for');
    const last = await lastLineOf(binary, FILES);
    console.log(`Node ${output.trim()}: ${last}`);
    assert.match(last, /^\d\d+ passed, 0 failed/);
  });

versions('planted: a binary that is no Node, and files that do not pass, are reported', async () => {
  const folder = temporaryFolder();
  mkdirSync(join(folder, 'bin'));
  assert.not.match(await lastLineOf(join(folder, 'bin', 'node'), FILES), /passed/);
  assert.match(await lastLineOf(process.execPath, ['no file of this name']), /^0 passed/);
});

versions.run();
