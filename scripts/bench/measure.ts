/**
 * Timing. Everything that is measured is measured several times after a warm-up and reported as a median with its spread; what is compared
 * takes turns in one process, so that a disturbance of the machine meets all contenders alike.
 */
import { quantile } from '../../lib/statistics.ts';

/** How long something took, or how much memory, over several runs. Less is better: rates carry no `median` and are not compared. */
export interface Spread {
  median: number;
  smallest: number;
  largest: number;
  lowerQuartile: number;
  upperQuartile: number;
  runs: number;
}

export function spread(values: readonly number[]): Spread {
  if (values.length === 0) throw new RangeError('values: there must be at least one');
  return {
    median: quantile(values, 0.5),
    smallest: Math.min(...values),
    largest: Math.max(...values),
    lowerQuartile: quantile(values, 0.25),
    upperQuartile: quantile(values, 0.75),
    runs: values.length,
  };
}

/** Every number of a spread times `factor`: seconds a call into seconds a query, say. */
export function times({ runs, ...numbers }: Spread, factor: number): Spread {
  return { ...(Object.fromEntries(Object.entries(numbers).map(([name, value]) => [name, value * factor])) as Omit<Spread, 'runs'>), runs };
}

export interface Contender {
  name: string;
  /** One turn. A number it returns is what it took, in seconds; otherwise its wall time is. */
  run: () => unknown;
}

/**
 * Runs the contenders in turns, `warmUp` rounds unmeasured and then `rounds` measured, and returns the seconds of each by name. Every other
 * round goes backwards, so that nobody always comes after the same neighbour.
 */
export async function takeTurns(
  contenders: readonly Contender[],
  { rounds, warmUp = 1 }: { rounds: number; warmUp?: number },
): Promise<Map<string, number[]>> {
  const seconds = new Map(contenders.map(({ name }): [string, number[]] => [name, []]));
  if (seconds.size !== contenders.length) throw new RangeError('contenders: two have the same name');
  for (let round = -warmUp; round < rounds; ++round)
    for (const { name, run } of round % 2 === 0 ? contenders : contenders.toReversed()) {
      const started = performance.now();
      const result = await run();
      const taken = typeof result === 'number' ? result : (performance.now() - started) / 1000;
      if (round >= 0) seconds.get(name)!.push(taken);
    }
  return seconds;
}

/** One thing alone, with its last result. */
export async function timed<T>(
  runs: number,
  work: () => T | Promise<T>,
  { warmUp = 0 }: { warmUp?: number } = {},
): Promise<{ result: T; seconds: number[] }> {
  let result!: T;
  const run = async () => {
    const started = performance.now();
    result = await work();
    return (performance.now() - started) / 1000;
  };
  const seconds = (await takeTurns([{ name: 'work', run }], { rounds: runs, warmUp })).get('work')!;
  return { result, seconds };
}

/** Ratios of times, without a `median`, which a comparison of two documents would take for a time. */
export interface Ratio {
  middle: number;
  smallest: number;
  largest: number;
}

/** How many times as long as `ours` each run of `theirs` took, round by round: both met the same machine in a round. */
export function ratio(theirs: readonly number[], ours: readonly number[]): Ratio {
  if (theirs.length !== ours.length) throw new RangeError(`theirs: must have one value for each of ours, ${ours.length}`);
  const { median, smallest, largest } = spread(theirs.map((value, round) => value / ours[round]!));
  return { middle: median, smallest, largest };
}
