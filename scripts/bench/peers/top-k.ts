/**
 * Other ways to find the k nearest items of a user. What multiplies matrices gets Lorentz coordinates, dim + 1 of them, in which the largest
 * inner product is the smallest Poincaré distance (lib/lorentz.ts). The approximate indexes get tangent vectors at the origin and their
 * Euclidean distance, which is another order: of four that were tried (ball coordinates, their cosine, Lorentz coordinates made up to equal
 * lengths) it finds the most.
 */
import { readFileSync } from 'node:fs';
import { gapsOf, squaredDistance } from './distance.ts';
import { topKModel } from './onnx.ts';
import { fileOf, loadPackage } from './packages.ts';

export interface Problem {
  /** [queries, dim] and [items, dim], points of the unit ball */
  users: Float32Array;
  items: Float32Array;
  dim: number;
  k: number;
  threads: number;
}

/** A way that can be used here. */
export interface Peer {
  name: string;
  /** What it computes, with the settings that matter. */
  what: string;
  /** Seconds that building its index took; absent where there is none. */
  buildSeconds?: number;
  /** The ids [queries, k] of the first queries. */
  search: (queries: number) => ArrayLike<number | bigint> | Promise<ArrayLike<number | bigint>>;
}

type Made = Peer | { name: string; missing: string };

/** [rows, dim + 1]: time first; `side` −1 for users, whose inner product with items is then the Minkowski one. */
function lorentz(points: Float32Array, dim: number, side: 1 | -1): Float32Array {
  const rows = points.length / dim;
  const out = new Float32Array(rows * (dim + 1));
  for (let row = 0; row < rows; ++row) {
    let sqnorm = 0;
    for (let k = 0; k < dim; ++k) sqnorm += points[row * dim + k]! ** 2;
    out[row * (dim + 1)] = (side * (1 + sqnorm)) / (1 - sqnorm);
    for (let k = 0; k < dim; ++k) out[row * (dim + 1) + 1 + k] = (2 * points[row * dim + k]!) / (1 - sqnorm);
  }
  return out;
}

/** The tangent vectors artanh(‖x‖)/‖x‖ · x. */
function tangent(points: Float32Array, dim: number): Float32Array {
  const gaps = gapsOf(points, dim);
  return points.map((value, i) => {
    const norm = Math.sqrt(1 - gaps[Math.floor(i / dim)]!);
    return norm > 0 ? (value * Math.atanh(norm)) / norm : 0;
  });
}

export async function topKPeers(problem: Problem): Promise<Made[]> {
  return [javaScript(problem), await onnx(problem), await hnswlib(problem), usearch(problem), await tensorflow(problem)];
}

/** The Poincaré order itself in plain typed-array JavaScript, in float64: for a fixed user, d orders as ‖u − v‖²/(1 − ‖v‖²). */
function javaScript({ users, items, dim, k }: Problem): Peer {
  const count = items.length / dim;
  const gaps = gapsOf(items, dim);
  const search = (queries: number): Uint32Array => {
    const out = new Uint32Array(queries * k);
    const best = new Float64Array(k);
    for (let query = 0; query < queries; ++query) {
      const ids = out.subarray(query * k, (query + 1) * k);
      best.fill(Number.POSITIVE_INFINITY);
      for (let item = 0; item < count; ++item) {
        const score = squaredDistance(items, item * dim, users, query * dim, dim) / gaps[item]!;
        if (!(score < best[k - 1]!)) continue;
        let place = k - 1;
        for (; place > 0 && score < best[place - 1]!; --place) {
          best[place] = best[place - 1]!;
          ids[place] = ids[place - 1]!;
        }
        best[place] = score;
        ids[place] = item;
      }
    }
    return out;
  };
  return { name: 'plain JavaScript', what: 'exact, float64, 1 thread', search };
}

/** The k largest inner products, by matrix multiplication and a selection, in pieces of `PIECE` queries. */
const PIECE = 256;

