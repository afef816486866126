/**
 * The kernels themselves: synchronous, one call = one launch. All vectors are row-major `Float32Array`s, ids are `Uint32Array`s, offsets
 * are CSR row offsets. Points are coordinates in the Poincaré ball of curvature c > 0 (radius 1/√c).
 *
 * Every function throws a `TypeError` or `RangeError` that names the argument before it computes anything, and a `HyperKnowError`
 * ERR_HK_BACKEND if the backend asked for cannot run here.
 */
import { checkBackend, checkFloat32Array, checkInteger, checkNumber, checkOptions, checkUint32Array, show } from './check.ts';
import { argumentError } from './errors.ts';
import { backends, native, resolveBackend } from './native.ts';

/** Of every kernel. */
export interface KernelOptions {
  /** c > 0; default 1. */
  curvature?: number;
  /** Default 'auto': the GPU if there is one. */
  backend?: 'auto' | 'cpu' | 'cuda';
}

/** item → its triples: those of item i are `offsets[i] .. offsets[i + 1]` of `relations` and `tails`. Items are the first entities. */
export interface Graph {
  /** [items + 1] */
  offsets: Uint32Array;
  /** [triples] rows of the relation table */
  relations: Uint32Array;
  /** [triples] rows of the entity table */
  tails: Uint32Array;
}

/** Of `neighborhood`. */
export interface NeighborhoodArguments {
  /** [E, dim]; item i is row i */
  entities: Float32Array;
  /** [R, dim] */
  relations: Float32Array;
  dim: number;
  graph: Graph;
  /** Items whose neighbourhoods are wanted, in any order, repeats allowed. */
  items: Uint32Array;
  /** T of the attention exp(−d/T), above 0. Default: 1. */
  temperature?: number;
}

/** What `neighborhood` returns: all of the items that were asked for, in their order. */
export interface Neighborhoods {
  /** [items.length, dim] n_v */
  midpoint: Float32Array;
  /** [Σ degree] normalised weights α(v, t)γ(t) / Σ α(v, t′)γ(t′), in CSR order of `items` */
  attention: Float32Array;
  /** [items.length] L_K = d(v, n_v) */
  distance: Float32Array;
}

/** The samples of a batch: user `users[i]` has interacted with item `positives[i]` and not with item `negatives[i]`. */
export interface Samples {
  users: Uint32Array;
  positives: Uint32Array;
  negatives: Uint32Array;
}

/** Of `hypergradient`. */
export interface HypergradientArguments {
  /** [U, dim] */
  users: Float32Array;
  /** [E, dim]; item i is row i */
  entities: Float32Array;
  /** [R, dim] */
  relations: Float32Array;
  dim: number;
  graph: Graph;
  /** [items] β_v */
  beta: Float32Array;
  inner: Samples;
  /** Default: `inner`. */
  outer?: Samples;
  /** α of the lookahead Θ̃ = Θ − α ∇J_inner. */
  innerLearningRate: number;
}

/** Of `topK`. */
export interface TopKArguments {
  /** [n, dim] */
  users: Float32Array;
  /** [items, dim] */
  items: Float32Array;
  dim: number;
  /** List length, at least 1. */
  k: number;
  /** Items to leave out: user i's are `exclude.items[exclude.offsets[i] .. exclude.offsets[i + 1]]`. */
  exclude?: { offsets: Uint32Array; items: Uint32Array };
}

function settings(options: KernelOptions | undefined): { backend: string; curvature: number } {
  const { backend = 'auto', curvature = 1 } = checkOptions('options', options, ['backend', 'curvature']);
  checkNumber('curvature', curvature, 0, Number.MAX_VALUE, true);
  checkBackend(backend, ['auto', ...backends().map(({ name }) => name)]);
  return { backend: resolveBackend(backend), curvature };
}

function fields<T extends object>(argument: string, value: T): T {
  if (value === null || typeof value !== 'object') throw argumentError('type', argument, `must be an object, got ${show(value)}`);
  return value;
}

function checkGraph(value: Graph): Graph {
  const { offsets, relations, tails } = fields('graph', value);
  checkUint32Array('graph.offsets', offsets);
  checkUint32Array('graph.relations', relations);
  checkUint32Array('graph.tails', tails);
  return { offsets, relations, tails };
}

