// Seconds per epoch, for loading, and for the full ranking of all users, on one data set or on a synthetic one of the published sizes.
//
//   node --import tsx scripts/bench/epoch.ts [--data FOLDER | --shape last-fm|amazon-book|yelp2018] [--variant hyper-know] [--epochs 7]
//                                            [--backend auto|cpu|cuda] [--threads N] [--kernels] [--json FILE]
//
// Expected: the machine, then one line each for loading, epoch and evaluation: median (smallest – largest), and the largest resident
// memory. The first epoch, which also meets all memory for the first time, is left out of the median. Without --data and --shape: last-fm.
// --kernels also prints the time in each kernel; every kernel is then waited for, which costs a GPU some of its speed.
// Time on 2 cores: 20 s for 300,000 samples, a minute for the shape of last-fm.
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { availableParallelism, cpus, totalmem } from 'node:os';
import { parseArgs } from 'node:util';
import { type Dataset, loadDataset } from '../../lib/data/dataset.ts';
import { type Shape, synthetic } from '../../lib/data/synthetic.ts';
import { evaluate } from '../../lib/evaluate.ts';
import { backends, resolveBackend } from '../../lib/native.ts';
import { quantile } from '../../lib/statistics.ts';
import { train } from '../../lib/train.ts';
import type { VariantName } from '../../lib/variants.ts';

const { values } = parseArgs({
  options: {
    data: { type: 'string' },
    shape: { type: 'string' },
    variant: { type: 'string', default: 'hyper-know' },
    epochs: { type: 'string', default: '7' },
    backend: { type: 'string', default: 'auto' },
    threads: { type: 'string', default: String(availableParallelism()) },
    kernels: { type: 'boolean', default: false },
    json: { type: 'string' },
  },
});
if (values.data !== undefined && values.shape !== undefined) throw new RangeError('--data and --shape exclude each other');

interface Timing {
  median: number;
  smallest: number;
  largest: number;
  runs: number;
}

function timing(seconds: readonly number[]): Timing {
  return { median: quantile(seconds, 0.5), smallest: Math.min(...seconds), largest: Math.max(...seconds), runs: seconds.length };
}

async function timed<T>(repeats: number, work: () => T | Promise<T>): Promise<[T, Timing]> {
  const seconds: number[] = [];
  let result!: T;
  for (let i = 0; i < repeats; ++i) {
    const started = performance.now();
    result = await work();
    seconds.push((performance.now() - started) / 1000);
  }
  return [result, timing(seconds)];
}

/** The commit that is measured, marked where the tree differs from it; absent outside a checkout. */
function commit(): string | undefined {
  try {
    return execFileSync('git', ['describe', '--always', '--dirty', '--abbrev=12'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  } catch {
    return undefined;
  }
}

const backend = resolveBackend(values.backend) as 'cpu' | 'cuda';
const threads = Number(values.threads);
const shape = (values.shape ?? 'last-fm') as Shape;
const open = (): Dataset | Promise<Dataset> => (values.data === undefined ? synthetic({ shape, seed: 1 }) : loadDataset(values.data));
const [dataset, load] = await timed(values.data === undefined ? 1 : 3, open);

if (values.kernels) process.env.HYPER_KNOW_TIME_KERNELS = '1';
const seconds: number[] = [];
const kernelSeconds: Record<string, number>[] = [];
const epochs = Number(values.epochs) + 1;
const run = train(dataset, {
  variant: values.variant as VariantName,
  backend,
  threads,
  epochs,
  evaluateEvery: epochs,
  earlyStopping: false,
  seed: 1,
});
for await (const event of run) {
  seconds.push(event.seconds);
  if (event.kernelSeconds) kernelSeconds.push(event.kernelSeconds);
}
const model = await run;
const epoch = timing(seconds.slice(1));
const [, evaluation] = await timed(3, () => evaluate(model, dataset, { backend, threads }));

const kernels = Object.fromEntries(
  Object.keys(kernelSeconds[0] ?? {}).map((name) => [name, timing(kernelSeconds.slice(1).map((epoch) => epoch[name] ?? 0))]),
);

const result = {
  commit: commit(),
  device: backends().find(({ name }) => name === backend)!.device,
  processor: cpus()[0]!.model,
  processors: availableParallelism(),
  memoryBytes: totalmem(),
  node: process.version,
  backend,
  threads,
  data: values.data === undefined ? `synthetic, shape ${shape}` : { digests: dataset.report.files },
  samples: dataset.train.items.length,
  triples: dataset.graph.tails.length,
  variant: values.variant,
  options: model.training.options,
  seconds: { load, epoch, evaluation },
  ...(values.kernels ? { kernels } : {}),
  samplesPerSecond: dataset.train.items.length / epoch.median,
  peakResidentBytes: process.resourceUsage().maxRSS * 1024,
};
const show = (name: string, { median, smallest, largest, runs }: Timing) =>
  console.log(`${name.padEnd(12)}${median.toFixed(3)} s  (${smallest.toFixed(3)} – ${largest.toFixed(3)}, ${runs} runs)`);
console.log(
  `${result.device}; ${result.processor}, ${result.processors} processors; backend ${backend}, ${threads} threads; ${result.commit ?? ''}`,
);
console.log(`${values.data ?? result.data}: ${result.samples} samples, ${result.triples} triples of items, ${values.variant}`);
show(values.data === undefined ? 'generate' : 'load', load);
show('epoch', epoch);
show('evaluation', evaluation);
for (const [name, time] of Object.entries(kernels).sort(([, a], [, b]) => b.median - a.median)) {
  const share = ((100 * time.median) / epoch.median).toFixed(1).padStart(5);
  console.log(`  ${name.padEnd(24)}${(1000 * time.median).toFixed(1).padStart(8)} ms ${share} %`);
}
console.log(`${Math.round(result.samplesPerSecond)} samples/s, ${Math.round(result.peakResidentBytes / 2 ** 20)} MiB resident at most`);
if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(result, null, 2)}\n`);
