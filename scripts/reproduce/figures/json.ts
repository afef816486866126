import { readFileSync } from 'node:fs';
import { writeText } from '../../../lib/report/run-folder.ts';

export const writeJson = (path: string, value: unknown): Promise<void> => writeText(path, `${JSON.stringify(value)}\n`);

/** A document, or undefined where there is none, or it is damaged. */
export function readJson(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return undefined;
  }
}
