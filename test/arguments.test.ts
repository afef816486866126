// Every option and argument of the public functions against a list of values that nobody means: a TypeError or RangeError that names it, or what
// is documented of it.
import { MessageChannel } from 'node:worker_threads';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createDataset, loadDataset } from '../lib/data/dataset.ts';
import { synthetic } from '../lib/data/synthetic.ts';
import { HyperKnowError } from '../lib/errors.ts';
import { evaluate } from '../lib/evaluate.ts';
import { exportModel } from '../lib/export/index.ts';
import * as kernels from '../lib/kernels.ts';
import { estimateMemory } from '../lib/memory.ts';
import { Model } from '../lib/model.ts';
import { type TrainOptions, train } from '../lib/train.ts';

const args = suite('arguments');

const dataset = synthetic({ users: 20, items: 40, interactionsPerUser: [5, 8], seed: 5 });
let model: Model;
args.before(async () => {
  model = await train(dataset, { dim: 4, epochs: 1, batchSize: 64, backend: 'cpu' });
});

class Planted extends Error {}
const throwing = () => {
  throw new Planted('of the caller');
};

function detached(): Float32Array {
  const array = Float32Array.of(0.1, 0.2, 0, 0);
  const { port1, port2 } = new MessageChannel();
  port1.postMessage(null, [array.buffer]);
  for (const port of [port1, port2]) port.close();
  return array;
}

function resized(): Float32Array {
  const buffer = new (ArrayBuffer as unknown as new (bytes: number, options: object) => ArrayBuffer)(16, { maxByteLength: 64 });
  const array = new Float32Array(buffer);
  (buffer as unknown as { resize: (bytes: number) => void }).resize(4);
  return array;
}

const VALUES: Readonly<Record<string, () => unknown>> = {
  undefined: () => undefined,
  null: () => null,
  NaN: () => Number.NaN,
  '-1': () => -1,
  '-0': () => -0,
  '1.5': () => 1.5,
  Infinity: () => Number.POSITIVE_INFINITY,
  '2^31': () => 2 ** 31,
  '2^53': () => 2 ** 53,
  '"5"': () => '5',
  '""': () => '',
  true: () => true,
  '[]': () => [],
  '[NaN]': () => [Number.NaN],
  '{}': () => ({}),
  'an unknown key': () => ({ unknown: 1 }),
  Symbol: () => Symbol('s'),
  '5n': () => 5n,
  'a function': () => () => false,
  'a Proxy': () => new Proxy({}, {}),
  'a Proxy that throws': () => new Proxy({}, { get: throwing, has: throwing, ownKeys: throwing, getPrototypeOf: throwing }),
  'an iterator that throws': () => ({ [Symbol.iterator]: throwing }),
  'a detached array': detached,
  'a shared array': () => new Float32Array(new SharedArrayBuffer(16)),
  'a resized array': resized,
  'an array of NaN': () => new Float32Array(4).fill(Number.NaN),
};

/** Says of a value whether it is meant to be taken. */
type Accepts = (value: unknown) => boolean;
const isInteger =
  (min: number, max = Number.MAX_SAFE_INTEGER): Accepts =>
  (value) =>
    value === undefined || (Number.isInteger(value) && (value as number) >= min && (value as number) <= max);
const isNumber =
  (accepts: (value: number) => boolean): Accepts =>
  (value) =>
    value === undefined || (typeof value === 'number' && Number.isFinite(value) && accepts(value));
const optional: Accepts = (value) => value === undefined;
const never: Accepts = () => false;
const isBoolean: Accepts = (value) => value === undefined || value === true;
/** A bag of options none of which must be given: anything without names of its own, of whatever make. */
const isEmptyBag: Accepts = (value) =>
  value === undefined ||
  (typeof value === 'object' && value !== null && !Array.isArray(value) && !ArrayBuffer.isView(value) && isEmpty(value));
function isEmpty(value: object): boolean {
  try {
    return Object.keys(value).length === 0;
  } catch {
    return false;
  }
}
const or =
  (...all: Accepts[]): Accepts =>
  (value) =>
    all.some((accepts) => accepts(value));
const isEmptyList: Accepts = (value) => Array.isArray(value) && value.length === 0;
const isNone: Accepts = (value) => ArrayBuffer.isView(value) && (value as Float32Array).length === 0;
const isFunction: Accepts = (value) => typeof value === 'function';

interface Target {
  name: string;
  /** Names that the message may begin with. */
  names?: string[];
  accepts: Accepts;
  call: (value: unknown) => unknown;
  /** Codes of HyperKnowError that are documented. */
  codes?: string[];
}

