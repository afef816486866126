// The six variants of the paper's Table 3 and six controls, on one data set, over several seeds.
//
//   npm run reproduce                                  the synthetic world, 3 seeds: under 2 minutes on 2 cores
//   npm run reproduce -- --data FOLDER [--variants hyper-know,bpr-h] [--seeds 5] [--epochs 60] [--batch-size 4096] [--preset paper]
//                       [--backend auto|cpu|cuda] [--threads N] [--out runs] [--no-controls]
//
// Expected: a table on standard output (mean ± sd over the seeds, paired t-test against Hyper-Know over users), and under --out one file per
// finished run and results.json with the whole protocol. The same command continues where it stopped.
import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, totalmem } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { attributeKnn, bestOnValidation, itemKnn, popularity, rankBy, type Scorer, SHARES, validatedBlend } from '../lib/controls.ts';
import { type Dataset, loadDataset } from '../lib/data/dataset.ts';
import { synthetic } from '../lib/data/synthetic.ts';
import { evaluatePerUser, evaluateRanking, meanMetrics, type PerUserMetrics } from '../lib/evaluate.ts';
import { EASE_MOST, ease, implicitAls, isEasePossible } from '../lib/linear-controls.ts';
import { backends } from '../lib/native.ts';
import { quantile } from '../lib/statistics.ts';
import { type TrainOptions, train } from '../lib/train.ts';
import { VARIANTS, type VariantName } from '../lib/variants.ts';
import { Progress } from './reproduce/progress.ts';
import { finishedRun, runFile, type RunKey, type RunResult, writeWhole } from './reproduce/runs.ts';
import { remarksOf, rowsOf, tableOf } from './reproduce/table.ts';

/** What is small enough for two minutes: batches of 1024 give the synthetic world's 6,000 interactions a few steps an epoch. */
const SYNTHETIC_DEFAULTS = { batchSize: 1024, epochs: 100, evaluateEvery: 10 } as const;

/** Every combination of one value of each list. */
function* grid<T extends Record<string, readonly number[]>>(lists: T): Generator<{ [name in keyof T]: number }> {
  const [[name, values] = [undefined, []], ...rest] = Object.entries(lists);
  if (name === undefined) yield {} as { [name in keyof T]: number };
  else
    for (const value of values)
      for (const others of grid(Object.fromEntries(rest))) yield { [name]: value, ...others } as { [name in keyof T]: number };
}

/**
 * The settings of the controls that are tried: which is taken is decided by validation recall@20 alone, in every run anew, and stands in
 * results.json. scripts/README.md has what they gave.
 */
const GRIDS = {
  itemKnn: { neighbors: [200], shrinkage: [10, 0, 30] },
  attributeKnn: { neighbors: [200], shrinkage: [0, 10] },
  als: { dim: [128], unobserved: [80, 20], regularization: [0.03, 0.01] },
  ease: { regularization: [100, 30, 300] },
} as const;

/** A scorer that can say what it chose. */
type Tuned = Scorer & { setting(): unknown };

function tuned<Options>(settings: Iterable<Options>, make: (dataset: Dataset, options: Options) => Scorer): (dataset: Dataset) => Tuned {
  const all = [...settings];
  return (dataset) => {
    const scorer = bestOnValidation(
      all.map((options) => make(dataset, options)),
      dataset,
    );
    return Object.assign(scorer, { setting: () => all[scorer.chosen] });
  };
}

const bestItemKnn = tuned(grid(GRIDS.itemKnn), itemKnn);
const bestAttributeKnn = tuned(grid(GRIDS.attributeKnn), attributeKnn);

function bestBlend(dataset: Dataset): Tuned {
  const [one, other] = [bestItemKnn(dataset), bestAttributeKnn(dataset)];
  const scorer = validatedBlend(one, other, dataset);
  return Object.assign(scorer, {
    setting: () => ({ share: SHARES[scorer.chosen], itemKnn: one.setting(), attributeKnn: other.setting() }),
  });
}

/** Simple methods that a model has to be compared with. `missing` says why one cannot be had for these data. */
const CONTROLS: readonly {
  name: string;
  label: string;
  scorer: (dataset: Dataset) => Scorer & Partial<Tuned>;
  missing?: (dataset: Dataset) => string | undefined;
}[] = [
  { name: 'control:popularity', label: 'popularity', scorer: popularity },
  { name: 'control:item-knn', label: 'item-kNN', scorer: bestItemKnn },
  { name: 'control:attribute-knn', label: 'KG-attribute kNN', scorer: bestAttributeKnn },
  {
    name: 'control:blend',
    label: 'item-kNN + KG-attribute kNN',
    scorer: bestBlend,
  },
  { name: 'control:ials', label: 'iALS', scorer: tuned(grid(GRIDS.als), implicitAls) },
  {
    name: 'control:ease',
    label: 'EASE',
    scorer: tuned(grid(GRIDS.ease), (dataset, { regularization }) => ease(dataset, regularization)),
    missing: (dataset) =>
      isEasePossible(dataset)
        ? undefined
        : `it inverts a matrix of users or of items, and both are more than ${EASE_MOST}: ${dataset.users} and ${dataset.items}`,
  },
];

