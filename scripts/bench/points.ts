/** Made-up points of the ball, the same for a seed everywhere. */
import type { Random } from '../../lib/data/random.ts';

/** Points in random directions with norms spread over [0, most). */
export function points(random: Random, rows: number, dim: number, most = 0.6): Float32Array {
  const out = new Float32Array(rows * dim);
  for (let i = 0; i < rows; ++i) {
    const row = Array.from({ length: dim }, () => random.uniform() - 0.5);
    const radius = (most * random.uniform()) / Math.hypot(...row);
    for (let k = 0; k < dim; ++k) out[i * dim + k] = row[k]! * radius;
  }
  return out;
}

/** Points gathered about `centers`, as training leaves them: each is one of them plus a random step of about `spread` times its norm. */
export function pointsNear(random: Random, rows: number, dim: number, centers: Float32Array, spread = 0.5): Float32Array {
  const out = new Float32Array(rows * dim);
  const groups = centers.length / dim;
  for (let i = 0; i < rows; ++i) {
    const center = centers.subarray(random.below(groups) * dim).subarray(0, dim);
    const size = spread * Math.hypot(...center) * Math.sqrt(12 / dim); // uniform in ±1/2 has variance 1/12
    const row = Float32Array.from(center, (value) => value + size * (random.uniform() - 0.5));
    const norm = Math.hypot(...row);
    const factor = norm > 0.98 ? 0.98 / norm : 1;
    for (let k = 0; k < dim; ++k) out[i * dim + k] = factor * row[k]!;
  }
  return out;
}

/** `count` integers below `below`. */
export function ids(random: Random, count: number, below: number): Uint32Array {
  return Uint32Array.from({ length: count }, () => random.below(below));
}
