import { inPieces, type Steps } from '../data/steps.ts';
import type { Embedding } from '../embedding.ts';
import { ballGap } from '../geometry.ts';

/** How points are written for an engine that knows nothing of the ball. */
export type EncodingName = 'lorentz' | 'augmented-l2' | 'euclidean';

/**
 * Items and queries as an engine takes them, float32, row-major. `metric` orders the items of a query as distances do:
 * 'inner product' largest first, 'l2' smallest first.
 */
export interface Encoding {
  name: EncodingName;
  metric: 'inner product' | 'l2';
  /** Columns of a vector. */
  columns: number;
  /** [items, columns] */
  items: Float32Array;
  /** [users, columns] queries */
  users: Float32Array;
  /**
   * How a distance comes out of an inner product p of query and item: d = arcosh(base + factor · p) / √c, base and factor of the user
   * [users]. Null for 'euclidean', where d = 2 · l2.
   */
  base: Float64Array | null;
  factor: Float64Array | null;
  /** What item vectors were divided by: 1, or for 'augmented-l2' what makes them unit vectors. */
  norm: number;
}

/**
 * Encodes all users and items of a model, in float64, rounded to float32 at the end.
 *
 * With X₀ = (1 + c‖x‖²)/(√c (1 − c‖x‖²)) and X = 2x/(1 − c‖x‖²), cosh(√c d(u, v)) = c (U₀V₀ − U·V): the larger U·V − U₀V₀, the nearer.
 * - 'lorentz': item (V₀ − 1/√c, V), query (−U₀, U), dim + 1 columns, inner product. Less 1/√c, the first column holds what differs between
 *   items and nothing else, so that float32 keeps their order near the origin, too; it changes a query's products by a constant.
 *   Exact in full scans. No index that is a graph finds its way with it: the products of two items say nothing about how near they are.
 * - 'augmented-l2': a further column √(M² − ‖item‖²), 0 in the query, M the largest norm of an item, puts all items on one sphere, where
 *   ‖q − v‖² = ‖q‖² + M² − 2 q·v: L2, cosine and inner product order alike, and L2 graph indexes work. Both are scaled to unit length, which
 *   keeps the order and is where ‖q − v‖² loses least in float32. dim + 2 columns.
 * - 'euclidean', for the variants of curvature 0 whatever is asked for: plain coordinates, L2, exact and indexable.
 */
export function* encode(model: Embedding, wanted: Exclude<EncodingName, 'euclidean'>): Steps<Encoding> {
  const { users, entities, itemIds, dim, curvature: c } = model;
  const items = itemIds.length;
  if (c === 0) {
    const plain = { name: 'euclidean', metric: 'l2', columns: dim, base: null, factor: null, norm: 1 } as const;
    return { ...plain, items: entities.slice(0, items * dim), users: users.slice() };
  }
  const augmented = wanted === 'augmented-l2';
  const columns = dim + (augmented ? 2 : 1);
  const rows = { items: lifted(entities, items, dim, c), users: lifted(users, users.length / dim, dim, c) };
  let largest = 0;
  const squares = new Float64Array(items);
  yield* inRows(items, dim, (row) => {
    squares[row] = rows.items(row).reduce((sum, x) => sum + x * x, 0);
    largest = Math.max(largest, squares[row]!);
  });
  const norm = augmented && largest > 0 ? Math.sqrt(largest) : 1;
  const encoded = new Float32Array(items * columns);
  yield* inRows(items, dim, (row) => {
    const vector = rows.items(row);
    for (let i = 0; i <= dim; ++i) encoded[row * columns + i] = vector[i]! / norm;
    if (augmented) encoded[row * columns + dim + 1] = Math.sqrt(Math.max(0, largest - squares[row]!)) / norm;
  });
  const count = users.length / dim;
  const queries = new Float32Array(count * columns);
  const base = new Float64Array(count);
  const factor = new Float64Array(count);
  yield* inRows(count, dim, (row) => {
    const vector = rows.users(row);
    vector[0] = -(vector[0]! + 1 / Math.sqrt(c));
    const length = augmented ? Math.sqrt(vector.reduce((sum, x) => sum + x * x, 0)) : 1;
    for (let i = 0; i <= dim; ++i) queries[row * columns + i] = vector[i]! / length;
    base[row] = -vector[0]! * Math.sqrt(c);
    factor[row] = -c * length * norm;
  });
  return { name: wanted, metric: augmented ? 'l2' : 'inner product', columns, items: encoded, users: queries, base, factor, norm };
}

/** Rows of a table as (X₀ − 1/√c, X) in float64; every call gives the same array. */
function lifted(table: Float32Array, rows: number, dim: number, c: number): (row: number) => Float64Array {
  const vector = new Float64Array(dim + 1);
  return (row) => {
    if (row >= rows) throw new RangeError(`row: must be below ${rows}, got ${row}`);
    const gap = ballGap(table, row * dim, dim, c);
    // X₀ − 1/√c = 2√c‖x‖²/gap, and c‖x‖² = 1 − gap.
    vector[0] = (2 * (1 - gap)) / (gap * Math.sqrt(c));
    for (let i = 0; i < dim; ++i) vector[i + 1] = (2 * table[row * dim + i]!) / gap;
    return vector;
  };
}

/** Row by row, with a turn about every PIECE numbers. */
function* inRows(rows: number, dim: number, visit: (row: number) => void): Steps<void> {
  yield* inPieces(rows * dim, (begin, end) => {
    for (let row = Math.ceil(begin / dim); row * dim < end; ++row) visit(row);
  });
}