const METRICS = [
  { name: 'recall@20', title: 'Recall@20' },
  { name: 'ndcg@20', title: 'NDCG@20 (standard)' },
  { name: 'ndcgKgat@20', title: 'NDCG@20 (kgat)' },
] as const;

const version = (JSON.parse(readFileSync(fileURLToPath(new URL('../package.json', import.meta.url)), 'utf8')) as { version: string })
  .version;

function positive(name: string, text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new RangeError(`--${name}: must be a positive integer, got ${JSON.stringify(text)}`);
  return value;
}

function parseCommand(argv: readonly string[]) {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      data: { type: 'string' },
      variants: { type: 'string' },
      seeds: { type: 'string', default: '3' },
      epochs: { type: 'string' },
      'batch-size': { type: 'string' },
      preset: { type: 'string' },
      backend: { type: 'string', default: 'auto' },
      threads: { type: 'string' },
      out: { type: 'string' },
      'no-controls': { type: 'boolean', default: false },
    },
  });
  const names = values.variants?.split(',') ?? VARIANTS.map(({ name }) => name);
  for (const name of names)
    if (!VARIANTS.some((variant) => variant.name === name))
      throw new RangeError(`--variants: ${JSON.stringify(name)} is not one of ${VARIANTS.map((v) => v.name).join(', ')}`);
  const options: TrainOptions = {
    ...(values.data === undefined ? SYNTHETIC_DEFAULTS : {}),
    backend: values.backend as 'auto' | 'cpu' | 'cuda',
  };
  if (values.epochs !== undefined) options.epochs = positive('epochs', values.epochs);
  if (values['batch-size'] !== undefined) options.batchSize = positive('batch-size', values['batch-size']);
  if (values.threads !== undefined) options.threads = positive('threads', values.threads);
  if (values.preset !== undefined) options.preset = values.preset as 'tuned' | 'paper';
  return {
    data: values.data,
    variants: VARIANTS.filter(({ name }) => names.includes(name)),
    seeds: Array.from({ length: positive('seeds', values.seeds) }, (_, i) => i + 1),
    options,
    controls: !values['no-controls'],
    out: resolve(values.out ?? 'runs'),
  };
}

/** `recall@20` → one value per user. */
function flatten(metrics: PerUserMetrics): Record<string, number[]> {
  const { users: _users, ...named } = metrics;
  return Object.fromEntries(
    Object.entries(named).flatMap(([name, perCutOff]) => Object.entries(perCutOff).map(([k, values]) => [`${name}@${k}`, [...values]])),
  );
}

function finish(key: RunKey, metrics: PerUserMetrics, started: number): RunResult {
  const { users: _users, ...named } = meanMetrics(metrics);
  const means = Object.entries(named).flatMap(([name, perCutOff]) => Object.entries(perCutOff).map(([k, mean]) => [`${name}@${k}`, mean]));
  return { key, metrics: Object.fromEntries(means), perUser: flatten(metrics), seconds: (performance.now() - started) / 1000 };
}

const RANKING = { k: 20, split: 'test', ndcg: 'both' } as const;

async function trainRun(
  key: RunKey,
  dataset: Dataset,
  variant: VariantName,
  options: TrainOptions,
  progress: Progress,
): Promise<RunResult> {
  const started = performance.now();
  const seconds: number[] = [];
  const run = train(dataset, { ...options, variant, seed: key.seed });
  for await (const event of run) {
    seconds.push(event.seconds);
    progress.show(`${variant} seed ${key.seed}: epoch ${event.epoch}, loss ${event.loss.toFixed(4)}`, 0.5);
  }
  const model = await run;
  const result = finish(key, await evaluatePerUser(model, dataset, { ...RANKING, backend: options.backend ?? 'auto' }), started);
  const { epoch: bestEpoch, validationRecall } = model.training;
  return {
    ...result,
    epochs: seconds.length,
    bestEpoch,
    ...(validationRecall === undefined ? {} : { validationRecall }),
    epochSeconds: quantile(seconds, 0.5),
  };
}

