import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Graph, Interactions } from '../../../lib/data/csr.ts';
import { type SharedUsers, withSharedUsers } from '../../../lib/data/shared-users.ts';
import { finish } from '../../../lib/data/steps.ts';
import { seededRandom } from '../../helpers.ts';

const sharing = suite('shared users');

function interactionsOf(users: number[][]): Interactions {
  const offsets = new Uint32Array(users.length + 1);
  users.forEach((own, user) => {
    offsets[user + 1] = offsets[user]! + own.length;
  });
  return { offsets, items: Uint32Array.from(users.flat()) };
}

const emptyGraph = (items: number): Graph => ({
  offsets: new Uint32Array(items + 1),
  relations: new Uint32Array(0),
  tails: new Uint32Array(0),
});

const triplesOf = ({ offsets, relations, tails }: Graph, item: number): [relation: number, tail: number][] =>
  Array.from({ length: offsets[item + 1]! - offsets[item]! }, (_, i) => [relations[offsets[item]! + i]!, tails[offsets[item]! + i]!]);

/** The definition, pair by pair. */
function literally(users: number[][], items: number, { leastUsers, perItem, shrinkage }: SharedUsers): number[][] {
  const having = Array.from({ length: items }, (_, item) => users.flatMap((own, user) => (own.includes(item) ? [user] : [])));
  return having.map((own, item) => {
    const others = having.map((theirs, other) => {
      const common = own.filter((user) => theirs.includes(user)).length;
      const denominator = Math.sqrt(own.length) * Math.sqrt(theirs.length) + shrinkage;
      return { other, cosine: other === item || common < leastUsers ? 0 : common / denominator };
    });
    const best = others.filter(({ cosine }) => cosine > 0).sort((a, b) => b.cosine - a.cosine || a.other - b.other);
    return best
      .slice(0, perItem)
      .map(({ other }) => other)
      .sort((a, b) => a - b);
  });
}

sharing('by hand: popularity is divided out, and shrinkage wants evidence', () => {
  // All have item 0; users 0 and 1 have 1 and 2; user 4 alone has 3 and 4.
  const train = interactionsOf([[0, 1, 2], [0, 1, 2], [0], [0], [0, 3, 4]]);
  const nearest = (leastUsers: number) => {
    const found = finish(withSharedUsers(emptyGraph(5), train, 7, { leastUsers, perItem: 1, shrinkage: 0 }));
    return Array.from({ length: 5 }, (_, item) => triplesOf(found, item));
  };
  // |1 ∩ 2| = |0 ∩ 1| = 2, but √2√2 < √5√2; of one user 1/(√1√1) = 1 beats 1/(√5√1).
  assert.equal(nearest(1), [[[7, 1]], [[7, 2]], [[7, 1]], [[7, 4]], [[7, 3]]]);
  assert.equal(nearest(2), [[[7, 1]], [[7, 2]], [[7, 1]], [], []]);
  const pair = interactionsOf([[0, 1, 2], [0, 1], [0], [0], [0]]);
  const of1 = (shrinkage: number) =>
    triplesOf(finish(withSharedUsers(emptyGraph(3), pair, 0, { leastUsers: 1, perItem: 1, shrinkage })), 1);
  assert.equal(of1(0), [[0, 2]]); // 1/(√2√1) = .71 against 2/(√2√5) = .63
  assert.equal(of1(10), [[0, 0]]); // .09 against .15
});

sharing('random interactions: the pairs of a double loop, behind the triples of the graph', () => {
  for (let seed = 1; seed <= 60; ++seed) {
    const random = seededRandom(seed);
    const below = (n: number) => Math.floor(n * random());
    const items = 1 + below(25);
    const users = Array.from({ length: 1 + below(30) }, () =>
      [...new Set(Array.from({ length: below(7) }, () => below(items)))].sort((a, b) => a - b),
    );
    const own = Array.from({ length: items }, () => Array.from({ length: below(3) }, (_, i) => i));
    const graph = { ...interactionsOf(own), relations: new Uint32Array(own.flat().length).fill(1) };
    const before: Graph = { offsets: graph.offsets, relations: graph.relations, tails: graph.items };
    const copies = [before.offsets.slice(), before.relations.slice(), before.tails.slice()];
    for (const options of [
      { leastUsers: 1, perItem: 10, shrinkage: 10 },
      { leastUsers: 2, perItem: 3, shrinkage: 0 },
      { leastUsers: 1, perItem: 1, shrinkage: 0.5 },
    ]) {
      const found = finish(withSharedUsers(before, interactionsOf(users), 2, options));
      assert.equal([before.offsets, before.relations, before.tails], copies);
      const expected = literally(users, items, options);
      for (let item = 0; item < items; ++item)
        assert.equal(
          triplesOf(found, item),
          [...triplesOf(before, item), ...expected[item]!.map((other) => [2, other])],
          `seed ${seed}, item ${item}, ${JSON.stringify(options)}`,
        );
    }
  }
});

sharing('nobody has anything: the graph stays as it is', () => {
  const found = finish(withSharedUsers(emptyGraph(3), interactionsOf([[], []]), 0, { leastUsers: 1, perItem: 10, shrinkage: 10 }));
  assert.equal([...found.offsets], [0, 0, 0, 0]);
});

sharing.run();
