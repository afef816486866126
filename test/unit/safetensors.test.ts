import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { HyperKnowError } from '../../lib/errors.ts';
import { readTensors, type Tensor, type TensorFile, writeTensors } from '../../lib/safetensors.ts';
import { fixture, temporaryFolder } from '../helpers.ts';

const format = suite('safetensors');

const folder = temporaryFolder();
let files = 0;
const path = () => join(folder, `${++files}.safetensors`);

const example = (): TensorFile => ({
  metadata: { title: 'ünïcode "quoted"', empty: '' },
  tensors: new Map<string, Tensor>([
    ['bytes', { shape: [3], data: Uint8Array.of(1, 2, 255) }],
    ['floats', { shape: [2, 3], data: Float32Array.of(1, -2, 0.5, 1e-45, 3e38, -0) }],
    ['none', { shape: [0], data: new Float32Array(0) }],
    ['ids', { shape: [2], data: Uint32Array.of(0, 0xffffffff) }],
    ['doubles', { shape: [1], data: Float64Array.of(Math.PI) }],
  ]),
});

async function refusal(action: Promise<unknown>): Promise<HyperKnowError> {
  const error = await action.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert.instance(error, HyperKnowError);
  return error as HyperKnowError;
}

format('what was written is read, and written again has the same bytes', async () => {
  const [first, second] = [path(), path()];
  await writeTensors(first, example());
  const read = await readTensors(first);
  assert.equal(read.metadata, example().metadata);
  for (const [name, { shape, data }] of example().tensors) {
    assert.equal(read.tensors.get(name)!.shape, shape);
    assert.equal(read.tensors.get(name)!.data, data);
  }
  assert.is(read.tensors.size, 5);
  await writeTensors(second, read);
  assert.equal(readFileSync(second), readFileSync(first));
});

format('the bytes are those of the format', async () => {
  const file = path();
  await writeTensors(file, example());
  // Read by the format's description alone.
  const bytes = readFileSync(file);
  const length = Number(bytes.readBigUInt64LE());
  assert.is(length % 8, 0);
  const header = JSON.parse(bytes.subarray(8, 8 + length).toString());
  assert.ok(Object.values(header.__metadata__).every((value) => typeof value === 'string'));
  const { dtype, shape, data_offsets: offsets } = header.floats;
  assert.equal([dtype, shape], ['F32', [2, 3]]);
  assert.is(bytes.readFloatLE(8 + length + offsets[0] + 8), 0.5);
  for (const [name, entry] of Object.entries<{ dtype: string; data_offsets: number[] }>(header))
    if (name !== '__metadata__') assert.is((entry.data_offsets[0]! % Number(entry.dtype.slice(1))) / 8 >= 0, true);
  const ends = Object.entries<{ data_offsets: number[] }>(header).flatMap(([name, entry]) =>
    name === '__metadata__' ? [] : [entry.data_offsets],
  );
  assert.is(8 + length + Math.max(...ends.map((range) => range[1]!)), bytes.length);
});

format('every single-bit flip and every truncation is refused', async () => {
  const file = path();
  await writeTensors(file, { metadata: { a: 'b' }, tensors: new Map([['x', { shape: [2], data: Float32Array.of(1, 2) }]]) });
  const good = readFileSync(file);
  const damaged = path();
  for (let bit = 0; bit < good.length * 8; ++bit) {
    const bad = Buffer.from(good);
    bad[bit >> 3]! ^= 1 << (bit & 7);
    writeFileSync(damaged, bad);
    assert.is((await refusal(readTensors(damaged))).code, 'ERR_HK_MODEL_FILE', `bit ${bit}`);
  }
  for (let length = 0; length < good.length; ++length) {
    writeFileSync(damaged, good.subarray(0, length));
    assert.is((await refusal(readTensors(damaged))).code, 'ERR_HK_MODEL_FILE', `${length} bytes`);
  }
  writeFileSync(damaged, Buffer.concat([good, Buffer.of(0)]));
  assert.match((await refusal(readTensors(damaged))).message, /it has \d+ bytes, not/);
});

