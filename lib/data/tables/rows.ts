// What the readers of tables have in common.
import type { FileHandle } from 'node:fs/promises';
import { HyperKnowError } from '../../errors.ts';

/** What stands in one cell, '' for nothing; several values where a Parquet file has a list. */
export type Cell = string | readonly string[];

/**
 * Takes the wanted cells of one row, in the order in which the columns were asked for. The array is reused after the call.
 *
 * @param line of a text file, where the row ends; of a Parquet file, its row; both from 1
 */
export type Row = (cells: readonly Cell[], line: number) => void;

export interface TableOptions {
  /** What parts the cells of a text file; by default that of `, tab ; |` which stands most often in its first line. */
  delimiter?: string;
}

/** One reader's part of the work. @returns how many rows there were */
export type TableReader = (file: {
  handle: FileHandle;
  path: string;
  size: number;
  name: string;
  columns: readonly string[];
  row: Row;
  options: TableOptions;
}) => Promise<number>;

/** Where each wanted column stands in the header. @throws {HyperKnowError} naming the columns that are there */
export function placesOf(name: string, wanted: readonly string[], header: readonly string[], line: number): number[] {
  return wanted.map((column) => {
    const place = header.indexOf(column);
    const problem = place < 0 ? 'is not there' : header.indexOf(column, place + 1) >= 0 ? 'is there twice' : undefined;
    if (problem)
      throw new HyperKnowError(
        'ERR_HK_DATA',
        `${name}, line ${line}: the column ${JSON.stringify(column)} ${problem}; there are ${header
          .map((other) => JSON.stringify(other))
          .join(', ')
          .slice(0, 300)}`,
        { file: name, line },
      );
    return place;
  });
}
