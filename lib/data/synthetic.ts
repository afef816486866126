import { checkInteger, checkNumber, checkOneOf, checkOptions } from '../check.ts';
import { argumentError } from '../errors.ts';
import { type Pairs, type Triples, Uint32List } from './csr.ts';
import { assemble, checkDatasetOptions, type Dataset, type DatasetOptions } from './dataset.ts';
import { IdMap } from './id-map.ts';
import { Random } from './random.ts';
import { release } from './release.ts';
import type { RawDataset } from './raw-dataset.ts';
import { finish } from './steps.ts';

/** What `synthetic` makes. */
export interface SyntheticOptions extends DatasetOptions {
  /** A data set with the counts and degree laws of a published one, for benchmarks: there is nothing in it to learn. */
  shape?: Shape;
  /** Size of the hierarchical world, where no shape is given. Defaults 600 and 800, at least 1 and 40. */
  users?: number;
  items?: number;
  /** Fewest and most interactions of a user, test included. Default [8, 14]. */
  interactionsPerUser?: readonly [fewest: number, most: number];
  /** Share of the items whose triples tell the truth about them; those of the others tell of another category. Default 0.7. */
  truthful?: number;
}

/** Published data sets whose counts and degrees `synthetic` can take. */
export type Shape = 'last-fm' | 'amazon-book' | 'yelp2018';

/** Counts of a published data set: distinct training and test interactions, distinct triples, entities with the items. */
interface Counts {
  users: number;
  items: number;
  entities: number;
  relations: number;
  triples: number;
  train: number;
  test: number;
  /** triples with an item as head, and the most that one item has */
  itemTriples: number;
  mostTriples: number;
  selfLoops: number;
  /** one tail of relation 0 with this many triples, so many of them from items */
  hub?: { triples: number; fromItems: number };
}

// Last-FM's are counted. Of the other two, how many triples have an item as head is not known: Last-FM's share of 75 % stands in.
const SHAPES: Readonly<Record<Shape, Counts>> = {
  'last-fm': {
    users: 23_566,
    items: 48_123,
    entities: 106_389,
    relations: 9,
    triples: 464_567,
    train: 1_289_003,
    test: 423_635,
    itemTriples: 349_929,
    mostTriples: 56,
    selfLoops: 2_430,
    hub: { triples: 64_386, fromItems: 46_228 },
  },
  'amazon-book': {
    users: 70_679,
    items: 24_915,
    entities: 113_487,
    relations: 39,
    triples: 2_557_746,
    train: 652_514,
    test: 193_920,
    itemTriples: 1_918_310,
    mostTriples: 1_000,
    selfLoops: 0,
  },
  yelp2018: {
    users: 45_919,
    items: 45_538,
    entities: 136_499,
    relations: 42,
    triples: 1_853_704,
    train: 930_032,
    test: 253_578,
    itemTriples: 1_390_278,
    mostTriples: 1_000,
    selfLoops: 0,
  },
};

/** Every user and item of the published data sets has at least so many interactions. */
const CORE = 10;

/** Stream of Random for everything here. */
const WORLD = 3;

const OPTIONS = ['shape', 'users', 'items', 'interactionsPerUser', 'truthful', 'inverse', 'validationFraction', 'seed'] as const;

/**
 * A made-up data set, the same for a seed everywhere.
 *
 * Without `shape`: a hierarchical world. Items are leaves of a taxonomy of three levels, with about ten items in a category, and have
 * brands of power-law size, owned by makers. A user likes one sub-tree, two categories near it, a brand, and some of anything. The
 * graph tells category, brand, style and a similar item of each item, truly for a part of the items and misleadingly for the
 * rest, plus colour and year, which mean nothing to anyone. A fifth of each user's interactions is the test split.
 *
 * @throws {TypeError, RangeError} for bad arguments
 * @example
 * const world = synthetic({ users: 200, items: 100, seed: 1 });
 */