/** What is not as promised of one target and value. */
async function problemOf({ name, names = [name], accepts, call, codes = [] }: Target, label: string): Promise<string | undefined> {
  const value = VALUES[label]!();
  const what = (problem: string) => `${name} = ${label}: ${problem}`;
  try {
    await call(value);
    return accepts(value) ? undefined : what('it was accepted');
  } catch (error) {
    if (/on a detached (or out-of-bounds )?ArrayBuffer/.test(`${error}`) && label === 'a detached array') return undefined; // its iterator throws
    if (error instanceof Planted) return label.endsWith('throws') ? undefined : what('a planted error');
    const { message, code } = error as { message: string; code?: string };
    const named = names.some((one) => message.startsWith(one));
    if (error instanceof HyperKnowError) return codes.includes(error.code) ? undefined : what(`${error.code} ${message}`);
    if (!(error instanceof TypeError || error instanceof RangeError)) return what(`${error}`);
    if (!named || !/^ERR_HK_(TYPE|RANGE|SHAPE)$/.test(code ?? '')) return what(`it is not named in ${code} ${message}`);
    return accepts(value) ? what(`it was refused: ${message}`) : undefined;
  }
}

async function problemsOf(targets: readonly Target[]): Promise<string[]> {
  const problems: string[] = [];
  for (const target of targets)
    for (const label of Object.keys(VALUES)) {
      const problem = await problemOf(target, label);
      if (problem !== undefined) problems.push(problem);
    }
  return problems;
}

// ── train ──

const stopped = AbortSignal.abort(new Planted('stopped'));
const rate = isNumber((x) => x >= 0);
const OPTIONS: Record<keyof TrainOptions, Accepts> = {
  preset: optional,
  variant: optional,
  beta: isNumber((x) => x >= 0 && x <= 1e6),
  dim: isInteger(1, 4096),
  itemWeights: isBoolean,
  monitorTest: isBoolean,
  curvature: isNumber((x) => x >= 1e-12 && x <= 1e12),
  epochs: isInteger(0, 1e9),
  batchSize: isInteger(1, 1 << 24),
  learningRate: isNumber((x) => x > 0),
  loss: optional,
  negatives: isInteger(1, 1 << 16),
  schedule: optional,
  betaLearningRate: rate,
  curvatureLearningRate: rate,
  innerLearningRate: rate,
  regularization: rate,
  adam: optional,
  averaging: or(isBoolean, isEmptyBag),
  knowledgeWeight: isNumber((x) => x > 0 && x < 1),
  attentionTemperature: isNumber((x) => x >= 1e-6 && x <= 1e6),
  sharedEntities: or(isBoolean, isEmptyBag),
  sharedUsers: or(isBoolean, isEmptyBag),
  neighborBlend: or(isBoolean, isEmptyBag),
  initScale: isNumber((x) => x >= 0 && x <= 1),
  parameters: optional,
  seed: isInteger(0),
  backend: optional,
  threads: isInteger(1, 1024),
  deterministic: isBoolean,
  evaluateEvery: isInteger(1),
  earlyStopping: or(isBoolean, isEmptyBag),
  checkpoint: optional,
  resume: (value) => value === undefined || value === '5',
  warmStart: (value) => value === undefined || value === '5',
  signal: optional,
  onEpoch: or(optional, isFunction),
};

/** A run that has begun is stopped before its first step. */
const trained = (options: unknown) =>
  train(dataset, typeof options === 'object' && options !== null ? { signal: stopped, ...options } : (options as TrainOptions)).catch(
    (error) => {
      if (!(error instanceof Planted)) throw error;
    },
  );

args('every option of train', async () => {
  const targets: Target[] = Object.entries(OPTIONS).map(([name, accepts]) => ({
    ...{ name, accepts, call: (value) => trained({ [name]: value }) },
    names: name === 'backend' ? ['backend:'] : [`${name}:`, `${name}.`],
  }));
  for (const [name, accepts] of Object.entries({ decay: isNumber((x) => x >= 0 && x < 1), every: isInteger(1, 1 << 30) }))
    targets.push({ name: `averaging.${name}`, accepts, call: (value) => trained({ averaging: { [name]: value } }) });
  for (const [name, accepts] of Object.entries({ mostItems: isInteger(2, 1e9), perItem: isInteger(1, 1000) }))
    targets.push({ name: `sharedEntities.${name}`, accepts, call: (value) => trained({ sharedEntities: { [name]: value } }) });
  for (const [name, accepts] of Object.entries({ leastUsers: isInteger(1, 1e9), perItem: isInteger(1, 1000), shrinkage: rate }))
    targets.push({ name: `sharedUsers.${name}`, accepts, call: (value) => trained({ sharedUsers: { [name]: value } }) });
  for (const name of ['itemKnn', 'attributeKnn'])
    targets.push({
      ...{ name: `neighborBlend.${name}`, names: ['neighborBlend'] },
      ...{ accepts: isNumber((x) => x >= 0 && x < 1), call: (value) => trained({ neighborBlend: { [name]: value } }) },
    });
  targets.push({ name: 'earlyStopping.patience', accepts: isInteger(1), call: (value) => trained({ earlyStopping: { patience: value } }) });
  targets.push({ name: 'checkpoint.every', accepts: isInteger(1), call: (value) => trained({ checkpoint: { path: 'x', every: value } }) });
  targets.push({
    ...{ name: 'checkpoint.minSeconds', accepts: isNumber((x) => x >= 0) },
    call: (value) => trained({ checkpoint: { path: 'x', minSeconds: value } }),
  });
  const isPath: Accepts = (value) => value === '5';
  targets.push({ name: 'checkpoint.path', accepts: isPath, call: (value) => trained({ checkpoint: { path: value } }) });
  targets.push({ name: 'dataset', accepts: never, call: (value) => train(value as typeof dataset, { signal: stopped }) });
  assert.equal(await problemsOf(targets), []);
});

