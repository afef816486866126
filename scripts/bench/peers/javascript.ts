/**
 * Hyper-Know trained in plain typed-array JavaScript, one thread, fused by hand: what a careful programmer gets from V8 without an addon.
 *
 * It computes all of Algorithm 1 as the presets have it, and the same as the package's trainer: tangent parameters at fixed curvature; ranking
 * loss and its gradient; attention, Einstein midpoint and L_K of every distinct positive, once, with its gradient into item, tails and
 * relations; λ on the rows of the batch; the lookahead, the outer gradient on the inner batch and the exact ∂J_outer/∂β; Adam on touched rows.
 * Arithmetic in float64, tables in float32. It shares no formula with the package; agreement.ts compares the two.
 */
import type { Graph, Interactions } from '../../../lib/data/csr.ts';
import { Random } from '../../../lib/data/random.ts';
import type { TrainerConfig, TrainerState } from '../../../lib/native.ts';
import { squaredDistance } from './distance.ts';

const NONE = 0xffffffff;
const [BETA1, BETA2, EPSILON] = [0.9, 0.999, 1e-8];
/** artanh(1 − 1e-5): the largest norm of a tangent vector. */
const MAX_TANGENT_NORM = 6.1030338227588;

export interface Samples {
  users: Uint32Array;
  positives: Uint32Array;
  negatives: Uint32Array;
}

/** tanh(‖w‖)/‖w‖, which maps w to its point. */
function expMap(sqnorm: number): number {
  const norm = Math.sqrt(sqnorm);
  return norm < 1e-4 ? 1 - sqnorm / 3 : Math.tanh(norm) / norm;
}

/** J g = expMap·g + along·(w·g)·w is what a gradient on the point is on w. */
function along(sqnorm: number): number {
  const norm = Math.sqrt(sqnorm);
  if (norm < 1e-2) return -2 / 3 + (8 / 15) * sqnorm;
  const tanh = Math.tanh(norm);
  return (1 - tanh * tanh - tanh / norm) / sqnorm;
}

// Products and squares of rows, one function per pair of element types: V8 compiles each for its own.

function dot(x: Float32Array, x0: number, y: Float32Array, y0: number, dim: number): number {
  let a = 0;
  let b = 0;
  let k = 0;
  for (; k + 1 < dim; k += 2) {
    a += x[x0 + k]! * y[y0 + k]!;
    b += x[x0 + k + 1]! * y[y0 + k + 1]!;
  }
  return k < dim ? a + b + x[x0 + k]! * y[y0 + k]! : a + b;
}

function dotOf64(x: Float64Array, x0: number, y: Float64Array, y0: number, dim: number): number {
  let a = 0;
  let b = 0;
  let k = 0;
  for (; k + 1 < dim; k += 2) {
    a += x[x0 + k]! * y[y0 + k]!;
    b += x[x0 + k + 1]! * y[y0 + k + 1]!;
  }
  return k < dim ? a + b + x[x0 + k]! * y[y0 + k]! : a + b;
}

function dotWithRow(x: Float64Array, x0: number, y: Float32Array, y0: number, dim: number): number {
  let a = 0;
  let b = 0;
  let k = 0;
  for (; k + 1 < dim; k += 2) {
    a += x[x0 + k]! * y[y0 + k]!;
    b += x[x0 + k + 1]! * y[y0 + k + 1]!;
  }
  return k < dim ? a + b + x[x0 + k]! * y[y0 + k]! : a + b;
}

/** ‖x − y‖² of a row in float64 and one of a table. */
function squaredDistanceToRow(x: Float64Array, y: Float32Array, y0: number, dim: number): number {
  let a = 0;
  let b = 0;
  let k = 0;
  for (; k + 1 < dim; k += 2) {
    const da = x[k]! - y[y0 + k]!;
    const db = x[k + 1]! - y[y0 + k + 1]!;
    a += da * da;
    b += db * db;
  }
  return k < dim ? a + b + (x[k]! - y[y0 + k]!) ** 2 : a + b;
}

