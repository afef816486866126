import type { Id } from '../data/csr.ts';
import { IdMap } from '../data/id-map.ts';
import { argumentError } from '../errors.ts';

/** The shortest text that is the same float32 again, or nearly: nine digits always are enough. */
export function float32Text(x: number): string {
  const text = x.toPrecision(7);
  return String(Number(Math.fround(Number(text)) === x ? text : x.toPrecision(9)));
}

/** Columns of one row of a table. */
export function vectorText(table: Float32Array, row: number, columns: number): string {
  let text = '';
  for (let i = row * columns; i < (row + 1) * columns; ++i)
    text += i === row * columns ? float32Text(table[i]!) : `,${float32Text(table[i]!)}`;
  return text;
}

/** A field of RFC 4180. */
export function csvText(id: string | number): string {
  return typeof id === 'string' && /[",\r\n]/.test(id) ? `"${id.replaceAll('"', '""')}"` : String(id);
}

/** How ids are written: as integers where all are integers, else as text. */
export interface IdColumn {
  isInteger: boolean;
  /** One for each row. */
  values: readonly Id[];
}

/**
 * @param what whose ids, for the error
 * @throws {RangeError} if a number and a string become one text
 */
export function idColumn(what: string, ids: readonly Id[]): IdColumn {
  if (ids.every((id) => typeof id === 'number')) return { isInteger: true, values: ids };
  const values = ids.map(String);
  const distinct = new IdMap();
  const twice = values.find((id, row) => distinct.add(id) < row);
  if (twice !== undefined)
    throw argumentError('range', 'model', `has ${what} of ids that are one text, ${JSON.stringify(twice)} and the number`);
  return { isInteger: false, values };
}
