import { Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { CsvError, parse } from 'csv-parse';
import { dataError } from '../formats/file.ts';
import { packingOf, unpacked } from '../packed.ts';
import { placesOf, type TableReader } from './rows.ts';

/** A record that is longer is a quote that nobody closed, or no text at all. */
const LARGEST_RECORD = 1 << 20;

const DELIMITERS = [',', '\t', ';', '|'] as const;

/** What csv-parse finds wrong, in our words. */
const PROBLEMS: Readonly<Record<string, string>> = {
  CSV_RECORD_INCONSISTENT_FIELDS_LENGTH: 'it has another number of cells than the header',
  CSV_INVALID_CLOSING_QUOTE: 'a closing quote must be followed by the delimiter or the end of the line',
  INVALID_OPENING_QUOTE: 'a quote stands within a cell that does not begin with one; within quotes it is doubled',
  CSV_QUOTE_NOT_CLOSED: 'a quote that was opened is never closed',
  CSV_MAX_RECORD_SIZE: `a row has at most ${LARGEST_RECORD} bytes: is a quote not closed, or is this no text?`,
};

/** Zero bytes among so many first ones: no text. */
const TEXT_CHECK = 1024;

/** The header of RecBole's atomic files, in which nothing is quoted and names go without their types here. */
const ATOMIC_HEADER = /^[^\t:]+:(token|token_seq|float|float_seq)(\t[^\t:]+:(token|token_seq|float|float_seq))*$/;

/**
 * CSV and the like, by RFC 4180 with any delimiter of one character; RecBole's atomic files. Lines end with CR LF, LF or CR, also by turns; empty
 * ones are passed over.
 */
export const readCsv: TableReader = async ({ handle, name, columns, row, options }) => {
  const source = unpacked(handle, await packingOf(handle), name);
  const { first, rest } = await firstLine(source, name);
  let places: number[] | undefined;
  let rows = 0;
  let last: Count = { lines: 0, empty_lines: 0 };
  let twice = 0; // line ends that csv-parse counts twice: CR LF within quotes
  const cells: string[] = [];
  const isAtomic = ATOMIC_HEADER.test(first);
  const parser = parse({
    bom: true,
    delimiter: isAtomic ? '\t' : (options.delimiter ?? commonest(first)),
    quote: isAtomic ? null : '"',
    // Left to csv-parse, the header's line end is the only one there is, and other ones become part of a cell.
    record_delimiter: ['\r\n', '\n', '\r'],
    skip_empty_lines: true,
    max_record_size: LARGEST_RECORD,
    on_record: (record: string[], info: Count) => {
      twice += crLfIn(record);
      const lines = info.lines - twice;
      last = { lines, empty_lines: info.empty_lines };
      if (places === undefined)
        places = placesOf(name, columns, isAtomic ? record.map((column) => column.replace(/:[a-z_]+$/, '')) : record, lines);
      else {
        for (let i = 0; i < places.length; ++i) {
          const cell = record[places[i]!]!;
          // csv-parse puts this character where the bytes are no UTF-8.
          if (cell.includes('\ufffd')) throw dataError(name, lines, `the ${columns[i]} must be UTF-8`, cell);
          cells[i] = cell;
        }
        ++rows;
        row(cells, lines);
      }
      return null; // nothing is kept
    },
  });
  try {
    await pipeline(Readable.from(rest), parser, new Writable({ objectMode: true, write: (_record, _encoding, done) => done() }));
  } catch (error) {
    if (!(error instanceof CsvError)) throw error;
    const { code, record, ...at } = error as CsvError & Count & { record?: string[] };
    // A row that is whole goes by the line of its end, as all do; one that is not, by that of its beginning.
    const line = record ? at.lines - twice - crLfIn(record) : last.lines + 1 + at.empty_lines - last.empty_lines;
    throw dataError(name, line, PROBLEMS[code] ?? error.message);
  }
  if (places === undefined) throw dataError(name, 1, `there is no header with ${columns.join(', ')}`);
  return rows;
};

/** What csv-parse has counted so far. */
interface Count {
  lines: number;
  empty_lines: number;
}

function crLfIn(cells: readonly string[]): number {
  let count = 0;
  for (const cell of cells) if (cell.includes('\r\n')) count += cell.split('\r\n').length - 1;
  return count;
}

/** The first line that is not empty, and the whole of the file. */
async function firstLine(
  source: AsyncGenerator<Buffer, void, void>,
  name: string,
): Promise<{ first: string; rest: AsyncIterable<Buffer> }> {
  let head: Buffer = Buffer.alloc(0);
  while (head.length < LARGEST_RECORD) {
    const { value, done } = await source.next();
    if (done) break;
    head = head.length === 0 ? value : Buffer.concat([head, value]);
    if (head.length >= TEXT_CHECK && firstLineIn(head).ends) break;
  }
  if (head.length >= 2 && (head.readUInt16BE() === 0xfffe || head.readUInt16BE() === 0xfeff))
    throw dataError(name, 1, 'the file is UTF-16; save it as UTF-8');
  if (head.subarray(0, TEXT_CHECK).includes(0)) throw dataError(name, 1, 'the file holds zero bytes: it is no text');
  return {
    first: firstLineIn(head).line,
    rest: (async function* () {
      if (head.length > 0) yield head;
      yield* source;
    })(),
  };
}

/** That of these bytes, without a byte order mark, and whether its end is among them. */
function firstLineIn(head: Buffer): { line: string; ends: boolean } {
  const text = head.toString('utf8').replace(/^\ufeff/, '');
  const line = /[^\r\n]+/.exec(text);
  return line ? { line: line[0], ends: line.index + line[0].length < text.length } : { line: '', ends: false };
}

/** The delimiter that stands most often in the line outside of quotes. */
function commonest(line: string): string {
  const bare = line.replace(/"(?:[^"]|"")*"/g, '');
  const counts = DELIMITERS.map((delimiter) => bare.split(delimiter).length);
  return DELIMITERS[counts.indexOf(Math.max(...counts))]!;
}
