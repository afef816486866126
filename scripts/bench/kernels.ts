// The public kernels (hyper-know/kernels) at the sizes of Last-FM, d = 64: what a call costs as its caller sees it, checks and copies included.
//
//   node --import tsx scripts/bench/kernels.ts [--backend auto|cpu|cuda] [--repeats 9] [--only PART] [--json FILE]
//
// Expected: a line per kernel: median (smallest – largest), work per second, and the bytes that have to be moved at least, per second. The
// kernels take turns, so that a disturbance does not meet one of them alone. Time on 2 cores: half a minute.
import { writeFileSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { Random } from '../../lib/data/random.ts';
import { synthetic } from '../../lib/data/synthetic.ts';
import {
  hypergradient,
  type KernelOptions,
  neighborhood,
  neighborhoodGradient,
  poincareDistance,
  poincareDistanceGradient,
  topK,
} from '../../lib/kernels.ts';
import { backends, resolveBackend } from '../../lib/native.ts';
import { quantile } from '../../lib/statistics.ts';

const { values } = parseArgs({
  options: {
    backend: { type: 'string', default: 'auto' },
    repeats: { type: 'string', default: '9' },
    only: { type: 'string', default: '' },
    json: { type: 'string' },
  },
});
const backend = resolveBackend(values.backend) as NonNullable<KernelOptions['backend']>;
const options: KernelOptions = { backend };
const repeats = Number(values.repeats);

const DIM = 64;
const ROW = 4 * DIM;
const PAIRS = 200_000;
const BATCH = 4096;
const QUERIES = 4096;
const generator = new Random(1, 0);
const random = () => generator.uniform();

/** Points with norms spread over the ball up to `most`. */
function points(rows: number, most = 0.6): Float32Array {
  const out = new Float32Array(rows * DIM);
  for (let i = 0; i < rows; ++i) {
    const row = Array.from({ length: DIM }, () => random() - 0.5);
    const radius = (most * random()) / Math.hypot(...row);
    out.set(
      row.map((x) => x * radius),
      i * DIM,
    );
  }
  return out;
}
const ids = (count: number, below: number): Uint32Array => Uint32Array.from({ length: count }, () => Math.floor(random() * below));

const {
  graph,
  users: userCount,
  items: itemCount,
  entities: entityCount,
  relations: relationCount,
} = synthetic({ shape: 'last-fm', seed: 1 });
const x = points(PAIRS);
const y = points(PAIRS);
const upstream = new Float32Array(PAIRS).fill(1);
const users = points(userCount);
const entities = points(entityCount);
const relations = points(relationCount, 0.2);
const items = entities.subarray(0, itemCount * DIM);
const heads = ids(BATCH, itemCount);
const triples = heads.reduce((sum, item) => sum + graph.offsets[item + 1]! - graph.offsets[item]!, 0);
const neighborhoods = { entities, relations, dim: DIM, graph, items: heads };
const inner = { users: ids(BATCH, userCount), positives: heads, negatives: ids(BATCH, itemCount) };
const beta = new Float32Array(itemCount);
const queries = users.subarray(0, QUERIES * DIM);

/** `work` in `unit`s a call; `bytes` that a call must at least move, each input read and each output written once. */
const KERNELS: { name: string; unit: string; work: number; bytes: number; run: () => unknown }[] = [
  { name: 'poincareDistance', unit: 'pairs', work: PAIRS, bytes: PAIRS * (2 * ROW + 4), run: () => poincareDistance(x, y, DIM, options) },
  {
    name: 'poincareDistanceGradient',
    unit: 'pairs',
    work: PAIRS,
    bytes: PAIRS * (4 * ROW + 4),
    run: () => poincareDistanceGradient(x, y, DIM, upstream, options),
  },
  {
    name: 'neighborhood',
    unit: 'triples',
    work: triples,
    bytes: triples * (ROW + 12) + BATCH * 2 * ROW,
    run: () => neighborhood(neighborhoods, options),
  },
  {
    name: 'neighborhoodGradient',
    unit: 'triples',
    work: triples,
    bytes: triples * (2 * ROW + 8) + entityCount * ROW,
    run: () => neighborhoodGradient({ ...neighborhoods, upstream: upstream.subarray(0, BATCH) }, options),
  },
  {
    name: 'hypergradient',
    unit: 'samples',
    work: BATCH,
    bytes: triples * (2 * ROW + 8) + BATCH * 9 * ROW,
    run: () => hypergradient({ ...{ users, entities, relations, dim: DIM, graph, beta, inner }, innerLearningRate: 1e-4 }, options),
  },
  {
    name: 'topK, k = 20',
    unit: 'queries',
    work: QUERIES,
    bytes: (itemCount + QUERIES) * ROW,
    run: () => topK({ users: queries, items, dim: DIM, k: 20 }, options),
  },
].filter(({ name }) => name.includes(values.only));
if (KERNELS.length === 0) throw new RangeError(`--only: no kernel's name holds ${JSON.stringify(values.only)}`);

const seconds = KERNELS.map((): number[] => []);
for (let round = 0; round <= repeats; ++round)
  KERNELS.forEach(({ run }, i) => {
    const started = performance.now();
    run();
    if (round > 0) seconds[i]!.push((performance.now() - started) / 1000); // the first round meets all memory for the first time
  });

const { device } = backends().find(({ name }) => name === backend)!;
const rows = KERNELS.map(({ name, unit, work, bytes }, i) => {
  const median = quantile(seconds[i]!, 0.5);
  const [smallest, largest] = [Math.min(...seconds[i]!), Math.max(...seconds[i]!)];
  return { name, unit, work, bytes, median, smallest, largest, perSecond: work / median, bytesPerSecond: bytes / median };
});
console.log(`${device}; ${cpus()[0]!.model}, ${availableParallelism()} processors; backend ${backend}; ${repeats} runs each`);
for (const { name, unit, median, smallest, largest, perSecond, bytesPerSecond } of rows)
  console.log(
    [
      name.padEnd(25),
      `${(1000 * median).toFixed(2).padStart(8)} ms (${(1000 * smallest).toFixed(2)} – ${(1000 * largest).toFixed(2)})`.padEnd(32),
      `${(perSecond / 1e6).toPrecision(3).padStart(7)} M ${unit}/s`.padEnd(20),
      `${(bytesPerSecond / 1e9).toPrecision(3).padStart(6)} GB/s`,
    ].join(' '),
  );
if (values.json !== undefined)
  writeFileSync(
    values.json,
    `${JSON.stringify({ device, processor: cpus()[0]!.model, processors: availableParallelism(), node: process.version, backend, dim: DIM, repeats, kernels: rows }, null, 2)}\n`,
  );
