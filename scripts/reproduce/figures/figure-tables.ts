// The numbers of each figure as tables: for those who read with their ears, and to look up.
import { mean, standardDeviation } from '../../../lib/statistics.ts';
import { decimals, spread } from './axes.ts';
import type { HtmlTable } from './html-tables.ts';
import type { FigureData, Percentiles } from './types.ts';

const NAMES = ['p5', 'p25', 'p50', 'p75', 'p95'] as const;
const HEAD = ['5 %', '25 %', 'median', '75 %', '95 %'];
const five = (values: Percentiles, places = 3): string[] => NAMES.map((name) => decimals(values[name], places));

export function numbersOf(data: FigureData): HtmlTable[] {
  switch (data.figure) {
    case 'beta-sweep': {
      const line = (label: string, values: Record<string, number[]>) => [
        label,
        ...data.metrics.map(({ name }) => {
          const own = values[name]!;
          return spread(mean(own), own.length > 1 ? standardDeviation(own) : null);
        }),
      ];
      return [
        {
          caption: `Test metrics by weight of L_K${data.seeds.length > 1 ? ', mean ± standard deviation over the seeds' : ''}`,
          head: ['weight', ...data.metrics.map(({ title }) => title)],
          lines: [...data.fixed.map(({ weight, values }) => line(String(weight), values)), line('adaptive', data.adaptive.values)],
        },
      ];
    }
    case 'beta-trajectory': {
      const [first] = data.runs;
      const end = (groups: typeof data.popularity, values: Percentiles[][]) =>
        groups.map(({ label, items }, i) => [label, items.toLocaleString('en'), ...five(values[i]!.at(-1)!)]);
      return [
        {
          caption: `σ(β) at the epochs of seed ${first!.seed} that were evaluated`,
          head: ['epoch', ...HEAD],
          lines: first!.epochs.map((epoch, i) => [String(epoch), ...five(first!.all[i]!)]),
        },
        {
          caption: 'σ(β) at the last of them, by popularity and by degree',
          head: ['items with', 'items', ...HEAD],
          lines: [...end(data.popularity, first!.popularity), ...end(data.degree, first!.degree)],
        },
      ];
    }
    case 'learning-curves':
      return [
        {
          caption: 'Validation recall@20 and NDCG@20 by seed',
          head: ['epoch', ...data.runs.flatMap(({ seed }) => [`recall, seed ${seed}`, `NDCG, seed ${seed}`])],
          lines: [...new Set(data.runs.flatMap(({ validation }) => validation.map(({ epoch }) => epoch)))]
            .sort((a, b) => a - b)
            .map((epoch) => [
              String(epoch),
              ...data.runs.flatMap(({ validation }) => {
                const at = validation.find((one) => one.epoch === epoch);
                return at ? [decimals(at.recall), decimals(at.ndcg)] : ['', ''];
              }),
            ]),
        },
      ];
    case 'radius-degree':
      return data.groups.map(({ name, bins }) => ({
        caption: `${name}: distance from the origin by degree`,
        head: ['degree', 'how many', ...HEAD],
        lines: bins.map(({ from, to, rows, distance }) => [
          from === to ? String(from) : `${from}–${to}`,
          rows.toLocaleString('en'),
          ...five(distance, 2),
        ]),
      }));
    case 'attention-entropy':
      return [
        {
          caption: 'Normalised entropy of the attention by degree',
          head: ['items with', 'items', ...HEAD],
          lines: [
            ...data.byDegree.map(({ label, items, entropy }) => [label, items.toLocaleString('en'), ...five(entropy)]),
            ['all', data.items.toLocaleString('en'), ...five(data.percentiles)],
          ],
        },
      ];
    case 'disk':
      return [];
  }
}
