// From two tables to lists, reasons, new users, new items and an export, by the command line alone; then what it says to mistakes.
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Model } from '../../lib/index.ts';
import { fixture, temporaryFolder } from '../helpers.ts';
import { writeShop } from './shop-files.ts';
import { hyperKnow } from './spawn.ts';

const serving = suite('serving commands');
const folder = temporaryFolder();
const MODEL = 'shop.safetensors';

async function run(...args: string[]): Promise<string> {
  const { status, stdout, stderr } = await hyperKnow(args, { cwd: folder });
  assert.is(status, 0, `${args.join(' ')}: ${stderr}`);
  return stdout;
}

async function json(...args: string[]) {
  const stdout = await run(...args, '--json', '--quiet');
  assert.is(stdout.trimEnd().split('\n').length, 1, 'one line');
  return JSON.parse(stdout);
}

const write = (name: string, text: string): void => writeFileSync(join(folder, name), text);

let model: Model;

serving.before(async () => {
  writeShop(folder);
  const from = ['--interactions', 'orders.csv', '--user', 'customer', '--item', 'sku', '--time', 'ts', '--min-interactions', '5'];
  const items = ['--items', 'catalogue.csv', '--item-id', 'sku', '--relations', 'brand,category,tags', '--multi-valued', 'tags=|'];
  await run('import', ...from, ...items, '--out', 'shop');
  await run('check', 'shop');
  for (const [seed, name] of [
    [1, MODEL],
    [2, 'second.safetensors'],
  ])
    await run('train', 'shop', '--out', `${name}`, '--epochs', '20', '--batch-size', '512', '--dim', '16', '--seed', `${seed}`);
  model = await Model.load(join(folder, MODEL));
});

serving("recommend prints the model's own lists", async () => {
  const { schema, k, exclude, lists } = await json('recommend', MODEL, 'C-1042', 'C-1007', '-k', '5');
  assert.equal([schema, k, exclude], ['hyper-know/recommend/1', 5, ['seen']]);
  assert.equal(lists, [
    { user: 'C-1042', items: model.recommend('C-1042', 5) },
    { user: 'C-1007', items: model.recommend('C-1007', 5) },
  ]);
  const text = await run('recommend', MODEL, 'C-1042', '-k', '2');
  const [first] = model.recommend('C-1042', 1);
  assert.match(text, new RegExp(`^user +rank +item +distance\nC-1042 +1 +${first!.item} +${first!.distance.toFixed(4)}\n`));
  assert.is(text.trimEnd().split('\n').length, 3);
});

serving('recommend: what is left out, what alone may be listed, users in a file', async () => {
  const all = (await json('recommend', MODEL, 'C-1042', '--exclude', 'none', '-k', '1000')).lists[0].items;
  assert.is(all.length, model.itemIds.length);
  const [best, second] = model.recommend('C-1042', 2).map(({ item }) => item);
  write('sold.txt', `${best}\r\n\n`);
  const without = (await json('recommend', MODEL, 'C-1042', '--exclude', 'seen,sold.txt', '-k', '1')).lists[0].items;
  assert.is(without[0].item, second);
  const nearest = all.find(({ item }: { item: string }) => item !== best).item;
  assert.is((await json('recommend', MODEL, 'C-1042', '--exclude', 'sold.txt', '-k', '1')).lists[0].items[0].item, nearest);
  write('sale.txt', `${best}\n${second}`);
  write('users.txt', 'C-1007\nC-1008\n');
  const { lists } = await json('recommend', MODEL, 'C-1042', '--users', 'users.txt', '--candidates', 'sale.txt', '--exclude', 'none');
  assert.equal(
    lists.map(({ user, items }: { user: string; items: unknown[] }) => [user, items.length]),
    [
      ['C-1042', 2],
      ['C-1007', 2],
      ['C-1008', 2],
    ],
  );
});

