import type { Graph, Id, Interactions } from './data/csr.ts';
import { IdMap, idProblem } from './data/id-map.ts';
import { finishInTurns, inPieces, PIECE, type Steps } from './data/steps.ts';
import { isObject } from './check.ts';
import type { Embedding, NeighborBlend, TrainingRecord } from './embedding.ts';
import { ballGap } from './geometry.ts';
import { type Protocol, protocolProblem } from './protocol.ts';
import { damaged, jsonObject, readTensors, type Tensor, type TensorFile, writeTensors } from './safetensors.ts';
import { VARIANTS } from './variants.ts';

/** Version of the file format; a newer one is refused. */
const VERSION = 1;

/**
 * Writes a model as one safetensors file: its tables, graph, seen items and, as JSON in byte tensors, the caller's ids where they are not
 * just 0, 1, 2, …. Equal models give equal bytes.
 */
export async function saveEmbedding(model: Embedding, path: string): Promise<void> {
  const { dim, graph, seen } = model;
  const tensors = new Map<string, Tensor>();
  for (const name of ['users', 'entities', 'relations'] as const)
    tensors.set(name, { shape: [model[name].length / dim, dim], data: model[name] });
  const add = (name: string, data: Float32Array | Uint32Array | Uint8Array) => tensors.set(name, { shape: [data.length], data });
  const addIds = (name: string, ids: readonly Id[]) => add(name, new TextEncoder().encode(JSON.stringify(ids)));
  add('beta', model.beta);
  add('graph.offsets', graph.offsets);
  add('graph.relations', graph.relations);
  add('graph.tails', graph.tails);
  add('seen.offsets', seen.offsets);
  add('seen.items', seen.items);
  if (model.blend) {
    add('train.offsets', model.blend.train.offsets);
    add('train.items', model.blend.train.items);
  }
  for (const name of ['userIds', 'entityIds', 'relationIds'] as const) if (!isDense(model[name])) addIds(name, model[name]);
  // an item may go by another id among the entities (RecBole's NAME.link)
  if (model.itemIds.some((id, row) => id !== model.entityIds[row])) addIds('itemIds', model.itemIds);
  await writeTensors(path, {
    metadata: {
      format: 'hyper-know model',
      version: String(VERSION),
      dim: String(dim),
      curvature: JSON.stringify(model.curvature),
      training: JSON.stringify(model.training),
      ...(model.protocol === undefined ? {} : { protocol: JSON.stringify(model.protocol) }),
    },
    tensors,
  });
}

/**
 * Reads what `saveEmbedding` wrote.
 *
 * @throws {HyperKnowError} ERR_HK_IO if the file cannot be read; ERR_HK_MODEL_FILE if anything about it is not as it was written
 */
