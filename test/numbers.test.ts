// Numbers: points stay in the ball, distances and gradients are right everywhere and on every instruction set, the same seed gives the same file,
// and a training that diverges says so and saves nothing of it.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { synthetic } from '../lib/data/synthetic.ts';
import { HyperKnowError } from '../lib/errors.ts';
import { backends, native } from '../lib/native.ts';
import { resolveOptions, type TrainOptions } from '../lib/options.ts';
import { readTensors, writeTensors } from '../lib/safetensors.ts';
import { train } from '../lib/train.ts';
import { trainerConfig } from '../lib/trainer-config.ts';
import { sha256OfFile, temporaryFolder } from './helpers.ts';
import type { NearBoundary, PairReport, StartReport } from './kernels/near-boundary.ts';

const numbers = suite('numbers');

/** Pairs of points, and rows to begin with, for each instruction set; more with HYPER_KNOW_PAIRS and HYPER_KNOW_STARTS. */
const PAIRS = Number(process.env.HYPER_KNOW_PAIRS ?? 40_000);
const STARTS = Number(process.env.HYPER_KNOW_STARTS ?? 2000);

const script = fileURLToPath(new URL('kernels/near-boundary.ts', import.meta.url));

// ── points, distances, gradients ──

/** What is not as promised. */
const pairProblems = (report: PairReport): string[] => {
  const names: (keyof PairReport)[] = [
    ...(['notFinite', 'asymmetric', 'selfNotZero'] as const).filter((name) => report[name] !== 0),
    ...(report.distanceError <= 1e-6 ? [] : (['distanceError'] as const)),
    ...(report.gradientError <= 2e-6 ? [] : (['gradientError'] as const)),
    ...(report.invariantError <= 2e-6 ? [] : (['invariantError'] as const)),
    ...(report.pairs > 0 ? [] : (['pairs'] as const)),
  ];
  return names.map((name) => `${name} ${report[name]}`);
};

const startProblems = ({ rows, notFinite, beyond }: StartReport): string[] => [
  ...(rows > 0 ? [] : ['no rows']),
  ...(notFinite === 0 ? [] : [`${notFinite} of ${rows} rows not finite`]),
  ...(beyond <= 2e-7 ? [] : [`√c‖x‖ beyond its bound by ${beyond}`]),
];

const widest = backends().find(({ name }) => name === 'cpu')!.device;
const levels = [undefined, ...(widest.includes('AVX-512') ? ['avx2'] : []), ...(widest.includes('baseline') ? [] : ['baseline'])];
for (const level of levels)
  numbers(`every pair and every start on ${level ?? widest}`, () => {
    const env = { ...process.env, ...(level === undefined ? {} : { HYPER_KNOW_CPU: level }) };
    const args = ['--import', 'tsx', script, String(PAIRS), String(STARTS)];
    const child = spawnSync(process.execPath, args, { encoding: 'utf8', env });
    assert.is(child.status, 0, child.stderr);
    const { device, pairs, starts } = JSON.parse(child.stdout) as NearBoundary;
    const [far, slope, invariant] = [pairs.distanceError, pairs.gradientError, pairs.invariantError].map((error) => error.toExponential(1));
    console.log(
      `${device}: ${pairs.pairs} pairs, errors of d ${far}, ∇d ${slope}, its Riemannian norm ${invariant}; ${starts.rows} rows, beyond by ${starts.beyond.toExponential(1)}`,
    );
    if (level !== undefined) assert.ok(device.toLowerCase().includes(level), device);
    assert.equal([...pairProblems(pairs), ...startProblems(starts)], []);
  });

numbers('planted: one wrong pair and one row that escaped are reported', () => {
  const right: PairReport = {
    ...{ pairs: 10, notFinite: 0, asymmetric: 0, selfNotZero: 0 },
    ...{ distanceError: 1e-7, gradientError: 1e-7, invariantError: 1e-7 },
  };
  assert.equal(pairProblems(right), []);
  for (const name of ['notFinite', 'asymmetric', 'selfNotZero'] as const) assert.is(pairProblems({ ...right, [name]: 1 }).length, 1, name);
  for (const name of ['distanceError', 'gradientError', 'invariantError'] as const)
    for (const wrong of [3e-6, Number.POSITIVE_INFINITY, Number.NaN]) assert.is(pairProblems({ ...right, [name]: wrong }).length, 1, name);
  const start: StartReport = { rows: 10, notFinite: 0, beyond: 4e-8 };
  assert.equal(startProblems(start), []);
  for (const wrong of [{ rows: 0 }, { notFinite: 1 }, { beyond: 3e-7 }, { beyond: Number.NaN }])
    assert.is(startProblems({ ...start, ...wrong }).length, 1);
});

const small = synthetic({ users: 120, items: 150, interactionsPerUser: [8, 14], seed: 5 });

