import type { Embedding } from './embedding.ts';

/** Users and items on the hyperboloid, the time coordinate first; the columns of the equation stand at `Model.toLorentz`. */
export interface LorentzPoints {
  /** [users, dim + 1] */
  users: Float32Array;
  /** [items, dim + 1] */
  items: Float32Array;
}

/**
 * Users and items on the hyperboloid ⟨X, X⟩ = −1/c of Minkowski space, where ⟨X, Y⟩ = −X₀Y₀ + Σ XᵢYᵢ: time coordinate first and positive,
 * X₀ = (1 + c‖x‖²) / (√c (1 − c‖x‖²)), Xᵢ = 2xᵢ / (1 − c‖x‖²). d = arcosh(−c⟨U, V⟩)/√c, so the larger ⟨U, V⟩ is, the nearer is the
 * item. For an engine that knows only the plain inner product, change the sign of the users' first coordinate. Computed in float64, then
 * rounded; near the origin, where X₀ is almost 1/√c for every point, that rounding can exchange items of almost equal distance.
 *
 * Euclidean variants (curvature 0) have no hyperboloid; there U = (1/2, u) and V = (‖v‖², v), for which ⟨U, V⟩ orders items likewise.
 */
export function toLorentz({ users, entities, itemIds, dim, curvature }: Embedding): LorentzPoints {
  const lift = (points: Float32Array, rows: number, isItem: boolean): Float32Array => {
    const lifted = new Float32Array(rows * (dim + 1));
    for (let row = 0; row < rows; ++row) {
      let square = 0;
      for (let i = 0; i < dim; ++i) square += points[row * dim + i]! ** 2;
      const gap = 1 - curvature * square;
      const flatTime = isItem ? square : 0.5;
      lifted[row * (dim + 1)] = curvature === 0 ? flatTime : (2 - gap) / (gap * Math.sqrt(curvature));
      const factor = curvature === 0 ? 1 : 2 / gap;
      for (let i = 0; i < dim; ++i) lifted[row * (dim + 1) + 1 + i] = factor * points[row * dim + i]!;
    }
    return lifted;
  };
  return { users: lift(users, users.length / dim, false), items: lift(entities, itemIds.length, true) };
}
