import type { Id } from './data/csr.ts';
import type { Dataset } from './data/dataset.ts';
import { IdMap } from './data/id-map.ts';
import { sha256Of } from './data/digest.ts';
import { PIECE, type Steps } from './data/steps.ts';
import { variantOf } from './embedding.ts';
import { argumentError } from './errors.ts';
import { userPoint } from './fold-in.ts';
import { itemPoint } from './fold-in-item.ts';
import { logMapOrigin } from './geometry.ts';
import { checkModel, type Model } from './model.ts';
import type { TrainerState } from './native.ts';
import type { ResolvedOptions } from './options.ts';
import type { RowCounts, WarmStartRecord } from './protocol.ts';

/**
 * A training can begin with this model only in the space it was trained in.
 *
 * @throws {RangeError} naming the first difference and both values
 */
export function checkWarmStart(model: Model, { hyperparameters, variant, curvature }: ResolvedOptions): void {
  checkModel(model);
  const refuse = (what: string, here: unknown, there: unknown): never => {
    throw argumentError('range', 'warmStart', `the model has ${what} ${there}, this training ${here}`);
  };
  const { dim, parameters } = hyperparameters;
  const { geometry } = variantOf(model);
  if (model.dim !== dim) refuse('dim', dim, model.dim);
  if (geometry !== variant.geometry) refuse('geometry', variant.geometry, geometry);
  if (geometry === 'euclidean') return; // parameters and curvature have no meaning there
  const theirs = model.training.options.parameters;
  if (theirs !== parameters) refuse('parameters', `'${parameters}'`, `'${theirs}'`);
  if (hyperparameters.curvature !== 'learned' && Math.abs(model.curvature / curvature - 1) > 1e-6)
    refuse('curvature', curvature, model.curvature);
}

/** Rows of a model by the dense ids of a data set; −1 where the model knows none. */
interface Matches {
  users: Int32Array;
  /** Items are rows of this table. */
  entities: Int32Array;
  relations: Int32Array;
}

function* matchesOf(model: Model, dataset: Dataset, relationIds: readonly Id[]): Steps<Matches> {
  const matched = function* (ids: readonly Id[], ...known: (readonly Id[])[]): Steps<Int32Array> {
    const distinct = new IdMap();
    const rows: number[] = [];
    for (const list of known)
      for (const [row, id] of list.entries()) {
        if (distinct.add(id) === rows.length) rows.push(row);
        if (row % PIECE === PIECE - 1) yield;
      }
    const found = new Int32Array(ids.length);
    for (const [row, id] of ids.entries()) {
      found[row] = rows[distinct.get(id) ?? -1] ?? -1;
      if (row % PIECE === PIECE - 1) yield;
    }
    return found;
  };
  const { items, itemIds, entityIds } = dataset;
  // An item may go by another id among the entities (RecBole's NAME.link); an entity of the model may have become an item.
  const ofItems = yield* matched(itemIds, model.itemIds, model.entityIds);
  const ofEntities = yield* matched(entityIds, model.entityIds);
  ofEntities.set(ofItems.subarray(0, items));
  return {
    users: yield* matched(dataset.userIds, model.userIds),
    entities: ofEntities,
    relations: yield* matched(relationIds, model.relationIds),
  };
}

/**
 * Puts a model's rows and β into a trainer's state before its first step, for every id that both know. New users are folded in by the items, new
 * items by the triples that the model knows (some milliseconds each); what it knows nothing about stays as the trainer starts it. Moments start
 * at 0. A learned curvature starts with the model's.
 *
 * @param state of a trainer of `dataset` that has made no step; changed in place
 */
