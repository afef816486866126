import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { resolveOptions } from '../../lib/options.ts';
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

variants('the preset softmax: its learning rate follows from the interactions, the epochs from the learning rate that is in force', () => {
  const { rate, work } = PRESETS.softmax.pace!;
  const of = (interactions: number, options = {}) => resolveOptions({ preset: 'softmax', ...options }, interactions, true).hyperparameters;
  const { learningRate, epochs } = of(40_000);
  assert.is(learningRate, rate * 200);
  assert.is(epochs, Math.ceil(work / learningRate));
  assert.ok(of(160_000).learningRate === 2 * learningRate && of(160_000).epochs < epochs);
  assert.equal([of(0).learningRate, of(1e9).learningRate], [1e-4, 0.003]);
  assert.equal([of(40_000, { learningRate: 0.02 }).epochs, of(40_000, { epochs: 3 }).learningRate], [4, learningRate]);
  assert.is(of(40_000, { learningRate: 1e-300 }).epochs, 1e5);
  const { learningRate: fixed, epochs: planned } = resolveOptions({}, 40_000, true).hyperparameters;
  assert.equal([fixed, planned], [PRESETS.tuned.learningRate, Math.ceil(PRESETS.tuned.steps / 10)]);
});

variants.run();
