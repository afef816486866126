// importTables: what becomes of the rows, and that the folder it writes is the data set it has.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Dataset, loadDataset } from '../../../lib/data/dataset.ts';
import { type ImportOptions, importTables } from '../../../lib/data/import/import-tables.ts';
import { orderOf } from '../../../lib/data/import/split.ts';
import { finish } from '../../../lib/data/steps.ts';
import { folderWith, seededRandom, temporaryFolder } from '../../helpers.ts';

const importing = suite('import');

const errorOf = (promise: Promise<unknown>): Promise<{ code?: string; message: string; file?: string; line?: number }> =>
  promise.then(
    () => assert.unreachable(),
    (error) => error,
  );

/** Orders, some of them repeated, of users and items with ids of every kind. */
function orders(rows: number, seed: number): { user: string; item: string; time: number }[] {
  const random = seededRandom(seed);
  return Array.from({ length: rows }, () => ({
    user: `C-${Math.floor(60 * random() ** 2)}`,
    item: `${['SKU ', '00', '+', 'ü,'][Math.floor(random() * 4)]}${Math.floor(40 * random() ** 2)}`,
    time: Math.floor(random() * 500),
  }));
}

const csvOf = (rows: readonly { user: string; item: string; time: number }[]): string =>
  `user,item,time\n${rows.map(({ user, item, time }) => `${user},"${item}",${time}`).join('\n')}\n`;

const pairsOf = ({ userIds, itemIds }: Dataset, { offsets, items }: Dataset['train']): string[] =>
  userIds.flatMap((user, row) => [...items.subarray(offsets[row], offsets[row + 1])].map((item) => `${user}\t${itemIds[item]}`));

/** Distinct pairs with their earliest time, as a plain program finds them. */
function plainPairs(rows: readonly { user: string; item: string; time: number }[]): Map<string, number> {
  const pairs = new Map<string, number>();
  for (const { user, item, time } of rows)
    pairs.set(`${user}\t${item}`, Math.min(time, pairs.get(`${user}\t${item}`) ?? Number.POSITIVE_INFINITY));
  return pairs;
}

function plainCore(pairs: Map<string, number>, k: number): Map<string, number> {
  for (let left = pairs; ; ) {
    const counts = new Map<string, number>();
    for (const pair of left.keys())
      for (const [i, id] of pair.split('\t').entries()) counts.set(`${i}${id}`, (counts.get(`${i}${id}`) ?? 0) + 1);
    const next = new Map([...left].filter(([pair]) => pair.split('\t').every((id, i) => counts.get(`${i}${id}`)! >= k)));
    if (next.size === left.size) return left;
    left = next;
  }
}

for (const seed of [1, 2, 3])
  importing(`distinct pairs, k-core and split by time are those of a plain program, seed ${seed}`, async () => {
    const rows = orders(900, seed);
    const path = join(folderWith({ 'o.csv': csvOf(rows) }), 'o.csv');
    const imported = await importTables({
      interactions: { path, user: 'user', item: 'item', time: 'time' },
      minInteractions: 4,
      testFraction: 0.2,
    });
    const expected = plainCore(plainPairs(rows), 4);
    const { report } = imported;
    assert.equal([report.rows, report.distinctPairs], [900, plainPairs(rows).size]);
    assert.is(report.pairs + report.unlearnable, expected.size);
    assert.ok(expected.size < plainPairs(rows).size, 'the core is a smaller set');
    const dataset = await imported.toDataset();
    const parts = [dataset.train, dataset.validation, dataset.test].map((part) => pairsOf(dataset, part));
    assert.ok(parts.flat().every((pair) => expected.has(pair)));
    assert.is(new Set(parts.flat()).size, report.pairs);
    const [train, validation, test] = parts.map((part) => part.map((pair) => expected.get(pair)!)) as [number[], number[], number[]];
    assert.ok(Math.max(...train) <= Math.min(...validation) && Math.max(...validation) <= Math.min(...test));
    assert.ok(Math.abs(test.length - 0.2 * expected.size) <= report.unlearnable + 1);
  });

const CATALOGUE = [
  'sku,brand,tags,price,goes with,material',
  'a,Nord,red | soft,10,b,wood',
  'b,Nord,red,20,zzz,wood',
  'c,"Acme, Inc.",,30,a,wood',
  'd,c,blue|blue,40,,wood',
  'nobody bought this,Nord,red,50,,steel',
].join('\n');
const ORDERS = ['who,what', ...['u', 'v', 'w'].flatMap((user) => ['a', 'b', 'c', 'd', 'e'].map((item) => `${user},${item}`))].join('\n');

