// Tables of text against a reader written once more from RFC 4180 and what lib/data/tables/table.ts says, slow and plain.
import { isUtf8 } from 'node:buffer';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { readCsv } from '../../../lib/data/tables/csv.ts';
import { HyperKnowError } from '../../../lib/errors.ts';
import { seededRandom } from '../../helpers.ts';
import { handleOf } from '../../memory-files.ts';
import { MUTATIONS, mutated, READ_BYTES, TEXTS } from './formats/mutations.ts';

const csv = suite('tables of text, damaged');

const COLUMNS = ['item', 'user'];

type Rows = [item: string, user: string, line: number][];
type Reading = { refused: number } | { rows: Rows };

class Refused {
  readonly line: number;
  constructor(line: number) {
    this.line = line;
  }
}

/** Its cells and the line where each row ends, from 1; a line ends with CR LF, LF or CR. A row at fault goes by where it begins. */
function* plainRows(text: string, delimiter: string, quoting: boolean): Generator<{ cells: string[]; line: number }> {
  let [at, line] = [0, 1];
  const lineEnd = () => (text.startsWith('\r\n', at) ? 2 : text[at] === '\n' || text[at] === '\r' ? 1 : 0);
  while (at < text.length) {
    if (lineEnd() > 0) {
      at += lineEnd();
      ++line;
      continue;
    }
    const cells: string[] = [];
    const begin = line;
    for (let more = true; more; ) {
      let cell = '';
      if (quoting && text[at] === '"') {
        for (++at; ; ) {
          if (at >= text.length) throw new Refused(begin);
          if (text.startsWith('""', at)) {
            cell += '"';
            at += 2;
          } else if (text[at] === '"') break;
          else {
            const length = lineEnd();
            if (length > 0) ++line;
            cell += text.slice(at, at + (length || 1));
            at += length || 1;
          }
        }
        ++at;
        if (at < text.length && text[at] !== delimiter && lineEnd() === 0) throw new Refused(begin);
      } else
        for (; at < text.length && text[at] !== delimiter && lineEnd() === 0; ++at) {
          if (quoting && text[at] === '"') throw new Refused(begin);
          cell += text[at];
        }
      cells.push(cell);
      more = text[at] === delimiter;
      if (more) ++at;
    }
    yield { cells, line };
    if (lineEnd() > 0) ++line;
    at += lineEnd();
  }
}

function plainReading(bytes: Buffer): Reading {
  const rows: Rows = [];
  try {
    let text = bytes.toString('latin1');
    if (/^(\xff\xfe|\xfe\xff)/.test(text) || text.slice(0, 1024).includes('\0')) throw new Refused(1);
    if (text.startsWith('\xef\xbb\xbf')) text = text.slice(3);
    const first = /[^\r\n]+/.exec(text)?.[0] ?? '';
    const type = '[^\\t:]+:(token|token_seq|float|float_seq)';
    const atomic = new RegExp(`^${type}(\\t${type})*$`).test(first);
    const bare = first.replace(/"(""|[^"])*"/g, '');
    const counts = [...',\t;|'].map((delimiter) => bare.split(delimiter).length);
    const delimiter = atomic ? '\t' : ',\t;|'[counts.indexOf(Math.max(...counts))]!;
    let header: string[] | undefined;
    for (const { cells, line } of plainRows(text, delimiter, !atomic)) {
      if (header !== undefined && cells.length !== header.length) throw new Refused(line);
      const decoded = cells.map((cell) => Buffer.from(cell, 'latin1'));
      if (header === undefined) {
        header = decoded.map((cell) => cell.toString().replace(atomic ? /:[a-z_]+$/ : /$^/, ''));
        for (const column of COLUMNS) if (header.filter((name) => name === column).length !== 1) throw new Refused(line);
        continue;
      }
      const wanted = COLUMNS.map((column) => decoded[header!.indexOf(column)]!);
      if (wanted.some((cell) => !isUtf8(cell) || cell.toString().includes('\ufffd'))) throw new Refused(line);
      rows.push([wanted[0]!.toString(), wanted[1]!.toString(), line]);
    }
    if (header === undefined) throw new Refused(1);
    return { rows };
  } catch (error) {
    if (error instanceof Refused) return { refused: error.line };
    throw error;
  }
}

