import { spawnSync } from 'node:child_process';
import { Worker } from 'node:worker_threads';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { synthetic } from '../../lib/data/synthetic.ts';
import type { HyperKnowError } from '../../lib/errors.ts';
import { evaluate } from '../../lib/evaluate.ts';
import { preparedItems } from '../../lib/item-tables.ts';
import { Model } from '../../lib/model.ts';
import { backends, type NativeTopK, native } from '../../lib/native.ts';
import { train } from '../../lib/train.ts';
import { seededRandom } from '../helpers.ts';
import { kernelCases, type TopKInputs } from '../kernels/cases.ts';
import { RADII, table } from '../kernels/inputs.ts';

const tables = suite('item tables');
const random = seededRandom(3);
const dim = 12;
const dataset = synthetic({ users: 80, items: 100, interactionsPerUser: [8, 14], seed: 5 });
let trained: Model;
tables.before(async () => {
  trained = await train(dataset, { dim, epochs: 3, batchSize: 128, seed: 4 });
});
/** A model whose arrays are its own. */
const fresh = () => new Model({ ...trained, users: trained.users.slice(), entities: trained.entities.slice() });

const isDisposed = (error: unknown) => (error as HyperKnowError).code === 'ERR_HK_DISPOSED';
const bytesOf = ({ items, distances }: NativeTopK) =>
  [items, distances].map(({ buffer, byteOffset, byteLength }) => Buffer.from(buffer, byteOffset, byteLength));

const usable = backends().filter(({ reason }) => reason === undefined);
for (const [{ name }, one] of usable.flatMap((backend) => kernelCases.map((one) => [backend, one] as const)))
  if (one.kernel === 'topK' && (one.onHost || name !== 'cuda-on-host'))
    tables(`${name}: the same to the bit as the points themselves: ${one.label}`, async () => {
      const { users, items, dim, k, exclude, curvature } = one.inputs() as TopKInputs;
      const rest = [dim, k, exclude?.offsets ?? null, exclude?.items ?? null, curvature] as const;
      const prepared = new native.ItemTable(items, dim, curvature);
      const expected = bytesOf(native.topK(name, users, items, ...rest));
      assert.equal(bytesOf(native.topK(name, users, prepared, ...rest)), expected);
      for (const threads of [1, 3])
        assert.equal(bytesOf(await native.topKAsync(name, threads, users, prepared, ...rest).promise), expected);
      prepared.dispose();
    });

tables('every number of users up to some tiles, with more lists than one of which is empty', () => {
  const items = table(random, 333, dim, 1, (row) => RADII[row % RADII.length]!);
  const users = table(random, 30, dim, 1, (row) => RADII[(row * 5) % RADII.length]!);
  const prepared = new native.ItemTable(items, dim, 1);
  for (let count = 0; count <= 30; ++count) {
    const offsets = Uint32Array.from({ length: count + 1 }, (_, i) => Math.max(0, i - 1) * 4);
    const left = Uint32Array.from({ length: offsets[count]! }, () => Math.floor(random() * 333));
    const rest = [dim, 20, offsets, left, 1] as const;
    const some = users.subarray(0, count * dim);
    assert.equal(bytesOf(native.topK('cpu', some, prepared, ...rest)), bytesOf(native.topK('cpu', some, items, ...rest)), `${count} users`);
  }
});

tables('arguments are checked against the table', () => {
  const items = table(random, 10, dim, 1, () => 0.5);
  const prepared = new native.ItemTable(items, dim, 1);
  const [user, no] = [items.subarray(0, dim), null];
  assert.throws(() => native.topK('cpu', user.subarray(0, 6), prepared, 6, 3, no, no, 1), /^dim: must be that of the item table, 12/);
  assert.throws(() => native.topK('cpu', user, prepared, dim, 3, no, no, 0.5), /^curvature: must be that of the item table/);
  assert.throws(() => native.topK('cpu', user, prepared, dim, 3, Uint32Array.of(0, 1), Uint32Array.of(10), 1), /exclude\.items: value 10/);
  assert.throws(() => native.topK('cpu', user, {} as typeof prepared, dim, 3, no, no, 1), /^items: must be a Float32Array/);
  assert.throws(() => new native.ItemTable(Float32Array.of(2, 0), 2, 1), /^items: row 0 lies outside the ball/);
  assert.throws(() => new native.ItemTable(items, 7, 1), /^items: length 120 is not a multiple of dim 7/);
});

