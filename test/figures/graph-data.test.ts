// Neighbourhoods, groups, radii, attention and the placement of what training never moves, on graphs small enough to see through.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createDataset, type Dataset } from '../../lib/data/dataset.ts';
import { neighborhood } from '../../lib/kernels.ts';
import { train } from '../../lib/train.ts';
import { itemGroups, percentilesOf, percentilesWithin, quartiles } from '../../lib/report/item-groups.ts';
import { attentionEntropy, diskOf, radiusDegree } from '../../scripts/reproduce/figures/model-data.ts';
import { placeUntrained, trainedRows } from '../../scripts/reproduce/figures/place-untrained.ts';
import { FIGURE_NAMES, figureRequest } from '../../scripts/reproduce/figures/request.ts';

import { chosenEntities, Incidence, twoHop } from '../../scripts/reproduce/figures/two-hop.ts';
import { folderWith } from '../helpers.ts';

const graph = suite('data of figures');

/** Items a, b, c; a and b share a maker; a hub has everything; `lone` and its neighbour are in no item's neighbourhood. */
function world(): Dataset {
  const items = ['a', 'b', 'c', ...Array.from({ length: 30 }, (_, i) => `item ${i}`)];
  return createDataset({
    interactions: items.flatMap((item, i) => ['u', 'v', 'w'].slice(0, 1 + (i % 3)).map((user) => ({ user, item }))),
    triples: [
      { head: 'a', relation: 'made by', tail: 'maker' },
      { head: 'b', relation: 'made by', tail: 'maker' },
      { head: 'b', relation: 'also by', tail: 'maker' },
      { head: 'maker', relation: 'in', tail: 'town' },
      { head: 'a', relation: 'a', tail: 'a' },
      { head: 'lone', relation: 'in', tail: 'town' },
      { head: 'lone', relation: 'near', tail: 'lonelier' },
      { head: 'lone', relation: 'made by', tail: 'maker' },
      ...items.map((item) => ({ head: item, relation: 'is', tail: 'hub' })),
    ],
  });
}

const row = ({ entityIds }: Dataset, id: string): number => entityIds.indexOf(id);

graph('two hops: both directions, parallel edges, no way through a hub, everything counted that is left out', () => {
  const data = world();
  const incidence = new Incidence(data);
  assert.is(incidence.degrees[row(data, 'maker')], 5);
  assert.is(incidence.degrees[row(data, 'a')], 3, 'a self-loop counts once');
  const found = twoHop(incidence, row(data, 'a'), { hubDegree: 10, perNode: [24, 8] });
  const named = (hop: number) => found.rows.filter((_, i) => found.hops[i] === hop).map((one) => data.entityIds[one]);
  assert.equal(named(0), ['a']);
  assert.equal(named(1).sort(), ['hub', 'maker']);
  assert.equal(named(2).sort(), ['b', 'lone', 'town']);
  assert.equal(found.omitted, { ofHubs: 32, aboveLimit: 0 });
  const edge = (from: string, to: string) =>
    found.edges.filter(({ source, target }) => data.entityIds[found.rows[source]!] === from && data.entityIds[found.rows[target]!] === to)
      .length;
  assert.equal([edge('a', 'maker'), edge('a', 'hub'), edge('maker', 'b'), edge('maker', 'town'), edge('a', 'a')], [1, 1, 2, 1, 0]);
  const followed = twoHop(incidence, row(data, 'a'), { hubDegree: 100, perNode: [24, 8] });
  assert.is(followed.omitted.ofHubs, 0);
  assert.is(followed.omitted.aboveLimit, 31 - 8, 'of the 32 other items b is shown already');
  const narrow = twoHop(incidence, row(data, 'hub'), { hubDegree: 10, perNode: [5, 1] });
  assert.is(narrow.hops.filter((hop) => hop === 1).length, 5);
  assert.is(narrow.omitted.aboveLimit, 28);
});

