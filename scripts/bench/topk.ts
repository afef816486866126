// Exact top-k by Poincaré distance over many users, beside plain JavaScript and the npm packages that are installed
// (`npm run bench -- peers --install`), which take turns with it.
//
//   npm run bench -- topk [--users 4096] [--items 24915] [--dim 64] [--k 20] [--rounds 5] [--checked 100] [--backend auto|cpu|cuda]
//                         [--threads N] [--peers all|none] [--json FILE] [--markdown]
//
// Expected: queries per second of each, how many times as long each takes as ours, and of --checked queries how many of the places of the
// exact float64 answer each has right: all of ours, or exit status 1. Time on 2 cores: 40 s, most of it building the approximate indexes.
import { availableParallelism } from 'node:os';
import { Random } from '../../lib/data/random.ts';
import { native, resolveBackend } from '../../lib/native.ts';
import { command, digits, integer, machine, oneOf, options, report, showRatio } from './document.ts';
import { ratio, type Spread, spread, takeTurns } from './measure.ts';
import { type Peer, type Problem, topKPeers } from './peers/top-k.ts';
import { points, pointsNear } from './points.ts';

/** A turn of a peer takes about so long: enough to measure, not so long that the machine changes meanwhile. */
const TURN_SECONDS = 0.3;
const CENTERS = 400;

async function main(): Promise<number> {
  const values = options({
    users: { type: 'string', default: '4096' },
    items: { type: 'string', default: '24915' },
    dim: { type: 'string', default: '64' },
    k: { type: 'string', default: '20' },
    rounds: { type: 'string', default: '5' },
    checked: { type: 'string', default: '100' },
    backend: { type: 'string', default: 'auto' },
    threads: { type: 'string', default: String(availableParallelism()) },
    peers: { type: 'string', default: 'all' },
  });
  const size = {
    users: integer('users', values.users, 1, 1 << 24),
    items: integer('items', values.items, 1, 1 << 24),
    dim: integer('dim', values.dim, 1, 4096),
  };
  const k = integer('k', values.k, 1, size.items);
  const rounds = integer('rounds', values.rounds);
  const checked = Math.min(integer('checked', values.checked), size.users);
  const backend = resolveBackend(oneOf('backend', values.backend, ['auto', 'cpu', 'cuda']));
  const threads = integer('threads', values.threads, 1, 1024);
  const withPeers = oneOf('peers', values.peers, ['all', 'none']) === 'all';

  const described = machine(backend);
  const problem = problemOf(size, k, threads);
  const began = performance.now();
  const table = new native.ItemTable(problem.items, size.dim, 1); // as `recommendBatch` keeps one of a model
  const ours: Peer = {
    name: 'hyper-know',
    what: `exact, certified, ${threads} threads`,
    buildSeconds: (performance.now() - began) / 1000,
    search: async (queries) =>
      (await native.topKAsync(backend, threads, problem.users.subarray(0, queries * size.dim), table, size.dim, k, null, null, 1).promise)
        .items,
  };
  const made = withPeers ? await topKPeers(problem) : [];
  const contenders = [ours, ...made.filter((peer): peer is Peer => 'search' in peer)];
  const missing = made.filter((peer): peer is { name: string; missing: string } => 'missing' in peer);

  const expected = reference(problem, checked);
  const results: Result[] = [];
  for (const { name, what, buildSeconds, search } of contenders) {
    const { differing, recall } = compare(await search(checked), expected, k);
    const started = performance.now();
    await search(Math.min(size.users, 64));
    const perQuery = (performance.now() - started) / 1000 / Math.min(size.users, 64);
    // Ours answers all of them at once, as evaluation does.
    const queries = name === ours.name ? size.users : Math.max(1, Math.min(size.users, Math.round(TURN_SECONDS / perQuery)));
    results.push({ name, what, queries, differing, recall, ...(buildSeconds === undefined ? {} : { buildSeconds }) });
  }
  const seconds = await takeTurns(
    contenders.map(({ name, search }, i) => ({ name, run: () => search(results[i]!.queries) })),
    { rounds },
  );
  const perQuery = (name: string, queries: number): number[] => seconds.get(name)!.map((value) => value / queries);
  const own = perQuery(ours.name, size.users);
  const measured = results.map((result) => {
    const mine = perQuery(result.name, result.queries);
    const secondsPerQuery: Spread = spread(mine);
    return { ...result, secondsPerQuery, queriesPerSecond: 1 / secondsPerQuery.median, overOurs: ratio(mine, own) };
  });
  report(
    {
      benchmark: 'topk',
      ...described,
      backend,
      threads,
      data: `synthetic, ${CENTERS} clusters`,
      ...size,
      k,
      checked,
      contenders: measured,
      missing,
      tables: [
        {
          title: `Top ${k} of ${digits(size.items)} items, d = ${size.dim}, ${rounds} rounds in turns`,
          columns: ['', 'queries/s (lowest – highest)', 'time / ours', 'recall', 'index, s', 'what it computes'],
          rows: measured.map(({ name, what, secondsPerQuery, overOurs, recall, buildSeconds }) => [
            name,
            showRate(secondsPerQuery),
            name === ours.name ? '' : showRatio(overOurs),
            recall.toFixed(4),
            buildSeconds === undefined ? '' : digits(buildSeconds),
            what,
          ]),
          notes: [
            `Of ${checked} queries, ${measured[0]!.differing} of ${checked * k} places of ours differ from a float64 search of all items by direct differences.`,
            ...(missing.length === 0 ? [] : [`Left out: ${missing.map(({ name, missing }) => `${name}, ${missing}`).join('; ')}.`]),
          ],
        },
      ],
    },
    values,
  );
  return measured[0]!.differing === 0 ? 0 : 1;
}

