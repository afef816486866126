/** The values that were last asked for, `most` of them: the one that nobody wanted for longest makes room. */
export class Kept<T> {
  readonly #most: number;
  readonly #values: Map<string, T> = new Map(); // the longest unused first

  constructor(most: number) {
    this.#most = most;
  }

  get size(): number {
    return this.#values.size;
  }

  get(key: string): T | undefined {
    const value = this.#values.get(key);
    if (value === undefined) return undefined;
    this.#values.delete(key);
    this.#values.set(key, value);
    return value;
  }

  set(key: string, value: T): void {
    this.#values.delete(key);
    if (this.#most > 0 && this.#values.size >= this.#most) this.#values.delete(this.#values.keys().next().value!);
    if (this.#most > 0) this.#values.set(key, value);
  }
}
