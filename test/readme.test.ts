// Every block of the README runs as it stands and does what is written beside it. Those of the shop are in cli/shop.test.ts.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { fixture, temporaryFolder } from './helpers.ts';

const readme = suite('readme');
const folder = temporaryFolder();
const root = fileURLToPath(new URL('..', import.meta.url));
const text = readFileSync(join(root, 'README.md'), 'utf8');

readme('there is no block that no test runs', () => {
  const languages = [...text.matchAll(/^```(\w*)\n.*?^```$/gms)].map(([, language]) => language!);
  assert.equal(
    languages.filter((language) => !['sh', 'js', 'javascript'].includes(language)),
    [],
  );
});

readme('its shell commands: scripts of the package, and reproduce trains what it says', () => {
  const lines = [...text.matchAll(/^```sh\n(.*?)^```$/gms)].flatMap(([, code]) => code!.replaceAll('\\\n', ' ').trim().split('\n'));
  const commands = lines.map((line) => line.replace(/\s#.*$/, '').trim()).filter((line) => !line.startsWith('npx hyper-know '));
  assert.ok(commands.length >= 3, commands.join());
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  for (const line of commands) {
    const [, name, rest = ''] = /^npm (?:run )?(\w+)(?: -- (.*))?$/.exec(line) ?? [];
    assert.ok(name && name in scripts, `${line}: no script of package.json`);
    if (name !== 'reproduce') continue;
    const args = rest.replaceAll(/[[\]]/g, '').replace('FOLDER', fixture('recbole')).split(' ').filter(Boolean);
    const program = ['--import', import.meta.resolve('tsx'), join(root, 'scripts/reproduce.ts'), ...args, '--dry-run'];
    const { status, stdout, stderr } = spawnSync(process.execPath, [...program, '--out', join(folder, 'runs')], { encoding: 'utf8' });
    assert.is(status, 0, `${line}: ${stderr}`);
    const count = (run: string) => stdout.split('\n').filter((line) => line.startsWith(run)).length;
    assert.ok(count('| hyper-know-seed1') === 1 && count('| bpr-h-seed1') === 1, stdout);
    assert.is(count('| bpr-avg-h-seed1') === 1, !line.includes('--variants'), stdout);
  }
});

readme('its JavaScript runs', () => {
  const blocks = [...text.matchAll(/^```js\n(.*?)^```$/gms)].map(([, code]) => code!);
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
