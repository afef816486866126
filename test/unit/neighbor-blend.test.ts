// Blending neighbours into lists, against a plain search over all items in float64 with the scores of the controls.
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { attributeKnn, itemKnn, Scores } from '../../lib/controls.ts';
import { createDataset, type Dataset } from '../../lib/data/dataset.ts';
import { synthetic } from '../../lib/data/synthetic.ts';
import { finish } from '../../lib/data/steps.ts';
import { isBlended } from '../../lib/embedding.ts';
import { evaluate, evaluatePerUser } from '../../lib/evaluate.ts';
import { Model } from '../../lib/model.ts';
import { blendedRanking, trainItems } from '../../lib/neighbor-blend.ts';
import type { TrainOptions } from '../../lib/options.ts';
import { BLEND_WEIGHTS } from '../../lib/presets.ts';
import { readTensors, writeTensors } from '../../lib/safetensors.ts';
import { train } from '../../lib/train.ts';
import { temporaryFolder } from '../helpers.ts';

const blending = suite('neighbor blend');

const numbers = (count: number) => Array.from({ length: count }, (_, i) => i);
const world = synthetic({ users: 150, items: 400, interactionsPerUser: [5, 30], seed: 3 });
/** Rows are the ids. */
const dataset: Dataset = { ...world, userIds: numbers(world.users), itemIds: numbers(world.items), entityIds: numbers(world.entities) };
const settings = { dim: 8, epochs: 4, batchSize: 256, backend: 'cpu', seed: 1 } as const;
const weights = { itemKnn: 0.3, attributeKnn: 0.25 };

const folder = temporaryFolder();

const models = new Map<string, Promise<Model>>();
function modelOf(options: TrainOptions): Promise<Model> {
  const key = JSON.stringify(options);
  if (!models.has(key)) models.set(key, Promise.resolve(train(dataset, { ...settings, ...options })));
  return models.get(key)!;
}

/** d(x, y) by artanh of the Möbius sum's length, written down once more. */
function distanceOf(x: Float32Array, y: Float32Array, c: number): number {
  let [square, xx, yy] = [0, 0, 0];
  for (let i = 0; i < x.length; ++i) {
    square += (x[i]! - y[i]!) ** 2;
    xx += x[i]! ** 2;
    yy += y[i]! ** 2;
  }
  if (c === 0) return 2 * Math.sqrt(square);
  return Math.acosh(1 + (2 * c * square) / ((1 - c * xx) * (1 - c * yy))) / Math.sqrt(c);
}

/** Scores of all items for one user by the definition. */
async function scoresOf(
  model: Model,
  data: Dataset,
  point: Float32Array,
  user: number | undefined,
  given: typeof weights,
): Promise<number[]> {
  const distances = model.itemIds.map((_, v) =>
    distanceOf(point, model.entities.subarray(v * model.dim, (v + 1) * model.dim), model.curvature),
  );
  const own = new Set(user === undefined ? [] : data.train.items.subarray(data.train.offsets[user], data.train.offsets[user + 1]));
  const others = model.itemIds.map((_, v) => v).filter((v) => !own.has(v));
  const nearest = Math.min(...others.map((v) => distances[v]!));
  const parts: number[][] = [];
  for (const scorer of [itemKnn(data), attributeKnn(data)]) {
    await scorer.prepare();
    const scores = new Scores(data.items);
    if (user !== undefined) scorer.add(user, 1, scores);
    const most = Math.max(...others.map((v) => scores.values[v]!));
    parts.push(Array.from(scores.values, (score) => (most > 0 ? score / most : 0)));
  }
  const rest = 1 - given.itemKnn - given.attributeKnn;
  return distances.map(
    (distance, v) => rest * Math.exp((nearest - distance) / 2) + given.itemKnn * parts[0]![v]! + given.attributeKnn * parts[1]![v]!,
  );
}

/** Whether the list has the k largest scores of the allowed items, best first, up to what rounding may exchange. */
function checkList(
  list: { item: unknown; score?: number }[],
  scores: number[],
  k: number,
  isAllowed: (v: number) => boolean,
  what: string,
) {
  const sorted = scores.map((score, v) => ({ score, v })).filter(({ v }) => isAllowed(v));
  sorted.sort((a, b) => b.score - a.score || a.v - b.v);
  assert.is(list.length, Math.min(k, sorted.length), what);
  for (const [place, { item, score }] of list.entries()) {
    const expected = sorted[place]!;
    const close = (value: number) => Math.abs(value - expected.score) <= 1e-9 * Math.max(1e-30, expected.score);
    assert.ok(close(score!), `${what}, place ${place}: ${score}, not ${expected.score}`);
    assert.ok(item === expected.v || close(scores[item as number]!), `${what}, place ${place}: item ${item}, not ${expected.v}`);
  }
}

