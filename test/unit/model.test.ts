import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createDataset } from '../../lib/data/dataset.ts';
import { synthetic } from '../../lib/data/synthetic.ts';
import { HyperKnowError } from '../../lib/errors.ts';
import { Model } from '../../lib/model.ts';
import { train } from '../../lib/train.ts';
import { readTensors, type TensorFile, writeTensors } from '../../lib/safetensors.ts';
import { VARIANTS, type VariantName } from '../../lib/variants.ts';
import { temporaryFolder } from '../helpers.ts';
import { distance, row, square } from '../points.ts';

const suiteOf = suite('model');
const folder = temporaryFolder();

const dataset = synthetic({ users: 80, items: 100, interactionsPerUser: [8, 14], seed: 5 });
const models = new Map<VariantName, Model>();
suiteOf.before(async () => {
  for (const { name } of VARIANTS) models.set(name, await train(dataset, { variant: name, dim: 12, epochs: 25, batchSize: 128, seed: 4 }));
});

const near = (value: number, expected: number, tolerance = 1e-5) =>
  assert.ok(Math.abs(value - expected) <= tolerance * Math.max(1e-3, Math.abs(expected)), `${value}, not ${expected}`);

suiteOf('items that go by another id among the entities keep both', async () => {
  const model = models.get('hyper-know')!;
  const itemIds = model.itemIds.map((id) => `item ${id}`);
  const path = join(folder, 'linked.safetensors');
  await new Model({ ...model, itemIds }).save(path);
  const loaded = await Model.load(path);
  assert.equal(loaded.itemIds, itemIds);
  assert.equal(loaded.entityIds, model.entityIds);
  assert.equal(
    loaded.recommend(dataset.userIds[0]!, 5).map(({ item }) => item),
    model.recommend(dataset.userIds[0]!, 5).map(({ item }) => `item ${item}`),
  );
});

