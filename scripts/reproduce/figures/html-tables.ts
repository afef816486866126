// Tables of a page: of plain data, of the paper's tables, and of whatever a protocol holds.
import { isObject } from '../../../lib/check.ts';
import { titleOf } from '../../../lib/report/compared-metrics.ts';
import { numberText } from '../../../lib/report/tables/table.ts';
import { decimals } from './axes.ts';
import { escapeText } from './svg.ts';

export interface HtmlTable {
  caption: string;
  head: readonly string[];
  lines: readonly (readonly string[])[];
  /** Columns from the left that are no numbers. */
  texts?: number;
  /** Lines that are quoted, by place. */
  quoted?: readonly boolean[];
  /** Keeps every line of the body one line, however wide: for tables that are read across. */
  isWide?: boolean;
}

/** In a region of its own that scrolls sideways where the page is narrow. */
export function tableOf({ caption, head, lines, texts = 1, quoted = [], isWide = false }: HtmlTable): string {
  const kind = (column: number): string => (column < texts ? '' : ' class="number"');
  const headCells = head.map((cell, i) => `<th scope="col"${kind(i)}>${escapeText(cell)}</th>`).join('');
  const rows = lines.map((cells, line) => {
    const [first = '', ...others] = cells;
    const rest = others.map((cell, i) => `<td${kind(i + 1)}>${escapeText(cell)}</td>`).join('');
    return `<tr${quoted[line] ? ' class="quoted"' : ''}><th scope="row"${kind(0)}>${escapeText(first)}</th>${rest}</tr>`;
  });
  return (
    `<div class="scroll" role="region" aria-label="${escapeText(caption)}" tabindex="0"><table${isWide ? ' class="wide"' : ''}><caption>${escapeText(caption)}</caption>` +
    `<thead><tr>${headCells}</tr></thead><tbody>${rows.join('')}</tbody></table></div>`
  );
}

type Json = Record<string, unknown>;

const isPlain = (value: unknown): boolean => value === null || ['string', 'number', 'boolean'].includes(typeof value);

/** Any JSON: objects as lists of terms, lists of alike objects as tables, lists of plain values as text. */
export function anyValue(value: unknown, caption = ''): string {
  if (Array.isArray(value)) {
    if (value.length > 0 && value.every(isObject)) {
      const names = [...new Set(value.flatMap((one) => Object.keys(one)))];
      const isText = (name: string) => value.some((one) => typeof one[name] === 'string');
      const texts = names.findIndex((name) => !isText(name));
      return tableOf({
        caption,
        head: names.map(spaced),
        lines: value.map((one) => names.map((name) => plain(one[name]))),
        texts: texts < 0 ? names.length : texts,
      });
    }
    return escapeText(value.map(plain).join(', '));
  }
  if (!isObject(value)) return escapeText(plain(value));
  const entries = Object.entries(value).map(([name, own]) => `<dt>${escapeText(spaced(name))}</dt><dd>${anyValue(own, spaced(name))}</dd>`);
  return `<dl>${entries.join('')}</dl>`;
}

const plain = (value: unknown): string =>
  value === undefined
    ? ''
    : typeof value === 'number'
      ? String(Number(value.toPrecision(6)))
      : isPlain(value)
        ? String(value)
        : JSON.stringify(value);

/** `memoryBytes` as words. */
const spaced = (name: string): string => name.replace(/([a-z0-9])([A-Z])/g, (_, a: string, b: string) => `${a} ${b.toLowerCase()}`);

/** A document of a table of the paper: columns, rows of cells that are texts, numbers or means with their spread, and notes. */
export function paperTable(document: unknown): string {
  if (!isObject(document) || !Array.isArray(document.columns) || !Array.isArray(document.rows)) return '';
  const rows = document.rows.filter(isObject);
  const columns = document.columns.filter(isObject).filter(({ name }) => rows.some((row) => cellOf(row, name) !== null));
  const isText = ({ digits, significant }: Json) => digits === undefined && significant === undefined;
  const notes = Array.isArray(document.notes) ? document.notes.map((note) => `<li>${escapeText(String(note))}</li>`).join('') : '';
  const table = tableOf({
    caption: `Table ${document.number}. ${document.title}`,
    head: columns.map(({ title }) => String(title)),
    lines: rows.map((row) => columns.map((column) => cellText(cellOf(row, column.name), column))),
    texts: columns.filter(isText).length,
    quoted: rows.map(({ quoted }) => quoted === true),
    isWide: true,
  });
  return `${table}${notes && `<ul>${notes}</ul>`}`;
}

const cellOf = (row: unknown, name: unknown): unknown => (isObject(row) && isObject(row.cells) ? (row.cells[String(name)] ?? null) : null);

function cellText(cell: unknown, column: Json): string {
  if (cell === null) return '';
  if (typeof cell === 'string') return cell;
  const format = Object.fromEntries(
    ['digits', 'significant', 'least'].map((name) => [name, column[name]]).filter(([, own]) => typeof own === 'number'),
  );
  const number = (value: unknown): string => (typeof value === 'number' ? numberText(value, format) : '–');
  if (isObject(cell)) return typeof cell.sd === 'number' ? `${number(cell.mean)} ± ${number(cell.sd)}` : number(cell.mean);
  return number(cell);
}

/** The comparison of a results file, where it has one. */
export function comparisonTable(results: unknown): string {
  if (!isObject(results) || !Array.isArray(results.rows)) return '';
  const rows = results.rows.filter(isObject).filter(({ metrics }) => isObject(metrics));
  if (rows.length === 0) return '';
  const names = [...new Set(rows.flatMap(({ metrics }) => Object.keys(metrics as Json)))];
  const severalPresets = new Set(rows.map(({ preset }) => preset)).size > 1;
  const remarks = Array.isArray(results.remarks) ? results.remarks.map((remark) => `<li>${escapeText(String(remark))}</li>`).join('') : '';
  const table = tableOf({
    caption:
      'Test split, mean ± standard deviation over the seeds; paired t-test over users of Hyper-Know minus the row’s method, recall@20',
    head: ['Method', ...(severalPresets ? ['Preset'] : []), ...names.map(titleOf), 'Hyper-Know − this', 'p', 's/epoch'],
    lines: rows.map((row) => {
      const test = isObject(row.againstHyperKnow) ? row.againstHyperKnow['recall@20'] : undefined;
      const tested = isObject(test) ? [Number(test.difference), Number(test.p)] : undefined;
      return [
        String(row.label),
        ...(severalPresets ? [String(row.preset)] : []),
        ...names.map((name) => cellText((row.metrics as Json)[name] ?? null, {})),
        tested ? decimals(tested[0]!) : '',
        tested ? (tested[1]! < 1e-4 ? '< 0.0001' : decimals(tested[1]!)) : '',
        typeof row.epochSeconds === 'number' ? row.epochSeconds.toPrecision(2) : '',
      ];
    }),
    texts: severalPresets ? 2 : 1,
  });
  return `${table}${remarks && `<ul>${remarks}</ul>`}`;
}
