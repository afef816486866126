import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createDataset } from '../../lib/data/dataset.ts';
import { synthetic } from '../../lib/data/synthetic.ts';
import type { HyperKnowError } from '../../lib/errors.ts';
import { Model } from '../../lib/model.ts';
import { train } from '../../lib/train.ts';
import { distance, row, square } from '../points.ts';

const suiteOf = suite('serving API');
const dataset = synthetic({ users: 80, items: 100, interactionsPerUser: [8, 14], seed: 5 });
const models: Model[] = [];
suiteOf.before(async () => {
  for (const variant of ['hyper-know', 'bpr-att-e', 'bpr-avg-h'] as const)
    models.push(await train(dataset, { variant, dim: 12, epochs: 25, batchSize: 128, seed: 4 }));
});

/** Items by float64 distance from a point, nearest first. */
const ranked = (model: Model, point: Float32Array): { item: number; d: number }[] =>
  Array.from(model.itemIds, (_, item) => ({ item, d: distance(point, row(model.entities, item, model.dim), model.curvature) })).sort(
    (a, b) => a.d - b.d,
  );
const pointOf = (model: Model, user: number) => row(model.users, user, model.dim);
const ids = (list: { item: unknown }[]) => list.map(({ item }) => item);

suiteOf('a filter, of functions or ids, and candidates give what is left of the full list', () => {
  for (const model of models)
    for (const user of [2, 41]) {
      const id = model.userIds[user]!;
      const all = model.recommend(id, 1000);
      const isEven = (item: unknown) => Number(String(item).split('-')[1]) % 2 === 0;
      assert.equal(model.recommend(id, 7, { filter: isEven }), all.filter(({ item }) => isEven(item)).slice(0, 7));
      // So few pass that the list has to be asked for again and again.
      const rare = all.at(-1)!.item;
      assert.equal(model.recommend(id, 3, { filter: (item) => item === rare }), all.slice(-1));
      assert.equal(model.recommend(id, 3, { filter: () => false }), []);
      assert.equal(model.recommend(id, 1000, { filter: [all[0]!.item, all[5]!.item] }), [...all.slice(1, 5), ...all.slice(6)]);
      const candidates = model.itemIds.slice(10, 40);
      const among = all.filter(({ item }) => candidates.includes(item));
      assert.equal(model.recommend(id, 1000, { candidates: [...candidates].reverse() }), among);
      assert.equal(model.recommend(id, 4, { candidates, filter: isEven }), among.filter(({ item }) => isEven(item)).slice(0, 4));
      assert.equal(ids(model.recommend(id, 1000, { candidates, exclude: candidates.slice(3) })).sort(), candidates.slice(0, 3).sort());
      assert.equal(model.recommend(id, 5, { candidates: [] }), []);
      assert.ok(among.length < candidates.length || model.seen.items.length > 0);
    }
});

suiteOf('a filter function is asked of some items, not of all', () => {
  let asked = 0;
  models[0]!.recommend(models[0]!.userIds[0]!, 3, { filter: () => ++asked > 0 });
  assert.is(asked, 3);
});

suiteOf('a batch holds the lists of one by one', async () => {
  for (const model of models) {
    const users = [model.userIds[7]!, model.userIds[3]!, model.userIds[7]!, model.userIds[79]!];
    const isOdd = (item: unknown) => Number(String(item).split('-')[1]) % 2 === 1;
    const candidates = model.itemIds.slice(20, 60);
    for (const options of [
      {},
      { exclude: 'none' },
      { exclude: model.itemIds.slice(0, 50) },
      { candidates },
      { candidates, filter: isOdd },
      { filter: isOdd },
      { filter: model.itemIds.slice(0, 90) },
      { candidates, exclude: 'none', filter: model.itemIds.slice(0, 30) },
      { candidates: [] },
    ] as const) {
      const batch = await model.recommendBatch(users, { k: 30, ...options });
      assert.is(batch.length, 4);
      users.forEach((user, i) => {
        const list = model.recommend(user, 30, options);
        assert.equal(batch.list(i), list);
        for (let place = 0; place < 30; ++place) {
          const at = i * 30 + place;
          assert.is(batch.items[at], place < list.length ? model.itemIds.indexOf(list[place]!.item) : 0xffffffff);
          assert.is(batch.distances[at], place < list.length ? list[place]!.distance : Number.POSITIVE_INFINITY);
        }
      });
    }
    const points = Float32Array.of(...pointOf(model, 5), ...pointOf(model, 6));
    const byPoint = await model.recommendBatch(points, { k: 10 });
    assert.equal(byPoint.list(1), model.recommend(model.userIds[6]!, 10, { exclude: 'none' }));
    assert.is((await model.recommendBatch([], {})).length, 0);
  }
});