interface Result {
  name: string;
  what: string;
  /** Queries in a turn. */
  queries: number;
  /** Places of the checked queries that hold another item than the reference. */
  differing: number;
  /** Share of the reference's items that were found, wherever they stand. */
  recall: number;
  buildSeconds?: number;
}

function showRate(secondsPerQuery: Spread): string {
  const { median, smallest, largest } = secondsPerQuery;
  return `${digits(1 / median)} (${digits(1 / largest)} – ${digits(1 / smallest)})`;
}

/** Users and items about common centers: there is something to find, as in trained tables. */
function problemOf({ users, items, dim }: { users: number; items: number; dim: number }, k: number, threads: number): Problem {
  const random = new Random(1, 0);
  const centers = points(random, CENTERS, dim, 0.9);
  return { users: pointsNear(random, users, dim, centers), items: pointsNear(random, items, dim, centers), dim, k, threads };
}

/** The ids [queries, k] by distances from direct differences in float64, ties by smaller id. */
function reference({ users, items, dim, k }: Problem, queries: number): Uint32Array {
  const count = items.length / dim;
  const gap = (rows: Float32Array, row: number): number => {
    let sqnorm = 0;
    for (let i = 0; i < dim; ++i) sqnorm += rows[row * dim + i]! ** 2;
    return 1 - sqnorm;
  };
  const gaps = Float64Array.from({ length: count }, (_, item) => gap(items, item));
  const out = new Uint32Array(queries * k);
  const ids = Uint32Array.from({ length: count }, (_, item) => item);
  for (let query = 0; query < queries; ++query) {
    const own = gap(users, query);
    const distances = Float64Array.from(ids, (item) => {
      let sqdist = 0;
      for (let i = 0; i < dim; ++i) sqdist += (users[query * dim + i]! - items[item * dim + i]!) ** 2;
      return 2 * Math.asinh(Math.sqrt(sqdist / (own * gaps[item]!)));
    });
    out.set(
      ids
        .slice()
        .sort((a, b) => distances[a]! - distances[b]! || a - b)
        .subarray(0, k),
      query * k,
    );
  }
  return out;
}

function compare(found: ArrayLike<number | bigint>, expected: Uint32Array, k: number): { differing: number; recall: number } {
  let [differing, hits] = [0, 0];
  for (let first = 0; first < expected.length; first += k) {
    const own = new Set(Array.from({ length: k }, (_, place) => Number(found[first + place])));
    for (let place = 0; place < k; ++place) {
      differing += Number(Number(found[first + place]) !== expected[first + place]);
      hits += Number(own.has(expected[first + place]!));
    }
  }
  return { differing, recall: hits / expected.length };
}

await command(main);
