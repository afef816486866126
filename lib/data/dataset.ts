import { checkBoolean, checkInteger, checkNumber, checkOptions, show } from '../check.ts';
import { argumentError, HyperKnowError } from '../errors.ts';
import {
  countsOf,
  distinctTriples,
  type Graph,
  graphOf,
  graphWithInverses,
  hasInteraction,
  type Id,
  type Interactions,
  interactionsOf,
  limits,
  type Pairs,
  partedBy,
  releaseTriples,
  TooManyRows,
  type Triples,
  Uint32List,
  usersOf,
} from './csr.ts';
import { IdMap, idProblem } from './id-map.ts';
import type { DataSource, RawDataset, SourceFile } from './raw-dataset.ts';
import { release } from './release.ts';
import { holdOut, holdOutPerUser } from './split.ts';
import { finish, finishInTurns, inPieces, PIECE, type Steps } from './steps.ts';

export type { Graph, Id, Interactions, Triples } from './csr.ts';
export type { DataSource, SourceFile } from './raw-dataset.ts';

/** How a data set is split, and what its graph holds beside the triples as read. */
export interface DatasetOptions {
  /** Also put (t, r + R, h) into the graph for every triple (h, r, t) whose tail is an item; `relations` is then 2R. Default false. */
  inverse?: boolean;
  /** Share of the training interactions held out for validation, in [0, 1]; a user keeps at least one. Default 0.1, the paper's. */
  validationFraction?: number;
  /** Seed of every random split, an integer in [0, 2^53). Default 1. */
  seed?: number;
}

/** What was read, what was dropped and what is missing. */
export interface DatasetReport {
  source: DataSource;
  files: SourceFile[];
  /** The options in force. */
  options: Required<DatasetOptions>;
  /** 'random': drawn here by the seed, for validation uniformly over all interactions, for test 20 % of each user's. */
  validationSplit: 'given' | 'random';
  testSplit: 'given' | 'absent' | 'random';
  /** Interactions dropped because the same split holds them already (train: or because validation does, where that is given). */
  repeatedTrain: number;
  repeatedValidation: number;
  repeatedTest: number;
  /** Test interactions dropped because they are training or validation interactions, which no ranking may contain. */
  testInTrain: number;
  /** Validation interactions dropped because they are training interactions, where the validation split is given. */
  validationInTrain: number;
  /** Triples dropped because they were read before. */
  repeatedTriples: number;
  /** Distinct triples whose head is their tail; they are kept. */
  selfLoops: number;
  /** Items that are the head of no triple of the graph, inverses included if asked. */
  itemsWithoutTriples: number;
  usersWithoutTrain: number;
  usersWithoutTest: number;
  /** How often the most frequent tail is one, over the distinct triples. */
  largestInDegree: number;
  /** Anything else worth knowing, as sentences. */
  notes: string[];
}

/** Interactions and a knowledge graph under dense ids. Items come first in the entity table: item i is entity i. */
export interface Dataset {
  users: number;
  items: number;
  /** items included */
  entities: number;
  /** inverse relations included, where they were asked for */
  relations: number;
  train: Interactions;
  validation: Interactions;
  test: Interactions;
  /** Every distinct triple, in the order read, without inverses. */
  triples: Triples;
  /** The triples with an item as head, and inverses if asked. */
  graph: Graph;
  /** The caller's ids by dense id. The first `items` entity ids are those of the items. */
  userIds: readonly Id[];
  itemIds: readonly Id[];
  entityIds: readonly Id[];
  /** An inverse is r + R where the ids are dense numbers, otherwise `^` and the relation's id (`^^` … where that id is taken). */
  relationIds: readonly Id[];
  report: DatasetReport;
}

/** One interaction in the caller's own ids. */
export interface Interaction {
  user: Id;
  item: Id;
}

/** One triple in the caller's own ids. */
export interface Triple {
  head: Id;
  relation: Id;
  tail: Id;
}

/**
 * Reads a folder in one of the known formats, found by the files that are there (formats/index.ts): KGAT's (train.txt, test.txt,
 * kg_final.txt) or RecBole's atomic files (NAME.inter, NAME.kg, NAME.link). Only train.txt or NAME.inter must be there.
 * The event loop is never kept for longer than about 20 ms.
 *
 * @throws {HyperKnowError} ERR_HK_DATA for malformed content, and for more than 2³¹ interactions in a split or triples, with `file` and
 *   `line`; ERR_HK_IO for a file that cannot be read or is none; ERR_HK_FORMAT for a folder in no known format. {TypeError, RangeError} for
 *   bad arguments.
 * @example
 * const shop = await loadDataset('shop', { validationFraction: 0.1, seed: 1 });
 * const { users, items, train: seen, graph, report } = shop;
 */
export async function loadDataset(path: string, options?: DatasetOptions): Promise<Dataset> {
  if (typeof path !== 'string' || path === '') throw argumentError('type', 'path', `must be the path of a folder, got ${show(path)}`);
  const checked = checkDatasetOptions(options);
  const { readFolder } = await import('./formats/index.ts'); // what reads files is loaded with the first
  return finishInTurns(assemble(await readFolder(path), checked, release));
}

