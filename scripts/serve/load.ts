// How many requests a second scripts/serve.ts answers, and how long they wait: autocannon in this process, the service in another, both on
// the same processors. Each connection asks for the list of a random user as soon as it has the last.
//
//   npm run serve:load -- [--model FILE] [--connections 24] [--seconds 10] [--k 20] [--json]
//
// Without --model: one of the shape of Last-FM (23,566 users with what they have, 48,123 items, 64 dimensions) whose points are made up at
// random about 400 centres; nothing was trained. Expected: three tables on standard output, or with --json one JSON document: requests a
// second, and the latency that half, 97.5 % and 99 % of the requests kept within, in whole milliseconds, as autocannon counts them, where
// (a) every list is ranked on request and (b) every list is kept; how long the service took to start, and its memory; and how long single calls take
// without HTTP. Exit status 1 where a request failed. Time: half a minute.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import autocannon from 'autocannon';
import { Random } from '../../lib/data/random.ts';
import { synthetic } from '../../lib/data/synthetic.ts';
import { Model } from '../../lib/index.ts';
import { PRESETS } from '../../lib/presets.ts';
import { quantile } from '../../lib/statistics.ts';
import { command, digits, integer, machine, sentence, textOf } from '../bench/document.ts';
import { points, pointsNear } from '../bench/points.ts';

const DIM = 64;
const CENTERS = 400;
const server = fileURLToPath(new URL('../serve.ts', import.meta.url));

/** Calls of each kind that are timed. */
const CALLS = 200;

interface Measured {
  mode: string;
  requests: number;
  seconds: number;
  requestsPerSecond: number;
  /** Milliseconds. */
  latency: { p50: number; p97_5: number; p99: number; max: number };
  failed: number;
  /** From the start of the process to its first answer, model loaded. */
  startSeconds: number;
  /** Of the service, before the first list and at the end. */
  residentBytes: { loaded: number; served: number };
}

function randomModel(): Model {
  const random = new Random(1, 0);
  const { train, graph, userIds, itemIds, entityIds, relationIds, users, entities, relations, items } = synthetic({
    shape: 'last-fm',
    seed: 1,
  });
  const centers = points(random, CENTERS, DIM, 0.9);
  return new Model({
    users: pointsNear(random, users, DIM, centers),
    entities: pointsNear(random, entities, DIM, centers),
    relations: points(random, relations, DIM, 0.1),
    beta: new Float32Array(items),
    dim: DIM,
    curvature: 1,
    ...{ graph, seen: train, userIds, itemIds, entityIds, relationIds },
    training: {
      variant: 'hyper-know',
      preset: 'tuned',
      options: { ...PRESETS.tuned, epochs: 0, evaluateEvery: 0, beta: 'adaptive', seed: 1, backend: 'cpu' },
      epoch: 0,
      steps: 0,
    },
  });
}

interface Started {
  url: string;
  end(): Promise<void>;
}

/** Starts the service; resolves to its address and a function that ends it. */
async function start(path: string, keep: number): Promise<Started> {
  const args = ['--import', import.meta.resolve('tsx'), server, path, '--port', '0', '--keep', String(keep)];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const closed = new Promise<void>((resolve) => child.once('close', () => resolve()));
  let output = '';
  for await (const text of child.stdout.setEncoding('utf8')) {
    output += text;
    const url = /^listening on (\S+)\n/m.exec(output)?.[1];
    const end = (): Promise<void> => {
      child.kill('SIGTERM');
      return closed;
    };
    if (url !== undefined) return { url, end };
  }
  throw new Error('the service ended before it listened');
}

/** What the service takes of memory. */
async function resident(url: string): Promise<number> {
  const { residentBytes } = (await (await fetch(`${url}/health`)).json()) as { residentBytes: number };
  return residentBytes;
}

