// `kgHeads: 'all'`, for the figure: L_K of the heads that are no items, too.
//
// L_K runs over items (Eq. 7), so an entity that is in no item's neighbourhood gets no gradient and stays where it started: on Last-FM a third of the
// entities that are no items, 97468 of the paper's Figure 3b among them. Here these, and only these, are placed afterwards: what training has
// placed stays, and the sum of L_K over all heads that are no items is minimised over the others. It is what training would do to them if L_K
// ran over every head and they in turn moved nothing that an item's neighbourhood holds.
import { Adam } from '../../../lib/adam.ts';
import type { Dataset } from '../../../lib/data/dataset.ts';
import { expMapOrigin, expMapOriginGradient, logMapOrigin } from '../../../lib/geometry.ts';
import { type Graph, neighborhood, neighborhoodGradient } from '../../../lib/kernels.ts';
import type { Model } from '../../../lib/model.ts';

/** Whether training moves an entity: items, and what is in an item's neighbourhood. */
export function trainedRows({ entityIds, itemIds, graph }: Pick<Model, 'entityIds' | 'itemIds' | 'graph'>): Uint8Array {
  const trained = new Uint8Array(entityIds.length).fill(1, 0, itemIds.length);
  for (const tail of graph.tails) trained[tail] = 1;
  return trained;
}

export interface Placement {
  /** [entities, dim] */
  entities: Float32Array;
  /** By row: placed here. */
  placed: Uint8Array;
  /** Mean of L_K over the heads that have a say, before and after. */
  before: number;
  after: number;
}

const STEPS = 400;
const RATE = 0.05;

/** @param model of a hyperbolic variant */
export function placeUntrained(model: Model, dataset: Dataset, steps: number = STEPS): Placement {
  const { dim, curvature, relations } = model;
  const trained = trainedRows(model);
  const graph = otherHeads(dataset, model.relationIds.length);
  const placed = new Uint8Array(trained.length);
  const heads: number[] = [];
  for (let head = dataset.items; head < dataset.entities; ++head) {
    const tails = graph.tails.subarray(graph.offsets[head], graph.offsets[head + 1]);
    const free = [head, ...tails].filter((row) => trained[row] === 0);
    if (tails.length === 0 || free.length === 0) continue; // nothing that it could move
    heads.push(head);
    for (const row of free) placed[row] = 1;
  }
  const entities = model.entities.slice();
  const rows = Uint32Array.from(placed.keys()).filter((row) => placed[row] === 1);
  if (heads.length === 0) return { entities, placed, before: 0, after: 0 };
  const { attentionTemperature: temperature = 1 } = model.training.options;
  const given = { entities, relations, dim, graph, items: Uint32Array.from(heads), temperature };
  const meanDistance = () =>
    neighborhood(given, { curvature, backend: 'cpu' }).distance.reduce((sum, value) => sum + value, 0) / heads.length;
  const before = meanDistance();
  const tangents = new Float64Array(rows.length * dim);
  const point = (row: number) => Float64Array.from(entities.subarray(row * dim, (row + 1) * dim));
  for (const [i, row] of rows.entries()) tangents.set(logMapOrigin(point(row), curvature), i * dim);
  const adam = new Adam(tangents.length);
  const gradient = new Float64Array(tangents.length);
  const upstream = new Float32Array(heads.length).fill(1);
  for (let step = 0; step < steps; ++step) {
    const ofEntities = neighborhoodGradient({ ...given, upstream }, { curvature, backend: 'cpu' }).entities;
    for (const [i, row] of rows.entries()) {
      const own = tangents.subarray(i * dim, (i + 1) * dim);
      gradient.set(expMapOriginGradient(own, ofEntities.subarray(row * dim, (row + 1) * dim), curvature), i * dim);
    }
    // A distance pulls with the same force however near it is: the rate has to end at nothing.
    adam.step(tangents, gradient, RATE * (1 - step / steps));
    for (const [i, row] of rows.entries()) entities.set(expMapOrigin(tangents.subarray(i * dim, (i + 1) * dim), curvature), row * dim);
  }
  return { entities, placed, before, after: meanDistance() };
}

/** Head → its triples, of heads that are no items; relations that the model does not know do not come up. */
function otherHeads({ items, entities, triples: { heads, relations, tails } }: Dataset, known: number): Graph {
  const offsets = new Uint32Array(entities + 1);
  const counts = (i: number) => heads[i]! >= items && relations[i]! < known;
  for (let i = 0; i < heads.length; ++i) if (counts(i)) offsets[heads[i]! + 1]!++;
  for (let row = 0; row < entities; ++row) offsets[row + 1]! += offsets[row]!;
  const next = offsets.slice();
  const graph = { offsets, relations: new Uint32Array(offsets[entities]!), tails: new Uint32Array(offsets[entities]!) };
  for (let i = 0; i < heads.length; ++i)
    if (counts(i)) {
      graph.relations[next[heads[i]!]!] = relations[i]!;
      graph.tails[next[heads[i]!]!++] = tails[i]!;
    }
  return graph;
}
