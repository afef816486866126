import type { ImportOptions, ImportReport, RelationColumn } from '../../data/import/import-tables.ts';
import { type Command, defineCommand, kebab, type OptionTable, type Values } from '../command.ts';
import { count } from '../data.ts';
import { UsageError } from '../exit.ts';
import type { Output } from '../output.ts';

const OPTIONS = {
  interactions: {
    type: 'string',
    placeholder: 'FILE',
    required: true,
    description: 'table of one interaction a row: CSV, TSV (also .gz, .zip), Parquet',
  },
  user: { type: 'string', placeholder: 'COLUMN', required: true, description: 'its column of users' },
  item: { type: 'string', placeholder: 'COLUMN', required: true, description: 'its column of items' },
  time: { type: 'string', placeholder: 'COLUMN', description: 'its column of times, numbers or ISO dates' },
  rating: { type: 'string', placeholder: 'COLUMN', description: 'its column of ratings, with --min-rating' },
  minRating: { type: 'number', description: 'leave out interactions with a lower rating' },
  minInteractions: {
    type: 'integer',
    min: 1,
    default: 1,
    description: 'keep users and items with so many distinct partners, over and over',
  },
  items: { type: 'string', placeholder: 'FILE', description: 'table of one item a row' },
  itemId: { type: 'string', placeholder: 'COLUMN', defaultText: 'as --item', description: 'its column of item ids' },
  relations: { type: 'list', placeholder: 'COLUMN,…', description: 'its columns whose values become entities of the knowledge graph' },
  multiValued: {
    type: 'list',
    placeholder: 'COLUMN=SEP,…',
    description: 'those with several values in a cell, parted by SEP, e.g. "tags=|"',
  },
  bins: { type: 'list', placeholder: 'COLUMN=N,…', description: 'those with numbers, to be put into N classes of equally many items' },
  itemRelations: { type: 'list', placeholder: 'COLUMN,…', description: 'those whose values are ids of items' },
  sameEntities: { type: 'list', placeholder: 'COLUMN,…', description: 'those that share their values, e.g. actor,director' },
  entity: { type: 'string', placeholder: 'COLUMN', description: "its column with the item's id in --triples, where that is another" },
  triples: { type: 'string', placeholder: 'FILE', description: 'graph: N-Triples (.nt, .nt.gz), or a table' },
  head: { type: 'string', placeholder: 'COLUMN', default: 'head', description: 'column of heads in the table of triples' },
  relation: { type: 'string', placeholder: 'COLUMN', default: 'relation', description: 'column of relations there' },
  tail: { type: 'string', placeholder: 'COLUMN', default: 'tail', description: 'column of tails there' },
  literals: { type: 'boolean', description: 'take literals of N-Triples for entities' },
  delimiter: { type: 'string', placeholder: 'C', defaultText: 'found by the header', description: 'what parts cells; "tab" for a tab' },
  split: {
    type: 'string',
    words: ['time', 'user', 'given', 'none'],
    defaultText: 'time with --time, else user',
    description: 'how to part training, validation and test',
  },
  validationFraction: { type: 'number', min: 0, max: 0.9, default: 0.1, placeholder: 'SHARE', description: 'share for validation' },
  testFraction: { type: 'number', min: 0, max: 0.9, default: 0.1, placeholder: 'SHARE', description: 'share for test' },
  validation: { type: 'string', placeholder: 'FILE', description: 'validation interactions, with --split given' },
  test: { type: 'string', placeholder: 'FILE', description: 'test interactions, with --split given' },
  seed: { type: 'integer', min: 0, default: 1, description: 'seed of a split that is drawn' },
  out: { type: 'string', short: 'o', placeholder: 'FOLDER', required: true, description: 'where the data set goes' },
  force: { type: 'boolean', description: 'replace a folder that an import wrote' },
} as const satisfies OptionTable;

export const importCommand: Command = defineCommand({
  name: 'import',
  summary: 'Make a data set, knowledge graph included, out of tables',
  options: OPTIONS,
  examples: [
    'import --interactions orders.csv --user customer --item sku --time ts --min-interactions 5 \\\n      --items catalogue.csv --item-id sku --relations brand,category,tags,price --multi-valued "tags=|" --bins price=5 --out shop',
    'import --interactions ratings.csv --user u --item film --rating stars --min-rating 4 \\\n      --items films.csv --relations genre --entity dbpedia --triples films.nt.gz --out films',
  ],
  async run({ output }, _args, values) {
    const { importTables } = await import('../../data/import/import-tables.ts');
    const imported = await importTables(importOptions(values)).catch((error: unknown) => {
      const isArgument = error instanceof TypeError || error instanceof RangeError;
      throw isArgument && 'code' in error ? new UsageError(withOptionNames(error.message)) : error;
    });
    await imported.save(values.out, { replace: values.force ?? false });
    describe(imported.report, values, output);
    output.line(`wrote ${values.out}`);
    output.document('import/1', { out: values.out, ...imported.report });
    return undefined;
  },
});

