// A table of a paper as data, and as Markdown, CSV, LaTeX and JSON.
import { csvLine, LATEX, MARKDOWN, type Style } from '../formats.ts';

export type Cell = string | number | { mean: number; sd: number } | null;

export interface Column {
  name: string;
  title: string;
  /** Decimals of a number; absent, and no `significant`: text. */
  digits?: number;
  /** Digits of a number in all, instead. */
  significant?: number;
  /** A number below it is written as being so. */
  least?: number;
  /** The largest, or smallest, of each data set is in bold, of what was measured here. */
  best?: 'most' | 'least';
}

export interface TableRow {
  /** From the paper, not from here. */
  quoted: boolean;
  cells: Record<string, Cell>;
}

export interface PaperTable {
  number: number;
  title: string;
  columns: readonly Column[];
  rows: readonly TableRow[];
  notes: readonly string[];
}

export const TABLE_FORMATS = ['md', 'csv', 'tex', 'json'] as const;

/** @param table as `tableDocument` makes it, for JSON to be all of it */
export function tableAs(table: PaperTable, format: (typeof TABLE_FORMATS)[number]): string {
  if (format === 'json') return `${JSON.stringify(table, undefined, 2)}\n`;
  if (format === 'csv') return `${csvOf(table).join('\n')}\n`;
  const style = format === 'md' ? MARKDOWN : LATEX;
  const { head, lines } = textOf(table, style);
  const texts = table.columns.filter(({ digits, significant }) => digits === undefined && significant === undefined).length;
  const body = style.table(head, lines, texts);
  return format === 'md'
    ? [`# Table ${table.number}. ${table.title}`, '', ...body, '', ...table.notes.map((note) => `- ${MARKDOWN.text(note)}`), ''].join('\n')
    : [
        '% needs \\usepackage{booktabs, graphicx}',
        '\\begin{table*}',
        '\\centering',
        `\\caption{${LATEX.text(table.title)}}`,
        `\\label{tab:hyper-know-${table.number}}`,
        '\\resizebox{\\textwidth}{!}{%',
        ...ruled(body, table.rows),
        '}',
        ...table.notes.map((note) => `% ${note}`),
        '\\end{table*}',
        '',
      ].join('\n');
}

/** LaTeX with a rule between what is quoted and what was measured here. */
function ruled(body: readonly string[], rows: readonly TableRow[]): string[] {
  const begin = body.indexOf('\\midrule') + 1;
  const own = rows.findIndex(({ quoted }) => !quoted);
  return own > 0 ? body.toSpliced(begin + own, 0, '\\midrule') : [...body];
}

/** Columns without any value are left out; texts come first, as the styles have it. */
function textOf({ columns, rows }: PaperTable, style: Style): { head: string[]; lines: string[][] } {
  return {
    head: columns.map(({ title }) => style.text(title)),
    lines: rows.map((row) =>
      columns.map((column) => {
        const value = row.cells[column.name] ?? null;
        if (value === null) return '';
        if (typeof value === 'string') return style.text(value);
        const number = (part: number) => (style === LATEX ? LATEX.text(numberText(part, column)) : numberText(part, column));
        const text =
          typeof value === 'number'
            ? number(value)
            : Number.isFinite(value.sd)
              ? `${number(value.mean)}${style === LATEX ? ' $\\pm$ ' : ' ± '}${number(value.sd)}`
              : number(value.mean);
        return isBest(rows, row, column) ? style.bold(text) : text;
      }),
    ),
  };
}

/** As a table shows a number, on paper and on a page. */
export function numberText(value: number, { digits = 4, significant, least }: Pick<Column, 'digits' | 'significant' | 'least'>): string {
  if (!Number.isFinite(value)) return '–';
  if (least !== undefined && value < least) return `< ${least}`;
  const text = significant === undefined ? value.toFixed(digits) : String(Number(value.toPrecision(significant)));
  return text.replace(/^-/, '−');
}

const numberOf = (cell: Cell | undefined): number | undefined =>
  typeof cell === 'number' ? cell : typeof cell === 'object' && cell !== null ? cell.mean : undefined;

function isBest(rows: readonly TableRow[], row: TableRow, { name, best }: Column): boolean {
  if (best === undefined || row.quoted) return false;
  const others = rows.filter((one) => !one.quoted && one.cells.data === row.cells.data).flatMap((one) => numberOf(one.cells[name]) ?? []);
  return others.length > 1 && numberOf(row.cells[name]) === Math[best === 'most' ? 'max' : 'min'](...others);
}

function csvOf({ columns, rows }: PaperTable): string[] {
  const spread = columns.map(({ name }) => rows.some(({ cells }) => typeof cells[name] === 'object' && cells[name] !== null));
  const finite = (value: number | undefined) => (value === undefined || Number.isNaN(value) ? null : value);
  return [
    csvLine(['quoted', ...columns.flatMap(({ name }, i) => (spread[i] ? [name, `${name} sd`] : [name]))]),
    ...rows.map(({ quoted, cells }) =>
      csvLine([
        quoted ? 'quoted' : '',
        ...columns.flatMap(({ name }, i) => {
          const cell = cells[name] ?? null;
          const value = typeof cell === 'string' ? cell : finite(numberOf(cell));
          return spread[i] ? [value, typeof cell === 'object' && cell !== null ? finite(cell.sd) : null] : [value];
        }),
      ]),
    ),
  ];
}
