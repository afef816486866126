// Makes a run of a method on a data set: trains a model or fits a control, and judges it on the test split.
import { statSync } from 'node:fs';
import { join, relative } from 'node:path';
import type { Dataset } from '../../lib/data/dataset.ts';
import { resolveBackend } from '../../lib/native.ts';
import { dataProtocol } from '../../lib/protocol.ts';
import { splitDigest } from '../../lib/data/digest.ts';
import { finishInTurns } from '../../lib/data/steps.ts';
import { type JudgedSplit, judge } from '../../lib/report/judge.ts';
import { readRun, type RunEpoch, type RunKey, type RunRecord, runName, sha256OfHistory, writeRun } from '../../lib/report/run-folder.ts';
import { quantile } from '../../lib/statistics.ts';
import type { TrainOptions } from '../../lib/train.ts';
import { VERSION } from '../../lib/version.ts';
import { type Control, GRIDS } from './controls.ts';
import type { Source } from './data.ts';
import { EVALUATION_LEDGER, ledgerOf } from './ledger.ts';
import { hostOf } from './protocol.ts';
import { trainKept } from './train-run.ts';

/** A row of a table: options of `train`, its variant included, for every seed; or a control, which knows no seed. */
export type Method = { name: string; label: string } & ({ kind: 'model'; options: TrainOptions } | { kind: 'control'; control: Control });

/** A run that is to be there in the end. */
export interface PlannedRun {
  key: RunKey;
  method: Method;
  seed: number;
  source: Source;
  splitSeed: number;
  /** Whether something is made of its model, so that it is kept whatever the command says. */
  needsModel?: boolean;
}

/** @param data of the data set, as dataKeyOf has it */
export function plannedRun(
  method: Method,
  {
    source,
    data,
    seed,
    splitSeed,
    judged,
  }: { source: Source; data: Record<string, unknown>; seed: number; splitSeed: number; judged?: JudgedSplit },
): PlannedRun {
  const base = { method, seed, source, splitSeed };
  const also = judged === undefined ? {} : { judged };
  if (method.kind === 'control')
    return { ...base, key: { dataset: data, method: method.name, seed: null, options: { grids: GRIDS }, version: VERSION, ...also } };
  const { threads: _threads, variant = 'hyper-know', preset = 'tuned', backend = 'auto', ...decisive } = method.options; // threads do not change a result
  const options = Object.fromEntries(
    Object.entries({ ...decisive, preset, backend: resolveBackend(backend) }).sort(([a], [b]) => (a < b ? -1 : 1)),
  );
  return { ...base, key: { dataset: data, method: variant, seed, options, version: VERSION, ...also } };
}

export const runsFolder = (out: string): string => join(out, 'runs');

/** The folder of a run that is finished. */
export const finishedFolder = (out: string, key: RunKey): string => join(runsFolder(out), runName(key));

/** What there is of a run that is not: its checkpoint, the epochs so far, and who is at it. */
export const partialFolder = (out: string, key: RunKey): string => join(runsFolder(out), `.${runName(key)}.partial`);

/**
 * The run that is finished, or undefined. One whose folder is damaged, as far as can be told without reading its model, counts as none, and so does one
 * of a model that was not kept, if that `wantsModel`.
 */
export async function finishedRun(out: string, key: RunKey, wantsModel: boolean): Promise<RunRecord | undefined> {
  const folder = finishedFolder(out, key);
  try {
    const record = await readRun(folder);
    if (JSON.stringify(record.key) !== JSON.stringify(key)) return undefined;
    if (record.model === undefined) return wantsModel && key.seed !== null ? undefined : record;
    return statSync(join(folder, record.model.file)).size === record.model.bytes ? record : undefined;
  } catch {
    return undefined;
  }
}

export interface Making {
  out: string;
  threads: number | undefined;
  /** Whether models are kept; without them nothing can be verified. */
  keepModel: boolean;
  show(what: string, share: number): void;
}