for (const { name, geometry, knowledge, attention } of VARIANTS) {
  suiteOf(`${name}: shapes`, () => {
    const model = models.get(name)!;
    assert.is(model.users.length, dataset.users * 12);
    assert.is(model.entities.length, dataset.entities * 12);
    assert.is(model.relations.length, dataset.relations * 12);
    assert.is(model.beta.length, dataset.items);
    assert.is(model.curvature === 0, geometry === 'euclidean');
    assert.is(model.training.variant, name);
  });

  suiteOf(`${name}: recommends the nearest items that the user does not have`, () => {
    const model = models.get(name)!;
    for (const user of [0, 7, 79]) {
      const { seen, dim, curvature } = model;
      const own = [...seen.items.subarray(seen.offsets[user], seen.offsets[user + 1])];
      const expected = Array.from({ length: dataset.items }, (_, item) => item)
        .filter((item) => !own.includes(item))
        .map((item) => ({ item, d: distance(row(model.users, user, dim), row(model.entities, item, dim), curvature) }))
        .sort((a, b) => a.d - b.d);
      const list = model.recommend(dataset.userIds[user]!, 1000);
      assert.is(list.length, expected.length);
      list.forEach(({ item, distance: d }, i) => {
        near(d, expected[i]!.d);
        assert.ok(expected.some((candidate) => dataset.itemIds[candidate.item] === item));
      });
      assert.is(list[0]!.item, dataset.itemIds[expected[0]!.item]);
      assert.equal(model.recommend(dataset.userIds[user]!), list.slice(0, 20));
    }
  });

  suiteOf(`${name}: explains with distances and attention`, () => {
    const model = models.get(name)!;
    const { dim, curvature: c, graph } = model;
    const item = 3;
    const explanation = model.explain(dataset.userIds[1]!, dataset.itemIds[item]!);
    near(explanation.distance, distance(row(model.users, 1, dim), row(model.entities, item, dim), c));
    const count = graph.offsets[item + 1]! - graph.offsets[item]!;
    assert.is(explanation.neighbors.length, count);
    near(
      explanation.neighbors.reduce((sum, one) => sum + one.attention, 0),
      1,
    );
    for (let i = 1; i < count; ++i) assert.ok(explanation.neighbors[i - 1]!.attention >= explanation.neighbors[i]!.attention);
    const triples = new Set(explanation.neighbors.map(({ relation, entity }) => JSON.stringify([relation, entity])));
    for (let i = graph.offsets[item]!; i < graph.offsets[item + 1]!; ++i)
      assert.ok(triples.has(JSON.stringify([dataset.relationIds[graph.relations[i]!], dataset.entityIds[graph.tails[i]!]])));
    assert.is(explanation.knowledgeWeight > 0, knowledge);
    assert.ok(explanation.neighborhoodDistance > 0);
    if (knowledge && !attention) {
      // Attention is the tails' Lorentz factors.
      const tails = explanation.neighbors.map(({ entity }) => row(model.entities, dataset.entityIds.indexOf(entity), dim));
      const factors = tails.map((t) => (1 + c * square(t)) / (1 - c * square(t)));
      const total = factors.reduce((a, b) => a + b);
      explanation.neighbors.forEach((one, i) => {
        near(one.attention, factors[i]! / total);
      });
    }
  });

  suiteOf(`${name}: Minkowski products order items as distances do`, () => {
    const model = models.get(name)!;
    const { users, items } = model.toLorentz();
    const width = model.dim + 1;
    assert.is(users.length, dataset.users * width);
    assert.is(items.length, dataset.items * width);
    const product = (x: Float32Array, y: Float32Array) => x.reduce((sum, value, i) => sum + (i === 0 ? -value : value) * y[i]!, 0);
    for (let user = 0; user < 10; ++user) {
      const u = row(users, user, width);
      if (model.curvature > 0) near(product(u, u), -1 / model.curvature, 1e-4);
      const found = Array.from({ length: dataset.items }, (_, item) => {
        const d = distance(row(model.users, user, model.dim), row(model.entities, item, model.dim), model.curvature);
        const p = product(u, row(items, item, width));
        if (model.curvature > 0) near(-model.curvature * p, Math.cosh(d * Math.sqrt(model.curvature)), 1e-4);
        return { d, p };
      });
      found.sort((a, b) => a.d - b.d);
      for (let i = 1; i < found.length; ++i)
        assert.ok(found[i]!.p <= found[i - 1]!.p + 1e-5 * Math.abs(found[i]!.p), `user ${user}, place ${i}`);
    }
  });

  suiteOf(`${name}: save, load, save gives the same bytes and the same model`, async () => {
    const model = models.get(name)!;
    const [first, second] = [join(folder, `${name}.a`), join(folder, `${name}.b`)];
    await model.save(first);
    const loaded = await Model.load(first);
    await loaded.save(second);
    assert.equal(readFileSync(second), readFileSync(first));
    for (const user of [0, 33]) {
      const id = dataset.userIds[user]!;
      assert.equal(loaded.recommend(id, 30), model.recommend(id, 30));
      assert.equal(loaded.explain(id, dataset.itemIds[9]!), model.explain(id, dataset.itemIds[9]!));
    }
    assert.equal(loaded.training, model.training);
    const triple = { relation: dataset.relationIds[0]!, tail: dataset.entityIds[0]! };
    assert.equal(loaded.foldInItem([triple]), model.foldInItem([triple]));
    assert.equal(loaded.foldInUser(dataset.itemIds.slice(0, 3)), model.foldInUser(dataset.itemIds.slice(0, 3)));
  });

  suiteOf(`${name}: a folded-in user is nearer to their items than to others, and recommended as well as a trained one`, () => {
    const model = models.get(name)!;
    let folded = 0;
    let trained = 0;
    let meanRank = 0;
    for (let user = 0; user < dataset.users; ++user) {
      const own = [...model.seen.items.subarray(model.seen.offsets[user], model.seen.offsets[user + 1])].map((i) => dataset.itemIds[i]!);
      const test = new Set(
        [...dataset.test.items.subarray(dataset.test.offsets[user], dataset.test.offsets[user + 1])].map((i) => dataset.itemIds[i]!),
      );
      const point = model.foldInUser(own);
      assert.equal(model.foldInUser([...own].reverse()), point);
      assert.ok(model.curvature * square(point) < 1);
      folded += model.recommend(point, 40, { exclude: own }).filter(({ item }) => test.has(item)).length;
      trained += model.recommend(dataset.userIds[user]!, 40).filter(({ item }) => test.has(item)).length;
      const all = model.recommend(point, dataset.items).map(({ item }) => item);
      assert.is(all.length, dataset.items);
      meanRank += own.reduce((sum: number, item) => sum + all.indexOf(item), 0) / own.length / dataset.users;
    }
    assert.ok(meanRank < dataset.items / 3, `mean rank of the users' own items: ${meanRank}`);
    assert.ok(folded >= 0.75 * trained && folded > 0, `${folded} test items found, ${trained} by the trained users`);
  });

  const triplesOf = (model: Model, item: number) => {
    const { offsets, relations, tails } = model.graph;
    return Array.from({ length: offsets[item + 1]! - offsets[item]! }, (_, i) => ({
      relation: dataset.relationIds[relations[offsets[item]! + i]!]!,
      tail: dataset.entityIds[tails[offsets[item]! + i]!]!,
    }));
  };

  suiteOf(`${name}: an item folded in from the triples of another is nearer to that one's users than to others`, () => {
    const model = models.get(name)!;
    const { dim, curvature, users } = model;
    let place = 0;
    let judged = 0;
    for (let item = 0; item < dataset.items; item += 3) {
      const triples = triplesOf(model, item);
      const own = Array.from({ length: dataset.users }, (_, user) => user).filter((user) =>
        model.seen.items.subarray(model.seen.offsets[user], model.seen.offsets[user + 1]).includes(item),
      );
      if (triples.length === 0 || own.length === 0) continue;
      const point = model.foldInItem(triples);
      assert.ok(curvature * square(point) < 1);
      assert.equal(model.foldInItem(triples.map(({ relation, tail }) => ({ relation, entity: tail }))), point);
      const distances = Array.from({ length: dataset.users }, (_, user) => distance(row(users, user, dim), point, curvature));
      for (const user of own) place += distances.filter((d) => d < distances[user]!).length / (dataset.users - 1) / own.length;
      ++judged;
    }
    assert.ok(judged > 10 && place / judged < 0.4, `mean place ${place / judged} of ${judged} items; at random it is 0.5`);
  });

  suiteOf(`${name}: where nobody has anything, a folded-in item is the neighbourhood of itself`, () => {
    const seen = { offsets: new Uint32Array(dataset.users + 1), items: new Uint32Array(0) };
    const model = new Model({ ...models.get(name)!, seen });
    // With one triple, n_v is the tail, whatever v is.
    const [one] = triplesOf(model, 11);
    const tail = row(model.entities, dataset.entityIds.indexOf(one!.tail), model.dim);
    assert.ok(distance(model.foldInItem([one!]), tail, model.curvature) <= 1e-5);
  });
}

