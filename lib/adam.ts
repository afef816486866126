/** Adam on one vector, in place: what moves a single point, outside of training. */
export class Adam {
  readonly #first: Float64Array;
  readonly #second: Float64Array;
  #steps = 0;

  constructor(size: number) {
    this.#first = new Float64Array(size);
    this.#second = new Float64Array(size);
  }

  step(parameters: Float64Array, gradient: Float64Array, rate: number): void {
    ++this.#steps;
    for (let i = 0; i < parameters.length; ++i) {
      const first = 0.9 * this.#first[i]! + 0.1 * gradient[i]!;
      const second = 0.999 * this.#second[i]! + 0.001 * gradient[i]! ** 2;
      this.#first[i] = first;
      this.#second[i] = second;
      parameters[i]! -= (rate * (first / (1 - 0.9 ** this.#steps))) / (Math.sqrt(second / (1 - 0.999 ** this.#steps)) + 1e-12);
    }
  }
}
