import { HyperKnowError } from '../../errors.ts';
import { type Pairs, type Triples, Uint32List } from '../csr.ts';
import { assemble, checkDatasetOptions, type Dataset, type DatasetOptions } from '../dataset.ts';
import { IdMap } from '../id-map.ts';
import type { RawDataset, SourceFile } from '../raw-dataset.ts';
import { finishInTurns, inPieces, type Steps } from '../steps.ts';
import { type KnowledgeReport, readKnowledge } from './attributes.ts';
import { core, readInteractions, type TimedPairs } from './interactions.ts';
import { checkImportOptions, type ImportOptions, type ResolvedImport } from './options.ts';
import { type Parts, splitByTime, splitByUser } from './split.ts';
import { writeAtomicFiles } from './write.ts';

export type { KnowledgeReport, RelationReport } from './attributes.ts';
export type { ImportOptions, RelationColumn } from './options.ts';

/** What `importTables` found and did. */
export interface ImportReport extends Omit<KnowledgeReport, 'files'> {
  files: SourceFile[];
  /** Rows of interactions, those among them that were left out for their rating, and the distinct pairs of the others. */
  rows: number;
  lowRated: number;
  distinctPairs: number;
  /** What the k-core left. */
  users: number;
  items: number;
  pairs: number;
  entities: number;
  triples: number;
  split: 'time' | 'user' | 'given' | 'none';
  train: number;
  validation: number;
  test: number;
  /** Pairs of validation and test that were left out, since their user or their item has no interaction for training. */
  unlearnable: number;
}

/** Interactions and a knowledge graph out of tables. */
export class ImportedTables {
  /** What was read and what was left out. */
  readonly report: ImportReport;
  private readonly raw: RawDataset;
  private readonly options: ResolvedImport;

  /** @internal */
  constructor(raw: RawDataset, report: ImportReport, options: ResolvedImport) {
    this.raw = raw;
    this.report = report;
    this.options = options;
  }

  /**
   * The same data set, bit for bit, as `loadDataset` reads from what `save` writes.
   *
   * @example
   * const tables = await importTables({ interactions: { path: 'orders.csv', user: 'customer', item: 'sku' } });
   * const { users, items } = await tables.toDataset({ validationFraction: 0 });
   */
  async toDataset(options?: DatasetOptions): Promise<Dataset> {
    return finishInTurns(assemble(this.raw, checkDatasetOptions(options)));
  }

  /**
   * Writes a folder of RecBole's atomic files, and NAME.import.json with the report, whole or not at all.
   *
   * @param folder must not be there, unless `replace`, and then it must be one that `save` wrote
   * @throws {HyperKnowError} ERR_HK_IO
   * @example
   * const tables = await importTables({ interactions: { path: 'orders.csv', user: 'customer', item: 'sku' } });
   * await tables.save('orders');
   */
  save(folder: string, { replace = false }: { replace?: boolean } = {}): Promise<void> {
    return writeAtomicFiles(folder, this.raw, { report: this.report, options: this.options }, replace);
  }
}

/**
 * Reads interactions, and a knowledge graph out of the items' attributes, from tables: CSV and its kin, Parquet, N-Triples; gzip or zip where they
 * are text. Repeated interactions count once, with their earliest time. Ids are the caller's own, as strings. The event loop is never kept
 * for long, except by the pages of a Parquet file.
 *
 * @throws {HyperKnowError} ERR_HK_DATA for malformed content, with `file` and `line`; ERR_HK_IO. {TypeError, RangeError} for bad options.
 */
