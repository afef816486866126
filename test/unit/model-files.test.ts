// Model files through time: old ones load for ever, and what is saved again is the same to the byte.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Id } from '../../lib/data/csr.ts';
import { synthetic } from '../../lib/data/synthetic.ts';
import type { Embedding } from '../../lib/embedding.ts';
import { Model } from '../../lib/model.ts';
import { readTensors, writeTensors } from '../../lib/safetensors.ts';
import { train } from '../../lib/train.ts';
import { fixture, seededRandom, temporaryFolder } from '../helpers.ts';

const modelFiles = suite('model files');

/** Random models that are saved, loaded and saved again; more with HYPER_KNOW_MODELS. */
const MODELS = Number(process.env.HYPER_KNOW_MODELS ?? 100);

const sha256 = ({ buffer, byteOffset, byteLength }: Float32Array | Buffer) =>
  createHash('sha256')
    .update(Buffer.from(buffer as ArrayBuffer, byteOffset, byteLength))
    .digest('hex');

// ── old files ──

interface Written {
  tables: Record<'users' | 'entities' | 'relations' | 'beta', string>;
  ids: Record<'userIds' | 'itemIds' | 'relationIds', Id[]>;
  lists: { user: Id; list: { item: Id; distance: number }[] }[];
}

for (const version of [1])
  modelFiles(`a file of format version ${version} loads, and recommends what it did when it was written`, async () => {
    const path = fixture(`model-v${version}.safetensors`);
    assert.ok(readFileSync(path).length <= 65_536);
    const model = await Model.load(path);
    const written = JSON.parse(readFileSync(fixture(`model-v${version}.json`), 'utf8')) as Written;
    for (const [name, digest] of Object.entries(written.tables)) assert.is(sha256(model[name as keyof Written['tables']]), digest, name);
    for (const [name, ids] of Object.entries(written.ids)) assert.equal(model[name as keyof Written['ids']], ids, name);
    assert.equal(
      model.userIds.map((user) => ({ user, list: model.recommend(user, 3, { exclude: 'none' }) })),
      written.lists,
    );
  });

modelFiles('a model that is closed while it is being saved is saved whole', async () => {
  const [original, path] = [fixture('model-v1.safetensors'), join(temporaryFolder(), 'closed')];
  const [closed, kept] = [await Model.load(original), await Model.load(original)];
  const saved = closed.save(path);
  closed.close();
  await saved;
  const again = await Model.load(path);
  for (const name of ['users', 'entities', 'relations', 'beta'] as const) assert.is(sha256(again[name]), sha256(kept[name]), name);
  assert.equal(again.userIds, kept.userIds);
});

modelFiles('a file of a newer format is refused, with its version and the newest that can be read', async () => {
  const path = join(temporaryFolder(), 'newer');
  const file = await readTensors(fixture('model-v1.safetensors'));
  await writeTensors(path, { ...file, metadata: { ...file.metadata, version: '7' } });
  const error = await Model.load(path).then(
    () => assert.unreachable('it was loaded'),
    (error: unknown) => error as Error & { code: string },
  );
  assert.is(error!.code, 'ERR_HK_MODEL_FILE');
  assert.match(error!.message, /^newer: it has format version 7; this release reads up to 1$/);
});

// ── saved again ──

const trained = await train(synthetic({ users: 5, items: 40, interactionsPerUser: [3, 5], seed: 1 }), {
  dim: 2,
  epochs: 1,
  backend: 'cpu',
});

const LETTERS = [...'aZ09 _-,;"\'\\/\t\n\r\0\u007f\u0085\u200b\u202eéßñ中文字か🛋👩‍👩‍👧\u{10ffff}\ufeff\uffff'];

function randomIds(random: () => number, count: number, kind: number): Id[] {
  if (kind === 0) return Array.from({ length: count }, (_, row) => row);
  const ids = new Set<Id>(kind === 1 ? [''] : []);
  while (ids.size < count) {
    const length = 1 + Math.floor(12 * random());
    const text = Array.from({ length }, () => LETTERS[Math.floor(random() * LETTERS.length)]).join('');
    ids.add(kind === 2 && random() < 0.5 ? Math.floor((random() - 0.5) * 2 ** 53) : text);
  }
  return [...ids].slice(0, count);
}

