// Damaged model files: refused with a named error, or read as what was written. No header makes the reader take more memory than the file has.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { synthetic } from '../../lib/data/synthetic.ts';
import { HyperKnowError } from '../../lib/errors.ts';
import { Model } from '../../lib/model.ts';
import { train } from '../../lib/train.ts';
import { seededRandom, temporaryFolder, workClock } from '../helpers.ts';
import { withFilesInMemory } from '../memory-files.ts';

const hostile = suite('damaged model files');

/** Damaged files of a run; more or fewer with HYPER_KNOW_MUTATIONS. */
const MUTATIONS = Number(process.env.HYPER_KNOW_MUTATIONS ?? 20_000);

/** Beyond the file: its header as text, as objects, and the digests; all of it bounded by the header's own largest size. */
const SLACK_BYTES = 1 << 16;

const folder = temporaryFolder();
let original: Model;
let good: Buffer;
hostile.before(async () => {
  const dataset = synthetic({ users: 12, items: 40, interactionsPerUser: [4, 6], seed: 5 });
  const model = await train(dataset, { dim: 3, epochs: 1, seed: 1, backend: 'cpu' });
  original = new Model({ ...model, userIds: model.userIds.map((id) => `ü ${id}`) });
  const path = join(folder, 'good.safetensors');
  await original.save(path);
  good = readFileSync(path);
});

type Random = (bound: number) => number;
type Header = Record<string, Record<string, unknown>>;

const HUGE = [2 ** 31, 2 ** 32, 2 ** 40, 2 ** 53, 2 ** 60, 1e308];
const NUMBERS: unknown[] = [-1, 0, 1, 3, 0.5, ...HUGE, null, '8', [], {}, true];
const TYPES = ['F32', 'F64', 'U32', 'U8', 'BF16', 'I64', 'toString', '__proto__', '', null, 7];

/** Edits of the raw bytes. */
const byteEdits: ((bytes: Buffer, below: Random) => Buffer)[] = [
  (bytes, below) => bytes.subarray(0, below(bytes.length)),
  (bytes, below) => {
    bytes[below(bytes.length)]! ^= 1 << below(8);
    return bytes;
  },
  (bytes, below) => {
    // within the header, where there is more to break than in the numbers
    bytes[below(8 + headerBytes(bytes))]! ^= 1 << below(8);
    return bytes;
  },
  (bytes, below) => {
    bytes.writeBigUInt64LE([0n, 1n, 7n, 2n ** 20n, 2n ** 20n + 1n, 2n ** 31n, 2n ** 32n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n][below(10)]!);
    return bytes;
  },
  (bytes, below) => {
    bytes.writeBigUInt64LE(BigInt(headerBytes(bytes) + below(17) - 8));
    return bytes;
  },
  (bytes, below) => Buffer.concat([bytes, Buffer.alloc(1 + below(64), below(256))]),
  (bytes, below) => {
    const [at, length] = [below(bytes.length), below(40)];
    return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + length)]);
  },
];

/** Edits of the header's objects. */
const headerEdits: ((header: Header, below: Random) => void)[] = [
  (header, below) => {
    tensorOf(header, below).dtype = TYPES[below(TYPES.length)];
  },
  (header, below) => {
    tensorOf(header, below).shape = Array.from({ length: below(4) }, () => NUMBERS[below(NUMBERS.length)]);
  },
  (header, below) => {
    tensorOf(header, below).data_offsets = [0, 1].map(() => NUMBERS[below(NUMBERS.length)]);
  },
  (header, below) => {
    // a tensor as large as it says, and the offsets with it
    const [tensor, size] = [tensorOf(header, below), HUGE[below(HUGE.length)]!];
    const [begin] = tensor.data_offsets as number[];
    Object.assign(tensor, { dtype: 'U8', shape: [size], data_offsets: [begin, begin! + size] });
  },
  (header, below) => {
    // overlap, or a hole
    const offsets = tensorOf(header, below).data_offsets as number[];
    const by = 4 * (below(9) - 4);
    offsets[0]! += by;
    if (below(2)) offsets[1]! += by;
  },
  (header, below) => {
    tensorOf(header, below).data_offsets = [...(tensorOf(header, below).data_offsets as number[])];
  },
  (header, below) => void delete header[nameOf(header, below)],
  (header, below) => {
    const value = tensorOf(header, below);
    const name = ['x', '__proto__', 'constructor', '', 'users '][below(5)]!;
    Object.defineProperty(header, name, { value, enumerable: true, configurable: true, writable: true });
  },
  (header, below) => {
    const metadata = header.__metadata__!;
    const keys = Object.keys(metadata);
    metadata[keys[below(keys.length)]!] = ['', '{}', '[]', 'null', '-1', '1e999', '9'.repeat(400), '{"__proto__":{"x":1}}', 7][below(9)];
  },
  (header, below) => {
    const texts = ['protocol', 'training', 'sha256', 'format', 'version', 'dim', 'curvature'];
    delete header.__metadata__![texts[below(texts.length)]!];
  },
  (header, below) => {
    // deep JSON, where there is JSON within
    const depth = [100, 10_000, 50_000][below(3)]!;
    header.__metadata__![['protocol', 'training', 'sha256'][below(3)]!] = `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`;
  },
  (header, below) => {
    const { training } = header.__metadata__ as { training: string };
    const record = JSON.parse(training);
    const at = [record, record.options][below(2)];
    const keys = Object.keys(at);
    at[keys[below(keys.length)]!] = NUMBERS[below(NUMBERS.length)];
    header.__metadata__!.training = JSON.stringify(record);
  },
];

