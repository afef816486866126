import { PIECE, type Steps } from './data/steps.ts';
import type { TrainedParameters } from './native.ts';

/**
 * Where a training that diverged has gone, in words: each table's rows that hold a number that is not finite, and how far out the others are, √c‖x‖
 * of points (1 is the boundary), ‖x‖ in the Euclidean variants and |β_v|.
 */
export function* outermost({ users, entities, relations, beta, curvature }: TrainedParameters, dim: number): Steps<string> {
  const scale = curvature > 0 && Number.isFinite(curvature) ? Math.sqrt(curvature) : 1;
  const parts: string[] = [];
  for (const [name, values, columns, factor] of [
    ['users', users, dim, scale],
    ['entities', entities, dim, scale],
    ['relations', relations, dim, scale],
    ['beta', beta, 1, 1],
  ] as const) {
    let [lost, first, largest] = [0, -1, 0];
    for (let row = 0; row < values.length / columns; ++row) {
      let square = 0;
      for (let i = row * columns; i < (row + 1) * columns; ++i) square += values[i]! ** 2;
      if (!Number.isFinite(square)) {
        if (lost++ === 0) first = row;
      } else largest = Math.max(largest, factor * Math.sqrt(square));
      if ((row + 1) % Math.ceil(PIECE / columns) === 0) yield;
    }
    const rows = values.length / columns;
    const radius = lost === rows ? '' : `, radius up to ${Number(largest.toPrecision(6))}`;
    if (rows > 0)
      parts.push(lost > 0 ? `${name}: ${lost} of ${rows} rows not finite, the first ${first}${radius}` : `${name}: ${radius.slice(2)}`);
  }
  return parts.join('; ');
}