graph('chosen entities: neither hubs nor what is not eligible, items and others by turns, always the same', () => {
  const data = world();
  const incidence = new Incidence(data);
  const limits = { hubDegree: 10, perNode: [24, 8] } as const;
  const chosen = chosenEntities(incidence, data, limits, (one) => data.entityIds[one] !== 'lone', 4).map((one) => data.entityIds[one]);
  assert.equal(chosen.toSorted(), ['a', 'b', 'maker']);
  assert.equal(
    chosen.map((id) => id === 'maker'),
    [false, true, false],
  );
});

graph('quartiles keep equal counts together, and say what they hold', () => {
  const counts = Uint32Array.of(1, 1, 1, 1, 2, 3, 3, 9);
  const { groups, members } = quartiles(Uint32Array.from(counts.keys()), counts, ['thing', 'things']);
  assert.equal(groups, [
    { label: '1 thing', items: 4 },
    { label: '2–3 things', items: 3 },
    { label: '9 things', items: 1 },
  ]);
  assert.equal([...members[1]!], [4, 5, 6]);
  const within = percentilesWithin({ groups, members }, [0, 1, 2, 3, 10, 20, 30, 7]);
  assert.equal(
    within.map(({ p50 }) => p50),
    [1.5, 20, 7],
  );
  assert.is(percentilesOf(Array.from({ length: 101 }, (_, i) => i)).p95, 95);
  const { items, degree } = itemGroups(world());
  assert.is(items.length, 33);
  assert.is(
    degree.groups.reduce((sum, group) => sum + group.items, 0),
    33,
  );
});

graph('radius and attention of a trained model: every row once, in the ranges they can have', async () => {
  const data = world();
  const incidence = new Incidence(data);
  const model = await train(data, { dim: 2, curvature: 1, epochs: 30, batchSize: 16, seed: 1, backend: 'cpu', threads: 1 });
  const { groups, untrained } = radiusDegree(model, data, incidence);
  assert.is(untrained, 3, 'town, lone and lonelier');
  assert.equal(
    groups.map(({ name, rows }) => [name, rows]),
    [
      ['Items', 33],
      ['Other entities', 2],
    ],
  );
  for (const { bins, rows, spearman } of groups) {
    assert.is(
      bins.reduce((sum, bin) => sum + bin.rows, 0),
      rows,
    );
    assert.ok(spearman! >= -1 && spearman! <= 1);
    assert.ok(bins.every(({ distance }) => distance.p5 >= 0 && distance.p5 <= distance.p95));
  }
  const { items, itemsWithFewer, histogram, percentiles } = attentionEntropy(model);
  assert.equal([items, itemsWithFewer, histogram.reduce((sum, count) => sum + count, 0)], [2, 31, 2]);
  assert.ok(percentiles.p50 > 0 && percentiles.p50 <= 1);

  const center = row(data, 'lone');
  const input = {
    model,
    dataset: data,
    incidence,
    centers: [center],
    limits: { hubDegree: 10, perNode: [24, 8] as const },
    nameOf: (one: number) => String(data.entityIds[one]),
  };
  const [literal] = diskOf({ ...input, placement: null }).entities;
  assert.equal(
    literal!.nodes
      .filter(({ placed }) => placed === 'never')
      .map(({ label }) => label)
      .sort(),
    ['lone', 'lonelier', 'town'],
  );
  const placement = placeUntrained(model, data);
  const disk = diskOf({ ...input, placement });
  assert.is(disk.kgHeads, 'all');
  assert.ok(disk.entities[0]!.nodes.every(({ placed }) => placed !== 'never'));
  const far = await train(data, { dim: 3, epochs: 1, backend: 'cpu' });
  assert.throws(() => diskOf({ ...input, model: far, placement: null }), /^figure 3: the model has 3 dimensions/);
});

