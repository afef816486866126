import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { formats } from '../../../../lib/data/formats/index.ts';
import { HyperKnowError } from '../../../../lib/errors.ts';
import { folderWith, seededRandom, workClock } from '../../../helpers.ts';
import { withFilesInMemory } from '../../../memory-files.ts';
import { MUTATIONS, mutated, READ_BYTES } from './mutations.ts';

const TRAIN = '0 1 2\n1 0\n';
const TEST = '0 3\n1 \n';
const KG = '0 0 4\n3 1 5\n';
const NAMES = ['train.txt', 'test.txt', 'kg_final.txt'] as const;

type Files = Partial<Record<(typeof NAMES)[number], string | Uint8Array>>;

const read = (folder: string, names: readonly string[] = NAMES, readBytes = 4096) => formats.kgat.read(folder, names, readBytes);

function readFiles(files: Files, readBytes?: number) {
  const all = { 'train.txt': TRAIN, 'test.txt': TEST, 'kg_final.txt': KG, ...files };
  return read(folderWith(all), NAMES, readBytes);
}

async function errorOf(promise: Promise<unknown>): Promise<HyperKnowError> {
  const error = await promise.then(
    () => undefined,
    (reason) => reason,
  );
  assert.instance(error, HyperKnowError, `refused, and properly: ${error?.stack}`);
  return error;
}

test('a well-formed folder', async () => {
  const raw = await readFiles({});
  assert.equal([raw.users, raw.items, raw.entities, raw.relations], [2, 4, 6, 2]);
  assert.equal([...raw.train.users], [0, 0, 1]);
  assert.equal([...raw.train.items], [1, 2, 0]);
  assert.ok(typeof raw.test === 'object');
  assert.equal([...raw.test.users, ...raw.test.items], [0, 3]);
  assert.equal(
    [[...raw.triples.heads], [...raw.triples.relations], [...raw.triples.tails]],
    [
      [0, 3],
      [0, 1],
      [4, 5],
    ],
  );
  assert.equal(
    raw.files.map(({ name, bytes }) => [name, bytes]),
    [
      ['train.txt', 10],
      ['test.txt', 7],
      ['kg_final.txt', 12],
    ],
  );
  // printf '0 1 2\n1 0\n' | sha256sum
  assert.is(raw.files[0]!.sha256, '142839699a01b0a68ddd858a21c6cf995cadfa898f53b789cd7e3ab9f191d017');
});

const harmless: [what: string, files: Files][] = [
  ['CR LF', { 'train.txt': '0 1 2\r\n1 0\r\n', 'kg_final.txt': '0 0 4\r\n3 1 5\r\n' }],
  ['CR at the very end', { 'train.txt': '0 1 2\n1 0\r' }],
  ['no line end at the end', { 'train.txt': '0 1 2\n1 0', 'test.txt': '0 3\n1 ', 'kg_final.txt': '0 0 4\n3 1 5' }],
  ['a byte order mark', { 'train.txt': `\ufeff${TRAIN}`, 'kg_final.txt': `\ufeff${KG}` }],
  ['tabs, runs of spaces, leading and trailing ones', { 'train.txt': '\t0  1\t 2 \n 1\t0  \n', 'kg_final.txt': ' 0\t0  4 \n3 1 5\t\n' }],
  ['blank lines anywhere', { 'train.txt': '\n0 1 2\n \t\n\n1 0\n\n', 'kg_final.txt': '\n\n0 0 4\n\r\n3 1 5\n\n' }],
  ['leading zeros', { 'train.txt': '00 01 2\n1 000000000000000000000000\n' }],
  ['several lines of a user', { 'train.txt': '0 1\n0 2\n1 0\n' }],
  ['users without items', { 'train.txt': '0 1 2\n1\n1 0\n0 \n' }],
];

for (const [what, files] of harmless) {
  test(`accepted: ${what}`, async () => {
    const strip = ({ files, ...content }: Awaited<ReturnType<typeof read>>) => content;
    assert.equal(strip(await readFiles(files)), strip(await readFiles({})));
  });
}

test('an empty test.txt or kg_final.txt is read as nothing', async () => {
  const raw = await readFiles({ 'test.txt': '', 'kg_final.txt': '' });
  assert.ok(typeof raw.test === 'object' && raw.test.users.length === 0);
  assert.equal([raw.triples.heads.length, raw.relations, raw.entities, raw.items], [0, 0, 3, 3]);
});

