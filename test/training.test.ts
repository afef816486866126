// Training as a whole: what it learns, that it is reproducible to the last bit, and how it starts, stops and goes on.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { popularity, rankBy } from '../lib/controls.ts';
import { createDataset, type Dataset } from '../lib/data/dataset.ts';
import { synthetic } from '../lib/data/synthetic.ts';
import { HyperKnowError } from '../lib/errors.ts';
import { expMapOrigin } from '../lib/geometry.ts';
import { evaluate, evaluateRanking, meanMetrics } from '../lib/evaluate.ts';
import { Model } from '../lib/model.ts';
import { type NativeTrainer, native, type TrainerConfig } from '../lib/native.ts';
import { type EpochEvent, type TrainOptions, train } from '../lib/train.ts';
import { VARIANTS } from '../lib/variants.ts';
import { temporaryFolder, threadClock, workClock } from './helpers.ts';

const training = suite('training');

const folder = temporaryFolder();
const world = synthetic({ seed: 2 });
const small = synthetic({ users: 120, items: 150, interactionsPerUser: [8, 14], seed: 5 });
/** A few hundred steps that take a fraction of a second. */
const brief: TrainOptions = { dim: 16, epochs: 6, batchSize: 256, seed: 3, backend: 'cpu' };

const TABLES = ['users', 'entities', 'relations', 'beta'] as const;

const bytes = ({ buffer, byteOffset, byteLength }: Float32Array) => Buffer.from(buffer, byteOffset, byteLength);

/** The tables in which two models differ in any bit. */
function differences(a: Model, b: Model): string[] {
  return [...TABLES.filter((name) => !bytes(a[name]).equals(bytes(b[name]))), ...(a.curvature === b.curvature ? [] : ['curvature'])];
}

function assertSame(a: Model, b: Model, label = ''): void {
  assert.equal(differences(a, b), [], label);
}

async function failure(promise: PromiseLike<unknown>): Promise<Error> {
  try {
    await promise;
  } catch (error) {
    return error as Error;
  }
  throw new assert.Assertion({
    message: 'it should have failed',
    operator: 'failure',
    expects: 'an error',
    actual: 'none',
    details: '',
    generated: false,
  });
}

for (const { name, label, geometry, knowledge, adaptive } of VARIANTS)
  training(`${label} learns: the loss falls, and it beats popularity`, async () => {
    const losses: number[] = [];
    const onEpoch = ({ loss, rankingLoss, knowledgeLoss, seconds }: EpochEvent) => {
      losses.push(rankingLoss);
      assert.ok(Math.abs(rankingLoss + knowledgeLoss - loss) <= 1e-12);
      assert.is(knowledgeLoss > 0, knowledge);
      assert.ok(seconds > 0);
    };
    const model = await train(world, { variant: name, dim: 32, epochs: 40, batchSize: 512, backend: 'cpu', onEpoch });
    assert.ok(Math.abs(losses[0]! - Math.LN2) <= 0.05, `first loss ${losses[0]}`);
    assert.ok(losses.at(-1)! < 0.6 * losses[0]!, `losses ${losses}`);
    const recall = (await evaluate(model, world)).recall[20]!;
    const least = meanMetrics(await evaluateRanking(rankBy(popularity(world), world), world)).recall[20]!;
    assert.ok(recall > 1.3 * least, `recall ${recall}, popularity ${least}`);
    assert.is(model.curvature > 0, geometry === 'poincare');
    assert.is(new Set(model.beta).size > 100, adaptive);
  });

for (const [label, options] of [
  ['the defaults', {}],
  ['ball coordinates', { parameters: 'ball' }],
  ['a learned curvature', { curvature: 'learned' }],
  ['exact Adam', { adam: 'exact' }],
  ['no attention', { variant: 'bpr-avg-h' }],
  ['Euclidean', { variant: 'bpr-att-e' }],
  ['averages', { averaging: { decay: 0.8, every: 3 } }],
  ['averages of ball coordinates', { averaging: true, parameters: 'ball', adam: 'dense' }],
  ['averages, exact Adam', { averaging: { every: 3 }, adam: 'exact', batchSize: 64 }],
  ['sampled softmax', { loss: 'sampled-softmax', negatives: 50 }],
  ['sampled softmax, a learned curvature', { loss: 'sampled-softmax', negatives: 300, batchSize: 500, curvature: 'learned' }],
  ['sampled softmax, Euclidean, exact Adam', { loss: 'sampled-softmax', negatives: 33, variant: 'bpr-e', adam: 'exact' }],
] as [string, TrainOptions][])
  training(`the same bits every time and on 1, 2, 3 and 8 threads: ${label}`, async () => {
    const one = await train(small, { ...brief, ...options, threads: 1 });
    assertSame(await train(small, { ...brief, ...options, threads: 1 }), one, 'again');
    for (const threads of [2, 3, 8]) assertSame(await train(small, { ...brief, ...options, threads }), one, `${threads} threads`);
    assert.ok(differences(await train(small, { ...brief, ...options, seed: 4 }), one).includes('users'));
  });

