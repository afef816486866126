import { basename, join } from 'node:path';
import { isObject } from '../check.ts';
import type { Dataset } from '../data/dataset.ts';
import { sigmoid } from '../embedding.ts';
import { HyperKnowError } from '../errors.ts';
import { byDistance, Model } from '../model.ts';
import { quantile, quantiles } from '../statistics.ts';
import { type Checks, type Verdict, verdictOfError, verdictOn } from './checks.ts';
import { controlScorer } from './control-scorers.ts';
import { dataDifference, dataKeyOf } from './data-key.ts';
import { itemGroups, itemWeightsOf } from './item-groups.ts';
import { type Judgement, type JudgedSplit, judge } from './judge.ts';
import type { RunData } from './run-data.ts';
import { type RunRecord, runName, sha256OfFile, sha256OfHistory } from './run-folder.ts';

type Json = Record<string, unknown>;

export interface RunContext {
  check: Checks;
  datasets: RunData;
  /** What files that list runs say of this one. */
  listed: readonly { file: string; run: Json }[];
  threads: number | undefined;
}

/** Every number of a finished run again, from what its folder keeps. */
export async function verifyRun(
  what: string,
  folder: string,
  record: RunRecord,
  { check, datasets, listed, threads }: RunContext,
): Promise<Verdict> {
  const { key, model, setting } = record;
  const split = key.judged ?? 'test';
  const wrong: string[] = [];
  if (runName(key) !== what) wrong.push(`its name is not that of its key, which would be ${runName(key)}`);
  for (const { file, run } of listed) wrong.push(...listedDifferences(file, run, record, check));
  wrong.push(...selectionProblems(record, check), ...historyProblems(record, check));

  const dataset = await datasets.open(record);
  const difference = dataDifference(key.dataset, dataKeyOf(dataset));
  if (difference !== undefined) return { what, status: 'different', remarks: [...wrong, `the data set is another: ${difference}`] };

  let judged: Model | ReturnType<typeof controlScorer>;
  if (model) {
    const path = join(folder, model.file);
    try {
      if (/[/\\]/.test(model.file))
        throw new HyperKnowError('ERR_HK_DATA', `its model is not beside it: ${model.file}`, { file: basename(model.file) });
      judged = await Model.load(path);
      if ((await sha256OfFile(path)) !== model.sha256) wrong.push(`${model.file} is not the file that was written (sha-256)`);
      if (judged.users.length / judged.dim !== dataset.users || judged.itemIds.length !== dataset.items)
        return { what, status: 'different', remarks: [...wrong, `${model.file} has other users or items than the data set`] };
      wrong.push(...modelDifferences(record, judged, dataset, check));
    } catch (error) {
      if (!(error instanceof HyperKnowError)) throw error;
      const verdict = verdictOfError(what, error);
      return { ...verdict, remarks: [...wrong, ...verdict.remarks] };
    }
  } else if (key.seed === null) {
    judged = controlScorer(key.method, setting, dataset);
    if (!judged) return { what, status: 'different', remarks: [...wrong, `${key.method} is no control that is known here`] };
  } else {
    const remark = 'no model was kept: its metrics cannot be recomputed';
    return wrong.length > 0 ? { what, status: 'different', remarks: wrong } : { what, status: 'unchecked', remarks: [remark] };
  }

  const now = await judge(judged, dataset, split, threads);
  // Epochs are judged without neighbours, which are blended in once training has ended.
  const alone = judged instanceof Model && judged.blend ? byDistance(judged) : undefined;
  const ofEpoch = async (which: JudgedSplit, metrics: Record<string, number>) =>
    selectedDifferences(record, which, alone ? (await judge(alone, dataset, which, threads)).metrics : metrics, check);
  wrong.push(...judgedDifferences(record, now, check), ...(await ofEpoch(split, now.metrics)));
  if (record.validation && dataset.validation.items.length > 0) {
    const { metrics } = split === 'validation' ? now : await judge(judged, dataset, 'validation', threads);
    if (split === 'test')
      wrong.push(...check.numbers('validation ', record.validation, metrics), ...(await ofEpoch('validation', metrics)));
    if (judged instanceof Model) wrong.push(...blendDifferences(judged, metrics, check));
  }
  return verdictOn(what, wrong);
}

/** Validation recall@20 with the weights of neighbours that it chose. */
function blendDifferences({ training: { neighborBlend } }: Model, validation: Record<string, number>, check: Checks): string[] {
  const told = neighborBlend?.validationRecall;
  if (told === undefined || check.upTo(WHILE_TRAINED).same(told, validation['recall@20'])) return [];
  return [`neighborBlend: validation recall@20 of ${told}, recomputed ${validation['recall@20']}`];
}

function listedDifferences(file: string, listed: Json, record: RunRecord, check: Checks): string[] {
  const wrong = check.numbers(`${file}: `, isObject(listed.metrics) ? (listed.metrics as Record<string, number>) : {}, record.metrics);
  const ours = record as unknown as Json;
  for (const name of Object.keys(listed))
    if (name !== 'folder' && name !== 'metrics' && JSON.stringify(listed[name]) !== JSON.stringify(ours[name]))
      wrong.push(`${file}: ${name} is not that of run.json`);
  return wrong;
}

