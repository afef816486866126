// OUT/report.html: all figures whose data are there, the tables and the protocol, in one file that needs nothing else.
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { writeText } from '../../../lib/report/run-folder.ts';
import { TABLES } from '../../../lib/report/tables/paper-tables.ts';
import { drawingsOf, FIGURES } from './draw.ts';
import { pageOf } from './page.ts';
import { readJson } from './json.ts';
import type { FigureData } from './types.ts';

/** The figures whose data are in the folder, in the order of the page. */
export function figuresIn(folder: string): FigureData[] {
  return Object.values(FIGURES).flatMap(({ file }) => {
    const path = join(folder, `${file}.json`);
    if (!existsSync(path)) return [];
    return [JSON.parse(readFileSync(path, 'utf8')) as FigureData];
  });
}

/** The SVG files of a figure. Of a disk those of entities that it no longer has go. */
export async function writeDrawings(folder: string, data: FigureData): Promise<void> {
  const drawings = drawingsOf(data);
  for (const [name, svg] of drawings) await writeText(join(folder, name), svg);
  if (data.figure !== 'disk') return;
  for (const name of readdirSync(folder)) if (/^figure3-.*\.svg$/.test(name) && !drawings.has(name)) rmSync(join(folder, name));
}

/** The page of a folder: the comparison and the paper's tables are in it where they were made. */
export function reportPage(out: string): Promise<string> {
  const tables = TABLES.flatMap((number) => readJson(join(out, 'tables', `table${number}.json`)) ?? []);
  return pageOf({ figures: figuresIn(join(out, 'figures')), results: readJson(join(out, 'results.json')), tables });
}

/** Returns the path. */
export async function writeReport(out: string): Promise<string> {
  const path = join(out, 'report.html');
  await writeText(path, await reportPage(out));
  return path;
}