interface Onnx {
  Tensor: new (type: 'float32', data: Float32Array, shape: readonly number[]) => object;
  InferenceSession: {
    create(
      model: Uint8Array,
      options: object,
    ): Promise<{ run(feeds: Record<string, object>): Promise<Record<string, { data: BigInt64Array }>> }>;
  };
}

async function onnx({ users, items, dim, k, threads }: Problem): Promise<Made> {
  const name = 'onnxruntime-node';
  const found = loadPackage<Onnx>(name);
  if ('missing' in found) return { name, ...found };
  const { Tensor, InferenceSession } = found.module;
  const count = items.length / dim;
  const session = await InferenceSession.create(topKModel(dim + 1, count, k), {
    intraOpNumThreads: threads,
    executionProviders: ['cpu'],
    logSeverityLevel: 3,
  });
  const queries = lorentz(users, dim, -1);
  const rows = lorentz(items, dim, 1);
  const columns = new Float32Array(rows.length);
  for (let item = 0; item < count; ++item) for (let i = 0; i <= dim; ++i) columns[i * count + item] = rows[item * (dim + 1) + i]!;
  const matrix = new Tensor('float32', columns, [dim + 1, count]);
  const search = async (total: number) => {
    const out = new BigInt64Array(total * k);
    for (let first = 0; first < total; first += PIECE) {
      const last = Math.min(total, first + PIECE);
      const piece = new Tensor('float32', queries.slice(first * (dim + 1), last * (dim + 1)), [last - first, dim + 1]);
      out.set((await session.run({ queries: piece, items: matrix })).ids!.data, first * k);
    }
    return out;
  };
  return { name: `${name} ${found.version}`, what: `MatMul and TopK, float32, ${threads} threads`, search };
}

interface Hnswlib {
  HierarchicalNSW: new (
    space: 'l2',
    dim: number,
  ) => {
    initIndex(options: object): void;
    addPoint(point: number[], label: number): void;
    setEf(ef: number): void;
    searchKnn(query: number[], k: number): { neighbors: number[] };
  };
}

const [CONNECTIVITY, CONSTRUCTION, SEARCH] = [16, 200, 100];

async function hnswlib({ users, items, dim, k }: Problem): Promise<Made> {
  const name = 'hnswlib-node';
  const found = loadPackage<Hnswlib>(name);
  if ('missing' in found) return { name, ...found };
  const count = items.length / dim;
  const rows = tangent(items, dim);
  const started = performance.now();
  const index = new found.module.HierarchicalNSW('l2', dim);
  index.initIndex({ maxElements: count, m: CONNECTIVITY, efConstruction: CONSTRUCTION });
  for (let item = 0; item < count; ++item) index.addPoint(Array.from(rows.subarray(item * dim, (item + 1) * dim)), item);
  index.setEf(SEARCH);
  const buildSeconds = (performance.now() - started) / 1000;
  const lifted = tangent(users, dim);
  const queries = Array.from({ length: users.length / dim }, (_, query) => Array.from(lifted.subarray(query * dim, (query + 1) * dim)));
  const search = (total: number) => {
    const out = new Uint32Array(total * k);
    for (let query = 0; query < total; ++query) out.set(index.searchKnn(queries[query]!, k).neighbors, query * k);
    return out;
  };
  return {
    name: `${name} ${found.version}`,
    what: `approximate, tangent vectors, M ${CONNECTIVITY}, ef ${CONSTRUCTION} and ${SEARCH}, 1 thread`,
    buildSeconds,
    search,
  };
}

interface Usearch {
  Index: new (
    options: object,
  ) => {
    add(keys: BigUint64Array, vectors: Float32Array, threads: number): void;
    search(queries: Float32Array, k: number, threads: number): { keys: BigUint64Array };
  };
}