for (const variant of ['hyper-know', 'bpr-h', 'bpr-e'] as const)
  training(`sampled softmax learns, with ${variant}: the loss falls, and it beats popularity`, async () => {
    const losses: number[] = [];
    const onEpoch = ({ rankingLoss }: EpochEvent) => void losses.push(rankingLoss);
    const softmax = { loss: 'sampled-softmax', negatives: 64 } as const;
    const model = await train(world, { variant, ...softmax, dim: 32, epochs: 40, batchSize: 512, backend: 'cpu', onEpoch });
    assert.ok(Math.abs(losses[0]! - Math.log(65)) <= 0.2, `first loss ${losses[0]}`);
    assert.ok(losses.at(-1)! < 0.8 * losses[0]!, `losses ${losses}`);
    const recall = (await evaluate(model, world)).recall[20]!;
    const least = meanMetrics(await evaluateRanking(rankBy(popularity(world), world), world)).recall[20]!;
    assert.ok(recall > 1.3 * least, `recall ${recall}, popularity ${least}`);
  });

training('shared negatives are distinct, uniform, and differ from batch to batch and from epoch to epoch', () => {
  const { users, items, entities, relations, train: interactions, graph } = small;
  const trainer = new native.Trainer({
    ...{ backend: 'cpu', threads: 1, dim: 4, users, items, entities, relations, seed: 1, batchSize: 8, sharedNegatives: 30 },
    ...{ trainOffsets: interactions.offsets, trainItems: interactions.items },
    ...{ graphOffsets: graph.offsets, graphRelations: graph.relations, graphTails: graph.tails },
    ...{ geometry: 'poincare', curvature: 1, learnCurvature: false, parameters: 'tangent', knowledge: false, attention: false },
    ...{
      adaptive: false,
      attentionTemperature: 1,
      knowledgeWeight: 0.5,
      learningRate: 0.01,
      betaLearningRate: 0.1,
      curvatureLearningRate: 0,
    },
    ...{
      innerLearningRate: 0.01,
      regularization: 0,
      adam: 'touched',
      initScale: 0.1,
      averageDecay: 0,
      averageEvery: 0,
      timeKernels: false,
    },
  });
  const counts = new Float64Array(items);
  const batches = new Set<string>();
  const [epochs, perEpoch] = [6, Math.ceil(interactions.items.length / 8)];
  for (let epoch = 0; epoch < epochs; ++epoch) {
    const { shared } = trainer.samples(epoch);
    assert.is(shared.length, 30 * perEpoch);
    for (let batch = 0; batch < perEpoch; ++batch) {
      const negatives = shared.subarray(30 * batch, 30 * (batch + 1));
      assert.is(new Set(negatives).size, 30);
      batches.add(negatives.join());
      for (const item of negatives) counts[item]!++;
    }
  }
  trainer.dispose();
  assert.is(batches.size, epochs * perEpoch);
  // χ² of the counts: mean items − 1; a draw without replacement makes it smaller by 1 − 30/items
  const expected = (30 * epochs * perEpoch) / items;
  const chi2 = counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0) / (1 - 30 / items);
  assert.ok(Math.abs(chi2 - items) <= 5 * Math.sqrt(2 * items), `χ² ${chi2} of ${items} items`);
});

training('two runs at once do not meet', async () => {
  const other = { ...brief, seed: 9, variant: 'bpr-avg-h' } as const;
  const together = await Promise.all([train(small, brief), train(world, other), train(small, brief)]);
  assertSame(together[0], await train(small, brief));
  assertSame(together[1], await train(world, other));
  assertSame(together[2], together[0]);
});

for (const [label, changes] of [
  ['tangent', {}],
  ['ball', { parameters: 'ball' }],
  ['tangent, averages every step', { averaging: { every: 1 } }],
  ['tangent, averages, sampled softmax', { averaging: true, loss: 'sampled-softmax', negatives: 20 }],
  ['ball, averages from beyond the ball', { parameters: 'ball', averaging: { decay: 0.7, every: 5 }, initScale: 0.5, learningRate: 0.02 }],
  ['Euclidean, averages', { variant: 'bpr-att-e', averaging: { every: 3 } }],
] as [string, TrainOptions][])
  training(`exact Adam is dense Adam to the last bit (${label}), touched Adam is another`, async () => {
    // Few samples in a step, so that most rows wait for many steps; and no epoch ends with a step that is averaged.
    const options: TrainOptions = { ...brief, batchSize: 32, epochs: 3, ...changes };
    const dense = await train(small, { ...options, adam: 'dense' });
    assertSame(await train(small, { ...options, adam: 'exact' }), dense);
    assert.ok(differences(await train(small, { ...options, adam: 'touched' }), dense).includes('users'));
  });

training('a learned curvature moves, a given one stays', async () => {
  const learned = await train(small, { ...brief, curvature: 'learned', curvatureLearningRate: 0.05 });
  assert.ok(Math.abs(learned.curvature - 1) > 0.05, `${learned.curvature}`);
  const given = await train(small, { ...brief, curvature: 0.25 });
  assert.ok(Math.abs(given.curvature - 0.25) <= 1e-12, `${given.curvature}`);
});