/** Edits of the header's text, which leave it without an object that says the same. */
const textEdits: ((text: string, below: Random) => string)[] = [
  (text) => text.replace('"users":', '"users":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"users":'),
  (text) => text.replace('"__metadata__":', '"__metadata__":{},"__metadata__":'),
  (text, below) => `${'['.repeat(1 << below(18))}${text}`,
  (text, below) => text.replace('{', `{"deep":${'['.repeat(10 ** below(5))}${']'.repeat(10 ** below(5))},`),
  (text, below) => `${text}${' '.repeat(below(40))}`,
  (text) => text.replace(',', ', '),
  (text) => text.replace('F32', '\\u0046\\u0033\\u0032'),
  (text) => text.replace('"format"', '"\\ud800"'),
  (text, below) => {
    const at = below(text.length);
    return text.slice(0, at) + '{}[]",:0\u0000é'[below(10)] + text.slice(at + below(2));
  },
];

const headerBytes = (bytes: Buffer): number => Number(bytes.readBigUInt64LE());
const nameOf = (header: Header, below: Random): string => {
  const names = Object.keys(header).filter((name) => name !== '__metadata__');
  return names[below(names.length)] ?? '__metadata__';
};
const tensorOf = (header: Header, below: Random): Record<string, unknown> => header[nameOf(header, below)]!;

function fileOf(text: string, data: Buffer): Buffer {
  const bytes = Buffer.from(text.padEnd(Math.ceil(Buffer.byteLength(text) / 8) * 8 - Buffer.byteLength(text) + text.length));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(bytes.length));
  return Buffer.concat([length, bytes, data]);
}

const sha256 = (bytes: string | Buffer) => createHash('sha256').update(bytes).digest('hex');

/** The header with digests that fit whatever it says and whatever the data are. */
function signed(header: Header, data: Buffer): string {
  const { sha256_header: _, ...metadata } = header.__metadata__ ?? {};
  const { __metadata__: __, ...tensors } = header;
  const digests = Object.entries(tensors).map(([name, tensor]) => {
    const [begin, end] = Array.isArray(tensor?.data_offsets) ? tensor.data_offsets : [];
    return [name, sha256(typeof begin === 'number' && typeof end === 'number' ? data.subarray(begin, end) : '')];
  });
  if ('sha256' in metadata && String(metadata.sha256).length > 2 && !String(metadata.sha256).startsWith('{"a"'))
    metadata.sha256 = JSON.stringify(Object.fromEntries(digests));
  const digest = sha256(JSON.stringify({ __metadata__: metadata, ...tensors }));
  return JSON.stringify({ __metadata__: { ...metadata, sha256_header: digest }, ...tensors });
}

/** A damaged file; `fits` where its digests were made to fit, so that it may be another model instead of none. */
function damagedFile(below: Random): { bytes: Buffer; fits: boolean } {
  const pick = <T>(values: readonly T[]): T => values[below(values.length)]!;
  if (below(3) === 0) return { bytes: pick(byteEdits)(Buffer.from(good), below), fits: false };
  const begin = 8 + headerBytes(good);
  const [text, data] = [good.toString('utf8', 8, begin).trimEnd(), Buffer.from(good.subarray(begin))];
  if (below(3) === 0) return { bytes: fileOf(pick(textEdits)(text, below), data), fits: false };
  const header = JSON.parse(text) as Header;
  if (below(4) === 0) for (let edits = 1 + below(3); edits > 0; --edits) data.writeUInt32LE(below(2 ** 32), 4 * below(data.length >> 2));
  else {
    pick(headerEdits)(header, below);
    try {
      if (below(2)) pick(headerEdits)(header, below);
    } catch {} // the first edit has left nothing of what the second wanted to change
  }
  const fits = below(4) > 0;
  return { bytes: fileOf(fits ? signed(header, data) : JSON.stringify(header), data), fits };
}

