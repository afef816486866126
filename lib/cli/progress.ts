import { visible } from './escape.ts';
import type { Output } from './output.ts';

const BAR = 24;

/** Milliseconds between two drawings. */
const INTERVAL = 100;

/** A bar with the time left on one line of the terminal; nothing at all where nobody is looking (`Output.isInteractive`). */
export class Progress {
  private readonly output: Output;
  private readonly label: string;
  private readonly total: number;
  private readonly begin: number;
  private readonly began: number = performance.now();
  private drawn = 0;

  /** @param done how much of `total` was done before, which says nothing about the speed now */
  constructor(output: Output, label: string, total: number, done = 0) {
    this.output = output;
    this.label = label;
    this.total = total;
    this.begin = done;
  }

  update(done: number, remark = ''): void {
    const now = performance.now();
    if (!this.output.isInteractive || (now - this.drawn < INTERVAL && done < this.total)) return;
    this.drawn = now;
    const share = this.total > 0 ? Math.min(1, done / this.total) : 1;
    const filled = Math.round(share * BAR);
    const left = done > this.begin ? ((now - this.began) / (done - this.begin)) * (this.total - done) : Number.NaN;
    const text = `${this.label} ${'█'.repeat(filled)}${'░'.repeat(BAR - filled)} ${done}/${this.total}  ${timeLeft(left)}  ${remark}`;
    const columns = this.output.stderr.columns ?? 80;
    this.output.stderr.write(`\r\x1b[2K${[...visible(text)].slice(0, columns - 1).join('')}`);
  }

  /** Clears the line, for other words or for good. */
  clear(): void {
    if (this.output.isInteractive) this.output.stderr.write('\r\x1b[2K');
  }
}

function timeLeft(milliseconds: number): string {
  if (!Number.isFinite(milliseconds)) return '';
  return `${duration(milliseconds / 1000)} left`;
}

/** 7 s, 3 min 20 s, 2 h 5 min */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${seconds < 9.95 && seconds > 0 ? seconds.toFixed(1) : whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}
