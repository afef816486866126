// Figure 2: fixed weights against the learned ones, and where those go.
import { scaleLinear, scaleLog } from 'd3-scale';
import { area, line } from 'd3-shape';
import { mean, standardDeviation } from '../../../lib/statistics.ts';
import { axisFrom, decimals, epochAxis, spread } from './axes.ts';
import { curve, dashOf, PLOT, type Panel, panel, type Scale, X_RANGE, Y_RANGE } from './plot.ts';
import { hint, round, tag, text } from './svg.ts';
import { type Color, mark, paint, SERIES } from './theme.ts';
import type { BetaSweep, BetaTrajectory, ItemGroup, Percentiles, TrajectoryRun } from './types.ts';

const overSeeds = (values: readonly number[]) => ({ mean: mean(values), sd: values.length > 1 ? standardDeviation(values) : 0 });

export function sweepPanels({ metrics, fixed, adaptive, seeds }: BetaSweep): Panel[] {
  const weights = fixed.map(({ weight }) => weight);
  const { scale, ticks } = weightScale(weights);
  const several = seeds.length > 1;
  return metrics.map(({ name, title }) => {
    const points = fixed.map(({ weight, values }) => ({ weight, ...overSeeds(values[name]!) }));
    const learned = overSeeds(adaptive.values[name]!);
    const y = axisFrom(
      title,
      [...points, learned].flatMap(({ mean: m, sd }) => [m - sd, m + sd]),
      Y_RANGE,
    );
    const bars = points.map(({ weight, mean: m, sd }) => {
      const [at, place] = [scale(weight), y.scale(m)];
      const bar = several ? errorBar(at, y.scale(m - sd), y.scale(m + sd)) : '';
      const label = hint(`fixed ${weight}: ${title} ${spread(m, several ? sd : null)}`);
      return tag(
        'g',
        { class: 'mark' },
        label,
        bar,
        mark(0, at, place, 3.6, { 'stroke-width': 1.6, ...paint({ fill: 'paper', stroke: 'c0' }) }),
      );
    });
    const path = line<(typeof points)[number]>(
      ({ weight }) => scale(weight),
      (point) => y.scale(point.mean),
    )(points);
    const band = several
      ? tag('rect', {
          x: PLOT.left,
          width: PLOT.right - PLOT.left,
          y: y.scale(learned.mean + learned.sd),
          height: y.scale(learned.mean - learned.sd) - y.scale(learned.mean + learned.sd),
          'fill-opacity': 0.18,
          ...paint({ fill: 'c1' }),
        })
      : '';
    const level = y.scale(learned.mean);
    const across = tag(
      'g',
      { class: 'mark' },
      hint(`adaptive: ${title} ${spread(learned.mean, several ? learned.sd : null)}`),
      [band, curve(`M${PLOT.left} ${round(level)}H${PLOT.right}`, 'c1', { 'stroke-dasharray': dashOf(1) })].join(''),
    );
    return panel({
      title: `${title} on the test split`,
      description: `${title} for fixed weights ${points.map((point) => `${point.weight}: ${decimals(point.mean)}`).join(', ')}; adaptive: ${decimals(learned.mean)}.`,
      x: { label: 'fixed weight of L_K (log scale; 0 apart)', scale, ticks, format: plain },
      y,
      legend: [
        { label: 'fixed', color: 'c0', kind: 'mark', shape: 0 },
        { label: several ? 'adaptive σ(β), mean ± sd' : 'adaptive σ(β)', color: 'c1', kind: 'line', dash: dashOf(1) },
      ],
      content: across + curve(path, 'c0') + bars.join('') + (weights[0] === 0 ? axisBreak(scale, weights) : ''),
    });
  });
}

/** Without the zero before the point, as the tables of the field have it. */
const plain = (value: number): string => (value === 0 || value >= 1 ? String(value) : String(value).replace(/^0/, ''));

/** Logarithmic in what is above 0, which has a place of its own on the left. */
function weightScale(weights: readonly number[]): { scale: Scale; ticks: number[] } {
  const positive = weights.filter((weight) => weight > 0);
  const hasZero = positive.length < weights.length;
  const log = scaleLog([positive[0]!, positive.at(-1)!], [X_RANGE[0] + (hasZero ? 46 : 14), X_RANGE[1] - 12]);
  const zero = X_RANGE[0] + 14;
  const scale = Object.assign((weight: number) => (weight === 0 ? zero : log(weight)), log) as unknown as Scale;
  // Of ticks that would meet, the one further right goes; the ends stay.
  const ticks: number[] = [];
  for (const weight of [...weights].reverse()) if (ticks.length === 0 || scale(ticks.at(-1)!) - scale(weight) >= 24) ticks.push(weight);
  return { scale, ticks: ticks.reverse() };
}

/** Two strokes across the axis between 0 and the first logarithmic place. */
function axisBreak(scale: Scale, weights: readonly number[]): string {
  const at = Math.round(0.5 * (scale(0) + scale(weights[1]!)));
  const gap = tag('rect', { x: at - 2, y: PLOT.height - 2, width: 4, height: 4, ...paint({ fill: 'paper' }) });
  return (
    gap +
    tag('path', { d: `M${at - 4} ${PLOT.height + 4}l4 -8M${at} ${PLOT.height + 4}l4 -8`, 'stroke-width': 1, ...paint({ stroke: 'ink' }) })
  );
}

