// An abort is answered within 250 ms at any moment: before the start, while data or a model are read, in a step, in an evaluation, while a checkpoint
// is written; and what is left behind can be gone on from.
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { synthetic } from '../lib/data/synthetic.ts';
import { files } from '../lib/files.ts';
import { readTensors } from '../lib/safetensors.ts';
import { type TrainOptions, train } from '../lib/train.ts';
import { seededRandom, temporaryFolder } from './helpers.ts';

const aborts = suite('abort');

/** Trainings that are aborted; more with HYPER_KNOW_ABORTS. */
const ABORTS = Number(process.env.HYPER_KNOW_ABORTS ?? 20);

const data = synthetic({ users: 3000, items: 3000, interactionsPerUser: [30, 40] });
const folder = temporaryFolder();
const base: TrainOptions = { dim: 64, epochs: 100_000, batchSize: 4096, earlyStopping: false, evaluateEvery: 2, backend: 'cpu' };
const brief: TrainOptions = { ...base, epochs: 1, evaluateEvery: 1 };

const checkpoint = join(folder, 'begun');
const model = join(folder, 'model');
aborts.before(async () => {
  await train(data, { ...base, epochs: 1, evaluateEvery: 2, checkpoint: { path: join(folder, 'short') } });
  await (await train(data, brief)).save(model);
  // One that an endless training goes on from: aborted after its first epoch.
  const controller = new AbortController();
  const options = { ...base, checkpoint: { path: checkpoint }, signal: controller.signal, onEpoch: () => controller.abort() };
  await train(data, options).catch(() => {});
});

/** What may be under way when the abort comes. */
const KINDS: Readonly<Record<string, TrainOptions>> = {
  plain: {},
  'checkpoints of every epoch': { checkpoint: { path: join(folder, 'every') } },
  'a checkpoint on abort': { checkpoint: { path: join(folder, 'last'), every: 1000 } },
  'exact Adam': { adam: 'exact', batchSize: 512 },
  'shared entities': { sharedEntities: true },
  'shared users': { sharedUsers: true },
  'weights of neighbours being chosen': { neighborBlend: true, epochs: 1, evaluateEvery: 1, batchSize: 1 << 16 },
  'going on': { resume: checkpoint },
  'beginning with a model': { warmStart: model },
  'validation after every epoch': { evaluateEvery: 1, batchSize: 1 << 16 },
};

interface Answer {
  kind: string;
  after: number;
  /** From the abort to the rejection: by the clock, and of all threads on processors. */
  wall: number;
  work: number;
}

/** Aborts a training after so many milliseconds. */
async function aborted(kind: string, after: number): Promise<Answer> {
  const controller = new AbortController();
  const reason = new Error(`after ${after} ms`);
  let abortedAt = 0;
  let cpu = process.cpuUsage();
  const outcome = train(data, { ...base, ...KINDS[kind], signal: controller.signal }).then(
    () => ({ error: undefined, at: performance.now(), used: process.cpuUsage(cpu) }),
    (error: unknown) => ({ error, at: performance.now(), used: process.cpuUsage(cpu) }),
  );
  await sleep(after);
  cpu = process.cpuUsage();
  abortedAt = performance.now();
  controller.abort(reason);
  controller.abort(new Error('a second time'));
  const { error, at, used } = await outcome;
  assert.is(error, reason, kind);
  return { kind, after, wall: at - abortedAt, work: (used.user + used.system) / 1000 };
}

/** Those that took too long: on a busy machine the clock goes on while others have the processors, and the work done since the abort does not. */
const tooLate = (answers: readonly Answer[]): Answer[] => answers.filter(({ wall, work }) => wall > 250 && (work > 250 || wall > 5000));

aborts('it is answered within 250 ms, whatever is under way', async () => {
  const random = seededRandom(1);
  const kinds = Object.keys(KINDS);
  const answers: Answer[] = [];
  for (let i = 0; i < ABORTS; ++i) answers.push(await aborted(kinds[i % kinds.length]!, Math.floor(600 * random() ** 2)));
  const walls = answers.map(({ wall }) => wall).sort((a, b) => a - b);
  const p99 = walls[Math.min(walls.length - 1, Math.floor(0.99 * walls.length))]!;
  console.log(
    `${ABORTS} aborts: at most ${walls.at(-1)!.toFixed(0)} ms, 99 % within ${p99.toFixed(0)}, half within ${walls[walls.length >> 1]!.toFixed(0)}`,
  );
  const late = tooLate(answers);
  assert.ok(late.length <= ABORTS / 100, late.map((answer) => JSON.stringify(answer)).join('\n'));
  for (const name of ['every', 'last']) if (existsSync(join(folder, name))) await readTensors(join(folder, name)); // whole
  assert.equal(
    readdirSync(folder).filter((name) => name.endsWith('.tmp')),
    [],
  );
});

aborts('planted: one that is answered late is reported', () => {
  const answer: Answer = { kind: '', after: 0, wall: 20, work: 30 };
  assert.equal(tooLate([answer, { ...answer, wall: 400, work: 100 }]), []);
  assert.is(
    tooLate([
      { ...answer, wall: 260, work: 255 },
      { ...answer, wall: 5001, work: 0 },
    ]).length,
    2,
  );
});

aborts('in a callback, twice, before the start, and when all is over', async () => {
  const reason = new Error('enough');
  for (const times of [1, 2]) {
    const controller = new AbortController();
    const onEpoch = () => {
      for (let i = 0; i < times; ++i) controller.abort(reason);
    };
    await train(data, { ...base, signal: controller.signal, onEpoch }).then(
      () => assert.unreachable('it went on'),
      (error) => assert.is(error, reason),
    );
  }
  await train(data, { ...base, signal: AbortSignal.abort(reason) }).then(
    () => assert.unreachable('it began'),
    (error) => assert.is(error, reason),
  );
  const controller = new AbortController();
  const done = await train(data, { ...brief, signal: controller.signal });
  controller.abort(reason);
  assert.ok(done.recommend(data.userIds[0]!, 5).length === 5);
});

aborts('while a checkpoint is written: that one is whole, and is gone on from', async () => {
  const path = join(folder, 'while');
  const { rename } = files;
  const controller = new AbortController();
  let written = 0;
  files.rename = async (from, to) => {
    if (String(to) === path && ++written === 2) controller.abort();
    return rename(from, to);
  };
  try {
    await train(data, { ...base, checkpoint: { path }, signal: controller.signal }).then(
      () => assert.unreachable('it went on'),
      (error: unknown) => assert.is((error as Error).name, 'AbortError'),
    );
  } finally {
    files.rename = rename;
  }
  assert.is(JSON.parse((await readTensors(path)).metadata.progress!).epoch, 2);
});

aborts.run();