suiteOf('similar items and users are the nearest ones', () => {
  for (const model of models) {
    const { dim, curvature } = model;
    const point = row(model.entities, 17, dim);
    const expected = ranked(model, point).filter(({ item }) => item !== 17);
    const alike = model.similarItems(model.itemIds[17]!, 1000);
    assert.is(alike.length, dataset.items - 1);
    for (const [i, { distance: d }] of alike.entries()) assert.ok(Math.abs(d - expected[i]!.d) <= 1e-5 * expected[i]!.d);
    assert.is(alike[0]!.item, model.itemIds[expected[0]!.item]);
    assert.equal(model.similarItems(model.itemIds[17]!), alike.slice(0, 20));
    assert.equal(model.similarItems(point, 5)[0], { item: model.itemIds[17]!, distance: 0 });
    assert.equal(model.similarItems(model.itemIds[17]!, 4, { filter: (item) => item !== alike[0]!.item }), alike.slice(1, 5));
    const near = model.similarUsers(model.userIds[9]!, 1000);
    assert.is(near.length, dataset.users - 1);
    const best = model.userIds.indexOf(near[0]!.user);
    const between = (other: number) => distance(pointOf(model, 9), pointOf(model, other), curvature);
    for (let user = 0; user < dataset.users; ++user) if (user !== 9) assert.ok(between(user) >= between(best) * (1 - 1e-6));
  }
});

suiteOf('an explanation has the place in the list, the items that share an entity, and what is without the first triple', () => {
  for (const model of models) {
    const { graph, dim, curvature: c } = model;
    let vias = 0;
    let moves = 0;
    for (let user = 0; user < 12; ++user) {
      const id = model.userIds[user]!;
      const list = model.recommend(id, 1000);
      for (const place of [0, 6, 30]) {
        const { item } = list[place]!;
        const v = model.itemIds.indexOf(item);
        const { rank, neighbors, deletion } = model.explain(id, item);
        assert.is(rank, place + 1);
        const seen = [...model.seen.items.subarray(model.seen.offsets[user], model.seen.offsets[user + 1])];
        for (const { entity, via } of neighbors) {
          const tail = model.entityIds.indexOf(entity);
          const having = seen.filter(
            (own) => own === tail || graph.tails.subarray(graph.offsets[own], graph.offsets[own + 1]).includes(tail),
          );
          assert.equal(
            via ?? [],
            having.map((own) => model.itemIds[own]!),
          );
          vias += having.length;
        }
        assert.is(deletion!.relation, neighbors[0]!.relation);
        assert.is(deletion!.entity, neighbors[0]!.entity);
        assert.is(deletion!.moved, deletion!.rank - rank);
        moves += Math.abs(deletion!.moved);
        // Its place by hand: without attention, n_v is the midpoint of the tails alone.
        if (model.training.variant !== 'bpr-avg-h') continue;
        const tails = neighbors.map(({ entity }) => row(model.entities, model.entityIds.indexOf(entity), dim));
        const [n, rest] = [midpointOf(tails, c), midpointOf(tails.slice(1), c)];
        const back = n.map((x) => -x);
        const moved = add(rest, add(back, [...row(model.entities, v, dim)], c), c);
        const d = distance(pointOf(model, user), moved, c);
        const nearer = list.filter((other) => other.item !== item && other.distance < d * (1 - 1e-5)).length;
        const notFarther = list.filter((other) => other.item !== item && other.distance < d * (1 + 1e-5)).length;
        assert.ok(nearer + 1 <= deletion!.rank && deletion!.rank <= notFarther + 1, `${deletion!.rank}, not ${nearer + 1}`);
      }
      const own = model.itemIds[model.seen.items[model.seen.offsets[user]!]!]!;
      const { rank, distance: d } = model.explain(id, own);
      assert.is(rank, 1 + list.filter((other) => other.distance < d).length);
    }
    assert.ok(vias > 0 && moves > 0, `${vias} shared entities, ${moves} places moved`);
  }
});

