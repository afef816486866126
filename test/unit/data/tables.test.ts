// Readers of tables and graphs against plain ones: what is written is read, what is malformed is refused with its line.
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { gzipSync } from 'node:zlib';
import { parquetWriteFile } from 'hyparquet-writer/src/node.js';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { readNTriples } from '../../../lib/data/tables/ntriples.ts';
import { type Cell, readTable, type TableOptions } from '../../../lib/data/tables/table.ts';
import { folderWith, seededRandom, temporaryFolder } from '../../helpers.ts';
import { zipOf } from './zip.ts';

const tables = suite('tables');

interface Read {
  rows: Cell[][];
  lines: number[];
}

async function readPath(path: string, columns: string[], options?: TableOptions): Promise<Read> {
  const read: Read = { rows: [], lines: [] };
  const file = await readTable(
    path,
    columns,
    (cells, line) => {
      read.rows.push([...cells]);
      read.lines.push(line);
    },
    options,
  );
  assert.is(file.rows, read.rows.length);
  return read;
}

const read = (content: string | Uint8Array, columns: string[], options?: TableOptions) =>
  readPath(join(folderWith({ t: content }), 't'), columns, options);

const errorOf = (promise: Promise<unknown>): Promise<{ code?: string; message: string; file?: string; line?: number }> =>
  promise.then(
    () => assert.unreachable(),
    (error) => error,
  );

