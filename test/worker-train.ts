// A training in a worker thread or a process of its own, for tests that run several at once or end them in the middle:
//   node --import tsx test/worker-train.ts MODE FOLDER
// As a worker it takes { mode, folder, seed, endless } and posts the bytes' sha-256 of its model.
import { writeSync } from 'node:fs';
import { join } from 'node:path';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import type { TrainOptions } from '../lib/train.ts';
import { sha256OfFile } from './helpers.ts';

export interface WorkerTask {
  folder: string;
  /** Of the data and of the training. */
  seed: number;
  /** Trains until it is ended, with a checkpoint after every epoch. */
  endless: boolean;
  /** Says so when training is under way. */
  tell?: boolean;
}

/** Starts this file as a worker thread. */
export function startWorker(task: WorkerTask): Worker {
  const code = `import(${JSON.stringify(import.meta.resolve('tsx/esm/api'))}).then(({ register }) => {
    register();
    return import(${JSON.stringify(import.meta.url)});
  });`;
  return new Worker(code, { eval: true, workerData: task, execArgv: [] });
}

async function dataset(seed: number) {
  const { synthetic } = await import('../lib/data/synthetic.ts');
  return synthetic({ users: 150 + 10 * seed, items: 150, interactionsPerUser: [8, 14], seed });
}

export async function trained({ folder, seed, endless, tell = false }: WorkerTask): Promise<string> {
  const { train } = await import('../lib/train.ts'); // the addon is loaded here, and so only where there is a training
  const options: TrainOptions = {
    ...{ dim: 16, epochs: endless ? 1_000_000 : 8, batchSize: 32, seed, backend: 'cpu', threads: 2, evaluateEvery: 3, averaging: true },
    ...(endless ? { earlyStopping: false, evaluateEvery: 1_000_000, checkpoint: { path: join(folder, `checkpoint-${seed}`) } } : {}),
    onEpoch: ({ epoch }) => {
      if (tell && epoch === 1) parentPort ? parentPort.postMessage('under way') : writeSync(1, 'under way\n');
    },
  };
  const model = await train(await dataset(seed), options);
  const path = join(folder, `model-${seed}-${process.pid}-${Math.random()}`);
  await model.save(path);
  return sha256OfFile(path);
}

/** How a process ends itself, or waits to be ended, while it trains. */
const MODES: Readonly<Record<string, (folder: string) => void>> = {
  wait: (folder) => void trained({ folder, seed: 1, endless: true, tell: true }),
  exit: (folder) => {
    void trained({ folder, seed: 1, endless: true });
    setTimeout(() => process.exit(7), 600 * Math.random() + 100);
  },
  throw: (folder) => {
    void trained({ folder, seed: 1, endless: true });
    setTimeout(
      () => {
        throw new Error('planted: uncaught');
      },
      600 * Math.random() + 100,
    );
  },
  reject: (folder) => {
    void trained({ folder, seed: 1, endless: true });
    setTimeout(() => void Promise.reject(new Error('planted: unhandled')), 600 * Math.random() + 100);
  },
  // The addon is loaded in the worker alone, which is terminated, or exits by itself, while it trains; a second one trains to its end.
  worker: (folder) => void inWorkers(folder, (worker) => worker.terminate()),
  workerExit: (folder) => void inWorkers(folder, (worker) => worker.postMessage('exit')),
  exitOverWorker: (folder) => {
    startWorker({ folder, seed: 1, endless: true });
    setTimeout(() => process.exit(7), 1500 * Math.random() + 300);
  },
  // planted faults
  crash: () => process.abort(),
  stays: () => void setInterval(() => {}, 1000),
};

async function inWorkers(folder: string, end: (worker: Worker) => void): Promise<void> {
  const first = startWorker({ folder, seed: 1, endless: true, tell: true });
  const ended = new Promise((resolve) => first.once('exit', resolve));
  first.once('message', () => setTimeout(() => end(first), 100 * Math.random()));
  await ended;
  const second = startWorker({ folder, seed: 2, endless: false });
  second.once('message', (digest: string) => writeSync(1, `${digest}\n`));
  second.once('error', (error) => {
    throw error;
  });
}

if (!isMainThread && workerData) {
  parentPort!.once('message', () => process.exit(0));
  void trained(workerData as WorkerTask).then((digest) => {
    parentPort!.postMessage(digest);
    parentPort!.close();
  });
} else if (process.argv[1]?.endsWith('worker-train.ts')) {
  const [mode, folder] = process.argv.slice(2);
  MODES[mode!]!(folder!);
}
