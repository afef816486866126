import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { bestOnValidation, popularity, rankBy, Scores } from '../../lib/controls.ts';
import { createDataset, type Dataset, loadDataset } from '../../lib/data/dataset.ts';
import { finish } from '../../lib/data/steps.ts';
import { synthetic } from '../../lib/data/synthetic.ts';
import { evaluateRanking, meanMetrics } from '../../lib/evaluate.ts';
import { alternatingLeastSquares, ease, implicitAls, inverseOf } from '../../lib/linear-controls.ts';
import { dataFolder, seededRandom } from '../helpers.ts';
import { randomData } from './random-data.ts';

const linear = suite('linear controls');

/** X of a data set. */
function denseOf({ users, items, train }: Dataset): number[][] {
  const dense = Array.from({ length: users }, () => new Array<number>(items).fill(0));
  for (let user = 0; user < users; ++user)
    for (const item of train.items.subarray(train.offsets[user], train.offsets[user + 1])) dense[user]![item] = 1;
  return dense;
}

const transpose = (a: number[][]): number[][] => a[0]!.map((_, j) => a.map((row) => row[j]!));
const multiply = (a: number[][], b: number[][]): number[][] =>
  a.map((row) => transpose(b).map((column) => column.reduce((sum, value, k) => sum + value * row[k]!, 0)));

const rowsOf = (table: Float64Array, dim: number): number[][] =>
  Array.from({ length: table.length / dim }, (_, row) => [...table.subarray(row * dim, (row + 1) * dim)]);

/** By Gauss and Jordan. */
function invert(matrix: number[][]): number[][] {
  const n = matrix.length;
  const rows = matrix.map((row, i) => [...row, ...row.map((_, j) => Number(i === j))]);
  for (let k = 0; k < n; ++k) {
    const pivot = rows[k]![k]!;
    rows[k] = rows[k]!.map((value) => value / pivot);
    for (let i = 0; i < n; ++i) if (i !== k) rows[i] = less(rows[i]!, rows[i]![k]!, rows[k]!);
  }
  return rows.map((row) => row.slice(n));
}
const less = (row: number[], times: number, other: number[]): number[] => row.map((value, j) => value - times * other[j]!);

function scoresOf(
  dataset: Dataset,
  scorer: { add(user: number, weight: number, scores: Scores): void },
  user: number,
  weight = 1,
): number[] {
  const scores = new Scores(dataset.items);
  scorer.add(user, weight, scores);
  return [...scores.values];
}

linear('the inverse of a symmetric positive definite matrix', () => {
  const random = seededRandom(7);
  for (const size of [1, 2, 3, 5, 8, 21]) {
    const a = Array.from({ length: size + 2 }, () => Array.from({ length: size }, () => 2 * random() - 1));
    const matrix = multiply(transpose(a), a).map((row, i) => row.map((value, j) => value + (i === j ? 0.1 : 0)));
    const found = finish(inverseOf(Float64Array.from(matrix.flat()), size));
    invert(matrix)
      .flat()
      .forEach((expected, i) => {
        assert.ok(
          Math.abs(found[i]! - expected) <= 1e-9 * (1 + Math.abs(expected)),
          `size ${size}, element ${i}: ${found[i]}, not ${expected}`,
        );
      });
  }
});

for (const [users, items] of [
  [9, 14],
  [14, 9],
  [6, 6],
] as const)
  linear(`EASE is its closed form, ${users} users and ${items} items`, async () => {
    const dataset = randomData(users, items, users);
    const x = denseOf(dataset);
    const regularization = 2.5;
    const gram = multiply(transpose(x), x).map((row, i) => row.map((value, j) => value + (i === j ? regularization : 0)));
    const p = invert(gram);
    const weights = p.map((row, i) => row.map((value, j) => (i === j ? 0 : -value / p[j]![j]!)));
    const expected = multiply(x, weights);
    const scorer = ease(dataset, regularization);
    await scorer.prepare();
    for (let user = 0; user < dataset.users; ++user) {
      const found = scoresOf(dataset, scorer, user, 2);
      for (let item = 0; item < dataset.items; ++item) {
        if (x[user]![item] === 1) continue; // never ranked
        const score = 2 * Math.max(0, expected[user]![item]!);
        assert.ok(Math.abs(found[item]! - score) <= 1e-9, `user ${user}, item ${item}: ${found[item]}, not ${score}`);
      }
    }
  });