async function reading(bytes: Buffer, readBytes: number): Promise<Reading> {
  const rows: Rows = [];
  try {
    const handle = handleOf('t', bytes, readBytes);
    const row = (cells: readonly unknown[], line: number) => void rows.push([cells[0] as string, cells[1] as string, line]);
    const count = await readCsv({ handle, path: 't', size: bytes.length, name: 't', columns: COLUMNS, row, options: {} });
    assert.is(count, rows.length);
    return { rows };
  } catch (error) {
    if (!(error instanceof HyperKnowError) || error.code !== 'ERR_HK_DATA' || error.file !== 't') throw error;
    return { refused: error.line! };
  }
}

const WHOLE = [
  'user,item,x\nann,A,1\n"bob","B, or ""b""",2\nann,"two\nlines",3\n',
  'user;item;x\r\nann;A;1\r\n"bob";"B;""b""";2\r\nann;"two\r\nlines";é\r\n',
  'x\tuser\titem\n1\tann\tA\n2\tbob\t"B\tC"\n\n3\tann\tB',
  'item:token\tuser:token\tx:float\nA\tann\t1\nB"b"\tbob\t2\n"\tann\t3\n',
].map((text) => Buffer.from(text));
const MORE = [
  '"',
  '""',
  '","',
  '"\n"',
  '\r\n',
  '\n',
  '\r',
  ',',
  ';',
  '|',
  'item',
  'user',
  ':token',
  '"a\r\nb"',
  'a,b,c\r\n',
  'é',
  '\ufffd',
];
const ALL = [...TEXTS, ...MORE.map((text) => Buffer.from(text)), Buffer.of(0xc3), Buffer.of(0xff, 0xfe)];

async function compare(count: number, seed: number, reader: typeof reading): Promise<{ disagreements: string[]; refused: number }> {
  const random = seededRandom(seed);
  const disagreements: string[] = [];
  let refused = 0;
  for (let i = 0; i < count; ++i) {
    const bytes = mutated(WHOLE[Math.floor(random() * WHOLE.length)]!, random, ALL);
    const readBytes = READ_BYTES[Math.floor(random() * READ_BYTES.length)]!;
    const [wanted, found] = [JSON.stringify(plainReading(bytes)), JSON.stringify(await reader(bytes, readBytes))];
    if (wanted !== found) disagreements.push(`${JSON.stringify(bytes.toString('latin1'))} by ${readBytes}: ${wanted} against ${found}`);
    if (wanted.startsWith('{"refused"')) ++refused;
  }
  return { disagreements, refused };
}

csv('agrees with the plain reader on damaged files', async () => {
  const { disagreements, refused } = await compare(MUTATIONS, 1, reading);
  assert.equal(disagreements, []);
  assert.ok(refused > MUTATIONS / 5 && refused < 0.9 * MUTATIONS, `${refused} of ${MUTATIONS} refused`);
});

csv('the comparison finds a reader that drops a row, one that is off by a line and one that trims cells', async () => {
  const faulty = (change: (rows: Rows) => Rows) => async (bytes: Buffer, readBytes: number) => {
    const found = await reading(bytes, readBytes);
    return 'rows' in found ? { rows: change(found.rows) } : found;
  };
  const faults: ((rows: Rows) => Rows)[] = [
    (rows) => rows.slice(0, -1),
    (rows) => rows.map(([item, user, line]) => [item, user, line + 1]),
    (rows) => rows.map(([item, user, line]) => [item.trim(), user, line]),
  ];
  for (const fault of faults) assert.ok((await compare(200, 2, faulty(fault))).disagreements.length > 0);
});

csv.run();
