import { countsOf, type Interactions } from './csr.ts';
import type { Dataset } from './dataset.ts';
import type { SourceFile } from './raw-dataset.ts';
import { publishedWith } from './published.ts';
import { finishInTurns, inPieces, type Steps } from './steps.ts';

/** One thing that `diagnose` looked at. */
export interface Finding {
  /** 'error': results on these data would mislead. 'warning': worth a look. 'ok': checked and fine. */
  level: 'error' | 'warning' | 'ok';
  /** Stable; the wording of `message` is not. */
  code: string;
  message: string;
}

/** What `diagnose` found. */
export interface Diagnosis {
  files: SourceFile[];
  counts: {
    users: number;
    items: number;
    /** items included */
    entities: number;
    /** without inverses */
    relations: number;
    triples: number;
    train: number;
    validation: number;
    test: number;
    /** Share of all pairs of user and item that are interactions. */
    density: number;
  };
  /** The k of the k-core that the interactions of all splits are: every user and every item has at least so many. */
  core: number;
  /** Tails of most triples, first the largest. */
  hubs: { entity: string; triples: number; share: number }[];
  /** Entities beside the items that no triple of the graph leads an item to: nothing trains them. */
  unreachableEntities: number;
  itemsWithoutTriples: number;
  selfLoops: number;
  /** The published data set with as many users and items; what else agrees, as far as there are files, and which files are the same by digest. */
  published: { name: string; source: string; terms: string; matches: string[]; differs: string[]; sameFiles: string[] } | null;
  findings: Finding[];
}

/** The tail of more triples than this share of the items tells them apart little better than a constant does. */
const HUB_SHARE = 0.5;

const HUBS = 5;

/**
 * Looks a data set over: what is repeated, missing, one-sided, leaking between the splits, and whether it is a published one.
 *
 * @example
 * const { findings, core, hubs } = await diagnose(dataset);
 * for (const { level, message } of findings) if (level !== 'ok') console.error(level, message);
 */
export async function diagnose(dataset: Dataset): Promise<Diagnosis> {
  return finishInTurns(steps(dataset));
}

function* steps(dataset: Dataset): Steps<Diagnosis> {
  const { users, items, entities, train, validation, test, triples, graph, entityIds, report } = dataset;
  const relations = report.options.inverse ? dataset.relations / 2 : dataset.relations;
  const pairs = train.items.length + validation.items.length + test.items.length;
  const count = triples.heads.length;

  const inDegrees = yield* countsOf(triples.tails, entities);
  const hubs = [...inDegrees.keys()]
    .filter((entity) => inDegrees[entity]! > 1)
    .sort((a, b) => inDegrees[b]! - inDegrees[a]! || a - b)
    .slice(0, HUBS)
    .map((entity) => ({ entity: String(entityIds[entity]), triples: inDegrees[entity]!, share: inDegrees[entity]! / count }));
  const reached = yield* countsOf(graph.tails, entities);
  let unreachableEntities = 0;
  yield* inPieces(entities - items, (begin, end) => {
    for (let i = begin; i < end; ++i) unreachableEntities += Number(reached[items + i] === 0);
  });
  const core = yield* smallestDegree([train, validation, test], users, items);

  const findings: Finding[] = [];
  const find = (level: Finding['level'], code: string, number: number, message: string) => {
    if (number > 0) findings.push({ level, code, message: `${number.toLocaleString('en-US')} ${message}` });
  };
  find(
    'error',
    'test-in-train',
    report.testInTrain,
    'test interactions are training or validation interactions too: a model would be measured on what it has seen (they are dropped here, other programs may not)',
  );
  find('error', 'validation-in-train', report.validationInTrain, 'validation interactions are training interactions too');
  if (pairs > 0 && test.items.length === 0)
    findings.push({ level: 'warning', code: 'no-test', message: 'there is no test split: nothing can be measured on it' });
  if (count === 0)
    findings.push({
      level: 'warning',
      code: 'no-triples',
      message: 'there are no triples: only the variants without knowledge make sense',
    });
  find('warning', 'repeated-train', report.repeatedTrain, 'training interactions are repeats, counted once');
  find(
    'warning',
    'repeated-test',
    report.repeatedTest + report.repeatedValidation,
    'test or validation interactions are repeats, counted once',
  );
  find('warning', 'repeated-triples', report.repeatedTriples, 'triples are repeats, counted once');
  find('warning', 'self-loops', report.selfLoops, 'triples have their head as tail');
  find(
    'warning',
    'users-without-train',
    report.usersWithoutTrain,
    'users have no training interaction: what is recommended to them is chance',
  );
  if (test.items.length > 0)
    find('warning', 'users-without-test', report.usersWithoutTest, 'users have no test interaction, and are left out of its metrics');
  if (count > 0) {
    find('warning', 'items-without-triples', report.itemsWithoutTriples, 'items have no triple');
    find('warning', 'unreachable-entities', unreachableEntities, 'entities are in no item’s neighbourhood: nothing trains them');
    for (const { entity, triples: degree, share } of hubs)
      if (degree > HUB_SHARE * items)
        findings.push({
          level: 'warning',
          code: 'hub',
          message: `the entity ${JSON.stringify(entity)} is the tail of ${degree.toLocaleString('en-US')} triples, ${(100 * share).toFixed(1)} % of all`,
        });
  }
  if (!findings.some(({ level }) => level === 'error'))
    findings.push({ level: 'ok', code: 'no-leak', message: 'no interaction is in two splits' });

  const counts = {
    ...{ users, items, entities, relations, triples: count },
    ...{ train: train.items.length, validation: validation.items.length, test: test.items.length, density: pairs / (users * items) },
  };
  return {
    files: report.files,
    counts,
    core,
    hubs,
    unreachableEntities,
    itemsWithoutTriples: report.itemsWithoutTriples,
    selfLoops: report.selfLoops,
    published: publishedLike(dataset, counts),
    findings,
  };
}

