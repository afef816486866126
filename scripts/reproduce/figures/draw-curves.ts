// Learning curves: loss and validation over the epochs, a line a seed.
import { line } from 'd3-shape';
import { axisFrom, decimals, epochAxis } from './axes.ts';
import { curve, dashOf, type Panel, panel, Y_RANGE } from './plot.ts';
import { tag } from './svg.ts';
import { mark, OTHER, paint, SERIES } from './theme.ts';
import type { LearningCurves } from './types.ts';

/** More points than this on a line cannot be told apart. */
const POINTS = 240;

/** Of [epoch, value] from epoch 1, as many as can be seen, with the first and the last. */
function thinned(values: readonly number[]): [number, number][] {
  const step = Math.max(1, Math.ceil(values.length / POINTS));
  return values.map((value, i): [number, number] => [i + 1, value]).filter((_, i) => i % step === 0 || i === values.length - 1);
}

export function curvesPanels({ runs }: LearningCurves): Panel[] {
  const x = epochAxis(Math.max(...runs.map(({ rankingLoss }) => rankingLoss.length)));
  const colorOf = (i: number) => SERIES[i] ?? OTHER;
  const drawn = (title: string, label: string, pointsOf: (run: LearningCurves['runs'][number]) => [number, number][]): Panel => {
    const lines = runs.map(pointsOf);
    const y = axisFrom(
      label,
      lines.flat().map(([, value]) => value),
      Y_RANGE,
    );
    const draw = line<[number, number]>(
      ([epoch]) => x.scale(epoch),
      ([, value]) => y.scale(value),
    );
    return panel({
      title,
      description: runs.map(({ seed }, i) => `seed ${seed}: ${decimals(lines[i]!.at(-1)?.[1] ?? 0)} at the end`).join('; '),
      x,
      y,
      legend: runs.map(({ seed }, i) => ({
        label: `seed ${seed}`,
        color: colorOf(i),
        dash: dashOf(i),
        kind: 'line' as const,
        series: String(i),
      })),
      content: lines
        .map((points, i) => {
          const { selectedEpoch } = runs[i]!;
          const kept = points.find(([epoch]) => epoch >= selectedEpoch);
          const place = kept
            ? mark(i, x.scale(kept[0]), y.scale(kept[1]), 4, { 'stroke-width': 1.4, ...paint({ fill: 'paper', stroke: colorOf(i) }) })
            : '';
          return tag(
            'g',
            { 'data-series': String(i) },
            curve(draw(points), colorOf(i), { 'stroke-dasharray': dashOf(i), 'stroke-width': 1.4 }),
            place,
          );
        })
        .join(''),
    });
  };
  const panels = [
    drawn('Ranking loss L_R', 'L_R, mean of an epoch', ({ rankingLoss }) => thinned(rankingLoss)),
    drawn('Weighted knowledge loss σ(β)·L_K', 'σ(β)·L_K, mean of an epoch', ({ knowledgeLoss }) => thinned(knowledgeLoss)),
  ];
  if (runs.every(({ validation }) => validation.length === 0)) return panels;
  return [
    ...panels,
    drawn('Recall@20 on the validation split', 'Recall@20', ({ validation }) => validation.map(({ epoch, recall }) => [epoch, recall])),
    drawn('NDCG@20 on the validation split', 'NDCG@20 (standard)', ({ validation }) => validation.map(({ epoch, ndcg }) => [epoch, ndcg])),
  ];
}
