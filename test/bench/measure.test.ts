import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { markdownOf, textOf } from '../../scripts/bench/document.ts';
import { ratio, spread, takeTurns, timed } from '../../scripts/bench/measure.ts';

const measure = suite('bench measure');

measure('a spread has quartiles and extremes', () => {
  assert.equal(spread([5, 1, 4, 2, 3]), { median: 3, smallest: 1, largest: 5, lowerQuartile: 2, upperQuartile: 4, runs: 5 });
  assert.throws(() => spread([]), /values: there must be at least one/);
});

measure('contenders take turns, forwards and backwards, after a warm-up that does not count', async () => {
  const order: string[] = [];
  const contender = (name: string) => ({ name, run: () => order.push(name) });
  const seconds = await takeTurns([contender('a'), contender('b'), contender('c')], { rounds: 2, warmUp: 1 });
  assert.is(order.join(''), 'cbaabccba');
  // What `run` returns is what the turn took: here, how many turns there had been.
  assert.equal(
    [...seconds],
    [
      ['a', [4, 9]],
      ['b', [5, 8]],
      ['c', [6, 7]],
    ],
  );
  const same = [contender('a'), contender('a')];
  assert.ok(
    await takeTurns(same, { rounds: 1 }).then(
      () => false,
      (error: Error) => /same name/.test(error.message),
    ),
  );
});

measure('what returns no number is timed by the clock', async () => {
  const { result, seconds } = await timed(3, () => new Promise<string>((resolve) => setTimeout(() => resolve('done'), 5)));
  assert.is(result, 'done');
  assert.is(seconds.length, 3);
  for (const value of seconds) assert.ok(value >= 0.004 && value < 5, `${value}`);
});

measure('ratios are taken round by round', () => {
  assert.equal(ratio([2, 30, 4], [1, 10, 1]), { middle: 3, smallest: 2, largest: 4 });
  assert.throws(() => ratio([1], [1, 2]), /one value for each of ours/);
});

measure('a table is printed as text and as Markdown', () => {
  const table = { title: 'T', columns: ['what', 'ms'], rows: [['a|b', '1.0']], notes: ['N.'] };
  assert.is(textOf(table), '\nT\nwhat   ms\na|b   1.0\nN.');
  assert.is(markdownOf(table), '**T**\n\n| what | ms |\n| --- | ---: |\n| a\\|b | 1.0 |\n\nN.\n');
});

measure.run();
