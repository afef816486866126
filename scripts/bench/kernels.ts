// The public kernels (hyper-know/kernels) at the sizes of Last-FM, d = 64: what a call costs as its caller sees it, checks and copies
// included; and batched distances in plain JavaScript beside them.
//
//   npm run bench -- kernels [--backend auto|cpu|cuda] [--repeats 9] [--only PART] [--json FILE] [--markdown]
//
// Expected: a line per kernel: median (smallest – largest), work per second, and the bytes that have to be moved at least, per second; and how
// many times as long plain JavaScript takes. The kernels take turns, so that a disturbance does not meet one of them alone. Time on 2 cores:
// half a minute.
import { argumentError } from '../../lib/errors.ts';
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
import { resolveBackend } from '../../lib/native.ts';
import { command, digits, integer, machine, oneOf, options, report, showRatio, showSpread } from './document.ts';
import { ratio, spread, takeTurns } from './measure.ts';
import { poincareDistanceInJavaScript } from './peers/distance.ts';
import { ids, points } from './points.ts';

const DIM = 64;
const ROW = 4 * DIM;
const PAIRS = 200_000;
const BATCH = 4096;
const QUERIES = 4096;
const PEER = 'poincareDistance in plain JavaScript';

async function main(): Promise<number> {
  const values = options({
    backend: { type: 'string', default: 'auto' },
    repeats: { type: 'string', default: '9' },
    only: { type: 'string', default: '' },
  });
  const backend = resolveBackend(oneOf('backend', values.backend, ['auto', 'cpu', 'cuda'])) as NonNullable<KernelOptions['backend']>;
  const repeats = integer('repeats', values.repeats);
  const kernels = kernelsOf({ backend }).filter(({ name }) => name.includes(values.only));
  if (kernels.length === 0) throw argumentError('range', '--only', `no kernel's name holds ${JSON.stringify(values.only)}`);

  const described = machine(backend);
  const seconds = await takeTurns(kernels, { rounds: repeats }); // the first round meets all memory for the first time
  const rows = kernels.map(({ name, unit, work, bytes }) => {
    const time = spread(seconds.get(name)!);
    return { name, unit, work, bytes, ...time, perSecond: work / time.median, bytesPerSecond: bytes / time.median };
  });
  const [ours, theirs] = [seconds.get('poincareDistance'), seconds.get(PEER)];
  const compared = ours && theirs && ratio(theirs, ours);
  report(
    {
      benchmark: 'kernels',
      ...described,
      backend,
      data: 'synthetic, shape last-fm',
      dim: DIM,
      repeats,
      kernels: rows,
      ...(compared === undefined ? {} : { javaScriptOverOurs: compared }),
      tables: [
        {
          title: `Kernels at the sizes of Last-FM, d = ${DIM}, ${repeats} runs each`,
          columns: ['kernel', 'ms (smallest – largest)', 'quartiles', 'per second', 'GB/s'],
          rows: rows.map(({ name, unit, perSecond, bytesPerSecond, ...time }) => [
            name,
            showSpread(time, 1000),
            `${digits(1000 * time.lowerQuartile)} – ${digits(1000 * time.upperQuartile)}`,
            `${digits(perSecond / 1e6)} M ${unit}`,
            digits(bytesPerSecond / 1e9),
          ]),
          notes: compared === undefined ? [] : [`Plain JavaScript takes ${showRatio(compared)} as long for the same distances.`],
        },
      ],
    },
    values,
  );
  return 0;
}

/** `work` in `unit`s a call; `bytes` that a call must at least move, each input read and each output written once. */
function kernelsOf(options: KernelOptions): { name: string; unit: string; work: number; bytes: number; run: () => unknown }[] {
  const random = new Random(1, 0);
  const world = synthetic({ shape: 'last-fm', seed: 1 });
  const { graph, items: itemCount, entities: entityCount } = world;
  const x = points(random, PAIRS, DIM);
  const y = points(random, PAIRS, DIM);
  const upstream = new Float32Array(PAIRS).fill(1);
  const users = points(random, world.users, DIM);
  const entities = points(random, entityCount, DIM);
  const relations = points(random, world.relations, DIM, 0.2);
  const items = entities.subarray(0, itemCount * DIM);
  const heads = ids(random, BATCH, itemCount);
  const triples = heads.reduce((sum, item) => sum + graph.offsets[item + 1]! - graph.offsets[item]!, 0);
  const neighborhoods = { entities, relations, dim: DIM, graph, items: heads };
  const inner = { users: ids(random, BATCH, world.users), positives: heads, negatives: ids(random, BATCH, itemCount) };
  const beta = new Float32Array(itemCount);
  const queries = users.subarray(0, QUERIES * DIM);
  const distance = { unit: 'pairs', work: PAIRS, bytes: PAIRS * (2 * ROW + 4) };
  return [
    { name: 'poincareDistance', ...distance, run: () => poincareDistance(x, y, DIM, options) },
    { name: PEER, ...distance, run: () => poincareDistanceInJavaScript(x, y, DIM) },
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
  ];
}

await command(main);