test('absent test.txt and kg_final.txt are noted', async () => {
  const raw = await read(folderWith({ 'train.txt': TRAIN }), ['train.txt']);
  assert.is(raw.test, 'absent');
  assert.is(raw.triples.heads.length, 0);
  assert.equal(raw.notes.length, 2);
  assert.match(raw.notes.join(), /test\.txt.*kg_final\.txt/);
});

test('the largest id', async () => {
  const raw = await readFiles({ 'train.txt': '0 1 2\n1 1000000\n' });
  assert.equal([raw.items, raw.entities], [1000001, 1000001]);
});

const refused: [what: string, file: (typeof NAMES)[number], content: string | Uint8Array, line: number, token: string][] = [
  ['letters', 'train.txt', '0 1\n1 abc 3\n', 2, '"abc"'],
  ['letters after digits', 'train.txt', '0 1\n1 12abc 3\n', 2, '"12abc"'],
  ['a float', 'train.txt', '0 1.5\n', 1, '"1.5"'],
  ['a negative id', 'test.txt', '0 1\n\n1 -3\n', 3, '"-3"'],
  ['a plus sign', 'test.txt', '0 +1\n', 1, '"+1"'],
  ['an exponent', 'kg_final.txt', '0 0 1\n0 0 1e3\n', 2, '"1e3"'],
  ['a hexadecimal number', 'kg_final.txt', '0 0x1f 1\n', 1, '"0x1f"'],
  ['NaN', 'train.txt', 'NaN 1\n', 1, '"NaN"'],
  ['2^31 − 1 in a small file', 'kg_final.txt', `${'0 0 1\n'.repeat(9)}0 0 2147483647\n`, 10, '"2147483647"'],
  ['2^31 − 2', 'train.txt', '0 2147483646\n', 1, '"2147483646"'],
  ['2^31', 'train.txt', '2147483648 1\n', 1, '"2147483648"'],
  ['2^32 − 2 as a relation', 'kg_final.txt', '0 4294967294 1\n', 1, '"4294967294"'],
  ['2^32 − 1', 'kg_final.txt', '0 0 1\n0 0 4294967295\n', 2, '"4294967295"'],
  ['2^32', 'kg_final.txt', '0 0 4294967296\n', 1, '"4294967296"'],
  ['2^53 + 1', 'train.txt', '0 9007199254740993\n', 1, '"9007199254740993"'],
  ['2^64', 'train.txt', '0 18446744073709551616\n', 1, '"18446744073709551616"'],
  ['a missing column', 'kg_final.txt', '0 0 1\n0 7\n0 0 2\n', 2, '"7"'],
  ['two missing columns', 'kg_final.txt', '0 0 1\n8', 2, '"8"'],
  ['an extra column', 'kg_final.txt', '0 0 1\n0 0 1 9\n', 2, '"9"'],
  ['a NUL byte', 'train.txt', '0 1\u00002\n', 1, '"1\\u{0}2"'],
  ['a NUL byte alone', 'train.txt', '0 1\n\u0000\n', 2, '"\\u{0}"'],
  ['a byte order mark later on', 'train.txt', '0 1\n\ufeff1 2\n', 2, '"\\u{feff}1"'],
  ['half a byte order mark', 'train.txt', Uint8Array.of(0xef, 0xbb, 0x30, 0x20, 0x31), 1, '"'],
  ['a carriage return inside a line', 'train.txt', '0 1\r1 2\n', 1, '"1\\u{d}1"'],
  ['two carriage returns', 'train.txt', '0 1\r\r\n', 1, '"1\\u{d}"'],
  ['a vertical tab', 'train.txt', '0\u000b1\n', 1, '"0\\u{b}1"'],
  ['digits of another script', 'train.txt', '0 ٣\n', 1, '"٣"'],
  ['a comma', 'train.txt', '0,1,2\n', 1, '"0,1,2"'],
  ['a terminal escape', 'train.txt', '0 \u001b[31m\u202e\n', 1, '"\\u{1b}[31m\\u{202e}"'],
  ['bytes that are no UTF-8', 'test.txt', Uint8Array.of(0x30, 0x20, 0xff, 0xfe), 1, '"'],
  ['a long token', 'kg_final.txt', `0 0 1\n0 0 ${'9'.repeat(500)}\n`, 2, `"${'9'.repeat(40)}…"`],
  ['a token of many wide characters', 'kg_final.txt', `0 0 ${'😀'.repeat(41)}\n`, 1, `"${'😀'.repeat(40)}…"`],
  ['an empty train.txt', 'train.txt', '', 1, ''],
  ['a train.txt of blanks', 'train.txt', '\n  \n', 1, ''],
  ['a train.txt of users alone', 'train.txt', '0\n1\n', 1, ''],
];

