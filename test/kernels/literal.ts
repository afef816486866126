/**
 * The paper's equations as they are printed, in float64, for the inside of the ball: near the boundary and for near points they cancel,
 * and `reference.ts` takes over. geometry.test.ts holds the two against each other where both are accurate.
 */

export const dot = (x: Float64Array, y: Float64Array): number => x.reduce((sum, value, i) => sum + value * y[i]!, 0);
export const scaled = (factor: number, x: Float64Array): Float64Array => x.map((value) => factor * value);
export const plus = (x: Float64Array, y: Float64Array): Float64Array => x.map((value, i) => value + y[i]!);
const norm = (x: Float64Array): number => Math.sqrt(dot(x, x));

/** x ⊕_c y, Eq. 2. */
export function mobiusAdd(x: Float64Array, y: Float64Array, c: number): Float64Array {
  const xy = dot(x, y);
  const xx = dot(x, x);
  const yy = dot(y, y);
  const numerator = plus(scaled(1 + 2 * c * xy + c * yy, x), scaled(1 - c * xx, y));
  return scaled(1 / (1 + 2 * c * xy + c * c * xx * yy), numerator);
}

/** d(x, y), Eq. 1. */
export function poincareDistance(x: Float64Array, y: Float64Array, c: number): number {
  return (2 / Math.sqrt(c)) * Math.atanh(Math.sqrt(c) * norm(mobiusAdd(scaled(-1, x), y, c)));
}

/** −ln σ(d(u, v′) − d(u, v)), Eq. 3. */
export function rankingLoss(user: Float64Array, positive: Float64Array, negative: Float64Array, c: number): number {
  return Math.log(1 + Math.exp(poincareDistance(user, positive, c) - poincareDistance(user, negative, c)));
}

/** α(v, t) = exp(−d(v ⊕ r, t)), Eq. 4. */
export function attention(item: Float64Array, relation: Float64Array, tail: Float64Array, c: number): number {
  return Math.exp(-poincareDistance(mobiusAdd(item, relation, c), tail, c));
}

/** Eq. 6, both ways. */
export function kleinFromPoincare(x: Float64Array, c: number): Float64Array {
  return scaled(2 / (1 + c * dot(x, x)), x);
}
export function poincareFromKlein(k: Float64Array, c: number): Float64Array {
  return scaled(1 / (1 + Math.sqrt(1 - c * dot(k, k))), k);
}

/** γ of a point given in Klein coordinates. */
export function lorentzFactor(k: Float64Array, c: number): number {
  return 1 / Math.sqrt(1 - c * dot(k, k));
}

/** The Einstein midpoint of the tails, Eq. 5, and the weights α γ / Σ α γ of its sum. */
export function einsteinMidpoint(
  tails: readonly Float64Array[],
  alpha: readonly number[],
  c: number,
): { midpoint: Float64Array; weights: number[] } {
  const klein = tails.map((tail) => kleinFromPoincare(tail, c));
  const unnormalised = klein.map((k, j) => alpha[j]! * lorentzFactor(k, c));
  const total = unnormalised.reduce((sum, weight) => sum + weight, 0);
  const weights = unnormalised.map((weight) => weight / total);
  const sum = klein.map((k, j) => scaled(weights[j]!, k)).reduce(plus);
  return { midpoint: poincareFromKlein(sum, c), weights };
}

/** The same by way of the hyperboloid: Σ α (γ, γk) scaled to the hyperboloid and projected to the ball. */
export function einsteinMidpointOnHyperboloid(tails: readonly Float64Array[], alpha: readonly number[], c: number): Float64Array {
  const gap = (x: Float64Array): number => 1 - c * dot(x, x);
  const time = tails.reduce((sum, tail, j) => sum + alpha[j]! * ((2 - gap(tail)) / gap(tail)), 0);
  const space = tails.map((tail, j) => scaled((alpha[j]! * 2) / gap(tail), tail)).reduce(plus);
  const length = Math.sqrt(time * time - c * dot(space, space));
  return scaled(1 / (time + length), space);
}