linear('EASE says where it is too large', () => {
  const side = 5001;
  const interactions = Array.from({ length: side }, (_, i) => ({ user: i, item: i }));
  const large = createDataset({ interactions, triples: [] }, { validationFraction: 0 });
  assert.throws(() => ease(large), /EASE inverts a matrix of users or of items: 5001 and 5001 are both more than 5000/);
  assert.throws(() => ease(large, 0), /^regularization: /);
});

/** The objective of the docstring over all pairs, and its gradient. */
function objective(dataset: Dataset, users: number[][], items: number[][], unobserved: number, regularization: number) {
  const x = denseOf(dataset);
  const count = (row: number[]) => row.reduce((sum, value) => sum + value, 0);
  let value = 0;
  const onUsers = users.map((row) => row.map(() => 0));
  const onItems = items.map((row) => row.map(() => 0));
  const addPair = (u: number, i: number) => {
    const product = users[u]!.reduce((sum, factor, k) => sum + factor * items[i]![k]!, 0);
    const error = x[u]![i]! * (product - 1);
    value += x[u]![i]! * (product - 1) ** 2 + unobserved * product ** 2;
    for (let k = 0; k < users[u]!.length; ++k) {
      onUsers[u]![k]! += 2 * (error + unobserved * product) * items[i]![k]!;
      onItems[i]![k]! += 2 * (error + unobserved * product) * users[u]![k]!;
    }
  };
  for (let u = 0; u < users.length; ++u) for (let i = 0; i < items.length; ++i) addPair(u, i);
  const shrink = (rows: number[][], gradient: number[][], interactions: number[][], others: number) => {
    rows.forEach((row, r) => {
      const ridge = regularization * (count(interactions[r]!) + unobserved * others);
      row.forEach((factor, k) => {
        value += ridge * factor ** 2;
        gradient[r]![k]! += 2 * ridge * factor;
      });
    });
  };
  shrink(users, onUsers, x, items.length);
  shrink(items, onItems, transpose(x), users.length);
  return { value, onUsers, onItems };
}

for (const dim of [3, 40])
  linear(
    `iALS: what the last half-sweep solves for is a minimum of the dense objective, and in the end both sides are, ${dim} factors`,
    () => {
      const dataset = randomData(11, 8, 3);
      const options = { dim, unobserved: 1.6, regularization: 0.05, steps: 12 };
      let last = Number.POSITIVE_INFINITY;
      for (const sweeps of [1, 2, 5, 400]) {
        const { users, items } = finish(alternatingLeastSquares(dataset, { ...options, sweeps }));
        const { value, onUsers, onItems } = objective(
          dataset,
          rowsOf(users, dim),
          rowsOf(items, dim),
          options.unobserved / dataset.items,
          options.regularization,
        );
        for (const slope of onItems.flat()) assert.ok(Math.abs(slope) <= 1e-8, `slope ${slope} on an item after ${sweeps} sweeps`);
        if (sweeps === 400) for (const slope of onUsers.flat()) assert.ok(Math.abs(slope) <= 1e-6, `slope ${slope} on a user`);
        assert.ok(value < last, `${value} after ${last}`);
        last = value;
      }
    },
  );

