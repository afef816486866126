// The SQL that an export writes, run by PostgreSQL with pgvector in this process: its lists are the model's.
import type { PGlite } from '@electric-sql/pglite';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createDataset } from '../lib/data/dataset.ts';
import { synthetic } from '../lib/data/synthetic.ts';
import { type ExportReport, exportModel } from '../lib/export/index.ts';
import { Model } from '../lib/model.ts';
import { train } from '../lib/train.ts';
import type { VariantName } from '../lib/variants.ts';
import { loadExport, openDatabase } from '../scripts/index-recall/pglite.ts';
import { temporaryFolder } from './helpers.ts';

const suiteOf = suite('pgvector');
const folder = temporaryFolder();
const dataset = synthetic({ users: 300, items: 2000, seed: 3 });
const models = new Map<VariantName, Model>();
/** A fresh one for every test: one that has called functions on vectors crashes at the next DDL statement (PGlite 0.3.16). */
let database: PGlite;

suiteOf.before(async () => {
  for (const variant of ['hyper-know', 'bpr-att-e'] as const)
    models.set(variant, await train(dataset, { variant, dim: 32, epochs: 60, batchSize: 512, seed: 2 }));
});
suiteOf.before.each(async () => {
  database = await openDatabase();
});
suiteOf.after.each(() => database.close().catch(() => {})); // that crashes it, too

type Row = { item_id: string; distance: number };

async function recall(model: Model, schema: string, call: string, truth: (id: string) => Row[], ids: readonly unknown[]): Promise<number> {
  let found = 0;
  for (const id of ids as string[]) {
    const expected = truth(id);
    const { rows } = await database.query<Row>(`SELECT * FROM ${schema}.${call}($1, 20)`, [id]);
    assert.is(rows.length, 20);
    found += rows.filter(({ item_id }) => expected.some((row) => row.item_id === item_id)).length / 20;
    rows.forEach(({ distance }, i) => {
      if (i > 0) assert.ok(rows[i - 1]!.distance <= distance * (1 + 1e-4));
      const own = expected.find(({ item_id }) => item_id === rows[i]!.item_id);
      // cosh of a small distance keeps few digits of it.
      if (own) assert.ok(Math.abs(distance - own.distance) <= 1e-2 / Math.sqrt(model.curvature || 1), `${distance}, not ${own.distance}`);
    });
  }
  return found / ids.length;
}

for (const variant of ['hyper-know', 'bpr-att-e'] as const)
  for (const index of ['none', 'hnsw'] as const)
    suiteOf(`${variant}, index ${index}: recommend and similar_items are the model's`, async () => {
      const model = models.get(variant)!;
      const schema = `${variant.replaceAll('-', '_')}_${index}`;
      const out = join(folder, schema);
      const report = await exportModel(model, { to: 'pgvector', out, index, schema });
      await loadExport(database, out);
      assert.is(report.recall.toFixed(4), '1.0000');
      assert.is(readFileSync(join(out, 'functions.sql'), 'utf8').includes('CREATE INDEX'), index === 'hnsw');
      const least = index === 'hnsw' ? 0.99 : 1;
      const users = model.userIds.filter((_, user) => user % 3 === 0);
      const asRows = (list: { item: unknown; distance: number }[]) =>
        list.map(({ item, distance }) => ({ item_id: item as string, distance }));
      if (index === 'hnsw') {
        await database.exec('SET enable_seqscan = off');
        const { rows } = await database.query<Record<string, string>>(
          `EXPLAIN SELECT id FROM ${schema}.items ORDER BY vector <-> (SELECT query FROM ${schema}.users LIMIT 1) LIMIT 20`,
        );
        assert.match(JSON.stringify(rows), /Index Scan using items_vector/);
      }
      const found = await recall(model, schema, 'recommend', (id) => asRows(model.recommend(id, 20)), users);
      assert.ok(found >= least, `recall@20 of recommend: ${found}`);
      const alike = await recall(model, schema, 'similar_items', (id) => asRows(model.similarItems(id, 20)), model.itemIds.slice(0, 60));
      assert.ok(alike >= least, `recall@20 of similar_items: ${alike}`);
      assert.equal((await database.query(`SELECT * FROM ${schema}.recommend('nobody')`)).rows, []);
      assert.equal((await database.query(`SELECT * FROM ${schema}.recommend($1, 3)`, [users[0]])).rows.length, 3);
    });

