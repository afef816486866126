import type { Id } from './csr.ts';

/**
 * Gives the caller's ids dense ids 0, 1, 2, … in the order of their first appearance. Numbers and strings never coincide.
 *
 * V8 seeds the hash of strings, but not that of numbers, nor, as in Node 20.19.0, always that of strings which are the digits of one: these can be
 * chosen so that all meet in one chain of a Map; here they cannot.
 */
export class IdMap {
  /** The caller's ids by dense id. */
  readonly ids: Id[] = [];
  private readonly rowOfString: Map<string, number> = new Map();
  /** Dense id + 1 of numbers and of strings of their digits, by open addressing, at most half full; 0: free. */
  private slots: Uint32Array = new Uint32Array(16);
  private numbers = 0;

  get size(): number {
    return this.ids.length;
  }

  /** The dense id of `id`, a new one if it was not seen before. */
  add(id: Id): number {
    const known = this.get(id);
    if (known !== undefined) return known;
    const row = this.ids.length;
    this.ids.push(id);
    const number = numberOf(id);
    if (number === undefined) this.rowOfString.set(id as string, row);
    else {
      if (2 * ++this.numbers > this.slots.length) this.grow();
      this.slots[this.slotOf(id, number)] = row + 1;
    }
    return row;
  }

  /** The dense id of `id`; undefined for what was not added, whatever it is. */
  get(id: unknown): number | undefined {
    const number = numberOf(id);
    if (number === undefined) return this.rowOfString.get(id as string);
    const entry = this.slots[this.slotOf(id, number)]!;
    return entry === 0 ? undefined : entry - 1;
  }

  /** Where an id stands that is this number, or would. */
  private slotOf(id: unknown, number: number): number {
    const mask = this.slots.length - 1;
    let slot = hash(number) & mask;
    for (;;) {
      const entry = this.slots[slot]!;
      if (entry === 0 || this.ids[entry - 1] === id) return slot;
      slot = (slot + 1) & mask;
    }
  }

  private grow(): void {
    const old = this.slots;
    this.slots = new Uint32Array(2 * old.length);
    for (const entry of old) {
      const id = this.ids[entry - 1];
      if (entry > 0) this.slots[this.slotOf(id, numberOf(id)!)] = entry;
    }
  }
}

/** A number, or that whose digits a string is: none that begin with 0, and no more of them than V8 takes for an index. */
function numberOf(id: unknown): number | undefined {
  if (typeof id === 'number') return id;
  if (typeof id !== 'string' || id.length > 10 || id.length === 0) return undefined;
  let number = 0;
  for (let i = 0; i < id.length; ++i) {
    const digit = id.charCodeAt(i) - 48;
    if (digit < 0 || digit > 9 || (number === 0 && i > 0)) return undefined;
    number = 10 * number + digit;
  }
  return number;
}

/** Drawn for each process: nobody knows beforehand which numbers meet. */
const [ADDEND, FIRST, SECOND] = crypto.getRandomValues(new Uint32Array(3)).map((word) => word | 1) as unknown as [number, number, number];

/** Of a safe integer; multiplications by odd numbers and shifts, as in MurmurHash3. */
function hash(id: number): number {
  let h = Math.imul((id | 0) ^ ADDEND, FIRST);
  h ^= h >>> 16;
  h = Math.imul(h ^ Math.floor(id / 2 ** 32), SECOND);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35);
  return h ^ (h >>> 16);
}

/** Why a value cannot be an id, or undefined where it can. */
export function idProblem(value: unknown): string | undefined {
  if (typeof value === 'string') return /\p{Surrogate}/u.test(value) ? 'must not hold half a surrogate pair' : undefined;
  if (typeof value === 'number') return Number.isSafeInteger(value) ? undefined : 'must be a string or a safe integer';
  return 'must be a string or an integer';
}
