import { type Embedding, variantOf } from './embedding.ts';
import { einsteinMidpoint, lorentzFactor } from './geometry.ts';
import { native } from './native.ts';

/** d(x, y) of two points of the model's space. */
export function distanceOf({ dim, curvature }: Embedding, x: Float32Array, y: Float32Array): number {
  return native.poincareDistance('cpu', x, y, dim, curvature)[0]!;
}

/**
 * n_v of a point v with the given triples, and the weights of Eq. 5, which sum to 1. Without attention (BPR+Avg+H) the weights are
 * the tails' Lorentz factors alone. A point without triples is its own midpoint.
 */
export function neighborhoodOf(
  model: Embedding,
  point: Float32Array,
  relations: Uint32Array,
  tails: Uint32Array,
): { midpoint: Float32Array; attention: Float32Array } {
  const { dim, curvature } = model;
  const { attentionTemperature: temperature = 1 } = model.training.options; // models of before it was an option have none
  const count = tails.length;
  if (count === 0) return { midpoint: point, attention: new Float32Array(0) };
  // Row 0 is v, the tails follow.
  const rows = new Float32Array((count + 1) * dim);
  rows.set(point);
  for (let i = 0; i < count; ++i) rows.set(model.entities.subarray(tails[i]! * dim, (tails[i]! + 1) * dim), (i + 1) * dim);
  if (variantOf(model).attention) {
    const offsets = Uint32Array.of(0, count);
    const places = Uint32Array.from({ length: count }, (_, i) => i + 1);
    return native.neighborhood('cpu', rows, model.relations, dim, offsets, relations, places, Uint32Array.of(0), curvature, temperature);
  }
  const factors = Float64Array.from({ length: count }, (_, i) => lorentzFactor(rows, (i + 1) * dim, dim, curvature));
  const total = factors.reduce((sum, factor) => sum + factor, 0);
  return {
    midpoint: Float32Array.from(einsteinMidpoint(rows.subarray(dim), null, dim, curvature)),
    attention: Float32Array.from(factors, (factor) => factor / total),
  };
}
