import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { createDataset, type Dataset, type Id, type Interactions, loadDataset } from '../../../lib/data/dataset.ts';
import { dataFolder, fixture, folderWith, seededRandom, workClock } from '../../helpers.ts';

const rowsOf = ({ offsets, items }: Interactions) =>
  Array.from({ length: offsets.length - 1 }, (_, user) => [...items.subarray(offsets[user], offsets[user + 1])]);

const interaction = (user: Id, item: Id) => ({ user, item });
const triple = (head: Id, relation: Id, tail: Id) => ({ head, relation, tail });

/** What must hold of every data set. */
function checkDataset(dataset: Dataset): void {
  const { users, items, entities, relations, train, validation, test, triples, graph } = dataset;
  for (const part of [train, validation, test]) {
    assert.instance(part.offsets, Uint32Array);
    assert.instance(part.items, Uint32Array);
    assert.is(part.offsets.length, users + 1);
    assert.is(part.offsets[0], 0);
    assert.is(part.offsets[users], part.items.length);
  }
  const rows = [train, validation, test].map(rowsOf);
  for (let user = 0; user < users; ++user) {
    const all = rows.flatMap((part) => part[user]!);
    assert.is(new Set(all).size, all.length, `the parts of user ${user} are disjoint`);
    for (const part of rows)
      for (let i = 0; i < part[user]!.length; ++i) assert.ok(part[user]![i]! < items && (i === 0 || part[user]![i - 1]! < part[user]![i]!));
  }
  assert.is(graph.offsets.length, items + 1);
  assert.is(graph.offsets[items], graph.tails.length);
  assert.is(graph.relations.length, graph.tails.length);
  assert.ok(graph.relations.every((relation) => relation < relations) && graph.tails.every((tail) => tail < entities));
  for (let item = 0; item < items; ++item)
    for (let k = graph.offsets[item]! + 1; k < graph.offsets[item + 1]!; ++k) {
      const [before, now] = [k - 1, k].map((at) => graph.relations[at]! * entities + graph.tails[at]!) as [number, number];
      assert.ok(before < now, `the triples of item ${item} are sorted and distinct`);
    }
  assert.ok(items <= entities);
  assert.ok(triples.heads.every((head) => head < entities) && triples.tails.every((tail) => tail < entities));
  assert.equal(
    [dataset.userIds, dataset.itemIds, dataset.entityIds, dataset.relationIds].map((ids) => ids.length),
    [users, items, entities, relations],
  );
  for (const ids of [dataset.userIds, dataset.itemIds, dataset.entityIds, dataset.relationIds]) assert.is(new Set(ids).size, ids.length);
}

test('createDataset: ids in order of appearance, items first among the entities', () => {
  const dataset = createDataset(
    {
      interactions: [interaction('ann', 7), interaction('bob', 'x'), interaction('ann', '7'), interaction('ann', 7)],
      test: [interaction('bob', 7), interaction('cid', 'y'), interaction('ann', 7), interaction('bob', 7)],
      triples: [triple('z', 'r', 7), triple(7, 'r', 'z'), triple('y', 's', 'y'), triple(7, 'r', 'z')],
    },
    { validationFraction: 0 },
  );
  checkDataset(dataset);
  assert.equal(dataset.userIds, ['ann', 'bob', 'cid']);
  assert.equal(dataset.itemIds, [7, 'x', '7', 'y']);
  assert.equal(dataset.entityIds, [7, 'x', '7', 'y', 'z']);
  assert.equal(dataset.relationIds, ['r', 's']);
  assert.equal(rowsOf(dataset.train), [[0, 2], [1], []]);
  assert.equal(rowsOf(dataset.test), [[], [0], [3]]);
  assert.equal(
    [[...dataset.triples.heads], [...dataset.triples.relations], [...dataset.triples.tails]],
    [
      [4, 0, 3],
      [0, 0, 1],
      [0, 4, 3],
    ],
  );
  assert.equal(dataset.graph, { offsets: Uint32Array.of(0, 1, 1, 1, 2), relations: Uint32Array.of(0, 1), tails: Uint32Array.of(4, 3) });
  const {
    repeatedTrain,
    repeatedTest,
    testInTrain,
    repeatedTriples,
    selfLoops,
    itemsWithoutTriples,
    usersWithoutTrain,
    usersWithoutTest,
    largestInDegree,
  } = dataset.report;
  assert.equal([repeatedTrain, repeatedTest, testInTrain, repeatedTriples], [1, 1, 1, 1]);
  assert.equal([selfLoops, itemsWithoutTriples, usersWithoutTrain, usersWithoutTest, largestInDegree], [1, 2, 1, 1, 1]);
});

