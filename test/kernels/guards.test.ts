// What the kernels leave alone (memory around their inputs, the inputs themselves) and what they refuse.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import * as kernels from '../../lib/kernels.ts';
import { backends } from '../../lib/native.ts';
import { type KernelCase, kernelCases } from './cases.ts';
import { damage, framed } from './frames.ts';

const guards = suite('guards');

// ── memory ──

const usable = backends().filter(({ reason }) => reason === undefined);

for (const { name } of usable)
  for (const one of kernelCases.filter(({ onHost }) => onHost))
    guards(`${name}, ${one.kernel}: ${one.label}: nothing around the inputs is read or written, twice the same`, () => {
      const plain = one.run(name, one.inputs());
      const { inputs, frames } = framed(one.inputs());
      const outputs = one.run(name, inputs);
      assert.equal(damage(frames), []);
      assert.equal(outputs, plain);
      assert.equal(inputs, one.inputs());
    });

guards('what a kernel returns is memory of its own', () => {
  for (const one of kernelCases.filter(({ label }) => /^dim 7, c 1,/.test(label)) as KernelCase<Record<string, unknown>>[]) {
    const inputs = one.inputs();
    const buffers = (value: unknown): ArrayBufferLike[] =>
      ArrayBuffer.isView(value) ? [value.buffer] : value !== null && typeof value === 'object' ? Object.values(value).flatMap(buffers) : [];
    const given = buffers(inputs);
    const returned = buffers(one.run('cpu', inputs));
    assert.ok(returned.length > 0);
    assert.is(new Set([...given, ...returned]).size, given.length + returned.length);
  }
});

// ── arguments ──

const f32 = (...values: number[]): Float32Array => Float32Array.from(values);
const u32 = (...values: number[]): Uint32Array => Uint32Array.from(values);

/** Two points a side, two items with three triples, a batch of two: valid, for curvature up to 1. */
const valid = () => ({
  x: f32(0.1, 0.2, 0.3, 0.4),
  y: f32(0.5, -0.2, 0, 0),
  dim: 2,
  upstream: f32(1, 2),
  users: f32(0.1, 0.1, 0.2, 0.2),
  entities: f32(0.1, 0, 0, 0.1, 0.3, 0.3, 0.5, 0.5),
  relations: f32(0.1, 0.2, 0, 0),
  graph: { offsets: u32(0, 1, 3), relations: u32(0, 1, 0), tails: u32(3, 2, 0) },
  items: u32(0, 1),
  beta: f32(0, 0.5),
  inner: { users: u32(0, 1), positives: u32(0, 1), negatives: u32(1, 0) },
  outer: { users: u32(1), positives: u32(0), negatives: u32(1) },
  innerLearningRate: 0.01,
  k: 2,
  exclude: { offsets: u32(0, 1, 1), items: u32(0) },
  options: { curvature: 1, backend: 'cpu' } as kernels.KernelOptions,
});
type Arguments = ReturnType<typeof valid>;

/** Every public kernel on these arguments, with the names that its argument has of those. */
const calls: Record<string, { call: (a: Arguments) => unknown; takes: readonly string[] }> = {
  poincareDistance: { call: (a) => kernels.poincareDistance(a.x, a.y, a.dim, a.options), takes: ['x', 'y', 'dim', 'options'] },
  poincareDistanceGradient: {
    call: (a) => kernels.poincareDistanceGradient(a.x, a.y, a.dim, a.upstream, a.options),
    takes: ['x', 'y', 'dim', 'upstream', 'options'],
  },
  neighborhood: {
    call: ({ options, ...a }) => kernels.neighborhood(a, options),
    takes: ['entities', 'relations', 'dim', 'graph', 'items', 'options'],
  },
  neighborhoodGradient: {
    call: ({ options, ...a }) => kernels.neighborhoodGradient(a, options),
    takes: ['entities', 'relations', 'dim', 'graph', 'items', 'upstream', 'options'],
  },
  hypergradient: {
    call: ({ options, ...a }) => kernels.hypergradient(a, options),
    takes: ['users', 'entities', 'relations', 'dim', 'graph', 'beta', 'inner', 'outer', 'innerLearningRate', 'options'],
  },
  topK: {
    call: ({ options, entities, ...a }) => kernels.topK({ ...a, items: entities }, options),
    takes: ['users', 'entities', 'dim', 'k', 'exclude', 'options'],
  },
};