export function synthetic(options?: SyntheticOptions): Dataset {
  const { shape, users, items, interactionsPerUser, truthful, ...rest } = checkOptions('options', options, OPTIONS);
  const checked = checkDatasetOptions(rest);
  const random = new Random(checked.seed, WORLD);
  if (shape !== undefined) {
    for (const [name, value] of Object.entries({ users, items, interactionsPerUser, truthful }))
      if (value !== undefined) throw argumentError('type', name, 'has no meaning beside shape');
    return finish(assemble(shapedLike(SHAPES[checkOneOf('shape', shape, Object.keys(SHAPES) as Shape[])], random), checked, release));
  }
  const itemCount = items === undefined ? 800 : checkInteger('items', items, 40, 10_000_000);
  const [fewest, most] = checkRange(interactionsPerUser ?? [8, 14], itemCount);
  const world: World = {
    users: users === undefined ? 600 : checkInteger('users', users, 1, 10_000_000),
    items: itemCount,
    fewest,
    most,
    truthful: truthful === undefined ? 0.7 : checkNumber('truthful', truthful, 0, 1),
  };
  return finish(assemble(hierarchicalWorld(world, random), checked, release));
}

function checkRange(range: unknown, items: number): [number, number] {
  if (!Array.isArray(range) || range.length !== 2) throw argumentError('type', 'interactionsPerUser', 'must be [fewest, most]');
  // Up to half of the items, so that drawing until enough distinct ones are found comes to an end soon.
  const fewest = checkInteger('interactionsPerUser[0]', range[0], 1, Math.floor(items / 2));
  return [fewest, checkInteger('interactionsPerUser[1]', range[1], fewest, Math.floor(items / 2))];
}

interface World {
  users: number;
  items: number;
  fewest: number;
  most: number;
  truthful: number;
}

function hierarchicalWorld({ users, items, fewest, most, truthful }: World, random: Random): RawDataset {
  // The taxonomy, bottom up: category c lies in group ⌊c / 4⌋, group g in department ⌊g / 5⌋.
  const categories = Math.ceil(items / 10);
  const groupOf = (category: number) => Math.floor(category / 4);
  const departmentOf = (group: number) => Math.floor(group / 5);
  const groups = groupOf(categories - 1) + 1;
  const departments = departmentOf(groups - 1) + 1;
  const brandsPerGroup = 5;
  const makers = Math.ceil((groups * brandsPerGroup) / 4);

  const categoryOf = new Uint32Array(items);
  const brandOf = new Uint32Array(items);
  const inCategory = listsOf(categories);
  const inGroup = listsOf(groups);
  const ofBrand = listsOf(groups * brandsPerGroup);
  const brandIn = (category: number) => groupOf(category) * brandsPerGroup + skewed(random, brandsPerGroup);
  for (let item = 0; item < items; ++item) {
    const category = item % categories;
    const brand = brandIn(category);
    categoryOf[item] = category;
    brandOf[item] = brand;
    inCategory[category]!.push(item);
    inGroup[groupOf(category)]!.push(item);
    ofBrand[brand]!.push(item);
  }

  const train = { users: new Uint32List(), items: new Uint32List() };
  const chosen = new Int32Array(items).fill(-1);
  for (let user = 0; user < users; ++user) {
    const group = random.below(groups);
    const department = departmentOf(group);
    const near = () => Math.min(categories - 1, 20 * department + random.below(20));
    const liked = [inCategory[near()]!, inCategory[near()]!];
    const brand = ofBrand[group * brandsPerGroup + skewed(random, brandsPerGroup)]!;
    let left = fewest + random.below(most - fewest + 1);
    while (left > 0) {
      const mood = random.uniform();
      let item = skewed(random, items);
      if (mood < 0.5) item = pick(inGroup[group]!, random);
      else if (mood < 0.75) item = pick(liked[random.below(2)]!, random);
      else if (mood < 0.85 && brand.length > 0) item = pick(brand, random);
      if (chosen[item] === user) {
        // A user whose sub-tree is used up goes on with anything.
        item = random.below(items);
        if (chosen[item] === user) continue;
      }
      chosen[item] = user;
      train.users.push(user);
      train.items.push(item);
      --left;
    }
  }

  const entities = new IdMap();
  const relations = new IdMap();
  const triples = { heads: new Uint32List(), relations: new Uint32List(), tails: new Uint32List() };
  const tell = (head: string, relation: string, tail: string) => {
    triples.heads.push(entities.add(head));
    triples.relations.push(relations.add(relation));
    triples.tails.push(entities.add(tail));
  };
  for (let item = 0; item < items; ++item) entities.add(`item-${item}`);
  for (let item = 0; item < items; ++item) {
    const honest = random.uniform() < truthful;
    const category = honest ? categoryOf[item]! : random.below(categories);
    const brand = honest ? brandOf[item]! : brandIn(category);
    tell(`item-${item}`, 'in-category', `category-${category}`);
    tell(`item-${item}`, 'of-brand', `brand-${brand}`);
    tell(`item-${item}`, 'has-style', `style-${2 * groupOf(category) + random.below(2)}`);
    const similar = pick(inCategory[category]!, random);
    tell(`item-${item}`, 'similar-to', `item-${similar === item ? pick(inGroup[groupOf(category)]!, random) : similar}`);
    tell(`item-${item}`, 'has-colour', `colour-${skewed(random, 12)}`);
    tell(`item-${item}`, 'made-in-year', `year-${2000 + random.below(20)}`);
  }
  for (let category = 0; category < categories; ++category) tell(`category-${category}`, 'part-of', `group-${groupOf(category)}`);
  for (let group = 0; group < groups; ++group) tell(`group-${group}`, 'part-of', `department-${departmentOf(group)}`);
  for (let brand = 0; brand < ofBrand.length; ++brand) tell(`brand-${brand}`, 'owned-by', `maker-${skewed(random, makers)}`);

  return {
    source: 'synthetic',
    files: [],
    users,
    items,
    entities: entities.size,
    relations: relations.size,
    train: { users: finish(train.users.take()), items: finish(train.items.take()) },
    test: 'draw',
    triples: { heads: finish(triples.heads.take()), relations: finish(triples.relations.take()), tails: finish(triples.tails.take()) },
    ids: {
      users: Array.from({ length: users }, (_, user) => `user-${user}`),
      items: entities.ids.slice(0, items),
      entities: entities.ids,
      relations: relations.ids,
    },
    notes: [
      `A made-up world: ${departments} departments, ${groups} groups, ${categories} categories; the triples of ${Math.round(100 * truthful)} % of the items are true.`,
    ],
  };
}

