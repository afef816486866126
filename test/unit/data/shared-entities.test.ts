import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Graph } from '../../../lib/data/csr.ts';
import { newRelation, type SharedEntities, withSharedEntities } from '../../../lib/data/shared-entities.ts';
import { finish } from '../../../lib/data/steps.ts';
import { seededRandom } from '../../helpers.ts';

const sharing = suite('shared entities');

/** Item by item the tails of every relation. */
function graphOf(items: number[][][]): Graph {
  const triples = items.map((relations) => relations.flatMap((tails, relation) => tails.map((tail) => [relation, tail] as const)));
  const offsets = new Uint32Array(items.length + 1);
  triples.forEach((own, item) => {
    offsets[item + 1] = offsets[item]! + own.length;
  });
  return {
    offsets,
    relations: Uint32Array.from(triples.flat(), ([relation]) => relation),
    tails: Uint32Array.from(triples.flat(), ([, tail]) => tail),
  };
}

const triplesOf = ({ offsets, relations, tails }: Graph, item: number): [relation: number, tail: number][] =>
  Array.from({ length: offsets[item + 1]! - offsets[item]! }, (_, i) => [relations[offsets[item]! + i]!, tails[offsets[item]! + i]!]);

/** The definition, pair by pair. */
function literally(graph: Graph, relation: number, { mostItems, perItem }: SharedEntities): [relation: number, tail: number][][] {
  const items = graph.offsets.length - 1;
  const tails = Array.from({ length: items }, (_, item) => new Set(triplesOf(graph, item).map(([, tail]) => tail)));
  const weight = (a: number, b: number): number => {
    let sum = 0;
    for (const entity of [...tails[a]!].sort((x, y) => x - y)) {
      const having = tails.filter((own) => own.has(entity)).length;
      if (tails[b]!.has(entity) && having <= mostItems) sum += Math.log(items / having);
    }
    return sum;
  };
  return tails.map((_, item) => {
    const others = tails.map((_, other) => ({ other, weight: other === item ? 0 : weight(item, other) }));
    const best = others
      .filter(({ weight }) => weight > 0)
      .sort((a, b) => b.weight - a.weight || a.other - b.other)
      .slice(0, perItem);
    const added = best.map(({ other }): [number, number] => [relation, other]).sort(([, a], [, b]) => a - b);
    return [...triplesOf(graph, item), ...added];
  });
}

sharing('by hand: two rare entities weigh more than one, and one of many items nothing', () => {
  // Entities 4 … 7; items 0 and 1 share 4 and 5, items 1 and 2 share 5, and all four have 6.
  const graph = graphOf([[[4, 6], [5]], [[5], [4, 6]], [[5, 6]], [[6, 7]]]);
  const found = finish(withSharedEntities(graph, 8, 2, { mostItems: 3, perItem: 1 }));
  assert.equal(triplesOf(found, 0), [
    [0, 4],
    [0, 6],
    [1, 5],
    [2, 1],
  ]);
  assert.equal(triplesOf(found, 1), [
    [0, 5],
    [1, 4],
    [1, 6],
    [2, 0],
  ]);
  assert.equal(triplesOf(found, 2), [
    [0, 5],
    [0, 6],
    [2, 0],
  ]);
  assert.equal(triplesOf(found, 3), [
    [0, 6],
    [0, 7],
  ]);
});

sharing('random graphs: the pairs of a double loop', () => {
  for (let seed = 1; seed <= 60; ++seed) {
    const random = seededRandom(seed);
    const below = (n: number) => Math.floor(n * random());
    const items = 1 + below(30);
    const entities = items + 1 + below(20);
    const relations = 1 + below(3);
    const graph = graphOf(
      Array.from({ length: items }, () =>
        Array.from({ length: relations }, () =>
          [...new Set(Array.from({ length: below(4) }, () => below(entities)))].sort((a, b) => a - b),
        ),
      ),
    );
    for (const options of [
      { mostItems: 300, perItem: 10 },
      { mostItems: 2, perItem: 3 },
      { mostItems: 4, perItem: 1 },
    ]) {
      const before = [graph.offsets.slice(), graph.relations.slice(), graph.tails.slice()];
      const found = finish(withSharedEntities(graph, entities, relations, options));
      assert.equal([graph.offsets, graph.relations, graph.tails], before);
      assert.equal(
        Array.from({ length: items }, (_, item) => triplesOf(found, item)),
        literally(graph, relations, options),
        `seed ${seed}, ${JSON.stringify(options)}`,
      );
    }
  }
});

sharing('a graph without triples stays as it is', () => {
  const found = finish(withSharedEntities(graphOf([[], [], []]), 5, 0, { mostItems: 300, perItem: 10 }));
  assert.equal([...found.offsets], [0, 0, 0, 0]);
  assert.is(found.tails.length, 0);
});

sharing('the relation has a name that no other has', () => {
  assert.is(newRelation('like', [0, 1]), 'like');
  assert.is(newRelation('like', ['^like', 'like']), '^^like');
});

sharing.run();
