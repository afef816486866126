import type { Embedding } from '../embedding.ts';
import type { Encoding } from './encoding.ts';
import type { ExportFolder } from './folder.ts';
import type { IdColumn } from './text.ts';

/** What a target writes from. */
export interface ExportContext {
  model: Embedding;
  encoding: Encoding;
  itemIds: IdColumn;
  userIds: IdColumn;
  folder: ExportFolder;
  /** Schema of the tables (pgvector) or prefix of the collection (Qdrant). */
  schema: string;
}

/** How a kind of engine gets its files. */
export interface Target {
  /** Most columns of a vector it can have an index on; without one, in a full scan. */
  limits: { index: number; scan: number };
  write(context: ExportContext): Promise<void>;
}

/** How a distance comes out of what an engine returns, in words. */
export function distanceRule({ name, norm }: Encoding): string {
  if (name === 'euclidean') return 'distance = 2 * l2(query, item)';
  const product = 'p = inner product of query and item';
  const unit = name === 'augmented-l2' ? ' (of unit vectors: p = 1 - l2^2 / 2)' : '';
  return `distance = arcosh(base + factor * p) / sqrt(curvature), ${product}${unit}, base and factor of the user${norm === 1 ? '' : `; items were divided by ${norm}`}`;
}
