import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createDataset, loadDataset } from '../../../lib/data/dataset.ts';
import { diagnose } from '../../../lib/data/diagnose.ts';
import { dataFolder, folderWith } from '../../helpers.ts';

const diagnosing = suite('diagnose');

diagnosing('a data set with one of everything', async () => {
  const folder = folderWith({
    'train.txt': '0 0 1 1\n1 1 2\n2\n', // a repeat; user 2 has nothing
    'test.txt': '0 1 2\n1 0\n', // 1 is known already
    'kg_final.txt': '0 0 3\n1 0 3\n2 0 3\n0 0 3\n1 1 1\n4 0 5\n', // a repeat, a self-loop, and 4 → 5 far from all items
  });
  const { findings, counts, hubs, unreachableEntities, core } = await diagnose(await loadDataset(folder, { validationFraction: 0 }));
  const found = Object.fromEntries(findings.map(({ level, code }) => [code, level]));
  assert.equal(found, {
    'test-in-train': 'error',
    'repeated-train': 'warning',
    'repeated-triples': 'warning',
    'self-loops': 'warning',
    'users-without-train': 'warning',
    'users-without-test': 'warning',
    'unreachable-entities': 'warning',
    hub: 'warning',
  });
  assert.equal([counts.users, counts.items, counts.entities, counts.triples, counts.train, counts.test], [3, 3, 6, 5, 4, 2]);
  assert.equal(hubs, [{ entity: '3', triples: 3, share: 0.6 }]);
  assert.is(unreachableEntities, 2);
  assert.is(core, 0);
});

diagnosing('a clean one', async () => {
  const all = ['a', 'b', 'c'].flatMap((user) => ['x', 'y'].map((item) => ({ user, item })));
  const triples = [
    { head: 'x', relation: 'r', tail: 'one' },
    { head: 'y', relation: 'r', tail: 'two' },
  ];
  const data = createDataset({ interactions: all, triples, test: ['a', 'b', 'c'].map((user) => ({ user, item: 'z' })) });
  const { findings, core, published } = await diagnose(data);
  assert.equal(
    findings.map(({ level, code }) => [level, code]),
    [
      ['warning', 'items-without-triples'],
      ['ok', 'no-leak'],
    ],
  );
  assert.equal([core, published], [3, null]);
});

diagnosing('published data sets are known by their counts and digests', async () => {
  const folder = dataFolder('amazon-book');
  if (!folder) return;
  const { published } = await diagnose(await loadDataset(folder));
  assert.is(published!.name, 'amazon-book');
  assert.equal([published!.differs, published!.sameFiles], [[], ['train.txt', 'test.txt']]);
});

diagnosing('what training cannot reach in Last-FM', async () => {
  const folder = dataFolder('last-fm-resplit');
  if (!folder) return;
  const { unreachableEntities, selfLoops, hubs, published } = await diagnose(await loadDataset(folder));
  assert.equal([unreachableEntities, selfLoops, hubs[0]!.triples], [19_401, 2_430, 64_386]);
  assert.is(published!.name, 'last-fm');
  assert.ok(published!.matches.includes('triples 464,567') && published!.differs.some((text) => text.startsWith('train ')));
});

diagnosing.run();