args('the options of train themselves', async () => {
  for (const [label, make] of Object.entries(VALUES)) {
    const value = make();
    if (value === undefined || isEmptyBag(value) || label.endsWith('throws')) continue;
    assert.throws(() => train(dataset, value as TrainOptions), /^options/, label);
  }
});

// ── the model and what is done with it ──

const ID = ['ERR_HK_UNKNOWN_ID'];

args('every argument of a model’s methods', async () => {
  const user = dataset.userIds[0]!;
  const item = dataset.itemIds[0]!;
  /** As many as there are. */
  const length = isInteger(1);
  const point = (value: unknown) => value as Float32Array;
  /** An id may be unknown, never wrong; a point of four coordinates is none of these arrays. */
  const ids: Omit<Target, 'name' | 'call'> = { accepts: () => false, codes: ID };
  const lists = isEmptyList;
  const targets: Target[] = [
    { name: 'user', ...ids, call: (value) => model.recommend(point(value)) },
    { name: 'k', accepts: length, call: (value) => model.recommend(user, value as number) },
    { name: 'options', accepts: isEmptyBag, call: (value) => model.recommend(user, 5, value as object) },
    { name: 'exclude', ...ids, accepts: or(optional, lists), call: (value) => model.recommend(user, 5, { exclude: value as 'none' }) },
    {
      name: 'filter',
      ...ids,
      accepts: or(optional, lists, isFunction),
      call: (value) => model.recommend(user, 5, { filter: value as [] }),
    },
    { name: 'history', ...ids, accepts: or(optional, lists), call: (value) => model.recommend(user, 5, { history: value as [] }) },
    { name: 'candidates', ...ids, accepts: or(optional, lists), call: (value) => model.recommend(user, 5, { candidates: value as [] }) },
    { name: 'users', ...ids, accepts: or(lists, isNone), call: (value) => model.recommendBatchSync(value as []) },
    { name: 'users', ...ids, accepts: or(lists, isNone), call: (value) => model.recommendBatch(value as []) },
    { name: 'k', accepts: isInteger(1, 1 << 24), call: (value) => model.recommendBatchSync([user], { k: value as number }) },
    { name: 'histories', ...ids, accepts: optional, call: (value) => model.recommendBatchSync([user], { histories: value as [] }) },
    { name: 'threads', accepts: isInteger(1, 1024), call: (value) => model.recommendBatch([user], { threads: value as number }) },
    { name: 'backend', accepts: optional, call: (value) => model.recommendBatch([user], { backend: value as 'cpu' }) },
    { name: 'item', ...ids, call: (value) => model.similarItems(point(value)) },
    { name: 'k', accepts: length, call: (value) => model.similarItems(item, value as number) },
    { name: 'user', ...ids, call: (value) => model.similarUsers(point(value)) },
    { name: 'k', accepts: length, call: (value) => model.similarUsers(user, value as number) },
    { name: 'user', ...ids, call: (value) => model.explain(value as number, item) },
    { name: 'item', ...ids, call: (value) => model.explain(user, value as number) },
    { name: 'items', ...ids, call: (value) => model.foldInUser(value as []) },
    { name: 'triples', ...ids, call: (value) => model.foldInItem(value as []) },
    {
      ...{ name: 'triples[0].relation', ...ids },
      call: (value) => model.foldInItem([{ relation: value as number, tail: dataset.entityIds[0]! }]),
    },
    {
      ...{ name: 'triples[0].tail', ...ids },
      call: (value) => model.foldInItem([{ relation: dataset.relationIds[0]!, tail: value as number }]),
    },
    { name: 'path', accepts: never, codes: ['ERR_HK_IO'], call: (value) => model.save(value === '5' ? '/nowhere/5' : (value as string)) },
    { name: 'path', accepts: never, codes: ['ERR_HK_IO'], call: (value) => Model.load(value as string) },
    { name: 'dataset', accepts: never, call: (value) => evaluate(model, value as typeof dataset) },
    { name: 'k', accepts: isInteger(1, 1 << 24), call: (value) => evaluate(model, dataset, { k: value as number }) },
    { name: 'split', accepts: optional, call: (value) => evaluate(model, dataset, { split: value as 'test' }) },
    { name: 'ndcg', accepts: optional, call: (value) => evaluate(model, dataset, { ndcg: value as 'kgat' }) },
    { name: 'threads', accepts: isInteger(1, 1024), call: (value) => evaluate(model, dataset, { threads: value as number }) },
    { name: 'backend', accepts: optional, call: (value) => evaluate(model, dataset, { backend: value as 'cpu' }) },
    { name: 'options', accepts: isEmptyBag, call: (value) => evaluate(model, dataset, value as object) },
    { name: 'to', accepts: never, call: (value) => exportModel(model, { to: value as 'npy', out: '/nowhere' }) },
    {
      name: 'out',
      accepts: never,
      codes: ['ERR_HK_IO'],
      call: (value) => exportModel(model, { to: 'npy', out: value === '5' ? '/nowhere/5/6' : (value as string) }),
    },
    {
      name: 'options',
      accepts: never,
      names: ['options', 'to', 'out'],
      call: (value) => exportModel(model, value as { to: 'npy'; out: string }),
    },
  ];
  assert.equal(await problemsOf(targets), []);
});

