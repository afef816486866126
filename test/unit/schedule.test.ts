import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { learningRateFactor } from '../../lib/schedule.ts';

const schedule = suite('learning-rate schedule');

schedule('constant is 1 throughout', () => {
  for (const epoch of [0, 7, 99]) assert.is(learningRateFactor('constant', epoch, 100), 1);
});

schedule('decay keeps the rate for half of the epochs, then halves it six times', () => {
  assert.is(learningRateFactor('decay', 0, 100), 1);
  assert.is(learningRateFactor('decay', 49, 100), 1);
  assert.is(learningRateFactor('decay', 74, 100), 0.125);
  assert.is(learningRateFactor('decay', 99, 100), 1 / 64);
  assert.is(learningRateFactor('decay', 0, 1), 1 / 64);
});

schedule('decay never rises', () => {
  let before = Number.POSITIVE_INFINITY;
  for (let epoch = 0; epoch < 37; ++epoch) {
    const factor = learningRateFactor('decay', epoch, 37);
    assert.ok(factor > 0 && factor <= before, `epoch ${epoch}: ${factor}`);
    before = factor;
  }
});

schedule.run();
