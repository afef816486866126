// A terminal obeys what is printed on it, and ids are whatever a data set holds: they are printed so that nothing happens, by every command.
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createDataset } from '../../lib/data/dataset.ts';
import { train } from '../../lib/train.ts';
import { fixture, temporaryFolder } from '../helpers.ts';
import type { Outcome } from './spawn.ts';

const hostile = suite('hostile ids on the command line');
const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

/** Each would do something to a terminal, or show another text than it is. */
const TRICKS = {
  colour: '\u001b[31mred\u001b[0m',
  title: '\u001b]0;owned\u0007',
  link: '\u001b]8;;https://example.invalid\u001b\\click\u001b]8;;\u001b\\',
  clipboard: '\u001b]52;c;ZXZpbA==\u0007',
  overwritten: 'harmless\rhidden',
  erased: 'rm -rf\b\b\b\b\b\b',
  'one byte': '\u009b31m\u0085',
  turned: '\u202eelif\u202c',
  isolated: '\u2066a\u2069',
  invisible: 'a\u200bb\u2060c\ufeffd',
  tagged: 'a\u{e0041}\u{e007f}',
  separated: 'a\u2028b\u2029c',
  deleted: 'a\u007f',
} as const;
const tricks = Object.values(TRICKS);
const items = tricks.map((trick, i) => `item ${i} ${trick}`);