export async function importTables(options: ImportOptions): Promise<ImportedTables> {
  const resolved = checkImportOptions(options);
  const { interactions: table, minInteractions, split, validation, test } = resolved;
  const users = new IdMap();
  const items = new IdMap();
  const read = await readInteractions(table, users, items);
  const kept = await finishInTurns(core(read.pairs, minInteractions, users.size, items.size));
  if (kept.users.length === 0)
    throw new HyperKnowError(
      'ERR_HK_DATA',
      read.pairs.users.length === 0
        ? `${read.file.name}: holds no interaction${read.lowRated > 0 ? ' of such a rating' : ''}`
        : `${read.file.name}: nothing is left where every user and item must have ${minInteractions} interactions`,
      { file: read.file.name },
    );

  const files: SourceFile[] = [plain(read.file)];
  let parts: Parts;
  if (split === 'given') {
    const given = async (path: string | undefined): Promise<TimedPairs> => {
      if (path === undefined) return { users: new Uint32Array(), items: new Uint32Array(), times: null };
      const { file, pairs } = await readInteractions({ ...table, path }, users, items);
      files.push(plain(file));
      return pairs;
    };
    parts = { train: kept, validation: await given(validation), test: await given(test) };
  } else parts = await finishInTurns(split === 'none' ? withoutSplit(kept) : splitSteps(kept, resolved));

  const dense = await finishInTurns(renumbered(parts, users, items));
  const knowledge = await readKnowledge(resolved, dense.itemIds);
  const { entities, relations, report: knowledgeReport } = knowledge;
  const triples: Triples = {
    heads: await finishInTurns(knowledge.heads.take()),
    relations: await finishInTurns(knowledge.kinds.take()),
    tails: await finishInTurns(knowledge.tails.take()),
  };
  const raw: RawDataset = {
    source: 'tables',
    files: [...files, ...knowledgeReport.files.map(plain)],
    users: dense.userIds.length,
    items: dense.itemIds.length,
    entities: entities.size,
    relations: relations.size,
    train: dense.train,
    ...(split === 'none' || (split === 'given' && validation === undefined) ? {} : { validation: dense.validation }),
    test: split === 'none' ? 'absent' : dense.test,
    triples,
    ids: { users: dense.userIds, items: dense.itemIds, entities: entities.ids, relations: relations.ids },
    notes: [],
  };
  const pairs = dense.train.users.length + dense.validation.users.length + dense.test.users.length;
  return new ImportedTables(
    raw,
    {
      ...knowledgeReport,
      files: raw.files,
      rows: read.file.rows,
      lowRated: read.lowRated,
      distinctPairs: read.pairs.users.length,
      users: raw.users,
      items: raw.items,
      pairs,
      entities: raw.entities,
      triples: triples.heads.length,
      split,
      train: dense.train.users.length,
      validation: dense.validation.users.length,
      test: dense.test.users.length,
      unlearnable: dense.unlearnable,
    },
    resolved,
  );
}

const plain = ({ name, bytes, sha256 }: SourceFile): SourceFile => ({ name, bytes, sha256 });

function splitSteps(pairs: TimedPairs, { split, validationFraction, testFraction, seed }: ResolvedImport): Steps<Parts> {
  return split === 'time'
    ? splitByTime(pairs, validationFraction, testFraction)
    : splitByUser(pairs, validationFraction, testFraction, seed);
}

function* withoutSplit(train: TimedPairs): Steps<Parts> {
  const none = (): TimedPairs => ({ users: new Uint32Array(), items: new Uint32Array(), times: null });
  yield;
  return { train, validation: none(), test: none() };
}

/**
 * Dense ids in the order in which training mentions users and items: that of the files that are written, so that reading them gives the same.
 * What training does not know has none, and goes.
 */
function* renumbered(
  { train, validation, test }: Parts,
  users: IdMap,
  items: IdMap,
): Steps<{ train: Pairs; validation: Pairs; test: Pairs; userIds: string[]; itemIds: string[]; unlearnable: number }> {
  const NONE = 0xffffffff;
  const ids = { users: [] as string[], items: [] as string[] };
  const rowOf = { users: new Uint32Array(users.size).fill(NONE), items: new Uint32Array(items.size).fill(NONE) };
  const result: Pairs = { users: new Uint32Array(train.users.length), items: new Uint32Array(train.items.length) };
  yield* inPieces(train.users.length, (begin, end) => {
    for (let i = begin; i < end; ++i)
      for (const kind of ['users', 'items'] as const) {
        const old = train[kind][i]!;
        if (rowOf[kind][old] === NONE) {
          rowOf[kind][old] = ids[kind].length;
          ids[kind].push((kind === 'users' ? users : items).ids[old] as string);
        }
        result[kind][i] = rowOf[kind][old]!;
      }
  });
  let unlearnable = 0;
  const learnable = function* (pairs: TimedPairs): Steps<Pairs> {
    const left = { users: new Uint32List(), items: new Uint32List() };
    yield* inPieces(pairs.users.length, (begin, end) => {
      for (let i = begin; i < end; ++i) {
        const [user, item] = [rowOf.users[pairs.users[i]!]!, rowOf.items[pairs.items[i]!]!];
        if (user === NONE || item === NONE) ++unlearnable;
        else {
          left.users.push(user);
          left.items.push(item);
        }
      }
    });
    return { users: yield* left.users.take(), items: yield* left.items.take() };
  };
  return {
    train: result,
    validation: yield* learnable(validation),
    test: yield* learnable(test),
    userIds: ids.users,
    itemIds: ids.items,
    unlearnable,
  };
}
