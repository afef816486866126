// What a model's file says about how the model was made, and who can read it.
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { loadDataset } from '../../lib/data/dataset.ts';
import { synthetic } from '../../lib/data/synthetic.ts';
import { Model } from '../../lib/model.ts';
import { native } from '../../lib/native.ts';
import { protocolProblem } from '../../lib/protocol.ts';
import { readTensors, writeTensors } from '../../lib/safetensors.ts';
import { type TrainOptions, train } from '../../lib/train.ts';
import { fixture, temporaryFolder } from '../helpers.ts';

const protocols = suite('protocol');
const folder = temporaryFolder();
const data = synthetic({ users: 60, items: 80, interactionsPerUser: [8, 12], seed: 5 });
const brief: TrainOptions = { dim: 8, epochs: 4, batchSize: 128, backend: 'cpu', threads: 1, seed: 7, evaluateEvery: 2 };

/** A safetensors file by the description of the format alone, as any other reader takes it. */
function parse(path: string): {
  metadata: Record<string, string>;
  tensors: Map<string, { dtype: string; shape: number[]; bytes: Buffer }>;
} {
  const file = readFileSync(path);
  const length = Number(file.readBigUInt64LE(0));
  const { __metadata__: metadata, ...entries } = JSON.parse(file.toString('utf8', 8, 8 + length));
  const tensors = new Map();
  let end = 8 + length;
  for (const [name, { dtype, shape, data_offsets: offsets }] of Object.entries<{
    dtype: string;
    shape: number[];
    data_offsets: [number, number];
  }>(entries)) {
    const bytes = file.subarray(8 + length + offsets[0], 8 + length + offsets[1]);
    const size = { F32: 4, U32: 4, U8: 1 }[dtype]!;
    assert.is(
      bytes.length,
      shape.reduce((product, extent) => product * extent, size),
      name,
    );
    end = Math.max(end, 8 + length + offsets[1]);
    tensors.set(name, { dtype, shape, bytes });
  }
  assert.is(end, file.length);
  return { metadata, tensors };
}

protocols('everything that training it again needs', async () => {
  const { protocol: found, training } = await train(data, { ...brief, preset: 'paper', beta: 0.5 });
  const protocol = found!;
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
  assert.equal(
    [protocol.version, protocol.variant, protocol.preset, protocol.seed, protocol.backend],
    [version, 'hyper-know', 'paper', 7, 'cpu'],
  );
  const { seed: _seed, backend: _backend, ...options } = training.options;
  assert.equal(protocol.options, options);
  assert.equal([protocol.options.beta, protocol.options.adam, protocol.options.dim], [0.5, 'exact', 8]);
  assert.equal(protocol.data.interactions, {
    train: data.train.items.length,
    validation: data.validation.items.length,
    test: data.test.items.length,
  });
  assert.equal(protocol.split, { validation: 'random', test: 'random', options: data.report.options });
  assert.equal(protocol.selection, { epoch: training.epoch, epochs: 4, by: 'validation recall@20' });
  assert.is(protocol.device, native.backends().find(({ name }) => name === 'cpu')!.device);
  assert.is(protocolProblem(protocol), undefined);
});

protocols('the last epoch, where none was chosen; the files, where there were some', async () => {
  const some = await loadDataset(fixture('kgat'), { validationFraction: 0 });
  const { protocol } = await train(some, { ...brief, earlyStopping: false });
  assert.equal(protocol!.selection, { epoch: 4, epochs: 4, by: 'last epoch' });
  assert.equal(protocol!.data.files, some.report.files);
  assert.is(protocol!.data.files.length, 3);
});

protocols('the digest is that of the split: of every interaction and every triple, and of nothing else', async () => {
  const digest = async (change: Partial<typeof data>) =>
    (await train({ ...data, ...change }, { ...brief, epochs: 0 })).protocol!.data.sha256;
  const hash = createHash('sha256').update(
    JSON.stringify({ users: data.users, items: data.items, entities: data.entities, relations: data.relations }),
  );
  for (const { offsets, items } of [data.train, data.validation, data.test]) hash.update(offsets).update(items);
  hash.update(data.graph.offsets).update(data.graph.relations).update(data.graph.tails);
  const own = await digest({});
  assert.is(own, hash.digest('hex'));
  assert.is(await digest({ userIds: data.userIds.map((id) => `u${id}`) }), own);
  assert.is.not(await digest({ test: { offsets: data.test.offsets, items: data.test.items.map((item) => (item + 1) % data.items) } }), own);
  const tails = data.graph.tails.slice();
  tails[0] = (tails[0]! + 1) % data.entities;
  assert.is.not(await digest({ graph: { ...data.graph, tails } }), own);
});

protocols('a reader of the format alone finds the tables, the protocol and a digest for every tensor', async () => {
  const model = await train(data, brief);
  const path = join(folder, 'model.safetensors');
  await model.save(path);
  const { metadata, tensors } = parse(path);
  assert.equal(JSON.parse(metadata.protocol!), JSON.parse(JSON.stringify(model.protocol)));
  const { dtype, shape, bytes } = tensors.get('users')!;
  assert.equal([dtype, shape], ['F32', [data.users, 8]]);
  assert.equal(
    Array.from(model.users, (_, i) => bytes.readFloatLE(4 * i)),
    [...model.users],
  );
  const digests = JSON.parse(metadata.sha256!) as Record<string, string>;
  assert.equal(Object.keys(digests).sort(), [...tensors.keys()].sort());
  for (const [name, tensor] of tensors) assert.is(createHash('sha256').update(tensor.bytes).digest('hex'), digests[name], name);
  assert.equal((await Model.load(path)).protocol, model.protocol);
});

protocols('a file without one still loads; one that is damaged, and a newer format, do not', async () => {
  const path = join(folder, 'changed.safetensors');
  const model = await train(data, brief);
  await model.save(path);
  const file = await readTensors(path);
  const { protocol: text, ...metadata } = file.metadata;
  const loadWith = async (more: Record<string, string>) => {
    await writeTensors(path, { ...file, metadata: { ...metadata, ...more } });
    return Model.load(path);
  };
  const old = await loadWith({});
  assert.is(old.protocol, undefined);
  assert.equal(old.recommend(data.userIds[0]!, 5), model.recommend(data.userIds[0]!, 5));
  await old.save(path);
  assert.is((await Model.load(path)).protocol, undefined);

  const refusal = (more: Record<string, string>) =>
    loadWith(more).then(
      () => 'none',
      (error: unknown) => (error as Error).message,
    );
  assert.match(await refusal({ protocol: '[]' }), /changed\.safetensors: its metadata protocol is not a JSON object/);
  const { device: _device, ...rest } = JSON.parse(text!);
  assert.match(await refusal({ protocol: JSON.stringify(rest) }), /its protocol has no device, or one that cannot be/);
  const bad = { ...JSON.parse(text!), data: { ...rest.data, sha256: 'x' } };
  assert.match(await refusal({ protocol: JSON.stringify(bad) }), /its protocol has no data\.sha256, or/);
  assert.match(await refusal({ protocol: text!, version: '2' }), /format version 2; this release reads up to 1/);

  await model.save(path);
  const bytes = readFileSync(path);
  bytes[bytes.length - 1]! ^= 1;
  writeFileSync(path, bytes);
  assert.match(
    await Model.load(path).then(
      () => 'none',
      (error: unknown) => (error as Error).message,
    ),
    /does not fit its digest|not a/,
  );
});

protocols.run();