/** What in an output would not be printed as it stands: everything but line ends and plainly visible text. */
const unsafe = (text: string): string[] => text.match(/(?!\n)[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu) ?? [];

const users = tricks.flatMap((trick, i) => [`user ${i} ${trick}`, `${trick} second ${i}`]);
const interactions = users.flatMap((user, u) => items.flatMap((item, i) => ((u * 7 + i * 5) % 4 < 2 ? [{ user, item }] : [])));
const triples = items.map((head, i) => ({ head, relation: `made by ${tricks[i % 3]}`, tail: `maker ${tricks[i % 4]}` }));

/** What the readers let through: they refuse control characters, and say where they stand. */
const isReadable = (...ids: string[]): boolean =>
  ids.every((id) => [...id].every((character) => character >= ' ' && character !== '\u007f'));

/** As much of it as can stand in a folder in RecBole's form, and a folder of a name like that. */
function readableFolder(): string {
  const folder = join(temporaryFolder(), '-data \u202e');
  mkdirSync(folder);
  const likes = interactions.filter(({ user, item }) => isReadable(user, item)).map(({ user, item }) => `${user}\t${item}`);
  const links = items.filter((item) => isReadable(item)).map((item) => `${item}\tentity of ${item}`);
  const facts = links.map((line, i) => `${line.split('\t')[1]}\tmade by ${TRICKS.turned}\tmaker ${i % 2} ${TRICKS.invisible}`);
  assert.ok(links.length >= 5);
  writeFileSync(join(folder, 'shop.inter'), `user_id:token\titem_id:token\n${likes.join('\n')}\n`);
  writeFileSync(join(folder, 'shop.kg'), `head_id:token\trelation_id:token\ttail_id:token\n${facts.join('\n')}\n`);
  writeFileSync(join(folder, 'shop.link'), `item_id:token\tentity_id:token\n${links.join('\n')}\n`);
  return folder;
}

/** Runs the compiled command, which starts in a fraction of the time; what is in `closed` nobody reads. */
function hyperKnow(
  args: readonly string[],
  { cwd, closed = [] }: { cwd?: string; closed?: ('stdout' | 'stderr')[] } = {},
): Promise<Outcome> {
  const child = spawn(process.execPath, [main, ...args], { cwd, stdio: ['ignore', 'pipe', 'pipe'] });
  const outcome: Outcome = { status: null, signal: null, stdout: '', stderr: '' };
  for (const stream of ['stdout', 'stderr'] as const)
    if (closed.includes(stream)) child[stream].destroy();
    else
      child[stream].setEncoding('utf8').on('data', (text: string) => {
        outcome[stream] += text;
      });
  return new Promise((resolve) => child.on('close', (status, signal) => resolve({ ...outcome, status, signal })));
}

function faultsOf({ status, stdout, stderr }: Outcome, expected: number): string[] {
  return [
    ...(status === expected ? [] : [`status ${status}: ${JSON.stringify(stderr)}`]),
    ...(unsafe(stdout).length > 0 ? [`standard output: ${JSON.stringify(stdout)}`] : []),
    ...(unsafe(stderr).length > 0 ? [`standard error: ${JSON.stringify(stderr)}`] : []),
  ];
}

/** Standard output, which like standard error does nothing to a terminal. */
function safe(label: string, outcome: Outcome, expected = 0): string {
  assert.equal(faultsOf(outcome, expected), [], label);
  return outcome.stdout;
}

hostile('every command that reads a model prints them escaped, and as JSON they are the same ids', async () => {
  const cwd = temporaryFolder();
  const model = await train(createDataset({ interactions, triples }), { epochs: 1, dim: 4, batchSize: 64, backend: 'cpu' });
  await model.save(join(cwd, '-m'));
  const [user, item] = [`user 0 ${TRICKS.colour}`, items[2]!];
  const printed = new Map<string, string>();
  for (const [name, ...args] of [
    ['inspect', '--', '-m'],
    ['recommend', '--', '-m', user],
    ['similar', '--', '-m', item],
    ['explain', '--', '-m', user, item],
    ['fold-in', '--user-items', item, '--', '-m'],
  ] as const)
    for (const json of [[], ['--json']])
      printed.set([name, ...json].join(' '), safe(name, await hyperKnow([name, ...json, ...args], { cwd })));
  for (const name of ['recommend', 'similar', 'explain']) assert.ok(printed.get(name)!.includes('\\u{'), `${name}: ${printed.get(name)}`);
  const [{ user: who, items: list }] = JSON.parse(printed.get('recommend --json')!).lists as [{ user: string; items: { item: string }[] }];
  assert.is(who, user);
  assert.ok(list.length > 0 && list.every(({ item: one }) => items.includes(one)), JSON.stringify(list));
  assert.is(JSON.parse(printed.get('explain --json')!).item, item);
});

hostile('and so does every command that reads a data set', async () => {
  const data = readableFolder();
  const cwd = temporaryFolder();
  safe('train', await hyperKnow(['train', '--epochs', '2', '--dim', '4', '--batch-size', '16', '--out', '-m', '--', data], { cwd }));
  for (const args of [
    ['check', '--', data],
    ['check', '--json', '--', data],
    ['eval', '--k', '5', '--', '-m', data],
    ['eval', '--k', '5', '--json', '--', '-m', data],
  ])
    safe(args.slice(0, -1).join(' '), await hyperKnow(args, { cwd }));
  writeFileSync(join(data, 'shop.inter'), `user_id:token\titem_id:token\nann\ta ${TRICKS.link} ${TRICKS.turned}\n`);
  safe('a line that is refused', await hyperKnow(['check', '--', data], { cwd }), 3);
});

hostile('so are what is not known, what cannot be read, and the options in force', async () => {
  const cwd = temporaryFolder();
  const everything = tricks.join(' ');
  safe('a data set that is not there', await hyperKnow(['check', '--', everything], { cwd }), 3);
  safe('a model that is not there', await hyperKnow(['recommend', '--', everything, everything], { cwd }), 3);
  safe('a command that is none', await hyperKnow([everything], { cwd }), 2);
  safe('an option that is none', await hyperKnow(['train', `--${everything}`], { cwd }), 2);
  safe('a value that is none', await hyperKnow(['train', 'x', '--out', 'm', '--backend', everything], { cwd }), 2);
  writeFileSync(join(cwd, 'c.json'), JSON.stringify({ train: { [everything]: 1 } }));
  safe('a key that is none', await hyperKnow(['train', 'x', '--config', 'c.json'], { cwd }), 2);
  const config = safe('--print-config', await hyperKnow(['train', 'x', '--out', everything, '--print-config'], { cwd }));
  assert.is(JSON.parse(config).train.out, everything);
});

hostile('planted: each of the tricks is seen where it stands as it is, and plain text in any script is not', () => {
  for (const [name, trick] of Object.entries(TRICKS)) assert.ok(unsafe(`before ${trick} after`).length > 0, name);
  const outcome = { status: 0, signal: null, stdout: 'a\n', stderr: 'b\n' };
  assert.equal(faultsOf(outcome, 0), []);
  assert.is(faultsOf({ ...outcome, stdout: `a ${TRICKS.link}\n` }, 0).length, 1);
  assert.is(faultsOf({ ...outcome, stderr: `a ${TRICKS.turned}\n` }, 0).length, 1);
  assert.is(faultsOf({ ...outcome, status: 1 }, 0).length, 1);
  assert.equal(unsafe('naïve Ünïcode 日本語 \u0641\u0627\u0631\u0633\u06cc 👍 \u00a0–—“”\n'), []);
});

hostile('who stops reading (… | head) is no error: nothing is said, status 0', async () => {
  for (const args of [['config-schema'], ['check', fixture('kgat')]]) {
    const { status, signal, stderr } = await hyperKnow(args, { closed: ['stdout'] });
    assert.equal([status, signal], [0, null], `${args.join(' ')}: ${stderr}`);
    assert.not.match(stderr, /EPIPE|Error|^ +at /m);
  }
  const out = join(temporaryFolder(), 'm');
  const train = ['train', fixture('kgat'), '--out', out, '--epochs', '2', '--dim', '4', '--batch-size', '16'];
  assert.equal(await hyperKnow(train, { closed: ['stderr'] }), { status: 0, signal: null, stdout: '', stderr: '' });
});

(process.platform === 'win32' ? hostile.skip : hostile)('what the machine cannot do: status 1, with the reason', () => {
  // No file may grow, as on a full disk; the signal that this would raise is ignored.
  const limited = ['-c', `trap '' XFSZ; ulimit -f 0; exec "$@"`, 'sh', process.execPath, main];
  const args = ['train', fixture('kgat'), '--out', join(temporaryFolder(), 'm'), '--epochs', '1', '--dim', '4', '--batch-size', '16'];
  const { status, stdout, stderr } = spawnSync('sh', [...limited, ...args], { encoding: 'utf8' });
  assert.is(status, 1, stderr);
  assert.is(stdout, '');
  assert.match(stderr, /hyper-know: .*m: it cannot be (written|saved)|EFBIG/);
});

hostile('a model whose name begins with a dash is a file like others', async () => {
  const cwd = temporaryFolder();
  const train = ['train', '--out', '--m', '--epochs', '1', '--dim', '4', '--batch-size', '16', '--', fixture('kgat')];
  assert.is((await hyperKnow(train, { cwd })).status, 0);
  assert.ok(readFileSync(join(cwd, '--m')).length > 0);
  assert.is((await hyperKnow(['inspect', './--m'], { cwd })).status, 0);
  assert.is((await hyperKnow(['inspect', '--', '--m'], { cwd })).status, 0);
  assert.is((await hyperKnow(['inspect', '--m'], { cwd })).status, 2, 'without the dashes in front it is an option');
});

hostile.run();
