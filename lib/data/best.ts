/** The k best of what is offered: a heap with the worst on top. Ties by smaller item. */
export class Best {
  readonly #items: Uint32Array;
  readonly #scores: Float64Array;
  #size = 0;

  constructor(k: number) {
    this.#items = new Uint32Array(k);
    this.#scores = new Float64Array(k);
  }

  get isFull(): boolean {
    return this.#size === this.#items.length;
  }

  /** The score of the worst that is kept; −∞ as long as there is room. */
  get worst(): number {
    return this.isFull ? this.#scores[0]! : Number.NEGATIVE_INFINITY;
  }

  offer(item: number, score: number): void {
    if (this.#size < this.#items.length) {
      let place = this.#size++;
      while (place > 0) {
        const parent = (place - 1) >> 1;
        if (!this.#isWorse(item, score, parent)) break;
        this.#move(parent, place);
        place = parent;
      }
      this.#items[place] = item;
      this.#scores[place] = score;
    } else if (score > this.#scores[0]! || (score === this.#scores[0] && item < this.#items[0]!)) this.#sink(item, score);
  }

  /** Hands over all that was taken, best first, and is empty again. */
  drain(visit: (item: number, score: number, rank: number) => void): void {
    const count = this.#size;
    const items = new Uint32Array(count);
    const scores = new Float64Array(count);
    for (let rank = count - 1; rank >= 0; --rank) {
      items[rank] = this.#items[0]!;
      scores[rank] = this.#scores[0]!;
      --this.#size;
      this.#sink(this.#items[this.#size]!, this.#scores[this.#size]!);
    }
    for (let rank = 0; rank < count; ++rank) visit(items[rank]!, scores[rank]!, rank);
  }

  /** Puts an entry in the place of the worst. */
  #sink(item: number, score: number): void {
    let place = 0;
    for (;;) {
      let child = 2 * place + 1;
      if (child >= this.#size) break;
      if (child + 1 < this.#size && this.#isWorse(this.#items[child + 1]!, this.#scores[child + 1]!, child)) ++child;
      if (this.#isWorse(item, score, child)) break;
      this.#move(child, place);
      place = child;
    }
    this.#items[place] = item;
    this.#scores[place] = score;
  }

  #isWorse(item: number, score: number, place: number): boolean {
    return score < this.#scores[place]! || (score === this.#scores[place] && item > this.#items[place]!);
  }

  #move(from: number, to: number): void {
    this.#items[to] = this.#items[from]!;
    this.#scores[to] = this.#scores[from]!;
  }
}