blending('lists are those of a search over all items in float64', async () => {
  for (const options of [
    { neighborBlend: weights },
    { neighborBlend: { itemKnn: 0.9 } },
    { neighborBlend: { attributeKnn: 0.05 }, variant: 'bpr-att-e', sharedEntities: true, sharedUsers: true },
    { neighborBlend: weights, curvature: 1, loss: 'sampled-softmax', sharedUsers: true },
  ] as const) {
    const model = await modelOf(options);
    const given = { itemKnn: 0, attributeKnn: 0, ...options.neighborBlend };
    assert.equal({ itemKnn: model.blend!.itemKnn, attributeKnn: model.blend!.attributeKnn }, given);
    for (let user = 0; user < dataset.users; user += 7) {
      const point = model.users.subarray(user * model.dim, (user + 1) * model.dim);
      const scores = await scoresOf(model, dataset, point, user, given);
      const seen = new Set(model.seen.items.subarray(model.seen.offsets[user], model.seen.offsets[user + 1]));
      const what = `${JSON.stringify(options)}, user ${user}`;
      for (const k of [1, 20, 400]) checkList(model.recommend(user, k), scores, k, (v) => !seen.has(v), what);
      checkList(model.recommend(user, 30, { exclude: 'none' }), scores, 30, () => true, what);
      checkList(model.recommend(user, 30, { exclude: [1, 2, 3] }), scores, 30, (v) => v < 1 || v > 3, what);
      const odd = (v: unknown) => (v as number) % 5 === 1;
      checkList(model.recommend(user, 10, { filter: odd }), scores, 10, (v) => odd(v) && !seen.has(v), what);
      const few = [5, 17, 99, 200, 201, 399];
      checkList(model.recommend(user, 4, { candidates: few }), scores, 4, (v) => few.includes(v) && !seen.has(v), what);
      const [first] = model.recommend(user, 1);
      assert.ok(
        Math.abs(
          first!.distance /
            distanceOf(point, model.entities.subarray((first!.item as number) * model.dim).subarray(0, model.dim), model.curvature) -
            1,
        ) < 1e-5,
      );
    }
  }
});

blending('it does not depend on how many near items a list is begun with', async () => {
  const model = await modelOf({ neighborBlend: weights });
  assert.ok(isBlended(model));
  const ranking = finish(blendedRanking(model));
  for (let user = 0; user < dataset.users; user += 10) {
    const point = model.users.subarray(user * model.dim, (user + 1) * model.dim);
    const seen = new Set(model.seen.items.subarray(model.seen.offsets[user], model.seen.offsets[user + 1]));
    const expected = model.recommend(user, 30).map(({ item }) => item);
    for (const depth of [8, 31, 400]) {
      ranking.begin(model, point, trainItems(model, user), depth);
      assert.equal([...ranking.top(weights, 30, (item) => seen.has(item)).items], expected);
    }
    // Without neighbours all that is not near has to be looked for.
    const alone = model.recommend(point.slice(), 30).map(({ item }) => item);
    ranking.begin(model, point, new Uint32Array(0), 8);
    assert.equal([...ranking.top(weights, 30, () => false).items], alone);
  }
});

blending('a batch has the lists of recommend, at once and off the event loop, whatever is left out', async () => {
  const model = await modelOf({ neighborBlend: weights });
  const users = model.userIds.slice(0, 60);
  for (const options of [
    {},
    { exclude: 'none' },
    { exclude: [0, 1, 2] },
    { filter: [3, 4] },
    { filter: (v: unknown) => (v as number) % 2 === 0 },
    { candidates: [4, 8, 15, 16, 23, 42] },
  ] as const) {
    const expected = users.map((user) => model.recommend(user, 12, options));
    const batch = await model.recommendBatch(users, { k: 12, ...options });
    const sync = model.recommendBatchSync(users, { k: 12, ...options });
    for (const [i, list] of expected.entries()) {
      assert.equal(batch.list(i), list);
      assert.equal(sync.list(i), list);
    }
  }
  const { scores } = model.recommendBatchSync([0], { k: 5 });
  assert.ok(scores!.every((score, i) => i === 0 || score <= scores![i - 1]!));
});