export async function loadEmbedding(path: string): Promise<Embedding> {
  const file = await readTensors(path);
  checkKind(path, file, 'hyper-know model', VERSION);
  const bad = (what: string) => damaged(path, what);
  const dim = number(path, file, 'dim');
  const curvature = number(path, file, 'curvature');
  if (!Number.isInteger(dim) || dim < 1) throw bad('its dim is no positive integer');
  if (!(curvature >= 0)) throw bad('its curvature is negative');

  const users = take(path, file, 'users', Float32Array);
  const entities = take(path, file, 'entities', Float32Array);
  const relations = take(path, file, 'relations', Float32Array);
  const beta = take(path, file, 'beta', Float32Array);
  for (const [name, table] of Object.entries({ users, entities, relations })) {
    const { shape } = file.tensors.get(name)!;
    if (shape.length !== 2 || shape[1] !== dim) throw bad(`tensor ${name} does not have ${dim} columns`);
    await finishInTurns(checkInsideBall(table, dim, curvature, () => bad(`tensor ${name} has a point outside the ball`)));
  }
  const counts = { users: users.length / dim, items: beta.length, entities: entities.length / dim, relations: relations.length / dim };
  if (counts.items > counts.entities) throw bad('it has more items than entities');
  const graph: Graph = {
    offsets: take(path, file, 'graph.offsets', Uint32Array),
    relations: take(path, file, 'graph.relations', Uint32Array),
    tails: take(path, file, 'graph.tails', Uint32Array),
  };
  const seen: Interactions = { offsets: take(path, file, 'seen.offsets', Uint32Array), items: take(path, file, 'seen.items', Uint32Array) };
  await finishInTurns(checkOffsets(path, 'graph.offsets', graph.offsets, counts.items, graph.tails.length));
  await finishInTurns(checkOffsets(path, 'seen.offsets', seen.offsets, counts.users, seen.items.length));
  if (graph.relations.length !== graph.tails.length) throw bad('tensor graph.relations is not as long as graph.tails');
  await finishInTurns(checkBelow(path, 'graph.relations', graph.relations, counts.relations));
  await finishInTurns(checkBelow(path, 'graph.tails', graph.tails, counts.entities));
  await finishInTurns(checkBelow(path, 'seen.items', seen.items, counts.items));
  const entityIds = takeIds(path, file, 'entityIds', counts.entities);
  const training = trainingRecord(path, file);
  const blend = await blendOf(path, file, training, seen);
  return {
    users,
    entities,
    relations,
    beta,
    dim,
    curvature,
    graph,
    seen,
    ...(blend === undefined ? {} : { blend }),
    userIds: takeIds(path, file, 'userIds', counts.users),
    itemIds: file.tensors.has('itemIds') ? takeIds(path, file, 'itemIds', counts.items) : entityIds.slice(0, counts.items),
    entityIds,
    relationIds: takeIds(path, file, 'relationIds', counts.relations),
    training,
    ...(file.metadata.protocol === undefined ? {} : { protocol: protocolOf(path, file) }),
  };
}

/** What ranking blends by, checked: weights of the training's record, and training interactions, all of which were seen. */
async function blendOf(
  path: string,
  file: TensorFile,
  { neighborBlend }: TrainingRecord,
  seen: Interactions,
): Promise<NeighborBlend | undefined> {
  if (neighborBlend === undefined && !file.tensors.has('train.offsets')) return undefined;
  const { itemKnn, attributeKnn } = isObject(neighborBlend) ? neighborBlend : { itemKnn: Number.NaN, attributeKnn: Number.NaN };
  if (!(itemKnn >= 0 && attributeKnn >= 0 && itemKnn + attributeKnn < 1)) throw damaged(path, 'its weights of neighbours cannot be');
  if (itemKnn + attributeKnn === 0) return undefined;
  const train = { offsets: take(path, file, 'train.offsets', Uint32Array), items: take(path, file, 'train.items', Uint32Array) };
  await finishInTurns(checkOffsets(path, 'train.offsets', train.offsets, seen.offsets.length - 1, train.items.length));
  await finishInTurns(checkAmong(path, train, seen));
  return { itemKnn, attributeKnn, train };
}

/** Both lists of a user ascend. */
function* checkAmong(path: string, train: Interactions, seen: Interactions): Steps<void> {
  yield* inPieces(train.offsets.length - 1, (begin, end) => {
    for (let user = begin; user < end; ++user) {
      let at = seen.offsets[user]!;
      const last = seen.offsets[user + 1]!;
      for (let i = train.offsets[user]!; i < train.offsets[user + 1]!; ++i, ++at) {
        while (at < last && seen.items[at]! < train.items[i]!) ++at;
        if (at >= last || seen.items[at] !== train.items[i]) throw damaged(path, `tensor train.items holds what user ${user} has not seen`);
      }
    }
  });
}

/** Refuses a file that is something else, or of a newer version. */
export function checkKind(path: string, { metadata }: TensorFile, format: string, version: number): void {
  if (metadata.format !== format) throw damaged(path, `it is no ${format}`);
  if (!/^[1-9]\d{0,8}$/.test(metadata.version ?? '')) throw damaged(path, 'it has no format version');
  if (Number(metadata.version) > version)
    throw damaged(path, `it has format version ${metadata.version}; this release reads up to ${version}`);
}