guards('the valid arguments are valid', () => {
  for (const { call } of Object.values(calls)) call(valid());
});

const NOT_ARRAYS: readonly unknown[] = [undefined, null, 3, 'text', [0.1, 0.2, 0.3, 0.4], {}];
const NOT_FLOATS: readonly unknown[] = [
  ...NOT_ARRAYS,
  new Float64Array(4),
  new Uint32Array(4),
  new DataView(new ArrayBuffer(16)),
  new ArrayBuffer(16),
];
const NOT_IDS: readonly unknown[] = [...NOT_ARRAYS, new Int32Array(2), new Float32Array(2), new BigUint64Array(2), new Uint8Array(2)];
const NOT_FINITE = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
const POINTS_REFUSED: readonly Float32Array[] = [
  ...NOT_FINITE.flatMap((bad) => [f32(bad, 0, 0, 0), f32(0, 0, 0, bad)]),
  f32(1, 0, 0, 0), // on the boundary
  f32(0, 0, 0.8, 0.8),
  f32(3e38, 3e38, 0, 0), // its square overflows float32
  f32(0, 0, 0), // no multiple of dim
];

/** An argument's path, the name that messages give it, and values that are refused in its place. */
interface Refusal {
  path: string;
  name?: string;
  values: readonly unknown[];
}
const points = (path: string): Refusal => ({ path, values: [...NOT_FLOATS, ...POINTS_REFUSED] });
const REFUSALS: readonly Refusal[] = [
  points('x'),
  { path: 'y', values: [...NOT_FLOATS, ...POINTS_REFUSED, f32(0, 0), f32(0, 0, 0, 0, 0, 0)] },
  points('users'),
  points('relations'),
  points('entities'),
  { path: 'dim', values: [0, 1.5, -1, -0.5, '8', '2', Number.NaN, Number.POSITIVE_INFINITY, 2 ** 32 + 2, 2n, null, undefined, [2]] },
  { path: 'upstream', values: [...NOT_FLOATS, f32(1), f32(1, 2, 3), f32(), ...NOT_FINITE.map((bad) => f32(1, bad))] },
  { path: 'graph', values: [undefined, null, 3, 'graph'] },
  {
    path: 'graph.offsets',
    values: [...NOT_IDS, u32(), u32(0, 2, 1), u32(0, 3, 1), u32(1, 1, 3), u32(0, 1, 2), u32(0, 1, 4), u32(0), u32(0, 0, 0, 0, 0, 3)],
  },
  { path: 'graph.relations', values: [...NOT_IDS, u32(0, 1), u32(0, 1, 0, 1), u32(0, 1, 2), u32(0xffffffff, 1, 0)] },
  { path: 'graph.tails', values: [...NOT_IDS, u32(3, 2, 4), u32(0xffffffff, 0, 0)] },
  { path: 'items', values: [...NOT_IDS, u32(0, 2), u32(0xffffffff)] },
  { path: 'beta', values: [...NOT_FLOATS, f32(0), f32(0, 0, 0), ...NOT_FINITE.map((bad) => f32(bad, 0))] },
  { path: 'inner', values: [undefined, null, 7] },
  { path: 'outer', values: [null, 7] },
  ...['inner', 'outer'].flatMap((batch): Refusal[] => [
    { path: `${batch}.users`, values: [...NOT_IDS, u32(2, 0), u32(0xffffffff, 0)] },
    { path: `${batch}.positives`, values: [...NOT_IDS, u32(0, 0, 0), u32(), u32(2, 0).subarray(0, batch === 'inner' ? 2 : 1)] },
    { path: `${batch}.negatives`, values: [...NOT_IDS, u32(0, 0, 0), u32(), u32(3, 0).subarray(0, batch === 'inner' ? 2 : 1)] },
  ]),
  { path: 'innerLearningRate', values: [...NOT_FINITE, -1, '0.1', undefined, null] },
  { path: 'k', values: [0, -1, 1.5, '2', Number.NaN, Number.POSITIVE_INFINITY, 2 ** 32 + 1, undefined, null] },
  { path: 'exclude', values: [null, 5] },
  { path: 'exclude.offsets', values: [...NOT_IDS, u32(), u32(0, 1), u32(0, 1, 0), u32(1, 1, 1), u32(0, 0, 0), u32(0, 1, 2), u32(0, 2, 1)] },
  { path: 'exclude.items', values: [...NOT_IDS, u32(4), u32(0xffffffff)] },
  { path: 'options', values: [null, 3, 'cpu'] },
  { path: 'options.curvature', name: 'curvature', values: [0, -0, -1, ...NOT_FINITE, '1', 1n, null] },
  { path: 'options.backend', name: 'backend', values: ['gpu', 'CPU', '', 'cuda:1', 0, null] },
  { path: 'options.backEnd', values: ['cpu', undefined] },
  { path: 'options.c', values: [1] },
];

