import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type Interactions, interactionsOf } from '../../../lib/data/csr.ts';
import { holdOut, holdOutPerUser } from '../../../lib/data/split.ts';
import { finish } from '../../../lib/data/steps.ts';

/** Users with the given numbers of items. */
function withDegrees(...degrees: number[]): Interactions {
  const users = degrees.flatMap((degree, user) => new Array<number>(degree).fill(user));
  const items = degrees.flatMap((degree, user) => Array.from({ length: degree }, (_, i) => i * 3 + user));
  const pairs = { users: Uint32Array.from(users), items: Uint32Array.from(items) };
  return finish(interactionsOf(pairs, degrees.length, Math.max(1, ...items.map((item) => item + 1)))).interactions;
}

function rowsOf({ offsets, items }: Interactions): number[][] {
  return Array.from({ length: offsets.length - 1 }, (_, user) => [...items.subarray(offsets[user], offsets[user + 1])]);
}

function checkParts(whole: Interactions, [kept, held]: [Interactions, Interactions]): void {
  const [wholeRows, keptRows, heldRows] = [whole, kept, held].map(rowsOf) as [number[][], number[][], number[][]];
  wholeRows.forEach((row, user) => {
    assert.equal(
      [...keptRows[user]!, ...heldRows[user]!].sort((a, b) => a - b),
      row,
    );
    for (const part of [keptRows[user]!, heldRows[user]!])
      assert.equal(
        part,
        part.slice().sort((a, b) => a - b),
      );
    assert.ok(row.length === 0 || keptRows[user]!.length > 0, `user ${user} keeps one`);
  });
}

test('holdOut: the asked share, disjoint, every user keeps one', () => {
  const whole = withDegrees(1, 1, 5, 0, 40, 13, 2);
  for (const fraction of [0, 0.1, 0.5, 0.8]) {
    const parts = finish(holdOut(whole, fraction, 7));
    checkParts(whole, parts);
    assert.is(parts[1].items.length, Math.round(fraction * 62));
  }
  // Of 62 interactions the six users that have any keep one each, whatever is asked.
  assert.is(finish(holdOut(whole, 1, 7))[1].items.length, 56);
});

test('holdOut: the seed decides', () => {
  const whole = withDegrees(30, 30, 30);
  const held = (seed: number) => String(rowsOf(finish(holdOut(whole, 0.1, seed))[1]).join(' | '));
  assert.is(held(3), held(3));
  assert.is(new Set([1, 2, 3, 4, 5, 6].map(held)).size, 6);
});

test('holdOut: uniform over the interactions, not over the users', () => {
  const whole = withDegrees(100, 20, 20, 20, 20, 20);
  const counts = new Array<number>(200).fill(0);
  const seeds = 2000;
  for (let seed = 0; seed < seeds; ++seed) {
    const { offsets, items } = finish(holdOut(whole, 0.1, seed))[1];
    for (let user = 0; user < 6; ++user)
      for (let i = offsets[user]!; i < offsets[user + 1]!; ++i) counts[whole.offsets[user]! + (items[i]! - user) / 3]!++;
  }
  // Each entry is held with probability 0.1: a binomial with deviation √(2000 · 0.1 · 0.9) = 13.4.
  for (const count of counts) assert.ok(Math.abs(count - 200) <= 5 * 13.4, `held ${count} times of ${seeds}`);
});

test('holdOutPerUser: the share of every user', () => {
  const whole = withDegrees(1, 2, 3, 10, 0, 100);
  const parts = finish(holdOutPerUser(whole, 0.2, 1));
  checkParts(whole, parts);
  assert.equal(
    rowsOf(parts[1]).map((row) => row.length),
    [0, 0, 1, 2, 0, 20],
  );
});

test('holdOutPerUser: every item of a user alike', () => {
  const whole = withDegrees(10);
  const counts = new Array<number>(10).fill(0);
  for (let seed = 0; seed < 2000; ++seed) for (const item of finish(holdOutPerUser(whole, 0.2, seed))[1].items) counts[item / 3]!++;
  for (const count of counts) assert.ok(Math.abs(count - 400) <= 5 * 17.9, `held ${count} times of 2000`);
});

test.run();
