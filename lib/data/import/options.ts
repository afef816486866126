import { checkInteger, checkNumber, checkOneOf, checkOptions, show } from '../../check.ts';
import { argumentError } from '../../errors.ts';

/** A column of attributes: every distinct value becomes an entity, the column a relation. */
export interface RelationColumn {
  column: string;
  /** The relation's name; default: the column's. */
  name?: string;
  /** What parts several values in one cell; by default a cell holds one. A list in a Parquet file is several values anyway. */
  separator?: string;
  /** Numbers: so many classes of about equally many items stand in for them. */
  bins?: number;
  /**
   * Whose entities the values are: columns that name the same group share them (an actor may direct). Default: the relation's name, so that
   * the value 42 of one column is never that of another. 'item': the values are ids of items.
   */
  entities?: string;
}

/** What `importTables` reads and how. */
export interface ImportOptions {
  /** A table of one interaction a row. */
  interactions: {
    path: string;
    user: string;
    item: string;
    /** Numbers or dates in ISO form. */
    time?: string;
    /** With `minRating`: rows with a lower rating, or none, are left out. */
    rating?: string;
    minRating?: number;
    delimiter?: string;
  };
  /** A table of one item a row. */
  items?: {
    path: string;
    item: string;
    relations: readonly (string | RelationColumn)[];
    /** Column with the item's id in `triples`, where that is another. */
    entity?: string;
    delimiter?: string;
  };
  /** A graph: N-Triples where the file's name ends in .nt (.nt.gz, .nt.zip), else a table with these columns. */
  triples?: {
    path: string;
    head?: string;
    relation?: string;
    tail?: string;
    /** N-Triples: take literals for entities too. Default false: most are names and descriptions. */
    literals?: boolean;
    delimiter?: string;
  };
  /** Only users and items with so many distinct partners stay, over and over until all have (the k-core). Default 1: all. */
  minInteractions?: number;
  /**
   * 'time': the last interactions of all are for test, those before for validation. 'user': of every user's interactions, the last where there
   * are times, else drawn by the seed. 'given': `validation` and `test` are tables like `interactions`. 'none': all are for training.
   * Default: 'time' where there is a time column, else 'user'.
   */
  split?: 'time' | 'user' | 'given' | 'none';
  validationFraction?: number;
  testFraction?: number;
  validation?: string;
  test?: string;
  seed?: number;
}

export interface ResolvedImport extends Omit<ImportOptions, 'items'> {
  items?: Omit<NonNullable<ImportOptions['items']>, 'relations'> & { relations: readonly ResolvedRelation[] };
  minInteractions: number;
  split: 'time' | 'user' | 'given' | 'none';
  validationFraction: number;
  testFraction: number;
  seed: number;
}

export interface ResolvedRelation extends RelationColumn {
  name: string;
  entities: string;
}

/** Checks the options of `importTables` and fills in the defaults. @throws {TypeError, RangeError} naming the option */
export function checkImportOptions(options: ImportOptions): ResolvedImport {
  const known = checkOptions<ImportOptions>('options', options, [
    ...(['interactions', 'items', 'triples', 'minInteractions', 'split'] as const),
    ...(['validationFraction', 'testFraction', 'validation', 'test', 'seed'] as const),
  ]);
  const { items, triples, minInteractions = 1, validationFraction = 0.1, testFraction = 0.1, validation, test, seed = 1 } = known;
  const interactions = checkTable(
    'interactions',
    known.interactions,
    ['path', 'user', 'item'],
    ['time', 'rating', 'minRating', 'delimiter'],
  );
  if ((interactions.rating === undefined) !== (interactions.minRating === undefined))
    throw argumentError('type', 'interactions.minRating', 'goes with interactions.rating, and that with it');
  if (interactions.minRating !== undefined) checkNumber('interactions.minRating', interactions.minRating, -Number.MAX_VALUE);
  if (items) {
    checkTable('items', items, ['path', 'item'], ['relations', 'entity', 'delimiter']);
    if (!Array.isArray(items.relations)) throw argumentError('type', 'items.relations', `must be an array, got ${show(items.relations)}`);
  }
  const relations = items?.relations.map((relation, i) => resolveRelation(`items.relations[${i}]`, relation)) ?? [];
  const names = relations.map(({ name }) => name);
  for (const name of names)
    if (names.indexOf(name) !== names.lastIndexOf(name)) throw argumentError('range', 'items.relations', `has ${show(name)} twice`);
  if (triples) checkTable('triples', triples, ['path'], ['head', 'relation', 'tail', 'literals', 'delimiter']);
  const split = checkOneOf('split', known.split ?? (test !== undefined ? 'given' : interactions.time === undefined ? 'user' : 'time'), [
    'time',
    'user',
    'given',
    'none',
  ]);
  if (split === 'time' && interactions.time === undefined) throw argumentError('range', 'split', "'time' needs interactions.time");
  if ((split === 'given') !== (test !== undefined)) throw argumentError('range', 'split', "'given' goes with test, and that with it");
  if (validation !== undefined && split !== 'given') throw argumentError('range', 'validation', "goes with split 'given'");
  checkNumber('validationFraction', validationFraction, 0, 0.9);
  checkNumber('testFraction', testFraction, 0, 0.9);
  if (validationFraction + testFraction > 0.95) throw argumentError('range', 'testFraction', 'leaves nothing to train on');
  const { items: _, ...rest } = known;
  return {
    ...rest,
    interactions,
    ...(items ? { items: { ...items, relations } } : {}),
    minInteractions: checkInteger('minInteractions', minInteractions, 1, 1e6),
    split,
    validationFraction,
    testFraction,
    seed: checkInteger('seed', seed, 0),
  };
}

function resolveRelation(argument: string, given: string | RelationColumn): ResolvedRelation {
  const relation = typeof given === 'string' ? { column: given } : given;
  checkTable(argument, relation, ['column'], ['name', 'separator', 'bins', 'entities']);
  const { column, name = column, separator, bins, entities = name } = relation;
  if (bins !== undefined) checkInteger(`${argument}.bins`, bins, 2, 1000);
  if (bins !== undefined && separator !== undefined) throw argumentError('range', `${argument}.bins`, 'does not go with separator');
  return { ...relation, column, name, entities };
}

/** An object with these texts, and perhaps others. */
function checkTable<T extends object>(
  argument: string,
  table: T,
  texts: readonly (keyof T & string)[],
  others: readonly (keyof T & string)[],
): T {
  checkOptions(argument, table, [...texts, ...others]);
  for (const name of texts)
    if (typeof table?.[name] !== 'string' || table[name] === '')
      throw argumentError('type', `${argument}.${name}`, `must be some text, got ${show(table?.[name])}`);
  for (const name of others) {
    const value: unknown = table[name];
    const isNumber = ['minRating', 'bins'].includes(name);
    if (value === undefined || name === 'relations' || name === 'literals' || isNumber) continue;
    if (typeof value !== 'string' || value === '')
      throw argumentError('type', `${argument}.${name}`, `must be some text, got ${show(value)}`);
  }
  const delimiter: unknown = (table as { delimiter?: unknown }).delimiter;
  if (typeof delimiter === 'string' && (delimiter.length !== 1 || /["\r\n]/.test(delimiter)))
    throw argumentError('range', `${argument}.delimiter`, `must be one character, no quote or line end, got ${show(delimiter)}`);
  return table;
}
