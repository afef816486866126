import type { Id, Model, Recommendation } from '../../lib/index.ts';

/** Users ranked in one call: some milliseconds, in which nothing else is answered. */
const MOST_AT_ONCE = 48;

interface Waiting {
  user: Id;
  resolve(list: Recommendation[]): void;
  reject(reason: unknown): void;
}

/**
 * Ranks together what is asked for in the same turn of the event loop: 12 users cost about what two do one by one. Nobody waits for others to come;
 * those that came while the last were ranked are the next.
 */
export class RankedTogether {
  readonly #model: Model;
  /** By length of the list. */
  readonly #waiting: Map<number, Waiting[]> = new Map();
  #planned = false;

  constructor(model: Model) {
    this.#model = model;
  }

  /** As `Model.recommend`, of a user that the model knows. */
  recommend(user: Id, k: number): Promise<Recommendation[]> {
    return new Promise((resolve, reject) => {
      const one = { user, resolve, reject };
      const others = this.#waiting.get(k);
      if (others) others.push(one);
      else this.#waiting.set(k, [one]);
      this.#plan();
    });
  }

  #plan(): void {
    if (this.#planned) return;
    this.#planned = true;
    setImmediate(() => this.#rank());
  }

  #rank(): void {
    this.#planned = false;
    for (const [k, all] of this.#waiting) {
      const some = all.splice(0, MOST_AT_ONCE);
      if (all.length === 0) this.#waiting.delete(k);
      try {
        const batch = this.#model.recommendBatchSync(
          some.map(({ user }) => user),
          { k },
        );
        for (const [i, { resolve }] of some.entries()) resolve(batch.list(i));
      } catch (error) {
        for (const { reject } of some) reject(error);
      }
    }
    if (this.#waiting.size > 0) this.#plan();
  }
}