for (const [what, file, content, line, token] of refused) {
  test(`refused, whatever the read buffer: ${what}`, async () => {
    const messages = new Set<string>();
    for (const readBytes of [1, 2, 3, 7, 4096, 65536]) {
      const error = await errorOf(readFiles({ [file]: content }, readBytes));
      assert.equal([error.code, error.file, error.line], ['ERR_HK_DATA', file, line], error.message);
      assert.ok(error.message.includes(file) && error.message.includes(`line ${line}`), error.message);
      assert.ok(error.message.includes(token), error.message);
      // biome-ignore lint/suspicious/noControlCharactersInRegex: what must not be there
      assert.not.match(error.message, /[\u0000-\u001f\u007f-\u009f\u202a-\u202e]/);
      assert.ok(error.message.length < 250, `${error.message.length} characters`);
      messages.add(error.message);
    }
    assert.is(messages.size, 1);
  });
}

test('an absurd id costs neither time nor memory', async () => {
  const before = process.memoryUsage().rss;
  const work = workClock();
  for (const content of ['0 0 2147483647\n', '4294967294 0 1\n', '0 2147483647 1\n']) await errorOf(readFiles({ 'kg_final.txt': content }));
  assert.ok(work() < 1000);
  assert.ok(process.memoryUsage().rss - before < 100e6);
});

test('what is no regular file is refused', async () => {
  for (const file of NAMES) {
    const asFolder = folderWith({ 'train.txt': TRAIN, 'test.txt': TEST, 'kg_final.txt': KG });
    rmSync(join(asFolder, file));
    mkdirSync(join(asFolder, file));
    const error = await errorOf(read(asFolder));
    assert.equal([error.code, error.file], ['ERR_HK_IO', file]);
    assert.match(error.message, `${file}: is a folder`);
  }
  if (process.platform === 'win32') return;
  const special = folderWith({ 'train.txt': TRAIN, 'test.txt': TEST });
  execFileSync('mkfifo', [join(special, 'kg_final.txt')]);
  assert.match((await errorOf(read(special))).message, 'not a regular file');
  rmSync(join(special, 'kg_final.txt'));
  symlinkSync('/dev/zero', join(special, 'kg_final.txt'));
  assert.match((await errorOf(read(special))).message, 'not a regular file');
});

test('a missing train.txt is named', async () => {
  const error = await errorOf(read(folderWith({ 'kg_final.txt': KG }), ['kg_final.txt']));
  assert.equal([error.code, error.file], ['ERR_HK_IO', 'train.txt']);
  assert.match(error.message, 'train.txt: does not exist');
});

test('one line of 10 MB: as many items as it holds, or refused at once', async () => {
  const items = 1_500_000;
  const line = Buffer.from(`0 ${'999999 '.repeat(items)}\n`);
  const work = workClock();
  const raw = await readFiles({ 'train.txt': line }, 65536);
  assert.ok(work() < 3000, `${work()} ms`);
  assert.is(raw.train.items.length, items);
  const digits = workClock();
  await errorOf(readFiles({ 'train.txt': `0 ${'1'.repeat(10_000_000)}\n` }, 65536));
  assert.ok(digits() < 1000);
});

/** What a folder holds, or where it is refused. */
type Reading = { refused: string } | { counts: number[]; train: number[]; test: number[]; triples: number[] };

