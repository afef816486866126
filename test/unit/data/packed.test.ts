// gzip and zip files are read as what is in them, and damaged or hostile ones refused.
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32, deflateRawSync, gzipSync } from 'node:zlib';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { loadDataset } from '../../../lib/data/dataset.ts';
import { packingOf, unpacked } from '../../../lib/data/packed.ts';
import { folderWith, seededRandom } from '../../helpers.ts';
import { zipOf } from './zip.ts';

const packed = suite('packed files');

async function contentOf(file: Uint8Array): Promise<Buffer> {
  const handle = await open(join(folderWith({ x: file }), 'x'));
  try {
    const pieces: Buffer[] = [];
    for await (const piece of unpacked(handle, await packingOf(handle), 'x')) pieces.push(Buffer.from(piece));
    return Buffer.concat(pieces);
  } finally {
    await handle.close();
  }
}

const errorOf = (promise: Promise<unknown>): Promise<{ code?: string; message: string; file?: string; line?: number }> =>
  promise.then(
    () => assert.unreachable(),
    (error) => error,
  );

const random = seededRandom(1);
const text = Buffer.from(Array.from({ length: 200_000 }, () => 32 + Math.floor(random() * 90)));

packed('gzip, several members of gzip, zip with and without compression: what was packed', async () => {
  assert.ok((await contentOf(text)).equals(text));
  assert.ok((await contentOf(gzipSync(text))).equals(text));
  assert.ok((await contentOf(Buffer.concat([gzipSync(text.subarray(0, 999)), gzipSync(text.subarray(999))]))).equals(text));
  for (const deflate of [true, false]) assert.ok((await contentOf(zipOf({ 'a.csv': text }, { deflate }))).equals(text));
  assert.ok(
    (await contentOf(zipOf({ 'd/': Buffer.alloc(0), '__MACOSX/d/._a': text, 'd/a': text }, {}))).equals(text),
    'a folder and what macOS adds',
  );
  assert.ok((await contentOf(zipOf({ a: text }, { comment: 'PK\u0005\u0006 in a comment' }))).equals(text));
});

packed('cut off anywhere, or with any byte another: refused or the same, never something else', async () => {
  const small = text.subarray(0, 300);
  for (const file of [gzipSync(small), zipOf({ a: small }, {})]) {
    for (let length = 30; length < file.length; length += 7) {
      const content = await contentOf(file.subarray(0, length)).catch((error) => assert.is(error.code, 'ERR_HK_DATA', error.stack));
      assert.ok(content === undefined || content.equals(small), `cut to ${length} of ${file.length} bytes`);
    }
    for (let at = 4; at < file.length; ++at) {
      const other = Buffer.from(file);
      other[at]! ^= 1 << (at % 8);
      const content = await contentOf(other).catch((error) => assert.is(error.code, 'ERR_HK_DATA', error.stack));
      assert.ok(content === undefined || content.equals(small), `byte ${at} of ${file.length}`);
    }
  }
});

packed('what expands out of all proportion is refused before it is unpacked', async () => {
  const zeros = Buffer.alloc(1 << 27);
  const before = process.memoryUsage().rss;
  for (const bomb of [gzipSync(zeros), zipOf({ a: zeros }, {})]) {
    const error = await errorOf(contentOf(bomb));
    assert.is(error.code, 'ERR_HK_DATA');
    assert.match(error.message, /expands to more than/);
  }
  assert.ok(process.memoryUsage().rss - before < 400e6);
});

packed('a zip of several files, an encrypted one, one of another method: refused with the reason', async () => {
  for (const [file, reason] of [
    [zipOf({ a: text, b: text }, {}), /zip file of 2 files/],
    [zipOf({}, {}), /damaged|0 files/],
    [zipOf({ a: text }, { flags: 1 }), /encrypted/],
    [zipOf({ a: text }, { method: 93 }), /not known \(method 93\)/],
  ] as const)
    assert.match(
      (await errorOf(contentOf(Buffer.concat([file.length > 30 ? Buffer.alloc(0) : Buffer.from('PK\u0003\u0004'), file])))).message,
      reason,
    );
});

packed('a folder of packed files is the same data set, its digests those of the packed files; errors have the line within', async () => {
  const files = { 'train.txt': '0 0 1\n1 1 2\n', 'test.txt': '0 2\n1 0\n', 'kg_final.txt': '0 0 3\n1 0 3\n2 1 4\n' };
  const plain = await loadDataset(folderWith(files));
  const zip = zipOf({ 'kg_final.txt': Buffer.from(files['kg_final.txt']) }, {});
  const other = await loadDataset(
    folderWith({ 'train.txt.gz': gzipSync(files['train.txt']), 'test.txt': files['test.txt'], 'kg_final.txt.zip': zip }),
  );
  for (const part of ['train', 'validation', 'test', 'triples', 'graph'] as const) assert.equal(other[part], plain[part], part);
  assert.equal(
    other.report.files.map(({ name, bytes }) => [name, bytes]),
    [
      ['train.txt.gz', gzipSync(files['train.txt']).length],
      ['test.txt', 8],
      ['kg_final.txt.zip', zip.length],
    ],
  );
  const error = await errorOf(loadDataset(folderWith({ 'train.txt.gz': gzipSync(`${'0 0 1\n'.repeat(50_000)}1 x2`) })));
  assert.equal([error.file, error.line], ['train.txt.gz', 50_001]);
  assert.match(error.message, /got "x2"/);
});

packed('the zip files of these tests are zip files', () => {
  const zip = zipOf({ a: text }, {});
  assert.is(zip.readUInt32LE(14), crc32(text));
  assert.is(zip.readUInt32LE(18), deflateRawSync(text).length);
});

packed.run();
