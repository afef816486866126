// The README's program, all its blocks in order, runs as it stands and does what is written beside it.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { temporaryFolder } from './helpers.ts';

const readme = suite('readme');
const folder = temporaryFolder();
const root = fileURLToPath(new URL('..', import.meta.url));

readme('its JavaScript runs', () => {
  const blocks = [...readFileSync(join(root, 'README.md'), 'utf8').matchAll(/^```js\n(.*?)^```$/gms)].map(([, code]) => code!);
  assert.ok(blocks.length >= 2, `${blocks.length} blocks`);
  const program = blocks
    .join('\n')
    .replaceAll("from 'hyper-know'", `from ${JSON.stringify(new URL('../lib/index.ts', import.meta.url).href)}`);
  const file = join(folder, 'readme.mts');
  writeFileSync(file, `${program}\nconsole.log(JSON.stringify(model.recommend('ann', 2)));\n`);
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--import', import.meta.resolve('tsx'), file], {
    cwd: folder,
    encoding: 'utf8',
  });
  assert.is(status, 0, stderr);
  const lines = stdout.trim().split('\n');
  const recommended = JSON.parse(lines.at(-1)!) as { item: string; distance: number }[];
  assert.equal(recommended.map(({ item }) => item).sort(), ['chair', 'rug']); // what ann has not
  assert.ok(recommended[0]!.distance <= recommended[1]!.distance);
  assert.is(lines.filter((line) => /^\d+ \d/.test(line)).length, 10, 'one line per epoch');
  assert.ok(existsSync(join(folder, 'shop.safetensors')));
});

readme.run();