function importOptions(values: Values<typeof OPTIONS>): ImportOptions {
  const { interactions, user, item, time, rating, minRating, items, triples, entity, split, validation, test } = values;
  const delimiter = values.delimiter === undefined ? {} : { delimiter: values.delimiter === 'tab' ? '\t' : values.delimiter };
  if (items === undefined && (values.relations ?? values.itemId ?? entity) !== undefined)
    throw new UsageError('--relations, --item-id and --entity are about the table of --items');
  return {
    interactions: {
      path: interactions,
      user,
      item,
      ...defined({ time, rating, minRating }),
      ...delimiter,
    },
    ...(items === undefined
      ? {}
      : { items: { path: items, item: values.itemId ?? item, relations: relationColumns(values), ...defined({ entity }), ...delimiter } }),
    ...(triples === undefined
      ? {}
      : {
          triples: {
            path: triples,
            head: values.head,
            relation: values.relation,
            tail: values.tail,
            literals: values.literals ?? false,
            ...delimiter,
          },
        }),
    ...defined({ split, validation, test }),
    minInteractions: values.minInteractions,
    validationFraction: values.validationFraction,
    testFraction: values.testFraction,
    seed: values.seed,
  };
}

/** Where an argument of importTables is named that has another name here. */
function withOptionNames(message: string): string {
  return message
    .replace(/^items\.relations\[\d+\](?:\.(\w+))?/, (_, key: string = 'relations') => `--${SAME_AS[key] ?? kebab(key)}`)
    .replace(/\bitems\.item\b/g, '--item-id')
    .replace(/\b(?:interactions|items|triples)\.(\w+)/g, (_, key: string) => `--${kebab(key)}`)
    .replace(/^\w+(?=:)/, (key) => `--${kebab(key)}`);
}

const SAME_AS: Readonly<Record<string, string>> = { column: 'relations', separator: 'multi-valued', entities: 'same-entities' };

/** The object without what is undefined. */
function defined<T extends object>(object: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}

function relationColumns({
  relations = [],
  multiValued = [],
  bins = [],
  itemRelations = [],
  sameEntities = [],
}: Values<typeof OPTIONS>): RelationColumn[] {
  const columns = new Map<string, RelationColumn>();
  const of = (column: string): RelationColumn => {
    const found = columns.get(column) ?? { column };
    columns.set(column, found);
    return found;
  };
  for (const column of relations) of(column);
  const known = (option: string, column: string): RelationColumn => {
    if (!columns.has(column)) throw new UsageError(`${option}: ${column} is none of --relations`);
    return of(column);
  };
  for (const text of multiValued) {
    const [column, separator] = assignment('--multi-valued', text);
    known('--multi-valued', column).separator = separator;
  }
  for (const text of bins) {
    const [column, number] = assignment('--bins', text);
    if (!/^\d{1,4}$/.test(number)) throw new UsageError(`--bins: must be COLUMN=N, got "${text}"`);
    known('--bins', column).bins = Number(number);
  }
  for (const column of sameEntities) known('--same-entities', column).entities = sameEntities[0]!;
  for (const column of itemRelations) of(column).entities = 'item';
  return [...columns.values()];
}

function assignment(option: string, text: string): [column: string, value: string] {
  const at = text.lastIndexOf('=', text.length - 2);
  if (at < 1) throw new UsageError(`${option}: must be COLUMN=VALUE, got "${text}"`);
  return [text.slice(0, at), text.slice(at + 1)];
}

function describe(report: ImportReport, { interactions, minInteractions }: Values<typeof OPTIONS>, output: Output): void {
  const { rows, lowRated, distinctPairs, users, items, pairs, relations } = report;
  output.line(
    `interactions: ${count(rows)} rows → ${lowRated > 0 ? `${count(rows - lowRated)} rated high enough → ` : ''}${count(distinctPairs)} distinct pairs` +
      `${minInteractions > 1 ? ` → ${count(pairs + report.unlearnable)} where every user and item has ${minInteractions}` : ''}` +
      ` · ${count(users)} users · ${count(items)} items`,
  );
  const of = report.split === 'time' ? 'of all, by time' : report.split === 'user' ? "of each user's" : report.split;
  output.line(`split: train ${count(report.train)}, validation ${count(report.validation)}, test ${count(report.test)} (${of})`);
  output.line(
    `knowledge graph: ${count(report.triples)} triples, ${count(relations.length)} relations, ${count(report.entities)} entities (items included)`,
  );
  if (relations.length > 0)
    output.table(
      relations.map(({ name, triples, items: having, values, commonest }) => [
        name,
        triples,
        having,
        values,
        `${(100 * commonest.share).toFixed(1)} %`,
      ]),
      ['relation', 'triples', 'items', 'values', 'commonest value'],
    );
  for (const { name, doubt } of relations) if (doubt) output.warn(`the relation "${name}" is likely noise: ${doubt}`);
  const remarks: [number, string][] = [
    [report.itemsWithoutRow, 'items with interactions have no row in the catalogue'],
    [report.unknownItems, 'rows of the catalogue are about items without interactions that were kept: left out'],
    [report.repeatedItems, 'rows of the catalogue are about an item of an earlier row: their values were added'],
    [report.unknownTargets, 'values of item relations are no item: left out'],
    [report.unlearnable, 'pairs for validation and test left out: training has nothing of their user or item'],
    [report.triplesElsewhere, 'triples touch no item: left out'],
    [report.literals, 'literals left out (--literals takes them)'],
  ];
  for (const [number, text] of remarks) if (number > 0) output.note(`${count(number)} ${text}`);
  if (report.triples === 0) output.warn(`there is no knowledge: --items with --relations, or --triples, would add some to ${interactions}`);
}