training('a fixed beta is not learned, and 0 takes L_K out of the loss', async () => {
  const fixed = await train(small, { ...brief, beta: 0.4 });
  assert.is(new Set(fixed.beta).size, 1);
  assert.is(fixed.explain(small.userIds[0]!, small.itemIds[0]!).knowledgeWeight, 0.4);
  await train(small, { ...brief, beta: 0, onEpoch: ({ knowledgeLoss }) => assert.is(knowledgeLoss, 0) });
});

training('the attention’s temperature: the higher, the more alike neighbours count, up to no attention', async () => {
  const spreads = await Promise.all(
    [0.2, 1, 1e6].map(async (attentionTemperature) => {
      const model = await train(small, { ...brief, attentionTemperature });
      assert.is(model.training.options.attentionTemperature, attentionTemperature);
      const item = small.itemIds.find((_, i) => small.graph.offsets[i + 1]! - small.graph.offsets[i]! > 2)!;
      const { neighbors } = model.explain(small.userIds[0]!, item);
      const weights = neighbors.map(({ attention }) => attention);
      assert.ok(Math.abs(weights.reduce((sum, weight) => sum + weight, 0) - 1) < 1e-5);
      return { model, item, entropy: -weights.reduce((sum, weight) => sum + weight * Math.log(weight), 0) };
    }),
  );
  const [sharp, plain, flat] = spreads.map(({ entropy }) => entropy) as [number, number, number];
  assert.ok(sharp < plain && plain < flat, `${sharp}, ${plain}, ${flat}`);
  const alike = await train(small, { ...brief, variant: 'bpr-avg-h', beta: 'adaptive' });
  const weights = alike.explain(small.userIds[0]!, spreads[2]!.item).neighbors.map(({ attention }) => attention);
  assert.ok(Math.abs(-weights.reduce((sum, weight) => sum + weight * Math.log(weight), 0) - flat) < 0.01, `${weights}`);
});

// -- Events --

training('iteration, awaiting and onEpoch see the same epochs, in order, each once, at any time', async () => {
  const called: EpochEvent[] = [];
  const run = train(small, { ...brief, evaluateEvery: 2, onEpoch: (event) => void called.push(event) });
  const iterated: EpochEvent[] = [];
  for await (const event of run) {
    iterated.push(event);
    await sleep(5); // slower than training
  }
  const model = await run;
  const late: EpochEvent[] = [];
  for await (const event of run) late.push(event);
  assert.equal(
    iterated.map(({ epoch }) => epoch),
    [1, 2, 3, 4, 5, 6],
  );
  assert.equal(iterated, called);
  assert.equal(late, called);
  assert.is(await run, model);
  assert.equal(
    called.map(({ metrics }) => metrics !== undefined),
    [false, true, false, true, false, true],
  );
  assert.ok(called[1]!.metrics!.recall[20]! > 0);
  const { p10, p50, p90 } = called[1]!.knowledgeWeight!;
  assert.ok(0 < p10 && p10 <= p50 && p50 <= p90 && p90 < 1);
  assert.is(called[5]!.step, 6 * called[0]!.step);
});

training('itemWeights: where it is asked for, what was evaluated says σ(β_v) of every item, and the model is the same', async () => {
  const events: EpochEvent[] = [];
  const model = await train(small, {
    ...{ ...brief, evaluateEvery: 3, earlyStopping: false, itemWeights: true },
    onEpoch: (event) => void events.push(event),
  });
  assert.equal(
    events.map(({ itemWeights }) => itemWeights?.length),
    [undefined, undefined, small.items, undefined, undefined, small.items],
  );
  assert.equal(events[5]!.itemWeights, model.itemWeights());
  assert.not.equal(events[2]!.itemWeights, model.itemWeights());
  const quiet: EpochEvent[] = [];
  assertSame(model, await train(small, { ...brief, evaluateEvery: 3, earlyStopping: false, onEpoch: (event) => void quiet.push(event) }));
  assert.ok(quiet.every((event) => !('itemWeights' in event)));
  const fixed = train(small, { ...brief, beta: 0.2, itemWeights: true });
  for await (const event of fixed) assert.ok(!('itemWeights' in event));
});

training('leaving an iteration does not stop training', async () => {
  const run = train(small, brief);
  for await (const { epoch } of run) if (epoch === 2) break;
  const model = await run;
  assertSame(model, await train(small, brief));
});

training('onEpoch is waited for, and its error ends training', async () => {
  let busy = false;
  await train(small, {
    ...brief,
    epochs: 3,
    onEpoch: async () => {
      assert.not.ok(busy);
      busy = true;
      await sleep(5);
      busy = false;
    },
  });
  for (const asynchronous of [false, true]) {
    const reason = new Error('enough');
    const seen: number[] = [];
    const onEpoch = ({ epoch }: EpochEvent): unknown => {
      seen.push(epoch);
      if (epoch < 2) return undefined;
      if (asynchronous) return Promise.reject(reason);
      throw reason;
    };
    const run = train(small, { ...brief, onEpoch });
    assert.is(await failure(run), reason);
    assert.equal(seen, [1, 2]);
    const iteration = (async () => {
      const epochs = [];
      try {
        for await (const { epoch } of run) epochs.push(epoch);
      } catch (error) {
        return { epochs, error };
      }
      return { epochs };
    })();
    assert.equal(await iteration, { epochs: [1, 2], error: reason });
  }
});

