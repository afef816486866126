// What a trained model says about the graph: radii, attention, and the disk of a model of two dimensions.
import type { Dataset } from '../../../lib/data/dataset.ts';
import { ballGap } from '../../../lib/geometry.ts';
import type { Model } from '../../../lib/model.ts';
import { neighborhoodOf } from '../../../lib/neighborhood.ts';
import { spearman } from '../../../lib/statistics.ts';
import { evenly, percentilesOf, percentilesWithin, quartiles } from '../../../lib/report/item-groups.ts';
import { type Placement, trainedRows } from './place-untrained.ts';
import { type Incidence, type Limits, twoHop } from './two-hop.ts';
import type { AttentionEntropy, Disk, DiskNeighborhood, Provenance, RadiusDegree } from './types.ts';

/** d(0, x) of every row; ‖x‖ where the space is flat. */
function originDistances({ entities, dim, curvature }: Model): Float64Array {
  const distances = new Float64Array(entities.length / dim);
  for (let row = 0; row < distances.length; ++row) {
    const norm = Math.sqrt(1 - ballGap(entities, row * dim, dim, 1));
    distances[row] = curvature === 0 ? norm : (2 * Math.atanh(Math.sqrt(curvature) * norm)) / Math.sqrt(curvature);
  }
  return distances;
}

/** Dots of a scatter: enough to see where the rows are. */
const SAMPLE = 400;

export function radiusDegree(
  model: Model,
  { items, entities }: Dataset,
  { degrees }: Incidence,
): Omit<RadiusDegree, 'figure' | keyof Provenance> {
  const trained = trainedRows(model);
  const distances = originDistances(model);
  const rows = Uint32Array.from({ length: entities }, (_, row) => row).filter((row) => trained[row] === 1 && degrees[row]! > 0);
  const group = (name: string, own: Uint32Array) => ({
    name,
    rows: own.length,
    spearman: correlation(
      Float64Array.from(own, (row) => degrees[row]!),
      Float64Array.from(own, (row) => distances[row]!),
    ),
    bins: degreeBins(own, degrees, distances),
    sample: evenly(own, SAMPLE).map((row): [number, number] => [degrees[row]!, distances[row]!]),
  });
  const untrained = trained.reduce((sum, is) => sum + Number(is === 0), 0);
  const parts = [
    group(
      'Items',
      rows.filter((row) => row < items),
    ),
    group(
      'Other entities',
      rows.filter((row) => row >= items),
    ),
  ];
  return { dim: model.dim, curvature: model.curvature, untrained, groups: parts.filter((part) => part.rows > 1) };
}

function correlation(a: Float64Array, b: Float64Array): number | null {
  const rho = spearman(a, b);
  return Number.isNaN(rho) ? null : rho;
}

/** Bins of doubling width; those of fewer rows than a percentile needs go together with the next. */
function degreeBins(rows: Uint32Array, degrees: Uint32Array, distances: Float64Array): RadiusDegree['groups'][number]['bins'] {
  const byPower = new Map<number, number[]>();
  for (const row of rows) {
    const power = Math.floor(Math.log2(degrees[row]!));
    const own = byPower.get(power);
    if (own) own.push(row);
    else byPower.set(power, [row]);
  }
  const bins: RadiusDegree['groups'][number]['bins'] = [];
  let waiting: number[] = [];
  const powers = [...byPower.keys()].sort((a, b) => a - b);
  for (const power of powers) {
    waiting.push(...byPower.get(power)!);
    if (waiting.length < 5 && power !== powers.at(-1)) continue;
    const own = waiting.map((row) => degrees[row]!);
    const extreme = (better: (a: number, b: number) => number) => own.reduce((a, b) => better(a, b));
    const distance = percentilesOf(Float64Array.from(waiting, (row) => distances[row]!));
    bins.push({ from: extreme(Math.min), to: extreme(Math.max), rows: waiting.length, distance });
    waiting = [];
  }
  return bins;
}

const BARS = 40;