suiteOf('what to leave out: nothing, or given items', () => {
  const model = models.get('hyper-know')!;
  const user = dataset.userIds[0]!;
  const all = model.recommend(user, 1000, { exclude: 'none' });
  assert.is(all.length, dataset.items);
  const [first, second] = all;
  const rest = model.recommend(user, 1000, { exclude: new Set([first!.item]) });
  assert.equal(rest, all.slice(1));
  assert.is(model.recommend(user, 1, { exclude: [first!.item, first!.item] })[0]!.item, second!.item);
  assert.equal(model.recommend(user, 5, { exclude: dataset.itemIds }), []);
  assert.equal(model.recommend(user, 20, { exclude: 'seen' }), model.recommend(user));
});

suiteOf('ids are the caller’s own, of either type', async () => {
  const data = createDataset(
    {
      interactions: [
        { user: 'ann', item: 7 },
        { user: 'ann', item: '7' },
        { user: -3, item: 'ключ' },
        { user: -3, item: 7 },
      ],
      triples: [{ head: 'ключ', relation: '', tail: 'Zürich' }],
    },
    { validationFraction: 0 },
  );
  const model = await train(data, { dim: 4, epochs: 3 });
  assert.equal(
    model.recommend('ann').map(({ item }) => item),
    ['ключ'],
  );
  assert.equal(model.explain(-3, 'ключ').neighbors, [{ relation: '', entity: 'Zürich', attention: 1 }]);
  assert.equal(model.explain('ann', 7).neighbors, []);
  assert.is(model.explain('ann', 7).neighborhoodDistance, 0);
  const file = join(folder, 'ids');
  await model.save(file);
  const loaded = await Model.load(file);
  assert.equal(
    [loaded.userIds, loaded.itemIds, loaded.entityIds, loaded.relationIds],
    [data.userIds, data.itemIds, data.entityIds, data.relationIds],
  );
  assert.equal(loaded.recommend('ann'), model.recommend('ann'));
});