// -- Selection --

training('early stopping takes the best epoch, and stops after so many steps without a better one', async () => {
  // A learning rate at which the best epoch is an early one.
  const options: TrainOptions = { ...brief, learningRate: 0.05, schedule: 'constant', epochs: 80, evaluateEvery: 1 };
  const events: EpochEvent[] = [];
  const model = await train(small, { ...options, earlyStopping: { patience: 40 }, onEpoch: (event) => void events.push(event) });
  const recalls = events.map(({ metrics }) => metrics!.recall[20]!);
  const best = recalls.indexOf(Math.max(...recalls)) + 1;
  assert.ok(best < events.length && events.length < 80, `best ${best} of ${events.length}`);
  assert.is(model.training.epoch, best);
  assert.is(model.training.steps, events[best - 1]!.step);
  assert.is(model.training.validationRecall, recalls[best - 1]);
  assert.is((await evaluate(model, small, { split: 'validation' })).recall[20], recalls[best - 1]);
  assert.ok(events.at(-1)!.step - events[best - 1]!.step >= 40);
  assert.ok(events.at(-2)!.step - events[best - 1]!.step < 40);
  // The same parameters as those of a run that ends there.
  assertSame(await train(small, { ...options, epochs: best, earlyStopping: false }), model);
});

training('without early stopping, or without a validation split, the last epoch is the model', async () => {
  const last = await train(small, { ...brief, earlyStopping: false });
  assert.is(last.training.epoch, brief.epochs);
  assert.is(last.training.validationRecall, undefined);
  const whole = synthetic({ users: 120, items: 150, interactionsPerUser: [8, 14], seed: 5, validationFraction: 0 });
  const events: EpochEvent[] = [];
  const model = await train(whole, { ...brief, onEpoch: (event) => void events.push(event) });
  assert.is(model.training.epoch, brief.epochs);
  assert.ok(events.every(({ metrics }) => metrics === undefined));
});

// -- Stopping and going on --

for (const [label, options] of [
  ['touched Adam', {}],
  ['exact Adam', { adam: 'exact', batchSize: 64 }],
  ['ball coordinates, learned curvature', { parameters: 'ball', curvature: 'learned' }],
  [
    'averages, shared entities and users',
    { averaging: true, sharedEntities: { mostItems: 20, perItem: 3 }, sharedUsers: { leastUsers: 1, perItem: 2 } },
  ],
  ['averages, exact Adam', { averaging: { every: 3 }, adam: 'exact', batchSize: 64 }],
  ['averages of ball coordinates, in Euclidean space', { averaging: { every: 5 }, parameters: 'ball', variant: 'bpr-att-e' }],
  ['sampled softmax, learned curvature', { loss: 'sampled-softmax', negatives: 40, curvature: 'learned' }],
] as [string, TrainOptions][])
  training(`resuming gives the model of the run that was never interrupted, bit for bit: ${label}`, async () => {
    const all: TrainOptions = { ...brief, ...options, epochs: 8, evaluateEvery: 2 };
    const whole = await train(small, all);
    const path = join(folder, 'resume');
    const controller = new AbortController();
    const stopped = train(small, {
      ...all,
      checkpoint: { path, every: 1 },
      signal: controller.signal,
      onEpoch: ({ epoch }) => {
        if (epoch === 5) controller.abort();
      },
    });
    assert.is((await failure(stopped)).name, 'AbortError');
    const epochs: number[] = [];
    const resumed = await train(small, { ...all, threads: 1, resume: path, onEpoch: ({ epoch }) => void epochs.push(epoch) });
    assert.equal(epochs, [6, 7, 8]);
    assertSame(resumed, whole);
    assert.equal(resumed.training, whole.training);
  });

training('a checkpoint of a finished run gives its model without training', async () => {
  const path = join(folder, 'finished');
  const model = await train(small, { ...brief, checkpoint: { path, every: 100 } });
  const run = train(small, { ...brief, resume: path });
  for await (const event of run) assert.unreachable(`epoch ${event.epoch}`);
  assertSame(await run, model);
});

training('a checkpoint of other options, other data or other files is refused', async () => {
  const path = join(folder, 'other');
  const model = await train(small, { ...brief, epochs: 2, checkpoint: { path } });
  const refused = async (data: Dataset, options: TrainOptions, pattern: RegExp, file = path) => {
    const error = await failure(train(data, { ...brief, epochs: 2, resume: file, ...options }));
    assert.instance(error, HyperKnowError);
    assert.match(error.message, pattern);
  };
  await refused(small, { learningRate: 0.5 }, /^other: it was made with another learningRate: 0\.003, not 0\.5/);
  await refused(small, { seed: 7 }, /another seed/);
  await refused(small, { variant: 'bpr-att-h' }, /another variant/);
  await refused(small, { averaging: true }, /another averaging: false, not/);
  await refused(small, { sharedEntities: true }, /another sharedEntities: false, not/);
  await refused(small, { sharedUsers: true }, /another sharedUsers: false, not/);
  const twin = synthetic({ users: 120, items: 150, interactionsPerUser: [8, 14], seed: 5, validationFraction: 0.2 });
  await refused(twin, {}, /another dataset/);
  await refused(small, {}, /cannot be read/, join(folder, 'missing'));
  await model.save(join(folder, 'model'));
  await refused(small, {}, /^model: it is no hyper-know checkpoint/, join(folder, 'model'));
  const error = await failure(Model.load(path));
  assert.match(error.message, /^other: it is no hyper-know model/);
});

