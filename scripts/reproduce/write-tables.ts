import { join } from 'node:path';
import { writeText } from '../../lib/report/run-folder.ts';
import { type PaperTable, TABLE_FORMATS, tableAs } from '../../lib/report/tables/table.ts';

/** Writes OUT/tables/tableN.{md,csv,tex,json}, each whole or not at all, and prints the tables. */
export async function writeTables(tables: readonly PaperTable[], out: string): Promise<void> {
  for (const table of tables) {
    for (const format of TABLE_FORMATS) await writeText(join(out, 'tables', `table${table.number}.${format}`), tableAs(table, format));
    console.log(`\n${tableAs(table, 'md').trimEnd()}`);
  }
  process.stderr.write(
    `wrote ${join(out, 'tables')}: table${tables.map(({ number }) => number).join(', ')} as ${TABLE_FORMATS.join(', ')}\n`,
  );
}
