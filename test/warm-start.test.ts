// Training that begins with a model of the data as they were before they grew.
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { usersOf } from '../lib/data/csr.ts';
import { createDataset, type Dataset, type Interaction, type Triple } from '../lib/data/dataset.ts';
import { finish } from '../lib/data/steps.ts';
import { synthetic } from '../lib/data/synthetic.ts';
import type { Model } from '../lib/model.ts';
import { type TrainOptions, train } from '../lib/train.ts';
import { temporaryFolder } from './helpers.ts';
import { row } from './points.ts';

const warmStart = suite('warm start');
const folder = temporaryFolder();
const options: TrainOptions = { dim: 16, batchSize: 512, seed: 3, backend: 'cpu' };

/** The world under ids of its own, and what it was before its last users, items and entities came; the validation split was not there either. */
function worlds(): { before: Dataset; grown: Dataset } {
  const world = synthetic({ seed: 2 });
  const isNew = (id: number, count: number) => id % 8 === 7 && id < count;
  const name = (kind: string) => (id: number) => `${kind}${id}`;
  const [user, entity, relation] = [name('u'), name('e'), name('r')];
  const whole: Interaction[] = [...finish(usersOf(world.train))].map((u, i) => ({ user: user(u), item: entity(world.train.items[i]!) }));
  const triples: Triple[] = [...world.triples.heads].map((head, i) => {
    return { head: entity(head), relation: relation(world.triples.relations[i]!), tail: entity(world.triples.tails[i]!) };
  });
  const grown = createDataset({ interactions: whole, triples }, { seed: 1 });
  const late = new Set([
    ...world.userIds
      .map((_, id) => id)
      .filter((id) => isNew(id, world.users))
      .map(user),
    ...world.itemIds
      .map((_, id) => id)
      .filter((id) => isNew(id, world.items))
      .map(entity),
  ]);
  const owners = finish(usersOf(grown.train));
  const kept = [...owners]
    .map((u, i) => ({ user: grown.userIds[u]!, item: grown.itemIds[grown.train.items[i]!]! }))
    .filter((pair) => !late.has(String(pair.user)) && !late.has(String(pair.item)));
  const before = createDataset(
    {
      // in another order, so that no row is where it was, and with someone who has gone since
      interactions: [...kept.reverse(), { user: 'gone', item: 'sold out' }, { user: 'gone', item: kept[0]!.item }],
      triples: triples.filter(({ head, tail }) => !late.has(String(head)) && !late.has(String(tail))),
    },
    { validationFraction: 0 },
  );
  return { before, grown };
}

const { before, grown } = worlds();

/** The largest difference between the rows of two models with the same id. */
function gap(a: Model, b: Model, table: 'users' | 'entities' | 'relations'): { shared: number; most: number } {
  const ids = `${{ users: 'user', entities: 'entity', relations: 'relation' }[table]}Ids` as 'userIds' | 'entityIds' | 'relationIds';
  const rows = new Map(b[ids].map((id, at) => [id, at]));
  let [shared, most] = [0, 0];
  for (const [at, id] of a[ids].entries()) {
    const other = rows.get(id);
    if (other === undefined) continue;
    ++shared;
    const theirs = row(b[table], other, b.dim);
    row(a[table], at, a.dim).forEach((x, i) => {
      most = Math.max(most, Math.abs(x - theirs[i]!));
    });
  }
  return { shared, most };
}

for (const [label, more] of [
  ['tangent', {}],
  ['ball coordinates', { parameters: 'ball' }],
  ['a learned curvature', { curvature: 'learned' }],
  ['averages, exact Adam', { averaging: true, adam: 'exact' }],
  ['Euclidean', { variant: 'bpr-att-e' }],
] as [string, TrainOptions][])
  warmStart(`rows that both know start equal, new users folded in, others as usual, and what has gone is dropped: ${label}`, async () => {
    const old = await train(before, { ...options, ...more, epochs: 3 });
    const model = await train(grown, { ...options, ...more, epochs: 0, warmStart: old });
    const cold = await train(grown, { ...options, ...more, epochs: 0 });
    for (const table of ['users', 'entities', 'relations'] as const) {
      const { shared, most } = gap(model, old, table);
      const largest = old[table].reduce((sum, x) => Math.max(sum, Math.abs(x)), 0);
      assert.ok(shared > 0 && most <= 2e-6 * Math.max(1, largest), `${table}: ${most} of ${largest}`);
    }
    assert.ok(Math.abs(model.curvature - old.curvature) <= 1e-6 * old.curvature);
    const isKnown = new Set([...old.userIds, ...old.entityIds]);
    let fresh = 0;
    const close = (x: ArrayLike<number>, y: ArrayLike<number>, what: string) =>
      Array.from(x, (value, i) => assert.ok(Math.abs(value - y[i]!) <= 1e-5 * Math.max(1, Math.abs(value)), `${what}: ${value}, ${y[i]}`));
    for (const [at, id] of model.userIds.entries()) {
      if (isKnown.has(id)) continue;
      ++fresh;
      const { offsets, items } = grown.train;
      const own = [...items.subarray(offsets[at], offsets[at + 1])].map((item) => grown.itemIds[item]!);
      const known = own.filter((item) => old.hasItem(item));
      close(row(model.users, at, 16), known.length > 0 ? old.foldInUser(known) : row(cold.users, at, 16), `user ${id}`);
    }
    assert.ok(fresh > 0);
    for (const [at, id] of model.entityIds.entries())
      if (at >= grown.items && !isKnown.has(id) && more.curvature !== 'learned')
        assert.equal(row(model.entities, at, 16), row(cold.entities, at, 16), `entity ${id}`);
    const items = new Map(old.itemIds.map((id, at) => [id, at]));
    if (old.training.options.beta === 'adaptive')
      for (const [at, id] of model.itemIds.entries())
        assert.is(model.beta[at], items.has(id) ? old.beta[items.get(id)!] : cold.beta[at], `beta of ${id}`);
    const { matched, dropped } = model.protocol!.warmStart!;
    assert.equal(matched, {
      users: grown.users - fresh,
      items: grown.itemIds.filter((id) => old.entityIds.includes(id)).length,
      entities: gap(model, old, 'entities').shared,
      relations: grown.relations,
    });
    assert.equal([dropped.users, dropped.items, dropped.relations], [1, 1, 0]);
    assert.ok(!model.hasUser('gone') && !model.hasItem('sold out'));
  });

