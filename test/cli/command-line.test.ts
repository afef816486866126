// What every command has in common: streams, exit status, options and where they come from.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { fixture, folderWith, temporaryFolder } from '../helpers.ts';
import { hyperKnow } from './spawn.ts';

const cli = suite('command line');
const recbole = fixture('recbole');
const quick = ['--epochs', '4', '--dim', '4', '--batch-size', '16'];

cli('help is on standard output, status 0; no command: help on standard error, status 2', async () => {
  const help = await hyperKnow(['--help']);
  assert.is(help.status, 0);
  for (const name of ['train', 'eval', 'doctor', 'Exit status']) assert.ok(help.stdout.includes(name), name);
  assert.is(help.stderr, '');
  const none = await hyperKnow([]);
  assert.is(none.status, 2);
  assert.is(none.stdout, '');
  assert.match(none.stderr, /Usage: hyper-know/);
});

cli('the version is that of the package', async () => {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
  assert.is((await hyperKnow(['--version'])).stdout, `${version}\n`);
});

for (const [label, args, expected] of [
  ['a misspelt command', ['trian', 'x'], /unknown command 'trian' \(Did you mean train\?\)/],
  ['a misspelt option', ['train', 'x', '--epohcs', '3'], /unknown option '--epohcs' \(Did you mean --epochs\?\)/],
  ['a missing argument', ['eval', 'x'], /missing required argument 'DATA'/],
  ['a missing option', ['train', recbole], /--out is missing/],
  ['a number that is none', ['train', recbole, '--out', 'x', '--epochs', '0x10'], /--epochs: must be an integer .*got "0x10"/],
  ['a word that is none', ['train', recbole, '--out', 'x', '--variant', 'bpr'], /--variant: must be one of hyper-know, bpr-e/],
  ['what only the library refuses', ['train', recbole, '--out', 'x', '--learning-rate', '0'], /--learning-rate: must be above 0/],
  ['a folder for the model that is not there', ['train', recbole, '--out', 'no/where'], /--out: there is no folder no/],
] as const)
  cli(`${label}: status 2, and the message says what`, async () => {
    const { status, stdout, stderr } = await hyperKnow(args, { cwd: temporaryFolder() });
    assert.is(status, 2, stderr);
    assert.is(stdout, '');
    assert.match(stderr, expected);
  });

cli('train --warm-start begins with another model, and refuses one of another space', async () => {
  const folder = temporaryFolder();
  const [first, second] = [join(folder, 'first.safetensors'), join(folder, 'second.safetensors')];
  assert.is((await hyperKnow(['train', recbole, '--out', first, ...quick, '--quiet'])).status, 0);
  const { status, stdout, stderr } = await hyperKnow(['train', recbole, '--out', second, ...quick, '--warm-start', first, '--json']);
  assert.is(status, 0, stderr);
  const { matched, dropped } = JSON.parse(stdout).warmStart;
  assert.ok(matched.users > 0 && matched.items > 0);
  assert.equal(dropped, { users: 0, items: 0, entities: 0, relations: 0 });
  const other = await hyperKnow(['train', recbole, '--out', second, ...quick, '--dim', '8', '--warm-start', first]);
  assert.is(other.status, 2, other.stderr);
  assert.match(other.stderr, /--warm-start: the model has dim 4, this training 8/);
  const none = await hyperKnow(['train', recbole, '--out', second, ...quick, '--warm-start', join(folder, 'none')]);
  assert.is(none.status, 3, none.stderr);
  assert.match(none.stderr, /none: it cannot be read/);
});

cli('bad data: status 3, with file and line', async () => {
  const bad = folderWith({ 'train.txt': '0 1\n1 x\n' });
  const { status, stdout, stderr } = await hyperKnow(['train', bad, '--out', join(bad, 'm')]);
  assert.is(status, 3);
  assert.is(stdout, '');
  assert.match(stderr, /train\.txt, line 2: .*got "x"/);
  assert.is((await hyperKnow(['train', join(bad, 'nothing'), '--out', join(bad, 'm')])).status, 3);
});

cli('train, then eval: results on standard output, the rest on standard error', async () => {
  const folder = temporaryFolder();
  const model = join(folder, 'tiny.safetensors');
  const trained = await hyperKnow(['train', recbole, '--out', model, ...quick, '--json', '--evaluate-every', '2']);
  assert.is(trained.status, 0, trained.stderr);
  const document = JSON.parse(trained.stdout);
  assert.is(document.schema, 'hyper-know/train/1');
  assert.is(document.epochs, 4);
  assert.match(trained.stderr, /^epoch 2\/4 {2}loss \d/m);
  assert.not.ok(trained.stderr.includes('\x1b'), 'no control sequences without a terminal');

  const measured = await hyperKnow(['eval', model, recbole, '--k', '1,5', '--quiet']);
  assert.is(measured.status, 0, measured.stderr);
  assert.is(measured.stderr, '');
  assert.match(measured.stdout, /^recall@5 +[01]\.\d{4}$/m);
  const json = JSON.parse((await hyperKnow(['eval', model, recbole, '--k', '5', '--json'])).stdout);
  assert.is(json.recall[5].toFixed(4), /^recall@5 +(\S+)$/m.exec(measured.stdout)![1]);

  const other = await hyperKnow(['eval', model, recbole, '--data-seed', '2']);
  assert.is(other.status, 3, 'another split would be measured on what the model has seen');
  assert.match(other.stderr, /not trained on this data set and split/);
});