test('createDataset: inverses', () => {
  const triples = [triple('a', 1, 'b'), triple('e', '^1', 'a'), triple('e', 1, 'f'), triple('b', 1, 'b')];
  const dataset = createDataset({ interactions: [interaction(1, 'a'), interaction(1, 'b')], triples }, { inverse: true });
  checkDataset(dataset);
  assert.is(dataset.relations, 4);
  assert.equal(dataset.relationIds, [1, '^1', '^^1', '^^^1']);
  // a: (a 1 b), (a inverse-of-^1 e); b: (b 1 b), (b inverse-of-1 a), (b inverse-of-1 b)
  assert.equal(dataset.graph.offsets, Uint32Array.of(0, 2, 5));
  assert.equal(dataset.graph.relations, Uint32Array.of(0, 3, 0, 2, 2));
  assert.equal(dataset.graph.tails, Uint32Array.of(1, 2, 1, 0, 1));
  assert.is(dataset.triples.heads.length, 4);
});

test('createDataset takes any iterable and reads it once', () => {
  let reads = 0;
  const interactions = {
    *[Symbol.iterator]() {
      ++reads;
      yield* [interaction(1, 2), interaction(2, 3)];
    },
  };
  const dataset = createDataset({ interactions, triples: new Set([triple(2, 0, 9)]) });
  assert.is(reads, 1);
  assert.equal([dataset.users, dataset.items, dataset.entities], [2, 2, 3]);
  assert.is(dataset.report.testSplit, 'absent');
});

test('createDataset: what is wrong, and where', () => {
  const good = { interactions: [interaction(1, 2)], triples: [triple(2, 0, 3)], test: [interaction(1, 2)] };
  // biome-ignore lint/suspicious/noExplicitAny: wrong types on purpose
  const errorOf = (data: any, options?: any): Error & { code: string } => {
    try {
      createDataset(data, options);
    } catch (error) {
      return error as Error & { code: string };
    }
    throw new Error('was accepted');
  };
  const malformed: [unknown, RegExp][] = [
    [{ ...good, interactions: [...new Array(17).fill(interaction(1, 2)), interaction(1.5, 2)] }, /^interactions\[17\]\.user: .*1\.5/],
    [{ ...good, interactions: [{ user: 1 }] }, /^interactions\[0\]\.item: .*undefined/],
    [{ ...good, interactions: [null] }, /^interactions\[0\]: .*null/],
    [{ ...good, interactions: [] }, /^interactions: /],
    [{ ...good, test: [interaction(1, Number.NaN)] }, /^test\[0\]\.item: .*NaN/],
    [{ ...good, test: ['ab'] }, /^test\[0\]: .*"ab"/],
    [{ ...good, triples: [triple(2, 0, 3), triple(2, true as never, 3)] }, /^triples\[1\]\.relation: .*true/],
    [{ ...good, triples: [triple(2, 0, 2 ** 53)] }, /^triples\[0\]\.tail: .*9007199254740992/],
    [{ ...good, triples: [triple('\udfff', 0, 2)] }, /^triples\[0\]\.head: .*surrogate/],
  ];
  for (const [data, message] of malformed) {
    const error = errorOf(data);
    assert.is(error.code, 'ERR_HK_DATA');
    assert.match(error.message, message);
  }
  for (const [data, options, name] of [
    [{ interactions: 5, triples: [] }, {}, 'interactions'],
    [{ interactions: [interaction(1, 2)] }, {}, 'triples'],
    [null, {}, 'data'],
    [{ ...good, triplets: [] }, {}, 'triplets'],
    [good, { inverse: 1 }, 'inverse'],
    [good, { validationFraction: 1.5 }, 'validationFraction'],
    [good, { validationFraction: Number.NaN }, 'validationFraction'],
    [good, { seed: -1 }, 'seed'],
    [good, { seed: 0.5 }, 'seed'],
    [good, { fraction: 0.5 }, 'fraction'],
  ] as const) {
    const error = errorOf(data, options);
    assert.ok(error instanceof TypeError || error instanceof RangeError, `${name}: ${error.stack}`);
    assert.match(error.message, name);
  }
});