/** A file with the given header and data, its digests made to fit. */
function forge(entries: Record<string, unknown>, data: Buffer, digests: Record<string, string> = {}): string {
  const header: Record<string, unknown> = { __metadata__: { sha256: JSON.stringify(digests) }, ...entries };
  const digest = createHash('sha256').update(JSON.stringify(header)).digest('hex');
  header.__metadata__ = { ...(header.__metadata__ as object), sha256_header: digest };
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  const file = path();
  writeFileSync(file, Buffer.concat([length, text, data]));
  return file;
}

const zeros = createHash('sha256').update(Buffer.alloc(8)).digest('hex');
const nan = Buffer.from(Float32Array.of(0, Number.NaN).buffer);
const hostile: [label: string, entries: Record<string, unknown>, data: Buffer, pattern: RegExp][] = [
  ['a hole', { x: { dtype: 'F32', shape: [2], data_offsets: [4, 12] } }, Buffer.alloc(12), /tensor x: begins at 4/],
  [
    'overlap',
    { x: { dtype: 'F32', shape: [2], data_offsets: [0, 8] }, y: { dtype: 'F32', shape: [1], data_offsets: [4, 8] } },
    Buffer.alloc(8),
    /tensor y: begins at 4/,
  ],
  ['a shape that does not fit', { x: { dtype: 'F32', shape: [3], data_offsets: [0, 8] } }, Buffer.alloc(8), /not as long as its shape/],
  ['a shape that overflows', { x: { dtype: 'F32', shape: [2 ** 40, 2 ** 40], data_offsets: [0, 8] } }, Buffer.alloc(8), /not as long/],
  ['a negative extent', { x: { dtype: 'F32', shape: [-2, -1], data_offsets: [0, 8] } }, Buffer.alloc(8), /no shape/],
  ['a fractional extent', { x: { dtype: 'F32', shape: [0.5, 4], data_offsets: [0, 8] } }, Buffer.alloc(8), /no shape/],
  ['a type that is not used', { x: { dtype: 'BF16', shape: [4], data_offsets: [0, 8] } }, Buffer.alloc(8), /a type that is not used/],
  ['a type from the prototype', { x: { dtype: 'toString', shape: [2], data_offsets: [0, 8] } }, Buffer.alloc(8), /a type that is not used/],
  ['more offsets', { x: { dtype: 'F32', shape: [2], data_offsets: [0, 8, 9] } }, Buffer.alloc(8), /no offsets/],
  ['an unknown field', { x: { dtype: 'F32', shape: [2], data_offsets: [0, 8], z: 1 } }, Buffer.alloc(8), /not described/],
  ['a tensor of null', { x: null }, Buffer.alloc(0), /not described/],
  ['data beyond the tensors', { x: { dtype: 'F32', shape: [2], data_offsets: [0, 8] } }, Buffer.alloc(9), /it has \d+ bytes/],
  ['another digest', { y: { dtype: 'F32', shape: [2], data_offsets: [0, 8] } }, Buffer.alloc(8), /tensor y does not fit its digest/],
  ['NaN', { n: { dtype: 'F32', shape: [2], data_offsets: [0, 8] } }, nan, /tensor n holds a number that is not finite/],
];
for (const [label, entries, data, pattern] of hostile)
  format(`refused though its digests fit: ${label}`, async () => {
    const digests = { x: zeros, n: createHash('sha256').update(nan).digest('hex') };
    const error = await refusal(readTensors(forge(entries, data, digests)));
    assert.is(error.code, 'ERR_HK_MODEL_FILE');
    assert.match(error.message, pattern);
    assert.match(error.file!, /^\d+\.safetensors$/);
  });

