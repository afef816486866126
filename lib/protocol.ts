import { isObject } from './check.ts';
import type { Dataset, DatasetReport } from './data/dataset.ts';
import type { BlendWeights, Hyperparameters, PresetName } from './presets.ts';
import type { VariantName } from './variants.ts';

/** Rows of the four tables of a model. */
export type RowCounts = Record<'users' | 'items' | 'entities' | 'relations', number>;

/**
 * All that is needed to train a model again, and to judge what its figures mean; plain JSON, kept in the model's file. Nothing of it
 * changes with the clock or the number of threads: equal runs have equal files.
 */
export interface Protocol {
  /** Of hyper-know. */
  version: string;
  variant: VariantName;
  preset: PresetName;
  seed: number;
  /** Every hyper-parameter in force; `beta` is 'adaptive', or the fixed weight of L_K. */
  options: Hyperparameters & { beta: 'adaptive' | number };
  data: RowCounts & {
    source: DatasetReport['source'];
    /** Base names, sizes and digests of the files that were read. */
    files: DatasetReport['files'];
    /** Distinct triples as read. */
    triples: number;
    interactions: Record<'train' | 'validation' | 'test', number>;
    /** Hexadecimal sha-256 of the split: the counts, the interactions of its three parts, and the graph, all by dense ids. */
    sha256: string;
  };
  /** Where validation and test interactions come from, and the options of the data set that decided it. */
  split: { validation: DatasetReport['validationSplit']; test: DatasetReport['testSplit']; options: DatasetReport['options'] };
  /** The epoch, counted from 1, whose parameters the model has, of how many that were trained, and what it was taken by. */
  selection: {
    epoch: number;
    epochs: number;
    by: 'validation recall@20' | 'last epoch';
    /** The weights that ranking blends neighbours with, where `neighborBlend` was on, and validation recall@20 with them where it chose them. */
    neighborBlend?: BlendWeights & { validationRecall?: number };
  };
  backend: string;
  /** Processor or card. */
  device: string;
  /** Where it began with another model. */
  warmStart?: WarmStartRecord;
}

/** What a training with `warmStart` began with. */
export interface WarmStartRecord {
  /** Hexadecimal, of the model's users, entities, relations and β. */
  sha256: string;
  /** Rows of the data set that the model had, by their ids. */
  matched: RowCounts;
  /** Rows of the model that the data set has not. */
  dropped: RowCounts;
}

/** The part of a protocol that is about the data. `sha256` as `splitDigest` gives it. */
export function dataProtocol(dataset: Dataset, sha256: string): Pick<Protocol, 'data' | 'split'> {
  const { users, items, entities, relations, triples, train, validation, test, report } = dataset;
  const { source, files, options, validationSplit, testSplit } = report;
  const interactions = { train: train.items.length, validation: validation.items.length, test: test.items.length };
  return {
    data: { source, files, users, items, entities, relations, triples: triples.heads.length, interactions, sha256 },
    split: { validation: validationSplit, test: testSplit, options },
  };
}

const isText = (value: unknown): boolean => typeof value === 'string';
const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0;
const isDigest = (value: unknown): boolean => typeof value === 'string' && /^[0-9a-f]{64}$/.test(value);

/** What every field must be, by its path. */
const FIELDS: readonly [path: string, holds: (value: unknown) => boolean][] = [
  ...['version', 'variant', 'preset', 'data.source', 'split.validation', 'split.test', 'selection.by', 'backend', 'device'].map(
    (path) => [path, isText] as [string, typeof isText],
  ),
  ...['seed', 'selection.epoch', 'selection.epochs', 'data.triples'].map((path) => [path, isCount] as [string, typeof isCount]),
  ...['users', 'items', 'entities', 'relations'].map((name) => [`data.${name}`, isCount] as [string, typeof isCount]),
  ...['train', 'validation', 'test'].map((name) => [`data.interactions.${name}`, isCount] as [string, typeof isCount]),
  ['data.sha256', isDigest],
  ['data.files', Array.isArray],
  ['options', isObject],
  ['split.options', isObject],
];

/** The path of the first field that is not what a protocol has there; undefined: none. */
export function protocolProblem(value: unknown): string | undefined {
  const at = (path: string) => path.split('.').reduce<unknown>((inner, name) => (isObject(inner) ? inner[name] : undefined), value);
  return FIELDS.find(([path, holds]) => !holds(at(path)))?.[0];
}
