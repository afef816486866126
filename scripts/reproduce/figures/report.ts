// OUT/report.html: all figures whose data are there, the tables and the protocol, in one file that needs nothing else.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { FIGURES } from './draw.ts';
import { pageOf } from './page.ts';
import { readJson, writeText } from './store.ts';
import type { FigureData } from './types.ts';

/** The figures whose data are in the folder, in the order of the page. */
export function figuresIn(folder: string): FigureData[] {
  return Object.values(FIGURES).flatMap(({ file }) => {
    const path = join(folder, `${file}.json`);
    if (!existsSync(path)) return [];
    return [JSON.parse(readFileSync(path, 'utf8')) as FigureData];
  });
}

/** Returns the path. */
export async function writeReport(out: string): Promise<string> {
  const path = join(out, 'report.html');
  await writeText(path, await pageOf(figuresIn(join(out, 'figures')), readJson(join(out, 'results.json'))));
  return path;
}