/** The fewest interactions that a user or an item has. */
function* smallestDegree(parts: readonly Interactions[], users: number, items: number): Steps<number> {
  const perItem = new Uint32Array(items);
  let fewest = Number.POSITIVE_INFINITY;
  for (const { items: all } of parts)
    yield* inPieces(all.length, (begin, end) => {
      for (let i = begin; i < end; ++i) perItem[all[i]!]!++;
    });
  yield* inPieces(items, (begin, end) => {
    for (let i = begin; i < end; ++i) fewest = Math.min(fewest, perItem[i]!);
  });
  yield* inPieces(users, (begin, end) => {
    for (let user = begin; user < end; ++user)
      fewest = Math.min(
        fewest,
        parts.reduce((sum, { offsets }) => sum + offsets[user + 1]! - offsets[user]!, 0),
      );
  });
  return fewest;
}

/** Of the published data sets that which has the same users and items; what else agrees and what does not. Only counts of files that are there. */
function publishedLike({ report }: Dataset, counts: Diagnosis['counts']): Diagnosis['published'] {
  const found = publishedWith(counts.users, counts.items);
  if (report.source !== 'kgat' || !found) return null;
  const ours: Record<string, number> = { ...counts, train: counts.train + (report.validationSplit === 'random' ? counts.validation : 0) };
  const there = (file: string) => report.files.some(({ name }) => name.startsWith(file));
  const compared = [
    ...(['users', 'items', 'train'] as const),
    ...(there('test.txt') ? (['test'] as const) : []),
    ...(there('kg_final.txt') ? (['entities', 'relations', 'triples'] as const) : []),
  ];
  const { name, source, terms, sha256 = {} } = found;
  return {
    ...{ name, source, terms },
    sameFiles: report.files.filter((file) => sha256[file.name] === file.sha256).map((file) => file.name),
    matches: compared.filter((key) => found[key] === ours[key]).map((key) => `${key} ${found[key].toLocaleString('en-US')}`),
    differs: compared
      .filter((key) => found[key] !== ours[key])
      .map((key) => `${key} ${ours[key]!.toLocaleString('en-US')}, published ${found[key].toLocaleString('en-US')}`),
  };
}