suiteOf('bad arguments', async () => {
  const model = models.get('hyper-know')!;
  const user = dataset.userIds[0]!;
  const item = dataset.itemIds[0]!;
  const unknown: [() => unknown, RegExp][] = [
    [() => model.recommend('nobody'), /^user: the model does not know "nobody"/],
    [() => model.explain(user, 'nothing'), /^item: the model does not know/],
    [() => model.recommend(user, 5, { exclude: ['nothing'] }), /^exclude\[0\]: the model does not know/],
    [() => model.foldInUser([item, 'nothing']), /^items\[1\]: the model does not know/],
    [() => model.foldInItem([{ relation: 'no', tail: item }]), /^triples\[0\]\.relation: the model does not know/],
  ];
  for (const [action, pattern] of unknown)
    assert.throws(
      action,
      (error: HyperKnowError) => error instanceof HyperKnowError && error.code === 'ERR_HK_UNKNOWN_ID' && pattern.test(error.message),
    );
  const wrong: [() => unknown, RegExp][] = [
    [() => model.recommend(user, 0), /^k: /],
    [() => model.recommend(user, 1.5), /^k: /],
    [() => model.recommend(user, '5' as unknown as number), /^k: /],
    [() => model.recommend({} as string), /^user: /],
    [() => model.recommend(1.5), /^user: /],
    [() => model.recommend(user, 5, { exclude: 'all' as 'seen' }), /^exclude: /],
    [() => model.recommend(user, 5, { exclude: 5 as unknown as 'seen' }), /^exclude: /],
    [() => model.recommend(user, 5, { exlude: 'none' } as object), /^options\.exlude: /],
    [() => model.recommend(new Float32Array(3)), /^user: must have 12 coordinates/],
    [() => model.recommend(new Float32Array(12).fill(1e6)), /^user: must be a point inside/],
    [() => model.recommend(new Float32Array(12).fill(Number.NaN)), /^user: must be a point inside/],
    [() => model.foldInUser([]), /^items: must hold at least one/],
    [() => model.foldInUser('item' as unknown as string[]), /^items: must be an iterable/],
    [() => model.foldInItem([]), /^triples: must hold at least one/],
    [() => model.foldInItem([null as never]), /^triples\[0\]: /],
  ];
  for (const [action, pattern] of wrong)
    assert.throws(action, (error: Error) => (error instanceof TypeError || error instanceof RangeError) && pattern.test(error.message));
  assert.throws(() => model.recommend(user, 5, { exclude: [[]] as unknown as string[] }), /^exclude\[0\]|exclude/);
  const rejected = await model.save('').then(
    () => undefined,
    (error: Error) => error,
  );
  assert.instance(rejected, TypeError);
});

