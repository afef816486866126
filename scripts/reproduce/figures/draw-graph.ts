// What the graph does: radius against degree, and how attention is spread over an item's triples.
import { scaleLinear, scaleLog } from 'd3-scale';
import { line } from 'd3-shape';
import { axisFrom, decimals } from './axes.ts';
import { curve, PLOT, type Panel, panel, X_RANGE, Y_RANGE } from './plot.ts';
import { type Attributes, hint, round, tag } from './svg.ts';
import { paint } from './theme.ts';
import type { AttentionEntropy, Percentiles, RadiusDegree } from './types.ts';

const POWERS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6];

const inThousands = (value: number): string => (value >= 1e6 ? `${value / 1e6}M` : value >= 1000 ? `${value / 1000}k` : String(value));

export function radiusPanels({ groups }: RadiusDegree): Panel[] {
  const all = groups.flatMap(({ bins, sample }) => [
    ...bins.flatMap(({ distance }) => [distance.p5, distance.p95]),
    ...sample.map(([, distance]) => distance),
  ]);
  const y = axisFrom('distance from the origin', all, Y_RANGE);
  return groups.map(({ name, rows, spearman, bins, sample }) => {
    const rho = spearman === null ? 'all of one degree' : `Spearman’s ρ = ${decimals(spearman, 3)}`;
    const most = Math.max(2, bins.at(-1)!.to);
    const x = scaleLog([0.8 * bins[0]!.from, 1.25 * most], X_RANGE);
    const ticks = most > 200 * bins[0]!.from ? POWERS.filter((value) => /^10*$/.test(String(value))) : POWERS;
    const middle = ({ from, to }: { from: number; to: number }) => Math.sqrt(from * to);
    const dots = sample.map(([degree, distance]) => tag('circle', { cx: x(degree), cy: y.scale(distance), r: 1.2 })).join('');
    const boxes = bins.map((bin) => {
      const at = x(middle(bin));
      const { p5, p25, p50, p75, p95 } = bin.distance;
      const range = bin.from === bin.to ? `degree ${bin.from}` : `degrees ${bin.from}–${bin.to}`;
      const label = hint(
        `${range}: ${bin.rows.toLocaleString('en')} of them, distance ${decimals(p50, 2)} (5–95 %: ${decimals(p5, 2)} to ${decimals(p95, 2)})`,
      );
      return tag(
        'g',
        { class: 'mark' },
        label,
        tag('line', { x1: at, x2: at, y1: y.scale(p5), y2: y.scale(p95), 'stroke-width': 1.2, ...paint({ stroke: 'ink' }) }),
        tag('rect', {
          ...{ x: at - 4, width: 8, y: y.scale(p75), height: Math.max(0.5, y.scale(p25) - y.scale(p75)) },
          ...{ 'stroke-width': 1.2, ...paint({ fill: 'paper', stroke: 'ink' }) },
        }),
        tag('line', { x1: at - 4, x2: at + 4, y1: y.scale(p50), y2: y.scale(p50), 'stroke-width': 2.4, ...paint({ stroke: 'c1' }) }),
      );
    });
    const path = line<(typeof bins)[number]>(
      (bin) => x(middle(bin)),
      (bin) => y.scale(bin.distance.p50),
    )(bins);
    return panel({
      title: `${name}: ${rho} (n = ${rows.toLocaleString('en')})`,
      description: `Distance from the origin against the number of triples of ${rows} ${name.toLowerCase()}; ${rho}.`,
      x: {
        label: 'degree: triples with it as head or tail (log)',
        scale: x,
        ticks: ticks.filter((value) => value >= 0.8 * bins[0]!.from && value <= 1.25 * most),
        format: inThousands,
      },
      y,
      legend: [
        { label: 'median', color: 'c1', kind: 'line' },
        { label: 'box 25–75 %, line 5–95 %; dots: a sample', color: 'ink', kind: 'line' },
      ],
      content:
        tag('g', { 'fill-opacity': 0.35, ...paint({ fill: 'c0' }) }, dots) + curve(path, 'c1', { 'stroke-width': 1 }) + boxes.join(''),
    });
  });
}