function shop(): { folder: string; options: ImportOptions } {
  const folder = folderWith({ 'orders.csv': ORDERS, 'catalogue.csv': CATALOGUE });
  return {
    folder,
    options: {
      interactions: { path: join(folder, 'orders.csv'), user: 'who', item: 'what' },
      items: {
        path: join(folder, 'catalogue.csv'),
        item: 'sku',
        relations: [
          'brand',
          { column: 'tags', separator: '|' },
          { column: 'price', bins: 2 },
          { column: 'goes with', entities: 'item' },
          'material',
        ],
      },
      testFraction: 0.2,
      validationFraction: 0.2,
    },
  };
}

importing('attribute columns become triples: several values, classes of numbers, items, values apart by column', async () => {
  const { options } = shop();
  const imported = await importTables(options);
  const { triples, entityIds, relationIds } = await imported.toDataset();
  const named = [...triples.heads].map((head, i) =>
    [entityIds[head], relationIds[triples.relations[i]!], entityIds[triples.tails[i]!]].join(' → '),
  );
  assert.equal(named.sort(), [
    'a → brand → brand:Nord',
    'a → goes with → b',
    'a → material → material:wood',
    'a → price → price:10 to below 30',
    'a → tags → tags:red',
    'a → tags → tags:soft',
    'b → brand → brand:Nord',
    'b → material → material:wood',
    'b → price → price:10 to below 30',
    'b → tags → tags:red',
    'c → brand → brand:Acme, Inc.',
    'c → goes with → a',
    'c → material → material:wood',
    'c → price → price:30 to 40',
    'd → brand → brand:c', // the value c of a brand is not the item c
    'd → material → material:wood',
    'd → price → price:30 to 40',
    'd → tags → tags:blue',
  ]);
  const { report } = imported;
  assert.equal([report.itemsWithoutRow, report.unknownItems, report.unknownTargets], [1, 1, 1]);
  assert.match(report.relations.find(({ name }) => name === 'material')!.doubt ?? '', /one value covers 100 %/);
  assert.is(report.relations.find(({ name }) => name === 'brand')!.doubt, undefined);
});

for (const split of ['user', 'none'] as const)
  importing(`what is saved, split ${split}, is read as the same data set`, async () => {
    const { folder, options } = shop();
    const imported = await importTables({ ...options, split });
    const out = join(folder, 'out');
    await imported.save(out);
    const { report: ours, ...memory } = await imported.toDataset();
    const { report: theirs, ...disk } = await loadDataset(out);
    assert.equal(disk, memory);
    assert.equal([theirs.testSplit, theirs.validationSplit], [ours.testSplit, ours.validationSplit]);
    assert.is(ours.testInTrain, 0);
    assert.ok(readdirSync(out).includes('out.import.json'));
  });

importing('a split that is given', async () => {
  const folder = folderWith({ 'o.csv': 'u,i\na,x\na,y\nb,x\n', 't.csv': 'u,i\nb,y\nb,new\nnobody,x\n' });
  const imported = await importTables({ interactions: { path: join(folder, 'o.csv'), user: 'u', item: 'i' }, test: join(folder, 't.csv') });
  const dataset = await imported.toDataset({ validationFraction: 0 });
  assert.equal(pairsOf(dataset, dataset.train), ['a\tx', 'a\ty', 'b\tx']);
  assert.equal(pairsOf(dataset, dataset.test), ['b\ty']);
  assert.is(imported.report.unlearnable, 2);
});

importing('ratings below the least are left out', async () => {
  const folder = folderWith({ 'r.csv': 'u,i,stars\na,x,5\na,y,3.5\nb,x,\nb,y,4\n' });
  const interactions = { path: join(folder, 'r.csv'), user: 'u', item: 'i', rating: 'stars', minRating: 4 };
  const { report } = await importTables({ interactions, split: 'none' });
  assert.equal([report.lowRated, report.pairs], [2, 2]);
});