format('refused: headers that are no headers', async () => {
  const write = (text: string, claimed = Buffer.byteLength(text)) => {
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(claimed));
    const file = path();
    writeFileSync(file, Buffer.concat([length, Buffer.from(text)]));
    return readTensors(file);
  };
  const cases: [text: string, claimed: number | undefined, pattern: RegExp][] = [
    ['{}', 2 ** 40, /cannot have/],
    ['{"a":', undefined, /not JSON in the form/],
    ['[]', undefined, /not JSON in the form/],
    ['{"__metadata__":{},"__metadata__":{}}', undefined, /not JSON in the form/],
    ['{ "__metadata__":{}}', undefined, /not JSON in the form/],
    ['{"__metadata__":{"a":1}}', undefined, /not a map of strings/],
    ['{"x":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}', undefined, /not a map of strings/],
    ['{"__metadata__":{"__proto__":"x"}}', undefined, /does not fit its digest/],
    // Node 26 reads JSON of any depth.
    [`{"__metadata__":${'{"a":'.repeat(20_000)}1${'}'.repeat(20_000)}}`, undefined, /not JSON in the form|not a map of strings/],
  ];
  for (const [text, claimed, pattern] of cases) assert.match((await refusal(write(text, claimed))).message, pattern);
  assert.equal(Object.keys(Object.prototype), []);
});

format('a path that is no file', async () => {
  assert.is((await refusal(readTensors(join(folder, 'missing')))).code, 'ERR_HK_IO');
  const error = await refusal(readTensors(folder));
  assert.is(error.code, 'ERR_HK_IO');
  assert.match(error.message, /not a regular file/);
});

format('a file that cannot be written leaves the old one and no temporary', async () => {
  const file = join(folder, 'kept', 'model.safetensors');
  mkdirSync(join(folder, 'kept'));
  await writeTensors(file, example());
  const before = readFileSync(file);
  const bad = example();
  bad.tensors.set('bad', { shape: [1], data: Float32Array.of(Number.POSITIVE_INFINITY) });
  const error = await refusal(writeTensors(file, bad));
  assert.is(error.code, 'ERR_HK_DIVERGED');
  assert.match(error.message, /bad holds a number that is not finite/);
  assert.is((await refusal(writeTensors(join(folder, 'nowhere', 'x'), example()))).code, 'ERR_HK_IO');
  // Renaming over a folder fails after everything was written.
  assert.is((await refusal(writeTensors(join(folder, 'kept'), example()))).code, 'ERR_HK_IO');
  assert.equal(readFileSync(file), before);
  assert.equal(readdirSync(join(folder, 'kept')), ['model.safetensors']);
  assert.equal(
    readdirSync(folder).filter((name) => name.endsWith('.tmp')),
    [],
  );
});

format("Python's safetensors reads a model, tensor by tensor", () => {
  const model = fixture('model-v1.safetensors');
  const program = `
import hashlib, json, sys
from safetensors import safe_open
with safe_open(sys.argv[1], framework="np") as file:
    digests = {name: [list(file.get_tensor(name).shape), hashlib.sha256(file.get_tensor(name).tobytes()).hexdigest()] for name in file.keys()}
    print(json.dumps([file.metadata()["format"], digests]))`;
  const python = process.env.PYTHON ?? 'python3';
  if (spawnSync(python, ['-c', 'import numpy, safetensors']).status !== 0) {
    console.log(`skipped: ${python} has no safetensors`);
    return;
  }
  const { status, stdout, stderr } = spawnSync(python, ['-c', program, model], { encoding: 'utf8' });
  assert.is(status, 0, stderr);
  const [name, digests] = JSON.parse(stdout) as [string, Record<string, [number[], string]>];
  assert.is(name, 'hyper-know model');
  const bytes = readFileSync(model);
  const length = Number(bytes.readBigUInt64LE());
  const { __metadata__: _, ...tensors } = JSON.parse(bytes.toString('utf8', 8, 8 + length));
  assert.equal(Object.keys(digests).sort(), Object.keys(tensors).sort());
  for (const [
    tensor,
    {
      shape,
      data_offsets: [begin, end],
    },
  ] of Object.entries<{ shape: number[]; data_offsets: [number, number] }>(tensors)) {
    const own = createHash('sha256').update(bytes.subarray(8 + length + begin, 8 + length + end));
    assert.equal(digests[tensor], [shape, own.digest('hex')], tensor);
  }
});

format('a file that shrinks while it is read', async () => {
  const file = path();
  await writeTensors(file, {
    metadata: {},
    tensors: new Map([['x', { shape: [4_000_000], data: new Float32Array(4_000_000) }]]),
  });
  const reading = refusal(readTensors(file));
  truncateSync(file, 1000);
  assert.is((await reading).code, 'ERR_HK_MODEL_FILE');
});

format.run();