/** Milliseconds of single calls in this process, the median of many. */
async function timeCalls(model: Model, k: number): Promise<{ call: string; milliseconds: number }[]> {
  const random = new Random(1, 2);
  const some = (count: number) => Array.from({ length: count }, () => model.userIds[random.below(model.userIds.length)]!);
  const started = performance.now();
  model.recommend(some(1)[0]!, k);
  const timed = [{ call: 'the first recommend, with what later ones find prepared', milliseconds: performance.now() - started }];
  for (const [call, run] of [
    ['recommend', () => model.recommend(some(1)[0]!, k)],
    ['recommendBatchSync of 12 users', () => model.recommendBatchSync(some(12), { k })],
    ['recommendBatch of one user', () => model.recommendBatch(some(1), { k, backend: 'cpu' })],
    ['recommendBatch of 12 users', () => model.recommendBatch(some(12), { k, backend: 'cpu' })],
  ] as const) {
    const taken: number[] = [];
    for (let i = 0; i < CALLS; ++i) {
      const before = performance.now();
      await run();
      taken.push(performance.now() - before);
    }
    timed.push({ call, milliseconds: quantile(taken, 0.5) });
  }
  return timed;
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      model: { type: 'string' },
      connections: { type: 'string', default: '24' },
      seconds: { type: 'string', default: '10' },
      k: { type: 'string', default: '20' },
      json: { type: 'boolean', default: false },
    },
  });
  const connections = integer('connections', values.connections, 1, 10_000);
  const seconds = integer('seconds', values.seconds, 1, 3600);
  const k = integer('k', values.k, 1, 1000);
  const about = machine('cpu');
  const folder = mkdtempSync(join(tmpdir(), 'hyper-know-load-'));
  try {
    let path = values.model;
    if (path === undefined) {
      path = join(folder, 'model.safetensors');
      await randomModel().save(path);
    }
    const model = await Model.load(path);
    const { userIds, itemIds, dim } = model;
    const modelBytes = statSync(path).size;
    const calls = await timeCalls(model, k);
    const measured: Measured[] = [];
    for (const [mode, keep] of [
      ['(a) ranked on request', 0],
      ['(b) kept lists', userIds.length],
    ] as const) {
      const began = performance.now();
      const { url, end } = await start(path, keep);
      const random = new Random(1, 1);
      let asked = 0;
      const list = (user: number) => `/recommend/${encodeURIComponent(userIds[user]!)}?k=${k}`;
      try {
        const loaded = await resident(url);
        const startSeconds = (performance.now() - began) / 1000;
        const of = (next: () => number) => ({
          url,
          connections,
          requests: [{ setupRequest: (request: object) => ({ ...request, path: list(next()) }) }],
        });
        const any = () => random.below(userIds.length);
        // Warm up; where lists are kept, with every user's.
        if (keep > 0) await autocannon({ ...of(() => asked++ % userIds.length), amount: userIds.length + connections });
        else await autocannon({ ...of(any), duration: 2 });
        const { duration, latency, requests, non2xx, errors, timeouts } = await autocannon({ ...of(any), duration: seconds });
        const { p50, p97_5, p99, max } = latency;
        const rate = requests.total / duration;
        const failed = non2xx + errors + timeouts;
        measured.push({
          mode,
          requests: requests.total,
          seconds: duration,
          requestsPerSecond: rate,
          latency: { p50, p97_5, p99, max },
          failed,
          startSeconds,
          residentBytes: { loaded, served: await resident(url) },
        });
      } finally {
        await end();
      }
    }
    const what = { benchmark: 'serve', ...about, backend: 'cpu', model: values.model ?? 'points made up at random', users: userIds.length };
    const size = `${digits(itemIds.length)} items × ${dim}, lists of ${k}, ${connections} connections`;
    const table = {
      title: `${size}, generator and service on the same processors`,
      columns: ['lists', 'requests/s', 'p50 ms', 'p97.5 ms', 'p99 ms', 'longest ms', 'failed'],
      rows: measured.map(({ mode, requestsPerSecond, latency: { p50, p97_5, p99, max }, failed }) => [
        mode,
        digits(requestsPerSecond),
        ...[p50, p97_5, p99, max, failed].map(String),
      ]),
    };
    const service = {
      title: `The process of the service, with a model of ${digits(modelBytes / 1e6)} MB`,
      columns: ['lists', 'started in s', 'resident MB, loaded', 'resident MB, in service'],
      rows: measured.map(({ mode, startSeconds, residentBytes: { loaded, served } }) => [
        mode,
        digits(startSeconds),
        digits(loaded / 1e6),
        digits(served / 1e6),
      ]),
    };
    const inProcess = {
      title: `Calls in one process, the median of ${CALLS}`,
      columns: ['call', 'ms'],
      rows: calls.map(({ call, milliseconds }) => [call, digits(milliseconds)]),
    };
    if (values.json)
      console.log(JSON.stringify({ ...what, items: itemIds.length, dim, k, connections, modelBytes, calls, measured }, null, 2));
    else console.log(`${sentence({ ...what, tables: [] })}\n${textOf(table)}\n${textOf(service)}\n${textOf(inProcess)}`);
    return measured.some(({ failed, requests }) => failed > 0 || requests === 0) ? 1 : 0;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

await command(main);