function randomModel(random: () => number): Model {
  const below = (n: number) => Math.floor(random() * n);
  const [users, items, relations, dim] = [1 + below(5), 1 + below(6), below(4), 1 + below(9)];
  const entities = items + below(6);
  const curvature = [0, 1, 0.37, 1e-12, 5][below(5)]!;
  // −0 and numbers next to 0 are numbers like others.
  const table = (rows: number) =>
    Float32Array.from({ length: rows * dim }, () => {
      const x = [(random() - 0.5) / Math.sqrt(dim * Math.max(1, curvature)), -0, 1e-45][Math.floor(random() * 1.1)]!;
      return x;
    });
  const lists = (rows: number, most: number, values: number) => {
    const degrees = Array.from({ length: rows }, () => (values > 0 ? below(Math.min(most, values) + 1) : 0));
    const offsets = new Uint32Array(rows + 1);
    for (const [row, degree] of degrees.entries()) offsets[row + 1] = offsets[row]! + degree;
    return { offsets, degrees };
  };
  const seen = lists(users, 4, items);
  const graph = lists(items, 5, relations);
  const triples = graph.offsets[items]!;
  const entityIds = randomIds(random, entities, below(4));
  const embedding: Embedding = {
    ...{ dim, curvature, users: table(users), entities: table(entities), relations: table(relations) },
    beta: Float32Array.from({ length: items }, () => 8 * random() - 4),
    graph: {
      offsets: graph.offsets,
      relations: Uint32Array.from({ length: triples }, () => below(relations)),
      tails: Uint32Array.from({ length: triples }, () => below(entities)),
    },
    seen: {
      offsets: seen.offsets,
      items: Uint32Array.from(seen.degrees.flatMap((degree) => Array.from({ length: degree }, (_, i) => i))),
    },
    userIds: randomIds(random, users, below(4)),
    itemIds: random() < 0.5 ? entityIds.slice(0, items) : randomIds(random, items, below(4)),
    entityIds,
    relationIds: randomIds(random, relations, below(4)),
    training: trained.training,
    ...(random() < 0.5 ? { protocol: trained.protocol! } : {}),
  };
  return new Model(embedding);
}

const FIELDS = [
  'users',
  'entities',
  'relations',
  'beta',
  'dim',
  'curvature',
  'graph',
  'seen',
  'userIds',
  'itemIds',
  'entityIds',
  'relationIds',
] as const;

modelFiles('a model that is saved, loaded and saved again gives the same bytes, and holds the same', async () => {
  const folder = temporaryFolder();
  const [once, again] = [join(folder, 'once'), join(folder, 'again')];
  const random = seededRandom(9);
  for (let i = 0; i < MODELS; ++i) {
    const model = randomModel(random);
    await model.save(once);
    const bytes = readFileSync(once);
    const loaded = await Model.load(once);
    await loaded.save(again);
    assert.ok(readFileSync(again).equals(bytes), `model ${i}: other bytes`);
    assert.ok(readFileSync(once).equals(bytes), `model ${i}: loading it changed the file`);
    for (const field of FIELDS) assert.equal(loaded[field], model[field], `model ${i}: ${field}`);
  }
});

modelFiles('planted: a byte, an id or a sign that is lost is seen', async () => {
  const folder = temporaryFolder();
  const random = seededRandom(3);
  const model = randomModel(random);
  const file = join(folder, 'model');
  await model.save(file);
  const bytes = readFileSync(file);
  const other = new Model({ ...model, beta: model.beta.map((x) => -x) } as unknown as Embedding);
  await other.save(file);
  assert.not.ok(readFileSync(file).equals(bytes));
  const renamed = new Model({ ...model, userIds: model.userIds.map((id) => `${id} `) } as unknown as Embedding);
  await renamed.save(file);
  assert.not.ok(readFileSync(file).equals(bytes));
});

modelFiles.run();
