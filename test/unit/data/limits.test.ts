// More rows than offsets of 32 bits can count are refused by name. The real limit takes tens of gigabytes: here it is planted at two blocks of a list.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { hasInteraction, limits, TooManyRows, Uint32List } from '../../../lib/data/csr.ts';
import { createDataset, loadDataset } from '../../../lib/data/dataset.ts';
import type { HyperKnowError } from '../../../lib/errors.ts';
import { finish, PIECE } from '../../../lib/data/steps.ts';
import { folderWith } from '../../helpers.ts';

const MOST = 2 * PIECE;

const limit = suite('limits');

limit.before.each(() => {
  limits.rows = MOST;
});
limit.after.each(() => {
  limits.rows = 2 ** 31;
});

const ITEMS = 400;
const pairs = (count: number): [user: number, item: number][] =>
  Array.from({ length: count }, (_, i) => [Math.floor(i / ITEMS), i % ITEMS]);
const triples = (count: number): [number, number, number][] =>
  Array.from({ length: count }, (_, i) => [i % ITEMS, 0, Math.floor(i / ITEMS)]);

const kgat = (train: number, test: number, graph: number) =>
  folderWith({
    'train.txt': pairs(train)
      .map((row) => `${row.join(' ')}\n`)
      .join(''),
    'test.txt': pairs(test)
      .map((row) => `${row.join(' ')}\n`)
      .join(''),
    'kg_final.txt': triples(graph)
      .map((row) => `${row.join(' ')}\n`)
      .join(''),
  });

const recbole = (train: number, graph: number) =>
  folderWith({
    'shop.inter': `user_id:token\titem_id:token\n${pairs(train)
      .map((row) => `${row.join('\t')}\n`)
      .join('')}`,
    'shop.kg': `head_id:token\trelation_id:token\ttail_id:token\n${triples(graph)
      .map((row) => `${row.join('\t')}\n`)
      .join('')}`,
  });

const given = (train: number, graph: number) => ({
  interactions: pairs(train).map(([user, item]) => ({ user, item })),
  triples: triples(graph).map(([head, relation, tail]) => ({ head, relation, tail })),
});

async function refusalOf(work: () => unknown): Promise<HyperKnowError> {
  try {
    await work();
  } catch (error) {
    return error as HyperKnowError;
  }
  throw new Error('nothing was refused');
}

limit('as many rows as there may be are counted right, in every form', async () => {
  for (const dataset of [
    await loadDataset(kgat(MOST, MOST, MOST), { validationFraction: 0 }),
    await loadDataset(recbole(MOST, MOST), { validationFraction: 0 }),
    createDataset(given(MOST, MOST), { validationFraction: 0 }),
  ]) {
    const { train, test, report, triples: read, graph } = dataset;
    assert.is(train.items.length + test.items.length + report.testInTrain, report.source === 'kgat' ? 2 * MOST : MOST);
    assert.is(read.heads.length, MOST);
    assert.is(graph.tails.length, MOST);
    assert.ok(report.source === 'recbole' || hasInteraction(train, Math.floor((MOST - 1) / ITEMS), (MOST - 1) % ITEMS));
  }
});

limit('one more is refused, with the limit, the file and the line', async () => {
  const message = new RegExp(`a data set has at most ${MOST} interactions in a split, and as many triples`);
  for (const [file, line, folder] of [
    ['train.txt', MOST + 1, kgat(MOST + 1, 1, 1)],
    ['test.txt', MOST + 1, kgat(1, MOST + 1, 1)],
    ['kg_final.txt', MOST + 1, kgat(1, 1, MOST + 1)],
    ['shop.inter', MOST + 2, recbole(MOST + 1, 1)],
    ['shop.kg', MOST + 2, recbole(1, MOST + 1)],
  ] as const) {
    const error = await refusalOf(() => loadDataset(folder));
    assert.is(error.code, 'ERR_HK_DATA', String(error));
    assert.match(error.message, message);
    assert.is(error.file, file);
    assert.is(error.line, line);
  }
  for (const data of [given(MOST + 1, 1), given(1, MOST + 1)]) {
    const error = await refusalOf(() => createDataset(data));
    assert.is(error.code, 'ERR_HK_DATA', String(error));
    assert.match(error.message, message);
  }
});

limit('so is a graph that its inverses make too large', async () => {
  const half = given(10, MOST / 2);
  half.triples = half.triples.map((triple) => ({ ...triple, tail: triple.tail % 10 }));
  const distinct = new Set(half.triples.map((triple) => JSON.stringify(triple))).size;
  assert.ok(createDataset(half, { inverse: true }).graph.tails.length > 0);
  limits.rows = distinct;
  const error = await refusalOf(() => createDataset(half, { inverse: true }));
  assert.is(error.code, 'ERR_HK_DATA', String(error));
  assert.match(error.message, /triples in its graph, inverses included/);
});

limit('planted: without a limit nothing is refused', () => {
  limits.rows = 2 ** 31;
  const list = new Uint32List();
  for (let i = 0; i <= MOST; ++i) list.push(i);
  assert.is(finish(list.take()).length, MOST + 1);
  limits.rows = MOST;
  assert.throws(
    () => {
      for (let i = 0; i <= MOST; ++i) list.push(i);
    },
    (error: unknown) => error instanceof TooManyRows,
  );
});

limit.run();
