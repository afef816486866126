// lib/README.md as a back-end developer follows it: every block of it, in order, on a made-up shop.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { temporaryFolder } from '../helpers.ts';
import { writeShop } from './shop-files.ts';
import { hyperKnow } from './spawn.ts';

const guide = suite('guide');
const folder = temporaryFolder();
const text = readFileSync(fileURLToPath(new URL('../../lib/README.md', import.meta.url)), 'utf8');
const blocks = [...text.matchAll(/^```(\w*)\n(.*?)^```$/gms)].map(([, language, code]) => ({ language, code: code! }));
const codeOf = (language: string): string[] => blocks.filter((block) => block.language === language).map(({ code }) => code);

guide('every block is a shell command or a part of the program', () => {
  assert.equal(
    blocks.filter(({ language }) => language !== 'sh' && language !== 'js'),
    [],
  );
  assert.ok(blocks.length >= 7, `${blocks.length} blocks`);
});

guide('its commands', async () => {
  writeShop(folder);
  const lines = codeOf('sh').flatMap((code) => code.replaceAll('\\\n', ' ').trim().split('\n'));
  for (const line of lines) {
    assert.match(line, /^npx hyper-know /);
    const args = [...line.slice('npx hyper-know '.length).matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain!);
    const { status, stdout, stderr } = await hyperKnow(args, { cwd: folder });
    assert.is(status, 0, `${line}: ${stderr}`);
    assert.ok(stdout.length > 0, line);
  }
  for (const name of ['guest.npy', 'lists.csv', 'sql/schema.sql']) assert.ok(existsSync(join(folder, name)), name);
});

/** Asks the server that the program has started, reloads the model, and prints what came back. */
const VISIT = `
import { once } from 'node:events';
if (!server.listening) await once(server, 'listening');
const ask = async (path) => {
  const response = await fetch(\`http://localhost:\${server.address().port}\${path}\`);
  return { status: response.status, body: await response.json() };
};
const paths = ['/users/C-1042?k=3', '/items/SKU-7?k=2', '/reasons/C-1042?item=SKU-7', '/users/nobody', '/users/C-1042?k=none', '/nothing'];
const before = model;
const answers = await Promise.all(paths.map(ask));
process.emit('SIGHUP');
while (model === before) await new Promise((resolve) => setTimeout(resolve, 10));
const again = await ask(paths[0]);
console.log(JSON.stringify({ answers, again, expected: model.recommend('C-1042', 3), list, audience, alike, lists: lists.size }));
server.closeAllConnections();
server.close();
`;

guide('its program: a server, a new model in its place, a guest, a new item, lists for everyone', () => {
  const file = join(folder, 'serve.mts');
  const program = codeOf('js').join('\n');
  writeFileSync(
    file,
    program.replaceAll("from 'hyper-know'", `from ${JSON.stringify(new URL('../../lib/index.ts', import.meta.url).href)}`) + VISIT,
  );
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--import', import.meta.resolve('tsx'), file], {
    cwd: folder,
    encoding: 'utf8',
    env: { ...process.env, PORT: '0' },
    timeout: 60_000,
  });
  assert.is(status, 0, stderr);
  const { answers, again, expected, list, audience, alike, lists } = JSON.parse(stdout.trim().split('\n').at(-1)!);
  assert.equal(
    answers.map(({ status }: { status: number }) => status),
    [200, 200, 200, 404, 400, 404],
  );
  assert.equal([answers[0].body, again.body], [expected, expected]);
  assert.is(answers[1].body.length, 2);
  assert.ok(answers[2].body.neighbors.length > 0);
  assert.equal([list.length, audience.length, alike.length], [5, 5, 5]);
  assert.not.ok(list.some(({ item }: { item: string }) => item === 'SKU-3' || item === 'SKU-7'));
  assert.ok(lists > 200, `${lists} lists`);
});

guide.run();
