// The resident set over many cycles of training, aborting, failing, saving, loading, ranking and closing; prints JSON.
//   node --expose-gc --import tsx test/cycle-memory.ts CYCLES [planted]
// `planted`: 256 KiB of every cycle are kept by the addon's memory, as a leak would.
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { synthetic } from '../lib/data/synthetic.ts';
import { evaluate } from '../lib/evaluate.ts';
import { Model } from '../lib/model.ts';
import { native, type NativeItemTable } from '../lib/native.ts';
import { type TrainOptions, train } from '../lib/train.ts';
import { temporaryFolder } from './helpers.ts';

export interface CycleMemory {
  /** Bytes, after every cycle; those of warming up are left out. */
  resident: number[];
  /** Bytes outside of V8's heap that V8 knows of. */
  external: number[];
}

const WARM_UP = 50;

const [cycles, planted] = [Number(process.argv[2]), process.argv[3] === 'planted'];
const data = synthetic({ users: 150, items: 200, interactionsPerUser: [6, 10], seed: 5 });
const folder = temporaryFolder();
const [file, checkpoint] = [join(folder, 'model'), join(folder, 'checkpoint')];
const options: TrainOptions = { dim: 32, epochs: 2, batchSize: 256, backend: 'cpu', threads: 2 };
const kept: NativeItemTable[] = [];

async function cycle(): Promise<void> {
  const model = await train(data, { ...options, checkpoint: { path: checkpoint } });
  model.recommend(data.userIds[0]!, 10);
  await model.recommendBatch(data.userIds.slice(0, 20), { k: 5, threads: 2 });
  await evaluate(model, data);
  await model.save(file);
  model.close();
  const loaded = await Model.load(file);
  loaded.recommend(data.userIds[1]!, 10);
  // Ends that are none: aborts, errors, what was never closed.
  const controller = new AbortController();
  const run = train(data, { ...options, epochs: 1000, signal: controller.signal, onEpoch: () => controller.abort() });
  await run.catch(() => {});
  await train(data, { ...options, resume: checkpoint, seed: 7 }).catch(() => {});
  await train(data, { ...options, parameters: 'ball', learningRate: 1e30 }).catch(() => {});
  await Model.load(checkpoint).catch(() => {});
  rmSync(checkpoint);
  if (planted) kept.push(new native.ItemTable(new Float32Array(1 << 16), 1, 1));
}

const memory: CycleMemory = { resident: [], external: [] };
for (let i = 0; i < WARM_UP + cycles; ++i) {
  await cycle();
  globalThis.gc!();
  if (i < WARM_UP) continue;
  const { rss, external } = process.memoryUsage();
  memory.resident.push(rss);
  memory.external.push(external);
}
process.stdout.write(JSON.stringify(memory));