function checkSamples(argument: string, value: Samples): Samples {
  const { users, positives, negatives } = fields(argument, value);
  checkUint32Array(`${argument}.users`, users);
  checkUint32Array(`${argument}.positives`, positives);
  checkUint32Array(`${argument}.negatives`, negatives);
  return { users, positives, negatives };
}

const checkDim = (dim: number): number => checkInteger('dim', dim, 1, 4096);

function checkNeighborhood(args: NeighborhoodArguments, options: KernelOptions | undefined) {
  const { entities, relations, dim, graph, items, temperature = 1 } = fields('arguments', args);
  const { backend, curvature } = settings(options);
  const { offsets, relations: ids, tails } = checkGraph(graph);
  checkFloat32Array('entities', entities);
  checkFloat32Array('relations', relations);
  checkUint32Array('items', items);
  checkNumber('temperature', temperature, 0, Number.MAX_VALUE, true);
  const tables = [entities, relations, checkDim(dim), offsets, ids, tails] as const;
  return { backend, curvature, tables, items, temperature };
}

/**
 * d_c(x_i, y_i) = (2/√c) artanh(√c ‖−x_i ⊕ y_i‖), Eq. 1, row by row; 0 at coincident points. Within 2e-6 of float64, relative, everywhere
 * with √c‖x‖ ≤ 1 − 1e-5.
 *
 * @param x [n, dim] points inside the ball
 * @param y [n, dim] points inside the ball
 * @returns [n]
 * @throws {TypeError, RangeError} for bad arguments; {HyperKnowError} ERR_HK_BACKEND
 * @example
 * const x = Float32Array.of(0, 0, 0.3, 0.4);
 * const y = Float32Array.of(0.6, 0.8 - 1e-3, 0.3, 0.4);
 * const [far, none] = poincareDistance(x, y, 2); // none: 0
 */
export function poincareDistance(x: Float32Array, y: Float32Array, dim: number, options?: KernelOptions): Float32Array {
  const { backend, curvature } = settings(options);
  return native.poincareDistance(backend, checkFloat32Array('x', x), checkFloat32Array('y', y), checkDim(dim), curvature);
}

/**
 * Gradients of Σ_i upstream_i · d_c(x_i, y_i) in ball coordinates; (1 − c‖x‖²)/2 · ‖∇_x d‖ = 1, and 0 at coincident points.
 *
 * @param x [n, dim] points inside the ball
 * @param y [n, dim] points inside the ball
 * @param upstream [n]
 * @returns `gradX` and `gradY`, both [n, dim]
 * @throws as `poincareDistance`
 * @example
 * const { gradX } = poincareDistanceGradient(Float32Array.of(0.1, 0), Float32Array.of(0, 0), 2, Float32Array.of(1));
 */
export function poincareDistanceGradient(
  x: Float32Array,
  y: Float32Array,
  dim: number,
  upstream: Float32Array,
  options?: KernelOptions,
): { gradX: Float32Array; gradY: Float32Array } {
  const { backend, curvature } = settings(options);
  checkFloat32Array('x', x);
  checkFloat32Array('y', y);
  return native.poincareDistanceGradient(backend, x, y, checkDim(dim), checkFloat32Array('upstream', upstream), curvature);
}

/**
 * The neighbourhood of each listed item: attention α(v, t) = exp(−d(v ⊕ r, t)/T) (Eq. 4, where T = 1), the Einstein midpoint n_v of the
 * tails (Eq. 5, 6; γ is the Lorentz factor of the Klein point, (1 + c‖t‖²)/(1 − c‖t‖²) in ball coordinates) and L_K = d(v, n_v) (Eq. 7). An item
 * without triples: midpoint = the item, distance 0.
 *
 * @throws as `poincareDistance`
 * @example
 * const entities = Float32Array.of(0.1, 0, 0, 0.2, 0.3, 0.1); // the item, then two others
 * const relations = Float32Array.of(0, 0.1);
 * const graph = { offsets: Uint32Array.of(0, 2), relations: Uint32Array.of(0, 0), tails: Uint32Array.of(1, 2) };
 * const { midpoint, attention, distance } = neighborhood({ entities, relations, dim: 2, graph, items: Uint32Array.of(0) });
 */
export function neighborhood(args: NeighborhoodArguments, options?: KernelOptions): Neighborhoods {
  const { backend, curvature, tables, items, temperature } = checkNeighborhood(args, options);
  return native.neighborhood(backend, ...tables, items, curvature, temperature);
}