blending('evaluate measures the lists of recommend, and on validation those without the training items', async () => {
  const model = await modelOf({ neighborBlend: weights });
  for (const split of ['test', 'validation'] as const) {
    const { users, recall } = await evaluatePerUser(model, dataset, { split, k: 20 });
    for (const [i, user] of users.entries()) {
      const own = dataset.train.items.subarray(dataset.train.offsets[user], dataset.train.offsets[user + 1]);
      const list = model.recommend(user, 20, split === 'test' ? {} : { exclude: own });
      const wanted = new Set(dataset[split].items.subarray(dataset[split].offsets[user], dataset[split].offsets[user + 1]));
      assert.is(recall[20]![i], list.filter(({ item }) => wanted.has(item as number)).length / wanted.size);
    }
  }
  const plain = new Model({ ...model, blend: undefined as never });
  assert.is.not((await evaluate(plain, dataset)).recall[20], (await evaluate(model, dataset)).recall[20]);
});

blending('validation chooses the weights, by what evaluate finds', async () => {
  const model = await modelOf({ neighborBlend: true });
  const chosen = model.training.neighborBlend!;
  const train = { offsets: dataset.train.offsets, items: dataset.train.items };
  const [recalls, ndcgs]: [number[], number[]] = [[], []];
  for (const one of BLEND_WEIGHTS) {
    const { recall, ndcg } = await evaluate(new Model({ ...model, blend: { ...one, train } }), dataset, { split: 'validation' });
    recalls.push(recall[20]!);
    ndcgs.push(ndcg[20]!);
  }
  const shares = recalls.map((recall, i) => recall / Math.max(...recalls) + ndcgs[i]! / Math.max(...ndcgs));
  const best = BLEND_WEIGHTS[shares.indexOf(Math.max(...shares))]!;
  assert.equal([chosen.itemKnn, chosen.attributeKnn], [best.itemKnn, best.attributeKnn]);
  assert.is(chosen.validationRecall, recalls[shares.indexOf(Math.max(...shares))]);
  assert.ok(new Set(shares).size > BLEND_WEIGHTS.length / 2, 'there is something to choose');
  assert.equal(model.protocol!.selection.neighborBlend, chosen);
  assert.is(model.blend === undefined, best.itemKnn + best.attributeKnn === 0);
});

blending('without a validation split validation takes the model alone', async () => {
  const data = createDataset(
    { interactions: Array.from({ length: 60 }, (_, i) => ({ user: i % 10, item: (i * 7) % 31 })), triples: [] },
    { validationFraction: 0 },
  );
  const model = await train(data, { ...settings, neighborBlend: 'validation' });
  assert.equal([model.training.neighborBlend, model.blend], [{ itemKnn: 0, attributeKnn: 0 }, undefined]);
  assert.is(model.recommend(0, 1)[0]!.score, undefined);
});

blending('it changes no parameter, and without it nothing is blended', async () => {
  const [off, on, paper] = [await modelOf({}), await modelOf({ neighborBlend: weights }), await modelOf({ preset: 'paper' })];
  for (const name of ['users', 'entities', 'relations', 'beta'] as const) assert.equal(on[name], off[name]);
  assert.is(paper.training.options.neighborBlend, false);
  assert.is(paper.blend, undefined);
  assert.equal(Object.keys(paper.recommend(0, 1)[0]!), ['item', 'distance']);
  assert.is(paper.recommendBatchSync([0]).scores, null);
});