graph('kg-heads all: what was trained stays, the others come nearer to their neighbourhoods', async () => {
  const data = world();
  const model = await train(data, { dim: 2, curvature: 1, epochs: 30, batchSize: 16, seed: 1, backend: 'cpu', threads: 1 });
  const trained = trainedRows(model);
  const { entities, placed, before, after } = placeUntrained(model, data);
  assert.equal(
    [...placed.keys()]
      .filter((one) => placed[one] === 1)
      .map((one) => data.entityIds[one])
      .sort(),
    ['lone', 'lonelier', 'town'],
  );
  for (const one of trained.keys())
    if (trained[one] === 1) assert.equal(entities.subarray(2 * one, 2 * one + 2), model.entities.subarray(2 * one, 2 * one + 2));
  assert.ok(after < 0.5 * before, `${before} → ${after}`);
  assert.equal(placeUntrained(model, data).entities, entities, 'the same every time');
  assert.not.equal(placeUntrained(model, data, 0).entities.length, 0);
  assert.is(placeUntrained(model, data, 0).before, placeUntrained(model, data, 0).after);
  // `after` is L_K of the two heads that are no items, as the kernel has it.
  const heads = ['maker', 'lone'].map((id) => row(data, id));
  const offsets = new Uint32Array(data.entities + 1);
  const all = [...data.triples.heads.keys()]
    .filter((i) => heads.includes(data.triples.heads[i]!))
    .sort((a, b) => data.triples.heads[a]! - data.triples.heads[b]!);
  for (const i of all) offsets[data.triples.heads[i]! + 1]!++;
  for (let i = 0; i < data.entities; ++i) offsets[i + 1]! += offsets[i]!;
  const own = {
    offsets,
    relations: Uint32Array.from(all, (i) => data.triples.relations[i]!),
    tails: Uint32Array.from(all, (i) => data.triples.tails[i]!),
  };
  const { distance } = neighborhood(
    {
      ...{ entities, relations: model.relations, dim: 2, graph: own, items: Uint32Array.from(heads.sort((a, b) => a - b)) },
      temperature: model.training.options.attentionTemperature!,
    },
    { backend: 'cpu' },
  );
  assert.ok(Math.abs((distance[0]! + distance[1]!) / 2 - after) <= 1e-5 * after);
});

graph('the command line: what figures are asked for, and what cannot be meant', () => {
  assert.is(figureRequest({}), null);
  const request = figureRequest({ figures: '3,2', entity: ['7,8', '9'], betas: '1,0.1,0', 'kg-heads': 'all' })!;
  assert.equal(
    [request.figures, request.entities, request.betas, request.kgHeads, request.hubDegree],
    [['2', '3'], ['7', '8', '9'], [0, 0.1, 1], 'all', 100],
  );
  assert.equal(figureRequest({ figures: 'all' })!.figures, [...FIGURE_NAMES]);
  assert.ok(figureRequest({ figures: '2' })!.betas.length >= 9);
  const folder = folderWith({ 'names.tsv': '\ufeff7\tSeven\n8\tEight\tand more\n\n', bad: '7\tSeven\neight' });
  assert.equal(
    [...figureRequest({ figures: '3', names: `${folder}/names.tsv` })!.names],
    [
      ['7', 'Seven'],
      ['8', 'Eight\tand more'],
    ],
  );
  for (const [flags, message] of [
    [{ figures: '4' }, /^--figures: "4" is not one of 2, 3, radius, curves, attention, all$/],
    [{ figures: '2', betas: '0,x' }, /^--betas: must be numbers from 0/],
    [{ figures: '2', betas: '-1,1,2' }, /^--betas: must be numbers from 0/],
    [{ figures: '2', betas: '0,1' }, /^--betas: must have two different values above 0/],
    [{ figures: '3', 'kg-heads': 'some' }, /^--kg-heads: must be items or all/],
    [{ figures: '3', 'hub-degree': '1.5' }, /^--hub-degree: must be a positive integer/],
    [{ entity: ['1'] }, /^--entity: has no meaning without --figures$/],
    [{ figures: '3', names: `${folder}/bad` }, /bad, line 2: must be an id, a tab and a name$/],
    [{ figures: '3', names: `${folder}/none` }, /^--names: none cannot be read \(ENOENT\)$/],
  ] as const)
    assert.throws(() => figureRequest(flags as Parameters<typeof figureRequest>[0]), message);
});

graph.run();