cli('a dry run trains nothing, and says how much memory it would take', async () => {
  const folder = temporaryFolder();
  const { status, stdout } = await hyperKnow(['train', recbole, '--out', join(folder, 'm'), '--dry-run', '--json', ...quick]);
  assert.is(status, 0);
  const { schema, hyperparameters, memory } = JSON.parse(stdout);
  assert.is(schema, 'hyper-know/train-plan/1');
  assert.is(hyperparameters.epochs, 4);
  assert.ok(memory.total > memory.parameters && memory.parameters > 0);
});

cli('flag before environment before configuration before default', async () => {
  const folder = folderWith({ 'c.json': '{ "train": { "dim": 5, "epochs": 6, "seed": 7 } }' });
  const args = ['train', recbole, '--out', 'm', '--config', join(folder, 'c.json'), '--print-config'];
  const env = { HYPER_KNOW_EPOCHS: '8', HYPER_KNOW_SEED: '9' };
  const { status, stdout } = await hyperKnow([...args, '--seed', '10'], { env });
  assert.is(status, 0);
  const { train } = JSON.parse(stdout);
  assert.equal([train.dim, train.epochs, train.seed, train.checkpointEvery], [5, 8, 10, 10]);

  const wrong = await hyperKnow(['train', recbole, '--out', 'm'], { env: { HYPER_KNOW_DIM: 'wide' } });
  assert.is(wrong.status, 2);
  assert.match(wrong.stderr, /HYPER_KNOW_DIM: must be an integer/);
});

cli('what --print-config prints is a configuration file, with the same effect', async () => {
  const args = ['train', recbole, '--out', 'm', '--beta', 'adaptive', '--no-early-stopping'];
  const first = await hyperKnow([...args, '--print-config']);
  const folder = folderWith({ 'c.json': first.stdout });
  const second = await hyperKnow(['train', recbole, '--config', join(folder, 'c.json'), '--print-config']);
  assert.is(second.stdout, first.stdout, second.stderr);
});

for (const [label, text, expected] of [
  ['an unknown option', '{"train":{"epohcs":3}}', /c\.json: train: Unrecognized key: "epohcs"/],
  ['an unknown command', '{"trian":{}}', /c\.json: .*Unrecognized key: "trian"/],
  ['a wrong value', '{"train":{"dim":0}}', /c\.json: train\.dim: /],
  ['no JSON', '{', /c\.json: is not JSON/],
] as const)
  cli(`a configuration with ${label}: status 2`, async () => {
    const { status, stderr } = await hyperKnow(['train', recbole, '--config', join(folderWith({ 'c.json': text }), 'c.json')]);
    assert.is(status, 2);
    assert.match(stderr, expected);
  });

cli('the JSON Schema names every option of every command', async () => {
  const schema = JSON.parse((await hyperKnow(['config-schema'])).stdout);
  assert.is(schema.properties.train.properties.batchSize.type, 'integer');
  assert.is(schema.properties.train.additionalProperties, false);
  assert.ok(schema.properties.eval.properties.ndcg.enum.includes('kgat'));
});

cli('doctor: what runs here, and that training is deterministic', async () => {
  const { status, stdout } = await hyperKnow(['doctor', '--json']);
  assert.is(status, 0);
  const found = JSON.parse(stdout);
  assert.ok(found.deterministic && found.trains);
  assert.ok(found.backends.some(({ name }: { name: string }) => name === 'cpu'));
});

cli('a backend that cannot run: status 4', async () => {
  const { status, stderr } = await hyperKnow(['doctor', '--backend', 'cuda'], { env: { CUDA_VISIBLE_DEVICES: '' } });
  assert.is(status, 4);
  assert.match(stderr, /backend 'cuda' cannot run here/);
});

cli('what a data set holds does not reach the terminal as it stands', async () => {
  const { status, stderr } = await hyperKnow(['train', '\u001b]8;;x\u0007\u202eevil', '--out', 'm'], { cwd: temporaryFolder() });
  assert.is(status, 3);
  assert.not.match(stderr.trimEnd(), /[\p{Cc}\p{Cf}]/u);
  assert.ok(stderr.includes('\\u{1b}]8;;x\\u{7}\\u{202e}evil'), stderr);
});

cli('paths may begin with a dash', async () => {
  const folder = temporaryFolder();
  const trained = await hyperKnow(['train', '--out', '-m', ...quick, '--', recbole], { cwd: folder });
  assert.is(trained.status, 0, trained.stderr);
  assert.ok(readFileSync(join(folder, '-m')).length > 0);
  assert.is((await hyperKnow(['eval', '--', '-m', recbole], { cwd: folder })).status, 0);
});

cli('bench and reproduce hand their arguments on to the scripts of a checkout', async () => {
  const { status, stderr } = await hyperKnow(['bench', 'nonesuch', '--json']);
  assert.is(status, 2);
  assert.match(stderr, /usage: npm run bench/);
});

cli.run();