/** Any cell, put into CSV as RFC 4180 has it: quoted where it must be, and now and then where it need not. */
function quoted(cell: string, delimiter: string, random: () => number): string {
  return /["\r\n]/.test(cell) || cell.includes(delimiter) || cell === '' || random() < 0.2 ? `"${cell.replaceAll('"', '""')}"` : cell;
}

tables('whatever a table holds is read as it was written: delimiters, quotes, line ends, byte order mark, packing', async () => {
  const random = seededRandom(3);
  const pick = <T>(values: readonly T[]): T => values[Math.floor(random() * values.length)]!;
  const alphabet = [',', ';', '\t', '|', '"', '\n', '\r\n', ' ', 'a', 'Ü', '漢', '👍', '0', '-', '=', '#', "'", '\\'];
  for (let round = 0; round < 60; ++round) {
    const delimiter = pick([',', ';', '\t', '|']);
    const end = pick(['\n', '\r\n']);
    const table = Array.from({ length: 1 + Math.floor(random() * 40) }, () =>
      Array.from({ length: 3 }, () => Array.from({ length: Math.floor(random() * 6) }, () => pick(alphabet)).join('')),
    );
    const lines = [['user', 'the item', 'x'], ...table].map((row) => row.map((cell) => quoted(cell, delimiter, random)).join(delimiter));
    const text = Buffer.from(`${round % 2 ? '\ufeff' : ''}${lines.join(end)}${round % 3 ? end : ''}`);
    const content = [text, gzipSync(text), zipOf({ 'a.csv': text }, {})][round % 3]!;
    const { rows } = await read(content, ['x', 'user'], round % 2 ? {} : { delimiter });
    assert.equal(
      rows,
      table.map(([user, , x]) => [x, user]),
    );
  }
});

tables('RecBole’s atomic files are tables: tabs, nothing quoted, types in the header', async () => {
  const { rows } = await read('item_id:token\tgenre:token_seq\tyear:float\n1\tA "b" c\t1999\n2\t"\t\n', ['genre', 'item_id']);
  assert.equal(rows, [
    ['A "b" c', '1'],
    ['"', '2'],
  ]);
});

tables('the line of a row is where it ends in the file', async () => {
  const { lines } = await read('a,b\n1,2\n\n"x\ny",3\n4,5', ['a']);
  assert.equal(lines, [2, 5, 6]);
  assert.equal((await read('a,b\r\n"x\r\ny",3\r\n4,5\r\n', ['a'])).lines, [3, 4]);
});

// Each was once read in silence as something else, or refused with another line.
tables('line ends by turns are line ends, whichever the header has', async () => {
  for (const content of [
    'user,item\r\nann,A\nbob,B\r\n',
    'user,item\nann,A\r\nbob,B\n',
    'user,item\rann,A\r\nbob,B',
    '\n\ruser,item\nann,A\rbob,B',
  ])
    assert.equal((await read(content, ['item', 'user'])).rows, [
      ['A', 'ann'],
      ['B', 'bob'],
    ]);
});

tables('the delimiter is found in the first line that is not empty', async () => {
  const long = 'x'.repeat(2000);
  for (const mark of ['', '\ufeff'])
    for (const before of ['', '\n', '\r', '\r\n\r\n', '\n'.repeat(2000)]) {
      assert.equal((await read(`${mark}${before}user;item\nann;A\n`, ['item'])).rows, [['A']]);
      assert.equal((await read(`${mark}${before}${long};item\nann;A\n`, ['item'])).rows, [['A']]);
      assert.equal((await read(`${mark}${before}item:token\tx:token\n"\t1\n`, ['item'])).rows, [['"']]);
    }
});

for (const [label, content, line, expected] of [
  ['fewer cells than the header', 'a,b\n1,2\n3\n', 3, /another number of cells/],
  ['more cells', 'a,b\n1,2,3\n', 2, /another number of cells/],
  ['an open quote', 'a,b\n1,"2\n3,4\n', 2, /never closed/],
  ['a quote within a cell', 'a,b\n1,x"y"\n', 2, /a quote stands within a cell/],
  ['text after a closing quote', 'a,b\n1,"x"y\n', 2, /a closing quote must/],
  ['a column that is not there', 'a;c\n1;2\n', 1, /the column "b" is not there; there are "a", "c"/],
  ['a column that is there twice', 'a,b,b\n1,2,3\n', 1, /the column "b" is there twice/],
  ['no header', '', 1, /no header with a, b/],
  ['what is no UTF-8', Buffer.from([0x61, 0x2c, 0x62, 0x0a, 0x31, 0x2c, 0xff, 0x0a]), 2, /the b must be UTF-8/],
  ['UTF-16', Buffer.from('\ufeffa,b\n1,2\n', 'utf16le'), 1, /is UTF-16; save it as UTF-8/],
  ['no text at all', Buffer.from('a,b\n\0\0\0'), 1, /zero bytes/],
  ['a row without end', `a,b\n1,"${'x'.repeat(3 << 20)}`, 2, /a row has at most/],
] as const)
  tables(`refused with file and line: ${label}`, async () => {
    const error = await errorOf(read(content as string, ['a', 'b']));
    assert.equal([error.code, error.file], ['ERR_HK_DATA', 't'], error.message);
    assert.is(error.line, line, error.message);
    assert.match(error.message, expected);
    assert.match(error.message, /^t, line \d+: /);
  });

tables('Parquet: text, integers of any size, lists, dates, missing values; several row groups; snappy, gzip and none', async () => {
  const count = 40_000;
  const random = seededRandom(5);
  const ids = Array.from({ length: count }, () => `u${Math.floor(random() * 1000)}`);
  const large = Array.from({ length: count }, (_, i) => 2n ** 60n + BigInt(i));
  for (const codec of ['SNAPPY', 'UNCOMPRESSED'] as const) {
    const path = join(temporaryFolder(), 't.parquet');
    await parquetWriteFile({
      filename: path,
      rowGroupSize: 15_000,
      codec,
      columnData: [
        { name: 'user', data: ids, type: 'STRING' },
        { name: 'item', data: large, type: 'INT64' },
        { name: 'score', data: ids.map((_, i) => (i % 7 ? i / 4 : undefined)), type: 'DOUBLE', nullable: true },
        { name: 'day', data: ids.map((_, i) => new Date(86_400_000 * (i % 365))), type: 'TIMESTAMP' },
      ],
    });
    const { rows, lines } = await readPath(path, ['item', 'user', 'score', 'day']);
    assert.is(rows.length, count);
    for (let i = 0; i < count; i += 97)
      assert.equal(rows[i], [String(large[i]), ids[i], i % 7 ? String(i / 4) : '', new Date(86_400_000 * (i % 365)).toISOString()]);
    assert.equal([lines[0], lines.at(-1)], [1, count]);
    const error = await errorOf(readPath(path, ['sku']));
    assert.match(error.message, /the column "sku" is not there; there are "user", "item", "score", "day"/);
  }
});

tables('damaged Parquet is refused, or read where the damage does no harm; it is never waited for without end', async () => {
  const path = join(temporaryFolder(), 't.parquet');
  await parquetWriteFile({ filename: path, columnData: [{ name: 'a', data: ['x', 'y', 'z'], type: 'STRING' }] });
  const whole = readFileSync(path);
  let refused = 0;
  // Byte 12 makes the decoder of hyparquet 1.31.5 go round and round.
  for (const at of [12, 5, 20, whole.length - 6, whole.length - 30, whole.length - 60]) {
    const other = Buffer.from(whole);
    other[at]! ^= 0x55;
    await read(other, ['a']).catch((error) => {
      assert.is(error.code, 'ERR_HK_DATA', error.stack);
      ++refused;
    });
  }
  assert.ok(refused >= 3, `${refused} of 6`);
});

tables('Parquet in a clone without dist/: the error says what to build, not that the file is damaged', async () => {
  const clone = temporaryFolder();
  cpSync(new URL('../../../lib', import.meta.url), join(clone, 'lib'), { recursive: true });
  writeFileSync(join(clone, 'package.json'), '{ "type": "module" }');
  const { readParquet } = await import(pathToFileURL(join(clone, 'lib/data/tables/parquet.ts')).href);
  const path = join(clone, 't.parquet');
  await parquetWriteFile({ filename: path, columnData: [{ name: 'a', data: ['x'], type: 'STRING' }] });
  const error = await readParquet({ path, size: 1000, name: 't.parquet', columns: ['a'], row: () => {} }).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert.is(error.code, 'ERR_HK_INTERNAL', error.stack);
  assert.match(error.message, /^the decoder of Parquet does not load \(.*parquet-worker\.js.*npm run build:ts/);
});

tables('N-Triples: IRIs, blank nodes, literals with escapes, language and type, comments', async () => {
  const text = [
    '# a comment',
    '<http://x/a> <http://x/p> <http://x/b> .',
    '',
    '_:b1 <http://x/p> "say \\"hi\\"\\n\\u00fc \\U0001F44D"@en-GB . # more',
    '<http://x/\\u00e9>\t<http://x/q> "5"^^<http://www.w3.org/2001/XMLSchema#integer>.',
    '<http://x/a><http://x/p>_:c.d .',
  ].join('\r\n');
  const expected = [
    ['http://x/a', 'http://x/p', 'http://x/b', false, 2],
    ['_:b1', 'http://x/p', 'say "hi"\nü 👍', true, 4],
    ['http://x/é', 'http://x/q', '5', true, 5],
    ['http://x/a', 'http://x/p', '_:c.d', false, 6],
  ];
  for (const content of [Buffer.from(text), gzipSync(text)]) {
    const found: unknown[][] = [];
    await readNTriples(join(folderWith({ 'g.nt': content }), 'g.nt'), (...row) => found.push(row));
    assert.equal(found, expected);
  }
});

tables('N-Triples that are none: refused with file and line', async () => {
  const good = '<http://x/a> <http://x/p> <http://x/b> .\n';
  for (const bad of [
    '<http://x/a> <http://x/p> .',
    'a b c .',
    '<a b> <p> <o> .',
    '<s> <p> "x .',
    '<s> <p> "\\q" .',
    '<s> "p" <o> .',
    '<s> <p> <o>',
    '<s> _:p <o> .',
  ]) {
    const error = await errorOf(readNTriples(join(folderWith({ 'g.nt': `${good}${bad}\n${good}` }), 'g.nt'), () => {}));
    assert.equal([error.code, error.file, error.line], ['ERR_HK_DATA', 'g.nt', 2], bad);
  }
});

tables.run();
