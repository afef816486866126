// Which ids a message proposes for one that is unknown, and which id a text stands for.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { knownId, nearIds } from '../../lib/cli/ids.ts';
import { seededRandom } from '../helpers.ts';

const near = suite('near ids');

/** Levenshtein's distance as it is defined. */
function distance(a: string, b: string): number {
  if (a === '' || b === '') return Math.max(a.length, b.length);
  return Math.min(distance(a.slice(1), b) + 1, distance(a, b.slice(1)) + 1, distance(a.slice(1), b.slice(1)) + (a[0] === b[0] ? 0 : 1));
}

near('the nearest by the definition, one or two letters away', () => {
  const random = seededRandom(3);
  const word = () => Array.from({ length: 4 + Math.floor(3 * random()) }, () => 'abc'[Math.floor(3 * random())]).join('');
  for (let round = 0; round < 40; ++round) {
    const ids = [...new Set(Array.from({ length: 12 }, word))];
    const text = word();
    const most = text.length < 6 ? 1 : 2;
    const expected = ids
      .map((id) => distance(id, text))
      .filter((changes) => changes <= most)
      .sort((a, b) => a - b)
      .slice(0, 3);
    assert.equal(
      nearIds(ids, text).map((id) => distance(String(id), text)),
      expected,
      `${text} among ${ids.join(' ')}`,
    );
  }
});

near('the best of many that are near; case does not count; nothing for nothing', () => {
  const many = Array.from({ length: 1000 }, (_, i) => `SKU-${1000 + i}`);
  assert.is(nearIds(many, 'sku-1999')[0], 'SKU-1999');
  assert.equal(nearIds(['a', 'b'], ''), []);
  assert.equal(nearIds([12, 345], '124'), [12]);
});

near('a text is itself before it is a number', () => {
  assert.is(knownId([7, 8], '7'), 7);
  assert.is(knownId([7, '7'], '7'), '7');
  for (const text of ['07', '7.0', '+7', ' 7', '']) assert.is(knownId([7], text), undefined);
});

near.run();
