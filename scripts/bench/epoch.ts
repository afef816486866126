// Seconds per epoch, for loading, and for the full ranking of all users, on one data set or on a synthetic one of the published sizes; what
// an epoch has to do at least, and how far from that it is.
//
//   npm run bench -- epoch [--data FOLDER | --shape last-fm|amazon-book|yelp2018] [--variant hyper-know] [--epochs 7]
//                          [--backend auto|cpu|cuda] [--threads N] [--kernels] [--ceilings cpu|FILE] [--json FILE] [--markdown]
//
// Expected: the machine; loading, epoch and evaluation: median (smallest – largest); the work of an epoch and its rates; the largest resident
// memory. The first epoch, which also meets all memory for the first time, is left out of the median. Without --data and --shape: last-fm.
// --kernels also prints the time in each kernel; every kernel is then waited for, which costs a GPU some of its speed.
// --ceilings: the least time that the machine would allow, from ceilings measured in this run (cpu: needs a C++ compiler) or read from what
// ceilings.cu or `npm run bench -- ceilings` wrote. Time on 2 cores: 20 s for 300,000 samples, a minute for the shape of last-fm.
import { availableParallelism } from 'node:os';
import { argumentError } from '../../lib/errors.ts';
import { evaluate } from '../../lib/evaluate.ts';
import { native, resolveBackend } from '../../lib/native.ts';
import { train } from '../../lib/train.ts';
import { VARIANTS } from '../../lib/variants.ts';
import { configuration, openDataset } from './data.ts';
import { command, digits, integer, machine, oneOf, options, report, showSpread, type Table } from './document.ts';
import { limitsOf, measureProcessor, readCeilings } from './limits.ts';
import { type Spread, spread, timed } from './measure.ts';
import { type Ceilings, countEpoch, type Floor, floorOf, type Work, workOf } from './work.ts';

/** Table 4 of the paper: seconds per epoch on one V100. Cited, not measured here. */
const TABLE_4: Readonly<Record<string, number>> = { 'amazon-book': 15, 'last-fm': 22, yelp2018: 20 };

async function main(): Promise<number> {
  const values = options({
    data: { type: 'string' },
    shape: { type: 'string' },
    variant: { type: 'string', default: 'hyper-know' },
    epochs: { type: 'string', default: '7' },
    backend: { type: 'string', default: 'auto' },
    threads: { type: 'string', default: String(availableParallelism()) },
    kernels: { type: 'boolean', default: false },
    ceilings: { type: 'string' },
  });
  const backend = resolveBackend(oneOf('backend', values.backend, ['auto', 'cpu', 'cuda'])) as 'cpu' | 'cuda';
  const threads = integer('threads', values.threads, 1, 1024);
  const epochs = integer('epochs', values.epochs);
  const variants = VARIANTS.map(({ name }) => name);
  const variant = oneOf('variant', values.variant, variants);
  if (values.ceilings === 'cpu' && backend !== 'cpu')
    throw argumentError('range', '--ceilings', 'those of the processor say nothing of a card');

  const described = machine(backend);
  const ceilings = await ceilingsFor(values.ceilings, threads);
  const { result: dataset, seconds: loading } = await timed(values.data === undefined ? 1 : 3, () => openDataset(values));

  if (values.kernels) process.env.HYPER_KNOW_TIME_KERNELS = '1';
  const seconds: number[] = [];
  const kernelSeconds: Record<string, number>[] = [];
  const gaps: number[] = [];
  let deviceBytes = 0;
  const own = { variant, backend, threads, seed: 1 };
  const run = train(dataset, { ...own, epochs: epochs + 1, evaluateEvery: epochs + 1, earlyStopping: false });
  for await (const event of run) {
    seconds.push(event.seconds);
    if (event.kernelSeconds) kernelSeconds.push(event.kernelSeconds);
    if (!event.device) continue;
    gaps.push(event.seconds - event.device.busySeconds);
    deviceBytes = event.device.memoryBytes;
  }
  const model = await run;
  const epoch = spread(seconds.slice(1));
  const { seconds: evaluating } = await timed(3, () => evaluate(model, dataset, { backend, threads }));
  const kernels: Record<string, Spread> = Object.fromEntries(
    Object.keys(kernelSeconds[0] ?? {}).map((name) => [name, spread(kernelSeconds.slice(1).map((epoch) => epoch[name] ?? 0))]),
  );

  const { counts, work } = workOfEpoch(dataset, own);
  const floor = ceilings && floorOf(work, counts.batches, 4 * model.dim * dataset.entities, ceilings);
  const times = { load: spread(loading), epoch, evaluation: spread(evaluating) };
  const onDevice = gaps.length > 1 ? { hostGaps: spread(gaps.slice(1)), memoryBytes: deviceBytes } : undefined;
  const samplesPerSecond = dataset.train.items.length / epoch.median;
  const peakResidentBytes = process.resourceUsage().maxRSS * 1024;
  const cited = values.data === undefined ? TABLE_4[values.shape ?? 'last-fm'] : undefined;

  const rows = [
    [values.data === undefined ? 'generate' : 'load', ...timeCells(times.load), ''],
    ['epoch', ...timeCells(epoch), `${digits(samplesPerSecond)} samples/s`],
    ...(onDevice ? [['of it, the card waits for the host', ...timeCells(onDevice.hostGaps), '']] : []),
    ['evaluation, all users', ...timeCells(times.evaluation), ''],
  ];
  const tables: Table[] = [
    {
      title: `${dataset.label}, ${variant}: ${digits(dataset.train.items.length)} samples, ${digits(dataset.graph.tails.length)} triples of items`,
      columns: ['what', 'seconds (smallest – largest)', 'quartiles', 'runs', ''],
      rows,
      notes: [
        `${digits(peakResidentBytes / 2 ** 20)} MiB resident at most.`,
        ...(onDevice ? [`${digits(onDevice.memoryBytes / 2 ** 20)} MiB of the card's memory.`] : []),
      ],
    },
    workTable(counts, work, epoch, model.dim),
    ...(floor === undefined || ceilings === undefined ? [] : [floorTable(floor, ceilings, epoch)]),
    ...(cited === undefined ? [] : [citedTable(cited, epoch, dataset.train.items.length)]),
    ...(values.kernels ? [kernelTable(kernels, epoch)] : []),
  ];
  report(
    {
      benchmark: 'epoch',
      ...described,
      backend,
      threads,
      data: values.data === undefined ? dataset.label : { digests: dataset.report.files },
      samples: dataset.train.items.length,
      triples: dataset.graph.tails.length,
      variant,
      options: model.training.options,
      seconds: times,
      ...(values.kernels ? { kernels } : {}),
      samplesPerSecond,
      peakResidentBytes,
      ...(onDevice ? { onDevice } : {}),
      counts,
      work,
      ...(floor === undefined ? {} : { ceilings, floor, ratioToFloor: epoch.median / floor.seconds }),
      ...(cited === undefined ? {} : { cited: { source: 'Table 4 of the paper, one V100', seconds: cited, ratio: cited / epoch.median } }),
      tables,
    },
    values,
  );
  return 0;
}