function listsOf(count: number): number[][] {
  return Array.from({ length: count }, () => []);
}

function pick(list: readonly number[], random: Random): number {
  return list[random.below(list.length)]!;
}

/** An integer in [0, bound), i with probability about ½ · (i · bound)^(−½): a power law in rank, without a power. */
function skewed(random: Random, bound: number): number {
  const u = random.uniform();
  return Math.floor(bound * u * u);
}

function shapedLike(counts: Counts, random: Random): RawDataset {
  const { users, items, entities, relations } = counts;
  const { train, test } = shapedInteractions(counts, random);
  return {
    source: 'synthetic',
    files: [],
    users,
    items,
    entities,
    relations,
    train,
    test,
    triples: shapedTriples(counts, random),
    ids: 'dense',
    notes: ['Made up at random with the counts and degree laws of a published data set: there is nothing in it to learn.'],
  };
}

/** Users and items with power-law degrees of at least CORE, matched at random; the same share of every user's items is the test split. */
function shapedInteractions(counts: Counts, random: Random): { train: Pairs; test: Pairs } {
  const { users, items } = counts;
  const total = counts.train + counts.test;
  const offsets = new Uint32Array(users + 1);
  powerLaw(users, total, () => CORE, items, random).forEach((degree, user) => {
    offsets[user + 1] = offsets[user]! + degree;
  });
  const matched = new Uint32Array(total);
  let slot = 0;
  const slots = random.permutation(total);
  powerLaw(items, total, () => CORE, users, random).forEach((degree, item) => {
    for (let i = 0; i < degree; ++i) matched[slots[slot++]!] = item;
  });
  const holder = new Uint32Array(total);
  for (let user = 0; user < users; ++user) holder.fill(user, offsets[user], offsets[user + 1]);

  // Where a user has an item twice, the second is exchanged with a random entry of another user, if neither then has one twice.
  const has = (user: number, item: number) => {
    for (let i = offsets[user]!; i < offsets[user + 1]!; ++i) if (matched[i] === item) return true;
    return false;
  };
  const lastUser = new Int32Array(items).fill(-1);
  for (let i = 0; i < total; ++i) {
    const user = holder[i]!;
    while (lastUser[matched[i]!] === user) {
      const other = random.below(total);
      const [mine, theirs] = [matched[i]!, matched[other]!];
      if (has(user, theirs) || has(holder[other]!, mine)) continue;
      matched[i] = theirs;
      matched[other] = mine;
    }
    lastUser[matched[i]!] = user;
  }

  const train = { users: new Uint32Array(counts.train), items: new Uint32Array(counts.train) };
  const test = { users: new Uint32Array(counts.test), items: new Uint32Array(counts.test) };
  let tested = 0;
  for (let i = 0; i < total; ++i) {
    // Evenly spread over the entries, so that every user's share is right to within one, and the sum is exact.
    const intoTest = Math.floor(((i + 1) * counts.test) / total) > tested;
    const part = intoTest ? test : train;
    const row = intoTest ? tested++ : i - tested;
    part.users[row] = holder[i]!;
    part.items[row] = matched[i]!;
  }
  return { train, test };
}