blending('a file keeps it, and is refused where it is not whole', async () => {
  const model = await modelOf({ neighborBlend: weights });
  const path = join(folder, 'blended');
  await model.save(path);
  const loaded = await Model.load(path);
  assert.equal(loaded.blend, model.blend);
  for (const user of [0, 50, 149]) assert.equal(loaded.recommend(user, 20), model.recommend(user, 20));
  const { metadata, tensors } = await readTensors(path);
  const refused = async (pattern: RegExp, changedTraining: object, changed: Record<string, Uint32Array | null> = {}) => {
    const damaged = join(folder, 'damaged');
    const own = new Map([...tensors].map(([name, tensor]) => [name, changed[name] ? { ...tensor, data: changed[name] } : tensor]));
    for (const name of Object.keys(changed)) if (changed[name] === null) own.delete(name);
    const training = JSON.stringify({ ...JSON.parse(metadata.training!), ...changedTraining });
    await writeTensors(damaged, { metadata: { ...metadata, training }, tensors: own });
    await Model.load(damaged).then(
      () => assert.unreachable(`${pattern}`),
      (error) => assert.match(error.message, pattern),
    );
  };
  await refused(/weights of neighbours cannot be/, { neighborBlend: { itemKnn: 0.5, attributeKnn: 0.5 } });
  await refused(/weights of neighbours cannot be/, { neighborBlend: { itemKnn: -0.1, attributeKnn: 0 } });
  await refused(/weights of neighbours cannot be/, { neighborBlend: undefined });
  const items = model.blend!.train.items.slice();
  items[0] = 399 - items[0]!;
  await refused(/train\.items holds what user 0 has not seen/, {}, { 'train.items': items });
  const offsets = model.blend!.train.offsets.slice();
  offsets[1] = 1e6;
  await refused(/train\.offsets/, {}, { 'train.offsets': offsets });
  await refused(/no tensor train\.items/, {}, { 'train.items': null });
});

blending('who was not there: neighbours of the items that a point was made of, or of a history that is given', async () => {
  const model = await modelOf({ neighborBlend: weights });
  const user = 3;
  const own = [...dataset.train.items.subarray(dataset.train.offsets[user], dataset.train.offsets[user + 1])];
  const point = model.foldInUser(own);
  const scores = await scoresOf(model, dataset, point, user, weights);
  checkList(model.recommend(point, 20, { exclude: own }), scores, 20, (v) => !own.includes(v), 'folded in');
  const stored = point.slice();
  assert.equal(model.recommend(stored, 20, { exclude: own, history: own }), model.recommend(point, 20, { exclude: own }));
  const alone = await scoresOf(model, dataset, point, undefined, weights);
  checkList(model.recommend(stored, 20), alone, 20, () => true, 'a point alone');
  const batch = await model.recommendBatch(stored, { k: 20, exclude: own, histories: [own] });
  assert.equal(batch.list(0), model.recommend(point, 20, { exclude: own }));
  assert.throws(() => model.recommendBatchSync(stored, { histories: [] }), /^histories: must be one for each of 1 users, got 0/);
  const later = model.recommend(user, 20, { history: [...own, 7] });
  assert.is.not(JSON.stringify(later), JSON.stringify(model.recommend(user, 20)));
});

blending('explain has the place in the list, and what the score is made of', async () => {
  const model = await modelOf({ neighborBlend: weights });
  for (const user of [0, 11, 42]) {
    const list = model.recommend(user, 400);
    for (const place of [0, 1, 19, list.length - 1]) {
      const { item, score } = list[place]!;
      const told = model.explain(user, item);
      assert.is(told.rank, place + 1);
      assert.is(told.score!.total, score);
      const { total, ...parts } = told.score!;
      assert.ok(Math.abs(parts.model + parts.itemKnn + parts.attributeKnn - total) < 1e-12);
      assert.ok(Object.values(parts).every((part) => part >= 0));
      if (told.deletion) assert.is(told.deletion.moved, told.deletion.rank - told.rank);
    }
    const best = list.map(({ item }) => model.explain(user, item).score!);
    for (const name of ['itemKnn', 'attributeKnn'] as const)
      assert.ok(Math.max(...best.map((one) => one[name])) <= weights[name] + 1e-12, name);
  }
  assert.is((await modelOf({})).explain(0, 0).score, undefined);
});

blending('two models of the same interactions, used in turns, do not meet', async () => {
  const one = await modelOf({ neighborBlend: weights });
  const other = new Model({ ...one, users: one.users.map((x) => -x) });
  const [a, b] = [one.recommend(5, 10), other.recommend(5, 10)];
  const pending = one.recommendBatch(one.userIds, { k: 10 });
  assert.equal(other.recommend(5, 10), b);
  assert.equal((await pending).list(5), a);
  other.close();
  assert.throws(() => other.recommend(5), /closed/);
  assert.equal(one.recommend(5, 10), a);
});

blending.run();
