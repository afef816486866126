import { mean, meanAndDeviation, pairedTTest } from '../statistics.ts';

/** What of a run a comparison needs. */
export interface ComparedRun {
  metrics: Record<string, number>;
  perUser: Record<string, number[]>;
  epochSeconds?: number;
}

/** A method over its seeds. */
export interface Row {
  method: string;
  label: string;
  seeds: number;
  metrics: Record<string, { mean: number; sd: number }>;
  /** Hyper-Know minus this method, per user (each user's mean over the seeds); absent for Hyper-Know itself. */
  againstHyperKnow?: Record<string, { difference: number; t: number; p: number; users: number }>;
  epochSeconds?: number;
}

export const averageOverSeeds = (results: readonly ComparedRun[], metric: string): number[] =>
  results[0]!.perUser[metric]!.map((_, user) => mean(results.map((result) => result.perUser[metric]![user]!)));

/** The method that the others are tested against. */
export const REFERENCE = 'hyper-know';

/** Rows in the order of `methods`; a method without a finished run is left out. */
export function comparisonRows(
  methods: readonly { name: string; label: string }[],
  results: ReadonlyMap<string, readonly ComparedRun[]>,
  metrics: readonly string[],
): Row[] {
  const reference = results.get(REFERENCE);
  return methods.flatMap(({ name, label }) => {
    const runs = results.get(name);
    if (runs === undefined || runs.length === 0) return [];
    const row: Row = { method: name, label, seeds: runs.length, metrics: {} };
    for (const metric of metrics) {
      const values = runs.map((run) => run.metrics[metric]!);
      row.metrics[metric] = meanAndDeviation(values);
    }
    const seconds = runs.flatMap((run) => (run.epochSeconds === undefined ? [] : [run.epochSeconds]));
    if (seconds.length > 0) row.epochSeconds = mean(seconds);
    if (name !== REFERENCE && reference !== undefined && reference.length > 0) {
      row.againstHyperKnow = {};
      for (const metric of metrics) {
        const { difference, t, p, pairs } = pairedTTest(averageOverSeeds(reference, metric), averageOverSeeds(runs, metric));
        row.againstHyperKnow[metric] = { difference, t, p, users: pairs };
      }
    }
    return [row];
  });
}