training('checkpoints that come sooner than minSeconds after the last are left out, that of the last epoch, too', async () => {
  const path = join(folder, 'seldom');
  await train(small, { ...brief, epochs: 3, checkpoint: { path, minSeconds: 3600 } });
  assert.not.ok(existsSync(path));
  await train(small, { ...brief, epochs: 3, checkpoint: { path, minSeconds: 1e-9 } });
  assert.ok(existsSync(path));
});

training('a checkpoint that cannot be written ends training', async () => {
  const error = await failure(train(small, { ...brief, checkpoint: { path: join(folder, 'nowhere', 'file') } }));
  assert.is((error as HyperKnowError).code, 'ERR_HK_IO');
});

/** So much work that it would take minutes. */
const endless: TrainOptions = { dim: 64, epochs: 100_000, batchSize: 4096, earlyStopping: false, evaluateEvery: 100_000, backend: 'cpu' };
const large = synthetic({ users: 4000, items: 4000, interactionsPerUser: [30, 40], validationFraction: 0 });

training('an abort rejects with the signal’s reason within 250 ms', async () => {
  for (const delay of [1, 60, 170]) {
    const controller = new AbortController();
    const run = train(large, { ...endless, signal: controller.signal });
    const failed = failure(run);
    await sleep(delay);
    const reason = new Error(`after ${delay}`);
    const [aborted, work] = [performance.now(), workClock()];
    controller.abort(reason);
    assert.is(await failed, reason);
    const took = performance.now() - aborted;
    assert.ok(took <= 250 || (work() <= 250 && took <= 5000), `${took} ms`);
  }
});

training('an abort before the start, and in onEpoch', async () => {
  const reason = new Error('no');
  assert.is(await failure(train(large, { ...endless, signal: AbortSignal.abort(reason) })), reason);
  const controller = new AbortController();
  let epochs = 0;
  const run = train(small, {
    ...brief,
    signal: controller.signal,
    onEpoch: () => {
      ++epochs;
      controller.abort(reason);
    },
  });
  assert.is(await failure(run), reason);
  assert.is(epochs, 1);
});

training('an abort within an epoch leaves a checkpoint of the epoch before', async () => {
  const path = join(folder, 'aborted');
  const controller = new AbortController();
  const options: TrainOptions = { dim: 16, epochs: 4, batchSize: 64, seed: 3, backend: 'cpu' };
  const data = synthetic({ users: 1500, items: 1500 });
  const whole = await train(data, options);
  const run = train(data, {
    ...options,
    checkpoint: { path, every: 100 },
    signal: controller.signal,
    onEpoch: ({ epoch }) => {
      if (epoch === 2) setImmediate(() => controller.abort());
    },
  });
  assert.is((await failure(run)).name, 'AbortError');
  const resumed = train(data, { ...options, resume: path });
  const epochs = [];
  for await (const { epoch } of resumed) epochs.push(epoch);
  assert.equal(epochs, [3, 4]);
  assertSame(await resumed, whole);
  assert.equal(
    readdirSync(folder).filter((name) => name.endsWith('.tmp')),
    [],
  );
});

/** Of the native trainer: one step is an epoch. */
function configuration(changes: Partial<TrainerConfig>): TrainerConfig {
  const { users, items, entities, relations, train: interactions, graph } = small;
  return {
    ...{ backend: 'cpu', threads: 1, dim: 8, users, items, entities, relations, seed: 1, batchSize: interactions.items.length },
    sharedNegatives: 0,
    ...{ trainOffsets: interactions.offsets, trainItems: interactions.items },
    ...{ graphOffsets: graph.offsets, graphRelations: graph.relations, graphTails: graph.tails },
    ...{
      geometry: 'poincare',
      curvature: 1,
      learnCurvature: false,
      parameters: 'tangent',
      knowledge: true,
      attention: true,
      adaptive: true,
    },
    ...{
      attentionTemperature: 1,
      knowledgeWeight: 0.5,
      learningRate: 0.01,
      betaLearningRate: 0.1,
      curvatureLearningRate: 0,
      innerLearningRate: 0.01,
    },
    ...{ regularization: 0, adam: 'touched', averageDecay: 0, averageEvery: 0, initScale: 0.1, timeKernels: false },
    ...changes,
  };
}

