// One training as the figures need it: its course, the test metrics of what it kept, and where asked for the model.
import { cpus } from 'node:os';
import type { Dataset } from '../../../lib/data/dataset.ts';
import { splitDigest } from '../../../lib/data/digest.ts';
import { finishInTurns } from '../../../lib/data/steps.ts';
import { evaluatePerUser, meanMetrics } from '../../../lib/evaluate.ts';
import type { Model } from '../../../lib/model.ts';
import { type TrainOptions, train } from '../../../lib/train.ts';
import { VERSION } from '../../../lib/version.ts';
import { METRICS } from '../metrics.ts';
import { type Grouping, percentilesOf, percentilesWithin, quartiles } from './groups.ts';
import type { Store } from './store.ts';
import type { Percentiles } from './types.ts';

/** Percentiles of σ(β) at an epoch. */
export interface WeightRecord {
  epoch: number;
  all: Percentiles;
  popularity: Percentiles[];
  degree: Percentiles[];
}

export interface TrainedRun {
  seed: number;
  selectedEpoch: number;
  /** Metric → mean over the users of the test split; null where there is none. */
  metrics: Record<string, number | null>;
  rankingLoss: number[];
  knowledgeLoss: number[];
  validation: { epoch: number; recall: number; ndcg: number }[];
  /** Where β is learned. */
  weights: WeightRecord[];
  /** Where it started. */
  startWeight: number;
  backend: string;
  device: string;
  /** Where it was trained. */
  host: string;
  /** With evaluation. */
  seconds: number;
}

/** The items that have a triple, by popularity and by degree; the others have no L_K, and no β. */
export interface ItemGroups {
  items: Uint32Array;
  popularity: Grouping;
  degree: Grouping;
}

export function itemGroups({ items, graph, train: interactions }: Dataset): ItemGroups {
  const degrees = Uint32Array.from({ length: items }, (_, item) => graph.offsets[item + 1]! - graph.offsets[item]!);
  const popularity = new Uint32Array(items);
  for (const item of interactions.items) popularity[item]!++;
  const rows = Uint32Array.from(degrees.keys()).filter((item) => degrees[item]! > 0);
  return {
    items: rows,
    popularity: quartiles(rows, popularity, ['interaction', 'interactions']),
    degree: quartiles(rows, degrees, ['triple', 'triples']),
  };
}

export interface TrainingContext {
  dataset: Dataset;
  store: Store;
  /** Says what is going on. */
  show(text: string): void;
  /** Says that a run is over. */
  finish(text: string, isNew: boolean): void;
}

/** Everything that decides what comes out; threads do not. */
async function keyOf(dataset: Dataset, options: TrainOptions): Promise<Record<string, unknown>> {
  const { train: interactions, validation, test, graph } = dataset;
  const data = await finishInTurns(splitDigest(dataset, [interactions, validation, test], graph));
  const { threads: _threads, ...decisive } = options;
  return { schema: 'hyper-know/figure-run/1', version: VERSION, data, options: decisive };
}

/** The run with these options, and its model if `wantsModel`; what is kept is not trained again. */
export async function trainedRun(
  name: string,
  options: TrainOptions & { seed: number },
  { dataset, store, show, finish }: TrainingContext,
  wantsModel = false,
): Promise<{ run: TrainedRun; model?: Model }> {
  const key = await keyOf(dataset, options);
  let model = wantsModel ? await store.model(name, key) : undefined;
  const make = async (): Promise<TrainedRun> => {
    const made = await trainOnce(dataset, options, show);
    if (wantsModel) await store.keepModel(name, key, made.model);
    model = made.model;
    return made.run;
  };
  // The run may be known while its model is not: trained again it comes out the same.
  const { value: run, isNew } = await store.run(name, key, make, wantsModel && model === undefined);
  const found = METRICS.map((metric) => `${metric.title} ${shown(run.metrics[metric.name])}`).join('  ');
  finish(`${name}, seed ${options.seed}: ${found}${isNew ? `  (${run.seconds.toFixed(1)} s)` : '  (finished before)'}`, isNew);
  return model ? { run, model } : { run };
}

const shown = (value: number | null | undefined): string => (Number.isFinite(value) ? value!.toFixed(4) : '–');

async function trainOnce(dataset: Dataset, options: TrainOptions & { seed: number }, show: (text: string) => void) {
  const started = performance.now();
  const groups = itemGroups(dataset);
  const course = {
    rankingLoss: [] as number[],
    knowledgeLoss: [] as number[],
    validation: [] as TrainedRun['validation'],
    weights: [] as WeightRecord[],
  };
  const training = train(dataset, { ...options, itemWeights: true });
  for await (const { epoch, loss, rankingLoss, knowledgeLoss, metrics, itemWeights } of training) {
    course.rankingLoss.push(rankingLoss);
    course.knowledgeLoss.push(knowledgeLoss);
    if (metrics) course.validation.push({ epoch, recall: metrics.recall[20]!, ndcg: metrics.ndcg[20]! });
    if (itemWeights && groups.items.length > 0)
      course.weights.push({
        epoch,
        all: percentilesOf(Float64Array.from(groups.items, (item) => itemWeights[item]!)),
        popularity: percentilesWithin(groups.popularity, itemWeights),
        degree: percentilesWithin(groups.degree, itemWeights),
      });
    show(`epoch ${epoch}, loss ${loss.toFixed(4)}`);
  }
  const model = await training;
  const ranking = { k: 20, split: 'test', ndcg: 'both', backend: options.backend ?? 'auto' } as const;
  const { users: _users, ...means } = meanMetrics(await evaluatePerUser(model, dataset, ranking));
  const metrics = Object.fromEntries(
    Object.entries(means).flatMap(([name, byCutOff]) => Object.entries(byCutOff).map(([k, mean]) => [`${name}@${k}`, mean])),
  );
  const { backend, device } = model.protocol!;
  const run: TrainedRun = {
    ...{ seed: options.seed, selectedEpoch: model.training.epoch, metrics, ...course },
    startWeight: model.training.options.knowledgeWeight,
    ...{
      backend,
      device,
      host: `${cpus()[0]?.model ?? 'unknown processor'}, Node ${process.version}`,
      seconds: (performance.now() - started) / 1000,
    },
  };
  return { run, model };
}
