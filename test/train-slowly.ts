// A training as a process of its own, for tests that kill it: node --import tsx test/train-slowly.ts CHECKPOINT MODEL [torn]
// Continues from the checkpoint where one is, writes one after every epoch, slowly, and says on standard output where it stands.
import { existsSync, writeSync } from 'node:fs';
import { basename } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { synthetic } from '../lib/data/synthetic.ts';
import { files } from '../lib/files.ts';
import { type TrainOptions, train } from '../lib/train.ts';

export const KILLED_OPTIONS: TrainOptions = {
  ...{ dim: 8, epochs: 30, batchSize: 8, seed: 3, backend: 'cpu', threads: 1, evaluateEvery: 2 },
  ...{ curvature: 'learned', averaging: true },
};

export const killedData = () => synthetic({ users: 150, items: 150, interactionsPerUser: [8, 14], seed: 5 });

/** So much longer does every fourth write take, so that a part of all kills meets one. */
const WRITE_MS = 1;

/** Slows the writes of checkpoints. `torn`: they are written in place, as they must not be. */
function slowWrites(checkpoint: string, torn: boolean): void {
  const { open, rename } = files;
  let writes = 0;
  const slow = <T>(handle: T): T =>
    new Proxy(handle as object, {
      get: (target, name) => {
        const member = Reflect.get(target, name) as unknown;
        if (typeof member !== 'function') return member;
        return async (...all: unknown[]) => {
          if (name === 'write' && ++writes % 4 === 0) await sleep(WRITE_MS);
          return member.apply(target, all);
        };
      },
    }) as T;
  files.open = async (path, flags, ...rest) => {
    if (flags !== 'wx' || !String(path).includes('checkpoint')) return open(path, flags, ...rest);
    writeSync(1, 'writing\n');
    return slow(torn ? await open(checkpoint, 'w') : await open(path, flags, ...rest));
  };
  if (torn) files.rename = async (from, to) => (String(from).includes('checkpoint') ? undefined : rename(from, to));
}

async function main([checkpoint, model, torn]: string[]): Promise<void> {
  slowWrites(checkpoint!, torn === 'torn');
  const resume = existsSync(checkpoint!) ? { resume: checkpoint! } : {};
  writeSync(1, 'begins\n');
  const onEpoch = ({ epoch }: { epoch: number }) => void writeSync(1, `epoch ${epoch}\n`);
  const trained = await train(killedData(), { ...KILLED_OPTIONS, checkpoint: { path: checkpoint!, every: 1 }, ...resume, onEpoch });
  await trained.save(model!);
}

if (/^train-slowly[-.]/.test(basename(process.argv[1] ?? ''))) await main(process.argv.slice(2));