for (const changes of [
  {},
  { parameters: 'ball', adam: 'exact', learnCurvature: true, curvatureLearningRate: 0.01 },
  { averageDecay: 0.8, averageEvery: 2, adam: 'exact' },
  { parameters: 'ball', averageDecay: 0.8, averageEvery: 2 },
  { geometry: 'euclidean', adaptive: false, sharedNegatives: 20 },
] satisfies Partial<TrainerConfig>[])
  training(`finish gives what read gives, and beta its β: ${JSON.stringify(changes)}`, async () => {
    const trainer = new native.Trainer(configuration({ ...changes, batchSize: 64 }));
    await trainer.epoch(0, 1).promise;
    const read = await trainer.read().promise;
    assert.equal(await trainer.beta().promise, read.beta);
    assert.equal(await trainer.finish().promise, read);
  });

for (const sharedNegatives of [0, 64])
  training(`what a ranking forgets of the step before, the next has no need of: ${sharedNegatives || 'no'} shared negatives`, async () => {
    // Blocks from 2 MiB on are forgotten, as the gradients of 800 items are.
    const { users, items, entities, relations, train: interactions, graph } = world;
    const tables = { users, items, entities, relations, trainOffsets: interactions.offsets, trainItems: interactions.items };
    const triples = { graphOffsets: graph.offsets, graphRelations: graph.relations, graphTails: graph.tails };
    const everyone = Uint32Array.from({ length: users }, (_, user) => user);
    const trained = async (ranks: boolean) => {
      const trainer = new native.Trainer(configuration({ ...tables, ...triples, dim: 1024, batchSize: 1024, sharedNegatives }));
      for (let epoch = 0; epoch < 2; ++epoch) {
        await trainer.epoch(epoch, 1).promise;
        if (ranks) await trainer.topK(everyone, 5, null, null).promise;
      }
      return await trainer.finish().promise;
    };
    assert.equal(await trained(true), await trained(false));
  });

for (const [parameters, every, decay] of [
  ['tangent', 4, 0.8],
  ['ball', 3, 0.9],
  ['tangent', 1, 0],
] as const)
  training(`averages are weighted means of the iterates: ${parameters}, every ${every} steps, decay ${decay}`, async () => {
    const changes: Partial<TrainerConfig> = { parameters, learningRate: 0.05 };
    const plain = new native.Trainer(configuration(changes));
    const averaging = new native.Trainer(configuration({ ...changes, averageDecay: decay, averageEvery: every, threads: 2 }));
    const tables = ['users', 'entities', 'relations'] as const;
    const stateOf = async (trainer: NativeTrainer) => (await trainer.state().promise).tensors as Record<string, Float32Array>;
    const averages = new Map<string, Float32Array>();
    const met: Record<string, Float32Array>[] = [];
    for (let step = 1; step <= 14; ++step) {
      for (const trainer of [plain, averaging]) assert.is((await trainer.epoch(step, 1 / step).promise).steps, 1);
      const [iterate, found] = [await stateOf(plain), await stateOf(averaging)];
      for (const [name, values] of Object.entries(iterate)) assert.equal(found[name], values, `training does not see averages: ${name}`);
      if (step % every === 0) met.push(iterate);
      for (const table of tables) {
        const name = `${table}.parameters`;
        const average = found[`${table}.average`]!;
        const weights = met.map((_, i) => decay ** (met.length - 1 - i));
        const total = weights.reduce((sum, weight) => sum + weight, 0);
        for (let k = 0; k < average.length; ++k) {
          const sum = met.reduce((sum, values, i) => sum + weights[i]! * values[name]![k]!, 0);
          const expected = met.length === 0 ? iterate[name]![k]! : sum / total;
          assert.ok(Math.abs(average[k]! - expected) <= 1e-6, `step ${step}, ${table}[${k}]: ${average[k]}, not ${expected}`);
        }
        averages.set(table, average);
      }
    }
    // What is read and ranked are the points of the averages.
    const result = await averaging.read().promise;
    for (const table of tables) {
      const average = averages.get(table)!;
      const rows = Array.from({ length: average.length / 8 }, (_, row) => average.subarray(8 * row, 8 * row + 8));
      const points = rows.flatMap((row) => [...(parameters === 'tangent' ? expMapOrigin(Float64Array.from(row), 1) : row)]);
      points.forEach((x, k) => {
        assert.ok(Math.abs(result[table][k]! - x) <= 1e-6, `${table}[${k}]: ${result[table][k]}, not ${x}`);
      });
    }
    const users = Uint32Array.from({ length: small.users }, (_, user) => user);
    const items = result.entities.subarray(0, 8 * small.items);
    const ranked = await averaging.topK(users, 20, null, null).promise;
    assert.equal(ranked.items, native.topK('cpu', result.users, items, 8, 20, null, null, 1).items);
    for (const trainer of [plain, averaging]) trainer.dispose();
  });