function withValue(path: string, value: unknown): Arguments {
  const args = valid() as Record<string, unknown>;
  const keys = path.split('.');
  const last = keys.pop()!;
  const owner = keys.reduce((object, key) => object[key] as Record<string, unknown>, args);
  owner[last] = value;
  return args as Arguments;
}

for (const [kernel, { call, takes }] of Object.entries(calls))
  for (const { path, name, values } of REFUSALS)
    if (takes.includes(path.split('.')[0]!))
      guards(`${kernel} refuses a wrong ${path}`, () => {
        // topK calls its table of entities items; a y or a table that does not fit x or graph may be reported by the other's name.
        const names = [name ?? path, ...(kernel === 'topK' && path === 'entities' ? ['items'] : []), ...(ALSO_NAMED[path] ?? [])];
        for (const [i, value] of values.entries()) {
          let thrown: unknown;
          try {
            call(withValue(path, value));
          } catch (error) {
            thrown = error;
          }
          const what = `${path}, wrong value ${i} (${ArrayBuffer.isView(value) ? `${value.constructor.name} ${value}` : String(value)}): ${thrown}`;
          assert.ok(thrown instanceof TypeError || thrown instanceof RangeError, what);
          assert.ok(
            names.some((one) => thrown instanceof Error && thrown.message.startsWith(`${one}:`)),
            what,
          );
          assert.match(String((thrown as { code?: unknown }).code), /^ERR_HK_(TYPE|RANGE)$/, what);
        }
      });

/** Where lengths of two arguments disagree, a message may name either. */
const ALSO_NAMED: Readonly<Record<string, readonly string[]>> = {
  x: ['y', 'upstream'],
  dim: ['x', 'users', 'entities'],
  'graph.tails': ['graph.relations', 'graph.offsets'],
  'inner.users': ['inner.positives'],
  'outer.users': ['outer.positives'],
  'exclude.items': ['exclude.offsets'],
};

guards('points are judged by the curvature asked for', () => {
  const [x, y] = [f32(1.5, 0), f32(0, -1.9)];
  assert.ok(kernels.poincareDistance(x, y, 2, { curvature: 0.25, backend: 'cpu' })[0]! > 0);
  assert.throws(() => kernels.poincareDistance(x, y, 2, { backend: 'cpu' }), /^x: /);
  assert.throws(() => kernels.poincareDistance(x, y, 2, { curvature: 0.3, backend: 'cpu' }), /^y: /);
});

guards('a lookahead that leaves the ball is refused', () => {
  assert.throws(() => calls.hypergradient!.call({ ...valid(), innerLearningRate: 100 }), /^innerLearningRate: /);
});

guards('a backend that this build knows and this machine cannot run says why', () => {
  for (const { name, reason } of backends())
    if (reason !== undefined)
      assert.throws(
        () => kernels.poincareDistance(f32(0), f32(0), 1, { backend: name as 'cuda' }),
        (error: Error & { code?: string }) => error.code === 'ERR_HK_BACKEND' && error.message.includes(reason),
      );
});

guards('options and outer may be left out or undefined', () => {
  const a = valid();
  const distance = kernels.poincareDistance(a.x, a.y, a.dim, { backend: 'cpu', curvature: 1 });
  for (const options of [undefined, {}, { curvature: undefined, backend: undefined } as unknown as kernels.KernelOptions]) {
    const got = kernels.poincareDistance(a.x, a.y, a.dim, options);
    assert.ok(got.every((value, i) => Math.abs(value - distance[i]!) <= 1e-6 * distance[i]!));
  }
  const { options, outer: _, ...rest } = a;
  assert.equal(kernels.hypergradient(rest, options), kernels.hypergradient({ ...rest, outer: rest.inner }, options));
});

guards.run();
