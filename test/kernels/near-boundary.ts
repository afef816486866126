// Distances and gradients of many pairs, and optimiser steps from bad starts, on the instruction set that HYPER_KNOW_CPU selects; prints JSON.
//   node --import tsx test/kernels/near-boundary.ts PAIRS STARTS
// numbers.test.ts starts it in a process of its own for every instruction set.
import { synthetic } from '../../lib/data/synthetic.ts';
import { MAX_NORM } from '../../lib/geometry.ts';
import * as kernels from '../../lib/kernels.ts';
import { backends, type NativeTrainer, native } from '../../lib/native.ts';
import { resolveOptions, type TrainOptions } from '../../lib/options.ts';
import { trainerConfig } from '../../lib/trainer-config.ts';
import { seededRandom } from '../helpers.ts';
import { mixedRadius, normal, pointAt, pointNear, type Random } from './inputs.ts';
import * as reference from './reference.ts';

export interface PairReport {
  pairs: number;
  notFinite: number;
  /** d(x, y) and d(y, x) differ in a bit. */
  asymmetric: number;
  /** d(x, x) ≠ 0, or its gradient is not 0. */
  selfNotZero: number;
  distanceError: number;
  /** Of the gradient's norm. */
  gradientError: number;
  /** Largest |(1 − c‖x‖²)/2 · ‖∇ₓd‖ − 1|, at both ends. */
  invariantError: number;
}

export interface StartReport {
  rows: number;
  notFinite: number;
  /** Largest √c‖x‖ after the steps, above MAX_NORM. */
  beyond: number;
}

export interface NearBoundary {
  device: string;
  pairs: PairReport;
  starts: StartReport;
}

const DIMS = [2, 3, 16, 64];

/** Half of them anywhere, half at a distance from 1e-7 to 10 of each other. */
function pairsAt(random: Random, count: number, dim: number, c: number): [x: Float32Array, y: Float32Array] {
  const [xs, ys] = [new Float32Array(count * dim), new Float32Array(count * dim)];
  for (let i = 0; i < count; ++i) {
    const x = pointAt(random, dim, mixedRadius(random), c);
    xs.set(x, i * dim);
    ys.set(i % 2 ? pointNear(random, x, 10 ** (-7 + 8 * random()), c) : pointAt(random, dim, mixedRadius(random), c), i * dim);
  }
  return [xs, ys];
}

function measurePairs(count: number): PairReport {
  const report: PairReport = {
    ...{ pairs: 0, notFinite: 0, asymmetric: 0, selfNotZero: 0 },
    ...{ distanceError: 0, gradientError: 0, invariantError: 0 },
  };
  for (const [n, dim] of DIMS.entries())
    for (const c of [1, 0.3]) {
      const random = seededRandom(10 * n + c);
      for (let left = Math.ceil(count / 2 / DIMS.length); left > 0; left -= 5000)
        measureSome(report, pairsAt(random, Math.min(left, 5000), dim, c), dim, c);
    }
  return report;
}

function measureSome(report: PairReport, [xs, ys]: [Float32Array, Float32Array], dim: number, c: number): void {
  const options = { curvature: c, backend: 'cpu' } as const;
  const distances = kernels.poincareDistance(xs, ys, dim, options);
  const mirrored = kernels.poincareDistance(ys, xs, dim, options);
  const ones = new Float32Array(distances.length).fill(1);
  const { gradX, gradY } = kernels.poincareDistanceGradient(xs, ys, dim, ones, options);
  const selves = kernels.poincareDistance(xs, xs, dim, options);
  const ofSelves = kernels.poincareDistanceGradient(xs, xs, dim, ones, options);
  report.selfNotZero += selves.filter((d) => d !== 0).length + [...ofSelves.gradX, ...ofSelves.gradY].filter((g) => g !== 0).length;
  report.notFinite += [distances, gradX, gradY].reduce((sum, values) => sum + values.filter((v) => !Number.isFinite(v)).length, 0);
  const [px, py] = [reference.pointsOf(xs, dim, c), reference.pointsOf(ys, dim, c)];
  for (let i = 0; i < distances.length; ++i) {
    ++report.pairs;
    if (!Object.is(distances[i], mirrored[i])) ++report.asymmetric;
    const [x, y] = [px[i]!, py[i]!];
    const want = reference.poincareDistance(x, y, c);
    if (want < 1e-7) continue;
    report.distanceError = worse(report.distanceError, Math.abs(distances[i]! - want) / want);
    for (const [from, to, gradient] of [
      [x, y, gradX],
      [y, x, gradY],
    ] as const) {
      const exact = reference.poincareDistanceGradient(from, to, c);
      let [square, error, norm] = [0, 0, 0];
      for (let k = 0; k < dim; ++k) {
        const got = gradient[i * dim + k]!;
        square += got * got;
        error += (got - exact[k]!) ** 2;
        norm += exact[k]! ** 2;
      }
      report.gradientError = worse(report.gradientError, Math.sqrt(error / norm));
      report.invariantError = worse(report.invariantError, Math.abs((from.gap / 2) * Math.sqrt(square) - 1));
    }
  }
}

