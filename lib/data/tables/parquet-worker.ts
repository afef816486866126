// The thread that decodes Parquet for parquet.ts: it may take its time, and may be ended where a damaged file leads the decoder astray.
import { open } from 'node:fs/promises';
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import * as zlib from 'node:zlib';
import { type AsyncBuffer, type Compressors, parquetMetadataAsync, parquetRead } from 'hyparquet';
import type { Cell } from './rows.ts';

/** What the thread is told. */
export interface ParquetTask {
  path: string;
  columns: readonly string[];
  mostRows: number;
}

/** What it says: the columns that are there; then, each when it is asked for more, cells by wanted column; then the end. Or what is wrong. */
export type ParquetMessage =
  | { kind: 'header'; columns: string[]; rows: number }
  | { kind: 'rows'; cells: Cell[][] }
  | { kind: 'end' }
  | { kind: 'bad cell'; row: number; column: string }
  | { kind: 'too many rows'; rows: number }
  | { kind: 'failed'; message: string; unsupported: boolean };

/** Rows in one message. */
const ROWS = 1 << 14;

/** Node has it from 22.15 on. */
const zstd = (zlib as { zstdDecompressSync?: typeof zlib.gunzipSync }).zstdDecompressSync;

const COMPRESSORS: Compressors = {
  GZIP: (bytes, length) => zlib.gunzipSync(bytes, { maxOutputLength: length }),
  BROTLI: (bytes, length) => zlib.brotliDecompressSync(bytes, { maxOutputLength: length }),
  ...(zstd ? { ZSTD: (bytes: Uint8Array, length: number) => zstd(bytes, { maxOutputLength: length }) } : {}),
};

async function work({ path, columns, mostRows }: ParquetTask, port: MessagePort): Promise<void> {
  const say = (message: ParquetMessage) => port.postMessage(message);
  const more = () => new Promise((resolve) => port.once('message', resolve));
  const handle = await open(path, 'r');
  try {
    const { size } = await handle.stat();
    const file: AsyncBuffer = {
      byteLength: size,
      async slice(begin, end = size) {
        const bytes = Buffer.alloc(Math.max(0, Math.min(end, size) - begin));
        const { bytesRead } = await handle.read(bytes, 0, bytes.length, begin);
        return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytesRead) as ArrayBuffer;
      },
    };
    const metadata = await parquetMetadataAsync(file);
    const rows = Number(metadata.num_rows);
    if (!(rows >= 0 && rows <= mostRows)) return say({ kind: 'too many rows', rows });
    say({ kind: 'header', columns: topLevel(metadata.schema), rows });
    await more();
    let begin = 0;
    for (const group of metadata.row_groups) {
      const end = begin + Number(group.num_rows);
      if (!(end >= begin && end <= rows)) throw new Error('its row groups do not add up');
      let records: readonly Record<string, unknown>[] = [];
      await parquetRead({
        file,
        metadata,
        columns: [...new Set(columns)],
        rowStart: begin,
        rowEnd: end,
        rowFormat: 'object',
        compressors: COMPRESSORS,
        onComplete: (found) => {
          records = found;
        },
      });
      if (records.length !== end - begin) throw new Error(`a row group has ${records.length} rows where ${end - begin} were announced`);
      for (let first = 0; first < records.length; first += ROWS) {
        const part = records.slice(first, first + ROWS);
        const cells: Cell[][] = [];
        for (const column of columns) {
          const texts: Cell[] = [];
          for (const [i, record] of part.entries()) {
            const cell = cellOf(record[column]);
            if (cell === undefined) return say({ kind: 'bad cell', row: begin + first + i + 1, column });
            texts.push(cell);
          }
          cells.push(texts);
        }
        say({ kind: 'rows', cells });
        await more();
      }
      begin = end;
    }
    if (begin !== rows) throw new Error('its row groups do not add up');
    say({ kind: 'end' });
  } catch (error) {
    const { message } = error instanceof Error ? error : { message: String(error) };
    say({ kind: 'failed', message, unsupported: /unsupported compression/i.test(message) });
  } finally {
    await handle.close();
  }
}

/** The columns of a flattened schema whose first element is the root. */
function topLevel(schema: readonly { name: string; num_children?: number }[]): string[] {
  const names: string[] = [];
  for (let at = 1; at < schema.length; ) {
    names.push(schema[at]!.name);
    for (let open = 1; open > 0 && at < schema.length; ++at) open += (schema[at]!.num_children ?? 0) - 1;
  }
  return names;
}

/** undefined for what is no text, number, date, nor a list of them. */
function cellOf(value: unknown): Cell | undefined {
  if (!Array.isArray(value)) return textOf(value);
  const texts = value.map(textOf);
  return texts.includes(undefined) ? undefined : (texts as string[]);
}

/** As it would stand in a CSV file; numbers only where they are exact. */
function textOf(value: unknown): string | undefined {
  if (value === null || value === undefined) return '';
  if (typeof value === 'string') return value;
  if (typeof value === 'bigint' || typeof value === 'boolean') return String(value);
  if (typeof value === 'number') return Number.isInteger(value) && !Number.isSafeInteger(value) ? undefined : String(value);
  return value instanceof Date && !Number.isNaN(value.getTime()) ? value.toISOString() : undefined;
}

if (parentPort) await work(workerData as ParquetTask, parentPort);