/**
 * Gradients of Σ_i upstream_i · L_K(items_i) with respect to every entity and relation row, through attention, midpoint and Möbius sum.
 *
 * @param args as `neighborhood`, and `upstream` [items.length]
 * @returns `entities` [E, dim] and `relations` [R, dim]
 * @throws as `poincareDistance`
 * @example
 * const { entities, relations, dim, graph, curvature } = model;
 * const upstream = Float32Array.of(1);
 * const gradient = neighborhoodGradient({ entities, relations, dim, graph, items: Uint32Array.of(0), upstream }, { curvature });
 */
export function neighborhoodGradient(
  args: NeighborhoodArguments & { upstream: Float32Array },
  options?: KernelOptions,
): { entities: Float32Array; relations: Float32Array } {
  const { backend, curvature, tables, items, temperature } = checkNeighborhood(args, options);
  const { upstream } = args;
  checkFloat32Array('upstream', upstream);
  return native.neighborhoodGradient(backend, ...tables, items, upstream, curvature, temperature);
}

/**
 * ∂J_outer(Θ̃(β))/∂β for every item, Eq. 10–12: J are sums over the batch, J_inner = Σ L_R + σ(β_v) L_K(v), J_outer = Σ L_R,
 * Θ̃ = Θ − innerLearningRate · ∇_Θ J_inner(Θ, β) over all of Θ in ball coordinates. Exact, neighbours that are themselves items of
 * the outer batch included; an item that stands k times among the positives counts k times.
 *
 * @returns [items]
 * @throws {RangeError} ERR_HK_RANGE if a row of the lookahead leaves the ball; else as `poincareDistance`
 * @example
 * const { users, entities, relations, dim, graph, beta, curvature } = model;
 * const inner = { users: Uint32Array.of(0, 1), positives: Uint32Array.of(0, 1), negatives: Uint32Array.of(2, 3) };
 * const gradient = hypergradient({ users, entities, relations, dim, graph, beta, inner, innerLearningRate: 0.01 }, { curvature });
 */
export function hypergradient(args: HypergradientArguments, options?: KernelOptions): Float32Array {
  const { users, entities, relations, dim, graph, beta, inner, outer = inner, innerLearningRate } = fields('arguments', args);
  const { backend, curvature } = settings(options);
  const g = checkGraph(graph);
  checkFloat32Array('users', users);
  checkFloat32Array('entities', entities);
  checkFloat32Array('relations', relations);
  checkFloat32Array('beta', beta);
  const i = checkSamples('inner', inner);
  const o = checkSamples('outer', outer);
  checkNumber('innerLearningRate', innerLearningRate, 0);
  return native.hypergradient(
    backend,
    users,
    entities,
    relations,
    checkDim(dim),
    g.offsets,
    g.relations,
    g.tails,
    beta,
    i.users,
    i.positives,
    i.negatives,
    o.users,
    o.positives,
    o.negatives,
    innerLearningRate,
    curvature,
  );
}

/**
 * The k nearest items of each user by Poincaré distance, exactly: nearest first, ties by smaller id. Rows with fewer than k candidates are
 * padded with 0xffffffff and Infinity.
 *
 * @returns `items` and `distances`, both [n, k]
 * @throws as `poincareDistance`
 * @example
 * const { users, entities, dim, curvature, seen } = model;
 * const items = entities.subarray(0, model.itemIds.length * dim);
 * const lists = topK({ users, items, dim, k: 2, exclude: seen }, { curvature });
 */
export function topK(args: TopKArguments, options?: KernelOptions): { items: Uint32Array; distances: Float32Array } {
  const { users, items, dim, k, exclude } = fields('arguments', args);
  const { backend, curvature } = settings(options);
  checkFloat32Array('users', users);
  checkFloat32Array('items', items);
  checkInteger('k', k, 1, 1 << 24);
  if (exclude === undefined) return native.topK(backend, users, items, checkDim(dim), k, null, null, curvature);
  checkUint32Array('exclude.offsets', fields('exclude', exclude).offsets);
  checkUint32Array('exclude.items', exclude.items);
  return native.topK(backend, users, items, checkDim(dim), k, exclude.offsets, exclude.items, curvature);
}