tables('a table that is disposed of throws, but what ranks it already ends well', async () => {
  const items = table(random, 5000, dim, 1, () => random() * 0.9);
  const prepared = new native.ItemTable(items, dim, 1);
  const jobs = Array.from({ length: 4 }, () => native.topKAsync('cpu', 2, items, prepared, dim, 5, null, null, 1).promise);
  prepared.dispose();
  prepared.dispose();
  assert.throws(() => native.topK('cpu', items.subarray(0, dim), prepared, dim, 5, null, null, 1), isDisposed);
  assert.throws(() => prepared.matches(items, true), isDisposed);
  const expected = bytesOf(native.topK('cpu', items, items, dim, 5, null, null, 1));
  for (const found of await Promise.all(jobs)) assert.equal(bytesOf(found), expected);
});

tables('a table is a copy: points that go away or change leave it as it was', async () => {
  const items = table(random, 2000, dim, 1, () => random() * 0.9);
  const users = items.slice(0, 50 * dim);
  const prepared = new native.ItemTable(items, dim, 1);
  const expected = bytesOf(native.topK('cpu', users, items, dim, 5, null, null, 1));
  const job = native.topKAsync('cpu', 2, users, prepared, dim, 5, null, null, 1).promise;
  structuredClone(items, { transfer: [items.buffer as ArrayBuffer] });
  assert.is(items.length, 0);
  assert.is(prepared.matches(items, true), false);
  assert.equal(bytesOf(await job), expected);
  assert.equal(bytesOf(native.topK('cpu', users, prepared, dim, 5, null, null, 1)), expected);
});

tables('matches sees every change of a small table, and of a large one all if asked to', () => {
  const [small, large] = [table(random, 100, dim, 1, () => 0.5), table(random, 8000, dim, 1, () => 0.5)];
  for (const [items, row, seen] of [
    [small, 57, [true, true]],
    [large, 57, [false, true]],
    [large, 0, [true, true]],
    [large, 7999, [true, true]],
  ] as const) {
    const prepared = new native.ItemTable(items, dim, 1);
    for (const whole of [false, true]) assert.is(prepared.matches(items, whole), true);
    const changed = items.slice();
    changed[row * dim + 3]! *= 0.5;
    for (const whole of [false, true]) assert.is(prepared.matches(changed, whole), !seen[Number(whole)]);
    assert.is(prepared.matches(items.subarray(dim), true), false);
  }
});

tables('a model prepares its items once, and anew after they were written to', async () => {
  const model = fresh();
  const user = model.userIds[3]!;
  const before = model.recommend(user, 5, { exclude: 'none' });
  const prepared = preparedItems(model);
  model.similarItems(model.itemIds[0]!, 5);
  model.recommendBatchSync([user]);
  await evaluate(model, dataset);
  assert.is(preparedItems(model), prepared);
  // The last of the list and the first change places.
  const [first, last] = [before[0]!, before[4]!].map(({ item }) => model.itemIds.indexOf(item));
  const point = model.entities.slice(first! * dim, (first! + 1) * dim);
  model.entities.copyWithin(first! * dim, last! * dim, (last! + 1) * dim);
  model.entities.set(point, last! * dim);
  const after = model.recommend(user, 5, { exclude: 'none' });
  assert.equal([after[0]!.item, after[4]!.item], [before[4]!.item, before[0]!.item]);
  assert.is.not(preparedItems(model), prepared);
});

tables('close frees it, and models do not share it', () => {
  const model = fresh();
  const other = new Model(model);
  const user = model.userIds[3]!;
  assert.equal(model.recommend(user, 5), other.recommend(user, 5));
  const prepared = preparedItems(model);
  assert.is.not(preparedItems(other), prepared);
  model.close();
  assert.throws(() => prepared.matches(other.entities, true), isDisposed);
  assert.is(other.recommend(user, 5).length, 5);
});

