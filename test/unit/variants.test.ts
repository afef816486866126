import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { PRESETS } from '../../lib/presets.ts';
import { VARIANTS } from '../../lib/variants.ts';

const variants = suite('variants and presets');

variants('Table 3: six rows in its order, whose labels say what they are', () => {
  assert.equal(
    VARIANTS.map(({ label }) => label),
    ['(1) BPR+E', '(2) BPR+H', '(3) BPR+Att+E', '(4) BPR+Att+H', '(5) BPR+Avg+H', '(6) Hyper-Know'],
  );
  for (const { name, label, geometry, knowledge, attention, adaptive } of VARIANTS) {
    assert.is(name, label.slice(4).toLowerCase().replaceAll('+', '-'));
    if (name === 'hyper-know') assert.equal([geometry, knowledge, attention, adaptive], ['poincare', true, true, true]);
    else {
      const parts = name.split('-');
      assert.is(geometry, parts.includes('h') ? 'poincare' : 'euclidean');
      assert.is(attention, parts.includes('att'));
      assert.is(knowledge, parts.includes('att') || parts.includes('avg'));
      assert.not.ok(adaptive);
    }
  }
});

variants('the paper’s preset has what the paper states', () => {
  const { curvature, dim, batchSize, adam } = PRESETS.paper;
  assert.equal({ curvature, dim, batchSize, adam }, { curvature: 1, dim: 64, batchSize: 4096, adam: 'exact' });
});

variants.run();
