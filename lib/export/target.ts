import type { Embedding } from '../embedding.ts';
import type { Encoding } from './encoding.ts';
import type { ExportFolder } from './folder.ts';
import type { IdColumn } from './text.ts';

/** What a target writes from. */
export interface ExportContext {
  model: Embedding;
  encoding: Encoding;
  /** Whether the engine is told to scan all of the vectors, or to make a graph index of them. */
  index: 'none' | 'hnsw';
  itemIds: IdColumn;
  userIds: IdColumn;
  folder: ExportFolder;
  /** Schema of the tables (pgvector) or prefix of the collection (Qdrant). */
  schema: string;
}

/**
 * What every graph index is built and searched with: neighbours of a node, and how many candidates are kept in building and in searching. Queries stand
 * apart from the items, in the plane where their last column is 0, so that a search needs many more candidates than one for an item would.
 */
export const HNSW = { m: 32, construction: 256, search: 400 } as const;

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
