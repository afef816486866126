import { existsSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type Dataset, type Interactions, loadDataset } from '../../../../lib/data/dataset.ts';
import { formats } from '../../../../lib/data/formats/index.ts';
import { fixture, folderWith } from '../../../helpers.ts';

function pairsOf(parts: Interactions[]): string[] {
  return parts
    .flatMap(({ offsets, items }) =>
      Array.from({ length: offsets.length - 1 }, (_, user) =>
        [...items.subarray(offsets[user], offsets[user + 1])].map((item) => `${user}-${item}`),
      ),
    )
    .flat();
}

/** The triples by the colour of their items, whatever the names. */
function colours({ graph, items }: Dataset): number[][] {
  return Array.from({ length: items }, (_, item) => [...graph.tails.subarray(graph.offsets[item], graph.offsets[item + 1])]);
}

for (const name of Object.keys(formats)) {
  test(`${name}: has a fixture, which is the checkerboard`, async () => {
    assert.ok(existsSync(fixture(name)), `test/fixtures/${name} is missing`);
    for (const seed of [1, 2]) {
      const dataset = await loadDataset(fixture(name), { seed });
      assert.equal([dataset.users, dataset.items, dataset.entities, dataset.relations], [12, 12, 15, 2]);
      assert.equal(dataset.report.source, name);
      const pairs = pairsOf([dataset.train, dataset.validation, dataset.test]);
      assert.is(pairs.length, 72);
      assert.is(new Set(pairs).size, 72);
      const number = (id: string | number) => Number(String(id).replace(/^\D*/, ''));
      for (const pair of pairs) {
        const [user, item] = pair.split('-').map(Number) as [number, number];
        assert.is((number(dataset.userIds[user]!) + number(dataset.itemIds[item]!)) % 2, 0, pair);
      }
      const byItem = colours(dataset);
      assert.ok(byItem.every((tails) => tails.length === 1 && tails[0]! >= 12));
      byItem.forEach(([colour], item) => {
        const alike = number(dataset.itemIds[item]!) % 2 === number(dataset.itemIds[0]!) % 2;
        assert.is(colour === byItem[0]![0], alike);
      });
      assert.is(dataset.triples.heads.length, 14);
    }
  });
}

test('a folder in no form, in two forms, and none at all', async () => {
  const errorOf = (path: string) =>
    loadDataset(path).then(
      () => assert.unreachable(),
      (error) => error,
    );
  const none = await errorOf(folderWith({ 'notes.md': 'x' }));
  assert.is(none.code, 'ERR_HK_FORMAT');
  assert.match(none.message, /train\.txt.*NAME\.inter/);
  const two = await errorOf(folderWith({ 'train.txt': '0 1\n', 'x.inter': 'user_id:token\titem_id:token\na\tb\n' }));
  assert.is(two.code, 'ERR_HK_FORMAT');
  const missing = await errorOf('no/such/folder');
  assert.equal([missing.code, missing.file], ['ERR_HK_IO', 'folder']);
  assert.match(missing.message, 'folder: does not exist');
  const file = await errorOf(`${fixture('kgat')}/train.txt`);
  assert.equal([file.code, file.file], ['ERR_HK_IO', 'train.txt']);
  assert.match(file.message, 'is not a folder');
});

test.run();