function usearch({ users, items, dim, k, threads }: Problem): Made {
  const name = 'usearch';
  const found = loadPackage<Usearch>(name);
  if ('missing' in found) return { name, ...found };
  const count = items.length / dim;
  const started = performance.now();
  const index = new found.module.Index({
    ...{ metric: 'l2sq', quantization: 'f32', dimensions: dim },
    ...{ connectivity: CONNECTIVITY, expansion_add: CONSTRUCTION, expansion_search: SEARCH },
  });
  index.add(
    BigUint64Array.from({ length: count }, (_, item) => BigInt(item)),
    tangent(items, dim),
    threads,
  );
  const buildSeconds = (performance.now() - started) / 1000;
  const queries = tangent(users, dim);
  return {
    name: `${name} ${found.version}`,
    what: `approximate, tangent vectors, M ${CONNECTIVITY}, ef ${CONSTRUCTION} and ${SEARCH}, ${threads} threads`,
    buildSeconds,
    search: (total) => index.search(queries.subarray(0, total * dim), k, threads).keys,
  };
}

interface Tensor {
  dataSync(): Int32Array;
  dispose(): void;
}
interface Tensorflow {
  setBackend(name: string): Promise<boolean>;
  ready(): Promise<void>;
  tensor2d(data: Float32Array, shape: [number, number]): Tensor;
  matMul(a: Tensor, b: Tensor, transposeA: boolean, transposeB: boolean): Tensor;
  topk(x: Tensor, k: number): { indices: Tensor };
  tidy<T>(work: () => T): T;
}
interface Wasm {
  setWasmPaths(paths: Record<string, string>): void;
  setThreadsCount(threads: number): void;
}

async function tensorflow({ users, items, dim, k, threads }: Problem): Promise<Made> {
  const name = '@tensorflow/tfjs';
  const [found, wasm] = [loadPackage<Tensorflow>(name), loadPackage<Wasm>(`${name}-backend-wasm`)];
  if ('missing' in found) return { name, ...found };
  const tf = found.module;
  let backend = 'cpu';
  if (!('missing' in wasm)) {
    const files = ['tfjs-backend-wasm.wasm', 'tfjs-backend-wasm-simd.wasm', 'tfjs-backend-wasm-threaded-simd.wasm'];
    wasm.module.setWasmPaths(Object.fromEntries(files.map((file) => [file, fileOf(`${name}-backend-wasm/dist/${file}`)])));
    wasm.module.setThreadsCount(threads);
    if (await withLocalFiles(() => tf.setBackend('wasm'))) backend = 'wasm';
  }
  if (backend === 'cpu') await tf.setBackend('cpu');
  await tf.ready();
  const matrix = tf.tensor2d(lorentz(items, dim, 1), [items.length / dim, dim + 1]);
  const queries = lorentz(users, dim, -1);
  const search = (total: number) => {
    const out = new Uint32Array(total * k);
    for (let first = 0; first < total; first += PIECE) {
      const last = Math.min(total, first + PIECE);
      const ids = tf.tidy(() => {
        const piece = tf.tensor2d(queries.slice(first * (dim + 1), last * (dim + 1)), [last - first, dim + 1]);
        return tf.topk(tf.matMul(piece, matrix, false, true), k).indices;
      });
      out.set(ids.dataSync(), first * k);
      ids.dispose();
    }
    return out;
  };
  return { name: `${name} ${found.version}`, what: `matMul and topk, float32, ${backend} backend`, search };
}

/** fetch() of Node reads no files; the wasm backend asks it for one. */
async function withLocalFiles<T>(work: () => Promise<T>): Promise<T> {
  const { fetch } = globalThis;
  globalThis.fetch = (async (path: unknown) =>
    new Response(readFileSync(String(path)), { headers: { 'content-type': 'application/wasm' } })) as typeof fetch;
  try {
    return await work();
  } finally {
    globalThis.fetch = fetch;
  }
}