/** Parameters with Adam's moments, their points and gaps 1 − ‖x‖², and the gradient on the points that a batch has gathered. */
class Table {
  readonly first: Float32Array;
  readonly second: Float32Array;
  readonly points: Float32Array;
  readonly gaps: Float64Array;
  readonly gradient: Float32Array;
  readonly parameters: Float32Array;
  readonly dim: number;

  constructor(parameters: Float32Array, dim: number) {
    this.parameters = parameters.slice();
    this.dim = dim;
    this.first = new Float32Array(parameters.length);
    this.second = new Float32Array(parameters.length);
    this.points = new Float32Array(parameters.length);
    this.gradient = new Float32Array(parameters.length);
    this.gaps = new Float64Array(parameters.length / dim);
    for (let row = 0; row < this.gaps.length; ++row) this.map(row);
  }

  map(row: number): void {
    const { parameters, points, dim } = this;
    const at = row * dim;
    const factor = expMap(dot(parameters, at, parameters, at, dim));
    for (let k = at; k < at + dim; ++k) points[k] = factor * parameters[k]!;
    this.gaps[row] = 1 - dot(points, at, points, at, dim);
  }

  /** One Adam step of a row, whose gradient is then zero again. */
  adam(row: number, decay: number, rate: number, epsilon: number): void {
    const { parameters, first, second, gradient, dim } = this;
    const at = row * dim;
    const sqnorm = dot(parameters, at, parameters, at, dim);
    const onGradient = expMap(sqnorm);
    const onParameters = along(sqnorm) * dot(parameters, at, gradient, at, dim) + decay;
    let next = 0;
    for (let k = at; k < at + dim; ++k) {
      const g = onGradient * gradient[k]! + onParameters * parameters[k]!;
      const m = BETA1 * first[k]! + (1 - BETA1) * g;
      const v = BETA2 * second[k]! + (1 - BETA2) * g * g;
      const w = parameters[k]! - (rate * m) / (Math.sqrt(v) + epsilon);
      first[k] = m;
      second[k] = v;
      parameters[k] = w;
      gradient[k] = 0;
      next += w * w;
    }
    if (next > MAX_TANGENT_NORM ** 2) {
      const factor = MAX_TANGENT_NORM / Math.sqrt(next);
      for (let k = at; k < at + dim; ++k) parameters[k]! *= factor;
    }
    this.map(row);
  }
}

/** The distinct rows of a batch, in the order in which they are met, with how often each was added. */
class Rows {
  readonly list: number[] = [];
  readonly counts: number[] = [];
  readonly slots: Int32Array;

  constructor(rows: number) {
    this.slots = new Int32Array(rows).fill(-1);
  }

  add(row: number, times: number): number {
    let slot = this.slots[row]!;
    if (slot < 0) {
      slot = this.list.push(row) - 1;
      this.slots[row] = slot;
      this.counts.push(0);
    }
    this.counts[slot]! += times;
    return slot;
  }

  clear(): void {
    for (const row of this.list) this.slots[row] = -1;
    this.list.length = 0;
    this.counts.length = 0;
  }
}

/** Memory that only grows. */
class Scratch {
  #values = new Float64Array(0);

  of(length: number): Float64Array {
    if (this.#values.length < length) this.#values = new Float64Array(2 * length);
    return this.#values;
  }
}

export class JavaScriptTrainer {
  readonly users: Table;
  readonly entities: Table;
  readonly relations: Table;
  readonly beta: Float32Array;
  /** Σ L_R and Σ σ(β_v) L_K(v) over the samples so far. */
  readonly losses = { ranking: 0, knowledge: 0 };
  readonly #config: TrainerConfig;
  readonly #graph: Graph;
  readonly #scale: number;
  readonly #betaFirst: Float64Array;
  readonly #betaSecond: Float64Array;
  #steps = 0;

  // Of a batch.
  readonly #userRows: Rows;
  readonly #itemRows: Rows; // positives and negatives
  readonly #entityRows: Rows; // those and the tails
  readonly #headRows: Rows; // positives
  readonly #headGradients = new Scratch(); // [heads, dim] ∂L_K(v)/∂v
  readonly #ahead = { users: new Scratch(), items: new Scratch(), gradient: new Scratch() };
  /** Triples whose tail is an item of the batch: the head's slot, the item's slot, ∂L_K(v)/∂t. */
  readonly #itemTails: { head: number; item: number; gradient: Float64Array }[] = [];
  readonly #triples = new Scratch();
  readonly #rows: Float64Array;