export function attentionPanels({ histogram, items, percentiles, byDegree }: AttentionEntropy): Panel[] {
  const x = scaleLinear([0, 1], X_RANGE);
  const ticks = [0, 0.2, 0.4, 0.6, 0.8, 1];
  const oneDecimal = (value: number): string => value.toFixed(1);
  const y = axisFrom('share of the items', [0, ...histogram.map((count) => count / items)], Y_RANGE);
  const label = 'entropy of the attention / ln(degree)';
  const bars = histogram.map((count, i) => {
    const [from, to] = [i / histogram.length, (i + 1) / histogram.length];
    const top = y.scale(count / items);
    const bar = { x: x(from) + 0.5, width: Math.max(0.5, x(to) - x(from) - 1), y: top, height: PLOT.height - top };
    return tag(
      'rect',
      { ...bar, ...barPaint, class: `mark ${barPaint.class}` },
      hint(`${round(from)} to ${round(to)}: ${count.toLocaleString('en')} items`),
    );
  });
  const median = x(percentiles.p50);
  const distribution = panel({
    title: `Attention of ${items.toLocaleString('en')} items, median ${decimals(percentiles.p50, 3)}`,
    description: `Normalised entropy of attention; median ${decimals(percentiles.p50, 3)}, 5 % to 95 % of the items from ${decimals(percentiles.p5, 3)} to ${decimals(percentiles.p95, 3)}.`,
    x: { label, scale: x, ticks, format: oneDecimal },
    y,
    legend: [{ label: 'median; 1: all triples count alike, 0: one alone', color: 'c1', kind: 'line', dash: '6 3' }],
    content:
      bars.join('') +
      tag('line', {
        x1: median,
        x2: median,
        y1: 0,
        y2: PLOT.height,
        'stroke-width': 2,
        'stroke-dasharray': '6 3',
        ...paint({ stroke: 'c1' }),
      }),
  });
  return [distribution, byDegreePanel(byDegree, label)];
}

const barPaint: Attributes = { 'fill-opacity': 0.75, ...paint({ fill: 'c0' }) };

function byDegreePanel(groups: AttentionEntropy['byDegree'], label: string): Panel {
  const low = Math.min(...groups.map(({ entropy }) => entropy.p5));
  const scale = scaleLinear([Math.max(0, Math.min(0.9, Math.floor(10 * low) / 10)), 1], Y_RANGE);
  const y = { label, scale, ticks: scale.ticks(5), format: scale.tickFormat(5) };
  const x = scaleLinear([-0.6, groups.length - 0.4], X_RANGE);
  const box = ({ p5, p25, p50, p75, p95 }: Percentiles, i: number, name: string, count: number) =>
    tag(
      'g',
      { class: 'mark' },
      hint(`${name}: ${count.toLocaleString('en')} items, median ${decimals(p50, 3)}`),
      tag('line', { x1: x(i), x2: x(i), y1: y.scale(p5), y2: y.scale(p95), 'stroke-width': 1.2, ...paint({ stroke: 'ink' }) }),
      tag('rect', {
        ...{ x: x(i) - 14, width: 28, y: y.scale(p75), height: Math.max(0.5, y.scale(p25) - y.scale(p75)) },
        ...{ 'stroke-width': 1.2, ...paint({ fill: 'paper', stroke: 'ink' }) },
      }),
      tag('line', { x1: x(i) - 14, x2: x(i) + 14, y1: y.scale(p50), y2: y.scale(p50), 'stroke-width': 2.4, ...paint({ stroke: 'c1' }) }),
    );
  return panel({
    title: 'The same by degree',
    description: groups.map(({ label: name, entropy }) => `${name}: median ${decimals(entropy.p50, 3)}`).join('; '),
    x: {
      label: 'triples of the item',
      scale: x,
      ticks: groups.map((_, i) => i),
      format: (i) => groups[i]!.label.replace(/ triples?$/, ''),
    },
    y,
    legend: [
      { label: 'median', color: 'c1', kind: 'line' },
      { label: 'box 25–75 %, line 5–95 %', color: 'ink', kind: 'line' },
    ],
    content: groups.map(({ entropy, label: name, items }, i) => box(entropy, i, name, items)).join(''),
  });
}
