import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { attributeKnn, blend, itemKnn, popularity, rankBy, type Scorer, Scores, validatedBlend } from '../../lib/controls.ts';
import { createDataset, type Dataset, loadDataset } from '../../lib/data/dataset.ts';
import { synthetic } from '../../lib/data/synthetic.ts';
import { evaluateRanking, meanMetrics } from '../../lib/evaluate.ts';
import { dataFolder } from '../helpers.ts';

const controls = suite('controls');

// Items a … e are rows 0 … 4; user w has them all but e.
const tiny = createDataset(
  {
    interactions: [
      ...['a', 'b'].map((item) => ({ user: 'u', item })),
      ...['b', 'c'].map((item) => ({ user: 'v', item })),
      ...['a', 'b', 'c', 'd'].map((item) => ({ user: 'w', item })),
      { user: 'x', item: 'e' },
    ],
    triples: [
      { head: 'a', relation: 'colour', tail: 'red' },
      { head: 'b', relation: 'colour', tail: 'red' },
      { head: 'a', relation: 'shape', tail: 'round' },
      { head: 'e', relation: 'shape', tail: 'round' },
      { head: 'e', relation: 'colour', tail: 'blue' },
    ],
  },
  { validationFraction: 0 },
);

async function scoresOf(scorer: Scorer, user: number): Promise<number[]> {
  await scorer.prepare();
  const scores = new Scores(tiny.items);
  scorer.add(user, 1, scores);
  return [...scores.values];
}

const near = (actual: number[], expected: number[]) => {
  assert.is(actual.length, expected.length);
  actual.forEach((value, i) => {
    assert.ok(Math.abs(value - expected[i]!) <= 1e-12, `item ${i}: ${value}, not ${expected[i]}`);
  });
};

controls('popularity counts training interactions', async () => {
  near(await scoresOf(popularity(tiny), 0), [2, 3, 2, 1, 1]);
});

controls('item-kNN: sums of cosines over the user’s items', async () => {
  // Users of a: u w; b: u v w; c: v w; d: w; e: x. User u has a and b.
  const cosine = (both: number, one: number, other: number) => both / Math.sqrt(one * other);
  const ab = cosine(2, 2, 3);
  near(await scoresOf(itemKnn(tiny, { shrinkage: 0 }), 0), [
    ab,
    ab,
    cosine(1, 2, 2) + cosine(2, 3, 2),
    cosine(1, 2, 1) + cosine(1, 3, 1),
    0,
  ]);
});

controls('item-kNN: shrinkage is added to the denominator, few neighbours are the nearest ones', async () => {
  const scores = await scoresOf(itemKnn(tiny, { shrinkage: 2, neighbors: 1 }), 0);
  const ab = 2 / (Math.sqrt(6) + 2);
  // a's nearest is b; b's are a and c alike, of which a is the smaller row.
  near(scores, [ab, ab, 0, 0, 0]);
});

controls('attribute-kNN: cosines of idf-weighted (relation, tail) pairs', async () => {
  const pair = Math.log(5 / 2);
  const [a, b, e] = [Math.hypot(pair, pair), pair, Math.hypot(pair, Math.log(5))];
  near(await scoresOf(attributeKnn(tiny), 0), [(pair * pair) / (a * b), (pair * pair) / (a * b), 0, 0, (pair * pair) / (a * e)]);
});

controls('attribute-kNN: what more than half of the items have counts for nothing', async () => {
  const interactions = ['a', 'b', 'c', 'd'].map((item) => ({ user: 'u', item }));
  const triples = ['a', 'b', 'c'].map((head) => ({ head, relation: 'is', tail: 'thing' }));
  const scorer = attributeKnn(createDataset({ interactions, triples }, { validationFraction: 0 }));
  await scorer.prepare();
  const scores = new Scores(4);
  scorer.add(0, 1, scores);
  assert.equal([...scores.items], []);
});

controls('a blend weighs scores divided by their largest', async () => {
  const [a, b] = [itemKnn(tiny), attributeKnn(tiny)];
  const [one, other] = [await scoresOf(a, 0), await scoresOf(b, 0)];
  const expected = one.map((score, item) => (0.3 * score) / Math.max(...one) + (0.7 * other[item]!) / Math.max(...other));
  near(await scoresOf(blend(a, b, 0.3), 0), expected);
  assert.throws(() => blend(a, b, 1.5), /share: /);
});

controls('ranking: best first, ties by smaller item, unknown items last, excluded ones never', async () => {
  const scores = [0, 5, 0, 5, 7];
  const scorer: Scorer = {
    items: 5,
    prepare: async () => {},
    add: (_user, weight, into) => {
      for (const item of [4, 3, 1]) into.add(item, weight * scores[item]!);
    },
  };
  const rank = rankBy(scorer, tiny);
  const exclude = { offsets: Uint32Array.of(0, 0, 2), items: Uint32Array.of(0, 4) };
  assert.equal([...(await rank(Uint32Array.of(0, 1), 5, exclude))], [4, 1, 3, 0, 2, 1, 3, 2, 0xffffffff, 0xffffffff]);
  assert.equal([...(await rank(Uint32Array.of(0, 1), 2, exclude))], [4, 1, 1, 3]);
  const popular = await rankBy(popularity(tiny), tiny)(Uint32Array.of(0, 1), 5, exclude);
  assert.equal([...popular], [1, 0, 2, 3, 4, 1, 2, 3, 0xffffffff, 0xffffffff]);
});

controls('on the synthetic world neighbours beat popularity, and the validated blend is no worse than the worse of its parts', async () => {
  const dataset = synthetic();
  const recall = async (scorer: Scorer) => meanMetrics(await evaluateRanking(rankBy(scorer, dataset), dataset)).recall[20]!;
  const [a, b] = [itemKnn(dataset), attributeKnn(dataset)];
  const [least, one, other] = [await recall(popularity(dataset)), await recall(a), await recall(b)];
  assert.ok(one > 1.5 * least, `item-kNN ${one}, popularity ${least}`);
  const both = await recall(validatedBlend(a, b, dataset));
  assert.ok(both >= Math.min(one, other), `blend ${both}, parts ${one} and ${other}`);
});

/** Test recall@20 and NDCG@20 within a few thousandths of what is known of these methods on this data. */
const known: [name: string, scorer: (dataset: Dataset) => Scorer, recall: number, ndcg: number][] = [
  ['popularity', popularity, 0.195, 0.099],
  ['item-kNN', itemKnn, 0.357, 0.221],
];
const folder = dataFolder('lastfm-hetrec');
if (folder)
  for (const [name, scorer, recall, ndcg] of known)
    controls(`lastfm-hetrec: ${name}`, async () => {
      const dataset = await loadDataset(folder);
      const metrics = meanMetrics(await evaluateRanking(rankBy(scorer(dataset), dataset), dataset));
      assert.ok(Math.abs(metrics.recall[20]! - recall) <= 0.006, `${metrics.recall[20]}`);
      assert.ok(Math.abs(metrics.ndcg[20]! - ndcg) <= 0.006, `${metrics.ndcg[20]}`);
    });

controls.run();
