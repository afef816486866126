// Numbers and tables as the text files of `reproduce` have them.
import { MARKDOWN } from './formats.ts';

export const number = (value: number): string => (Number.isFinite(value) ? value.toFixed(4) : '–');

/** A deviation that is none, of one run, stands as null in JSON. */
export const spread = ({ mean, sd }: { mean: number; sd: number | null }): string =>
  Number.isFinite(sd) ? `${number(mean)} ± ${number(sd!)}` : number(mean);

export const signed = (value: number): string => (Number.isFinite(value) ? `${value < 0 ? '−' : '+'}${Math.abs(value).toFixed(4)}` : '–');

/** A Markdown table whose columns line up in a terminal; the first is text, the others are numbers. */
export const markdown = (head: readonly string[], lines: readonly (readonly string[])[]): string =>
  MARKDOWN.table(head, lines, 1).join('\n');