warmStart('grown data: the validation metric of a training from the beginning in less than half of its epochs', async () => {
  const schedule = { epochs: 40, evaluateEvery: 1, earlyStopping: false } as const;
  const recallsOf = async (more: TrainOptions) => {
    const recalls: number[] = [];
    await train(grown, { ...options, ...schedule, ...more, onEpoch: ({ metrics }) => void recalls.push(metrics!.recall[20]!) });
    return recalls;
  };
  const path = join(folder, 'old.safetensors');
  let [fromTheBeginning, fromTheModel] = [0, 0];
  for (const seed of [1, 3]) {
    await (await train(before, { ...options, seed, epochs: 40 })).save(path);
    const cold = await recallsOf({ seed });
    const warm = await recallsOf({ seed, warmStart: path });
    const reached = (recall: number) => recall >= 0.98 * Math.max(...cold);
    assert.ok(warm.some(reached), `seed ${seed}: ${Math.max(...warm)} warm, ${Math.max(...cold)} cold`);
    fromTheBeginning += 1 + cold.findIndex(reached);
    fromTheModel += 1 + warm.findIndex(reached);
  }
  assert.ok(fromTheModel < fromTheBeginning / 2, `${fromTheModel} epochs warm, ${fromTheBeginning} cold`);
});

warmStart('a model and its file begin the same training, and resuming it gives the same bits', async () => {
  const old = await train(before, { ...options, epochs: 3 });
  const [path, checkpoint] = [join(folder, 'same.safetensors'), join(folder, 'same.checkpoint')];
  await old.save(path);
  const all: TrainOptions = { ...options, epochs: 4, evaluateEvery: 1 };
  const one = await train(grown, { ...all, warmStart: old });
  const controller = new AbortController();
  const stopped = train(grown, {
    ...all,
    warmStart: path,
    checkpoint: { path: checkpoint },
    signal: controller.signal,
    onEpoch: ({ epoch }) => epoch === 2 && controller.abort(),
  });
  assert.is(await stopped.catch((error: unknown) => (error as Error).name), 'AbortError');
  const two = await train(grown, { ...all, warmStart: path, resume: checkpoint });
  for (const table of ['users', 'entities', 'relations', 'beta'] as const) assert.equal(two[table], one[table], table);
  assert.equal(two.protocol!.warmStart, one.protocol!.warmStart);
  const message = await train(grown, { ...all, resume: checkpoint }).catch((error: unknown) => (error as Error).message);
  assert.match(String(message), /another warmStart/);
});

warmStart('a model of another space is refused, naming both values', async () => {
  const old = await train(before, { ...options, epochs: 1 });
  const refusal = async (more: TrainOptions) =>
    train(grown, { ...options, epochs: 1, warmStart: old, ...more }).then(
      () => 'none',
      (error: unknown) => `${(error as Error).name} ${(error as Error).message}`,
    );
  for (const [more, pattern] of [
    [{ dim: 8 }, /^RangeError warmStart: the model has dim 16, this training 8$/],
    [{ parameters: 'ball' }, /^RangeError warmStart: the model has parameters 'tangent', this training 'ball'$/],
    [{ curvature: 2 }, /^RangeError warmStart: the model has curvature 0\.0123\d*, this training 2$/],
    [{ variant: 'bpr-e' }, /^RangeError warmStart: the model has geometry poincare, this training euclidean$/],
    [{ warmStart: join(folder, 'nothing.safetensors') }, /^HyperKnowError nothing\.safetensors: it cannot be read/],
  ] as [TrainOptions, RegExp][])
    assert.match(await refusal(more), pattern);
  for (const bad of ['', 7, {}, null])
    assert.throws(
      () => train(grown, { ...options, warmStart: bad as unknown as string }),
      /^warmStart: must be a Model or the path of one/,
    );
});

warmStart.run();