test('the validation split: a tenth unless asked otherwise, the seed decides', async () => {
  const sizes = async (options: Parameters<typeof loadDataset>[1]) => {
    const dataset = await loadDataset(fixture('kgat'), options);
    checkDataset(dataset);
    return [dataset.train.items.length, dataset.validation.items.length];
  };
  assert.equal(await sizes({}), [54, 6]);
  assert.equal(await sizes({ validationFraction: 0 }), [60, 0]);
  assert.equal(await sizes({ validationFraction: 0.5 }), [30, 30]);
  assert.equal(await sizes({ validationFraction: 1 }), [12, 48]);
  const held = async (seed: number) => String((await loadDataset(fixture('kgat'), { seed })).validation.items);
  assert.is(await held(5), await held(5));
  assert.is(new Set(await Promise.all([1, 2, 3, 4].map(held))).size, 4);
});

test('ids of KGAT files are the dense ids', async () => {
  const dataset = await loadDataset(fixture('kgat'), { inverse: true });
  checkDataset(dataset);
  assert.equal(dataset.relationIds, [0, 1, 2, 3]);
  assert.equal([dataset.userIds[11], dataset.itemIds[3], dataset.entityIds[14]], [11, 3, 14]);
  assert.equal(dataset.report.options, { inverse: true, validationFraction: 0.1, seed: 1 });
});

test('a split that is given is kept, what training holds already is dropped from it', async () => {
  const lines = (...pairs: string[]) => `user_id:token\titem_id:token\n${pairs.map((pair) => `${pair.replace(' ', '\t')}\n`).join('')}`;
  const folder = folderWith({
    'x.train.inter': lines('a A', 'b B', 'a A'),
    'x.valid.inter': lines('a B', 'a A', 'a B'),
    'x.test.inter': lines('a C', 'a A', 'a B', 'b A'),
  });
  const dataset = await loadDataset(folder, { validationFraction: 0.5 });
  checkDataset(dataset);
  assert.equal([dataset.train, dataset.validation, dataset.test].map(rowsOf), [
    [[0], [1]],
    [[1], []],
    [[2], [0]],
  ]);
  const { validationSplit, testSplit, repeatedTrain, repeatedValidation, validationInTrain, testInTrain } = dataset.report;
  assert.equal([validationSplit, testSplit], ['given', 'given']);
  assert.equal([repeatedTrain, repeatedValidation, validationInTrain, testInTrain], [1, 1, 1, 2]);
});

test('degenerate data', async () => {
  const one = createDataset({ interactions: [interaction(0, 0)], triples: [] });
  checkDataset(one);
  assert.equal(
    [one.users, one.items, one.entities, one.relations, one.train.items.length, one.validation.items.length],
    [1, 1, 1, 0, 1, 0],
  );
  checkDataset(createDataset({ interactions: [interaction(0, 0)], triples: [] }, { inverse: true }));

  const everything = Array.from({ length: 30 }, (_, item) => interaction('all', item));
  const greedy = createDataset(
    { interactions: [...everything, interaction('few', 3)], triples: [triple(3, 'r', 4)] },
    { validationFraction: 0.9 },
  );
  checkDataset(greedy);
  assert.is(greedy.report.itemsWithoutTriples, 29);
  assert.is(greedy.validation.items.length, 28);

  const untrained = await loadDataset(folderWith({ 'train.txt': '2 5\n', 'test.txt': '0 1\n1 \n' }));
  checkDataset(untrained);
  assert.equal([untrained.users, untrained.items], [3, 6]);
  assert.equal([untrained.report.usersWithoutTrain, untrained.report.usersWithoutTest], [2, 2]);
  const loops = createDataset({ interactions: [interaction(0, 'i')], triples: [triple('i', 'r', 'i')] }, { inverse: true });
  checkDataset(loops);
  assert.equal([...loops.graph.relations], [0, 1]);
});