/** Makes the run and writes its folder. */
export async function makeRun(run: PlannedRun, dataset: Dataset, making: Making): Promise<RunRecord> {
  return run.method.kind === 'model'
    ? modelRun(run, run.method.options, dataset, making)
    : controlRun(run, run.method.control, dataset, making);
}

const TEST_SELECTED = 'the epoch that looks best on the test split: no result, but what is reported where epochs are selected by it';

async function modelRun(run: PlannedRun, options: TrainOptions, dataset: Dataset, making: Making): Promise<RunRecord> {
  const { key, method, seed } = run;
  const split = key.judged ?? 'test';
  const own = { ...options, backend: key.options.backend as 'cpu' | 'cuda', seed, monitorTest: split === 'test' };
  const { model, history, seconds } = await trainKept(dataset, own, partialFolder(making.out, key), ({ epoch, loss }, epochs) =>
    making.show(`${method.label}, seed ${seed}: epoch ${epoch}, loss ${loss.toFixed(4)}`, epoch / epochs),
  );
  const began = performance.now();
  const { metrics, perUser } = await judge(model, dataset, split, making.threads);
  const { validationRecall, epoch: bestEpoch, preset } = model.training;
  const { selection, ...rest } = model.protocol!;
  const record = {
    ...common(run, making),
    ...{ metrics, perUser },
    ...(split === 'test' ? await onValidation(model, dataset, making.threads) : { validation: metrics }),
    ...{ epochs: selection.epochs, bestEpoch },
    ...(validationRecall === undefined ? {} : { validationRecall }),
    ...testSelectedOf(history),
    history,
    historySha256: sha256OfHistory(history),
    protocol: { ...rest, selection },
    ledger: ledgerOf(model.protocol!.options, preset),
    epochSeconds: quantile(
      history.map((one) => one.seconds),
      0.5,
    ),
    seconds: seconds + (performance.now() - began) / 1000,
  };
  return writeRun(runsFolder(making.out), record, making.keepModel ? model : null);
}

/** Absent where no epoch was measured on the test split. */
function testSelectedOf(history: readonly RunEpoch[]): Pick<RunRecord, 'testSelected'> {
  let best: RunEpoch | undefined;
  for (const one of history) if (one.test && !(best && one.test['recall@20']! <= best.test!['recall@20']!)) best = one;
  return best ? { testSelected: { note: TEST_SELECTED, epoch: best.epoch, metrics: best.test! } } : {};
}

async function controlRun(run: PlannedRun, control: Control, dataset: Dataset, making: Making): Promise<RunRecord> {
  const began = performance.now();
  const scorer = control.scorer(dataset);
  making.show(`${run.method.label}: settings of its grid`, 0.5);
  const { metrics, perUser } = await judge(scorer, dataset, 'test');
  const judged = await onValidation(scorer, dataset);
  const { validation } = judged;
  const { train, validation: heldOut, test, graph } = dataset;
  const record = {
    ...common(run, making),
    ...{ metrics, perUser },
    ...judged,
    ...(validation ? { validationRecall: validation['recall@20']! } : {}),
    ...(scorer.setting ? { setting: scorer.setting() } : {}),
    protocol: {
      version: VERSION,
      ...dataProtocol(dataset, await finishInTurns(splitDigest(dataset, [train, heldOut, test], graph))),
      selection: { by: 'validation recall@20', grids: GRIDS },
    },
    ledger: [...EVALUATION_LEDGER],
    seconds: (performance.now() - began) / 1000,
  };
  return writeRun(runsFolder(making.out), record, null);
}

async function onValidation(
  what: Parameters<typeof judge>[0],
  dataset: Dataset,
  threads?: number,
): Promise<{ validation?: Record<string, number> }> {
  return dataset.validation.items.length > 0 ? { validation: (await judge(what, dataset, 'validation', threads)).metrics } : {};
}

function common(
  { key, method, source, splitSeed }: PlannedRun,
  { out, threads }: Making,
): Pick<RunRecord, 'key' | 'label' | 'data' | 'host'> {
  const folder = source.folder === null ? null : relative(out, source.folder) || '.';
  return { key, label: method.label, data: { name: source.name, folder, splitSeed }, host: hostOf(threads) };
}
