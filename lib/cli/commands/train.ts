import { existsSync } from 'node:fs';
import { stat, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { EpochEvent, TrainOptions } from '../../options.ts';
import { type Command, defineCommand, type OptionSpec, type OptionTable, type Values } from '../command.ts';
import { bytes, count, DATA_ARGUMENT, DATA_OPTIONS, openDataset } from '../data.ts';
import { Interrupted, UsageError } from '../exit.ts';
import type { Output } from '../output.ts';
import { duration, Progress } from '../progress.ts';

/** Those of `train` in the library, under the same names; lib/options.ts has the whole of what they mean. */
const HYPERPARAMETERS = {
  preset: { type: 'string', words: ['tuned', 'softmax', 'paper'], default: 'tuned', description: 'where unset options come from' },
  variant: {
    type: 'string',
    words: ['hyper-know', 'bpr-e', 'bpr-h', 'bpr-att-e', 'bpr-att-h', 'bpr-avg-h'],
    default: 'hyper-know',
    description: "row of the paper's Table 3",
  },
  dim: { type: 'integer', min: 1, max: 4096, defaultText: "the preset's", description: 'size of the embedding' },
  epochs: {
    type: 'integer',
    min: 0,
    max: 1e9,
    defaultText: "as many as make the preset's number of steps",
    description: 'passes over the training interactions',
  },
  batchSize: { type: 'integer', min: 1, max: 1 << 24, defaultText: "the preset's", description: 'interactions of one step' },
  learningRate: { type: 'number', min: 0, defaultText: "the preset's", description: "Adam's rate for users, entities and relations" },
  loss: {
    type: 'string',
    words: ['bpr', 'sampled-softmax'],
    defaultText: "the preset's",
    description: 'against one negative a sample, or against those that a batch shares',
  },
  negatives: { type: 'integer', min: 1, max: 65536, defaultText: "the preset's", description: 'how many negatives a batch shares' },
  schedule: {
    type: 'string',
    words: ['constant', 'decay'],
    defaultText: "the preset's",
    description: 'whether the rates fall over the second half of the epochs',
  },
  beta: {
    type: 'number',
    min: 0,
    words: ['adaptive'],
    defaultText: "the variant's",
    description: 'how much knowledge counts: learned for every item, or this weight for all',
  },
  betaLearningRate: { type: 'number', min: 0, defaultText: "the preset's", description: "Adam's rate for β" },
  knowledgeWeight: {
    type: 'number',
    min: 0,
    defaultText: "the preset's",
    description: 'where a learned weight of knowledge starts, between 0 and 1',
  },
  curvature: { type: 'number', min: 0, words: ['learned'], defaultText: "the preset's", description: 'c of the ball of radius 1/√c' },
  curvatureLearningRate: { type: 'number', min: 0, defaultText: "the preset's", description: 'rate of a learned curvature' },
  innerLearningRate: { type: 'number', min: 0, defaultText: 'the learning rate', description: 'α of the lookahead that β is learned by' },
  regularization: { type: 'number', min: 0, defaultText: "the preset's", description: 'λ, the weight of ‖u‖² + ‖v‖² + ‖v′‖² of a sample' },
  adam: { type: 'string', words: ['touched', 'exact', 'dense'], defaultText: "the preset's", description: 'which rows a step moves' },
  parameters: { type: 'string', words: ['tangent', 'ball'], defaultText: "the preset's", description: 'coordinates that are trained' },
  initScale: { type: 'number', min: 0, defaultText: "the preset's", description: 'parameters start uniform in [−s, s]' },
  averaging: { type: 'boolean', description: 'let a moving average of the parameters be the model' },
  attentionTemperature: {
    type: 'number',
    min: 0,
    defaultText: "the preset's",
    description: 'T of the attention exp(−d/T); larger: more alike',
  },
  sharedEntities: { type: 'boolean', description: 'make items neighbours that share rare entities' },
  sharedUsers: { type: 'boolean', description: 'make items neighbours that the same users have in training' },
  neighborBlend: {
    type: 'string',
    words: ['validation', 'none'],
    defaultText: "the preset's",
    description: 'let lists blend distance with item-kNN and a kNN over attributes, with weights by validation recall@20',
  },
  seed: { type: 'integer', min: 0, default: 1, description: 'seed of parameters, order and negatives' },
  backend: { type: 'string', words: ['auto', 'cpu', 'cuda'], default: 'auto', description: 'where to compute' },
  threads: {
    type: 'integer',
    min: 1,
    max: 1024,
    defaultText: 'as many as the machine runs at once',
    description: 'threads of the CPU; results do not depend on it',
  },
  evaluateEvery: { type: 'integer', min: 1, defaultText: 'about 25 times in all', description: 'epochs between two validations' },
  earlyStopping: { type: 'boolean', default: true, description: 'train all epochs and keep the last, not the best on validation' },
  patience: {
    type: 'integer',
    min: 1,
    defaultText: "the preset's",
    description: 'steps without a better validation recall@20 after which to stop',
  },
} as const satisfies Record<Exclude<keyof TrainOptions, NotHere> | 'patience', OptionSpec>;

/** Options of `train` that are given in another way here, or have no meaning. A new one belongs into the table above. */
type NotHere = 'checkpoint' | 'resume' | 'warmStart' | 'signal' | 'itemWeights' | 'onEpoch' | 'deterministic' | 'monitorTest';

const OPTIONS = {
  out: { type: 'string', short: 'o', placeholder: 'FILE', required: true, description: 'where the model goes, e.g. shop.safetensors' },
  ...HYPERPARAMETERS,
  checkpoint: {
    type: 'string',
    placeholder: 'FILE',
    defaultText: 'FILE of --out with .checkpoint, removed when training has ended',
    description: 'where Ctrl-C leaves what continuing needs',
  },
  checkpointEvery: { type: 'integer', min: 1, default: 10, description: 'epochs between two checkpoints' },
  warmStart: {
    type: 'string',
    placeholder: 'MODEL',
    description: 'begin with the rows of this model wherever the data have the same ids; give fewer --epochs with it',
  },
  resume: { type: 'boolean', description: 'continue from the checkpoint, if there is one: the model comes out the same bit for bit' },
  ...DATA_OPTIONS,
  dryRun: {
    type: 'boolean',
    short: 'n',
    description: 'read the data, print the options in force and the memory wanted, and train nothing',
  },
} as const satisfies OptionTable;

type TrainValues = Values<typeof OPTIONS>;

export const trainCommand: Command = defineCommand({
  name: 'train',
  summary: 'Train a model on a data set',
  arguments: [DATA_ARGUMENT],
  options: OPTIONS,
  examples: [
    'train shop --out shop.safetensors',
    'train shop --out shop.safetensors --resume            # after Ctrl-C',
    'train shop --out new.safetensors --warm-start shop.safetensors --epochs 20   # after the shop has grown',
    'train kgat/last-fm --out lf.safetensors --preset paper --seed 2 --json',
  ],
  async run(context, [path], values) {
    const { output } = context;
    await checkTarget(values.out);
    const dataset = await openDataset(path!, values, output);
    const options = trainOptions(values);
    if (values.dryRun) return dryRun(dataset, options, output);

    const { resolveOptions } = await import('../../options.ts');
    const { resolveBackend } = await import('../../native.ts');
    const { hyperparameters } = resolveOptions(options, dataset.train.items.length, dataset.validation.items.length > 0);
    const backend = resolveBackend(values.backend);
    const checkpoint = values.checkpoint ?? `${values.out}.checkpoint`;
    const resume = values.resume === true && existsSync(checkpoint);
    if (values.resume && !resume) output.note(`there is no ${checkpoint}: training begins at the beginning`);
    if (!values.resume && existsSync(checkpoint))
      output.warn(`${checkpoint} is there and will be replaced; --resume would continue from it`);
    output.note(
      `training on ${backend}, up to ${count(hyperparameters.epochs)} epochs${resume ? `, continuing from ${checkpoint}` : ''}`,
      'dim',
    );

    const { train } = await import('../../train.ts');
    const began = performance.now();
    const run = train(dataset, {
      ...options,
      checkpoint: { path: checkpoint, every: values.checkpointEvery },
      ...(resume ? { resume: checkpoint } : {}),
      ...(values.warmStart === undefined ? {} : { warmStart: values.warmStart }),
      signal: context.interruptible(),
    });
    let last: EpochEvent | undefined;
    try {
      last = await watch(run, hyperparameters.epochs, output);
      const model = await run;
      await model.save(values.out);
      if (values.checkpoint === undefined) await unlink(checkpoint).catch(() => {});
      const { epoch, steps, validationRecall, neighborBlend } = model.training;
      const warm = model.protocol?.warmStart;
      const seconds = (performance.now() - began) / 1000;
      output.table([
        ['model', values.out],
        ['epoch', `${epoch} of ${last?.epoch ?? epoch} (${count(steps)} steps)`],
        ...(validationRecall === undefined ? [] : [['validation recall@20', validationRecall.toFixed(4)]]),
        ...(neighborBlend?.validationRecall === undefined
          ? []
          : [
              [
                'with neighbours',
                `${neighborBlend.validationRecall.toFixed(4)} (item-kNN ${neighborBlend.itemKnn}, attribute-kNN ${neighborBlend.attributeKnn})`,
              ],
            ]),
        ...(warm
          ? [['began with', `${count(warm.matched.users)} users and ${count(warm.matched.items)} items of ${values.warmStart}`]]
          : []),
        ['time', duration(seconds)],
      ]);
      output.document('train/1', {
        model: values.out,
        backend,
        epoch,
        epochs: last?.epoch ?? epoch,
        steps,
        validationRecall,
        neighborBlend,
        warmStart: warm,
        seconds,
        options: model.training.options,
      });
    } catch (error) {
      if (error instanceof Interrupted)
        output.note(
          existsSync(checkpoint)
            ? `checkpoint written: ${checkpoint}; the same command with --resume continues to the same bits`
            : 'stopped before the first epoch had ended: there is nothing to continue from',
        );
      throw error;
    }
  },
});

/** The folder must be there before hours of training, not after. */
async function checkTarget(path: string): Promise<void> {
  const folder = dirname(path);
  const found = await stat(folder).catch(() => undefined);
  if (!found?.isDirectory()) throw new UsageError(`--out: there is no folder ${folder}`);
  if ((await stat(path).catch(() => undefined))?.isDirectory()) throw new UsageError(`--out: ${path} is a folder`);
}

function trainOptions(values: TrainValues): TrainOptions {
  const options: Record<string, unknown> = {};
  for (const key of Object.keys(HYPERPARAMETERS) as (keyof typeof HYPERPARAMETERS)[])
    if (key !== 'patience' && values[key] !== undefined) options[key] = values[key];
  if (values.neighborBlend === 'none') options.neighborBlend = false;
  if (values.patience !== undefined) {
    if (!values.earlyStopping) throw new UsageError('--patience: has no meaning with --no-early-stopping');
    options.earlyStopping = { patience: values.patience };
  }
  return options as TrainOptions;
}

/** Shows the epochs: a bar where someone looks, a line for every validation elsewhere. Returns the last one. */
async function watch(run: AsyncIterable<EpochEvent>, epochs: number, output: Output): Promise<EpochEvent | undefined> {
  let progress: Progress | undefined;
  let last: EpochEvent | undefined;
  let validation = '';
  for await (const event of run) {
    last = event;
    progress ??= new Progress(output, 'epoch', epochs, event.epoch - 1);
    if (event.metrics) validation = `  validation recall@20 ${event.metrics.recall[20]!.toFixed(4)}`;
    const remark = `loss ${event.loss.toFixed(4)}${validation}`;
    if (output.isInteractive) progress.update(event.epoch, remark);
    else if (event.metrics || event.epoch === epochs)
      output.note(`epoch ${event.epoch}/${epochs}  ${remark}  ${event.seconds.toFixed(2)} s/epoch`);
  }
  progress?.clear();
  return last;
}

async function dryRun(dataset: Awaited<ReturnType<typeof openDataset>>, options: TrainOptions, output: Output): Promise<undefined> {
  const { resolveOptions } = await import('../../options.ts');
  const { estimateMemory } = await import('../../memory.ts');
  const { resolveBackend } = await import('../../native.ts');
  const { hyperparameters, variant, seed, threads } = resolveOptions(
    options,
    dataset.train.items.length,
    dataset.validation.items.length > 0,
  );
  const memory = estimateMemory(dataset, { ...options, checkpoint: { path: 'checkpoint' } });
  const backend = resolveBackend(options.backend ?? 'auto');
  const steps = hyperparameters.epochs * Math.ceil(dataset.train.items.length / hyperparameters.batchSize);
  output.table([
    ['variant', variant.name],
    ['backend', `${backend}, ${threads} threads`],
    ...Object.entries(hyperparameters).map(([name, value]) => [name, typeof value === 'object' ? JSON.stringify(value) : String(value)]),
    ['seed', String(seed)],
    ['steps', count(steps)],
    ...Object.entries(memory).map(([name, value]) => [`memory, ${name}`, bytes(value)]),
  ]);
  output.document('train-plan/1', { variant: variant.name, backend, threads, seed, steps, hyperparameters, memory });
  output.note('nothing was trained (--dry-run)');
}