suiteOf('far out, an index by inner product loses much of what the one by L2 finds, which is why it is never written', async () => {
  const model = farOut(models.get('hyper-know')!);
  const found: Record<string, number> = {};
  for (const [index, operators, operator] of [
    ['none', 'vector_ip_ops', '<#>'],
    ['hnsw', 'vector_l2_ops', '<->'],
  ] as const) {
    const schema = `far_${index}`;
    const out = join(folder, schema);
    const { recall: exact } = await exportModel(model, { to: 'pgvector', out, index, schema });
    assert.is(exact.toFixed(4), '1.0000');
    await loadExport(database, out);
    if (index === 'none') await database.exec(`CREATE INDEX wrong ON ${schema}.items USING hnsw (vector ${operators})`);
    await database.exec('SET enable_seqscan = off; SET hnsw.ef_search = 200');
    found[index] = 0;
    const users = model.userIds.filter((_, user) => user % 10 === 0);
    for (const user of users) {
      const expected = model.recommend(user, 20, { exclude: 'none' }).map(({ item }) => item);
      const { rows } = await database.query<{ id: string }>(
        `SELECT id FROM ${schema}.items ORDER BY vector ${operator} (SELECT query FROM ${schema}.users WHERE id = $1) LIMIT 20`,
        [user],
      );
      found[index] += rows.filter(({ id }) => expected.includes(id)).length / 20 / users.length;
    }
    await database.close().catch(() => {});
    database = await openDatabase();
  }
  console.log(
    `recall@20 of HNSW, points at radii of 0.9 to 0.98: by inner product ${found.none!.toFixed(3)}, by L2 ${found.hnsw!.toFixed(3)}`,
  );
  assert.ok(found.none! < found.hnsw! - 0.15, JSON.stringify(found));
});

suiteOf(
  'scripts/index-recall.ts: full scan and index as exported are as they should be, and it sees when too few candidates are kept',
  async () => {
    const path = join(folder, 'model.safetensors');
    await models.get('hyper-know')!.save(path);
    const script = fileURLToPath(new URL('../scripts/index-recall.ts', import.meta.url));
    const args = ['--import', import.meta.resolve('tsx'), script, path, '--users', '60', '--ef', '1', '--json'];
    const { stdout } = await promisify(execFile)(process.execPath, args); // rejects where the status is not 0
    const { schema, certificate, rows } = JSON.parse(stdout);
    assert.equal([schema, certificate], ['hyper-know/index-recall/1', 1]);
    assert.equal(
      rows.map(({ index, ef, call }: Record<string, unknown>) => [index, ef, call]),
      [
        ['none', null, 'recommend'],
        ['none', null, 'similar_items'],
        ['hnsw', null, 'recommend'],
        ['hnsw', null, 'similar_items'],
        ['hnsw', 1, 'recommend'],
        ['hnsw', 1, 'similar_items'],
      ],
    );
    const recalls = rows.map(({ recall }: { recall: number }) => recall);
    assert.ok(recalls[0] === 1 && recalls[1] === 1 && recalls[2] >= 0.99 && recalls[3] >= 0.99, recalls.join());
    // recommend() leaves out what was seen, and so looks on until it has enough.
    assert.ok(recalls[5] < recalls[3] && rows[5].worst <= recalls[5], recalls.join());
  },
);

/** The model with its points at radii from 0.9 to 0.98 of the ball, directions kept. */
function farOut(model: Model): Model {
  const { dim, curvature } = model;
  const moved = (table: Float32Array) =>
    table.map((x, i) => {
      const row = table.subarray(i - (i % dim), i - (i % dim) + dim);
      const radius = 0.9 + ((0.08 * ((i / dim) | 0) * 7919) % 0.08);
      return (x * radius) / Math.hypot(...row) / Math.sqrt(curvature);
    });
  return new Model({ ...model, users: moved(model.users), entities: moved(model.entities) });
}

for (const kind of ['text', 'integers'] as const)
  suiteOf(`ids that are ${kind} come through`, async () => {
    const odd = ['tab\there', 'line\nbreak', 'back\\slash', "quote's", '\\N', 'Zürich 東京', '', '\u007f{"a"}'];
    const data =
      kind === 'text'
        ? createDataset(
            { interactions: odd.map((item, i) => ({ user: i < 4 ? 'a\\\n' : 'b', item })), triples: [] },
            { validationFraction: 0 },
          )
        : createDataset(
            { interactions: [-5, 7, 2 ** 53 - 1, 0].map((item, i) => ({ user: i % 2, item })), triples: [] },
            { validationFraction: 0 },
          );
    const model = await train(data, { dim: 4, epochs: 2 });
    const out = join(folder, kind);
    const report: ExportReport = await exportModel(model, { to: 'pgvector', out, schema: kind });
    assert.equal(
      report.files.map(({ name }) => name),
      ['schema.sql', 'items.copy', 'users.copy', 'seen.copy', 'functions.sql', 'load.sql'],
    );
    await loadExport(database, out);
    for (const user of model.userIds) {
      const { rows } = await database.query<{ item_id: unknown }>(`SELECT item_id FROM ${kind}.recommend($1)`, [user]);
      const expected = model.recommend(user).map(({ item }) => item);
      assert.equal(rows.map(({ item_id }) => item_id).sort(), expected.sort());
      assert.ok(expected.length > 0);
    }
  });

suiteOf.run();
