import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { asyncBufferFromFile, parquetReadObjects } from 'hyparquet';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createDataset } from '../../lib/data/dataset.ts';
import { finish } from '../../lib/data/steps.ts';
import { synthetic } from '../../lib/data/synthetic.ts';
import { certify } from '../../lib/export/certificate.ts';
import { encode } from '../../lib/export/encoding.ts';
import { type ExportOptions, type ExportReport, type ExportTarget, exportModel } from '../../lib/export/index.ts';
import { float32Text } from '../../lib/export/text.ts';
import { Model } from '../../lib/model.ts';
import { train } from '../../lib/train.ts';
import { seededRandom, temporaryFolder } from '../helpers.ts';
import { distance, row } from '../points.ts';

const suiteOf = suite('export');
const folder = temporaryFolder();
const dataset = synthetic({ users: 60, items: 100, interactionsPerUser: [8, 14], seed: 5 });
let models: Model[] = [];
suiteOf.before(async () => {
  models = await Promise.all(
    (['hyper-know', 'bpr-att-e'] as const).map((variant) => train(dataset, { variant, dim: 12, epochs: 25, batchSize: 128, seed: 4 })),
  );
});

const dot = (x: ArrayLike<number>, y: ArrayLike<number>) => Array.from(x).reduce((sum, value, i) => sum + value * y[i]!, 0);

suiteOf('both encodings give back every distance', () => {
  for (const model of models)
    for (const name of ['lorentz', 'augmented-l2'] as const) {
      const encoding = finish(encode(model, name));
      const { columns, items, users, base, factor, metric } = encoding;
      const { dim, curvature } = model;
      assert.is(columns, curvature === 0 ? dim : name === 'lorentz' ? dim + 1 : dim + 2);
      assert.is(metric, name === 'lorentz' && curvature > 0 ? 'inner product' : 'l2');
      for (let user = 0; user < 60; user += 7)
        for (let item = 0; item < 100; item += 9) {
          const [q, v] = [row(users, user, columns), row(items, item, columns)];
          const expected = distance(row(model.users, user, dim), row(model.entities, item, dim), curvature);
          const l2 = Math.hypot(...Array.from(q, (x, i) => x - v[i]!));
          const product = metric === 'l2' ? 1 - (l2 * l2) / 2 : dot(q, v);
          const found = base ? Math.acosh(base[user]! + factor![user]! * product) / Math.sqrt(curvature) : 2 * l2;
          assert.ok(Math.abs(found / expected - 1) < 2e-3, `${found}, not ${expected}`);
          if (name === 'augmented-l2' && curvature > 0)
            for (const vector of [q, v]) assert.ok(Math.abs(dot(vector, vector) - 1) < 1e-6, 'unit vectors');
        }
    }
});

suiteOf('the certificate sees what an encoding loses', () => {
  const [model] = models;
  const encoding = finish(encode(model!, 'lorentz'));
  const good = finish(certify(model!, encoding, 20, 60));
  assert.equal([good.recall, good.worstUser, good.users, good.k], [1, 1, 60, 20]);
  assert.ok(good.distanceError < 1e-3);
  assert.equal(good.warnings, []);
  const random = seededRandom(1);
  const noisy = { ...encoding, items: encoding.items.map((x) => x * (1 + 0.5 * random())) };
  const bad = finish(certify(model!, noisy, 20, 60));
  assert.ok(bad.recall < 0.95 && bad.worstUser <= bad.recall, `${bad.recall}`);
  assert.match(bad.warnings[0]!, /^a full scan of the vectors as written finds 0\.\d+ of the nearest 20 items/);
  const far = new Model({ ...model!, entities: model!.entities.slice() });
  far.entities.fill(0, 0, 12);
  far.entities[0] = 0.999 / Math.sqrt(far.curvature);
  const warned = finish(certify(far, finish(encode(far, 'augmented-l2')), 20, 60));
  assert.match(warned.warnings[0]!, /radius 0\.99900\d; beyond 0\.996 a graph index loses items/);
});

suiteOf('float32 as text is the same number again', () => {
  const random = seededRandom(2);
  const numbers = new Float32Array([0, -0, 1, 1e-45, 3.4e38, 0.1, 1 / 3, -16777217]);
  for (const x of numbers) assert.is(Math.fround(Number(float32Text(x))), x === 0 ? 0 : x);
  for (let i = 0; i < 10_000; ++i) {
    const x = Math.fround((random() - 0.5) * 10 ** Math.floor(20 * random() - 10));
    assert.is(Math.fround(Number(float32Text(x))), x);
  }
});

/** What each target writes, read back: items and queries by row, ids, and the constants of distances. */
interface ReadBack {
  items: number[][];
  users: number[][];
  itemIds: unknown[];
  userIds: unknown[];
  base?: number[];
}

