// One run = one method with one seed on one data set. A finished run is a file named by the digest of everything that decides its result, so
// the same command continues where it stopped, and other options never meet old results.
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** Everything that decides the result of a run; plain JSON. */
export interface RunKey {
  dataset: Record<string, unknown>;
  method: string;
  /** null: the method knows none. */
  seed: number | null;
  options: Record<string, unknown>;
  version: string;
}

/** Metrics of one run on the test split: means, and each user's values for paired tests. */
export interface RunResult {
  key: RunKey;
  /** Metric name, such as `recall@20` → mean over users. */
  metrics: Record<string, number>;
  /** Metric name → one value per user with a test item, in ascending order of users. */
  perUser: Record<string, number[]>;
  /** Epochs trained and the epoch whose parameters were kept; absent for controls. */
  epochs?: number;
  bestEpoch?: number;
  /** Validation recall@20 of that epoch, or of the setting that a control chose: by which it was selected. */
  validationRecall?: number;
  /** What a control chose on validation. */
  setting?: unknown;
  /** Median training time of an epoch, and of the whole run with evaluation, in seconds. */
  epochSeconds?: number;
  seconds: number;
}

const digest = (key: RunKey): string => createHash('sha256').update(JSON.stringify(key)).digest('hex').slice(0, 16);

export const runFile = (out: string, key: RunKey): string =>
  join(out, 'runs', `${key.method}${key.seed === null ? '' : `-seed${key.seed}`}-${digest(key)}.json`);

/** The result of a run that is finished, or undefined. A file that is damaged counts as none. */
export function finishedRun(out: string, key: RunKey): RunResult | undefined {
  try {
    const result = JSON.parse(readFileSync(runFile(out, key), 'utf8')) as RunResult;
    return JSON.stringify(result.key) === JSON.stringify(key) ? result : undefined;
  } catch {
    return undefined;
  }
}

/** Writes a file so that it is there whole or not at all. */
export function writeWhole(file: string, text: string): void {
  mkdirSync(dirname(file), { recursive: true });
  const temporary = `${file}.${process.pid}.tmp`;
  writeFileSync(temporary, text);
  renameSync(temporary, file);
}
