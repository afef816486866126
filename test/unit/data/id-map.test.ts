import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { IdMap, idProblem } from '../../../lib/data/id-map.ts';

test('ids get dense ids in the order of first appearance', () => {
  const map = new IdMap();
  assert.equal(
    ['b', 'a', 'b', 'c', 'a'].map((id) => map.add(id)),
    [0, 1, 0, 2, 1],
  );
  assert.equal(map.ids, ['b', 'a', 'c']);
  assert.is(map.size, 3);
  assert.is(map.get('c'), 2);
  assert.is(map.get('d'), undefined);
});

test('the number 1 and the string 1 are two ids', () => {
  const map = new IdMap();
  assert.is(map.add(1), 0);
  assert.is(map.add('1'), 1);
  assert.equal(map.ids, [1, '1']);
});

test('names of object properties are ids like any other', () => {
  const map = new IdMap();
  for (const id of ['__proto__', 'constructor', 'toString', '']) map.add(id);
  assert.is(map.get('__proto__'), 0);
  assert.is(map.get(''), 3);
  assert.is(map.get('hasOwnProperty'), undefined);
});

test('what can be an id', () => {
  for (const id of ['', 'x', 'é', '😀', 0, -7, Number.MAX_SAFE_INTEGER]) assert.is(idProblem(id), undefined, String(id));
  for (const id of [1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53, 1n, null, undefined, true, {}, [], '\ud800', 'a\udc00'])
    assert.type(idProblem(id), 'string', typeof id);
});

test.run();