/** The larger one; NaN, as the error of NaN is, is the largest. */
const worse = (one: number, other: number): number => (one >= other ? one : Number.isNaN(other) ? Number.POSITIVE_INFINITY : other);

/** Rows that no training makes: next to the boundary, on it, beyond it, next to nothing. */
function badRows(random: Random, rows: number, dim: number): Float32Array {
  const all = new Float32Array(rows * dim);
  for (let row = 0; row < rows; ++row) {
    const x = Float64Array.from({ length: dim }, () => normal(random));
    const length = Math.hypot(...x);
    const kind = row % 8;
    const radius = [1, 1 - 1e-7, 1 + 1e-7, 1 + random(), 10 ** (38 * random()), MAX_NORM, 1e-42, 0][kind]!;
    const alongAxis = row % 16 < 8; // exactly 1, and all the rest in one coordinate
    for (let k = 0; k < dim; ++k)
      all[row * dim + k] = alongAxis ? (k === row % dim ? radius : 0) : (x[k]! / length) * Math.min(radius, 1e38);
  }
  return all;
}

async function measureStarts(count: number): Promise<StartReport> {
  const report: StartReport = { rows: 0, notFinite: 0, beyond: 0 };
  for (const parameters of ['ball', 'tangent'] as const)
    for (const dim of [2, 16]) {
      const users = Math.max(40, Math.ceil(count / 4));
      const data = synthetic({ users, items: 300, interactionsPerUser: [2, 4], validationFraction: 0, seed: dim });
      const options: TrainOptions = { dim, parameters, learningRate: 10, batchSize: 1 << 24, threads: 1, curvature: 1, backend: 'cpu' };
      const resolved = resolveOptions(options, data.train.items.length, false);
      const trainer = new native.Trainer(trainerConfig(data, data, resolved, 'cpu'));
      const random = seededRandom(dim);
      const state = await trainer.state().promise;
      for (const [name, rows] of [
        ['users', data.users],
        ['entities', data.entities],
        ['relations', data.relations],
      ] as const)
        state.tensors[`${name}.parameters`] = badRows(random, rows, dim);
      await trainer.restore(state).promise;
      await judge(report, trainer, dim); // as they are read, before a step
      for (let step = 0; step < 100; ++step) await trainer.epoch(step, 1).promise;
      await judge(report, trainer, dim);
      trainer.dispose();
    }
  return report;
}

async function judge(report: StartReport, trainer: NativeTrainer, dim: number): Promise<void> {
  const { users, entities, relations } = await trainer.read().promise;
  for (const table of [users, entities, relations])
    for (let at = 0; at < table.length; at += dim) {
      let square = 0;
      for (let k = at; k < at + dim; ++k) square += table[k]! ** 2;
      ++report.rows;
      if (!Number.isFinite(square)) ++report.notFinite;
      else report.beyond = Math.max(report.beyond, Math.sqrt(square) - MAX_NORM);
    }
}

const [pairs, starts] = process.argv.slice(2).map(Number);
const { device } = backends().find(({ name }) => name === 'cpu')!;
const found: NearBoundary = { device, pairs: measurePairs(pairs!), starts: await measureStarts(starts!) };
process.stdout.write(JSON.stringify(found));
