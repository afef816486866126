// Tables in files: CSV and its kin, or Parquet; which of them, the first bytes say.
import { createHash } from 'node:crypto';
import { basename } from 'node:path';
import { HyperKnowError } from '../../errors.ts';
import { hashAll, isSystemError, openRegular, unreadable } from '../formats/file.ts';
import type { SourceFile } from '../raw-dataset.ts';
import type { Row, TableOptions, TableReader } from './rows.ts';

export type { Cell, Row, TableOptions } from './rows.ts';

export interface TableFile extends SourceFile {
  rows: number;
  /** 'line' or 'row': what the second argument of `Row` counts. */
  unit: 'line' | 'row';
}

/**
 * Reads the named columns of a table, row by row: CSV, TSV or the like (UTF-8, a header with the columns' names, fields in double quotes where
 * they must be) or an atomic file of RecBole (.inter, .item; columns without their types), plain or as gzip or zip file; or Parquet. The readers' packages are loaded at the first file that needs them.
 *
 * @throws {HyperKnowError} ERR_HK_DATA with `file` and `line`, ERR_HK_IO
 */
export async function readTable(path: string, columns: readonly string[], row: Row, options: TableOptions = {}): Promise<TableFile> {
  const name = basename(path);
  const handle = await openRegular(path);
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(4), 0, 4, 0);
    const isParquet = bytesRead === 4 && buffer.toString('latin1') === 'PAR1';
    const read: TableReader = isParquet ? (await import('./parquet.ts')).readParquet : (await import('./csv.ts')).readCsv;
    const rows = await read({ handle, path, size: (await handle.stat()).size, name, columns, row, options });
    const hash = createHash('sha256');
    const bytes = await hashAll(handle, hash);
    return { name, bytes, sha256: hash.digest('hex'), rows, unit: isParquet ? 'row' : 'line' };
  } catch (error) {
    throw error instanceof HyperKnowError || !isSystemError(error) ? error : unreadable(name, error);
  } finally {
    await handle.close();
  }
}