numbers('a state with a number that is not finite is refused, and the trainer goes on from its own', async () => {
  const options: TrainOptions = { dim: 8, backend: 'cpu', curvature: 1 };
  const trainer = new native.Trainer(trainerConfig(small, small, resolveOptions(options, small.train.items.length, true), 'cpu'));
  const state = await trainer.state().promise;
  for (const [name, values] of Object.entries(state.tensors))
    for (const bad of values instanceof Uint32Array ? [] : [Number.NaN, Number.POSITIVE_INFINITY]) {
      const other = values.slice() as Float32Array;
      other[other.length - 1] = bad;
      let message = '';
      await trainer.restore({ ...state, tensors: { ...state.tensors, [name]: other } }).promise.catch((error) => (message = String(error)));
      assert.ok(message.includes(`'${name}' holds a number that is not finite`), `${name}: ${message}`);
    }
  await trainer.epoch(0, 1).promise;
  trainer.dispose();
});

// ── the same file ──

numbers('the same seed saves the same file: 10 runs, on 1, 2, 3, 8 and 16 threads', async () => {
  const folder = temporaryFolder();
  const digests = new Map<string, number>();
  const options: TrainOptions = { dim: 16, epochs: 3, batchSize: 256, seed: 3, backend: 'cpu', averaging: true, adam: 'exact' };
  const digest = async (data: typeof small, changes: TrainOptions): Promise<string> => {
    const path = join(folder, 'model');
    await (await train(data, { ...options, ...changes })).save(path);
    return sha256OfFile(path);
  };
  for (const threads of [1, 2, 3, 8, 16, 1, 2, 3, 8, 16]) {
    const found = await digest(small, { threads });
    digests.set(found, (digests.get(found) ?? 0) + 1);
  }
  assert.equal([...digests.values()], [10]);
  assert.not.ok(digests.has(await digest(small, { seed: 4 })), 'planted: another seed');
});

// ── divergence ──

async function failureOf(run: PromiseLike<unknown>): Promise<HyperKnowError> {
  try {
    await run;
  } catch (error) {
    assert.instance(error, HyperKnowError);
    return error as HyperKnowError;
  }
  throw new Error('it should have diverged');
}

numbers('divergence names the step, the tables and the radius', async () => {
  const brief: TrainOptions = { dim: 16, epochs: 6, batchSize: 256, seed: 3, backend: 'cpu', learningRate: 1e30, parameters: 'ball' };
  for (const variant of ['hyper-know', 'bpr-e'] as const) {
    const { code, message } = await failureOf(train(small, { ...brief, variant }));
    assert.is(code, 'ERR_HK_DIVERGED');
    assert.match(message, /^training diverged: step \d+ \(epoch 1, batch [1-4]\) has L_R NaN, L_K \S+;/);
    assert.match(message, / users: \d+ of 120 rows not finite, the first \d+, radius up to \d/);
    assert.match(message, / entities: .*radius up to \d.*; relations: /);
  }
});

numbers('a curvature that runs away is divergence', async () => {
  const options: TrainOptions = { dim: 8, epochs: 3, batchSize: 256, backend: 'cpu', curvature: 'learned', curvatureLearningRate: 1e3 };
  const { code, message } = await failureOf(train(small, options));
  assert.is(code, 'ERR_HK_DIVERGED');
  assert.match(message, /, curvature \S+; users: /);
});

/** Its curvature grows by some e⁸ with each of four steps an epoch, and is not one any more after some epochs. */
const GROWING: TrainOptions = {
  ...{ dim: 4, epochs: 30, batchSize: 256, backend: 'cpu', curvature: 'learned', curvatureLearningRate: 4 },
  ...{ schedule: 'constant', earlyStopping: false, evaluateEvery: 100 },
};

numbers('the last good checkpoint of a training that diverges stays, whole', async () => {
  const path = join(temporaryFolder(), 'checkpoint');
  let epochs = 0;
  const error = await failureOf(train(small, { ...GROWING, checkpoint: { path }, onEpoch: () => void ++epochs }));
  assert.is(error.code, 'ERR_HK_DIVERGED');
  assert.ok(epochs >= 1 && epochs < 30, `${epochs} epochs went well`);
  assert.ok(existsSync(path));
  const { tensors, metadata } = await readTensors(path); // refuses what is not finite
  assert.is(JSON.parse(metadata.progress!).epoch, epochs);
  assert.ok([...tensors.values()].every(({ data }) => data.every(Number.isFinite)));
  const again = await failureOf(train(small, { ...GROWING, resume: path }));
  assert.is(again.code, 'ERR_HK_DIVERGED');
});

numbers('planted: a checkpoint with NaN is not written, and the old one stays', async () => {
  const path = join(temporaryFolder(), 'checkpoint');
  await train(small, { ...GROWING, curvature: 1, epochs: 1, checkpoint: { path } });
  const before = readFileSync(path);
  const file = await readTensors(path);
  for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
    (file.tensors.get('state.users.parameters')!.data as Float32Array)[5] = bad;
    const { code, message } = await failureOf(writeTensors(path, file));
    assert.is(code, 'ERR_HK_DIVERGED');
    assert.match(message, /checkpoint: state\.users\.parameters holds a number that is not finite/);
    assert.equal(readFileSync(path), before);
  }
});

numbers.run();
