// An entity, its neighbours and theirs, in the graph as read: a triple joins head and tail, whichever way it points.
import type { Dataset } from '../../../lib/data/dataset.ts';
import { evenly } from '../../../lib/report/item-groups.ts';

export interface TwoHop {
  /** Rows of the entity table: the entity, its neighbours, theirs. */
  rows: number[];
  hops: (0 | 1 | 2)[];
  /** Places in `rows`, from the nearer to the centre, and the dense relation. */
  edges: { source: number; target: number; relation: number }[];
  omitted: { ofHubs: number; aboveLimit: number };
}

/** What keeps a neighbourhood readable. */
export interface Limits {
  /** More triples than this make a hub: it is shown, its own neighbours are not. */
  hubDegree: number;
  /** Most neighbours of the entity, and of each of them. */
  perNode: readonly [first: number, second: number];
}

/** The triples of every entity. A self-loop counts once. */
export class Incidence {
  readonly degrees: Uint32Array;
  readonly #offsets: Uint32Array;
  readonly #others: Uint32Array;
  readonly #relations: Uint32Array;

  constructor({ entities, triples: { heads, relations, tails } }: Dataset) {
    this.degrees = new Uint32Array(entities);
    for (let i = 0; i < heads.length; ++i) {
      this.degrees[heads[i]!]!++;
      if (tails[i] !== heads[i]) this.degrees[tails[i]!]!++;
    }
    this.#offsets = new Uint32Array(entities + 1);
    for (let row = 0; row < entities; ++row) this.#offsets[row + 1] = this.#offsets[row]! + this.degrees[row]!;
    const next = this.#offsets.slice();
    this.#others = new Uint32Array(this.#offsets[entities]!);
    this.#relations = new Uint32Array(this.#offsets[entities]!);
    const add = (row: number, other: number, relation: number) => {
      this.#others[next[row]!] = other;
      this.#relations[next[row]!++] = relation;
    };
    for (let i = 0; i < heads.length; ++i) {
      add(heads[i]!, tails[i]!, relations[i]!);
      if (tails[i] !== heads[i]) add(tails[i]!, heads[i]!, relations[i]!);
    }
  }

  /** Neighbour → the relations that join it, without the entity itself. */
  neighbors(row: number): Map<number, Set<number>> {
    const found = new Map<number, Set<number>>();
    for (let i = this.#offsets[row]!; i < this.#offsets[row + 1]!; ++i) {
      const other = this.#others[i]!;
      if (other === row) continue;
      const relations = found.get(other);
      if (relations) relations.add(this.#relations[i]!);
      else found.set(other, new Set([this.#relations[i]!]));
    }
    return found;
  }
}

export function twoHop(incidence: Incidence, center: number, { hubDegree, perNode }: Limits): TwoHop {
  const found: TwoHop = { rows: [center], hops: [0], edges: [], omitted: { ofHubs: 0, aboveLimit: 0 } };
  const places = new Map([[center, 0]]);
  const join = (source: number, neighbors: Map<number, Set<number>>, hop: 1 | 2) => {
    const limit = perNode[hop - 1]!;
    // One that is shown already takes no room; one that is nearer to the centre, or as near, is no neighbour of the next hop.
    const shown = [...neighbors.keys()].filter((row) => places.has(row));
    const fresh = [...neighbors.keys()].filter((row) => !places.has(row));
    const taken = spreadOver(fresh, limit);
    found.omitted.aboveLimit += fresh.length - taken.length;
    for (const row of taken) {
      places.set(row, found.rows.length);
      found.rows.push(row);
      found.hops.push(hop);
    }
    for (const row of [...shown.filter((one) => found.hops[places.get(one)!] === hop), ...taken])
      for (const relation of neighbors.get(row)!) found.edges.push({ source, target: places.get(row)!, relation });
  };
  join(0, incidence.neighbors(center), 1);
  const firstHop = found.rows.length;
  for (let place = 1; place < firstHop; ++place) {
    const row = found.rows[place]!;
    const neighbors = incidence.neighbors(row);
    if (incidence.degrees[row]! > hubDegree) {
      found.omitted.ofHubs += neighbors.size - Number(neighbors.has(center));
      continue;
    }
    join(place, neighbors, 2);
  }
  return found;
}

/** As many as the limit, evenly over the ascending order, so that none of them is chosen for what it is. */
const spreadOver = (rows: readonly number[], limit: number): number[] =>
  evenly(
    rows.toSorted((a, b) => a - b),
    limit,
  );

/**
 * Entities with a neighbourhood that is worth looking at: between 20 and 150 nodes, the centre no hub. Half of them items, from places spread
 * evenly over all candidates, nearest to 60 nodes first.
 */
export function chosenEntities(
  incidence: Incidence,
  { items, entities }: Dataset,
  limits: Limits,
  isEligible: (row: number) => boolean,
  count: number,
): number[] {
  const bestOf = (from: number, to: number): number[] => {
    const eligible = Array.from({ length: to - from }, (_, i) => from + i).filter(
      (row) => incidence.degrees[row]! >= 3 && incidence.degrees[row]! <= limits.hubDegree && isEligible(row),
    );
    const sizes = spreadOver(eligible, 300).map((row) => ({ row, size: twoHop(incidence, row, limits).rows.length }));
    const distance = (size: number) => Math.abs(Math.log(size / 60)) + (size < 20 || size > 150 ? 10 : 0);
    return sizes.sort((a, b) => distance(a.size) - distance(b.size) || a.row - b.row).map(({ row }) => row);
  };
  const [some, others] = [bestOf(0, items), bestOf(items, entities)];
  const chosen: number[] = [];
  for (let i = 0; chosen.length < count && i < Math.max(some.length, others.length); ++i)
    for (const list of [some, others]) if (i < list.length && chosen.length < count) chosen.push(list[i]!);
  return chosen;
}