/** Distinct triples; heads with power-law out-degrees, tails with power-law in-degrees, and the hub where there is one. */
function shapedTriples(counts: Counts, random: Random): Triples {
  const { items, entities, relations, hub } = counts;
  const triples: Triples = {
    heads: new Uint32Array(counts.triples),
    relations: new Uint32Array(counts.triples),
    tails: new Uint32Array(counts.triples),
  };
  const rank = random.permutation(entities);
  /** by tail: the head whose triple it was last in */
  const lastHead = new Int32Array(entities).fill(-1);
  const hubTail = items;
  let next = 0;
  const perHead = [
    { first: 0, count: items, total: counts.itemTriples, least: 1, hubTriples: hub?.fromItems ?? 0 },
    {
      first: items,
      count: entities - items,
      total: counts.triples - counts.itemTriples,
      least: 0,
      hubTriples: hub ? hub.triples - hub.fromItems : 0,
    },
  ];
  let selfLoops = counts.selfLoops;
  for (const { first, count, total, least, hubTriples } of perHead) {
    const toHub = new Uint8Array(count);
    // The hub's own row stays out: its triple with itself would be a self-loop.
    const heads = random.permutation(count).filter((head) => first + head !== hubTail);
    for (let i = 0; i < hubTriples; ++i) toHub[heads[i]!] = 1;
    const looped = new Uint8Array(count);
    for (let i = heads.length - 1; i >= 0 && selfLoops > 0 && least > 0; --i, --selfLoops) looped[heads[i]!] = 1;
    const degrees = powerLaw(count, total, (row) => Math.max(least, toHub[row]! + looped[row]!), counts.mostTriples, random);
    for (let row = 0; row < count; ++row) {
      const begin = next;
      const add = (relation: number, tail: number) => {
        if (lastHead[tail] === first + row)
          for (let i = begin; i < next; ++i) if (triples.tails[i] === tail && triples.relations[i] === relation) return;
        lastHead[tail] = first + row;
        triples.heads[next] = first + row;
        triples.relations[next] = relation;
        triples.tails[next++] = tail;
      };
      if (toHub[row] === 1) add(0, hubTail);
      if (looped[row] === 1) add(relations - 1, first + row);
      while (next - begin < degrees[row]!) {
        const tail = rank[skewed(random, entities)]!;
        if (tail !== first + row && !(hub && tail === hubTail)) add(skewed(random, relations), tail);
      }
    }
  }
  return triples;
}

/**
 * `count` degrees with the sum `total`: `least` of each, at most `most`, and what is above `least` in proportion to rank^(−½) in a
 * random ranking (a degree distribution with exponent 3), without a power.
 */
function powerLaw(count: number, total: number, least: (row: number) => number, most: number, random: Random): Uint32Array {
  const degrees = Uint32Array.from({ length: count }, (_, row) => least(row));
  let left = total;
  let weights = 0;
  for (let i = 0; i < count; ++i) {
    left -= degrees[i]!;
    weights += 1 / Math.sqrt(i + 1);
  }
  const scale = left / weights;
  const ranking = random.permutation(count);
  ranking.forEach((row, rank) => {
    const share = Math.min(Math.floor(scale / Math.sqrt(rank + 1)), most - degrees[row]!);
    degrees[row]! += share;
    left -= share;
  });
  // What rounding and `most` have left over goes to the others one by one, from the top of the ranking.
  for (let rank = 0; left > 0; rank = (rank + 1) % count) {
    if (degrees[ranking[rank]!]! === most) continue;
    degrees[ranking[rank]!]!++;
    --left;
  }
  return degrees;
}