export function attentionEntropy(model: Model): Omit<AttentionEntropy, 'figure' | keyof Provenance> {
  const { graph, itemIds, entities, dim } = model;
  const degrees = Uint32Array.from(itemIds, (_, item) => graph.offsets[item + 1]! - graph.offsets[item]!);
  const rows = Uint32Array.from(degrees.keys()).filter((item) => degrees[item]! >= 2);
  const entropy = new Float64Array(degrees.length);
  const histogram = new Array<number>(BARS).fill(0);
  for (const item of rows) {
    const [begin, end] = [graph.offsets[item]!, graph.offsets[item + 1]!];
    const point = entities.subarray(item * dim, (item + 1) * dim);
    const { attention } = neighborhoodOf(model, point, graph.relations.subarray(begin, end), graph.tails.subarray(begin, end));
    let sum = 0;
    for (const weight of attention) if (weight > 0) sum -= weight * Math.log(weight);
    entropy[item] = Math.min(1, Math.max(0, sum / Math.log(end - begin)));
    histogram[Math.min(BARS - 1, Math.floor(entropy[item]! * BARS))]!++;
  }
  const byDegree = quartiles(rows, degrees, ['triple', 'triples']);
  const within = percentilesWithin(byDegree, entropy);
  return {
    items: rows.length,
    itemsWithFewer: itemIds.length - rows.length,
    histogram,
    percentiles: percentilesOf(Float64Array.from(rows, (item) => entropy[item]!)),
    byDegree: byDegree.groups.map((group, i) => ({ ...group, entropy: within[i]! })),
  };
}

/** Points around the neighbourhood, so that one sees where in the disk it is. */
const BACKGROUND = 500;

export interface DiskInput {
  model: Model;
  dataset: Dataset;
  incidence: Incidence;
  centers: readonly number[];
  limits: Limits;
  /** What a row is called, where the caller has a name for its id. */
  nameOf(row: number): string;
  placement: Placement | null;
}

/** @throws {RangeError} if the model's points are not in the plane */
export function diskOf({
  model,
  dataset,
  incidence,
  centers,
  limits,
  nameOf,
  placement,
}: DiskInput): Omit<Disk, 'figure' | 'recall' | 'epoch' | keyof Provenance> {
  if (model.dim !== 2) throw new RangeError(`figure 3: the model has ${model.dim} dimensions, and a disk two`);
  const { items, relationIds } = dataset;
  const entities = placement?.entities ?? model.entities;
  const trained = trainedRows(model);
  const scale = Math.sqrt(model.curvature);
  const at = (row: number): [number, number] => [scale * entities[2 * row]!, scale * entities[2 * row + 1]!];
  const found = centers.map((center) => twoHop(incidence, center, limits));
  const uses = new Map<number, number>();
  for (const { edges } of found) for (const { relation } of edges) uses.set(relation, (uses.get(relation) ?? 0) + 1);
  const relations = [...uses.keys()].sort((a, b) => uses.get(b)! - uses.get(a)! || a - b);
  const place = new Map(relations.map((relation, i) => [relation, i]));
  const neighborhoods = found.map(
    ({ rows, hops, edges, omitted }, i): DiskNeighborhood => ({
      id: String(dataset.entityIds[centers[i]!]),
      nodes: rows.map((row, node) => {
        const [x, y] = at(row);
        const placed = trained[row] ? 'trained' : placement?.placed[row] ? 'by its triples' : 'never';
        return {
          label: nameOf(row),
          kind: row < items ? 'item' : 'entity',
          hop: hops[node]!,
          degree: incidence.degrees[row]!,
          x,
          y,
          placed,
        };
      }),
      // By relation: of parallel edges the one whose line is whole comes first, and dashes lie on it.
      edges: edges
        .map(({ source, target, relation }) => ({ source, target, relation: place.get(relation)! }))
        .sort((a, b) => a.relation - b.relation),
      hubDegree: limits.hubDegree,
      perNode: [...limits.perNode] as [number, number],
      omitted: { ofHubs: omitted.ofHubs, abovePerNode: omitted.aboveLimit },
    }),
  );
  const all = Uint32Array.from({ length: items }, (_, item) => item);
  return {
    curvature: model.curvature,
    kgHeads: placement ? 'all' : 'items',
    relations: relations.map((relation) => relationName(relationIds[relation]!)),
    background: evenly(all, BACKGROUND).map(at),
    entities: neighborhoods,
  };
}

/** A number alone would pass for a count. */
const relationName = (id: string | number): string => (/^\^*\d+$/.test(String(id)) ? `relation ${id}` : String(id));
