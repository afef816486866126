// Data sets that lack some of their users or items, as if these were not there yet.
import { type Interactions, usersOf } from '../../lib/data/csr.ts';
import { assemble, type Dataset } from '../../lib/data/dataset.ts';
import { Random } from '../../lib/data/random.ts';
import { finish, finishInTurns } from '../../lib/data/steps.ts';

/** Stream of Random for who is held out. */
const HELD_OUT_STREAM = 17;

/** Rows of `count`, drawn by the seed, ascending: `fraction` of those that `may` be held out. */
export function drawRows(count: number, fraction: number, seed: number, may: (row: number) => boolean): Uint32Array {
  const rows = Array.from({ length: count }, (_, row) => row).filter(may);
  const order = new Random(seed, HELD_OUT_STREAM).permutation(rows.length);
  return Uint32Array.from(order.subarray(0, Math.round(fraction * rows.length)), (at) => rows[at]!).sort();
}

/** The data set with nobody forgotten but these users' interactions: their rows are there, and training never touches them. */
export function withoutUsers(dataset: Dataset, users: Uint32Array): Dataset {
  const out = new Set(users);
  const kept = (interactions: Interactions) => filtered(interactions, (user) => !out.has(user));
  return { ...dataset, train: kept(dataset.train), validation: kept(dataset.validation) };
}

/** The data set without these items: no interaction, no triple and no row of a table has them. Its ids are still the same. */
export async function withoutItems(dataset: Dataset, items: Uint32Array): Promise<Dataset> {
  const { users, entities, relations, train, validation, triples, itemIds, entityIds, relationIds, report } = dataset;
  const out = new Set(items);
  const rows = new Uint32Array(entities);
  let next = 0;
  for (let entity = 0; entity < entities; ++entity) rows[entity] = out.has(entity) ? 0 : next++;
  const pairs = (interactions: Interactions) => {
    const kept = filtered(interactions, (_, item) => !out.has(item));
    return { users: finish(usersOf(kept)), items: kept.items.map((item) => rows[item]!) };
  };
  const left = triples.heads.map((_, i) => i).filter((i) => !out.has(triples.heads[i]!) && !out.has(triples.tails[i]!));
  const inverse = report.options.inverse;
  return finishInTurns(
    assemble(
      {
        source: 'iterables',
        files: [],
        ...{ users, items: dataset.items - items.length, entities: next, relations: inverse ? relations / 2 : relations },
        train: pairs(train),
        validation: pairs(validation),
        test: 'absent',
        triples: {
          heads: left.map((i) => rows[triples.heads[i]!]!),
          relations: left.map((i) => triples.relations[i]!),
          tails: left.map((i) => rows[triples.tails[i]!]!),
        },
        ids: {
          users: [...dataset.userIds],
          items: itemIds.filter((_, row) => !out.has(row)),
          entities: entityIds.filter((_, row) => !out.has(row)),
          relations: relationIds.slice(0, inverse ? relations / 2 : relations),
        },
        notes: [],
      },
      report.options,
    ),
  );
}

/** The entries of the users that `keep` says. */
export function filtered({ offsets, items }: Interactions, keep: (user: number, item: number) => boolean): Interactions {
  const kept: number[] = [];
  const ends = new Uint32Array(offsets.length);
  for (let user = 0; user + 1 < offsets.length; ++user) {
    for (const item of items.subarray(offsets[user], offsets[user + 1])) if (keep(user, item)) kept.push(item);
    ends[user + 1] = kept.length;
  }
  return { offsets: ends, items: Uint32Array.from(kept) };
}
