import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { bprFactors, bprMf } from '../../lib/bpr-mf.ts';
import { unseenItem } from '../../lib/data/csr.ts';
import { popularity, rankBy, Scores } from '../../lib/controls.ts';
import { createDataset } from '../../lib/data/dataset.ts';
import { Random } from '../../lib/data/random.ts';
import { finish } from '../../lib/data/steps.ts';
import { synthetic } from '../../lib/data/synthetic.ts';
import { evaluateRanking, meanMetrics } from '../../lib/evaluate.ts';
import { randomData } from './random-data.ts';

const bpr = suite('BPR-MF');

bpr('the unseen item of a rank is the one in the list of those that the user has not', () => {
  const { users, items, train } = randomData(30, 23, 4);
  for (let user = 0; user < users; ++user) {
    const own = new Set(train.items.subarray(train.offsets[user], train.offsets[user + 1]));
    const unseen = Array.from({ length: items }, (_, item) => item).filter((item) => !own.has(item));
    assert.equal(
      unseen.map((_, rank) => unseenItem(train, user, rank)),
      unseen,
    );
  }
});

/** −ln σ(s(u, i) − s(u, j)) + λ/2·(squares of what moves), as the docstring has it. */
function lossOf(x: number[], y: number[], z: number[], b: number, c: number, regularization: number): number {
  const product = (p: number[], q: number[]) => p.reduce((sum, value, k) => sum + value * q[k]!, 0);
  const squares = product(x, x) + product(y, y) + product(z, z) + b * b + c * c;
  return Math.log1p(Math.exp(product(x, z) + c - product(x, y) - b)) + (regularization / 2) * squares;
}

bpr('every sample takes one step down the gradient of its loss, by finite differences', () => {
  // One user with one of two items: every sample is (0, i, j).
  const interactions = [
    { user: 'u', item: 'i' },
    { user: 'v', item: 'i' },
    { user: 'v', item: 'j' },
  ];
  const dataset = createDataset({ interactions, triples: [] }, { validationFraction: 0 });
  const [dim, rate, regularization] = [3, 0.1, 0.3];
  const before = finish(bprFactors(dataset, { dim, epochs: 0, seed: 8 }));
  const after = finish(bprFactors(dataset, { dim, epochs: 1, learningRate: rate, regularization, seed: 8 }));
  // v has every item: its samples are passed over. The others are u's, their rate falls to 0 over the 3 samples.
  const draws = new Random(8, 13);
  for (let k = 0; k < dim * 4; ++k) draws.uniform();
  const [i, j] = [dataset.itemIds.indexOf('i'), dataset.itemIds.indexOf('j')];
  const row = (table: Float64Array, at: number) => [...table.subarray(at * (dim + 1), at * (dim + 1) + dim)];
  let values = [...row(before.users, 0), ...row(before.items, i), ...row(before.items, j), 0, 0];
  const loss = (all: number[]) => lossOf(all.slice(0, 3), all.slice(3, 6), all.slice(6, 9), all[9]!, all[10]!, regularization);
  let steps = 0;
  for (let sample = 0; sample < 3; ++sample) {
    if (draws.below(3) !== 0) continue;
    draws.below(1);
    ++steps;
    const gradient = values.map((_, k) => {
      const moved = (by: number) => loss(values.map((value, other) => (other === k ? value + by : value)));
      return (moved(1e-5) - moved(-1e-5)) / 2e-5;
    });
    values = values.map((value, k) => value - rate * (1 - sample / 3) * gradient[k]!);
  }
  assert.ok(steps > 0, 'a sample of u was drawn');
  const found = [...row(after.users, 0), ...row(after.items, i), ...row(after.items, j), after.items[i * 4 + 3]!, after.items[j * 4 + 3]!];
  found.forEach((value, k) => {
    assert.ok(Math.abs(value - values[k]!) <= 1e-8, `number ${k}: ${value}, not ${values[k]}`);
  });
  assert.equal(after.users[3], 1);
});

bpr('it is reproducible, finds who likes what, and beats popularity', async () => {
  const world = synthetic({ seed: 2 });
  const scorer = bprMf(world, { dim: 32 });
  const recallOf = async (ranked: ReturnType<typeof rankBy>) => meanMetrics(await evaluateRanking(ranked, world)).recall[20]!;
  const [recall, least] = [await recallOf(rankBy(scorer, world)), await recallOf(rankBy(popularity(world), world))];
  assert.ok(recall > 1.3 * least, `recall ${recall}, popularity ${least}`);
  const small = randomData(20, 30, 1);
  const [one, again, other] = [1, 1, 2].map((seed) => finish(bprFactors(small, { seed, epochs: 5 })));
  assert.equal(one, again);
  assert.not.equal(one!.users, other!.users);
});

bpr('scores are inner products and biases, none below 0', async () => {
  const small = randomData(20, 30, 1);
  const scorer = bprMf(small, { dim: 4, epochs: 20 });
  await scorer.prepare();
  const { users, items, dim } = finish(bprFactors(small, { dim: 4, epochs: 20 }));
  const scores = new Scores(small.items);
  scorer.add(3, 2, scores);
  for (let item = 0; item < small.items; ++item) {
    let expected = 0;
    for (let k = 0; k < dim; ++k) expected += users[3 * dim + k]! * items[item * dim + k]!;
    assert.ok(Math.abs(scores.values[item]! - 2 * Math.max(0, expected)) <= 1e-12);
  }
  assert.ok(new Set(scores.values).size > 5);
});

bpr('bad options are refused', () => {
  const small = randomData(5, 6, 1);
  for (const [options, pattern] of [
    [{ dim: 0 }, /^dim: /],
    [{ learningRate: 0 }, /^learningRate: /],
    [{ regularization: -1 }, /^regularization: /],
    [{ epochs: 1.5 }, /^epochs: /],
    [{ rate: 1 }, /rate/],
  ] as const)
    assert.throws(() => bprMf(small, options as object), pattern);
});

bpr.run();
