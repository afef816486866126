// The section on the GPU in the benchmarks' README is made from the documents beside it.
import { readFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { HEADING, section, withSection } from '../../scripts/bench/device.ts';

const device = suite('bench device');
const readme = readFileSync(new URL('../../scripts/bench/README.md', import.meta.url), 'utf8');

device('README.md has the section that `node --import tsx scripts/bench/device.ts --write` makes', () => {
  assert.ok(withSection(readme, section()) === readme, 'run that command');
});

device('a section that is not up to date is replaced, and nothing else', () => {
  const old = readme.replace(/\n## On an H200\n[\s\S]*?\n## /, '\n## On an H200\n\nold\n\n## ');
  assert.is.not(old, readme);
  assert.ok(withSection(old, section()) === readme);
  assert.throws(() => withSection('# Nothing', section()), new RegExp(HEADING));
});

device.run();