const says =
  (name: string, text: string) =>
  ({ metadata }: TensorFile) => {
    metadata[name] = text;
  };
const holds =
  (name: string, index: number, value: number) =>
  ({ tensors }: TensorFile) => {
    tensors.get(name)!.data[index] = value;
  };

/** Content that is wrong though every digest fits. */
const wrongs: [label: string, change: (file: TensorFile) => void, pattern: RegExp][] = [
  ['no format', ({ metadata }) => void delete metadata.format, /it is no hyper-know model/],
  ['a newer format', says('version', '2'), /format version 2; this release reads up to 1/],
  ['no version', says('version', 'x'), /no format version/],
  ['no dim', ({ metadata }) => void delete metadata.dim, /dim/],
  ['dim 0', says('dim', '0'), /dim/],
  ['a negative curvature', says('curvature', '-1'), /curvature/],
  ['another curvature', says('curvature', '1e9'), /tensor users has a point outside the ball/],
  ['no training record', says('training', '[]'), /training/],
  ['an unknown variant', says('training', '{"variant":"x"}'), /variant/],
  ['no options', says('training', '{"variant":"hyper-know"}'), /training options/],
  ['no users', ({ tensors }) => void tensors.delete('users'), /no tensor users/],
  ['users of another type', ({ tensors }) => void tensors.set('users', { shape: [0], data: new Uint32Array(0) }), /no tensor users/],
  ['users of another width', ({ tensors }) => void tensors.set('users', { shape: [1, 5], data: new Float32Array(5) }), /12 columns/],
  ['more items than entities', ({ tensors }) => void tensors.set('beta', { shape: [1e5], data: new Float32Array(1e5) }), /more items/],
  ['offsets that decrease', holds('graph.offsets', 3, 1e6), /graph\.offsets decreases/],
  ['offsets that start late', holds('seen.offsets', 0, 1), /seen\.offsets does not cover/],
  ['a tail that is no entity', holds('graph.tails', 0, 1e6), /graph\.tails holds 1000000/],
  ['a relation that is none', holds('graph.relations', 0, 99), /graph\.relations holds 99/],
  ['an item that is none', holds('seen.items', 0, 1e6), /seen\.items holds/],
  [
    'too few relations of triples',
    ({ tensors }) => void tensors.set('graph.relations', { shape: [0], data: new Uint32Array(0) }),
    /not as long/,
  ],
  ...(['[1]', '{}', 'x', `[${'1,'.repeat(79)}1]`, `[${'1.5,'.repeat(79)}2]`] as const).map(
    (text): [string, (file: TensorFile) => void, RegExp] => [
      `user ids ${text.slice(0, 9)}`,
      ({ tensors }) => void tensors.set('userIds', { shape: [text.length], data: new TextEncoder().encode(text) }),
      /tensor userIds/,
    ],
  ),
];
for (const [label, change, pattern] of wrongs)
  suiteOf(`refuses a file with ${label}`, async () => {
    const file = join(folder, 'wrong');
    await models.get('hyper-know')!.save(file);
    const content = await readTensors(file);
    change(content);
    await writeTensors(file, content);
    const error = await Model.load(file).then(
      () => undefined,
      (reason: HyperKnowError) => reason,
    );
    assert.instance(error, HyperKnowError);
    assert.is(error!.code, 'ERR_HK_MODEL_FILE');
    assert.match(error!.message, pattern);
    assert.match(error!.message, /^wrong: /);
    assert.is(error!.file, 'wrong');
  });

