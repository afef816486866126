import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createDataset, type Dataset } from '../../lib/data/dataset.ts';
import { synthetic } from '../../lib/data/synthetic.ts';
import { evaluate, evaluateBothSplits, evaluatePerUser, evaluateRanking, meanMetrics, type Rank } from '../../lib/evaluate.ts';
import { METRICS } from '../../lib/metrics.ts';
import type { Model } from '../../lib/model.ts';
import { train } from '../../lib/train.ts';

const evaluation = suite('evaluation');

const dataset = synthetic({ users: 60, items: 80, interactionsPerUser: [6, 10], seed: 3 });
let model: Model;
evaluation.before(async () => {
  model = await train(dataset, { dim: 8, epochs: 4, batchSize: 128, seed: 2 });
});

const itemsOf = ({ offsets, items }: Dataset['train'], user: number) => [...items.subarray(offsets[user], offsets[user + 1])];

/** Float64 distances from the definition, sorted. */
function rankingOf(user: number, excluded: number[]): number[] {
  const { users, entities, dim, curvature: c } = model;
  const row = (table: Float32Array, i: number) => [...table.subarray(i * dim, (i + 1) * dim)];
  const square = (x: number[]) => x.reduce((sum, value) => sum + value * value, 0);
  const u = row(users, user);
  const distance = (item: number) => {
    const v = row(entities, item);
    const between = square(u.map((value, i) => value - v[i]!));
    return Math.acosh(1 + (2 * c * between) / ((1 - c * square(u)) * (1 - c * square(v))));
  };
  return Array.from({ length: dataset.items }, (_, item) => item)
    .filter((item) => !excluded.includes(item))
    .map((item) => ({ item, d: distance(item) }))
    .sort((a, b) => a.d - b.d)
    .map(({ item }) => item);
}

for (const split of ['test', 'validation'] as const)
  for (const ndcg of ['standard', 'kgat'] as const)
    evaluation(`full ranking by definition: ${split}, ${ndcg}`, async () => {
      const cutOffs = [1, 5, 20, 200];
      const perUser = await evaluatePerUser(model, dataset, { k: cutOffs, split, ndcg });
      const expected: number[] = [];
      for (let user = 0; user < dataset.users; ++user) if (itemsOf(dataset[split], user).length > 0) expected.push(user);
      assert.equal([...perUser.users], expected);
      expected.forEach((user, position) => {
        const excluded = [...itemsOf(dataset.train, user), ...(split === 'test' ? itemsOf(dataset.validation, user) : [])];
        const wanted = itemsOf(dataset[split], user);
        const list = { hits: Uint8Array.from(rankingOf(user, excluded), (item) => Number(wanted.includes(item))), relevant: wanted.length };
        for (const k of cutOffs)
          for (const name of ['recall', 'ndcg', 'precision', 'hitRate', 'mrr'] as const) {
            const metric = METRICS[name === 'ndcg' && ndcg === 'kgat' ? 'ndcgKgat' : name];
            assert.is(perUser[name][k]![position], metric.value(list, k), `user ${user}, ${name}@${k}`);
          }
      });
    });

evaluation('means are those of the users, k defaults to 20, both definitions at once', async () => {
  const metrics = await evaluate(model, dataset);
  const both = await evaluatePerUser(model, dataset, { ndcg: 'both', threads: 1 });
  const kgat = await evaluate(model, dataset, { ndcg: 'kgat' });
  assert.equal(Object.keys(metrics.recall), ['20']);
  assert.is(metrics.users, both.users.length);
  for (const name of ['recall', 'ndcg', 'precision', 'hitRate', 'mrr'] as const)
    assert.is(metrics[name][20], both[name][20]!.reduce((sum, value) => sum + value, 0) / both.users.length);
  assert.equal(meanMetrics(both).ndcgKgat, kgat.ndcg);
  assert.ok(metrics.recall[20]! > 0 && metrics.recall[20]! < 1);
  assert.is(metrics.ndcgKgat, undefined);
});

