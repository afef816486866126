// The same trainings on the CPU and on a GPU, several seeds each: do they lead to the same recommendations? Rounding differs, and training
// carries it far, so single runs part; their means must not.
//
//   npm run bench -- backends [--data FOLDER] [--against cuda] [--seeds 5] [--epochs N] [--limit 0.5%] [--json FILE] [--markdown]
//
// Expected: per metric the two means, their standard deviations over the seeds and the relative difference; ends with 5 where one is above
// the limit. Without --data: the small synthetic world. Time there: half a minute on 2 cores, and what the GPU takes.
import { synthetic } from '../../lib/data/synthetic.ts';
import { evaluate } from '../../lib/evaluate.ts';
import { backends } from '../../lib/native.ts';
import { mean, standardDeviation } from '../../lib/statistics.ts';
import { train } from '../../lib/train.ts';
import { openDataset } from './data.ts';
import { command, digits, integer, machine, oneOf, options, percent, report } from './document.ts';

const METRICS = ['recall', 'ndcg', 'precision', 'hitRate', 'mrr'] as const;

async function main(): Promise<number> {
  const values = options({
    data: { type: 'string' },
    against: { type: 'string', default: 'cuda' },
    seeds: { type: 'string', default: '5' },
    epochs: { type: 'string' },
    limit: { type: 'string', default: '0.5%' },
  });
  const names = backends().map(({ name }) => name);
  const against = oneOf('against', values.against, names) as 'cuda';
  const seeds = integer('seeds', values.seeds, 1, 100);
  const limit = percent('limit', values.limit);
  const described = machine(against);
  const dataset = values.data === undefined ? { ...synthetic({ seed: 1 }), label: 'synthetic' } : await openDataset(values);

  const found = { cpu: [] as number[][], [against]: [] as number[][] };
  for (let seed = 1; seed <= seeds; ++seed)
    for (const backend of ['cpu', against] as const) {
      const epochs = values.epochs === undefined ? {} : { epochs: integer('epochs', values.epochs) };
      const model = await train(dataset, { backend, seed, earlyStopping: false, ...epochs });
      const metrics = await evaluate(model, dataset, { k: 20, backend });
      found[backend]!.push(METRICS.map((name) => metrics[name][20]!));
    }

  const rows = METRICS.map((name, i) => {
    const of = (backend: 'cpu' | 'cuda') => found[backend]!.map((run) => run[i]!);
    const [cpu, gpu] = [of('cpu'), of(against)];
    return { name, cpu, gpu, difference: Math.abs(mean(gpu) / mean(cpu) - 1) };
  });
  const show = (all: readonly number[]) => `${digits(mean(all))} ± ${digits(all.length > 1 ? standardDeviation(all) : 0)}`;
  report(
    {
      benchmark: 'backends',
      ...described,
      backend: against,
      data: dataset.label,
      seeds,
      metrics: Object.fromEntries(rows.map(({ name, cpu, gpu }) => [name, { cpu, [against]: gpu }])),
      tables: [
        {
          title: `${dataset.label}, ${seeds} seeds: test metrics at 20, mean ± standard deviation`,
          columns: ['metric', 'cpu', against, 'difference'],
          rows: rows.map(({ name, cpu, gpu, difference }) => [name, show(cpu), show(gpu), `${digits(100 * difference)} %`]),
        },
      ],
    },
    values,
  );
  return rows.some(({ difference }) => !(difference <= limit)) ? 5 : 0;
}

await command(main);