args('every argument of the data sets', async () => {
  const one = [{ user: 1, item: 2 }];
  const fraction = isNumber((x) => x >= 0 && x <= 1);
  const made = (options: object) => createDataset({ interactions: one, triples: [] }, options);
  const targets: Target[] = [
    { name: 'seed', accepts: isInteger(0), call: (value) => made({ seed: value }) },
    { name: 'validationFraction', accepts: fraction, call: (value) => made({ validationFraction: value }) },
    { name: 'inverse', accepts: isBoolean, call: (value) => made({ inverse: value }) },
    { name: 'options', accepts: isEmptyBag, call: (value) => made(value as object) },
    {
      name: 'data',
      names: ['data', 'interactions'],
      accepts: never,
      call: (value) => createDataset(value as { interactions: []; triples: [] }),
    },
    {
      name: 'data.interactions',
      accepts: or(isEmptyList, (value) => value === ''),
      codes: ['ERR_HK_DATA'],
      call: (value) => createDataset({ interactions: value as [], triples: [] }),
    },
    {
      name: 'data.triples',
      accepts: or(isEmptyList, (value) => value === ''),
      codes: ['ERR_HK_DATA'],
      call: (value) => createDataset({ interactions: one, triples: value as [] }),
    },
    { name: 'path', accepts: never, codes: ['ERR_HK_IO', 'ERR_HK_FORMAT'], call: (value) => loadDataset(value as string) },
    { name: 'dim', accepts: isInteger(1, 4096), call: (value) => estimateMemory(dataset, { dim: value as number }) },
  ];
  assert.equal(await problemsOf(targets), []);
});

args('arrays of the kernels', async () => {
  const y = Float32Array.of(0.1, 0.2);
  const targets: Target[] = [
    { name: 'x', names: ['x:', 'y:'], accepts: never, call: (value) => kernels.poincareDistance(value as Float32Array, y, 2) },
    { name: 'y', accepts: never, call: (value) => kernels.poincareDistance(y, value as Float32Array, 2) },
    { name: 'dim', names: ['dim:', 'x:'], accepts: never, call: (value) => kernels.poincareDistance(y, y, value as number) },
    { name: 'users', accepts: isNone, call: (value) => kernels.topK({ users: value as Float32Array, items: y, dim: 2, k: 1 }) },
    { name: 'items', accepts: isNone, call: (value) => kernels.topK({ users: y, items: value as Float32Array, dim: 2, k: 1 }) },
  ];
  assert.equal(await problemsOf(targets), []);
});

args('planted: an argument that is not checked, and one that is not named, are reported', async () => {
  const unchecked: Target = { name: 'k', accepts: isInteger(1), call: () => undefined };
  const problems = await problemsOf([unchecked]);
  assert.ok(problems.length > 15 && problems.includes('k = NaN: it was accepted'), problems.join('\n'));
  const unnamed: Target = {
    name: 'k',
    accepts: isInteger(1),
    call: () => {
      throw new TypeError('Invalid argument');
    },
  };
  assert.ok((await problemsOf([unnamed])).every((problem) => problem.includes('it is not named')));
});

args.run();
