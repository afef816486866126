// What the tests of `npm run reproduce` share: a small data set as files, and the command as a process.
import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { synthetic } from '../lib/data/synthetic.ts';
import { folderWith } from './helpers.ts';

/** So that trainings of a second have checkpoints: of this process and of those that it starts. */
process.env.HYPER_KNOW_CHECKPOINT_SECONDS = '0';

/** A synthetic world in the KGAT form. */
export function worldFolder({ users = 80, items = 60, seed = 3 } = {}): string {
  const { train, test, triples } = synthetic({ users, items, interactionsPerUser: [6, 10], validationFraction: 0, seed });
  const lists = ({ offsets, items: all }: { offsets: Uint32Array; items: Uint32Array }) =>
    Array.from({ length: users }, (_, user) => [user, ...all.subarray(offsets[user], offsets[user + 1])].join(' ')).join('\n');
  const kg = Array.from(triples.heads, (head, i) => `${head} ${triples.relations[i]} ${triples.tails[i]}`).join('\n');
  return folderWith({ 'train.txt': `${lists(train)}\n`, 'test.txt': `${lists(test)}\n`, 'kg_final.txt': `${kg}\n` });
}

/** Small enough for a test: a second or so a model. */
export const SMALL = ['--backend', 'cpu', '--threads', '1', '--no-controls', '--options', '{"dim":8,"batchSize":64,"evaluateEvery":2}'];

export interface Ended {
  status: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

/** `scripts/NAME.ts …args`; `watch` is given the process when it has started. */
export function script(name: string, args: readonly string[], watch?: (child: ChildProcess) => void): Promise<Ended> {
  const path = fileURLToPath(new URL(`../scripts/${name}.ts`, import.meta.url));
  const { HYPER_KNOW_DATA: _, ...env } = process.env; // to the command it is the option --data
  const child = spawn(process.execPath, ['--import', 'tsx', path, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  const ended: Ended = { status: null, signal: null, stdout: '', stderr: '' };
  for (const stream of ['stdout', 'stderr'] as const)
    child[stream].setEncoding('utf8').on('data', (text: string) => {
      ended[stream] += text;
    });
  watch?.(child);
  return new Promise((resolve) => child.on('close', (status, signal) => resolve({ ...ended, status, signal })));
}