/** Einstein midpoint of points with weights equal, by way of the Klein model; mean for curvature 0. */
function midpointOf(points: Float32Array[], c: number): number[] {
  const sums = points[0]!.length;
  let total = 0;
  const klein = new Array<number>(sums).fill(0);
  for (const x of points) {
    const gamma = (1 + c * square(x)) / (1 - c * square(x));
    total += gamma;
    for (let i = 0; i < sums; ++i) klein[i]! += (gamma * 2 * x[i]!) / (1 + c * square(x));
  }
  const mean = klein.map((value) => value / total);
  return mean.map((value) => value / (1 + Math.sqrt(1 - c * square(mean))));
}

/** Möbius addition by its definition. */
function add(x: number[], y: number[], c: number): number[] {
  const dot = (a: number[], b: number[]) => a.reduce((sum, value, i) => sum + value * b[i]!, 0);
  const [xy, xx, yy] = [dot(x, y), dot(x, x), dot(y, y)];
  const below = 1 + 2 * c * xy + c * c * xx * yy;
  return x.map((value, i) => ((1 + 2 * c * xy + c * yy) * value + (1 - c * xx) * y[i]!) / below);
}

suiteOf('an item with fewer than two triples has no deletion', async () => {
  const shop = createDataset(
    {
      interactions: ['lamp', 'rug', 'desk'].map((item) => ({ user: 'ann', item })),
      triples: [
        { head: 'lamp', relation: 'designer', tail: 'North' },
        { head: 'rug', relation: 'designer', tail: 'North' },
        { head: 'rug', relation: 'goes with', tail: 'desk' },
      ],
    },
    { validationFraction: 0 },
  );
  const model = await train(shop, { dim: 4, epochs: 2 });
  assert.is(model.explain('ann', 'desk').deletion, null);
  assert.is(model.explain('ann', 'lamp').deletion, null);
  assert.is(typeof model.explain('ann', 'rug').deletion!.moved, 'number');
  assert.equal(
    model.explain('ann', 'rug').neighbors.find(({ entity }) => entity === 'desk')!.via,
    ['desk'], // an item of ann's that is the entity itself
  );
});

suiteOf('influence: attention sums to the items, weights to what each item has', async () => {
  for (const model of models) {
    const weights = model.itemWeights();
    const { relations, itemWeight } = await model.graphInfluence();
    const { graph } = model;
    const withTriples = Array.from(weights.keys()).filter((item) => graph.offsets[item + 1]! > graph.offsets[item]!);
    const sum = (of: (relation: (typeof relations)[number]) => number) => relations.reduce((total, one) => total + of(one), 0);
    const close = (value: number, expected: number) =>
      assert.ok(Math.abs(value - expected) <= 1e-5 * Math.max(1, expected), `${value} ${expected}`);
    assert.is(
      sum((one) => one.triples),
      graph.tails.length,
    );
    close(
      sum((one) => one.attention),
      withTriples.length,
    );
    close(
      sum((one) => one.share),
      1,
    );
    close(
      sum((one) => one.influence),
      withTriples.reduce((total, item) => total + weights[item]!, 0),
    );
    close(itemWeight.mean, sum((one) => one.influence) / withTriples.length);
    const explanation = model.explain(model.userIds[0]!, model.itemIds[0]!);
    assert.ok(Math.abs(explanation.knowledgeWeight - weights[0]!) < 1e-7);
    for (let i = 1; i < relations.length; ++i) assert.ok(relations[i - 1]!.influence >= relations[i]!.influence);
    assert.is(relations.find(({ relation }) => relation === 'part-of')!.items, 0); // of categories, which are no items
  }
});

