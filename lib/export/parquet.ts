import type { SchemaElement } from 'hyparquet';
import { distanceRule, type ExportContext, type Target } from './target.ts';
import type { IdColumn } from './text.ts';

/** Rows of a row group: so many vectors are encoded in one turn of the event loop. */
const GROUP = 1024;

/** Parquet: items (item, vector) and queries (user, base, factor, vector), vectors as LIST of FLOAT. */
export const parquet: Target = {
  limits: { index: Number.MAX_SAFE_INTEGER, scan: Number.MAX_SAFE_INTEGER },
  async write({ encoding, itemIds, userIds, folder }: ExportContext) {
    const { items, users, base, factor, columns } = encoding;
    const writers = await import('hyparquet-writer'); // at its first use: not every process that starts exports
    const about = [{ key: 'hyper-know', value: JSON.stringify({ encoding: encoding.name, distance: distanceRule(encoding) }) }];
    await folder.bytes('items.parquet', tableOf(writers, 'item', itemIds, [], items, columns, about));
    const scalars = [
      { name: 'base', values: base ?? new Float64Array(userIds.values.length) },
      { name: 'factor', values: factor ?? new Float64Array(userIds.values.length) },
    ];
    await folder.bytes('queries.parquet', tableOf(writers, 'user', userIds, scalars, users, columns, about));
  },
};

function* tableOf(
  { ByteWriter, ParquetWriter }: typeof import('hyparquet-writer'),
  idName: string,
  { values, isInteger }: IdColumn,
  scalars: readonly { name: string; values: Float64Array }[],
  table: Float32Array,
  columns: number,
  kvMetadata: { key: string; value: string }[],
): Generator<Uint8Array> {
  const required = { repetition_type: 'REQUIRED' } as const;
  const schema: SchemaElement[] = [
    { name: 'root', num_children: 2 + scalars.length },
    { name: idName, ...required, ...(isInteger ? { type: 'INT64' } : { type: 'BYTE_ARRAY', converted_type: 'UTF8' }) },
    ...scalars.map(({ name }): SchemaElement => ({ name, type: 'DOUBLE', ...required })),
    { name: 'vector', num_children: 1, converted_type: 'LIST', ...required },
    { name: 'list', num_children: 1, repetition_type: 'REPEATED' },
    { name: 'element', type: 'FLOAT', ...required },
  ];
  const sink = new ByteWriter();
  const writer = new ParquetWriter({ writer: sink, schema, kvMetadata, createdBy: 'hyper-know', statistics: false });
  let given = 0;
  // What was written since; a copy, for the writer goes on using its buffer.
  const news = (): Uint8Array => {
    const bytes = sink.getBytes().slice(given);
    given += bytes.length;
    return bytes;
  };
  for (let begin = 0; begin < values.length; begin += GROUP) {
    const end = Math.min(values.length, begin + GROUP);
    const ids = values.slice(begin, end);
    writer.write({
      columnData: [
        { name: idName, data: isInteger ? ids.map(BigInt) : ids },
        ...scalars.map(({ name, values: own }) => ({ name, data: own.subarray(begin, end) })),
        { name: 'vector', data: ids.map((_, i) => Array.from(table.subarray((begin + i) * columns, (begin + i + 1) * columns))) },
      ],
      rowGroupSize: GROUP,
    });
    yield news();
  }
  writer.finish();
  yield news();
}
