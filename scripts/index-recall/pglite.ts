// PostgreSQL with pgvector in this process, and an export in it.
import { PGlite } from '@electric-sql/pglite';
import { vector } from '@electric-sql/pglite/vector';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

export function openDatabase(): Promise<PGlite> {
  return PGlite.create({ extensions: { vector } });
}

/** What the export's load.sql tells psql to do; \copy becomes COPY from memory. */
export async function loadExport(database: PGlite, folder: string): Promise<void> {
  const read = (name: string) => readFileSync(join(folder, name), 'utf8');
  for (const line of read('load.sql').split('\n')) {
    const [, script] = /^\\i (\S+)$/.exec(line) ?? [];
    const [, table, file] = /^\\copy (.+) FROM '(\S+)'$/.exec(line) ?? [];
    if (script) await database.exec(read(script));
    else if (table) await database.query(`COPY ${table} FROM '/dev/blob'`, [], { blob: new Blob([read(file!)]) });
    else await database.exec(line);
  }
}
