// One line of progress on a terminal, rewritten in place; nothing where the output goes to a file.
import { duration } from '../../lib/cli/progress.ts';

const isTerminal = process.stderr.isTTY === true && process.env.TERM !== 'dumb' && process.env.CI === undefined;

export class Progress {
  readonly #total: number;
  readonly #started = performance.now();
  #done = 0;
  #skipped = 0;

  constructor(total: number) {
    this.#total = total;
  }

  /** Shows what is going on in the current run, `share` of it in [0, 1]. */
  show(what: string, share: number): void {
    if (!isTerminal) return;
    const line = `[${this.#done + 1}/${this.#total}] ${what} ${this.#timeLeft(share)}`;
    process.stderr.write(`\r${line.slice(0, (process.stderr.columns ?? 80) - 1)}\u001b[K`);
  }

  /** One run is over; `skipped` if it had been finished before. */
  finish(line: string, skipped: boolean): void {
    ++this.#done;
    if (skipped) ++this.#skipped;
    process.stderr.write(`${isTerminal ? '\r\u001b[K' : ''}[${this.#done}/${this.#total}] ${line}\n`);
  }

  #timeLeft(share: number): string {
    const worked = this.#done - this.#skipped + share;
    if (worked < 0.05) return '';
    const seconds = (((performance.now() - this.#started) / 1000) * (this.#total - this.#done - share)) / worked;
    return `— about ${duration(seconds)} left`;
  }
}
