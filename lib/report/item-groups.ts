// Quartiles of items, percentiles within groups, rows that stand for all.
import { quantiles } from '../statistics.ts';

export interface Percentiles {
  p5: number;
  p25: number;
  p50: number;
  p75: number;
  p95: number;
}

export interface ItemGroup {
  label: string;
  items: number;
}

export function percentilesOf(values: ArrayLike<number>): Percentiles {
  const [p5, p25, p50, p75, p95] = quantiles(values, [0.05, 0.25, 0.5, 0.75, 0.95]) as [number, number, number, number, number];
  return { p5, p25, p50, p75, p95 };
}

/** As many of the rows as the limit, from places spread evenly over them. */
export function evenly(rows: ArrayLike<number>, limit: number): number[] {
  const count = Math.min(rows.length, limit);
  return Array.from({ length: count }, (_, i) => rows[Math.floor(((i + 0.5) * rows.length) / count)]!);
}

export interface Grouping {
  groups: ItemGroup[];
  /** The items of each group. */
  members: Uint32Array[];
}

/**
 * Items in up to four groups of about the same size by a count, ascending. Equal counts stay together, so that with many ties groups differ in
 * size or are fewer.
 *
 * @param unit what is counted, singular and plural
 */
export function quartiles(rows: Uint32Array, counts: ArrayLike<number>, unit: readonly [string, string]): Grouping {
  const values = Float64Array.from(rows, (row) => counts[row]!);
  const bounds = quantiles(values, [0.25, 0.5, 0.75]);
  const groupOf = (value: number): number => bounds.filter((bound) => value > bound).length;
  const members = [0, 1, 2, 3].map((group) => rows.filter((row) => groupOf(counts[row]!) === group)).filter(({ length }) => length > 0);
  const groups = members.map((own) => {
    let [low, high] = [Number.POSITIVE_INFINITY, 0];
    for (const row of own) {
      low = Math.min(low, counts[row]!);
      high = Math.max(high, counts[row]!);
    }
    return { label: low === high ? `${low} ${low === 1 ? unit[0] : unit[1]}` : `${low}–${high} ${unit[1]}`, items: own.length };
  });
  return { groups, members };
}

export const percentilesWithin = ({ members }: Grouping, values: ArrayLike<number>): Percentiles[] =>
  members.map((own) => percentilesOf(Float64Array.from(own, (row) => values[row]!)));

/** The items that have a triple, by popularity and by degree; the others have no L_K, and no β. */
export interface ItemGroups {
  items: Uint32Array;
  popularity: Grouping;
  degree: Grouping;
}

/** What of a data set decides the groups. */
export interface GroupedItems {
  items: number;
  graph: { offsets: Uint32Array };
  train: { items: Uint32Array };
}

export function itemGroups({ items, graph, train: interactions }: GroupedItems): ItemGroups {
  const degrees = Uint32Array.from({ length: items }, (_, item) => graph.offsets[item + 1]! - graph.offsets[item]!);
  const popularity = new Uint32Array(items);
  for (const item of interactions.items) popularity[item]!++;
  const rows = Uint32Array.from(degrees.keys()).filter((item) => degrees[item]! > 0);
  return {
    items: rows,
    popularity: quartiles(rows, popularity, ['interaction', 'interactions']),
    degree: quartiles(rows, degrees, ['triple', 'triples']),
  };
}

/** Where the weights of the items with a triple are, of all and of each group. */
export interface ItemWeights {
  all: Percentiles;
  popularity: Percentiles[];
  degree: Percentiles[];
}

/**
 * @param weights [items] σ(β) of every item
 * @returns null where no item has a triple
 */
export const itemWeightsOf = ({ items, popularity, degree }: ItemGroups, weights: ArrayLike<number>): ItemWeights | null =>
  items.length === 0
    ? null
    : {
        all: percentilesOf(Float64Array.from(items, (item) => weights[item]!)),
        popularity: percentilesWithin(popularity, weights),
        degree: percentilesWithin(degree, weights),
      };