for (const sharedNegatives of [0, 20])
  training(
    `λ counts a row once for every sample that holds it${sharedNegatives ? ', shared negatives once for the batch' : ''}`,
    async () => {
      const { users, entities } = small;
      const start = new native.Trainer(configuration({ sharedNegatives }));
      const samples = start.samples(0);
      const occurrences = { users: new Float64Array(users), entities: new Float64Array(entities) };
      for (const user of samples.users) occurrences.users[user]!++;
      assert.is(samples.shared.length, sharedNegatives);
      for (const item of [...samples.positives, ...(sharedNegatives ? samples.shared : samples.negatives)]) occurrences.entities[item]!++;
      const [before, without, withIt] = await Promise.all(
        [start, ...[0, 0.25].map((regularization) => new native.Trainer(configuration({ sharedNegatives, regularization })))].map(
          async (trainer, i) => {
            if (i > 0) await trainer.epoch(0, 1).promise;
            return (await trainer.state().promise).tensors;
          },
        ),
      );
      // After one step the first moment is (1 − β₁) times the gradient, of which λ's part is 2λ · occurrences · w.
      for (const [table, counts] of Object.entries(occurrences)) {
        const [w, plain, regularized] = [before![`${table}.parameters`]!, without![`${table}.first`]!, withIt![`${table}.first`]!];
        assert.ok(Math.max(...counts) > 3);
        for (let k = 0; k < w.length; ++k) {
          const expected = 0.1 * 2 * 0.25 * counts[Math.floor(k / 8)]! * w[k]!;
          const found = regularized[k]! - plain[k]!;
          assert.ok(Math.abs(found - expected) <= 1e-6 * (1 + Math.abs(plain[k]!)), `${table}[${k}]: ${found}, not ${expected}`);
        }
      }
    },
  );

training('the event loop stays free, from the first copy of the data to the model', async () => {
  const longest: number[] = [];
  for (const attempt of [1, 2, 3]) {
    // Another process may hold the processor for long: what counts is the work at once, by the clock where the system does not say, of the quietest of three.
    const path = join(folder, `free${attempt}`);
    const options: TrainOptions = { ...brief, dim: 512, epochs: 2, evaluateEvery: 1, threads: 1 };
    const clock = threadClock();
    const now = clock?.worked ?? performance.now.bind(performance);
    let [last, most] = [now(), 0];
    const timer = setInterval(() => {
      const at = now();
      [most, last] = [Math.max(most, at - last), at];
    }, 5);
    await train(large, { ...options, epochs: 1, checkpoint: { path } });
    await train(large, { ...options, epochs: 1, resume: path });
    clearInterval(timer);
    clock?.close();
    longest.push(most);
  }
  assert.ok(Math.min(...longest) < 50, `at most ${longest} ms`);
});

training('divergence is an error that names the epoch and the steps, and nothing is saved', async () => {
  const path = join(folder, 'diverged');
  const options: TrainOptions = { ...brief, learningRate: 1e30, parameters: 'ball', variant: 'bpr-e', checkpoint: { path } };
  const error = (await failure(train(small, options))) as HyperKnowError;
  assert.is(error.code, 'ERR_HK_DIVERGED');
  assert.match(error.message, /epoch \d+ \(steps \d+ to \d+\)|not finite/);
  assert.not.ok(readdirSync(folder).includes('diverged'));
});

// -- Data at the edge --

const data = (interactions: [string, string][], triples: [string, string, string][] = [], validationFraction = 0): Dataset =>
  createDataset(
    {
      interactions: interactions.map(([user, item]) => ({ user, item })),
      triples: triples.map(([head, relation, tail]) => ({ head, relation, tail })),
    },
    { validationFraction },
  );
const edges: [label: string, dataset: Dataset][] = [
  ['one user, one item, nothing else', data([['u', 'i']])],
  ['one user, one item that is its own neighbour', data([['u', 'i']], [['i', 'r', 'i']])],
  [
    'a user with every item',
    data([
      ['u', 'a'],
      ['u', 'b'],
      ['v', 'a'],
    ]),
  ],
  [
    'no negatives at all',
    data([
      ['u', 'a'],
      ['v', 'a'],
    ]),
  ],
  [
    'items that are neighbours of each other',
    data(
      [
        ['u', 'a'],
        ['v', 'b'],
      ],
      [
        ['a', 'r', 'b'],
        ['b', 'r', 'a'],
      ],
    ),
  ],
  [
    'every interaction but one held out',
    data(
      [
        ['u', 'a'],
        ['u', 'b'],
        ['u', 'c'],
      ],
      [['a', 'r', 'x']],
      1,
    ),
  ],
];
for (const { name } of VARIANTS)
  training(`data at the edge trains to finite numbers: ${name}`, async () => {
    for (const [label, dataset] of edges)
      for (const parameters of ['tangent', 'ball'] as const) {
        const model = await train(dataset, { variant: name, parameters, dim: 3, epochs: 5, backend: 'cpu' });
        for (const table of TABLES) assert.ok(model[table].every(Number.isFinite), `${label}: ${table}`);
        const user = dataset.userIds[0]!;
        assert.ok(model.recommend(user, 5, { exclude: 'none' }).length === Math.min(5, dataset.items), label);
        await evaluate(model, dataset);
      }
  });

// -- Options --

