import { styleText } from 'node:util';
import { visible, visibleJson } from './escape.ts';

export type Style = 'bold' | 'dim' | 'red' | 'yellow' | 'green';

/** What of a stream is used here. */
export interface Stream {
  write(text: string): unknown;
  isTTY?: boolean;
  columns?: number;
}

/** A cell of a table, and what to make of it. Numbers stand to the right. */
export type Cell = string | number;

/**
 * Where a command's words go: its result to standard output, everything else to standard error. All text is escaped on its way
 * (escape.ts), so that a style is always that of a whole line or column and never part of the text.
 */
export class Output {
  /** One JSON document on standard output instead of text. */
  readonly json: boolean;
  /** Nothing on standard error but errors. */
  readonly quiet: boolean;
  readonly stderr: Stream;
  private readonly stdout: Stream;
  private readonly env: NodeJS.ProcessEnv;

  constructor({
    json,
    quiet,
    env,
    stdout,
    stderr,
  }: { json: boolean; quiet: boolean; env: NodeJS.ProcessEnv; stdout: Stream; stderr: Stream }) {
    this.json = json;
    this.quiet = quiet;
    this.env = env;
    this.stdout = stdout;
    this.stderr = stderr;
  }

  /** A line of the result. Nothing where JSON was asked for. */
  line(text: string, style?: Style): void {
    if (!this.json) this.stdout.write(`${this.styled(this.stdout, visible(text), style)}\n`);
  }

  /** Rows of the result in aligned columns, under a header where there is one. Nothing where JSON was asked for. */
  table(rows: readonly (readonly Cell[])[], header?: readonly string[]): void {
    if (this.json) return;
    const text = [...(header ? [header] : []), ...rows].map((row) => row.map((cell) => visible(String(cell))));
    const widths = text[0]?.map((_, column) => Math.max(...text.map((row) => width(row[column] ?? '')))) ?? [];
    text.forEach((row, i) => {
      const cells = row.map((cell, column) => {
        const gap = ' '.repeat(widths[column]! - width(cell));
        return typeof rows[0]?.[column] === 'number' ? gap + cell : cell + gap;
      });
      this.stdout.write(`${this.styled(this.stdout, cells.join('  ').trimEnd(), header && i === 0 ? 'bold' : undefined)}\n`);
    });
  }

  /** The result as one JSON document; `schema` names its form and version. Nothing where text was asked for. */
  document(schema: string, value: object): void {
    if (this.json) this.stdout.write(`${visibleJson({ schema: `hyper-know/${schema}`, ...value })}\n`);
  }

  /** Text that is the result as it stands, such as a configuration, whether or not JSON was asked for. */
  raw(text: string): void {
    this.stdout.write(text.endsWith('\n') ? text : `${text}\n`);
  }

  /** Something worth knowing that is not the result. */
  note(text: string, style?: Style): void {
    if (!this.quiet) this.stderr.write(`${this.styled(this.stderr, visible(text), style)}\n`);
  }

  warn(text: string): void {
    this.note(`warning: ${text}`, 'yellow');
  }

  error(text: string): void {
    this.stderr.write(`${this.styled(this.stderr, visible(`hyper-know: ${text}`), 'red')}\n`);
  }

  /** Whether a bar may be drawn: only for someone who is looking. */
  get isInteractive(): boolean {
    return !this.quiet && this.stderr.isTTY === true && this.env.TERM !== 'dumb' && !this.env.CI;
  }

  /** https://no-color.org; FORCE_COLOR as Node has it: any value but 0. */
  private styled(stream: Stream, text: string, style: Style | undefined): string {
    const { NO_COLOR, FORCE_COLOR, TERM } = this.env;
    if (style === undefined || NO_COLOR) return text;
    const forced = FORCE_COLOR !== undefined && FORCE_COLOR !== '0';
    if (!forced && (FORCE_COLOR === '0' || stream.isTTY !== true || TERM === 'dumb')) return text;
    return styleText(style, text, { validateStream: false });
  }
}

const segmenter = new Intl.Segmenter();

/** Places that text takes on a terminal, about: one a visible character, two for the wide ones of East Asia and for emoji. */
function width(text: string): number {
  if (/^[\x20-\x7e]*$/.test(text)) return text.length;
  let places = 0;
  for (const { segment } of segmenter.segment(text))
    places += /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe4f\uff00-\uff60\uffe0-\uffe6\p{Emoji_Presentation}]/u.test(
      segment,
    )
      ? 2
      : 1;
  return places;
}
