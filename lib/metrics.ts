/** What one user's recommendation list got right. */
export interface RankedHits {
  /** 1 where the item of that rank is relevant, best first; padded with 0 where there were no more items. */
  hits: Uint8Array;
  /** How many items are relevant, found or not; at least 1. */
  relevant: number;
}

export interface Metric {
  /** How many ranks the value at `k` looks at. */
  depth(k: number): number;
  /** The value of one user, in [0, 1]. */
  value(list: RankedHits, k: number): number;
}

export type MetricName = 'recall' | 'ndcg' | 'ndcgKgat' | 'precision' | 'hitRate' | 'mrr';

/** Ranks from which the 'kgat' NDCG takes its ideal list: the largest cut-off of KGAT's evaluation. */
const KGAT_DEPTH = 100;

const upToK = (k: number): number => k;

function hitsUpTo(hits: Uint8Array, depth: number): number {
  let count = 0;
  for (let rank = 0; rank < depth && rank < hits.length; ++rank) count += hits[rank]!;
  return count;
}

/** Σ hit / log2(rank + 1), ranks counted from 1. */
function discountedGain(hits: Uint8Array, depth: number): number {
  let gain = 0;
  for (let rank = 0; rank < depth && rank < hits.length; ++rank) if (hits[rank] === 1) gain += 1 / Math.log2(rank + 2);
  return gain;
}

/** The gain of `count` hits at the first ranks, of which `depth` count. */
function idealGain(count: number, depth: number): number {
  let gain = 0;
  for (let rank = 0; rank < Math.min(count, depth); ++rank) gain += 1 / Math.log2(rank + 2);
  return gain;
}

function firstHit(hits: Uint8Array, depth: number): number {
  for (let rank = 0; rank < depth && rank < hits.length; ++rank) if (hits[rank] === 1) return rank + 1;
  return Number.POSITIVE_INFINITY;
}

/** Every metric, at a cut-off k. A user without a relevant item has no value. */
export const METRICS: Readonly<Record<MetricName, Metric>> = {
  /** Share of the relevant items among the first k. */
  recall: { depth: upToK, value: ({ hits, relevant }, k) => hitsUpTo(hits, k) / relevant },
  /** Against the best list there could be: min(k, relevant) hits at the top. */
  ndcg: { depth: upToK, value: ({ hits, relevant }, k) => discountedGain(hits, k) / idealGain(relevant, k) },
  /** Against the model's own first 100 items, hits first, cut at k: the definition of KGAT's code, and so of the paper's tables. */
  ndcgKgat: {
    depth: (k) => Math.max(k, KGAT_DEPTH),
    value: ({ hits }, k) => {
      const ideal = idealGain(hitsUpTo(hits, Math.max(k, KGAT_DEPTH)), k);
      return ideal === 0 ? 0 : discountedGain(hits, k) / ideal;
    },
  },
  /** Share of relevant items among the first k; a list that is shorter counts as k long. */
  precision: { depth: upToK, value: ({ hits }, k) => hitsUpTo(hits, k) / k },
  /** 1 if there is a hit among the first k. */
  hitRate: { depth: upToK, value: ({ hits }, k) => (hitsUpTo(hits, k) > 0 ? 1 : 0) },
  /** 1 / rank of the first hit, 0 if it is not among the first k. */
  mrr: { depth: upToK, value: ({ hits }, k) => 1 / firstHit(hits, k) },
};
