import type { Dataset } from '../../data/dataset.ts';
import { HyperKnowError } from '../../errors.ts';
import type { Model } from '../../model.ts';
import { type Command, defineCommand } from '../command.ts';
import { count, DATA_ARGUMENT, DATA_OPTIONS, openDataset } from '../data.ts';
import { UsageError } from '../exit.ts';

export const evaluateCommand: Command = defineCommand({
  name: 'eval',
  summary: 'Measure a model on a data set, by the full ranking of all items',
  arguments: [{ name: 'MODEL', description: 'file that `hyper-know train` wrote' }, DATA_ARGUMENT],
  options: {
    k: { type: 'list', default: ['20'], placeholder: 'K,K,…', description: 'cut-offs' },
    split: { type: 'string', words: ['test', 'validation'], default: 'test', description: 'what is to be found' },
    ndcg: {
      type: 'string',
      words: ['standard', 'kgat', 'both'],
      default: 'both',
      description: "definition: ideal list of min(K, relevant) hits, or KGAT's, of the hits among the model's own first 100",
    },
    backend: { type: 'string', words: ['auto', 'cpu', 'cuda'], default: 'auto', description: 'where to compute' },
    threads: { type: 'integer', min: 1, max: 1024, defaultText: 'as many as the machine runs at once', description: 'threads of the CPU' },
    ...DATA_OPTIONS,
  },
  examples: ['eval shop.safetensors shop', 'eval shop.safetensors shop --k 10,20,50 --json'],
  async run({ output }, [modelPath, dataPath], values) {
    const k = values.k.map((text) => {
      if (!/^[1-9]\d{0,6}$/.test(text)) throw new UsageError(`--k: must be positive integers parted by commas, got "${text}"`);
      return Number(text);
    });
    const { Model } = await import('../../model.ts');
    const { evaluate } = await import('../../evaluate.ts');
    const model = await Model.load(modelPath!);
    const dataset = await openDataset(dataPath!, values, output);
    checkFit(model, dataset);
    const { split, ndcg, backend, threads } = values;
    const metrics = await evaluate(model, dataset, { k, split, ndcg, backend, ...(threads === undefined ? {} : { threads }) });
    if (metrics.users === 0) throw new HyperKnowError('ERR_HK_DATA', `the ${split} split is empty: there is nothing to measure`);
    const { users, ...byCutOff } = metrics;
    const names = ndcg === 'kgat' ? { ...NAMES, ndcg: NAMES.ndcgKgat } : NAMES;
    output.table(
      Object.entries(byCutOff).flatMap(([name, values]) =>
        k.map((cutOff) => [`${names[name as keyof typeof NAMES]}@${cutOff}`, (values as Record<number, number>)[cutOff]!.toFixed(4)]),
      ),
      [`${split}, ${count(users)} users`, 'mean'],
    );
    output.document('eval/1', {
      ...{ model: modelPath, data: dataPath, split, ndcgDefinition: ndcg, files: dataset.report.files },
      training: model.training,
      ...metrics,
    });
  },
});

const NAMES = {
  recall: 'recall',
  ndcg: 'ndcg (standard)',
  ndcgKgat: 'ndcg (kgat)',
  precision: 'precision',
  hitRate: 'hit rate',
  mrr: 'mrr',
};

/** A model that has learned from what is to be found would be measured on its memory. */
function checkFit(model: Model, dataset: Dataset): void {
  const refuse = (what: string): never => {
    throw new HyperKnowError(
      'ERR_HK_DATA',
      `the model was not trained on this data set and split: ${what}; --inverse, --validation-fraction and --data-seed must be those of its training`,
    );
  };
  for (const [what, ours, theirs] of [
    ['users', model.userIds, dataset.userIds],
    ['items', model.entityIds.slice(0, model.itemIds.length), dataset.entityIds.slice(0, dataset.items)],
  ] as const) {
    if (ours.length !== theirs.length) refuse(`it knows ${ours.length} ${what}, there are ${theirs.length}`);
    if (ours.some((id, row) => id !== theirs[row])) refuse(`its ${what} are others, or in another order`);
  }
  const { offsets, items } = model.seen;
  for (let user = 0; user < dataset.users; ++user) {
    const seen = items.subarray(offsets[user], offsets[user + 1]);
    const known = [dataset.train, dataset.validation].map((part) => part.items.subarray(part.offsets[user], part.offsets[user + 1]));
    if (seen.length !== known[0]!.length + known[1]!.length) refuse('it has seen other interactions');
    const both = new Set([...known[0]!, ...known[1]!]);
    if (seen.some((item) => !both.has(item))) refuse('it has seen other interactions');
  }
}