async function ceilingsFor(option: string | undefined, threads: number): Promise<Ceilings | undefined> {
  if (option === undefined) return undefined;
  if (option !== 'cpu') return readCeilings(option);
  const measured = await measureProcessor(threads);
  if (typeof measured !== 'string') return limitsOf(measured);
  console.log(`ceilings: left out, ${measured}`);
  return undefined;
}

/** Counted over the samples of the first measured epoch; how many are distinct hardly changes from epoch to epoch. */
function workOfEpoch(dataset: Awaited<ReturnType<typeof openDataset>>, own: Parameters<typeof configuration>[1]) {
  const config = configuration(dataset, own);
  const trainer = new native.Trainer(config);
  const counts = countEpoch(trainer.samples(1), dataset.graph, dataset, config.batchSize);
  trainer.dispose();
  return { counts, work: workOf(counts, config.dim, dataset.users + dataset.entities + dataset.relations) };
}

function timeCells({ lowerQuartile, upperQuartile, runs, ...rest }: Spread): string[] {
  return [showSpread({ lowerQuartile, upperQuartile, runs, ...rest }), `${digits(lowerQuartile)} – ${digits(upperQuartile)}`, `${runs}`];
}

function workTable(counts: ReturnType<typeof countEpoch>, work: Work, epoch: Spread, dim: number): Table {
  const each = (count: number) => digits(count / counts.batches);
  const rate = (amount: number) => digits(amount / epoch.median / 1e9);
  return {
    title: `Work of an epoch: ${counts.batches} batches, d = ${dim}`,
    columns: ['per batch', 'distinct'],
    rows: [
      ['users', each(counts.users)],
      ['positive items', each(counts.positives)],
      ['items', each(counts.items)],
      ['triples', each(counts.triples)],
      ['(item, relation) groups', each(counts.groups)],
      ['tails', each(counts.tails)],
      ['rows moved', each(counts.rows)],
    ],
    notes: [
      `${digits(work.flops / 1e9)} GFLOP, ${digits(work.cachedBytes / 1e9)} GB of rows through the caches, ${digits(work.memoryBytes / 1e9)} GB through memory at least (${digits(work.denseMemoryBytes / 1e9)} with dense Adam).`,
      `Achieved: ${rate(work.flops)} GFLOP/s, ${rate(work.cachedBytes)} GB/s of rows, ${rate(work.memoryBytes)} GB/s of memory.`,
    ],
  };
}

function floorTable({ seconds, bound, parts }: Floor, { device }: Ceilings, epoch: Spread): Table {
  return {
    title: `Floor on ${device}`,
    columns: ['limit', 'ms per epoch'],
    rows: [...Object.entries(parts).map(([name, part]) => [name, digits(1000 * part)]), [`floor (${bound})`, digits(1000 * seconds)]],
    notes: [
      `Measured / floor: ${digits(epoch.median / seconds)} (${digits(epoch.smallest / seconds)} – ${digits(epoch.largest / seconds)}).`,
    ],
  };
}

function citedTable(seconds: number, epoch: Spread, samples: number): Table {
  return {
    title: 'Beside the paper',
    columns: ['', 'seconds'],
    rows: [
      ['Table 4, cited', digits(seconds)],
      ['here', digits(epoch.median)],
      ['cited / here', `${digits(seconds / epoch.median)} (${digits(seconds / epoch.largest)} – ${digits(seconds / epoch.smallest)})`],
    ],
    notes: [
      `Table 4 has seconds per epoch on one V100. An epoch here has ${digits(samples)} distinct interactions, a tenth being held out for validation as in the paper, which does not say whether it trained on repeated ones too.`,
    ],
  };
}

function kernelTable(kernels: Record<string, Spread>, epoch: Spread): Table {
  return {
    title: 'In each kernel',
    columns: ['kernel', 'ms per epoch (smallest – largest)', 'share of an epoch'],
    rows: Object.entries(kernels)
      .sort(([, a], [, b]) => b.median - a.median)
      .map(([name, time]) => [name, showSpread(time, 1000), `${((100 * time.median) / epoch.median).toFixed(1)} %`]),
  };
}

await command(main);
