// Trains the model of a run so that it can be killed at any moment: a checkpoint at a validation every few seconds, and what the epochs told beside it.
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Dataset } from '../../lib/data/dataset.ts';
import { HyperKnowError } from '../../lib/errors.ts';
import type { Metrics } from '../../lib/evaluate.ts';
import { files } from '../../lib/files.ts';
import type { Model } from '../../lib/model.ts';
import { type EpochEvent, resolveOptions } from '../../lib/options.ts';
import { type ItemGroups, itemGroups, itemWeightsOf } from '../../lib/report/item-groups.ts';
import { type RunEpoch, writeText } from '../../lib/report/run-folder.ts';
import { type TrainOptions, train } from '../../lib/train.ts';

export interface Trained {
  model: Model;
  history: RunEpoch[];
  /** Of all processes that worked on it, up to their last checkpoint. */
  seconds: number;
}

interface Kept {
  seconds: number;
  history: RunEpoch[];
}

const CHECKPOINT = 'checkpoint.safetensors';
const HISTORY = 'history.json';

/** Seconds between two checkpoints, at least: on a GPU a large model is written in longer than it is trained from one validation to the next. */
const leastSeconds = () => Number(process.env.HYPER_KNOW_CHECKPOINT_SECONDS ?? 10);

/**
 * `train(dataset, options)`, with what it has to leave in `folder`, and continuing what is left there. The model comes out the same bit for bit, however often
 * it is interrupted.
 */
export async function trainKept(
  dataset: Dataset,
  options: TrainOptions,
  folder: string,
  show: (event: EpochEvent, epochs: number) => void,
): Promise<Trained> {
  try {
    const trained = await attempt(dataset, options, folder, show);
    if (isWhole(trained)) return trained;
  } catch (error) {
    if (!(error instanceof HyperKnowError) || error.code !== 'ERR_HK_MODEL_FILE') throw error;
    process.stderr.write(`${error.message}; this run begins anew\n`);
  }
  for (const name of [CHECKPOINT, HISTORY]) rmSync(join(folder, name), { force: true });
  return attempt(dataset, options, folder, show);
}

/** Where an interrupted run stands: its last epoch; 0: nothing is kept. */
export function epochsKept(folder: string): number {
  return existsSync(join(folder, CHECKPOINT)) ? (readKept(folder)?.history.at(-1)?.epoch ?? 0) : 0;
}

async function attempt(
  dataset: Dataset,
  options: TrainOptions,
  folder: string,
  show: (event: EpochEvent, epochs: number) => void,
): Promise<Trained> {
  const { epochs, evaluateEvery } = resolveOptions(
    options,
    dataset.train.items.length,
    dataset.validation.items.length > 0,
  ).hyperparameters;
  const [checkpoint, history] = [join(folder, CHECKPOINT), join(folder, HISTORY)];
  const next = join(folder, `next-${process.pid}.safetensors`);
  rmSync(next, { force: true }); // of a process that was killed and had this one's number
  const kept = existsSync(checkpoint) ? readKept(folder) : undefined;
  const began = performance.now();
  const state: Kept = kept ?? { seconds: 0, history: [] };
  const before = state.seconds;
  const elapsed = () => before + (performance.now() - began) / 1000;
  const groups = itemGroups(dataset);
  const run = train(dataset, {
    ...options,
    itemWeights: true,
    checkpoint: { path: next, every: evaluateEvery, minSeconds: leastSeconds() },
    ...(kept ? { resume: checkpoint } : {}),
    onEpoch: async (event) => {
      state.history = [...state.history.filter(({ epoch }) => epoch < event.epoch), recordOf(event, groups)];
      show(event, epochs);
      if (!existsSync(next)) return;
      // In this order: a checkpoint whose epochs are not told would leave a hole; epochs that are told and come again are told again.
      state.seconds = elapsed();
      await writeText(history, JSON.stringify(state));
      await files.rename(next, checkpoint);
    },
  });
  const model = await run;
  return { model, history: state.history, seconds: elapsed() };
}

/** Whether every epoch is told, once and in order. */
function isWhole({ model, history }: Trained): boolean {
  return history.length === model.protocol!.selection.epochs && history.every(({ epoch }, i) => epoch === i + 1);
}

function readKept(folder: string): Kept | undefined {
  try {
    const kept = JSON.parse(readFileSync(join(folder, HISTORY), 'utf8')) as Kept;
    return Array.isArray(kept.history) && Number.isFinite(kept.seconds) ? kept : undefined;
  } catch {
    return undefined;
  }
}

function recordOf(event: EpochEvent, groups: ItemGroups): RunEpoch {
  const { epoch, loss, rankingLoss, knowledgeLoss, seconds, curvature, metrics, testMetrics, knowledgeWeight } = event;
  const itemWeights = event.itemWeights && itemWeightsOf(groups, event.itemWeights);
  return {
    ...{ epoch, loss, rankingLoss, knowledgeLoss, seconds, curvature },
    ...(metrics ? { validation: at20(metrics) } : {}),
    ...(testMetrics ? { test: at20(testMetrics) } : {}),
    ...(knowledgeWeight ? { knowledgeWeight } : {}),
    ...(itemWeights ? { itemWeights } : {}),
  };
}

const at20 = ({ recall, ndcg, ndcgKgat }: Metrics): Record<string, number> => ({
  'recall@20': recall[20]!,
  'ndcg@20': ndcg[20]!,
  ...(ndcgKgat ? { 'ndcgKgat@20': ndcgKgat[20]! } : {}),
});