importing('a graph in N-Triples, by the id that the catalogue has for an item', async () => {
  const folder = folderWith({
    'o.csv': 'u,i\na,1\na,2\nb,1\n',
    'c.csv': 'i,iri\n1,http://d/One\n2,http://d/Two\n',
    'g.nt':
      '<http://d/One> <http://d/by> <http://d/Ann> .\n<http://d/Ann> <http://d/made> <http://d/Two> .\n<http://d/Ann> <http://d/born> <http://d/X> .\n<http://d/One> <http://d/name> "One" .\n',
  });
  const imported = await importTables({
    interactions: { path: join(folder, 'o.csv'), user: 'u', item: 'i' },
    items: { path: join(folder, 'c.csv'), item: 'i', relations: [], entity: 'iri' },
    triples: { path: join(folder, 'g.nt') },
    split: 'none',
  });
  const { triples, entityIds, relationIds } = await imported.toDataset();
  const named = [...triples.heads].map((head, i) => [entityIds[head], relationIds[triples.relations[i]!], entityIds[triples.tails[i]!]]);
  assert.equal(named, [
    ['1', 'http://d/by', 'http://d/Ann'],
    ['http://d/Ann', 'http://d/made', '2'],
  ]);
  assert.equal([imported.report.triplesElsewhere, imported.report.literals], [1, 1]);
});

for (const [label, content, line, expected] of [
  ['an empty user', 'u,i,t\n,x,1\n', 2, /the u is empty/],
  ['a line end in an id', 'u,i,t\na,x,1\n"b\nc",x,1\n', 4, /the u holds a control character, got "b\\u\{a\}c"/],
  ['a time that is none', 'u,i,t\na,x,1\na,y,yesterday\n', 3, /the t must be a number or a date.*got "yesterday"/],
  ['a day that is none', 'u,i,t\na,x,2024-13-01\n', 2, /the t must be a number or a date/],
] as const)
  importing(`refused with file and line: ${label}`, async () => {
    const path = join(folderWith({ 'o.csv': content }), 'o.csv');
    const error = await errorOf(importTables({ interactions: { path, user: 'u', item: 'i', time: 't' } }));
    assert.equal([error.code, error.file, error.line], ['ERR_HK_DATA', 'o.csv', line], error.message);
    assert.match(error.message, expected);
  });

importing('ids are text: no number is rounded, no zero lost', async () => {
  const ids = ['9007199254740993', '18446744073709551617', '007', '7', '+7', '1e3', '0x10', '-0', '1.50'];
  const path = join(folderWith({ 'o.csv': `u,i\n${ids.map((id) => `${id},${id}`).join('\n')}\n` }), 'o.csv');
  const { userIds, itemIds } = await (await importTables({ interactions: { path, user: 'u', item: 'i' }, split: 'none' })).toDataset();
  assert.equal([...userIds], ids);
  assert.equal([...itemIds], ids);
});

importing('nothing is overwritten unless asked, and nothing that no import wrote; nothing temporary is left', async () => {
  const { folder, options } = shop();
  const imported = await importTables(options);
  const out = join(folder, 'out');
  await imported.save(out);
  const before = readFileSync(join(out, 'out.kg'), 'utf8');
  assert.is((await errorOf(imported.save(out))).code, 'ERR_HK_IO');
  await imported.save(out, { replace: true });
  assert.is(readFileSync(join(out, 'out.kg'), 'utf8'), before);
  assert.match((await errorOf(imported.save(folder, { replace: true }))).message, /was not written by an import/);
  assert.is((await errorOf(imported.save(join(temporaryFolder(), 'no', 'such')))).code, 'ERR_HK_IO');
  assert.equal(readdirSync(folder).sort(), ['catalogue.csv', 'orders.csv', 'out']);
});

importing('wrong options are named', async () => {
  const interactions = { path: 'o.csv', user: 'u', item: 'i' };
  for (const [options, expected] of [
    [{ interactions, split: 'time' }, /split: 'time' needs interactions\.time/],
    [{ interactions, split: 'given' }, /split: 'given' goes with test/],
    [{ interactions, minInteractons: 3 }, /options\.minInteractons: no such option/],
    [{ interactions: { ...interactions, minRating: 3 } }, /interactions\.minRating: goes with interactions\.rating/],
    [{ interactions, items: { path: 'c', item: 'i', relations: ['a', 'a'] } }, /items\.relations: has "a" twice/],
    [{ interactions: { path: 'o.csv', user: 'u' } }, /interactions\.item: must be some text/],
    [{ interactions, testFraction: 1 }, /testFraction: /],
  ] as const)
    assert.match((await errorOf(importTables(options as unknown as ImportOptions))).message, expected);
});

importing('rows by time: those of a plain sort, for many more rows than one turn sorts', () => {
  const random = seededRandom(9);
  const values = Float64Array.from({ length: 70_001 }, () => Math.floor(random() * 300));
  const expected = [...values.keys()].sort((a, b) => values[a]! - values[b]! || a - b);
  assert.equal([...finish(orderOf(values))], expected);
});

importing.run();
