import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { METRICS, type MetricName, type RankedHits } from '../../lib/metrics.ts';

const metrics = suite('metrics');

// Ranks 2, 4 and 7 of ten are hits; five items are relevant, so two were not found.
const list: RankedHits = { hits: Uint8Array.of(0, 1, 0, 1, 0, 0, 1, 0, 0, 0), relevant: 5 };
const log2 = Math.log2;

/** Worked out by hand at k = 5; every metric has its row. */
const expected: Record<MetricName, number> = {
  recall: 2 / 5,
  ndcg: (1 / log2(3) + 1 / log2(5)) / (1 + 1 / log2(3) + 1 / 2 + 1 / log2(5) + 1 / log2(6)),
  // Three hits in the list: they would stand at ranks 1 to 3.
  ndcgKgat: (1 / log2(3) + 1 / log2(5)) / (1 + 1 / log2(3) + 1 / 2),
  precision: 2 / 5,
  hitRate: 1,
  mrr: 1 / 2,
};

for (const name of Object.keys(METRICS) as MetricName[]) {
  metrics(`${name}: the example worked out by hand`, () => {
    const value = METRICS[name].value(list, 5);
    assert.ok(Math.abs(value - expected[name]) <= 1e-15, `${value}`);
  });
  metrics(`${name}: a list without a hit is worth 0, the best list 1`, () => {
    assert.is(METRICS[name].value({ hits: new Uint8Array(10), relevant: 2 }, 5), 0);
    const best = METRICS[name].value({ hits: Uint8Array.of(1, 1, 1, 1, 1), relevant: 5 }, 5);
    assert.ok(Math.abs(best - 1) <= 1e-15, `${best}`);
  });
  metrics(`${name}: a list that is shorter than k`, () => {
    const short = METRICS[name].value({ hits: Uint8Array.of(0, 1), relevant: 3 }, 5);
    const padded = METRICS[name].value({ hits: Uint8Array.of(0, 1, 0, 0, 0), relevant: 3 }, 5);
    assert.is(short, padded);
    assert.ok(short > 0);
  });
}

metrics('the ideal list of the standard NDCG is at most k long', () => {
  const value = METRICS.ndcg.value({ hits: Uint8Array.of(1, 1), relevant: 40 }, 2);
  assert.ok(Math.abs(value - 1) <= 1e-15, `${value}`);
});

metrics("KGAT's NDCG looks at 100 ranks, whatever k is below that", () => {
  const hits = new Uint8Array(120);
  hits[0] = hits[99] = hits[100] = 1;
  // Two hits among the first 100; the one at rank 101 does not count.
  const value = METRICS.ndcgKgat.value({ hits, relevant: 3 }, 20);
  assert.ok(Math.abs(value - 1 / (1 + 1 / log2(3))) <= 1e-15, `${value}`);
  assert.is(METRICS.ndcgKgat.depth(20), 100);
  assert.is(METRICS.ndcgKgat.depth(150), 150);
  assert.is(METRICS.recall.depth(20), 20);
});

metrics.run();