const text = (path: string, name: string) => readFileSync(join(path, name), 'utf8');
const linesOf = (path: string, name: string) => text(path, name).trimEnd().split(/\r?\n/);

const readers: Partial<Record<ExportTarget, (path: string) => Promise<ReadBack>>> = {
  async csv(path) {
    const rows = (name: string) =>
      linesOf(path, name)
        .slice(1)
        .map((line) => line.split(','));
    return {
      items: rows('items.csv').map(([, ...vector]) => vector.map(Number)),
      users: rows('queries.csv').map(([, , , ...vector]) => vector.map(Number)),
      itemIds: rows('items.csv').map(([id]) => id),
      userIds: rows('queries.csv').map(([id]) => id),
      base: rows('queries.csv').map(([, base]) => Number(base)),
    };
  },
  async qdrant(path) {
    const points = linesOf(path, 'points.ndjson').map((line) => JSON.parse(line));
    const queries = linesOf(path, 'queries.ndjson').map((line) => JSON.parse(line));
    const { vectors } = JSON.parse(text(path, 'collection.json'));
    assert.is(vectors.size, points[0].vector.length);
    assert.is(vectors.distance, queries[0].search.params.exact ? 'Dot' : 'Euclid');
    assert.equal(
      points.map(({ id }) => id),
      points.map((_, i) => i),
    );
    const model = models[0]!;
    assert.equal(queries[3].search.filter.must_not[0].has_id, [...model.seen.items.subarray(model.seen.offsets[3], model.seen.offsets[4])]);
    return {
      items: points.map(({ vector }) => vector),
      users: queries.map(({ search }) => search.query),
      itemIds: points.map(({ payload }) => payload.item),
      userIds: queries.map(({ user }) => user),
      base: queries.map(({ base }) => base),
    };
  },
  async parquet(path) {
    const rows = async (name: string) => parquetReadObjects({ file: await asyncBufferFromFile(join(path, name)) });
    const [items, queries] = [await rows('items.parquet'), await rows('queries.parquet')];
    return {
      items: items.map(({ vector }) => vector),
      users: queries.map(({ vector }) => vector),
      itemIds: items.map(({ item }) => item),
      userIds: queries.map(({ user }) => user),
      base: queries.map(({ base }) => base),
    };
  },
  npy: readNpy,
  faiss: readNpy,
};

async function readNpy(path: string): Promise<ReadBack> {
  const table = (name: string) => {
    const bytes = readFileSync(join(path, name));
    assert.is(bytes.toString('latin1', 0, 6), '\u0093NUMPY');
    const begin = 10 + bytes.readUInt16LE(8);
    assert.is(begin % 64, 0);
    const header = bytes.toString('latin1', 10, begin);
    const [, columns] = /^\{'descr': '<f4', 'fortran_order': False, 'shape': \(\d+, (\d+)\), \} *\n$/.exec(header)!;
    const numbers = new Float32Array(bytes.buffer.slice(bytes.byteOffset + begin, bytes.byteOffset + bytes.length));
    return Array.from({ length: numbers.length / Number(columns) }, (_, i) => [...row(numbers, i, Number(columns))]);
  };
  const list = (name: string) => JSON.parse(text(path, name));
  return { items: table('items.npy'), users: table('queries.npy'), itemIds: list('item_ids.json'), userIds: list('user_ids.json') };
}

for (const to of ['csv', 'qdrant', 'parquet', 'npy', 'faiss'] as const)
  suiteOf(`${to}: what is written is the encoding, to the bit`, async () => {
    for (const [i, model] of models.entries())
      for (const index of ['none', 'hnsw'] as const) {
        const out = join(folder, `${to}-${i}-${index}`);
        const report = await exportModel(model, { to, out, index });
        const encoding = finish(encode(model, index === 'hnsw' ? 'augmented-l2' : 'lorentz'));
        assert.equal([report.encoding, report.columns, report.recall], [encoding.name, encoding.columns, 1]);
        if (i === 1 && to === 'qdrant') continue; // Euclidean: distance Euclid in both
        const found = await readers[to]!(out);
        const rows = (table: Float32Array) =>
          Array.from({ length: table.length / encoding.columns }, (_, at) => [...row(table, at, encoding.columns)]);
        const rounded = (list: number[][]) => list.map((vector) => vector.map(Math.fround));
        assert.equal(rounded(found.items), rows(encoding.items));
        assert.equal(rounded(found.users), rows(encoding.users));
        assert.equal(found.itemIds, model.itemIds);
        assert.equal(found.userIds, model.userIds);
        if (found.base && encoding.base) assert.equal(found.base, [...encoding.base]);
        const written = JSON.parse(text(out, 'certificate.json')) as ExportReport;
        assert.equal(written, report);
        assert.equal([...report.files.map(({ name }) => name), 'certificate.json'].sort(), readdirSync(out).sort());
        for (const { name, bytes, sha256 } of report.files) {
          const content = readFileSync(join(out, name));
          assert.equal([content.length, createHash('sha256').update(content).digest('hex')], [bytes, sha256]);
        }
      }
  });

