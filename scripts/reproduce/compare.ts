// The variants of the paper's Table 3 beside the controls, on one data set. Every seed is one of the split, too.
import { join } from 'node:path';
import type { Command } from './command.ts';
import { controlsFor } from './controls.ts';
import { keyOf, sizesOf } from './data.ts';
import { keepResult, METRICS, type Method, resultOf, VERSION } from './methods.ts';
import { Progress } from './progress.ts';
import { protocolOf } from './protocol.ts';
import { type RunResult, writeWhole } from './runs.ts';
import { remarksOf, rowsOf, tableOf } from './table.ts';

export async function compare({ sources, variants, seeds, options, controls: wanted, out }: Command): Promise<void> {
  const source = sources[0]!;
  const first = await source.open(1);
  process.stderr.write(`${source.name}: ${sizesOf(first)}\n`);
  const { controls, remarks: missing } = wanted ? controlsFor(first) : { controls: [], remarks: [] };
  const methods: Method[] = [
    ...variants.map(({ name, label }) => ({ name, label, kind: 'model' as const, options: { ...options, variant: name } })),
    ...controls.map((control) => ({ name: control.name, label: control.label, kind: 'control' as const, control })),
  ];
  const progress = new Progress(methods.length * seeds.length);
  const results = new Map<string, RunResult[]>();
  for (const seed of seeds) {
    const dataset = seed === 1 ? first : await source.open(seed);
    const data = keyOf(dataset);
    for (const method of methods) {
      const result = await resultOf(method, { dataset, data, seed, out, progress });
      keepResult(results, method, result);
      const own = METRICS.map(({ name, title }) => `${title} ${result.metrics[name]!.toFixed(4)}`).join('  ');
      const time = result.isNew ? `${result.seconds.toFixed(1)} s` : 'finished before';
      progress.finish(`${method.label}, seed ${seed}: ${own}  (${time})`, !result.isNew);
    }
  }

  const rows = rowsOf(
    methods,
    results,
    METRICS.map(({ name }) => name),
  );
  const remarks = [...missing, ...remarksOf(rows, 'recall@20')];
  console.log(tableOf(rows, METRICS, 'recall@20'));
  for (const remark of remarks) console.log(remark);
  const { threads, ...decisive } = options;
  const document = {
    schema: 'hyper-know/results/2',
    version: VERSION,
    protocol: { dataset: { ...keyOf(first), report: first.report }, options: decisive, seeds, ...protocolOf(threads) },
    rows,
    remarks,
    runs: [...results.values()].flat().map(({ perUser: _perUser, ...rest }) => rest),
  };
  writeWhole(join(out, 'results.json'), `${JSON.stringify(document, undefined, 2)}\n`);
  process.stderr.write(`wrote ${join(out, 'results.json')}\n`);
}
