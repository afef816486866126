import type { ImportedTables, ImportOptions } from './data/import/import-tables.ts';

/**
 * Reads interactions, and a knowledge graph out of the items' attributes, from tables: CSV and its kin, Parquet, N-Triples; gzip or zip where they
 * are text. Repeated interactions count once, with their earliest time. Ids are the caller's own, as strings. What reads them is loaded at
 * the first call.
 *
 * @throws {HyperKnowError} ERR_HK_DATA for malformed content, with `file` and `line`; ERR_HK_IO. {TypeError, RangeError} for bad options.
 * @example
 * const shop = await importTables({
 *   interactions: { path: 'orders.csv', user: 'customer', item: 'sku', time: 'ts' },
 *   items: { path: 'catalogue.csv', item: 'sku', relations: ['brand', { column: 'tags', separator: '|' }, { column: 'price', bins: 5 }] },
 *   minInteractions: 2,
 * });
 * const model = await train(await shop.toDataset(), { epochs: 5 });
 */
export async function importTables(options: ImportOptions): Promise<ImportedTables> {
  return (await import('./data/import/import-tables.ts')).importTables(options);
}
