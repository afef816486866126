import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  distinctTriples,
  graphOf,
  graphWithInverses,
  hasInteraction,
  interactionsOf,
  partedBy,
  type Triples,
  Uint32List,
  usersOf,
} from '../../../lib/data/csr.ts';
import { finish, PIECE } from '../../../lib/data/steps.ts';
import { seededRandom } from '../../helpers.ts';

const u32 = (...values: number[]) => Uint32Array.from(values);

function randomTriples(count: number, entities: number, relations: number, seed: number): Triples {
  const random = seededRandom(seed);
  const column = (bound: number) => Uint32Array.from({ length: count }, () => Math.floor(random() * bound));
  return { heads: column(entities), relations: column(relations), tails: column(entities) };
}

const rows = ({ heads, relations, tails }: Triples) => [...heads].map((head, i) => [head, relations[i]!, tails[i]!]);

function compareRows(a: number[], b: number[]): number {
  for (let k = 0; k < a.length; ++k) if (a[k] !== b[k]) return a[k]! - b[k]!;
  return 0;
}

test('Uint32List: as pushed, over several blocks', () => {
  for (const length of [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE]) {
    const list = new Uint32List();
    for (let i = 0; i < length; ++i) list.push(4294967295 - i);
    assert.is(list.length, length);
    const values = finish(list.take());
    assert.is(values.length, length);
    assert.ok(values.every((value, i) => value === 4294967295 - i));
  }
});

test('interactionsOf: by user, ascending, without repeats', () => {
  const pairs = { users: u32(2, 0, 2, 0, 2, 2), items: u32(5, 1, 3, 1, 5, 0) };
  const { interactions, repeated } = finish(interactionsOf(pairs, 4, 6));
  assert.equal(interactions, { offsets: u32(0, 1, 1, 4, 4), items: u32(1, 0, 3, 5) });
  assert.is(repeated, 2);
});

test('interactionsOf agrees with sets on more rows than one piece', () => {
  const random = seededRandom(4);
  const count = 2 * PIECE + 17;
  const users = Uint32Array.from({ length: count }, () => Math.floor(random() ** 2 * 300));
  const items = Uint32Array.from({ length: count }, () => Math.floor(random() ** 3 * 500));
  const { interactions, repeated } = finish(interactionsOf({ users, items }, 300, 500));
  const sets = Array.from({ length: 300 }, () => new Set<number>());
  for (let i = 0; i < count; ++i) sets[users[i]!]!.add(items[i]!);
  let at = 0;
  sets.forEach((set, user) => {
    const expected = [...set].sort((a, b) => a - b);
    assert.is(interactions.offsets[user], at);
    assert.equal([...interactions.items.subarray(at, at + expected.length)], expected);
    at += expected.length;
  });
  assert.is(interactions.offsets[300], at);
  assert.is(repeated, count - at);
});

test('usersOf, hasInteraction, partedBy', () => {
  const interactions = { offsets: u32(0, 2, 2, 5), items: u32(1, 4, 0, 1, 9) };
  assert.equal(finish(usersOf(interactions)), u32(0, 0, 2, 2, 2));
  for (let user = 0; user < 3; ++user)
    for (let item = 0; item < 11; ++item) {
      const row = [...interactions.items.subarray(interactions.offsets[user], interactions.offsets[user + 1])];
      assert.is(hasInteraction(interactions, user, item), row.includes(item), `user ${user}, item ${item}`);
    }
  assert.equal(finish(partedBy(Uint8Array.of(0, 1, 0, 1, 0), interactions)), [
    { offsets: u32(0, 1, 1, 3), items: u32(1, 0, 9) },
    { offsets: u32(0, 1, 1, 2), items: u32(4, 1) },
  ]);
});

test('distinctTriples: the first of equals in the order given, and sorted', () => {
  for (const [count, entities, relations, seed] of [
    [0, 3, 1, 1],
    [200, 6, 3, 2],
    [3000, 120, 9, 4], // few repeats
    [PIECE + 1000, 60, 9, 3],
  ] as const) {
    const given = randomTriples(count, entities, relations, seed);
    const { triples, sorted, repeated } = finish(distinctTriples(given, entities, relations));
    const expected = [...new Map(rows(given).map((row) => [row.join(), row])).values()];
    assert.equal(rows(triples), expected);
    assert.equal(rows(sorted), expected.slice().sort(compareRows));
    assert.is(repeated, count - expected.length);
    assert.ok(count < 100 || repeated > 0);
  }
});

test('distinctTriples: nothing repeated, nothing changed', () => {
  const given = { heads: u32(3, 0, 3), relations: u32(0, 1, 1), tails: u32(1, 2, 1) };
  const { triples, sorted, repeated } = finish(distinctTriples(given, 4, 2));
  assert.equal(rows(triples), rows(given));
  assert.equal(rows(sorted), [
    [0, 1, 2],
    [3, 0, 1],
    [3, 1, 1],
  ]);
  assert.is(repeated, 0);
});

test('distinctTriples: neighbourhoods of any length, distinct triples', () => {
  for (const [label, lengths, relations] of [
    ['short and long', [0, 1, 2, 16, 17, 300, 3, 0], 7],
    ['one longer than a turn of the event loop', [5, 4 * PIECE + 1, 2], 3],
  ] as const) {
    const random = seededRandom(4);
    const all = lengths.flatMap((length, head) => Array.from({ length }, (_, i) => [head, Math.floor(random() * relations), 7 * i]));
    for (let i = all.length - 1; i > 0; --i) {
      const j = Math.floor(random() * (i + 1));
      [all[i], all[j]] = [all[j]!, all[i]!];
    }
    const column = (k: number) => Uint32Array.from(all, (row) => row[k]!);
    const given = { heads: column(0), relations: column(1), tails: column(2) };
    const { triples, sorted, repeated } = finish(distinctTriples(given, 500_000, relations));
    assert.is(repeated, 0, label);
    assert.equal(triples, given, label);
    assert.equal(rows(sorted), all.slice().sort(compareRows), label);
  }
});

test('graphs: those with an item as head, by item, relation, tail; inverses of those with an item as tail', () => {
  const [items, entities, relations] = [7, 20, 4];
  const { triples, sorted } = finish(distinctTriples(randomTriples(300, entities, relations, 8), entities, relations));
  const direct = rows(triples).filter(([head]) => head! < items);
  const inverse = rows(triples)
    .filter(([, , tail]) => tail! < items)
    .map(([head, relation, tail]) => [tail!, relation! + relations, head!]);
  assert.ok(inverse.length > 0 && direct.some(([head, , tail]) => head === tail), 'self-loops are among them');
  for (const [graph, wanted] of [
    [finish(graphOf(sorted, items)), direct],
    [finish(graphWithInverses(triples, items, entities, relations)), [...direct, ...inverse]],
  ] as const) {
    assert.is(graph.offsets.length, items + 1);
    const found: number[][] = [];
    for (let item = 0; item < items; ++item)
      for (let k = graph.offsets[item]!; k < graph.offsets[item + 1]!; ++k) found.push([item, graph.relations[k]!, graph.tails[k]!]);
    assert.is(graph.tails.length, found.length);
    assert.equal(found, wanted.slice().sort(compareRows));
  }
});

test.run();