/** The reader written once more from the description of the format alone, slow and plain. */
function plainReading(files: Record<(typeof NAMES)[number], Buffer>): Reading {
  const refusal = (file: string, line: number) => ({ refused: `${file} ${line}` });
  const lines: Record<string, { line: number; ids: number[] }[]> = {};
  for (const file of NAMES) {
    lines[file] = [];
    let text = files[file].toString('latin1');
    if (text.startsWith('\xef\xbb\xbf')) text = text.slice(3);
    let line = 0;
    for (const raw of text.split('\n')) {
      ++line;
      const tokens = raw
        .replace(/\r$/, '')
        .split(/[ \t]+/)
        .filter((token) => token !== '');
      if (tokens.some((token) => !/^[0-9]+$/.test(token) || BigInt(token) > 4294967294n)) return refusal(file, line);
      if (file === 'kg_final.txt' && tokens.length !== 0 && tokens.length !== 3) return refusal(file, line);
      if (tokens.length > 0) lines[file].push({ line, ids: tokens.map(Number) });
    }
    if (file === 'train.txt' && lines[file].every(({ ids }) => ids.length < 2)) return refusal(file, 1);
  }
  const interactions = [
    ...lines['train.txt']!.map((l) => ({ ...l, file: 'train.txt' })),
    ...lines['test.txt']!.map((l) => ({ ...l, file: 'test.txt' })),
  ];
  const triples = lines['kg_final.txt']!.map((l) => ({ ...l, file: 'kg_final.txt' }));
  const all = [...interactions, ...triples].flatMap(({ ids }) => ids).length;
  const counts: number[] = [];
  for (const [from, pick] of [
    [interactions, (ids: number[]) => ids.slice(0, 1)],
    [interactions, (ids: number[]) => ids.slice(1)],
    [triples, (ids: number[]) => ids.slice(1, 2)],
    [triples, (ids: number[]) => [ids[0]!, ids[2]!]],
  ] as const) {
    let [most, where] = [-1, { file: '', line: 0 }];
    for (const { file, line, ids } of from) for (const id of pick(ids)) if (id > most) [most, where] = [id, { file, line }];
    if (most > 1_000_000 + 4 * all) return refusal(where.file, where.line);
    counts.push(most + 1);
  }
  const pairs = (file: string) => lines[file]!.flatMap(({ ids }) => ids.slice(1).flatMap((item) => [ids[0]!, item]));
  return {
    counts: [counts[0]!, counts[1]!, counts[2]!, Math.max(counts[1]!, counts[3]!)],
    train: pairs('train.txt'),
    test: pairs('test.txt'),
    triples: triples.flatMap(({ ids }) => ids),
  };
}

async function reading(folder: string, readBytes: number): Promise<Reading> {
  try {
    const raw = await read(folder, NAMES, readBytes);
    const pairs = (part: typeof raw.test) => (typeof part === 'string' ? [] : [...part.users].flatMap((user, i) => [user, part.items[i]!]));
    return {
      counts: [raw.users, raw.items, raw.relations, raw.entities],
      train: pairs(raw.train),
      test: pairs(raw.test),
      triples: [...raw.triples.heads].flatMap((head, i) => [head, raw.triples.relations[i]!, raw.triples.tails[i]!]),
    };
  } catch (error) {
    if (!(error instanceof HyperKnowError) || error.code !== 'ERR_HK_DATA') throw error;
    return { refused: `${error.file} ${error.line}` };
  }
}

/** Reads `count` damaged folders with both readers. Returns the disagreements and how many were refused. */
async function compare(count: number, seed: number, reader: typeof reading): Promise<{ disagreements: string[]; refused: number }> {
  const random = seededRandom(seed);
  const whole = {
    'train.txt': Buffer.from('0 1 2 5\n1 0 3\n2 4\n10 11 12\n3 3 0 1\n'),
    'test.txt': Buffer.from('0 3\n1 \n2 5 0\n3 2\n'),
    'kg_final.txt': Buffer.from('0 0 6\n1 0 6\n2 1 7\n3 1 8\n8 2 6\n5 0 5\n'),
  };
  const disagreements: string[] = [];
  let refused = 0;
  const files = { ...whole };
  await withFilesInMemory('memory', files, async () => {
    for (let i = 0; i < count; ++i) {
      const damaged = NAMES[Math.floor(random() * 3)]!;
      Object.assign(files, whole, { [damaged]: mutated(whole[damaged], random) });
      const readBytes = READ_BYTES[Math.floor(random() * READ_BYTES.length)]!;
      const [expected, found] = [JSON.stringify(plainReading(files)), JSON.stringify(await reader('memory', readBytes))];
      if (expected !== found)
        disagreements.push(`${JSON.stringify(files[damaged].toString('latin1'))} as ${damaged}: ${expected} against ${found}`);
      if (expected.startsWith('{"refused"')) ++refused;
    }
  });
  return { disagreements, refused };
}

test('agrees with the plain reader on damaged files', async () => {
  const { disagreements, refused } = await compare(MUTATIONS, 1, reading);
  assert.equal(disagreements, []);
  assert.ok(refused > MUTATIONS / 5 && refused < (4 * MUTATIONS) / 5, `${refused} of ${MUTATIONS} refused`);
});

test('the comparison finds a reader that drops a line, and one that is off by a line', async () => {
  const drops = async (folder: string, readBytes: number) => {
    const found = await reading(folder, readBytes);
    return 'refused' in found ? found : { ...found, triples: found.triples.slice(0, -3) };
  };
  const shifted = async (folder: string, readBytes: number) => {
    const found = await reading(folder, readBytes);
    return 'refused' in found ? { refused: found.refused.replace(/\d+$/, (line) => String(Number(line) + 1)) } : found;
  };
  for (const reader of [drops, shifted]) assert.ok((await compare(30, 2, reader)).disagreements.length > 0);
});

test.run();
