import type { Dataset } from '../data/dataset.ts';
import type { Values } from './command.ts';
import type { Output } from './output.ts';

/** The options of every command that reads a data set. They decide the split: training and evaluation want the same ones. */
export const DATA_OPTIONS = {
  inverse: { type: 'boolean', description: 'give every triple whose tail is an item its inverse' },
  validationFraction: {
    type: 'number',
    min: 0,
    max: 1,
    default: 0.1,
    placeholder: 'SHARE',
    description: 'share of the training interactions to hold out for validation, where the data has no validation split',
  },
  dataSeed: { type: 'integer', min: 0, default: 1, description: 'seed of the splits that are drawn' },
} as const;

/** Where a data set is. */
export const DATA_ARGUMENT = {
  name: 'DATA',
  description: 'folder in the KGAT form (train.txt, test.txt, kg_final.txt) or of RecBole atomic files (NAME.inter, NAME.kg, NAME.link)',
} as const;

export async function openDataset(path: string, values: Values<typeof DATA_OPTIONS>, output: Output): Promise<Dataset> {
  const { loadDataset } = await import('../data/dataset.ts');
  const dataset = await loadDataset(path, {
    inverse: values.inverse ?? false,
    validationFraction: values.validationFraction,
    seed: values.dataSeed,
  });
  const { users, items, entities, relations, triples, report } = dataset;
  const split = (['train', 'validation', 'test'] as const).map((part) => `${part} ${count(dataset[part].items.length)}`).join(', ');
  output.note(
    `${count(users)} users, ${count(items)} items, ${count(entities)} entities, ${count(relations)} relations, ` +
      `${count(triples.heads.length)} triples; ${split}`,
    'dim',
  );
  for (const note of report.notes) output.note(note, 'dim');
  return dataset;
}

const grouped = new Intl.NumberFormat('en-US');

/** 1,234,567 */
export function count(value: number): string {
  return grouped.format(value);
}

/** 1.5 MiB */
export function bytes(value: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const power = value < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(value) / 10));
  return `${power === 0 ? value : (value / 2 ** (10 * power)).toFixed(1)} ${units[power]}`;
}