evaluation('a ranking that puts the test items first is perfect; an empty one is worth nothing', async () => {
  const perfect: Rank = async (users, k) => {
    const ranked = new Uint32Array(users.length * k).fill(0xffffffff);
    users.forEach((user, i) => {
      ranked.set(itemsOf(dataset.test, user), i * k);
    });
    return ranked;
  };
  const best = meanMetrics(await evaluateRanking(perfect, dataset, { ndcg: 'both' }));
  for (const values of [best.recall, best.ndcg, best.ndcgKgat!, best.hitRate, best.mrr]) assert.ok(Math.abs(values[20]! - 1) <= 1e-12);
  const nothing: Rank = async (users, k) => new Uint32Array(users.length * k).fill(0xffffffff);
  const worst = meanMetrics(await evaluateRanking(nothing, dataset, { ndcg: 'both' }));
  for (const values of [worst.recall, worst.ndcg, worst.ndcgKgat!, worst.precision, worst.hitRate, worst.mrr]) assert.is(values[20], 0);
});

evaluation('an empty split has no users, and no mean', async () => {
  const data = createDataset({ interactions: [{ user: 1, item: 1 }], triples: [] });
  const metrics = await evaluate(await train(data, { dim: 2, epochs: 1 }), data);
  assert.is(metrics.users, 0);
  assert.ok(Number.isNaN(metrics.recall[20]));
});

evaluation('both splits from one list of each user: the numbers of two evaluations, with however many validation items', async () => {
  // User 0 has 35 of 200 items to be found in validation, user 1 has 32, user 2 none, user 3 nothing in the test split.
  const to = [35, 32, 0, 4, 1];
  const given = synthetic({ users: to.length, items: 200, interactionsPerUser: [3, 3], validationFraction: 0, seed: 8 });
  const lists = to.map((count, user) => {
    const known = [...itemsOf(given.train, user), ...itemsOf(given.test, user)];
    return Array.from({ length: 200 }, (_, item) => item)
      .filter((item) => item % 5 !== user && !known.includes(item))
      .slice(0, count);
  });
  const csr = (items: number[][]) => ({
    offsets: Uint32Array.from([0, ...items].keys(), (user) => items.slice(0, user).flat().length),
    items: Uint32Array.from(items.flat()),
  });
  const test = csr(to.map((_, user) => (user === 3 ? [] : itemsOf(given.test, user))));
  const data: Dataset = { ...given, validation: csr(lists), test };
  const asked: [users: number, k: number][] = [];
  const byNumber: Rank = async (users, k, { offsets, items }) => {
    asked.push([users.length, k]);
    const ranked = new Uint32Array(users.length * k).fill(0xffffffff);
    for (const i of users.keys()) {
      const left = new Set(items.subarray(offsets[i], offsets[i + 1]));
      const order = Array.from({ length: 200 }, (_, place) => (place * 67 + 31 * users[i]!) % 200).filter((item) => !left.has(item));
      ranked.set(order.slice(0, k), i * k);
    }
    return ranked;
  };
  for (const k of [20, 200]) {
    asked.length = 0;
    const both = await evaluateBothSplits(byNumber, data, { validation: { k: [5, k] }, test: { k, ndcg: 'both' } });
    assert.equal(asked.flat(), k === 20 ? [5, 132, 1, 100] : [5, 200, 1, 200]); // all, then those with too many validation items
    assert.equal(both.validation, await evaluateRanking(byNumber, data, { k: [5, k], split: 'validation' }));
    assert.equal(both.test, await evaluateRanking(byNumber, data, { k, ndcg: 'both' }));
  }
});

evaluation('bad arguments', async () => {
  const rejects = async (promise: Promise<unknown>, pattern: RegExp) => {
    const error = await promise.then(
      () => undefined,
      (reason: Error) => reason,
    );
    assert.ok(error instanceof TypeError || error instanceof RangeError, `${error}`);
    assert.match(error.message, pattern);
  };
  await rejects(evaluate(model, dataset, { k: 0 }), /^k: /);
  await rejects(evaluate(model, dataset, { k: [5, 1.5] }), /^k\[1\]: /);
  await rejects(evaluate(model, dataset, { k: [] }), /^k: /);
  await rejects(evaluate(model, dataset, { split: 'train' as 'test' }), /^split: /);
  await rejects(evaluate(model, dataset, { ndcg: 'other' as 'both' }), /^ndcg: /);
  await rejects(evaluate(model, dataset, { ndgc: 'kgat' } as object), /^options.ndgc: /);
  await rejects(evaluate({} as Model, dataset), /^model: /);
  await rejects(evaluate(model, {} as Dataset), /^dataset: /);
  await rejects(evaluate(model, synthetic({ users: 61, items: 80 })), /^dataset: has 61 users, the model 60/);
});

evaluation.run();
