/** Non-negative scores of all items, of which few are above 0. */
export class Scores {
  /** [items] */
  readonly values: Float64Array;
  readonly #touched: Uint32Array;
  #count = 0;

  constructor(items: number) {
    this.values = new Float64Array(items);
    this.#touched = new Uint32Array(items);
  }

  /** The items with a score above 0, in no order. */
  get items(): Uint32Array {
    return this.#touched.subarray(0, this.#count);
  }

  /** Adds to the score of an item; `score` is not negative. */
  add(item: number, score: number): void {
    if (score === 0) return;
    if (this.values[item] === 0) this.#touched[this.#count++] = item;
    this.values[item]! += score;
  }

  /** Back to 0 everywhere, in the time of what is above it. */
  clear(): void {
    for (const item of this.items) this.values[item] = 0;
    this.#count = 0;
  }
}