test('a bad path is an argument error', async () => {
  for (const path of [undefined, 5, '', null])
    await loadDataset(path as never).then(
      () => assert.unreachable(),
      (error) => assert.ok(error instanceof TypeError && error.message.includes('path')),
    );
});

// users, items, entities, relations, triples, training and validation, test, triples with an item as head, self-loops
const real: Record<string, number[]> = {
  'lastfm-hetrec': [1872, 3846, 9366, 60, 15518, 16928, 4245, 15518, 49],
  'book-crossing': [17860, 14967, 77903, 25, 151500, 58598, 11275, 19876, 0],
  'last-fm-resplit': [23566, 48123, 106389, 9, 464567, 338272, 85363, 349929, 2430],
  'amazon-book': [70679, 24915, 24915, 0, 0, 652514, 193920, 0, 0],
};

for (const [name, expected] of Object.entries(real)) {
  test(`the published counts of ${name}`, async () => {
    const folder = dataFolder(name);
    if (!folder) return;
    const work = workClock();
    const dataset = await loadDataset(folder);
    const milliseconds = work();
    checkDataset(dataset);
    const { users, items, entities, relations, triples, train, validation, test, graph, report } = dataset;
    const learned = train.items.length + validation.items.length;
    assert.equal(
      [users, items, entities, relations, triples.heads.length, learned, test.items.length, graph.tails.length, report.selfLoops],
      expected,
    );
    assert.is(validation.items.length, Math.round(learned / 10));
    assert.equal([report.repeatedTrain, report.repeatedTest, report.testInTrain, report.repeatedTriples], [0, 0, 0, 0]);
    if (name === 'amazon-book') assert.is(report.usersWithoutTest, 88);
    if (name === 'last-fm-resplit') {
      assert.is(report.largestInDegree, 64386);
      assert.is(report.files[2]!.sha256, '8e3c22a89543f8827fb056044774474f9a9dddd9ff648a264b8ea316807c1f54');
    }
    assert.ok(milliseconds < 2000, `${milliseconds} ms`);
  });
}

test('10 MB of triples in 0.8 s, the event loop free', async () => {
  const random = seededRandom(9);
  const lines = Array.from(
    { length: 600_000 },
    () => `${Math.floor(random() * 100_000)} ${Math.floor(random() * 30)} ${Math.floor(random() ** 2 * 200_000)}`,
  );
  const folder = folderWith({ 'train.txt': '0 1\n1 30000\n', 'kg_final.txt': `${lines.join('\n')}\n` });
  const distinct = new Set(lines).size;
  // The best of three: another process may have the processor.
  const times: { milliseconds: number; turns: number }[] = [];
  for (let i = 0; i < 3; ++i) {
    let turns = 0;
    const timer = setInterval(() => ++turns, 1);
    const work = workClock();
    const dataset = await loadDataset(folder);
    const milliseconds = work();
    clearInterval(timer);
    assert.is(dataset.triples.heads.length, distinct);
    assert.ok(dataset.report.files[1]!.bytes > 8e6);
    times.push({ milliseconds, turns });
  }
  const milliseconds = Math.min(...times.map((time) => time.milliseconds));
  assert.ok(milliseconds < 800, `${milliseconds} ms`);
  for (const { milliseconds, turns } of times)
    assert.ok(turns > milliseconds / 20, `${turns} turns of the event loop in ${milliseconds} ms of work`);
});

test('string ids that are alike take no longer than random ones', () => {
  const random = seededRandom(1);
  const time = (name: (i: number) => string) => {
    const interactions = Array.from({ length: 100_000 }, (_, i) => interaction(0, name(i)));
    const work = workClock();
    assert.is(createDataset({ interactions, triples: [] }).items, 100_000);
    return work();
  };
  const apart = time((i) => `${random()}-${i}`);
  // All of one length, with one sum and one exclusive-or of their characters, as weak hashes would have it.
  const alike = time((i) => [...i.toString(2).padStart(17, '0')].map((bit) => (bit === '0' ? 'AaBB' : 'BBAa')).join(''));
  assert.ok(alike <= 3 * apart + 100, `${alike} ms against ${apart} ms`);
});

test.run();