suiteOf('refuses other files, and says what is missing', async () => {
  const file = join(folder, 'text');
  writeFileSync(file, 'this is not a model at all, only some text of some length');
  const codes = await Promise.all(
    [file, join(folder, 'missing')].map((path) =>
      Model.load(path).then(
        () => undefined,
        (error: HyperKnowError) => error.code,
      ),
    ),
  );
  assert.equal(codes, ['ERR_HK_MODEL_FILE', 'ERR_HK_IO']);
  assert.equal(
    readdirSync(folder).filter((name) => name.endsWith('.tmp')),
    [],
  );
});

suiteOf('shared entities: the relation has a name, an explanation says what is shared, and a file holds it all', async () => {
  const triple = (head: string, relation: string, tail: string) => ({ head, relation, tail });
  const shop = createDataset(
    {
      interactions: ['lamp', 'rug', 'desk', 'chair'].flatMap((item, i) => [
        { user: 'ann', item },
        { user: `only ${i}`, item },
      ]),
      triples: [
        ...['lamp', 'rug'].map((item) => triple(item, 'designer', 'North')),
        ...['rug', 'desk'].map((item) => triple(item, 'material', 'wool')),
        ...['lamp', 'rug', 'desk'].map((item) => triple(item, 'made in', 'Malmö')),
        triple('lamp', 'shade of', 'wool'),
      ],
    },
    { validationFraction: 0 },
  );
  for (const variant of ['hyper-know', 'bpr-avg-h', 'bpr-att-e'] as const) {
    const model = await train(shop, { variant, dim: 4, epochs: 3, sharedEntities: { mostItems: 3, perItem: 1 } });
    assert.equal(model.relationIds, [...shop.relationIds, 'shares rare entities with']);
    assert.is(model.relations.length, 4 * model.relationIds.length);
    assert.equal(model.training.options.sharedEntities, { mostItems: 3, perItem: 1 });
    assert.equal(model.foldInItem([{ relation: 'shares rare entities with', tail: 'rug' }]).length, 4);
    const path = join(folder, 'shared');
    await model.save(path);
    for (const each of [model, await Model.load(path)]) {
      const { neighbors } = each.explain('ann', 'lamp');
      const found = neighbors.find(({ relation }) => relation === 'shares rare entities with')!;
      assert.equal([found.entity, found.shared], ['rug', ['North', 'wool', 'Malmö']]);
      assert.is(neighbors.filter(({ shared }) => shared === undefined).length, 3);
      near(
        neighbors.reduce((sum, { attention }) => sum + attention, 0),
        1,
      );
      assert.equal(each.explain('ann', 'chair').neighbors, []);
    }
  }
  // Two items may be neighbours twice, and what they share stays what they share in the data's own triples.
  const both = await train(shop, {
    dim: 4,
    epochs: 3,
    sharedEntities: { mostItems: 3, perItem: 1 },
    sharedUsers: { leastUsers: 1, perItem: 3 },
  });
  assert.equal(both.relationIds, [...shop.relationIds, 'shares rare entities with', 'is had by the users of']);
  const path = join(folder, 'both');
  await both.save(path);
  for (const each of [both, await Model.load(path)]) {
    const { neighbors } = each.explain('ann', 'lamp');
    assert.equal(neighbors.find(({ relation }) => relation === 'shares rare entities with')!.shared, ['North', 'wool', 'Malmö']);
    const had = neighbors.filter(({ relation }) => relation === 'is had by the users of');
    assert.equal(had.map(({ entity }) => entity).sort(), ['chair', 'desk', 'rug']);
    for (const { shared, via, entity } of had) assert.equal([shared, via!.includes(entity)], [undefined, true]);
    assert.is(each.explain('ann', 'chair').neighbors.length, 3); // it has no triple of its own
  }
  const without = await train(shop, { variant: 'bpr-h', dim: 4, epochs: 1, sharedEntities: true, sharedUsers: true });
  assert.equal([without.training.options.sharedEntities, without.training.options.sharedUsers], [false, false]);
  assert.equal(without.relationIds, shop.relationIds);
});

suiteOf.run();
