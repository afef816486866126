import type { Id } from './csr.ts';

/** Gives the caller's ids dense ids 0, 1, 2, … in the order of their first appearance. Numbers and strings never coincide. */
export class IdMap {
  /** The caller's ids by dense id. */
  readonly ids: Id[] = [];
  private readonly rows: Map<Id, number> = new Map();

  get size(): number {
    return this.ids.length;
  }

  /** The dense id of `id`, a new one if it was not seen before. */
  add(id: Id): number {
    let row = this.rows.get(id);
    if (row === undefined) {
      row = this.ids.length;
      this.rows.set(id, row);
      this.ids.push(id);
    }
    return row;
  }

  get(id: Id): number | undefined {
    return this.rows.get(id);
  }
}

/** Why a value cannot be an id, or undefined where it can. */
export function idProblem(value: unknown): string | undefined {
  if (typeof value === 'string') return /\p{Surrogate}/u.test(value) ? 'must not hold half a surrogate pair' : undefined;
  if (typeof value === 'number') return Number.isSafeInteger(value) ? undefined : 'must be a string or a safe integer';
  return 'must be a string or an integer';
}