/**
 * Builds a data set from the caller's own ids, in one pass over each iterable. Dense ids are given in the order of first appearance:
 * users and items over interactions, then test; entities over the triples, where an entity id that equals an item id is the item.
 * The number 1 and the string '1' are two ids. Without `test` the test split is empty.
 *
 * @throws {HyperKnowError} ERR_HK_DATA for a malformed element, naming iterable and position: "interactions[17].user: …".
 *   {TypeError, RangeError} for bad arguments.
 * @example
 * const small = createDataset({
 *   interactions: [{ user: 'ann', item: 'lamp' }, { user: 'bob', item: 'lamp' }, { user: 'bob', item: 'rug' }],
 *   triples: [{ head: 'lamp', relation: 'designer', tail: 'Studio North' }],
 *   test: [{ user: 'ann', item: 'rug' }],
 * });
 */
export function createDataset(
  data: { interactions: Iterable<Interaction>; triples: Iterable<Triple>; test?: Iterable<Interaction> },
  options?: DatasetOptions,
): Dataset {
  const { interactions, triples, test } = checkOptions('data', data, ['interactions', 'triples', 'test']);
  const checked = checkDatasetOptions(options);
  const users = new IdMap();
  const entities = new IdMap();
  const relations = new IdMap();
  const pairs = (name: string, source: Iterable<Interaction>) => {
    const [userColumn, itemColumn] = columns(name, source, { user: users, item: entities });
    return { users: userColumn!, items: itemColumn! };
  };
  const train = pairs('interactions', interactions);
  if (train.users.length === 0) throw new HyperKnowError('ERR_HK_DATA', 'interactions: holds none, so there is nothing to learn from');
  const given = test === undefined ? 'absent' : pairs('test', test);
  const items = entities.size;
  const [heads, kinds, tails] = columns('triples', triples, { head: entities, relation: relations, tail: entities });
  const raw: RawDataset = {
    source: 'iterables',
    files: [],
    users: users.size,
    items,
    entities: entities.size,
    relations: relations.size,
    train,
    test: given,
    triples: { heads: heads!, relations: kinds!, tails: tails! },
    ids: { users: users.ids, items: entities.ids.slice(0, items), entities: entities.ids, relations: relations.ids },
    notes: [],
  };
  return finish(assemble(raw, checked, release));
}

export function checkDatasetOptions(options: DatasetOptions | undefined): Required<DatasetOptions> {
  const { inverse, validationFraction, seed } = checkOptions('options', options, ['inverse', 'validationFraction', 'seed']);
  return {
    inverse: inverse === undefined ? false : checkBoolean('inverse', inverse),
    validationFraction: validationFraction === undefined ? 0.1 : checkNumber('validationFraction', validationFraction, 0, 1),
    seed: seed === undefined ? 1 : checkInteger('seed', seed, 0),
  };
}

/**
 * Sorts, de-duplicates and splits what a reader or generator has found.
 *
 * @param used what becomes of columns of `raw` that are not needed any more: `release`, where nobody else has need of them
 */
export function* assemble(
  raw: RawDataset,
  options: Required<DatasetOptions>,
  used: (...columns: Uint32Array[]) => void = () => {},
): Steps<Dataset> {
  const { users, items, entities, relations, notes } = raw;
  const { inverse, validationFraction, seed } = options;
  const none = (): Interactions => ({ offsets: new Uint32Array(users + 1), items: new Uint32Array(0) });

  const distinctPairs = function* (pairs: Pairs) {
    const found = yield* interactionsOf(pairs, users, items);
    used(pairs.users, pairs.items);
    return found;
  };

  const first = yield* distinctPairs(raw.train);
  let train = first.interactions;
  let test = none();
  let repeatedTest = 0;
  if (raw.test === 'draw') [train, test] = yield* holdOutPerUser(train, 0.2, seed);
  else if (raw.test !== 'absent') ({ interactions: test, repeated: repeatedTest } = yield* distinctPairs(raw.test));
  let validation = none();
  let repeatedValidation = 0;
  let validationInTrain = 0;
  let testInTrain = 0;
  let dropped: Interactions;
  if (raw.validation) {
    ({ interactions: validation, repeated: repeatedValidation } = yield* distinctPairs(raw.validation));
    [validation, dropped] = yield* without(validation, train);
    validationInTrain = dropped.items.length;
    [test, dropped] = yield* without(test, validation);
    testInTrain = dropped.items.length;
  }
  [test, dropped] = yield* without(test, train);
  testInTrain += dropped.items.length;
  if (!raw.validation) {
    const whole = train;
    [train, validation] = yield* holdOut(whole, validationFraction, seed);
    release(whole.offsets, whole.items);
  }

  if (train.items.length + validation.items.length > limits.rows) throw new TooManyRows('interactions in training and validation');

  const { triples, sorted, repeated: repeatedTriples } = yield* distinctTriples(raw.triples, entities, relations);
  if (triples !== raw.triples) used(raw.triples.heads, raw.triples.relations, raw.triples.tails);
  const graph = inverse ? yield* graphWithInverses(triples, items, entities, relations) : yield* graphOf(sorted, items);
  releaseTriples(sorted);
  const inDegrees = yield* countsOf(triples.tails, entities);
  const selfLoops = yield* countWhere(triples.heads.length, (i) => triples.heads[i] === triples.tails[i]);
  const largestInDegree = yield* largest(inDegrees);
  release(inDegrees);

  const ids = raw.ids === 'dense' ? yield* denseIds(users, items, entities, inverse ? 2 * relations : relations) : raw.ids;
  const relationIds = raw.ids === 'dense' || !inverse ? ids.relations : [...ids.relations, ...inverseIds(ids.relations)];
  return {
    users,
    items,
    entities,
    relations: inverse ? 2 * relations : relations,
    train,
    validation,
    test,
    triples,
    graph,
    userIds: ids.users,
    itemIds: ids.items,
    entityIds: ids.entities,
    relationIds,
    report: {
      source: raw.source,
      files: raw.files,
      options,
      validationSplit: raw.validation ? 'given' : 'random',
      testSplit: raw.test === 'absent' ? 'absent' : raw.test === 'draw' ? 'random' : 'given',
      repeatedTrain: first.repeated,
      repeatedValidation,
      repeatedTest,
      testInTrain,
      validationInTrain,
      repeatedTriples,
      selfLoops,
      itemsWithoutTriples: yield* emptyRows(graph.offsets),
      usersWithoutTrain: yield* emptyRows(train.offsets),
      usersWithoutTest: yield* emptyRows(test.offsets),
      largestInDegree,
      notes,
    },
  };
}

