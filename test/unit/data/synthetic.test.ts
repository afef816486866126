import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Dataset } from '../../../lib/data/dataset.ts';
import { synthetic, type SyntheticOptions } from '../../../lib/data/synthetic.ts';
import { workClock } from '../../helpers.ts';

function fingerprint({ train, validation, test, triples, graph }: Dataset): string {
  const hash = createHash('sha256');
  for (const part of [train, validation, test, triples, graph]) for (const column of Object.values(part)) hash.update(column);
  return hash.digest('hex').slice(0, 16);
}

function degrees(...parts: { offsets: Uint32Array }[]): number[] {
  return Array.from({ length: parts[0]!.offsets.length - 1 }, (_, row) =>
    parts.reduce((sum, { offsets }) => sum + offsets[row + 1]! - offsets[row]!, 0),
  );
}

test('the world: the same for a seed, on every platform', () => {
  assert.is(fingerprint(synthetic()), '60f9471e8ade0722');
  assert.is(fingerprint(synthetic({ seed: 1 })), '60f9471e8ade0722');
  assert.is.not(fingerprint(synthetic({ seed: 2 })), '60f9471e8ade0722');
});

test('the world: sizes as documented', () => {
  const dataset = synthetic();
  assert.equal([dataset.users, dataset.items], [600, 800]);
  assert.ok(dataset.triples.heads.length >= 4900 && dataset.triples.heads.length <= 5100);
  const each = degrees(dataset.train, dataset.validation, dataset.test);
  assert.ok(Math.min(...each) === 8 && Math.max(...each) === 14);
  assert.equal([dataset.report.source, dataset.report.testSplit, dataset.report.itemsWithoutTriples], ['synthetic', 'random', 0]);
  assert.is(new Set(dataset.entityIds).size, dataset.entities);
  const larger = synthetic({ users: 50, items: 2000, interactionsPerUser: [3, 4], inverse: true });
  assert.equal([larger.users, larger.items, larger.relations], [50, 2000, 2 * dataset.relations]);
  const smallest = synthetic({ users: 1, items: 40, interactionsPerUser: [20, 20], validationFraction: 0 });
  assert.equal(degrees(smallest.train, smallest.test), [20]);
});

/** How much more often than by chance two items of a user share their told category, among training and test items. */
function lift(dataset: Dataset): number {
  const category = Array.from({ length: dataset.items }, (_, item) => dataset.graph.tails[dataset.graph.offsets[item]!]!);
  assert.ok(category.every((entity) => String(dataset.entityIds[entity]).startsWith('category-')));
  let [same, pairs] = [0, 0];
  for (let user = 0; user < dataset.users; ++user) {
    const learned = dataset.train.items.subarray(dataset.train.offsets[user], dataset.train.offsets[user + 1]);
    for (let i = dataset.test.offsets[user]!; i < dataset.test.offsets[user + 1]!; ++i)
      for (const item of learned) {
        ++pairs;
        if (category[item] === category[dataset.test.items[i]!]) ++same;
      }
  }
  const sizes = new Map<number, number>();
  for (const entity of category) sizes.set(entity, (sizes.get(entity) ?? 0) + 1);
  const chance = [...sizes.values()].reduce((sum, size) => sum + (size / dataset.items) ** 2, 0);
  return same / pairs / chance;
}

test('the world: true triples tell of what users like, false ones do not', () => {
  const [truth, half, lies] = [1, 0.5, 0].map((truthful) => lift(synthetic({ truthful })));
  assert.ok(truth! > 5, `lift ${truth} where all is true`);
  assert.ok(half! > 1.5 && half! < truth! / 2, `lift ${half} where half is`);
  assert.ok(Math.abs(lies! - 1) < 0.3, `lift ${lies} where nothing is`);
});

const shapes: [NonNullable<SyntheticOptions['shape']>, counts: number[]][] = [
  ['last-fm', [23566, 48123, 106389, 9, 464567, 1289003, 423635, 349929]],
  ['amazon-book', [70679, 24915, 113487, 39, 2557746, 652514, 193920, 1918310]],
  ['yelp2018', [45919, 45538, 136499, 42, 1853704, 930032, 253578, 1390278]],
];

for (const [shape, counts] of shapes) {
  test(`the shape of ${shape}: its counts, ten interactions at least, power laws`, () => {
    const work = workClock();
    const dataset = synthetic({ shape });
    const seconds = work() / 1000;
    const { users, items, entities, relations, triples, train, validation, test, graph, report } = dataset;
    const learned = train.items.length + validation.items.length;
    assert.equal([users, items, entities, relations, triples.heads.length, learned, test.items.length, graph.tails.length], counts);
    assert.equal([report.repeatedTrain, report.repeatedTest, report.testInTrain, report.repeatedTriples], [0, 0, 0, 0]);
    const byUser = degrees(train, validation, test);
    const byItem = new Array<number>(items).fill(0);
    for (const part of [train, validation, test]) for (const item of part.items) byItem[item]!++;
    for (const each of [byUser, byItem]) {
      each.sort((a, b) => b - a);
      assert.ok(each.at(-1)! >= 10);
      // Above the least degree, a power law with rank^(−1/2): ranks 1 and 100 are a factor of ten apart.
      const ratio = (each[0]! - 10) / (each[99]! - 10);
      assert.ok(ratio > 8 && ratio < 13, `ratio ${ratio}`);
    }
    assert.ok(Math.min(...degrees(graph)) >= 1);
    if (shape === 'last-fm') {
      assert.equal([report.largestInDegree, report.selfLoops, Math.max(...degrees(graph))], [64386, 2430, 56]);
      let fromItems = 0;
      const hub = triples.tails[triples.relations.indexOf(0)]!;
      for (const tail of graph.tails) if (tail === hub) ++fromItems;
      assert.is(fromItems, 46228);
    }
    assert.ok(seconds < 10, `${seconds} s`);
  });
}

test('the largest shape takes less than 1 GiB', () => {
  const module = new URL('../../../lib/data/synthetic.ts', import.meta.url).href;
  const program = `import { synthetic } from '${module}'; synthetic({ shape: 'amazon-book' }); console.log(process.resourceUsage().maxRSS);`;
  const kilobytes = Number(
    execFileSync(process.execPath, ['--import', 'tsx', '--input-type=module', '--eval', program], { encoding: 'utf8' }),
  );
  assert.ok(kilobytes > 1000 && kilobytes < 1024 * 1024, `${kilobytes} KiB`);
});

test('the shapes: the seed decides', () => {
  const [first, again, other] = [1, 1, 2].map((seed) => fingerprint(synthetic({ shape: 'last-fm', seed })));
  assert.is(first, again);
  assert.is.not(first, other);
});

test('bad options are refused by name', () => {
  for (const [options, name] of [
    [{ shape: 'movielens' }, 'shape'],
    [{ shape: 'last-fm', items: 100 }, 'items'],
    [{ users: 0 }, 'users'],
    [{ items: 39 }, 'items'],
    [{ truthful: 1.1 }, 'truthful'],
    [{ interactionsPerUser: 5 }, 'interactionsPerUser'],
    [{ interactionsPerUser: [5, 4] }, 'interactionsPerUser'],
    [{ interactionsPerUser: [5, 500] }, 'interactionsPerUser'],
    [{ seed: 'x' }, 'seed'],
    [{ sheep: 'last-fm' }, 'sheep'],
  ] as const)
    assert.throws(
      () => synthetic(options as never),
      (error: unknown) => (error instanceof TypeError || error instanceof RangeError) && error.message.includes(name),
      name,
    );
});

test.run();