training('bad options throw at once and name the option', () => {
  const bad: [TrainOptions | object, RegExp][] = [
    [{ epoch: 5 }, /^options\.epoch: no such option/],
    [{ dim: 0 }, /^dim: /],
    [{ dim: '64' }, /^dim: /],
    [{ dim: 1.5 }, /^dim: /],
    [{ dim: 5000 }, /^dim: /],
    [{ epochs: -1 }, /^epochs: /],
    [{ batchSize: 0 }, /^batchSize: /],
    [{ batchSize: 2 ** 31 }, /^batchSize: /],
    [{ curvature: 0 }, /^curvature: /],
    [{ curvature: -1 }, /^curvature: /],
    [{ curvature: 'learnt' }, /^curvature: /],
    [{ curvature: Number.NaN }, /^curvature: /],
    [{ loss: 'softmax' }, /^loss: /],
    [{ negatives: 0 }, /^negatives: /],
    [{ negatives: 2 ** 17 }, /^negatives: /],
    [{ learningRate: Number.POSITIVE_INFINITY }, /^learningRate: /],
    [{ learningRate: 0 }, /^learningRate: /],
    [{ innerLearningRate: -1 }, /^innerLearningRate: /],
    [{ regularization: -1 }, /^regularization: /],
    [{ adam: 'lazy' }, /^adam: /],
    [{ averaging: 0.9 }, /^averaging: /],
    [{ averaging: { decay: 1 } }, /^averaging\.decay: /],
    [{ averaging: { every: 0 } }, /^averaging\.every: /],
    [{ averaging: { steps: 8 } }, /^averaging\.steps: /],
    [{ sharedEntities: 10 }, /^sharedEntities: /],
    [{ sharedEntities: { mostItems: 1 } }, /^sharedEntities\.mostItems: /],
    [{ sharedEntities: { perItem: 0.5 } }, /^sharedEntities\.perItem: /],
    [{ sharedEntities: { most: 5 } }, /^sharedEntities\.most: /],
    [{ sharedUsers: 10 }, /^sharedUsers: /],
    [{ sharedUsers: { leastUsers: 0 } }, /^sharedUsers\.leastUsers: /],
    [{ sharedUsers: { perItem: 0 } }, /^sharedUsers\.perItem: /],
    [{ sharedUsers: { shrinkage: -1 } }, /^sharedUsers\.shrinkage: /],
    [{ sharedUsers: { mostItems: 5 } }, /^sharedUsers\.mostItems: /],
    [{ schedule: 'cosine' }, /^schedule: /],
    [{ parameters: 'lorentz' }, /^parameters: /],
    [{ preset: 'best' }, /^preset: /],
    [{ variant: 'bpr' }, /^variant: /],
    [{ variant: 'constructor' }, /^variant: /],
    [{ beta: 'learned' }, /^beta: /],
    [{ beta: -0.5 }, /^beta: /],
    [{ knowledgeWeight: 1 }, /^knowledgeWeight: /],
    [{ itemWeights: 1 }, /^itemWeights: /],
    [{ attentionTemperature: 0 }, /^attentionTemperature: /],
    [{ initScale: 2 }, /^initScale: /],
    [{ seed: -1 }, /^seed: /],
    [{ seed: 1n }, /^seed: /],
    [{ seed: 2 ** 53 }, /^seed: /],
    [{ backend: 'gpu' }, /^backend: /],
    [{ threads: 0 }, /^threads: /],
    [{ deterministic: 'yes' }, /^deterministic: /],
    [{ evaluateEvery: 0 }, /^evaluateEvery: /],
    [{ earlyStopping: 'yes' }, /^earlyStopping: /],
    [{ earlyStopping: { patience: 0 } }, /^earlyStopping\.patience: /],
    [{ earlyStopping: { steps: 5 } }, /^earlyStopping\.steps: /],
    [{ checkpoint: { every: 5 } }, /^checkpoint\.path: /],
    [{ checkpoint: { path: 'x', every: 0 } }, /^checkpoint\.every: /],
    [{ resume: true }, /^resume: /],
    [{ signal: {} }, /^signal: /],
    [{ onEpoch: 'log' }, /^onEpoch: /],
    [null as unknown as object, /^options: /],
  ];
  for (const [options, pattern] of bad)
    assert.throws(
      () => train(small, options),
      (error: Error) => (error instanceof TypeError || error instanceof RangeError) && pattern.test(error.message),
      JSON.stringify(options, (_key, value) => (typeof value === 'bigint' ? `${value}n` : value)),
    );
  for (const bad of [undefined, null, {}, [], { ...small, train: undefined }])
    assert.throws(() => train(bad as unknown as Dataset), /^TypeError: dataset: |dataset: must be/);
});

training('the paper’s preset trains too, and is written down in the model', async () => {
  const model = await train(small, { ...brief, preset: 'paper', epochs: 2 });
  assert.is(model.training.preset, 'paper');
  assert.is(model.curvature, 1);
  assert.equal([model.training.options.adam, model.training.options.batchSize, model.training.options.beta], ['exact', 256, 'adaptive']);
});

training('equal runs save equal files', async () => {
  const [one, other] = [join(folder, 'one'), join(folder, 'two')];
  await (await train(small, { ...brief, threads: 1 })).save(one);
  await (await train(small, { ...brief, threads: 2 })).save(other);
  assert.equal(readFileSync(one), readFileSync(other));
});

training.run();