/** Bytes of buffers that `work` allocates, as the reader of models does it. */
async function allocated(work: () => Promise<unknown>): Promise<number> {
  const { ArrayBuffer: RealBuffer } = globalThis;
  const { alloc } = Buffer;
  let bytes = 0;
  globalThis.ArrayBuffer = class extends RealBuffer {
    constructor(length = 0) {
      bytes += length;
      super(length);
    }
  };
  Buffer.alloc = (size: number, ...rest: unknown[]) => {
    bytes += size;
    return (alloc as (...all: unknown[]) => Buffer<ArrayBuffer>)(size, ...rest);
  };
  try {
    await work();
  } finally {
    globalThis.ArrayBuffer = RealBuffer;
    Buffer.alloc = alloc;
  }
  return bytes;
}

interface Outcome {
  problems: string[];
  refused: number;
  same: number;
  other: number;
}

const contents: Record<string, Buffer> = {};
const tryAll = (...[count, seed, load]: Parameters<typeof tryEach>) =>
  withFilesInMemory('memory', contents, () => tryEach(count, seed, load));

async function tryEach(count: number, seed: number, load: (path: string, bytes: Buffer) => Promise<Model>): Promise<Outcome> {
  const random = seededRandom(seed);
  const below = (bound: number) => Math.floor(random() * bound);
  const outcome: Outcome = { problems: [], refused: 0, same: 0, other: 0 };
  const path = 'memory/damaged.safetensors';
  for (let i = 0; i < count; ++i) {
    const { bytes, fits } = damagedFile(below);
    contents['damaged.safetensors'] = bytes;
    const problem = (what: string) => outcome.problems.push(`file ${i} of seed ${seed}: ${what}`);
    const work = workClock();
    let model: Model | undefined;
    const taken = await allocated(async () => {
      model = await load(path, bytes).catch((error: unknown) => {
        const { code, file, message } = error as HyperKnowError;
        if (!(error instanceof HyperKnowError && code === 'ERR_HK_MODEL_FILE' && file === 'damaged.safetensors' && message.includes(file)))
          problem(`no proper refusal: ${(error as Error)?.stack}`);
        return undefined;
      });
    });
    if (taken > bytes.length + SLACK_BYTES) problem(`${taken} bytes were taken for a file of ${bytes.length}`);
    if (work() > 1000) problem(`it took ${work()} ms`);
    if (model === undefined) ++outcome.refused;
    else if (isSame(model)) ++outcome.same;
    else {
      ++outcome.other;
      if (!fits) problem('another model was read, though no digest was made to fit');
      const wrong = trouble(model);
      if (wrong) problem(wrong);
    }
  }
  if (Object.keys(Object.prototype).length > 0) outcome.problems.push('Object.prototype was written to');
  return outcome;
}

const withoutMethods = (model: Model) => JSON.stringify({ ...model });
const isSame = (model: Model) => withoutMethods(model) === withoutMethods(original);

/** What does not work with a model that was read. */
function trouble(model: Model): string | undefined {
  try {
    for (const id of model.userIds)
      for (const { item, distance } of model.recommend(id, 5))
        if (!model.hasItem(item) || !(distance >= 0)) return `item ${item} at ${distance} is recommended`;
    return undefined;
  } catch (error) {
    return `it does not recommend: ${(error as Error).stack}`;
  }
}

hostile('each is refused by name, or is the model that was written; none takes memory beyond its size', async () => {
  const { problems, refused, same, other } = await tryAll(MUTATIONS, 1, (path) => Model.load(path));
  console.log(`${MUTATIONS} damaged files: ${refused} refused, ${same} read as written, ${other} other models with digests that fit`);
  assert.equal(problems, []);
  assert.ok(refused > MUTATIONS / 2 && same + other > 0, `${refused} refused, ${same} the same, ${other} others`);
});

