import { PIECE, type Steps } from './data/steps.ts';
import type { Embedding } from './embedding.ts';
import { ballGap, MAX_NORM } from './geometry.ts';
import { quantile } from './statistics.ts';

/** Where the points of one table stand. All is NaN for a table without rows. */
export interface RadiusSummary {
  rows: number;
  /** Of √c‖x‖: 0 is the origin, 1 the boundary. In the Euclidean variants of ‖x‖. */
  radius: { min: number; p10: number; p50: number; p90: number; p99: number; max: number };
  /** Rows by √c‖x‖ in ten parts of [0, 1); Euclidean variants: parts of [0, max]. */
  histogram: number[];
  /** Rows as near to the boundary as points are let: they were clamped there. Always 0 in the Euclidean variants. */
  atBoundary: number;
}

/** Whether a model uses its space well, and what that means for float32 and for vector engines. */
export interface Diagnostics {
  curvature: number;
  users: RadiusSummary;
  items: RadiusSummary;
  /** The entities that are no items. */
  otherEntities: RadiusSummary;
  relations: RadiusSummary;
  /** Relative error that rounding coordinates to float32 can make of 1 − c‖x‖², at the user or item nearest to the boundary. */
  float32Error: number;
  /** In sentences; empty where nothing is wrong. */
  warnings: string[];
}

/** From here on graph indexes lose items on augmented L2 vectors (see `exportModel`). */
export const SAFE_RADIUS = 0.996;

/** Relative error of the gap from which distances are no longer right to a percent. */
const FLOAT32_LIMIT = 1e-2;

/** Radii and what they say. */
export function* radiusDiagnostics(model: Embedding): Steps<Diagnostics> {
  const { dim, curvature, itemIds, entities } = model;
  const users = yield* summaryOf(model.users, dim, curvature);
  const items = yield* summaryOf(entities.subarray(0, itemIds.length * dim), dim, curvature);
  const otherEntities = yield* summaryOf(entities.subarray(itemIds.length * dim), dim, curvature);
  const relations = yield* summaryOf(model.relations, dim, curvature);
  const outermost = Math.max(users.radius.max, items.radius.max);
  // A coordinate is off by at most 2^-24 of itself, so ‖x‖² by 2^-23 of itself.
  const float32Error = curvature === 0 ? 0 : (outermost ** 2 * 2 ** -23) / (1 - outermost ** 2);
  const warnings: string[] = [];
  for (const [name, { atBoundary, rows }] of Object.entries({ users, items, otherEntities, relations })) {
    if (atBoundary > 0)
      warnings.push(
        `${atBoundary} of ${rows} rows of ${name} stand at the boundary of the ball: a larger regularization keeps them off it`,
      );
  }
  if (curvature > 0 && outermost > SAFE_RADIUS)
    warnings.push(`the outermost radius ${outermost.toFixed(6)} is above ${SAFE_RADIUS}: graph indexes of vector engines lose items there`);
  if (float32Error > FLOAT32_LIMIT)
    warnings.push(
      `float32 coordinates are off by up to ${(100 * float32Error).toFixed(1)} % of the gap to the boundary at the outermost point`,
    );
  return { curvature, users, items, otherEntities, relations, float32Error, warnings };
}

function* summaryOf(table: Float32Array, dim: number, curvature: number): Steps<RadiusSummary> {
  const rows = table.length / dim;
  const radii = new Float64Array(rows);
  let atBoundary = 0;
  for (let row = 0; row < rows; ++row) {
    const square = curvature === 0 ? 1 - ballGap(table, row * dim, dim, 1) : 1 - ballGap(table, row * dim, dim, curvature);
    radii[row] = Math.sqrt(square);
    if (curvature > 0 && radii[row]! >= MAX_NORM - 1e-6) ++atBoundary;
    if (row % Math.max(1, Math.floor(PIECE / dim)) === 0) yield;
  }
  const radius = { min: 0, p10: 0.1, p50: 0.5, p90: 0.9, p99: 0.99, max: 1 };
  for (const name of Object.keys(radius) as (keyof typeof radius)[]) {
    radius[name] = rows === 0 ? Number.NaN : quantile(radii, radius[name]);
    yield;
  }
  const histogram = new Array<number>(10).fill(0);
  const width = curvature === 0 ? radius.max || 1 : 1;
  for (const value of radii) histogram[Math.min(9, Math.floor((10 * value) / width))]!++;
  return { rows, radius, histogram, atBoundary };
}
