import type { FileHandle } from 'node:fs/promises';
import * as zlib from 'node:zlib';
import { type AsyncBuffer, type Compressors, parquetMetadataAsync, parquetRead } from 'hyparquet';
import { HyperKnowError } from '../../errors.ts';
import { type Cell, placesOf, type TableReader } from './rows.ts';

/** Rows read at once: what of the file is in memory. */
const ROWS = 1 << 14;

/** A file of so many rows for its bytes was made to exhaust whoever reads it. */
const SMALL_ROWS = 1 << 20;
const ROWS_PER_BYTE = 32;

/** Parquet, whichever way its pages are compressed that this Node can undo; snappy, gzip and brotli are always among them. */
export const readParquet: TableReader = async ({ handle, name, columns, row }) => {
  const { size } = await handle.stat();
  const file = bufferOf(handle, size);
  const damaged = (error: unknown): never => {
    if (error instanceof HyperKnowError) throw error;
    const what = /unsupported compression/i.test(String(error))
      ? `is compressed in a way that cannot be undone here (${(error as Error).message}): write it with snappy or gzip`
      : `is damaged, or Parquet of a kind that is not known (${(error as Error).message})`;
    throw new HyperKnowError('ERR_HK_DATA', `${name}: ${what}`, { file: name, cause: error });
  };
  const metadata = await parquetMetadataAsync(file).catch(damaged);
  const rows = Number(metadata.num_rows);
  if (!Number.isSafeInteger(rows) || rows < 0 || rows > SMALL_ROWS + ROWS_PER_BYTE * size)
    throw new HyperKnowError('ERR_HK_DATA', `${name}: says that it has ${rows} rows, too many for its ${size} bytes`, { file: name });
  const header = metadata.schema.slice(1).flatMap((element, i, all) => (isTopLevel(all, i) ? [element.name] : []));
  placesOf(name, columns, header, 1);

  const cells: Cell[] = [];
  for (let begin = 0; begin < rows; begin += ROWS) {
    const end = Math.min(rows, begin + ROWS);
    const data = new Map<string, ArrayLike<unknown>>();
    await parquetRead({
      file,
      metadata,
      columns: [...new Set(columns)],
      rowStart: begin,
      rowEnd: end,
      rowFormat: 'object',
      compressors: COMPRESSORS,
      useOffsetIndex: true,
      onComplete: (records) => {
        if (records.length !== end - begin) throw new Error(`${records.length} rows where ${end - begin} were announced`);
        for (const column of columns)
          data.set(
            column,
            records.map((record) => record[column]),
          );
      },
    }).catch(damaged);
    const wanted = columns.map((column) => data.get(column)!);
    for (let i = 0; i < end - begin; ++i) {
      for (let k = 0; k < wanted.length; ++k) cells[k] = cellOf(wanted[k]![i], name, begin + i + 1, columns[k]!);
      row(cells, begin + i + 1);
    }
  }
  return rows;
};

/** Node has it from 22.15 on. */
const zstd = (zlib as { zstdDecompressSync?: typeof zlib.gunzipSync }).zstdDecompressSync;

const COMPRESSORS: Compressors = {
  GZIP: (bytes, length) => zlib.gunzipSync(bytes, { maxOutputLength: length }),
  BROTLI: (bytes, length) => zlib.brotliDecompressSync(bytes, { maxOutputLength: length }),
  ...(zstd ? { ZSTD: (bytes: Uint8Array, length: number) => zstd(bytes, { maxOutputLength: length }) } : {}),
};

function bufferOf(handle: FileHandle, byteLength: number): AsyncBuffer {
  return {
    byteLength,
    async slice(begin, end = byteLength) {
      const bytes = Buffer.alloc(Math.max(0, Math.min(end, byteLength) - begin));
      const { bytesRead } = await handle.read(bytes, 0, bytes.length, begin);
      return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytesRead) as ArrayBuffer;
    },
  };
}

/** Whether element i of the flattened schema (without its root) is a column of its own. */
function isTopLevel(elements: readonly { num_children?: number }[], i: number): boolean {
  let at = 0;
  while (at < i) at += subtree(elements, at);
  return at === i;
}

function subtree(elements: readonly { num_children?: number }[], at: number): number {
  let size = 1;
  for (let child = 0; child < (elements[at]?.num_children ?? 0); ++child) size += subtree(elements, at + size);
  return size;
}

function cellOf(value: unknown, name: string, line: number, column: string): Cell {
  const text = textOf(value);
  if (text !== undefined) return text;
  const texts = Array.isArray(value) ? value.map(textOf) : [undefined];
  if (texts.includes(undefined))
    throw new HyperKnowError('ERR_HK_DATA', `${name}, row ${line}: the ${column} must be text, a number, a date or a list of them`, {
      file: name,
      line,
    });
  return texts as string[];
}

/** As it would stand in a CSV file; numbers only where they are exact. */
function textOf(value: unknown): string | undefined {
  if (value === null || value === undefined) return '';
  if (typeof value === 'string') return value;
  if (typeof value === 'bigint' || typeof value === 'boolean') return String(value);
  if (typeof value === 'number') return Number.isInteger(value) && !Number.isSafeInteger(value) ? undefined : String(value);
  return value instanceof Date && !Number.isNaN(value.getTime()) ? value.toISOString() : undefined;
}