/** The tensor `name`, which must be there and of that type. */
export function take<T extends Float32Array | Float64Array | Uint32Array | Uint8Array>(
  path: string,
  { tensors }: TensorFile,
  name: string,
  type: new () => T,
): T {
  const data = tensors.get(name)?.data;
  if (!(data instanceof type)) throw damaged(path, `it has no tensor ${name} of the right type`);
  return data;
}

function number(path: string, { metadata }: TensorFile, name: string): number {
  const value = metadata[name] === undefined || metadata[name] === '' ? Number.NaN : Number(metadata[name]);
  if (!Number.isFinite(value)) throw damaged(path, `its ${name} is not a number`);
  return value;
}

function* checkInsideBall(points: Float32Array, dim: number, curvature: number, error: () => Error): Steps<void> {
  const rows = Math.max(1, Math.floor(PIECE / dim));
  for (let begin = 0; begin < points.length; begin += rows * dim) {
    const end = Math.min(points.length, begin + rows * dim);
    for (let at = begin; at < end; at += dim) if (!(ballGap(points, at, dim, curvature) > 0)) throw error();
    yield;
  }
}

function* checkOffsets(path: string, name: string, offsets: Uint32Array, rows: number, entries: number): Steps<void> {
  if (offsets.length !== rows + 1 || offsets[0] !== 0 || offsets[rows] !== entries)
    throw damaged(path, `tensor ${name} does not cover ${rows} rows and ${entries} entries`);
  yield* inPieces(rows, (begin, end) => {
    for (let row = begin; row < end; ++row)
      if (offsets[row]! > offsets[row + 1]!) throw damaged(path, `tensor ${name} decreases at row ${row}`);
  });
}

function* checkBelow(path: string, name: string, ids: Uint32Array, bound: number): Steps<void> {
  yield* inPieces(ids.length, (begin, end) => {
    for (let i = begin; i < end; ++i)
      if (ids[i]! >= bound) throw damaged(path, `tensor ${name} holds ${ids[i]}, where only ${bound} are there`);
  });
}

function isDense(ids: readonly Id[]): boolean {
  return ids.every((id, row) => id === row);
}

function takeIds(path: string, file: TensorFile, name: string, count: number): Id[] {
  if (!file.tensors.has(name)) return Array.from({ length: count }, (_, row) => row);
  let ids: unknown;
  try {
    ids = JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(take(path, file, name, Uint8Array)));
  } catch {
    throw damaged(path, `tensor ${name} is not JSON`);
  }
  if (!Array.isArray(ids) || ids.length !== count) throw damaged(path, `tensor ${name} does not hold ${count} ids`);
  if (ids.some((id) => idProblem(id) !== undefined)) throw damaged(path, `tensor ${name} holds something that is no id`);
  const distinct = new IdMap();
  for (const id of ids) distinct.add(id);
  if (distinct.size !== count) throw damaged(path, `tensor ${name} holds an id twice`);
  return ids as Id[];
}

function protocolOf(path: string, { metadata }: TensorFile): Protocol {
  const protocol = jsonObject(path, 'protocol', metadata.protocol);
  const problem = protocolProblem(protocol);
  if (problem !== undefined) throw damaged(path, `its protocol has no ${problem}, or one that cannot be`);
  return protocol as unknown as Protocol;
}

function trainingRecord(path: string, { metadata }: TensorFile): TrainingRecord {
  const record = jsonObject(path, 'training', metadata.training) as unknown as TrainingRecord;
  const { variant, options } = record;
  if (!VARIANTS.some(({ name }) => name === variant)) throw damaged(path, 'it is of a variant that is not known');
  const { beta, regularization } = options ?? {};
  if (!(beta === 'adaptive' || (Number.isFinite(beta) && beta >= 0)) || !(Number.isFinite(regularization) && regularization >= 0))
    throw damaged(path, 'its training options are incomplete');
  return record;
}