/** The entries of `interactions` that `other` has not, and those that it has; `interactions` is released. */
function* without(interactions: Interactions, other: Interactions): Steps<[left: Interactions, dropped: Interactions]> {
  const users = yield* usersOf(interactions);
  const mask = new Uint8Array(users.length);
  yield* inPieces(mask.length, (begin, end) => {
    for (let i = begin; i < end; ++i) mask[i] = Number(hasInteraction(other, users[i]!, interactions.items[i]!));
  });
  release(users);
  const parts = yield* partedBy(mask, interactions);
  release(mask, interactions.offsets, interactions.items);
  return parts;
}

function* countWhere(length: number, holds: (i: number) => boolean): Steps<number> {
  let count = 0;
  yield* inPieces(length, (begin, end) => {
    for (let i = begin; i < end; ++i) if (holds(i)) ++count;
  });
  return count;
}

function emptyRows(offsets: Uint32Array): Steps<number> {
  return countWhere(offsets.length - 1, (row) => offsets[row] === offsets[row + 1]);
}

function* largest(values: Uint32Array): Steps<number> {
  let most = 0;
  yield* countWhere(values.length, (i) => {
    most = Math.max(most, values[i]!);
    return true;
  });
  return most;
}

function* denseIds(users: number, items: number, entities: number, relations: number): Steps<Exclude<RawDataset['ids'], 'dense'>> {
  const upTo = function* (count: number): Steps<Id[]> {
    const ids: Id[] = [];
    for (let id = 0; id < count; ++id) {
      ids.push(id);
      if (id % PIECE === PIECE - 1) yield;
    }
    return ids;
  };
  return { users: yield* upTo(users), items: yield* upTo(items), entities: yield* upTo(entities), relations: yield* upTo(relations) };
}

function inverseIds(relations: readonly Id[]): Id[] {
  const taken = new Set(relations);
  return relations.map((relation) => {
    let id = `^${relation}`;
    while (taken.has(id)) id = `^${id}`;
    taken.add(id);
    return id;
  });
}

/** The named fields of every element as dense ids, one column a field. */
function columns<T extends object>(name: string, source: Iterable<T>, fields: { [F in keyof T & string]: IdMap }): Uint32Array[] {
  if (source === null || source === undefined || typeof source[Symbol.iterator] !== 'function')
    throw argumentError('type', `data.${name}`, `must be an iterable, got ${show(source)}`);
  const parts = (Object.keys(fields) as (keyof T & string)[]).map((field) => ({ field, map: fields[field], column: new Uint32List() }));
  let position = 0;
  for (const element of source) {
    if (element === null || typeof element !== 'object')
      throw new HyperKnowError(
        'ERR_HK_DATA',
        `${name}[${position}]: must be an object with ${Object.keys(fields).join(', ')}, got ${show(element)}`,
      );
    for (const { field, map, column } of parts) {
      const id: unknown = element[field];
      const problem = idProblem(id);
      if (problem) throw new HyperKnowError('ERR_HK_DATA', `${name}[${position}].${field}: ${problem}, got ${show(id)}`);
      column.push(map.add(id as Id));
    }
    ++position;
  }
  return parts.map(({ column }) => finish(column.take()));
}