export function* warmState(
  model: Model,
  dataset: Dataset,
  relationIds: readonly Id[],
  options: ResolvedOptions,
  state: TrainerState,
): Steps<WarmStartRecord> {
  const { dim, curvature } = model;
  const matches = yield* matchesOf(model, dataset, relationIds);
  const tangent = curvature > 0 && options.hyperparameters.parameters === 'tangent';
  const radius = curvature > 0 ? Math.sqrt(curvature) : 1; // training happens in the unit ball
  for (const name of ['users', 'entities', 'relations'] as const) {
    const tables = ['parameters', 'average'].map((part) => state.tensors[`${name}.${part}`]).filter((table) => table !== undefined);
    for (const [row, from] of matches[name].entries()) {
      const found = from >= 0 ? model[name].subarray(from * dim, (from + 1) * dim) : newPoint(model, dataset, matches, name, row);
      if (!found) continue;
      const point = Float64Array.from(found, (x) => radius * x);
      const start = tangent ? logMapOrigin(point, 1) : point;
      for (const table of tables) table.set(start, row * dim);
      if (from < 0 || row % Math.max(1, Math.floor(PIECE / dim)) === 0) yield; // folding one in takes milliseconds
    }
  }
  if (options.adaptive && model.training.options.beta === 'adaptive') {
    const beta = state.tensors['beta.parameters']!;
    for (let item = 0; item < dataset.items; ++item) {
      const from = matches.entities[item]!;
      if (from >= 0 && from < model.itemIds.length) beta[item] = model.beta[from]!;
    }
  }
  if (curvature > 0 && options.hyperparameters.curvature === 'learned') state.tensors.scale![0] = -Math.log(curvature) / 2;
  const tables = [model.users, model.entities, model.relations, model.beta];
  const bits = tables.map(({ buffer, byteOffset, length }) => new Uint32Array(buffer, byteOffset, length));
  return { sha256: yield* sha256Of('', bits), ...countsOf(model, dataset, matches) };
}

/** The point of a new user by the items that the model knows, of a new item by the triples that it knows; undefined where it knows none. */
function newPoint(model: Model, dataset: Dataset, matches: Matches, name: keyof Matches, row: number): Float32Array | undefined {
  if (name === 'users') {
    const { offsets, items } = dataset.train;
    const own = Array.from(items.subarray(offsets[row], offsets[row + 1]), (item) => matches.entities[item]!);
    const known = own.filter((from) => from >= 0 && from < model.itemIds.length);
    return known.length > 0 ? userPoint(model, Uint32Array.from(known).sort()) : undefined;
  }
  if (name === 'relations' || row >= dataset.items) return undefined;
  const { offsets, relations, tails } = dataset.graph;
  const known: { relation: number; tail: number }[] = [];
  for (let at = offsets[row]!; at < offsets[row + 1]!; ++at) {
    const [relation, tail] = [matches.relations[relations[at]!]!, matches.entities[tails[at]!]!];
    if (relation >= 0 && tail >= 0) known.push({ relation, tail });
  }
  if (known.length === 0) return undefined;
  const column = (field: 'relation' | 'tail') => Uint32Array.from(known, (triple) => triple[field]);
  return itemPoint(model, column('relation'), column('tail'));
}

function countsOf(model: Model, { items }: Dataset, { users, entities, relations }: Matches): Pick<WarmStartRecord, 'matched' | 'dropped'> {
  const known = (rows: Int32Array) => rows.reduce((sum, row) => sum + Number(row >= 0), 0);
  const matched: RowCounts = {
    users: known(users),
    items: known(entities.subarray(0, items)),
    entities: known(entities),
    relations: known(relations),
  };
  const there: RowCounts = {
    users: model.userIds.length,
    items: model.itemIds.length,
    entities: model.entityIds.length,
    relations: model.relationIds.length,
  };
  const found = new Set(entities.filter((row) => row >= 0));
  const lost = model.itemIds.reduce<number>((sum, _, row) => sum + Number(!found.has(row)), 0);
  return {
    matched,
    dropped: {
      users: there.users - matched.users,
      items: lost,
      entities: there.entities - found.size,
      relations: there.relations - matched.relations,
    },
  };
}