hostile('the buffers that loading takes are counted: those of the tensors and of the header', async () => {
  const taken = await allocated(() => Model.load(join(folder, 'good.safetensors')));
  assert.ok(taken >= good.length && taken < good.length + SLACK_BYTES, `${taken} bytes for ${good.length}`);
});

hostile('planted: a loader that throws what it meets, one that trusts sizes, one that mends in silence are reported', async () => {
  const planted: [RegExp, (path: string, bytes: Buffer) => Promise<Model>][] = [
    [
      /no proper refusal/,
      async (_, bytes) => {
        JSON.parse(bytes.toString('utf8', 8, 8 + headerBytes(bytes)));
        return original;
      },
    ],
    [
      /bytes were taken/,
      async (path, bytes) => {
        if (bytes.length >= 8) Buffer.alloc(Math.min(headerBytes(bytes), 1 << 26));
        return Model.load(path);
      },
    ],
    [/another model was read/, (path) => Model.load(path).catch(() => new Model({ ...original, curvature: 2 }))],
    [/it does not recommend/, (path) => Model.load(path).catch(() => new Model({ ...original, users: new Float32Array(0) }))],
  ];
  for (const [expected, load] of planted) assert.match((await tryAll(100, 2, load)).problems.join('\n'), expected);
});

const script = fileURLToPath(new URL('../peak-of-loading.ts', import.meta.url));
const MIB = 1 << 20;

/** Files that took more than twice their size and 16 MiB while a process loaded them, and the most that any of a few bytes took. */
function peakProblems(files: string, ...planted: string[]): { problems: string[]; most: number; large: number } {
  const args = ['--expose-gc', '--import', 'tsx', script, files, join(folder, 'good.safetensors'), ...planted];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', timeout: 300_000 });
  assert.is(status, 0, stderr);
  const peaks = Object.entries(JSON.parse(stdout) as Record<string, number>);
  const bytesOf = (name: string) => statSync(join(files, name)).size;
  const problems = peaks.filter(([name, peak]) => peak > 2 * bytesOf(name) + 16 * MIB).map(([name, peak]) => `${name}: ${peak} bytes`);
  const ofSmall = peaks.filter(([name]) => bytesOf(name) < MIB).map(([, peak]) => peak);
  return { problems, most: Math.max(...ofSmall), large: Math.max(...peaks.map(([, peak]) => peak)) };
}

(process.platform === 'linux' ? hostile : hostile.skip)(
  'the process grows by no more than twice the file and 16 MiB while it loads one',
  () => {
    const files = temporaryFolder();
    const random = seededRandom(3);
    const below = (bound: number) => Math.floor(random() * bound);
    for (let i = 0; i < 200; ++i) writeFileSync(join(files, `damaged-${i}`), damagedFile(below).bytes);
    const begin = 8 + headerBytes(good);
    const header = JSON.parse(good.toString('utf8', 8, begin)) as Header;
    const data = Buffer.concat([good.subarray(begin), Buffer.alloc(32 * MIB)]);
    const names = Object.keys(header).filter((name) => name !== '__metadata__');
    const last = names.find((name) => (header[name]!.data_offsets as number[])[1] === good.length - begin)!;
    // A table of 32 MiB, with digests that fit and with one that does not; a header of 1 MiB; and 32 MiB that no tensor claims.
    const offsets = header[last]!.data_offsets as number[];
    const shape = [(data.length - offsets[0]!) / 4];
    const grown = { ...header, [last]: { ...header[last], dtype: 'F32', shape, data_offsets: [offsets[0]!, data.length] } };
    writeFileSync(join(files, 'large'), fileOf(signed(grown, data), data));
    writeFileSync(join(files, 'large-unsigned'), fileOf(JSON.stringify(grown), data));
    writeFileSync(join(files, 'unclaimed'), fileOf(JSON.stringify(header), data));
    writeFileSync(join(files, 'long-header'), fileOf(`${'['.repeat(MIB - 8)}`, data));
    const { problems, most, large } = peakProblems(files);
    console.log(`at most ${(most / MIB).toFixed(1)} MiB more for a file below 1 MiB, ${(large / MIB).toFixed(1)} MiB for one of 32 MiB`);
    assert.equal(problems, []);
    assert.ok(large > 16 * MIB, 'a large file shows in what is measured');

    const few = temporaryFolder();
    writeFileSync(join(few, 'planted'), good);
    assert.match(peakProblems(few, 'trusting').problems.join(), /^planted: \d+ bytes$/);
  },
);

hostile.run();