linear('iALS: a few steps of conjugate gradients come nearly to the same', () => {
  const dataset = randomData(11, 8, 3);
  const options = { dim: 4, unobserved: 1.6, regularization: 0.05, sweeps: 300 };
  const lossOf = (steps: number) => {
    const { users, items } = finish(alternatingLeastSquares(dataset, { ...options, steps }));
    return objective(dataset, rowsOf(users, 4), rowsOf(items, 4), options.unobserved / dataset.items, options.regularization).value;
  };
  const exact = lossOf(12);
  const few = lossOf(3);
  assert.ok(few >= exact - 1e-9 && few <= 1.001 * exact, `${few} against ${exact}`);
});

linear('iALS ranks by inner products, and its scores are those', async () => {
  const dataset = randomData(11, 8, 5);
  const options = { dim: 3, sweeps: 4 };
  const { users, items } = finish(alternatingLeastSquares(dataset, options));
  const scorer = implicitAls(dataset, options);
  await scorer.prepare();
  const exclude = { offsets: Uint32Array.of(0, 1, 1), items: Uint32Array.of(2) };
  const ranked = await rankBy(scorer, dataset)(Uint32Array.of(4, 7), 8, exclude);
  for (const [place, user] of [4, 7].entries()) {
    const products = rowsOf(items, 3).map((row) => row.reduce((sum, value, k) => sum + value * users[user * 3 + k]!, 0));
    const order = products
      .map((product, item) => ({ product, item }))
      .filter(({ item }) => place === 1 || item !== 2)
      .sort((a, b) => b.product - a.product);
    assert.equal(
      [...ranked.subarray(place * 8, place * 8 + order.length)],
      order.map(({ item }) => item),
    );
    products.forEach((product, item) => {
      assert.ok(Math.abs(scoresOf(dataset, scorer, user, 3)[item]! - 3 * Math.max(0, product)) <= 1e-12);
    });
  }
});

linear('bad options throw and name the option', () => {
  const dataset = randomData(4, 4, 1);
  assert.throws(() => implicitAls(dataset, { dim: 0 }), /^dim: /);
  assert.throws(() => implicitAls(dataset, { factors: 8 } as object), /^options\.factors: /);
});

linear('on the synthetic world they beat popularity; the candidate that is taken is the best on validation', async () => {
  const dataset = synthetic();
  const recall = async (scorer: Parameters<typeof rankBy>[0], split: 'test' | 'validation') =>
    meanMetrics(await evaluateRanking(rankBy(scorer, dataset), dataset, { split })).recall[20]!;
  const least = await recall(popularity(dataset), 'test');
  const candidates = [...[0.003, 0.03].map((regularization) => implicitAls(dataset, { dim: 16, regularization })), ease(dataset)];
  for (const scorer of candidates) assert.ok((await recall(scorer, 'test')) > 1.3 * least);
  const best = bestOnValidation([popularity(dataset), ...candidates], dataset);
  await best.prepare();
  const all = [];
  for (const scorer of [popularity(dataset), ...candidates]) all.push(await recall(scorer, 'validation'));
  assert.is(best.chosen, all.indexOf(Math.max(...all)));
  assert.is(await recall(best, 'test'), await recall([popularity(dataset), ...candidates][best.chosen]!, 'test'));
});

/** Test recall@20 and NDCG@20 within a few thousandths of what is known of these methods on this data. */
const folder = dataFolder('lastfm-hetrec');
if (folder)
  linear('lastfm-hetrec: iALS and EASE', async () => {
    const dataset = await loadDataset(folder);
    for (const [scorer, recall, ndcg] of [
      [implicitAls(dataset), 0.375, 0.235],
      [ease(dataset), 0.36, 0.22],
    ] as const) {
      const metrics = meanMetrics(await evaluateRanking(rankBy(scorer, dataset), dataset));
      assert.ok(Math.abs(metrics.recall[20]! - recall) <= 0.012, `${metrics.recall[20]}`);
      assert.ok(Math.abs(metrics.ndcg[20]! - ndcg) <= 0.012, `${metrics.ndcg[20]}`);
    }
  });

linear.run();