/** What was selected has to be what the history says; of the epochs that were not, no embeddings are kept. */
function selectionProblems({ history, bestEpoch, validationRecall, testSelected }: RunRecord, check: Checks): string[] {
  const wrong: string[] = [];
  const best = (part: 'validation' | 'test') => Math.max(...(history ?? []).flatMap((epoch) => epoch[part]?.['recall@20'] ?? []));
  if (validationRecall !== undefined && bestEpoch !== undefined) {
    if (!check.same(best('validation'), validationRecall))
      wrong.push('the selected epoch has not the best validation recall@20 of the history');
    if (!check.same(history?.[bestEpoch - 1]?.validation?.['recall@20'], validationRecall))
      wrong.push(`the history has another validation recall@20 of epoch ${bestEpoch}`);
  }
  if (testSelected && !check.same(best('test'), testSelected.metrics['recall@20']))
    wrong.push('testSelected has not the best test recall@20 of the history');
  return wrong;
}

function judgedDifferences({ metrics, perUser }: RunRecord, now: Judgement, check: Checks): string[] {
  const wrong = check.numbers('', metrics, now.metrics);
  for (const name of new Set([...Object.keys(perUser), ...Object.keys(now.perUser)])) {
    const [before, found] = [perUser[name] ?? [], now.perUser[name] ?? []];
    if (before.length !== found.length) wrong.push(`${name}: values of ${before.length} users, recomputed of ${found.length}`);
    else {
      const at = before.flatMap((value, user) => (check.same(value, found[user]) ? [] : [user]));
      if (at.length > 0)
        wrong.push(`${name}: other values of ${at.length} users, first of number ${at[0]}: ${before[at[0]!]}, recomputed ${found[at[0]!]}`);
    }
  }
  return wrong;
}

/** Whether the epochs are those of one training, as far as can be known without training again. */
function historyProblems({ key, history, historySha256, epochs, epochSeconds, protocol }: RunRecord, check: Checks): string[] {
  if (key.seed === null) return history ? ['a control has no history'] : [];
  if (!history || history.length === 0) return epochs === 0 ? [] : ['the history is not there'];
  const wrong: string[] = [];
  if (historySha256 !== undefined && historySha256 !== sha256OfHistory(history))
    wrong.push('the history is not what was written (sha-256)');
  if (history.length !== epochs || history.some(({ epoch }, i) => epoch !== i + 1)) wrong.push(`the history is not epochs 1 to ${epochs}`);
  const every = (protocol.options as { evaluateEvery?: number } | undefined)?.evaluateEvery;
  for (const one of history) {
    const { epoch, loss, rankingLoss, knowledgeLoss, seconds } = one;
    if (!check.same(loss, rankingLoss + knowledgeLoss)) wrong.push(`history: the losses of epoch ${epoch} do not add up`);
    if (!(seconds >= 0)) wrong.push(`history: epoch ${epoch} took no time`);
    if (every !== undefined && one.validation && epoch % every !== 0 && epoch !== epochs)
      wrong.push(`history: epoch ${epoch} was not one to be evaluated`);
    if (Boolean(one.test) !== Boolean(one.validation) && key.judged === undefined)
      wrong.push(`history: epoch ${epoch} has metrics of one split alone`);
  }
  const median = quantile(
    history.map(({ seconds }) => seconds),
    0.5,
  );
  if (!check.same(epochSeconds, median)) wrong.push(`epochSeconds: ${epochSeconds}, the history's median is ${median}`);
  return wrong;
}

/** What the model says of itself and holds, against the run and the epoch of its history that was selected. */
function modelDifferences(
  { protocol, bestEpoch, validationRecall, history, key }: RunRecord,
  model: Model,
  dataset: Dataset,
  check: Checks,
): string[] {
  const wrong: string[] = [];
  const { training } = model;
  const told = check.tree(protocol, JSON.parse(JSON.stringify(model.protocol ?? {})));
  if (told !== undefined) wrong.push(`protocol: ${told} in the model`);
  if (training.variant !== key.method) wrong.push(`the model is of ${training.variant}`);
  if (training.epoch !== bestEpoch) wrong.push(`bestEpoch: ${bestEpoch}, the model's is ${training.epoch}`);
  if (training.validationRecall !== undefined && !check.same(validationRecall, training.validationRecall))
    wrong.push(`validationRecall: ${validationRecall}, the model's is ${training.validationRecall}`);
  const selected = history?.[training.epoch - 1];
  if (!selected) return wrong;
  if (!check.same(selected.curvature, model.curvature))
    wrong.push(`history: curvature ${selected.curvature} in epoch ${selected.epoch}, the model's is ${model.curvature}`);
  if (selected.knowledgeWeight) {
    const weights = Float64Array.from(model.beta, sigmoid);
    const [p10, p50, p90] = quantiles(weights, [0.1, 0.5, 0.9]);
    const difference =
      check.tree(selected.knowledgeWeight, { p10, p50, p90 }) ??
      (selected.itemWeights ? check.tree(selected.itemWeights, itemWeightsOf(itemGroups(dataset), Float32Array.from(weights))) : undefined);
    if (difference !== undefined) wrong.push(`history: σ(β) in epoch ${selected.epoch}: ${difference} of the model`);
  }
  return wrong;
}

/**
 * Items at all but the same distance may stand in another order while a model is trained: its points are not yet rounded to coordinates of the
 * model's ball, and a GPU ranks for itself.
 */
const WHILE_TRAINED = 1e-3;

/** The selected epoch as the history tells it, against the ranking of its embeddings: the means of both splits. */
function selectedDifferences({ bestEpoch, history }: RunRecord, split: JudgedSplit, now: Record<string, number>, check: Checks): string[] {
  const told = history?.[(bestEpoch ?? 0) - 1]?.[split];
  const own = check.upTo(WHILE_TRAINED);
  return Object.entries(told ?? {})
    .filter(([name, value]) => !own.same(value, now[name]))
    .map(([name, value]) => `history: ${split} ${name} of epoch ${bestEpoch}: ${value}, recomputed ${now[name] ?? 'absent'}`);
}