suiteOf('diagnostics: radii by hand, and what is wrong is said', async () => {
  for (const model of models) {
    const { users, items, otherEntities, relations, warnings, float32Error } = await model.diagnostics();
    assert.equal(
      [users.rows, items.rows, otherEntities.rows, relations.rows],
      [dataset.users, dataset.items, dataset.entities - dataset.items, dataset.relations],
    );
    const radii = Array.from(
      model.itemIds,
      (_, item) => Math.sqrt(model.curvature || 1) * Math.hypot(...row(model.entities, item, model.dim)),
    );
    assert.ok(Math.abs(items.radius.max - Math.max(...radii)) < 1e-6 && Math.abs(items.radius.min - Math.min(...radii)) < 1e-6);
    assert.is(
      items.histogram.reduce((a, b) => a + b),
      dataset.items,
    );
    assert.is(items.atBoundary, 0);
    assert.ok(float32Error >= 0 && float32Error < 1e-2);
    assert.equal(warnings, []);
  }
  const model = models[0]!;
  const entities = model.entities.slice();
  entities.fill(0, 0, model.dim);
  entities[0] = (1 - 1e-5) / Math.sqrt(model.curvature);
  const { items, warnings, float32Error } = await new Model({ ...model, entities }).diagnostics();
  assert.is(items.atBoundary, 1);
  assert.is(items.radius.min < items.radius.p50 && items.radius.p50 < items.radius.max, true);
  assert.match(warnings.join('\n'), /^1 of 100 rows of items stand at the boundary.*\n.*0\.99999\d is above 0\.996/);
  assert.ok(float32Error > 1e-3);
});

suiteOf('hasUser, hasItem', () => {
  const [model] = models;
  assert.equal(
    [model!.hasUser('user-3'), model!.hasUser(3), model!.hasItem('item-3'), model!.hasItem('user-3')],
    [true, false, true, false],
  );
});

suiteOf('a closed model is empty, says so, and closes again', async () => {
  const model = new Model({ ...models[0]! });
  model.close();
  model.close();
  model[Symbol.dispose]();
  assert.is(model.users.length + model.entities.length, 0);
  const user = dataset.userIds[0]!;
  const calls: (() => unknown)[] = [
    () => model.recommend(user),
    () => model.recommendBatch([user]),
    () => model.similarItems(dataset.itemIds[0]!),
    () => model.similarUsers(user),
    () => model.explain(user, dataset.itemIds[0]!),
    () => model.foldInUser([dataset.itemIds[0]!]),
    () => model.foldInItem([]),
    () => model.toLorentz(),
    () => model.itemWeights(),
    () => model.graphInfluence(),
    () => model.diagnostics(),
    () => model.save('closed'),
    () => model.hasUser(user),
  ];
  for (const call of calls) {
    const error = await (async () => call())().then(
      () => undefined,
      (reason: HyperKnowError) => reason,
    );
    assert.is(error?.code, 'ERR_HK_DISPOSED', String(call));
  }
});

suiteOf('bad arguments', async () => {
  const model = models[0]!;
  const user = model.userIds[0]!;
  const wrong: [() => unknown, RegExp][] = [
    [() => model.recommend(user, 5, { filter: 5 as never }), /^filter: must be an iterable/],
    [() => model.recommend(user, 5, { filter: ['nothing'] }), /^filter\[0\]: the model does not know/],
    [() => model.recommend(user, 5, { candidates: 'item-1' as never }), /^candidates: must be an iterable/],
    [() => model.similarItems('nothing'), /^item: the model does not know/],
    [() => model.similarItems('item-1', 0), /^k: /],
    [() => model.similarUsers(new Float32Array(3)), /^user: must have 12 coordinates/],
    [() => model.similarItems('item-1', 5, { exclude: 'none' } as object), /^options\.exclude: no such option/],
    [() => model.recommendBatch('ann' as never), /^users: must be an iterable/],
    [() => model.recommendBatch([user, 'nobody']), /^users\[1\]: the model does not know/],
    [() => model.recommendBatch(new Float32Array(13)), /^users: must be points of 12/],
    [() => model.recommendBatch([user], { k: 0 }), /^k: /],
    [() => model.recommendBatch([user], { exclude: 'all' as never }), /^exclude: /],
    [() => model.recommendBatch([user], { threads: 0 }), /^threads: /],
    [() => model.recommendBatch([user], { backend: 'cuda:1' as never }), /^backend: /],
  ];
  for (const [action, pattern] of wrong) {
    const error = await (async () => action())().then(
      () => undefined,
      (reason: Error) => reason,
    );
    assert.match(String(error?.message), pattern);
  }
  const batch = await model.recommendBatch([user]);
  assert.throws(() => batch.list(1), /^RangeError: position: |position/);
});

suiteOf.run();
