// The work of an epoch: counted on a graph small enough to count by hand, and the formulas at published sizes.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Counts, countEpoch, floorOf, workOf } from '../../scripts/bench/work.ts';

const work = suite('bench work');

const near = (value: number, expected: number, tolerance: number, label: string) =>
  assert.ok(Math.abs(value - expected) <= tolerance * expected, `${label}: ${value}, not ${expected}`);

work('what is distinct is counted batch by batch', () => {
  // Items 0 and 1 of 3 have triples: 0 → (r0, 3), (r0, 1), (r1, 3); 1 → (r1, 3).
  const graph = { offsets: Uint32Array.of(0, 3, 4, 4), relations: Uint32Array.of(0, 0, 1, 1), tails: Uint32Array.of(3, 1, 3, 3) };
  const none = 0xffffffff;
  const samples = {
    users: Uint32Array.of(0, 0, 1, none, 1),
    positives: Uint32Array.of(0, 0, 1, none, 2),
    negatives: Uint32Array.of(1, 2, 2, none, 0),
  };
  assert.equal(countEpoch(samples, graph, { users: 2, entities: 4 }, 3), {
    batches: 2,
    samples: 4,
    users: 2 + 1,
    positives: 2 + 1, // {0, 1}, then {2}
    items: 3 + 2, // {0, 1, 2}, then {2, 0}
    triples: 4 + 0,
    groups: 3 + 0, // (0, r0), (0, r1), (1, r1)
    tails: 2 + 0, // {3, 1}
    rows: 6 + 3, // users 0 and 1, entities 0 to 3; then user 1, entities 2 and 0
  });
});

/** One batch of 4096 at d = 64, and what it costs on a machine with round numbers. */
const SIZES: readonly [
  label: string,
  counts: Partial<Counts>,
  entities: number,
  mflop: number,
  memoryMB: number,
  cacheMB: number,
  cpuMs: number,
][] = [
  ['last-fm', { positives: 3626, triples: 30_325, groups: 13_155, rows: 24_900 }, 106_389, 78, 39, 36, 1.05],
  ['amazon-book', { positives: 3180, triples: 326_000, groups: 63_000, rows: 89_000 }, 113_487, 456, 140, 187, 5.5],
  ['yelp2018', { positives: 3523, triples: 143_000, groups: 35_000, rows: 73_000 }, 136_499, 246, 113, 94, 3.5],
];

for (const [label, known, entities, mflop, memory, cache, milliseconds] of SIZES)
  work(`${label}: operations, bytes and the floor of a step`, () => {
    const counts: Counts = {
      batches: 1,
      samples: 4096,
      users: 0,
      positives: 0,
      items: 0,
      triples: 0,
      groups: 0,
      tails: 0,
      rows: 0,
      ...known,
    };
    const done = workOf(counts, 64, entities);
    near(done.flops, mflop * 1e6, 0.01, 'flops');
    near(done.memoryBytes, memory * 1e6, 0.02, 'memory');
    near(done.cachedBytes, cache * 1e6, 0.01, 'cache');
    const randomRows = [8e6, 29e6, 256e6].map((bytes, i) => ({ bytes, perSecond: [78e9, 32e9, 15e9][i]! }));
    const processor = { kind: 'processor', device: '', flops: 232e9, memory: 48e9, randomRows } as const;
    const floor = floorOf(done, 1, 256 * entities, processor);
    near(floor.seconds, milliseconds * 1e-3, 0.02, 'seconds');
    assert.is(floor.bound, 'memory + rows');
  });

work('on a card the slowest limit counts', () => {
  const done = { flops: 456e6, cachedBytes: 187e6, memoryBytes: 140e6, denseMemoryBytes: 283e6, tailBytes: 83e6 };
  const card = { kind: 'card', device: '', flops: 60e12, memory: 4.3e12, cache: 5.5e12, phaseSeconds: 2e-6 } as const;
  const floor = floorOf(done, 1, 29e6, card);
  assert.is(floor.bound, 'cache');
  near(floor.seconds, 34e-6, 0.01, 'seconds');
  assert.is(floorOf({ ...done, cachedBytes: 0, memoryBytes: 1e6 }, 1, 29e6, card).bound, 'latency');
});

work.run();