  /** Starts where a native trainer with this configuration and state stands. */
  constructor(config: TrainerConfig, { tensors }: TrainerState) {
    const table = (name: string) => new Table(tensors[`${name}.parameters`] as Float32Array, config.dim);
    this.users = table('users');
    this.entities = table('entities');
    this.relations = table('relations');
    this.beta = (tensors['beta.parameters'] as Float32Array).slice();
    this.#betaFirst = new Float64Array(this.beta.length);
    this.#betaSecond = new Float64Array(this.beta.length);
    this.#config = config;
    this.#graph = { offsets: config.graphOffsets, relations: config.graphRelations, tails: config.graphTails };
    this.#scale = 1 / Math.sqrt(config.curvature);
    this.#userRows = new Rows(config.users);
    this.#itemRows = new Rows(config.entities);
    this.#entityRows = new Rows(config.entities);
    this.#headRows = new Rows(config.items);
    this.#rows = new Float64Array(6 * config.dim);
  }

  /** Algorithm 1 on one batch. */
  step({ users, positives, negatives }: Samples): void {
    for (let i = 0; i < users.length; ++i) {
      if (users[i] === NONE) continue;
      this.#userRows.add(users[i]!, 1);
      for (const item of [positives[i]!, negatives[i]!]) {
        this.#itemRows.add(item, 1);
        this.#entityRows.add(item, 1); // how often λ counts for it; for a tail not at all
      }
      this.#headRows.add(positives[i]!, 1);
    }
    this.#ranking({ users, positives, negatives });
    const heads = this.#headRows.list;
    const headGradients = this.#headGradients.of(heads.length * this.#config.dim);
    for (let slot = 0; slot < heads.length; ++slot) this.#neighborhood(heads[slot]!, slot, headGradients);
    const betaGradient = this.#hypergradient({ users, positives, negatives }, headGradients);
    this.#update(betaGradient);
    for (const rows of [this.#userRows, this.#itemRows, this.#entityRows, this.#headRows]) rows.clear();
    this.#itemTails.length = 0;
  }

  /** L_R and its gradient, Eq. 3. */
  #ranking({ users, positives, negatives }: Samples): void {
    const { dim } = this.#config;
    const scale = this.#scale;
    const [u, e] = [this.users, this.entities];
    for (let i = 0; i < users.length; ++i) {
      if (users[i] === NONE) continue;
      const [a, p, n] = [users[i]! * dim, positives[i]! * dim, negatives[i]! * dim];
      const [gapU, gapP, gapN] = [u.gaps[users[i]!]!, e.gaps[positives[i]!]!, e.gaps[negatives[i]!]!];
      const toP = squaredDistance(u.points, a, e.points, p, dim);
      const toN = squaredDistance(u.points, a, e.points, n, dim);
      const z = 2 * scale * (Math.asinh(Math.sqrt(toP / (gapU * gapP))) - Math.asinh(Math.sqrt(toN / (gapU * gapN))));
      this.losses.ranking += Math.max(z, 0) + Math.log1p(Math.exp(-Math.abs(z)));
      const slope = scale / (1 + Math.exp(-z));
      const kP = toP > 0 ? (2 * slope) / Math.sqrt(toP * (toP + gapU * gapP)) : 0;
      const kN = toN > 0 ? (2 * slope) / Math.sqrt(toN * (toN + gapU * gapN)) : 0;
      const onU = kP * (1 + toP / gapU) - kN * (1 + toN / gapU);
      const onP = kP * (1 + toP / gapP);
      const onN = kN * (1 + toN / gapN);
      for (let k = 0; k < dim; ++k) {
        const x = u.points[a + k]!;
        const y = e.points[p + k]!;
        const w = e.points[n + k]!;
        u.gradient[a + k]! += onU * x - kP * y + kN * w;
        e.gradient[p + k]! += onP * y - kP * x;
        e.gradient[n + k]! += kN * x - onN * w;
      }
    }
  }

  /** L_K of a head, Eq. 4 to 7, and its gradient, times the head's weight, on everything it touches. */
  #neighborhood(head: number, slot: number, headGradients: Float64Array): void {
    const { dim } = this.#config;
    const { offsets, relations: relationOf, tails } = this.#graph;
    const [begin, end] = [offsets[head]!, offsets[head + 1]!];
    const degree = end - begin;
    const mine = slot * dim;
    headGradients.fill(0, mine, mine + dim);
    if (degree === 0) return;
    const scale = this.#scale;
    const { points, gaps, gradient } = this.entities;
    const { points: relationPoints, gaps: relationGaps, gradient: relationGradient } = this.relations;
    const v = head * dim;
    const gapV = gaps[head]!;
    const [m, n, gM, gX, x, gV] = [0, 1, 2, 3, 4, 5].map((row) => this.#rows.subarray(row * dim, (row + 1) * dim)) as [
      ...[Float64Array, Float64Array, Float64Array, Float64Array, Float64Array, Float64Array],
    ];
    const triples = this.#triples.of(3 * degree); // squared distance to x, gap of x, attention
    const [sqdists, xGaps, attention] = [0, degree, 2 * degree];

    // Attention: v ⊕ r once per run of a relation.
    let nearest = Number.POSITIVE_INFINITY;
    for (let j = 0; j < degree; ++j) {
      const relation = relationOf[begin + j]!;
      if (j === 0 || relation !== relationOf[begin + j - 1]) this.#add(head, relation, x);
      const t = tails[begin + j]!;
      const sqdist = squaredDistanceToRow(x, points, t * dim, dim);
      triples[sqdists + j] = sqdist;
      triples[xGaps + j] = this.#gapX;
      const distance = 2 * scale * Math.asinh(Math.sqrt(sqdist / (this.#gapX * gaps[t]!)));
      triples[attention + j] = distance;
      if (distance < nearest) nearest = distance;
    }
    // Eq. 5: M = Σ a 2t/A, m0 = Σ a (2 − A)/A, l² = m0² − ‖M‖², n = M/(m0 + l).
    m.fill(0);
    let m0 = 0;
    let weight = 0;
    for (let j = 0; j < degree; ++j) {
      const t = tails[begin + j]!;
      const a = Math.exp(nearest - triples[attention + j]!);
      triples[attention + j] = a;
      const onT = (2 * a) / gaps[t]!;
      weight += a;
      m0 += onT - a;
      for (let k = 0; k < dim; ++k) m[k]! += onT * points[t * dim + k]!;
    }
    const l = Math.sqrt(Math.max(m0 * m0 - dotOf64(m, 0, m, 0, dim), weight * weight));
    const inverse = 1 / (m0 + l);
    const gapN = 2 * l * inverse;
    let apart = 0;
    for (let k = 0; k < dim; ++k) {
      n[k] = inverse * m[k]!;
      apart += (points[v + k]! - n[k]!) ** 2;
    }
    const sigma = 1 / (1 + Math.exp(-this.beta[head]!));
    const w = sigma * this.#headRows.counts[slot]!;
    this.losses.knowledge += w * 2 * scale * Math.asinh(Math.sqrt(apart / (gapV * gapN)));

    // Back: to v and n, through n to M and m0.
    const k0 = apart > 0 ? (2 * scale) / Math.sqrt(apart * (apart + gapV * gapN)) : 0;
    let nDotG = 0;
    for (let k = 0; k < dim; ++k) {
      gV[k] = k0 * ((1 + apart / gapV) * points[v + k]! - n[k]!);
      gM[k] = k0 * ((1 + apart / gapN) * n[k]! - points[v + k]!);
      nDotG += n[k]! * gM[k]!;
    }
    const gM0 = -nDotG * inverse * (1 + m0 / l);
    for (let k = 0; k < dim; ++k) gM[k] = inverse * (gM[k]! + (nDotG / l) * m[k]!);

    for (let j = 0; j < degree; ++j) {
      const relation = relationOf[begin + j]!;
      const t = tails[begin + j]!;
      const at = t * dim;
      if (j === 0 || relation !== relationOf[begin + j - 1]) {
        this.#add(head, relation, x);
        gX.fill(0);
      }
      const gap = gaps[t]!;
      const a = triples[attention + j]!;
      const sqdist = triples[sqdists + j]!;
      const gapX = triples[xGaps + j]!;
      const tDotG = dotWithRow(gM, 0, points, at, dim);
      const slope = -scale * a * ((2 / gap) * tDotG + (2 / gap - 1) * gM0);
      const kT = sqdist > 0 ? (2 * slope) / Math.sqrt(sqdist * (sqdist + gapX * gap)) : 0;
      const onM = (2 * a) / gap;
      const onT = (4 * a * (tDotG + gM0)) / (gap * gap) + kT * (1 + sqdist / gap);
      const onX = kT * (1 + sqdist / gapX);
      const item = this.#itemRows.slots[t]!;
      if (item >= 0) {
        const own = Float64Array.from(gM, (g, k) => onM * g + onT * points[at + k]! - kT * x[k]!);
        this.#itemTails.push({ head: slot, item, gradient: own });
      }
      this.#entityRows.add(t, 0);
      const wM = w * onM;
      const wT = w * onT;
      const wX = w * kT;
      for (let k = 0; k < dim; ++k) {
        const y = points[at + k]!;
        gX[k]! += onX * x[k]! - kT * y;
        gradient[at + k]! += wM * gM[k]! + wT * y - wX * x[k]!;
      }
      if (j + 1 < degree && relationOf[begin + j + 1] === relation) continue;
      // Back through v ⊕ r.
      const r = relation * dim;
      const [denominator, factor, rSqnorm] = [this.#denominator, this.#factor, 1 - relationGaps[relation]!];
      const gDotV = dotWithRow(gX, 0, points, v, dim);
      const gDotR = dotWithRow(gX, 0, relationPoints, r, dim);
      const back = (2 * (gDotR + rSqnorm * gDotV)) / denominator;
      for (let k = 0; k < dim; ++k) {
        const p = points[v + k]!;
        const q = relationPoints[r + k]!;
        const g = gX[k]!;
        gV[k]! += (1 + factor * rSqnorm) * g - back * p - back * factor * (p + q - relationGaps[relation]! * p);
        relationGradient[r + k]! += w * (factor * g + 2 * factor * gDotV * q - back * factor * (p + q - gapV * q));
      }
    }
    for (let k = 0; k < dim; ++k) {
      headGradients[mine + k] = gV[k]!;
      gradient[v + k]! += w * gV[k]!;
    }
  }

  #gapX = 0;
  #denominator = 0;
  #factor = 0;

  /** x = v ⊕ r, Eq. 2; leaves its gap and what its gradient needs. */
  #add(head: number, relation: number, x: Float64Array): void {
    const { dim } = this.#config;
    const { points, gaps } = this.entities;
    const { points: relations, gaps: relationGaps } = this.relations;
    const [v, r, gapV, gapR] = [head * dim, relation * dim, gaps[head]!, relationGaps[relation]!];
    let sum = 0;
    for (let k = 0; k < dim; ++k) sum += (points[v + k]! + relations[r + k]!) ** 2;
    this.#denominator = sum + gapV * gapR;
    this.#factor = gapV / this.#denominator;
    this.#gapX = this.#factor * gapR;
    const onV = 1 + this.#factor * (1 - gapR);
    for (let k = 0; k < dim; ++k) x[k] = onV * points[v + k]! + this.#factor * relations[r + k]!;
  }

  /** ∂J_outer(Θ̃)/∂β of the heads, Eq. 10 to 12. */
  #hypergradient({ users, positives, negatives }: Samples, headGradients: Float64Array): Float64Array {
    const { dim, innerLearningRate } = this.#config;
    const scale = this.#scale;
    const [u, p] = [this.#userRows, this.#itemRows];
    const ahead = {
      users: this.#ahead.users.of(u.list.length * (dim + 1)),
      items: this.#ahead.items.of(p.list.length * (2 * dim + 1)),
    };
    const outer = this.#ahead.gradient.of(p.list.length * dim).fill(0);
    // Per row: the point of Θ̃, its gap, and of items also Θ̃ itself.
    u.list.forEach((row, slot) => {
      this.#lookahead(this.users, row, ahead.users, slot * (dim + 1), -1);
    });
    p.list.forEach((row, slot) => {
      this.#lookahead(this.entities, row, ahead.items, slot * (2 * dim + 1), slot * (2 * dim + 1) + dim + 1);
    });
    for (let i = 0; i < users.length; ++i) {
      if (users[i] === NONE) continue;
      const a = u.slots[users[i]!]! * (dim + 1);
      const [slotP, slotN] = [p.slots[positives[i]!]!, p.slots[negatives[i]!]!];
      const [b, c] = [slotP * (2 * dim + 1), slotN * (2 * dim + 1)];
      let toP = 0;
      let toN = 0;
      for (let k = 0; k < dim; ++k) {
        toP += (ahead.users[a + k]! - ahead.items[b + k]!) ** 2;
        toN += (ahead.users[a + k]! - ahead.items[c + k]!) ** 2;
      }
      const [gapU, gapP, gapN] = [ahead.users[a + dim]!, ahead.items[b + dim]!, ahead.items[c + dim]!];
      const z = 2 * scale * (Math.asinh(Math.sqrt(toP / (gapU * gapP))) - Math.asinh(Math.sqrt(toN / (gapU * gapN))));
      const slope = scale / (1 + Math.exp(-z));
      const kP = toP > 0 ? (2 * slope) / Math.sqrt(toP * (toP + gapU * gapP)) : 0;
      const kN = toN > 0 ? (2 * slope) / Math.sqrt(toN * (toN + gapU * gapN)) : 0;
      const [onP, onN] = [kP * (1 + toP / gapP), kN * (1 + toN / gapN)];
      for (let k = 0; k < dim; ++k) {
        const x = ahead.users[a + k]!;
        outer[slotP * dim + k]! += onP * ahead.items[b + k]! - kP * x;
        outer[slotN * dim + k]! += kN * x - onN * ahead.items[c + k]!;
      }
    }
    // J(w) J(w̃) of it, to be multiplied with gradients on the points.
    const { parameters } = this.entities;
    p.list.forEach((row, slot) => {
      apply(ahead.items, slot * (2 * dim + 1) + dim + 1, outer, slot * dim, dim);
      applyRow(parameters, row * dim, outer, slot * dim, dim);
    });
    const heads = this.#headRows;
    const products = Float64Array.from(heads.list, (head, slot) => dotOf64(headGradients, slot * dim, outer, p.slots[head]! * dim, dim));
    for (const { head, item, gradient } of this.#itemTails) products[head]! += dotOf64(gradient, 0, outer, item * dim, dim);
    return products.map((product, slot) => {
      const sigma = 1 / (1 + Math.exp(-this.beta[heads.list[slot]!]!));
      return -innerLearningRate * sigma * (1 - sigma) * heads.counts[slot]! * product;
    });
  }

  /** Writes the point of w − α·∂J_inner/∂w and its gap at `at`, and the parameters themselves at `parametersAt`, unless negative. */
  #lookahead({ parameters, gradient }: Table, row: number, out: Float64Array, at: number, parametersAt: number): void {
    const { dim, innerLearningRate } = this.#config;
    const from = row * dim;
    const sqnorm = dot(parameters, from, parameters, from, dim);
    const onGradient = innerLearningRate * expMap(sqnorm);
    const onParameters = 1 - innerLearningRate * along(sqnorm) * dot(parameters, from, gradient, from, dim);
    let next = 0;
    for (let k = 0; k < dim; ++k) {
      const w = onParameters * parameters[from + k]! - onGradient * gradient[from + k]!;
      out[at + k] = w;
      if (parametersAt >= 0) out[parametersAt + k] = w;
      next += w * w;
    }
    const factor = expMap(next);
    for (let k = 0; k < dim; ++k) out[at + k]! *= factor;
    out[at + dim] = 1 - factor * factor * next;
  }

  /** Adam on every row that has a gradient, and on all relations. */
  #update(betaGradient: Float64Array): void {
    const { learningRate, betaLearningRate, regularization, relations } = this.#config;
    const step = ++this.#steps;
    const correction = Math.sqrt(1 - BETA2 ** step);
    const factor = correction / (1 - BETA1 ** step);
    const [rate, epsilon] = [learningRate * factor, EPSILON * correction];
    const [u, e] = [this.#userRows, this.#entityRows];
    for (let slot = 0; slot < u.list.length; ++slot) this.users.adam(u.list[slot]!, 2 * regularization * u.counts[slot]!, rate, epsilon);
    for (let slot = 0; slot < e.list.length; ++slot) this.entities.adam(e.list[slot]!, 2 * regularization * e.counts[slot]!, rate, epsilon);
    for (let row = 0; row < relations; ++row) this.relations.adam(row, 0, rate, epsilon);
    this.#headRows.list.forEach((head, slot) => {
      const g = betaGradient[slot]!;
      const m = BETA1 * this.#betaFirst[head]! + (1 - BETA1) * g;
      const v = BETA2 * this.#betaSecond[head]! + (1 - BETA2) * g * g;
      this.#betaFirst[head] = m;
      this.#betaSecond[head] = v;
      this.beta[head]! -= (betaLearningRate * factor * m) / (Math.sqrt(v) + epsilon);
    });
  }
}

/** g := J(w) g. */
function apply(w: Float64Array, w0: number, g: Float64Array, g0: number, dim: number): void {
  const sqnorm = dotOf64(w, w0, w, w0, dim);
  const onG = expMap(sqnorm);
  const onW = along(sqnorm) * dotOf64(w, w0, g, g0, dim);
  for (let k = 0; k < dim; ++k) g[g0 + k] = onG * g[g0 + k]! + onW * w[w0 + k]!;
}

/** The same with a row of a table. */
function applyRow(w: Float32Array, w0: number, g: Float64Array, g0: number, dim: number): void {
  const sqnorm = dot(w, w0, w, w0, dim);
  const onG = expMap(sqnorm);
  const onW = along(sqnorm) * dotWithRow(g, g0, w, w0, dim);
  for (let k = 0; k < dim; ++k) g[g0 + k] = onG * g[g0 + k]! + onW * w[w0 + k]!;
}

/** Batches in random order, each positive with a uniform negative that its user has not. */
export class Sampler {
  readonly #train: Interactions;
  readonly #items: number;
  readonly #users: Uint32Array;
  readonly #random = new Random(1, 0);
  #order: Uint32Array = new Uint32Array(0);
  #next = 0;

