// Every state of an object against every one of its methods: a documented result or a typed error, whatever is still in flight.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { synthetic } from '../lib/data/synthetic.ts';
import { evaluate } from '../lib/evaluate.ts';
import { exportModel } from '../lib/export/index.ts';
import { Model } from '../lib/model.ts';
import { type NativeTrainer, native } from '../lib/native.ts';
import { resolveOptions } from '../lib/options.ts';
import { train } from '../lib/train.ts';
import { trainerConfig } from '../lib/trainer-config.ts';
import { temporaryFolder } from './helpers.ts';

const states = suite('states and methods');

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

const folder = temporaryFolder();
const dataset = synthetic({ users: 60, items: 80, interactionsPerUser: [5, 8], seed: 5 });
const [user, item] = [dataset.userIds[0]!, dataset.itemIds[0]!];
let file: string;
states.before(async () => {
  file = join(folder, 'model');
  await (await train(dataset, { dim: 8, epochs: 1, batchSize: 128, backend: 'cpu' })).save(file);
});

type Outcome = 'ok' | string;

/** 'ok', or the code of the error. */
async function outcomeOf(call: () => unknown): Promise<Outcome> {
  try {
    await call();
    return 'ok';
  } catch (error) {
    const { code } = error as { code?: unknown };
    return typeof code === 'string' ? code : `untyped: ${error}`;
  }
}

// ── models ──

/** A call of every method, by its name. */
const METHODS: Readonly<Record<string, (model: Model) => unknown>> = {
  hasUser: (model) => model.hasUser(user),
  hasItem: (model) => model.hasItem(item),
  recommend: (model) => model.recommend(user, 5),
  recommendBatch: (model) => model.recommendBatch([user], { k: 5 }),
  recommendBatchSync: (model) => model.recommendBatchSync([user], { k: 5 }),
  similarItems: (model) => model.similarItems(item),
  similarUsers: (model) => model.similarUsers(user),
  explain: (model) => model.explain(user, item),
  foldInUser: (model) => model.foldInUser([item]),
  foldInItem: (model) => model.foldInItem([{ relation: dataset.relationIds[0]!, tail: dataset.entityIds[0]! }]),
  itemWeights: (model) => model.itemWeights(),
  graphInfluence: (model) => model.graphInfluence(),
  diagnostics: (model) => model.diagnostics(),
  toLorentz: (model) => model.toLorentz(),
  save: (model) => model.save(join(folder, 'saved')),
};

/** Methods of Model that `METHODS` does not call: none but those that end it. */
const uncalled = (known: object) =>
  Object.getOwnPropertyNames(Model.prototype).filter(
    (name) => !Object.hasOwn(known, name) && !['constructor', 'close', 'closed'].includes(name),
  );

states('every method of an open and of a closed model', async () => {
  assert.equal(uncalled(METHODS), []);
  const [open, closed] = [await Model.load(file), await Model.load(file)];
  for (let times = 0; times < 3; ++times) closed.close();
  closed[Symbol.dispose]();
  for (const [name, call] of Object.entries(METHODS)) {
    assert.is(await outcomeOf(() => call(open)), 'ok', name);
    assert.is(await outcomeOf(() => call(closed)), 'ERR_HK_DISPOSED', `${name}, closed`);
  }
  for (const [name, call] of Object.entries<(model: Model) => unknown>({
    evaluate: (model) => evaluate(model, dataset),
    exportModel: (model) => exportModel(model, { to: 'npy', out: join(folder, 'exported') }),
    warmStart: (model) => train(dataset, { dim: 8, epochs: 1, backend: 'cpu', warmStart: model }),
  })) {
    assert.match(await outcomeOf(() => call(closed)), /^ERR_HK_/, `${name}, closed`);
    if (name === 'exportModel') assert.not.ok(existsSync(join(folder, 'exported')));
    assert.is(await outcomeOf(() => call(open)), 'ok', name);
  }
});

states('planted: a method that nobody calls, and a closed model that answers, are reported', async () => {
  const { explain: _, ...rest } = METHODS;
  assert.equal(uncalled(rest), ['explain']);
  assert.is(await outcomeOf(() => undefined), 'ok');
  assert.match(await outcomeOf(() => Promise.reject(new TypeError('x is undefined'))), /^untyped: /);
});

states('a model that is closed while something of it is in flight', async () => {
  const all = {
    batch: METHODS.recommendBatch!,
    save: METHODS.save!,
    influence: METHODS.graphInfluence!,
    diagnostics: METHODS.diagnostics!,
  };
  const more = { evaluate: (model: Model) => evaluate(model, dataset), load: () => Model.load(file) };
  for (const [name, call] of Object.entries({ ...all, ...more }))
    for (const turns of [0, 1, 2, 5]) {
      const model = await Model.load(file);
      const outcome = outcomeOf(() => call(model));
      for (let i = 0; i < turns; ++i) await new Promise((resolve) => setImmediate(resolve));
      model.close();
      assert.match(await outcome, /^ok$|^ERR_HK_/, `${name}, closed after ${turns} turns`);
      if (name === 'save' && (await outcome) === 'ok') (await Model.load(join(folder, 'saved'))).recommend(user);
    }
});