tables('a synchronous batch is that of the threads', async () => {
  const isOdd = (item: unknown) => Number(String(item).split('-')[1]) % 2 === 1;
  for (const count of [0, 1, 2, 13, 80])
    for (const options of [
      {},
      { k: 3, exclude: 'none' },
      { k: 200 },
      { candidates: trained.itemIds.slice(20, 60), filter: isOdd },
      { exclude: trained.itemIds.slice(0, 50) },
      { candidates: [] },
    ] as const) {
      const users = trained.userIds.slice(0, count);
      const { k: _, ...listed } = { k: 0, ...options };
      const [sync, threads] = [trained.recommendBatchSync(users, options), await trained.recommendBatch(users, options)];
      assert.equal({ ...sync }, { ...threads });
      if (count > 0) assert.equal(sync.list(count - 1), trained.recommend(users[count - 1]!, sync.k, listed));
    }
  const points = trained.users.slice(0, 3 * dim);
  assert.equal({ ...trained.recommendBatchSync(points) }, { ...(await trained.recommendBatch(points)) });
});

tables('a synchronous batch names what is wrong', () => {
  assert.throws(() => trained.recommendBatchSync(['nobody']), /users\[0\]: the model does not know "nobody"/);
  assert.throws(() => trained.recommendBatchSync([], { k: 0 }), /^k:/);
  assert.throws(() => trained.recommendBatchSync([], { threads: 2 } as never), /options\.threads: no such option/);
  assert.throws(() => trained.recommendBatchSync(7 as never), /^users: must be an iterable/);
});

tables('several workers rank at the same time, and may end in the middle of it', async () => {
  const program = `
    const { parentPort, workerData } = require('node:worker_threads');
    require('tsx/cjs/api').register();
    const { native } = require(workerData.native);
    const table = new native.ItemTable(workerData.items, 12, 1);
    const rank = (users) => native.topK('cpu', users, table, 12, 10, null, null, 1);
    const ends = [];
    for (let round = 0; round < 20; ++round) ends.push(rank(workerData.items.subarray(0, 12 * (round + 1))).items.at(-1));
    parentPort.postMessage(ends);
    for (;;) native.topKAsync('cpu', 2, workerData.items, table, 12, 10, null, null, 1), rank(workerData.items);
  `;
  const items = table(random, 3000, dim, 1, () => random() * 0.9);
  const expected = Array.from({ length: 20 }, (_, round) =>
    native.topK('cpu', items.subarray(0, dim * (round + 1)), items, dim, 10, null, null, 1).items.at(-1),
  );
  const path = new URL('../../lib/native.ts', import.meta.url).pathname;
  const workers = Array.from({ length: 3 }, () => new Worker(program, { eval: true, workerData: { items, native: path } }));
  const ends = workers.map((worker) => new Promise((resolve, reject) => worker.on('message', resolve).on('error', reject)));
  assert.equal(await Promise.all(ends), [expected, expected, expected]);
  await Promise.all(workers.map((worker) => worker.terminate()));
});

for (const [how, free] of [
  ['the garbage collector', 'globalThis.gc(); await new Promise(setImmediate);'],
  ['dispose', 'table.dispose();'],
] as const)
  tables(`${how} gives the memory back`, () => {
    const program = `
      import { native } from ${JSON.stringify(new URL('../../lib/native.ts', import.meta.url).href)};
      const items = new Float32Array(1 << 22);  // 16 MiB, twice that in a table
      const rss = () => process.memoryUsage().rss / 2 ** 20;
      let before;
      for (let round = 0; round < 16; ++round) {
        let table = new native.ItemTable(items, 64, 1);
        if (round === 1) before = rss();
        ${free.replace('globalThis', 'table = undefined; globalThis')}
      }
      console.log(rss() - before);`;
    const args = ['--expose-gc', '--import', import.meta.resolve('tsx'), '--input-type=module', '-e', program];
    // AddressSanitizer, where the addon is built with it, keeps what is freed unless told not to.
    const env = {
      ...process.env,
      ASAN_OPTIONS: `${process.env.ASAN_OPTIONS ?? ''}:quarantine_size_mb=0:thread_local_quarantine_size_kb=0`,
    };
    const { stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', env });
    assert.ok(stdout !== '' && Number(stdout) < 70, `grew by ${stdout} MiB, 448 MiB were made since ${stderr}`);
  });

tables.run();
