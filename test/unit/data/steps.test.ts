import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { finish, finishInTurns, type Steps } from '../../../lib/data/steps.ts';

function* slow(pieces: number, milliseconds: number): Steps<number> {
  for (let i = 0; i < pieces; ++i) {
    const end = performance.now() + milliseconds;
    while (performance.now() < end);
    yield;
  }
  return pieces;
}

test('finish gives the result at once', () => {
  assert.is(finish(slow(3, 0)), 3);
});

test('finishInTurns lets timers run in between', async () => {
  let ticks = 0;
  const timer = setInterval(() => ++ticks, 1);
  assert.is(await finishInTurns(slow(20, 7)), 20);
  clearInterval(timer);
  assert.ok(ticks >= 10, `${ticks} ticks of a timer during 20 turns`);
});

test('an error in the work comes out', async () => {
  // biome-ignore lint/correctness/useYield: it throws before
  const broken = function* (): Steps<number> {
    throw new Error('planned');
  };
  assert.throws(() => finish(broken()), 'planned');
  await finishInTurns(broken()).then(
    () => assert.unreachable(),
    (error) => assert.is(error.message, 'planned'),
  );
});

test.run();