states('a model that is collected while something of it is in flight', async () => {
  const users = [...dataset.userIds];
  const expected = (await Model.load(file)).recommendBatchSync(users, { k: 5 });
  for (let round = 0; round < 10; ++round) {
    const pending = await (async () => {
      const model = await Model.load(file);
      return { batch: model.recommendBatch(users, { k: 5, threads: 2 }) };
    })();
    collect();
    const batch = await pending.batch;
    collect();
    assert.equal(batch.items, expected.items);
    assert.equal(batch.distances, expected.distances);
  }
  for (let round = 0; round < 5; ++round) {
    const run = train(dataset, { dim: 8, epochs: 3, batchSize: 64, backend: 'cpu' }); // nobody waits for it but here
    collect();
    await new Promise((resolve) => setImmediate(resolve));
    collect();
    assert.is((await run).users.length, 8 * dataset.users);
  }
});

// ── trainers ──

const everyone = Uint32Array.from({ length: dataset.users }, (_, i) => i);
const configuration = () => trainerConfig(dataset, dataset, resolveOptions({ dim: 8, backend: 'cpu', batchSize: 4 }, 100, true), 'cpu');

/** Calls of every method; jobs are waited for. */
const TRAINER_METHODS: Readonly<Record<keyof NativeTrainer, (trainer: NativeTrainer) => unknown>> = {
  epoch: (trainer) => trainer.epoch(0, 1).promise,
  samples: (trainer) => trainer.samples(0),
  topK: (trainer) => trainer.topK(everyone, 5, null, null).promise,
  read: (trainer) => trainer.read().promise,
  beta: (trainer) => trainer.beta().promise,
  state: (trainer) => trainer.state().promise,
  restore: async (trainer) => trainer.restore(await new native.Trainer(configuration()).state().promise).promise,
  finish: (trainer) => trainer.finish().promise,
  dispose: (trainer) => trainer.dispose(),
};

/** Brings a new trainer to a state; what every method but dispose gives then. */
const TRAINER_STATES: Readonly<Record<string, { reach: (trainer: NativeTrainer) => unknown; expected: RegExp }>> = {
  new: { reach: () => undefined, expected: /^ok$/ },
  trained: { reach: (trainer) => trainer.epoch(0, 1).promise, expected: /^ok$/ },
  training: { reach: (trainer) => void trainer.epoch(0, 1).promise.catch(() => {}), expected: /^ERR_HK_BUSY$|^ok$/ },
  aborted: {
    reach: async (trainer) => {
      const job = trainer.epoch(0, 1);
      job.cancel();
      job.cancel();
      const outcome = await outcomeOf(() => job.promise);
      assert.ok(['ABORT_ERR', 'ok'].includes(outcome), outcome);
    },
    expected: /^ok$/,
  },
  finished: { reach: (trainer) => trainer.finish().promise, expected: /^ERR_HK_DISPOSED$/ },
  finishing: { reach: (trainer) => void trainer.finish(), expected: /^ERR_HK_DISPOSED$/ },
  disposed: { reach: (trainer) => trainer.dispose(), expected: /^ERR_HK_DISPOSED$/ },
  'disposed in training': {
    reach: (trainer) => {
      void trainer.epoch(0, 1).promise.catch(() => {});
      trainer.dispose();
    },
    expected: /^ERR_HK_DISPOSED$/,
  },
};

for (const [state, { reach, expected }] of Object.entries(TRAINER_STATES))
  states(`every method of a trainer: ${state}`, async () => {
    for (const [name, call] of Object.entries(TRAINER_METHODS)) {
      const trainer = new native.Trainer(configuration());
      await reach(trainer);
      const outcome = await outcomeOf(() => call(trainer));
      if (name === 'dispose') assert.is(outcome, 'ok', name);
      else assert.match(outcome, expected, name);
      for (let times = 0; times < 2; ++times) trainer.dispose();
      collect();
    }
  });

states('bad calls of a trainer leave it as it was', async () => {
  const trainer = new native.Trainer(configuration());
  const before = await trainer.state().promise;
  for (const call of [
    () => trainer.epoch(-1, 1),
    () => trainer.epoch(0, Number.NaN),
    () => trainer.topK(Uint32Array.of(dataset.users), 5, null, null),
    () => trainer.topK(everyone, 0, null, null),
    () => trainer.topK(everyone, 5, Uint32Array.of(1), Uint32Array.of(0)),
    () => trainer.restore({ steps: -1, tensors: {} }),
    () => trainer.restore({ steps: 0, tensors: { users: [] as unknown as Float32Array } }),
  ])
    assert.match(await outcomeOf(call), /^ERR_HK_(TYPE|RANGE)$/, String(call));
  assert.is(await outcomeOf(() => trainer.restore({ steps: 0, tensors: {} }).promise), 'ERR_HK_MODEL_FILE');
  assert.equal(await trainer.state().promise, before);
  trainer.dispose();
  for (const Class of [native.Trainer, native.ItemTable] as unknown as { new (...all: unknown[]): object; prototype: object }[]) {
    assert.throws(
      () => new Class(),
      (error: Error) => error instanceof TypeError,
    );
    assert.throws(
      () => (Class as unknown as () => void)(),
      (error: Error) => error instanceof TypeError,
    );
    for (const name of Object.getOwnPropertyNames(Class.prototype).filter((one) => one !== 'constructor'))
      assert.throws(() => (Class.prototype as Record<string, () => void>)[name]!.call({}), /Illegal invocation|Invalid argument/, name);
  }
});

states('planted: a trainer of another state is reported', async () => {
  const trainer = new native.Trainer(configuration());
  assert.not.match(await outcomeOf(() => TRAINER_METHODS.read(trainer)), TRAINER_STATES.disposed!.expected);
});

states.run();
