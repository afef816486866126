// The comparison as text: a row per method, mean ± standard deviation over seeds, and the paired t-test against Hyper-Know.
import type { Row } from '../../lib/report/comparison.ts';
import { markdown, number, signed, spread } from '../../lib/report/numbers.ts';

function probability(p: number): string {
  return p < 1e-4 ? 'p < 0.0001' : `p = ${p.toFixed(4)}`;
}

/** A table for a terminal, and readable as Markdown. `tested` is the metric of the t-test column. */
export function tableOf(rows: readonly Row[], metrics: readonly { name: string; title: string }[], tested: string): string {
  const head = ['', ...metrics.map(({ title }) => title), 'Hyper-Know − this', 'paired t-test', 's/epoch'];
  const lines = rows.map((row) => {
    const test = row.againstHyperKnow?.[tested];
    return [
      row.label,
      ...metrics.map(({ name }) => spread(row.metrics[name]!)),
      test === undefined ? '' : signed(test.difference),
      test === undefined ? '' : probability(test.p),
      row.epochSeconds === undefined ? '' : row.epochSeconds.toPrecision(2),
    ];
  });
  return markdown(head, lines);
}

/** Sentences about what the comparison shows where it is not what the paper found (Table 3's order of variants). */
export function remarksOf(rows: readonly Row[], metric: string): string[] {
  const value = new Map(rows.map((row) => [row.method, row.metrics[metric]!.mean]));
  const remarks: string[] = [];
  const expected = [
    ['bpr-h', 'bpr-e', 'BPR+H above BPR+E'],
    ['bpr-att-e', 'bpr-e', 'BPR+Att+E above BPR+E'],
    ['bpr-att-h', 'bpr-att-e', 'BPR+Att+H above BPR+Att+E'],
    ['bpr-att-h', 'bpr-avg-h', 'attention above average (BPR+Att+H above BPR+Avg+H)'],
    ['hyper-know', 'bpr-att-h', 'Hyper-Know above BPR+Att+H'],
  ] as const;
  for (const [better, worse, claim] of expected) {
    const a = value.get(better);
    const b = value.get(worse);
    if (a !== undefined && b !== undefined && !(a > b))
      remarks.push(`The paper finds ${claim}; not here: ${number(a)} against ${number(b)}.`);
  }
  const own = value.get('hyper-know');
  const controls = rows.filter((row) => row.method.startsWith('control:'));
  if (own !== undefined)
    for (const row of controls)
      if (row.metrics[metric]!.mean >= own)
        remarks.push(`${row.label} is at or above Hyper-Know: ${number(row.metrics[metric]!.mean)} against ${number(own)}.`);
  return remarks;
}
