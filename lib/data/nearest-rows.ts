import { Best } from './best.ts';
import type { Interactions } from './csr.ts';
import { inPieces, PIECE, type Steps } from './steps.ts';

/** For each row those nearest to it, and how near. */
export interface Neighbors extends Interactions {
  /** As long as `items`. */
  values: Float64Array;
}

/**
 * The rows of a sparse matrix that have most in common with one of them: the `nearest` others with the largest
 *
 *   value(overlap, row, other) above 0, where overlap = Σ weight over the columns that both have, best first; equal ones: the smaller row.
 *
 * Time is that of Σ n over the row's columns with a weight above 0, where n is the number of rows that have the column.
 */
export class NearestRows {
  readonly rows: Interactions;
  readonly columns: Interactions;
  readonly #weights: Float64Array | null;
  readonly #value: (overlap: number, row: number, other: number) => number;
  readonly #best: Best;
  readonly #overlap: Float64Array;
  readonly #touched: Uint32Array;

  /**
   * @param rows the columns of each row, ascending, so that the sums of (row, other) and (other, row) are the same bits
   * @param columns the rows of each column
   * @param weights one per column, not negative; null: all 1
   */
  constructor(
    rows: Interactions,
    columns: Interactions,
    weights: Float64Array | null,
    nearest: number,
    value: (overlap: number, row: number, other: number) => number,
  ) {
    this.rows = rows;
    this.columns = columns;
    this.#weights = weights;
    this.#value = value;
    this.#best = new Best(nearest);
    this.#overlap = new Float64Array(rows.offsets.length - 1);
    this.#touched = new Uint32Array(rows.offsets.length - 1);
  }

  /** Visits those nearest to a row, and returns how many entries of columns were read for it. */
  visit(row: number, visit: (other: number, near: number) => void): number {
    const { rows, columns } = this;
    const [overlap, touched, best] = [this.#overlap, this.#touched, this.#best];
    let met = 0;
    let read = 0;
    for (let i = rows.offsets[row]!; i < rows.offsets[row + 1]!; ++i) {
      const column = rows.items[i]!;
      const weight = this.#weights === null ? 1 : this.#weights[column]!;
      if (weight === 0) continue;
      for (let j = columns.offsets[column]!; j < columns.offsets[column + 1]!; ++j) {
        const other = columns.items[j]!;
        if (overlap[other] === 0) touched[met++] = other;
        overlap[other]! += weight;
      }
      read += columns.offsets[column + 1]! - columns.offsets[column]!;
    }
    for (let i = 0; i < met; ++i) {
      const other = touched[i]!;
      const near = other === row ? 0 : this.#value(overlap[other]!, row, other);
      if (near > 0) best.offer(other, near);
      overlap[other] = 0;
    }
    best.drain(visit);
    return read;
  }
}

/** `NearestRows` of every row. Time is that of Σ n² over the columns with a weight above 0. */
export function* allNearestRows(nearest: NearestRows): Steps<Neighbors> {
  const count = nearest.rows.offsets.length - 1;
  const offsets = new Uint32Array(count + 1);
  const items: number[] = [];
  const values: number[] = [];
  let sinceYield = 0;
  for (let row = 0; row < count; ++row) {
    sinceYield += nearest.visit(row, (other, near) => {
      items.push(other);
      values.push(near);
    });
    offsets[row + 1] = items.length;
    if (++sinceYield < PIECE) continue;
    sinceYield = 0;
    yield;
  }
  const found = { offsets, items: new Uint32Array(items.length), values: new Float64Array(items.length) };
  yield* inPieces(items.length, (begin, end) => {
    for (let i = begin; i < end; ++i) {
      found.items[i] = items[i]!;
      found.values[i] = values[i]!;
    }
  });
  return found;
}
