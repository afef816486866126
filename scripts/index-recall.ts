// What an export's lists are worth in a real engine: the SQL of `hyper-know export --to pgvector`, full scan and HNSW index, run by PostgreSQL with
// pgvector in this process, beside the model's own lists.
//
//   node --import tsx scripts/index-recall.ts MODEL [--users 500] [--k 20] [--ef 200,100,…] [--json]
//
// --ef: other values of hnsw.ef_search than the one the export sets, to be tried beside it. Expected: recall@k over users evenly spread over all, of
// the function recommend(), what the user has seen left out, and of similar_items() over as many items; the worst list, and the milliseconds of a
// query. Exit status 1 where the recall of the full scan is not 1.0000, or that of the index, as the export sets it, below 0.99. Time: seconds
// for thousands of items, minutes for 48,123 of 64 dimensions, most of it for building the index.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { exportModel, type Id, Model } from '../lib/index.ts';
import { byDistance } from '../lib/model.ts';
import { command, digits, integer, list, machine, sentence, textOf } from './bench/document.ts';
import { loadExport, openDatabase } from './index-recall/pglite.ts';

/** A full scan has to be 1.0000. */
const LEAST = { none: 0.99995, hnsw: 0.99 } as const;

interface Row {
  index: 'none' | 'hnsw';
  /** null: as the export sets it. */
  ef: number | null;
  call: 'recommend' | 'similar_items';
  recall: number;
  worst: number;
  millisecondsPerQuery: number;
  loadSeconds: number;
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    options: {
      users: { type: 'string', default: '500' },
      k: { type: 'string', default: '20' },
      ef: { type: 'string', default: '' },
      json: { type: 'boolean', default: false },
    },
    allowPositionals: true,
  });
  if (positionals.length !== 1) throw new TypeError('MODEL: the path of one saved model is needed');
  const wanted = integer('users', values.users);
  const k = integer('k', values.k, 1, 1000);
  const efs = list(values.ef).map((text) => integer('ef', text, 1, 1000)); // pgvector's most
  const about = machine('cpu');
  const model = byDistance(await Model.load(positionals[0]!)); // neighbours that a model blends into its lists are not in the vectors
  const folder = mkdtempSync(join(tmpdir(), 'hyper-know-index-'));
  const rows: Row[] = [];
  let certificate = 1;
  try {
    for (const index of ['none', 'hnsw'] as const) {
      const out = join(folder, index);
      certificate = Math.min(certificate, (await exportModel(model, { to: 'pgvector', out, index })).recall);
      const database = await openDatabase();
      const began = performance.now();
      await loadExport(database, out);
      const loadSeconds = (performance.now() - began) / 1000;
      if (index === 'hnsw') await insistOnIndex(database);
      for (const ef of index === 'none' ? [null] : [null, ...efs]) {
        for (const call of ['recommend', 'similar_items'] as const) {
          if (ef !== null) await database.exec(`ALTER FUNCTION hyper_know.${call} SET hnsw.ef_search = ${ef}`);
          const ids = evenly(call === 'recommend' ? model.userIds : model.itemIds, wanted);
          let [found, worst, milliseconds] = [0, 1, 0];
          for (const id of ids) {
            const expected = new Set((call === 'recommend' ? model.recommend(id, k) : model.similarItems(id, k)).map(({ item }) => item));
            const started = performance.now();
            const answer = await database.query<{ item_id: Id }>(`SELECT item_id FROM hyper_know.${call}($1, ${k})`, [id]);
            milliseconds += performance.now() - started;
            const share = answer.rows.filter(({ item_id }) => expected.has(item_id)).length / expected.size;
            found += share;
            worst = Math.min(worst, share);
          }
          const [recall, millisecondsPerQuery] = [found / ids.length, milliseconds / ids.length];
          rows.push({ index, ef, call, recall, worst, millisecondsPerQuery, loadSeconds });
        }
      }
      await database.close().catch(() => {}); // PGlite 0.3.16 crashes here where functions on vectors were called
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  const items = model.itemIds.length;
  if (values.json)
    console.log(JSON.stringify({ schema: 'hyper-know/index-recall/1', ...about, items, dim: model.dim, k, certificate, rows }));
  else {
    console.log(`${sentence({ benchmark: 'index-recall', backend: 'cpu', ...about, tables: [] })}\n`);
    console.log(
      textOf({
        title: `${digits(items)} items × ${model.dim}, pgvector in PGlite; certificate of the vectors ${certificate.toFixed(4)}`,
        columns: ['index, call', `recall@${k}`, 'worst list', 'ms/query', 'loading, s'],
        rows: rows.map(({ index, ef, call, recall, worst, millisecondsPerQuery, loadSeconds }) => [
          `${index === 'none' ? 'full scan' : `HNSW, ef_search ${ef ?? 'as exported'}`}, ${call}`,
          recall.toFixed(4),
          worst.toFixed(2),
          millisecondsPerQuery.toFixed(1),
          loadSeconds.toFixed(1),
        ]),
      }),
    );
  }
  return rows.some(({ index, ef, recall }) => ef === null && recall < LEAST[index]) ? 1 : 0;
}

/** Few items are scanned faster than looked up. */
async function insistOnIndex(database: Awaited<ReturnType<typeof openDatabase>>): Promise<void> {
  await database.exec('SET enable_seqscan = off');
  const { rows } = await database.query(
    'EXPLAIN SELECT id FROM hyper_know.items ORDER BY vector <-> (SELECT query FROM hyper_know.users LIMIT 1) LIMIT 20',
  );
  if (!/Index Scan using items_vector/.test(JSON.stringify(rows))) throw new Error(`the index is not used: ${JSON.stringify(rows)}`);
}

function evenly(ids: readonly Id[], wanted: number): Id[] {
  const count = Math.min(wanted, ids.length);
  return Array.from({ length: count }, (_, i) => ids[Math.floor((i * ids.length) / count)]!);
}

await command(main);
