// How long the event loop is held while a data set of Last-FM's size is loaded, trained on, evaluated, saved and loaded again; prints JSON.
//   node --import tsx test/loop-delays.ts [planted]
// A process of its own, so that only this work is in it. `planted`: 80 ms of it are done at once.
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { loadDataset } from '../lib/data/dataset.ts';
import { synthetic } from '../lib/data/synthetic.ts';
import { evaluate } from '../lib/evaluate.ts';
import { Model } from '../lib/model.ts';
import { train } from '../lib/train.ts';
import { temporaryFolder, threadClock, writeKgat } from './helpers.ts';

/** How late timers were by the clock; and how long this thread worked on a processor from one to the next, null where the system does not say. */
export interface Delays {
  phase: string;
  max: number;
  p99: number;
  workMax: number | null;
  workP99: number | null;
  timers: number;
  seconds: number;
}

const TICK = 4;

/** Does the work, and measures how late timers are meanwhile. */
async function measured(phase: string, work: () => Promise<unknown>): Promise<Delays> {
  const histogram = monitorEventLoopDelay({ resolution: TICK });
  const clock = threadClock();
  const own: number[] = [];
  await sleep(20);
  let worked = clock?.worked() ?? 0;
  const timer = setInterval(() => {
    const now = clock?.worked() ?? 0;
    own.push(now - worked);
    worked = now;
  }, TICK);
  histogram.enable();
  const began = performance.now();
  await work();
  const seconds = (performance.now() - began) / 1000;
  await sleep(4 * TICK);
  histogram.disable();
  clearInterval(timer);
  clock?.close();
  own.sort((a, b) => a - b);
  const [workMax, workP99] = clock ? [own.at(-1)!, own[Math.floor(0.99 * own.length)]!] : [null, null];
  return {
    phase,
    max: histogram.max / 1e6 - TICK,
    p99: histogram.percentile(99) / 1e6 - TICK,
    workMax,
    workP99,
    timers: own.length,
    seconds,
  };
}

const folder = temporaryFolder();
writeKgat(folder, synthetic({ shape: 'last-fm', seed: 1, validationFraction: 0 }));
const data = await loadDataset(folder);
const model = await train(data, { dim: 64, epochs: 0, backend: 'cpu' });
const path = join(folder, 'model');
const options = {
  dim: 64,
  epochs: 1,
  evaluateEvery: 1,
  batchSize: 8192,
  backend: 'cpu',
  checkpoint: { path: join(folder, 'checkpoint') },
} as const;
const phases: Record<string, () => Promise<unknown>> =
  process.argv[2] === 'planted'
    ? {
        planted: async () => {
          await sleep(50);
          const { worked } = threadClock() ?? { worked: () => performance.now() };
          for (const end = worked() + 80; worked() < end; );
          await sleep(50);
        },
      }
    : {
        'load the data': () => loadDataset(folder),
        train: async () => train(data, options),
        'go on': async () => train(data, { ...options, resume: options.checkpoint.path }),
        evaluate: () => evaluate(model, data),
        save: () => model.save(path),
        'load the model': () => Model.load(path),
      };
const all: Delays[] = [];
for (const [phase, work] of Object.entries(phases)) all.push(await measured(phase, work));
process.stdout.write(JSON.stringify(all));