suiteOf('NumPy reads the arrays', async () => {
  const out = join(folder, 'numpy');
  await exportModel(models[0]!, { to: 'npy', out });
  const program = `
import sys
try:
    import numpy as np
except ImportError:
    print("absent"); sys.exit()
items, queries, base, factor = (np.load(f"{sys.argv[1]}/{n}.npy") for n in ("items", "queries", "base", "factor"))
print(items.shape, queries.shape, base.shape, base.dtype, factor.dtype, items.dtype)
print(*np.argsort(-(items @ queries[3]), kind="stable")[:20])`;
  let output = 'absent';
  try {
    output = execFileSync('python3', ['-c', program, out], { encoding: 'utf8' });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  if (output.trim() === 'absent') {
    console.log('skipped: no python3 with NumPy');
    return;
  }
  const [shapes, ranked] = output.trim().split('\n');
  assert.is(shapes, '(100, 13) (60, 13) (60,) float64 float64 float32');
  const expected = models[0]!.recommend('user-3', 20, { exclude: 'none' }).map(({ item }) => models[0]!.itemIds.indexOf(item));
  assert.equal(ranked!.split(' ').map(Number), expected);
});

suiteOf('a folder is written whole or not at all, and only an export is ever replaced', async () => {
  const model = models[0]!;
  const failing = async (options: Partial<ExportOptions> & { to?: ExportTarget }) =>
    exportModel(model, { to: 'csv', out: join(folder, 'whole'), ...options }).then(
      () => 'no error',
      (error: Error) => error.message,
    );
  mkdirSync(join(folder, 'precious'));
  writeFileSync(join(folder, 'precious', 'thesis.txt'), 'x');
  assert.match(await failing({ out: join(folder, 'precious') }), /^precious: it is there already; the option overwrite/);
  assert.match(await failing({ out: join(folder, 'precious'), overwrite: true }), /^precious: it is there already and is no export/);
  assert.ok(existsSync(join(folder, 'precious', 'thesis.txt')));
  assert.match(await failing({ out: join(folder, 'no', 'such', 'place') }), /^place: it cannot be written/); // as for imports and models
  assert.is(await failing({}), 'no error');
  assert.match(await failing({}), /^whole: it is there already/);
  assert.is(await failing({ to: 'npy', overwrite: true }), 'no error');
  assert.ok(existsSync(join(folder, 'whole', 'items.npy')) && !existsSync(join(folder, 'whole', 'items.csv')));
  assert.equal(
    readdirSync(folder).filter((name) => name.startsWith('.')),
    [],
  );
});

suiteOf('ids that would become one text are refused; commas and quotes are not', async () => {
  const build = (items: (string | number)[]) =>
    train(createDataset({ interactions: items.map((item) => ({ user: 1, item })), triples: [] }, { validationFraction: 0 }), {
      dim: 4,
      epochs: 1,
    });
  const both = await build([7, '7']);
  const message = await exportModel(both, { to: 'csv', out: join(folder, 'twice') }).then(
    () => '',
    (error: Error) => error.message,
  );
  assert.match(message, /^model: has items of ids that are one text, "7"/);
  const odd = await build(['a,b', 'say "x"', 'line\nbreak']);
  await exportModel(odd, { to: 'csv', out: join(folder, 'odd') });
  assert.match(text(join(folder, 'odd'), 'items.csv'), /\r\n"a,b",.*\r\n"say ""x""",.*\r\n"line\nbreak",/);
});

suiteOf('bad arguments', async () => {
  const model = models[0]!;
  const out = join(folder, 'bad');
  const wrong: [unknown, unknown, RegExp][] = [
    [{}, { to: 'csv', out }, /^model: must be a Model/],
    [model, { to: 'milvus', out }, /^to: must be one of pgvector, /],
    [model, { to: 'csv' }, /^out: /],
    [model, { to: 'csv', out, index: 'ivf' }, /^index: /],
    [model, { to: 'pgvector', out, schema: 'x; DROP TABLE users' }, /^schema: must be of a-z/],
    [model, { to: 'csv', out, overwrite: 1 }, /^overwrite: /],
    [model, { to: 'csv', out, checkUsers: 0 }, /^checkUsers: /],
    [model, { to: 'csv', out, quiet: true }, /^options\.quiet: no such option/],
  ];
  for (const [first, options, pattern] of wrong) {
    const message = await exportModel(first as Model, options as ExportOptions).then(
      () => 'no error',
      (error: Error) => error.message,
    );
    assert.match(message, pattern);
  }
  assert.not(existsSync(out));
});

suiteOf.run();
