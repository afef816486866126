/**
 * What an epoch has to do, counted from its samples and the graph, and what that costs at least: the floor that a measured time is held
 * against. Every distinct positive of a batch needs its neighbourhood once; a negative needs none.
 */
import type { Graph } from '../../lib/data/csr.ts';

/** Sums over the batches of an epoch: what is distinct is distinct within its batch. */
export interface Counts {
  batches: number;
  samples: number;
  users: number;
  /** Distinct positive items: the heads whose neighbourhoods are computed. */
  positives: number;
  /** Distinct items, positive or negative. */
  items: number;
  triples: number;
  /** Pairs of a head and a relation. */
  groups: number;
  tails: number;
  /** Rows of the user and entity tables that Adam moves. */
  rows: number;
}

const NONE = 0xffffffff;

/** Counts an epoch's samples, as `Trainer.samples` draws them, in batches of `batchSize`. A sample without a negative counts for nothing. */
export function countEpoch(
  samples: { users: Uint32Array; positives: Uint32Array; negatives: Uint32Array },
  graph: Graph,
  sizes: { users: number; entities: number },
  batchSize: number,
): Counts {
  const { offsets, relations, tails } = graph;
  const groupsOf = Uint32Array.from({ length: offsets.length - 1 }, (_, item) => {
    let groups = 0;
    for (let j = offsets[item]!; j < offsets[item + 1]!; ++j) if (j === offsets[item] || relations[j] !== relations[j - 1]) ++groups;
    return groups;
  });
  // The batch that last met a row, counted from 1.
  const [userMet, positiveMet, itemMet, tailMet, rowMet] = [sizes.users, ...Array<number>(4).fill(sizes.entities)].map(
    (rows) => new Uint32Array(rows),
  ) as [Uint32Array, Uint32Array, Uint32Array, Uint32Array, Uint32Array];
  const sum: Counts = { batches: 0, samples: 0, users: 0, positives: 0, items: 0, triples: 0, groups: 0, tails: 0, rows: 0 };
  /** 1 the first time that a batch meets the row, then 0. */
  const first = (met: Uint32Array, row: number): number => {
    const isNew = met[row] !== sum.batches;
    met[row] = sum.batches;
    return Number(isNew);
  };
  for (let i = 0; i < samples.users.length; ++i) {
    if (i % batchSize === 0) ++sum.batches;
    const user = samples.users[i]!;
    if (user === NONE) continue;
    ++sum.samples;
    const fresh = first(userMet, user);
    sum.users += fresh;
    sum.rows += fresh;
    const head = samples.positives[i]!;
    for (const item of [head, samples.negatives[i]!]) {
      sum.items += first(itemMet, item);
      sum.rows += first(rowMet, item);
    }
    if (first(positiveMet, head) === 0) continue;
    ++sum.positives;
    sum.triples += offsets[head + 1]! - offsets[head]!;
    sum.groups += groupsOf[head]!;
    for (let j = offsets[head]!; j < offsets[head + 1]!; ++j) {
      sum.tails += first(tailMet, tails[j]!);
      sum.rows += first(rowMet, tails[j]!);
    }
  }
  return sum;
}

/** Floating-point operations and bytes, of as much as was counted. */
export interface Work {
  flops: number;
  /** Rows that are read and written within the step, from wherever they are cached. */
  cachedBytes: number;
  /** What has to pass through memory: the state of the touched rows, and the graph's triples. */
  memoryBytes: number;
  /** The same where Adam moves every row of the tables at every step. */
  denseMemoryBytes: number;
  /** Rows of tails that the neighbourhoods gather: the random reads among the cached bytes. */
  tailBytes: number;
}

/**
 * Operations, d the dimension: a triple 14d + 50 (x·t, the midpoint's sum, t·g_M, the gradients of t and x), a head's relation 13d (v ⊕ r and
 * its gradient), a head 34d (the midpoint, L_K and back, the hypergradient), a sample 30d + 120 (inner and outer ranking loss), a row of Adam
 * 14d (with the square of its new norm).
 *
 * Bytes, a row having 4d: a triple reads its tail and reads or adds a gradient, 2 rows; a sample 12 rows in, 5 added; a head 3. From memory: of
 * a row of Adam, parameters and two moments in and out, 6 rows; of a triple its two ids.
 */
export function workOf({ batches, samples, positives, triples, groups, rows }: Counts, dim: number, tableRows: number): Work {
  const row = 4 * dim;
  return {
    flops: triples * (14 * dim + 50) + groups * 13 * dim + positives * 34 * dim + samples * (30 * dim + 120) + rows * 14 * dim,
    cachedBytes: (2 * triples + 17 * samples + 3 * positives) * row,
    memoryBytes: 6 * rows * row + 8 * triples,
    denseMemoryBytes: 6 * batches * tableRows * row,
    tailBytes: triples * row,
  };
}

/** What a machine can do at most, in flops and bytes per second, and seconds. */
export type Ceilings =
  | { kind: 'card'; device: string; flops: number; memory: number; cache: number; phaseSeconds: number }
  | { kind: 'processor'; device: string; flops: number; memory: number; randomRows: readonly { bytes: number; perSecond: number }[] };

/** Dependent phases of a step, each of which waits for the one before: samples and lists, neighbourhoods, ranking, hypergradient, Adam, totals. */
const PHASES = 6;

export interface Floor {
  seconds: number;
  /** What sets it. */
  bound: string;
  /** Every limit by itself, in seconds. */
  parts: Record<string, number>;
}

/**
 * The least time for this work. On a card memory, cache, arithmetic and the latency of dependent phases run beside each other: the slowest
 * counts. On a processor the tails' rows and the rows of Adam pass through the same few cores one after the other: their times add up.
 *
 * @param tableBytes of the table that the tails' rows are gathered from; the ceiling measured at the nearest size counts
 */
export function floorOf(work: Work, batches: number, tableBytes: number, ceilings: Ceilings): Floor {
  const arithmetic = work.flops / ceilings.flops;
  const memory = work.memoryBytes / ceilings.memory;
  let parts: Record<string, number>;
  let limits: Record<string, number>;
  if (ceilings.kind === 'card') {
    parts = { arithmetic, memory, cache: work.cachedBytes / ceilings.cache, latency: batches * PHASES * ceilings.phaseSeconds };
    limits = parts;
  } else {
    const distance = (bytes: number) => Math.abs(Math.log(bytes / tableBytes));
    const [nearest] = [...ceilings.randomRows].sort((a, b) => distance(a.bytes) - distance(b.bytes));
    const rows = work.tailBytes / nearest!.perSecond;
    parts = { arithmetic, memory, rows };
    limits = { arithmetic, 'memory + rows': memory + rows };
  }
  const [bound, seconds] = Object.entries(limits).reduce((a, b) => (b[1] > a[1] ? b : a));
  return { seconds, bound, parts };
}