serving('recommend --all writes a list for everyone, whole or not at all', async () => {
  const { users, rows } = await json('recommend', MODEL, '--all', '--out', 'lists.csv', '-k', '3');
  assert.equal([users, rows], [model.userIds.length, 3 * model.userIds.length]);
  const lines = readFileSync(join(folder, 'lists.csv'), 'utf8').trimEnd().split('\r\n');
  assert.is(lines.length, 1 + rows);
  assert.is(lines[0], 'user,rank,item,distance');
  const last = model.userIds.at(-1)!;
  const [, , third] = model.recommend(last, 3);
  assert.is(lines.at(-1), `${last},3,${third!.item},${third!.distance}`);
  const nowhere = await hyperKnow(['recommend', MODEL, '--all', '--out', 'no/where.csv'], { cwd: folder });
  assert.is(nowhere.status, 3);
  assert.match(nowhere.stderr, /no\/where\.csv: it cannot be written \(ENOENT/);
  assert.equal(
    readdirSync(folder).filter((name) => name.endsWith('.tmp')),
    [],
  );
});

serving('similar items, and similar users', async () => {
  const { lists } = await json('similar', MODEL, 'SKU-7', '-k', '4');
  assert.equal(lists, [{ of: 'items', item: 'SKU-7', items: model.similarItems('SKU-7', 4) }]);
  const users = await json('similar', MODEL, 'C-1042', '--users', '-k', '4');
  assert.equal(users.lists, [{ of: 'users', user: 'C-1042', users: model.similarUsers('C-1042', 4) }]);
  assert.match(await run('similar', MODEL, 'SKU-7', '-k', '1'), /^item +rank +near item +distance\nSKU-7 +1 +SKU-\d+ +\d\.\d{4}\n$/);
});

serving('explain: relations by name, the items that share them, the deletion', async () => {
  const explained = await json('explain', MODEL, 'C-1042', 'SKU-7');
  const { schema, model: _path, user, item, ...explanation } = explained;
  assert.equal([schema, user, item], ['hyper-know/explain/1', 'C-1042', 'SKU-7']);
  assert.equal(explanation, JSON.parse(JSON.stringify(model.explain('C-1042', 'SKU-7'))));
  const attention = explanation.neighbors.reduce((sum: number, neighbor: { attention: number }) => sum + neighbor.attention, 0);
  assert.ok(Math.abs(attention - 1) < 1e-5, `attention sums to ${attention}`);
  const text = await run('explain', MODEL, 'C-1042', 'SKU-7', '--neighbors', '1');
  assert.match(text, /^weight of the graph, σ\(β\) +0\.\d{4}$/m);
  assert.match(text, /^rank without the first triple +\d+ \([+−]\d+\): it /m);
  assert.is(text.match(/^\d\.\d{4} +(brand|category|tags) /gm)?.length, 1);
});

serving('fold-in of a user gets the lists of that point, and writes it', async () => {
  const { of, from, items, vector } = await json('fold-in', MODEL, '--user-items', 'SKU-3,SKU-7', '-k', '6', '--out', 'guest.npy');
  assert.equal([of, from], ['user', ['SKU-3', 'SKU-7']]);
  const point = Float32Array.from(vector);
  assert.equal(point, model.foldInUser(['SKU-3', 'SKU-7']));
  assert.equal(items, model.recommend(point, 6, { exclude: ['SKU-3', 'SKU-7'] }));
  const npy = readFileSync(join(folder, 'guest.npy'));
  assert.is(npy.subarray(1, 6).toString('latin1'), 'NUMPY');
  assert.match(npy.toString('latin1', 10, 128), /'descr': '<f4'.*'shape': \(16,\)/);
  assert.equal(new Float32Array(npy.buffer.slice(npy.byteOffset + npy.length - 64, npy.byteOffset + npy.length)), point);
  write('basket.txt', 'SKU-3\nSKU-7\n');
  const again = await json('fold-in', MODEL, '--user-items-file', 'basket.txt', '-k', '6', '--out', 'guest.json');
  assert.equal(again.items, items);
  assert.equal(JSON.parse(readFileSync(join(folder, 'guest.json'), 'utf8')), vector);
});

serving('fold-in of an item: what is like it, and whom to tell first', async () => {
  write('launch.csv', 'relation,tail\ncategory,category:rug\nbrand,brand:Nord\n');
  const triples = [
    { relation: 'category', tail: 'category:rug' },
    { relation: 'brand', tail: 'brand:Nord' },
  ];
  const launch = await json('fold-in', MODEL, '--item-triples', 'launch.csv', '-k', '5');
  assert.equal([launch.of, launch.from, launch.skipped], ['item', triples, 0]);
  const point = model.foldInItem(triples);
  assert.equal(launch.items, model.similarItems(point, 5));
  assert.equal((await json('fold-in', MODEL, '--item-triples', 'launch.csv', '-k', '5', '--audience')).users, model.similarUsers(point, 5));

  write('unknown.csv', 'relation,tail\ncategory,category:rug\nbrand,brand:Nrod\n');
  const refused = await hyperKnow(['fold-in', MODEL, '--item-triples', 'unknown.csv'], { cwd: folder });
  assert.is(refused.status, 3);
  assert.match(refused.stderr, /unknown\.csv, line 3: the model does not know the entity "brand:Nrod" \(did you mean "brand:Nord"/);
  const lenient = await json('fold-in', MODEL, '--item-triples', 'unknown.csv', '--skip-unknown');
  assert.equal([lenient.from, lenient.skipped], [[triples[0]], 1]);
});

serving('export: the certificate, and no second time without --force', async () => {
  const report = await json('export', MODEL, '--to', 'csv', '--out', 'vectors');
  assert.equal([report.schema, report.to, report.encoding, report.recall], ['hyper-know/export/1', 'csv', 'lorentz', 1]);
  const { schema: _schema, model: _model, out: _out, ...certificate } = report;
  assert.equal(certificate, JSON.parse(readFileSync(join(folder, 'vectors', 'certificate.json'), 'utf8')));
  const again = await hyperKnow(['export', MODEL, '--to', 'csv', '--out', 'vectors'], { cwd: folder });
  assert.is(again.status, 3);
  assert.match(again.stderr, /vectors: it is there already; .*--force/);
  assert.match(
    await run('export', MODEL, '--to', 'npy', '--index', 'hnsw', '--out', 'vectors', '--force', '--min-recall', '0.9'),
    /^encoding +augmented-l2, 18 columns, ordered by l2$/m,
  );
});

serving('export --min-recall: status 5 where the certificate says less', async () => {
  // So near to the origin that float32 sums no longer tell all items apart.
  const start = ['--epochs', '0', '--init-scale', '1e-4', '--dim', '16'];
  await run('train', 'shop', '--out', 'start.safetensors', ...start);
  const args = ['export', 'start.safetensors', '--to', 'npy', '--index', 'hnsw', '--out', 'start', '--min-recall', '1', '--json'];
  const { status, stdout, stderr } = await hyperKnow(args, { cwd: folder });
  assert.is(status, 5, stderr);
  assert.ok(JSON.parse(stdout).recall < 1);
  assert.match(stderr, /--min-recall: the certificate says 0\.\d{4}, below 1/);
});

serving('inspect: what the file holds', async () => {
  const found = await json('inspect', MODEL);
  assert.equal([found.schema, found.format, found.verified], ['hyper-know/inspect/1', 'hyper-know model', true]);
  assert.equal([found.users, found.items, found.dim], [model.userIds.length, model.itemIds.length, 16]);
  assert.equal(found.training, JSON.parse(JSON.stringify(model.training)));
  assert.equal([found.protocol, found.metadata], [JSON.parse(JSON.stringify(model.protocol)), {}]);
  assert.equal(found.tensors.find(({ name }: { name: string }) => name === 'entities').shape, [model.entityIds.length, 16]);
  assert.equal(found.diagnostics.items.rows, model.itemIds.length);
  assert.equal(found.influence.relations.map(({ relation }: { relation: string }) => relation).sort(), ['brand', 'category', 'tags']);
  const text = await run('inspect', MODEL);
  assert.ok(text.includes(`sha-256 ${model.protocol!.data.sha256}\n`));
  for (const pattern of [
    /^ {2}learningRate +\S+$/m,
    /^epoch chosen +\d+ of \d+, by validation recall@20$/m,
    /^√c‖x‖ +min /m,
    /^category +200 +200 +\d+\.\d %/m,
  ])
    assert.match(text, pattern);

  const bytes = readFileSync(join(folder, MODEL));
  bytes[bytes.length - 5]! ^= 1;
  writeFileSync(join(folder, 'damaged.safetensors'), bytes);
  const damaged = await hyperKnow(['inspect', 'damaged.safetensors'], { cwd: folder });
  assert.is(damaged.status, 3);
  assert.match(damaged.stderr, /damaged\.safetensors: tensor \S+ does not fit its digest/);
});

serving('report: evaluations of two seeds become one row, and one file twice counts once', async () => {
  const recall: number[] = [];
  for (const [name, path] of [
    ['one.json', MODEL],
    ['two.json', 'second.safetensors'],
  ]) {
    const text = await run('eval', path!, 'shop', '--json');
    write(name!, text);
    recall.push(JSON.parse(text).recall[20]);
  }
  const mean = (recall[0]! + recall[1]!) / 2;
  const sd = Math.abs(recall[0]! - recall[1]!) / Math.SQRT2;
  const { rows } = await json('report', 'one.json', 'two.json', 'one.json', '--metrics', 'recall@20');
  assert.is(rows.length, 1);
  const { data, label, seeds, runs, metrics } = rows[0];
  assert.equal([data, label, seeds, runs, Object.keys(metrics)], ['shop', 'Hyper-Know', [1, 2], 2, ['recall@20']]);
  assert.ok(Math.abs(metrics['recall@20'].mean - mean) < 1e-12 && Math.abs(metrics['recall@20'].sd - sd) < 1e-12);
  const markdown = await run('report', 'one.json', 'two.json', '--metrics', 'recall@20');
  const value = `${mean.toFixed(4)} ± ${sd.toFixed(4)}`;
  assert.is(
    markdown,
    `| Method     | Runs |       Recall@20 |\n| ---------- | ---: | --------------: |\n| Hyper-Know |    2 | ${value} |\n`,
  );
  assert.match(await run('report', 'one.json', 'two.json', '--format', 'latex'), /^Hyper-Know & 2 & 0\.\d{4} \$\\pm\$ /m);
  assert.match(await run('report', 'one.json', '--format', 'csv'), /^shop,test,hyper-know,Hyper-Know,1,0\.\d+,,/m);

  const other = { ...JSON.parse(readFileSync(join(folder, 'one.json'), 'utf8')), recall: { 20: 0.5 } };
  write('other.json', JSON.stringify(other));
  const contradiction = await hyperKnow(['report', 'one.json', 'other.json'], { cwd: folder });
  assert.is(contradiction.status, 3);
  assert.match(contradiction.stderr, /other\.json: says recall@20 0\.5 .* of which one\.json says/);
});

serving('ids that are numbers', async () => {
  const trained = ['train', fixture('kgat'), '--out', 'numbers.safetensors', '--epochs', '2', '--dim', '4', '--batch-size', '16'];
  await run(...trained);
  const { lists } = await json('recommend', 'numbers.safetensors', '0', '-k', '1');
  assert.is(lists[0].user, 0);
  assert.type(lists[0].items[0].item, 'number');
  assert.is((await hyperKnow(['recommend', 'numbers.safetensors', '00'], { cwd: folder })).status, 3);
});

for (const [label, status, args, expected] of [
  ['an unknown user', 3, ['recommend', MODEL, 'C-1024x'], /USER: the model does not know the user "C-1024x" \(did you mean "C-1024"/],
  ['an item for a user', 3, ['recommend', MODEL, 'SKU-7'], /does not know the user "SKU-7"; it is an item/],
  ['another case', 3, ['similar', MODEL, 'sku-7'], /did you mean "SKU-7"/],
  ['an unknown item', 3, ['explain', MODEL, 'C-1042', 'rug'], /ITEM: the model does not know the item "rug"/],
  ['no user', 2, ['recommend', MODEL], /missing required argument 'USER'/],
  ['users and all', 2, ['recommend', MODEL, 'C-1042', '--all', '--out', 'x.csv'], /--all: name no users/],
  ['all to nowhere', 2, ['recommend', MODEL, '--all'], /--all: --out says/],
  ['none and others', 2, ['recommend', MODEL, 'C-1042', '--exclude', 'none,seen'], /'none' stands alone/],
  ['a list that is not there', 3, ['recommend', MODEL, 'C-1042', '--candidates', 'nothing'], /--candidates: nothing cannot be read/],
  ['no k', 2, ['recommend', MODEL, 'C-1042', '-k', '0'], /--k: must be an integer of at least 1/],
  ['a misspelt option', 2, ['recommend', MODEL, 'C-1042', '--exlude', 'none'], /Did you mean --exclude\?/],
  ['a misspelt command', 2, ['recomend', MODEL, 'C-1042'], /Did you mean recommend\?/],
  ['a model that is not there', 3, ['recommend', 'none', 'C-1042'], /none: it cannot be read/],
  ['no new user or item', 2, ['fold-in', MODEL], /one of them must be given/],
  ['both', 2, ['fold-in', MODEL, '--user-items', 'SKU-7', '--item-triples', 'x'], /one of them must be given/],
  ['a vector in no form', 2, ['fold-in', MODEL, '--user-items', 'SKU-7', '--out', 'x.txt'], /\*\.npy or \*\.json/],
  ['an unknown engine', 2, ['export', MODEL, '--to', 'milvus', '--out', 'x'], /--to: must be one of pgvector, /],
  ['no model', 3, ['inspect', 'orders.csv'], /orders\.csv: /],
  ['no results', 3, ['report', 'orders.csv'], /orders\.csv: is not JSON/],
] as const)
  serving(`${label}: status ${status}, and the message says what`, async () => {
    const { status: found, stdout, stderr } = await hyperKnow(args, { cwd: folder });
    assert.is(found, status, stderr);
    assert.is(stdout, '');
    assert.match(stderr, expected);
  });

serving('what is left of the mistakes', () => {
  for (const name of ['x', 'x.csv', 'x.txt']) assert.not.ok(existsSync(join(folder, name)), name);
});

serving.run();