function errorBar(x: number, low: number, high: number): string {
  const d = `M${[x - 3.5, low].map(round).join(' ')}h7m-3.5 0V${round(high)}m-3.5 0h7`;
  return tag('path', { d, 'stroke-width': 1.2, ...paint({ stroke: 'c0' }) });
}

export function trajectoryPanels({ start, runs, popularity, degree, items }: BetaTrajectory): Panel[] {
  const first = runs[0]!;
  const last = Math.max(...runs.map(({ epochs }) => epochs.at(-1)!));
  const x = epochAxis(last);
  const shown = [...first.all.map(({ p95 }) => p95), ...[...first.popularity, ...first.degree].flat().map(({ p75 }) => p75)];
  const scale = scaleLinear([0, Math.min(1, 1.05 * Math.max(start, ...shown))], Y_RANGE).nice(5);
  const y = { label: 'σ(β)', scale, ticks: scale.ticks(5), format: scale.tickFormat(5) };
  const withStart = (run: TrajectoryRun, values: readonly Percentiles[]): [number, Percentiles][] => [
    [0, { p5: start, p25: start, p50: start, p75: start, p95: start }],
    ...run.epochs.map((epoch, i): [number, Percentiles] => [epoch, values[i]!]),
  ];
  const lineOf = (points: readonly [number, Percentiles][], name: keyof Percentiles) =>
    line<[number, Percentiles]>(
      ([epoch]) => x.scale(epoch),
      ([, value]) => y.scale(value[name]),
    )(points);
  const bandOf = (points: readonly [number, Percentiles][], low: keyof Percentiles, high: keyof Percentiles) =>
    area<[number, Percentiles]>(
      ([epoch]) => x.scale(epoch),
      ([, value]) => y.scale(value[low]),
      ([, value]) => y.scale(value[high]),
    )(points);
  const fan = withStart(first, first.all);
  const others = runs
    .slice(1)
    .map((run) => curve(lineOf(withStart(run, run.all), 'p50'), 'ink', { 'stroke-width': 1, 'stroke-dasharray': '2 2.5' }));
  const bands = [
    tag('path', { d: bandOf(fan, 'p5', 'p95') ?? '', 'fill-opacity': 0.16, ...paint({ fill: 'c0' }) }),
    tag('path', { d: bandOf(fan, 'p25', 'p75') ?? '', 'fill-opacity': 0.3, ...paint({ fill: 'c0' }) }),
    curve(lineOf(fan, 'p5'), 'c0', { 'stroke-width': 0.8 }) + curve(lineOf(fan, 'p95'), 'c0', { 'stroke-width': 0.8 }),
    curve(lineOf(fan, 'p50'), 'ink', { 'stroke-width': 2.2 }),
  ];
  const all = panel({
    title: `σ(β) of ${items.toLocaleString('en')} items: percentiles, seed ${first.seed}`,
    description: `Median σ(β) goes from ${start} to ${decimals(first.all.at(-1)!.p50)}, 5 % to 95 % of the items lie between ${decimals(first.all.at(-1)!.p5)} and ${decimals(first.all.at(-1)!.p95)} at the end.`,
    x,
    y,
    legendRows: 2,
    legend: [
      { label: 'median', color: 'ink', kind: 'line' },
      { label: '25–75 %, 5–95 %', color: 'c0', kind: 'band' },
      ...(others.length > 0 ? [{ label: 'medians of other seeds', color: 'ink' as Color, kind: 'line' as const, dash: '2 2.5' }] : []),
    ],
    content: bands.join('') + others.join('') + selection(x.scale(first.selectedEpoch)),
  });
  const grouped = (title: string, groups: readonly ItemGroup[], values: readonly Percentiles[][]) =>
    panel({
      title,
      description: groups.map(({ label }, i) => `${label}: median ${decimals(values[i]!.at(-1)!.p50)} at the end`).join('; '),
      x,
      y,
      legendRows: 2,
      legend: groups.map(({ label, items: count }, i) => ({
        label: `${label} (${count.toLocaleString('en')})`,
        color: SERIES[i]!,
        dash: dashOf(i),
        kind: 'line' as const,
        series: String(i),
      })),
      content:
        groups
          .map((_, i) => {
            const points = withStart(first, values[i]!);
            const band = tag('path', { d: bandOf(points, 'p25', 'p75') ?? '', 'fill-opacity': 0.1, ...paint({ fill: SERIES[i]! }) });
            return tag(
              'g',
              { 'data-series': String(i) },
              band,
              curve(lineOf(points, 'p50'), SERIES[i]!, { 'stroke-dasharray': dashOf(i) }),
            );
          })
          .join('') + selection(x.scale(first.selectedEpoch)),
    });
  return [
    all,
    grouped('Median by popularity (training interactions)', popularity, first.popularity),
    grouped('Median by degree (triples of the item)', degree, first.degree),
  ];
}

/** Where the epoch stands that was kept. */
export function selection(x: number): string {
  const at = Number(round(x));
  const stroke = { 'stroke-width': 1, 'stroke-dasharray': '1 2', ...paint({ stroke: 'muted' }) };
  const left = at > PLOT.right - 40;
  const label = text(
    { x: at + (left ? -3 : 3), y: 9, 'text-anchor': left ? 'end' : 'start', 'font-size': 10, ...paint({ fill: 'muted' }) },
    'kept',
  );
  return tag('line', { x1: at, x2: at, y1: 0, y2: PLOT.height, ...stroke }) + label;
}