async function controlRun(key: RunKey, dataset: Dataset, control: (typeof CONTROLS)[number]): Promise<RunResult> {
  const started = performance.now();
  const scorer = control.scorer(dataset);
  const result = finish(key, await evaluateRanking(rankBy(scorer, dataset), dataset, RANKING), started);
  return scorer.setting ? { ...result, setting: scorer.setting() } : result;
}

const command = parseCommand(process.argv.slice(2));
const { variants, seeds, options, out } = command;
const open = (seed: number): Promise<Dataset> =>
  command.data === undefined ? Promise.resolve(synthetic({ seed: 1 })) : loadDataset(command.data, { seed });

const first = await open(1);
const { report } = first;
process.stderr.write(
  `${command.data ?? 'synthetic world'}: ${first.users} users, ${first.items} items, ${first.entities} entities, ${first.relations} relations, ` +
    `${first.triples.heads.length} triples; ${first.train.items.length} training, ${first.validation.items.length} validation, ` +
    `${first.test.items.length} test interactions\n`,
);
const datasetKey = {
  users: first.users,
  items: first.items,
  entities: first.entities,
  relations: first.relations,
  files: report.files.map(({ name, bytes, sha256 }) => ({ name, bytes, sha256 })),
  options: { ...report.options, seed: command.data === undefined ? 1 : 'the seed of the run' },
};
const controls = command.controls ? CONTROLS.filter(({ missing }) => missing?.(first) === undefined) : [];
const missing = command.controls
  ? CONTROLS.flatMap((control) => {
      const why = control.missing?.(first);
      return why === undefined ? [] : [`${control.label} is left out: ${why}.`];
    })
  : [];
const methods = [
  ...variants.map(({ name, label }) => ({ name: name as string, label, kind: 'variant' as const })),
  ...controls.map(({ name, label }) => ({ name, label, kind: 'control' as const })),
];
const { threads: _threads, ...decisive } = options; // threads do not change a result
const progress = new Progress(methods.length * seeds.length);
const results = new Map<string, RunResult[]>();
for (const seed of seeds) {
  const dataset = seed === 1 ? first : await open(seed);
  for (const method of methods) {
    const key: RunKey = {
      dataset: datasetKey,
      method: method.name,
      seed,
      options: method.kind === 'variant' ? { ...decisive } : { grids: GRIDS },
      version,
    };
    const before = finishedRun(out, key);
    const result =
      before ??
      (method.kind === 'variant'
        ? await trainRun(key, dataset, method.name as VariantName, options, progress)
        : await controlRun(key, dataset, controls.find(({ name }) => name === method.name)!));
    if (before === undefined) writeWhole(runFile(out, key), `${JSON.stringify(result)}\n`);
    results.set(method.name, [...(results.get(method.name) ?? []), result]);
    const own = METRICS.map(({ name, title }) => `${title} ${result.metrics[name]!.toFixed(4)}`).join('  ');
    progress.finish(
      `${method.label}, seed ${seed}: ${own}${before === undefined ? `  (${result.seconds.toFixed(1)} s)` : '  (finished before)'}`,
      before !== undefined,
    );
  }
}

const rows = rowsOf(
  methods,
  results,
  METRICS.map(({ name }) => name),
);
const remarks = [...missing, ...remarksOf(rows, 'recall@20')];
console.log(tableOf(rows, METRICS, 'recall@20'));
for (const remark of remarks) console.log(remark);
writeWhole(
  join(out, 'results.json'),
  `${JSON.stringify(
    {
      schema: 'hyper-know/results/1',
      version,
      protocol: {
        dataset: { ...datasetKey, report },
        options: decisive,
        seeds,
        selection: 'the epoch of best validation recall@20; the test split is used once, for the numbers here',
        ranking: 'all items outside the training and validation items of the user; exact; ties by smaller item',
        ndcg: {
          'ndcg@20': 'ideal: min(20, test items) hits',
          'ndcgKgat@20': "ideal: the hits among the method's own first 100, cut at 20",
        },
        controls: { grids: GRIDS, selection: 'validation recall@20, every seed by itself' },
        test: 'two-sided paired t-test over users, each user averaged over the seeds',
        host: {
          cpu: cpus()[0]?.model,
          threads: options.threads ?? availableParallelism(),
          memoryBytes: totalmem(),
          node: process.version,
          backends: backends(),
        },
      },
      rows,
      remarks,
      runs: [...results.values()].flat().map(({ perUser: _perUser, ...rest }) => rest),
    },
    undefined,
    2,
  )}\n`,
);
process.stderr.write(`wrote ${join(out, 'results.json')}\n`);
