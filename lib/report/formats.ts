// The rows of a report as text.
import type { ReportRow, Value } from './rows.ts';

export type ReportFormat = 'markdown' | 'csv' | 'latex';

const TITLES: Readonly<Record<string, string>> = {
  recall: 'Recall',
  ndcg: 'NDCG',
  ndcgKgat: 'NDCG (KGAT)',
  precision: 'Precision',
  hitRate: 'Hit rate',
  mrr: 'MRR',
};

/** Text of a whole table, line by line; means to four decimals, the best of a data set in bold where there are several rows. */
export function tableText(rows: readonly ReportRow[], metrics: readonly string[], format: ReportFormat): string[] {
  if (format === 'csv') return csvLines(rows, metrics);
  const severalSets = new Set(rows.map(setOf)).size > 1;
  const hasSeconds = rows.some(({ epochSeconds }) => epochSeconds !== undefined);
  const style = format === 'markdown' ? MARKDOWN : LATEX;
  const head = [
    ...(severalSets ? ['Data'] : []),
    'Method',
    'Runs',
    ...metrics.map((name) => title(name)),
    ...(hasSeconds ? ['s/epoch'] : []),
  ].map(style.text);
  const lines = rows.map((row) => [
    ...(severalSets ? [style.text(setOf(row))] : []),
    style.text(labelOf(row)),
    String(row.runs),
    ...metrics.map((name) => {
      const value = row.metrics[name];
      if (value === undefined) return '';
      const text = style.value(value);
      return isBest(rows, row, name) ? style.bold(text) : text;
    }),
    ...(hasSeconds ? [row.epochSeconds === undefined ? '' : row.epochSeconds.toPrecision(2)] : []),
  ]);
  return style.table(head, lines, severalSets ? 2 : 1);
}

/** What a row is called: its method, and how it differs from other rows of this. */
export function labelOf({ label, differs }: ReportRow): string {
  const parts = Object.entries(differs).map(([name, value]) => `${name} ${typeof value === 'string' ? value : JSON.stringify(value)}`);
  return parts.length > 0 ? `${label}, ${parts.join(', ')}` : label;
}

const setOf = ({ data, split }: ReportRow): string => (split === 'test' ? data : `${data} (${split})`);

function title(metric: string): string {
  const [kind = '', k] = metric.split('@');
  return `${TITLES[kind] ?? kind}${k === undefined ? '' : `@${k}`}`;
}

function isBest(rows: readonly ReportRow[], row: ReportRow, metric: string): boolean {
  const own = rows.filter((one) => setOf(one) === setOf(row)).flatMap((one) => one.metrics[metric]?.mean ?? []);
  return own.length > 1 && row.metrics[metric]!.mean === Math.max(...own);
}

/** How a table is written. */
export interface Style {
  text(text: string): string;
  value(value: Value): string;
  bold(text: string): string;
  /** @param texts how many columns from the left are no numbers */
  table(head: readonly string[], lines: readonly (readonly string[])[], texts: number): string[];
}

const spread = ({ mean, sd }: Value, sign: string): string => (sd === null ? mean.toFixed(4) : `${mean.toFixed(4)}${sign}${sd.toFixed(4)}`);

export const MARKDOWN: Style = {
  text: (text) => text.replace(/[\\|*_`<[\]]/g, (character) => `\\${character}`),
  value: (value) => spread(value, ' ± '),
  bold: (text) => `**${text}**`,
  table(head, lines, texts) {
    const widths = head.map((cell, i) => Math.max(cell.length, ...lines.map((line) => line[i]!.length)));
    const row = (cells: readonly string[]): string =>
      `| ${cells.map((cell, i) => (i < texts ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join(' | ')} |`;
    const rule = widths.map((width, i) => (i < texts ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`));
    return [row(head), `| ${rule.join(' | ')} |`, ...lines.map(row)];
  },
};

const SPECIAL: Readonly<Record<string, string>> = {
  '\\': '\\textbackslash{}',
  '~': '\\textasciitilde{}',
  '^': '\\textasciicircum{}',
  '−': '$-$',
  '±': '$\\pm$',
  '<': '$<$',
  '>': '$>$',
};

/** For the package booktabs. */
export const LATEX: Style = {
  text: (text) => text.replace(/[\\~^&%$#_{}−±<>]/g, (character) => SPECIAL[character] ?? `\\${character}`),
  value: (value) => spread(value, ' $\\pm$ '),
  bold: (text) => `\\textbf{${text}}`,
  table: (head, lines, texts) => [
    `\\begin{tabular}{${'l'.repeat(texts)}${'r'.repeat(head.length - texts)}}`,
    '\\toprule',
    `${head.join(' & ')} \\\\`,
    '\\midrule',
    ...lines.map((line) => `${line.join(' & ')} \\\\`),
    '\\bottomrule',
    '\\end{tabular}',
  ],
};

type Field = string | number | null | undefined;

export function csvLine(values: readonly Field[]): string {
  const field = (value: Field): string => {
    const text = value === null || value === undefined ? '' : String(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return values.map(field).join(',');
}

function csvLines(rows: readonly ReportRow[], metrics: readonly string[]): string[] {
  return [
    csvLine(['data', 'split', 'method', 'label', 'runs', ...metrics.flatMap((name) => [name, `${name} sd`]), 'epoch seconds']),
    ...rows.map((row) =>
      csvLine([
        ...[row.data, row.split, row.method, labelOf(row), row.runs],
        ...metrics.flatMap((name) => [row.metrics[name]?.mean, row.metrics[name]?.sd]),
        row.epochSeconds,
      ]),
    ),
  ];
}