  constructor(train: Interactions, items: number) {
    this.#train = train;
    this.#items = items;
    this.#users = new Uint32Array(train.items.length);
    for (let user = 0; user + 1 < train.offsets.length; ++user) this.#users.fill(user, train.offsets[user], train.offsets[user + 1]);
  }

  draw(count: number): Samples {
    const { offsets, items } = this.#train;
    const batch = { users: new Uint32Array(count), positives: new Uint32Array(count), negatives: new Uint32Array(count) };
    for (let i = 0; i < count; ++i) {
      if (this.#next === this.#order.length) {
        this.#order = this.#random.permutation(items.length);
        this.#next = 0;
      }
      const place = this.#order[this.#next++]!;
      const user = this.#users[place]!;
      const [begin, end] = [offsets[user]!, offsets[user + 1]!];
      if (end - begin === this.#items) {
        batch.users[i] = batch.positives[i] = batch.negatives[i] = NONE;
        continue;
      }
      let negative = this.#random.below(this.#items);
      while (has(items, begin, end, negative)) negative = this.#random.below(this.#items);
      batch.users[i] = user;
      batch.positives[i] = items[place]!;
      batch.negatives[i] = negative;
    }
    return batch;
  }
}

/** Whether the ascending items[begin .. end) hold one. */
function has(items: Uint32Array, begin: number, end: number, item: number): boolean {
  let [low, high] = [begin, end];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (items[middle]! < item) low = middle + 1;
    else high = middle;
  }
  return low < end && items[low] === item;
}
