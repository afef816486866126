// What every results file says about how its numbers were made.
import { availableParallelism, cpus, totalmem } from 'node:os';
import { backends } from '../../lib/native.ts';
import { GRIDS } from './controls.ts';

/** @param threads as asked for, for the models */
export function protocolOf(threads: number | undefined): Record<string, unknown> {
  return {
    selection:
      'the epoch of best validation recall@20; what the test split would have selected is named testSelected, and nothing else here comes from it',
    ranking: 'all items outside the training and validation items of the user; exact; ties by smaller item',
    ndcg: {
      'ndcg@20': 'ideal: min(20, test items) hits',
      'ndcgKgat@20': "ideal: the hits among the method's own first 100, cut at 20",
    },
    controls: { grids: GRIDS, selection: 'validation recall@20, every split by itself' },
    test: 'two-sided paired t-test over users, each user averaged over the seeds',
    host: hostOf(threads),
  };
}

/** The machine that a number was measured on. */
export function hostOf(threads: number | undefined): Record<string, unknown> {
  return {
    cpu: cpus()[0]?.model,
    threads: threads ?? availableParallelism(),
    memoryBytes: totalmem(),
    node: process.version,
    backends: backends(),
  };
}
