import { checkInteger, checkNumber, checkOptions } from './check.ts';
import type { Scorer } from './controls.ts';
import { type Interactions, transposed } from './data/csr.ts';
import type { Dataset } from './data/dataset.ts';
import { Random } from './data/random.ts';
import { finishInTurns, type Steps } from './data/steps.ts';
import { checkDataset } from './evaluate.ts';
import { dot, type Factors, innerProducts } from './inner-products.ts';
import { eigenOf } from './symmetric-eigen.ts';

/** Controls that are linear in the user's interactions or in a table of factors: strong, and without the knowledge graph. */

export interface AlsOptions {
  /** Size of the factors. Default 64. */
  dim?: number;
  /** α₀·items: what all items weigh together for a user, beside 1 for each interaction. Default 80. */
  unobserved?: number;
  /** λ; a row's weight is λ times its interactions and α₀ times all that it might have had. Default 0.03. */
  regularization?: number;
  /** Passes over users and items. Default 12. */
  sweeps?: number;
  /** Steps of conjugate gradients for a row. Default 5. */
  steps?: number;
  /** Of the start. Default 1. */
  seed?: number;
}

/** Stream of Random for the factors' start. */
const FACTOR_STREAM = 12;

/** Rows solved, or multiplied, between two yields. */
const ROWS_PER_STEP = 64;

/**
 * Implicit alternating least squares (Hu, Koren and Volinsky, 2008), in the form of Rendle et al. (2022): the minimum over x and y of
 *
 *   Σ_{(u,i) ∈ train} (x_u·y_i − 1)² + α₀ Σ_{u,i} (x_u·y_i)² + λ Σ_u (n_u + α₀·items)·‖x_u‖² + λ Σ_i (n_i + α₀·users)·‖y_i‖²,
 *
 * with n the interactions of a row. In the users' rows alone it is a least-squares problem per user, and in the items' rows per item; they
 * take turns. The matrix of user u's problem is α₀·YᵀY + λ_u·I + Σ_i y_i·y_iᵀ over the items i that u has. The first part is the same for all: in
 * the basis of its eigenvectors, to which the rows of Y are turned once, the first two are a diagonal and the third has rank n_u, so that conjugate
 * gradients with that diagonal as preconditioner end after n_u + 1 steps, and are good enough after a few, of n_u·dim each (Takács, Pilászy and
 * Tikk, 2011, have them without the turn, at dim² more a step; a factorisation takes n_u·dim² + dim³). Inner products do not notice the turn.
 */
export function* alternatingLeastSquares({ users, items, train }: Dataset, options?: AlsOptions): Steps<Factors> {
  const { dim, unobserved, regularization, sweeps, steps, seed } = checkAls(options);
  const weight = unobserved / items;
  const random = new Random(seed, FACTOR_STREAM);
  // Uniform with standard deviation 0.1/√dim.
  const start = (rows: number) => Float64Array.from({ length: rows * dim }, () => 0.1 * Math.sqrt(3 / dim) * (2 * random.uniform() - 1));
  const factors: Factors = { users: start(users), items: start(items), dim };
  const byItem = yield* transposed(train, items);
  const solve = function* (own: Float64Array, other: Float64Array, interactions: Interactions): Steps<void> {
    const { values, vectors } = yield* eigenOf(yield* gramOf(other, dim, weight), dim);
    yield* turn(other, vectors, dim);
    const solver = new RowSolver(dim, other, values);
    const others = other.length / dim;
    for (let row = 0; row + 1 < interactions.offsets.length; ++row) {
      const known = interactions.items.subarray(interactions.offsets[row], interactions.offsets[row + 1]);
      solver.solve(own.subarray(row * dim, (row + 1) * dim), known, regularization * (known.length + weight * others), steps);
      if (row % ROWS_PER_STEP === ROWS_PER_STEP - 1) yield;
    }
  };
  for (let sweep = 0; sweep < sweeps; ++sweep) {
    yield* solve(factors.users, factors.items, train);
    yield* solve(factors.items, factors.users, byItem);
  }
  return factors;
}

/** Ranks by the inner products of `alternatingLeastSquares`; as scores, those below 0 count for nothing. */
export function implicitAls(dataset: Dataset, options?: AlsOptions): Scorer {
  checkAls(options);
  return innerProducts(checkDataset(dataset), () => alternatingLeastSquares(dataset, options));
}

function checkAls(options: AlsOptions | undefined): Required<AlsOptions> {
  const known = ['dim', 'unobserved', 'regularization', 'sweeps', 'steps', 'seed'] as const;
  const defaults = { dim: 64, unobserved: 80, regularization: 0.03, sweeps: 12, steps: 5, seed: 1 };
  const all = { ...defaults, ...checkOptions('options', options, known) };
  return {
    dim: checkInteger('dim', all.dim, 1, 4096),
    unobserved: checkNumber('unobserved', all.unobserved, 0),
    regularization: checkNumber('regularization', all.regularization, 0),
    sweeps: checkInteger('sweeps', all.sweeps, 1),
    steps: checkInteger('steps', all.steps, 1),
    seed: checkInteger('seed', all.seed, 0),
  };
}

/** weight · Σ_rows row·rowᵀ, [dim, dim]. */
function* gramOf(rows: Float64Array, dim: number, weight: number): Steps<Float64Array> {
  const gram = new Float64Array(dim * dim);
  const count = rows.length / dim;
  for (let begin = 0; begin < count; begin += ROWS_PER_STEP) {
    addOuterProducts(gram, rows.subarray(begin * dim, Math.min(count, begin + ROWS_PER_STEP) * dim), dim);
    yield;
  }
  for (let i = 0; i < dim; ++i)
    for (let j = 0; j <= i; ++j) {
      gram[i * dim + j]! *= weight;
      gram[j * dim + i] = gram[i * dim + j]!;
    }
  return gram;
}

/** Adds the lower triangle of Σ row·rowᵀ; four rows at a time, so that an element is read and written once for them. */
function addOuterProducts(gram: Float64Array, rows: Float64Array, dim: number): void {
  const four = 4 * dim;
  let at = 0;
  for (; at + four <= rows.length; at += four)
    for (let i = 0; i < dim; ++i) {
      const [w, x, y, z] = [rows[at + i]!, rows[at + dim + i]!, rows[at + 2 * dim + i]!, rows[at + 3 * dim + i]!];
      for (let j = 0, from = at; j <= i; ++j, ++from)
        gram[i * dim + j]! += w * rows[from]! + x * rows[from + dim]! + y * rows[from + 2 * dim]! + z * rows[from + 3 * dim]!;
    }
  for (; at < rows.length; at += dim)
    for (let i = 0; i < dim; ++i) {
      const x = rows[at + i]!;
      for (let j = 0; j <= i; ++j) gram[i * dim + j]! += x * rows[at + j]!;
    }
}

/** Each row ← vectors·row. */
function* turn(rows: Float64Array, vectors: Float64Array, dim: number): Steps<void> {
  const before = new Float64Array(dim);
  for (let at = 0; at < rows.length; at += dim) {
    before.set(rows.subarray(at, at + dim));
    turnRow(rows, at, before, vectors, dim);
    if ((at / dim) % ROWS_PER_STEP === ROWS_PER_STEP - 1) yield;
  }
}

/** The row at `at` ← vectors·before; four elements at a time, so that one of `before` is read once for them. */
function turnRow(rows: Float64Array, at: number, before: Float64Array, vectors: Float64Array, dim: number): void {
  let i = 0;
  for (; i + 4 <= dim; i += 4) {
    let a = 0;
    let b = 0;
    let c = 0;
    let d = 0;
    for (let k = 0, from = i * dim; k < dim; ++k, ++from) {
      const x = before[k]!;
      a += x * vectors[from]!;
      b += x * vectors[from + dim]!;
      c += x * vectors[from + 2 * dim]!;
      d += x * vectors[from + 3 * dim]!;
    }
    rows[at + i] = a;
    rows[at + i + 1] = b;
    rows[at + i + 2] = c;
    rows[at + i + 3] = d;
  }
  for (; i < dim; ++i) rows[at + i] = dot(before, 0, vectors, i * dim, dim);
}

/** Solves (diag(values) + ridge·I + Σ_known y·yᵀ)·x = Σ_known y by conjugate gradients, with the diagonal as preconditioner. */
class RowSolver {
  readonly #dim: number;
  readonly #other: Float64Array;
  readonly #values: Float64Array;
  readonly #diagonal: Float64Array;
  readonly #residual: Float64Array;
  readonly #direction: Float64Array;
  readonly #product: Float64Array;

  constructor(dim: number, other: Float64Array, values: Float64Array) {
    this.#dim = dim;
    this.#other = other;
    this.#values = values;
    this.#diagonal = new Float64Array(dim);
    this.#residual = new Float64Array(dim);
    this.#direction = new Float64Array(dim);
    this.#product = new Float64Array(dim);
  }

  /** x is the result. A row without interactions is 0. */
  solve(x: Float64Array, known: Uint32Array, ridge: number, steps: number): void {
    const dim = this.#dim;
    const [other, diagonal, residual, direction, product] = [this.#other, this.#diagonal, this.#residual, this.#direction, this.#product];
    x.fill(0);
    residual.fill(0);
    for (const row of known) for (let k = 0; k < dim; ++k) residual[k]! += other[row * dim + k]!;
    let square = 0;
    for (let k = 0; k < dim; ++k) {
      // Without regularisation a direction that no row has would divide by 0.
      diagonal[k] = Math.max(this.#values[k]! + ridge, 1e-12);
      direction[k] = residual[k]! / diagonal[k]!;
      square += residual[k]! * direction[k]!;
    }
    const first = square;
    for (let step = 0; step < steps && square > 1e-24 * first; ++step) {
      for (let k = 0; k < dim; ++k) product[k] = diagonal[k]! * direction[k]!;
      for (const row of known) {
        const along = dot(direction, 0, other, row * dim, dim);
        for (let k = 0; k < dim; ++k) product[k]! += along * other[row * dim + k]!;
      }
      const length = square / dot(direction, 0, product, 0, dim);
      let next = 0;
      for (let k = 0; k < dim; ++k) {
        x[k]! += length * direction[k]!;
        residual[k]! -= length * product[k]!;
        next += residual[k]! ** 2 / diagonal[k]!;
      }
      for (let k = 0; k < dim; ++k) direction[k] = residual[k]! / diagonal[k]! + (next / square) * direction[k]!;
      square = next;
    }
  }
}

/** Largest matrix that `ease` inverts: 200 MB, and a minute. */
export const EASE_MOST = 5000;

/** Whether the data are small enough for `ease`: users or items. */
export function isEasePossible({ users, items }: Dataset): boolean {
  return Math.min(users, items) <= EASE_MOST;
}

/**
 * EASE (Steck, 2019): the item-item weights B with zero diagonal that minimise ‖X − X·B‖² + λ‖B‖² over the users-items matrix X, in closed form
 * B = I − P·diag(P)⁻¹ with P = (XᵀX + λI)⁻¹. For an item i that user u has not, the score is −(X·P)_ui / P_ii.
 *
 * Where there are fewer users than items the same comes from K = (X·Xᵀ + λI)⁻¹, which is smaller: X·P = K·X and
 * P_ii = (1 − x_iᵀ·K·x_i) / λ with the column x_i of X (Woodbury). As scores, those below 0 count for nothing.
 *
 * @param regularization λ, default 100
 * @throws {RangeError} where users and items are more than EASE_MOST
 */
export function ease(dataset: Dataset, regularization: number = 100): Scorer {
  checkNumber('regularization', regularization, 0, Number.MAX_VALUE, true);
  const { users, items, train } = checkDataset(dataset);
  if (!isEasePossible(dataset))
    throw new RangeError(`EASE inverts a matrix of users or of items: ${users} and ${items} are both more than ${EASE_MOST}`);
  let inverse: Float64Array | undefined;
  let diagonal: Float64Array;
  const byUsers = users < items;
  const size = byUsers ? users : items;
  const compute = function* (): Steps<void> {
    const byItem = yield* transposed(train, items);
    const [rows, columns] = byUsers ? [train, byItem] : [byItem, train];
    const matrix = yield* inverseOf(yield* overlaps(rows, columns, regularization), size);
    const own = new Float64Array(items);
    for (let item = 0; item < items; ++item) {
      if (!byUsers) {
        own[item] = matrix[item * items + item]!;
        continue;
      }
      const having = byItem.items.subarray(byItem.offsets[item], byItem.offsets[item + 1]);
      let sum = 0;
      for (const a of having) for (const b of having) sum += matrix[a * users + b]!;
      own[item] = (1 - sum) / regularization;
      if (item % ROWS_PER_STEP === ROWS_PER_STEP - 1) yield;
    }
    diagonal = own;
    inverse = matrix;
  };
  const product = new Float64Array(items);
  return {
    items,
    prepare: async () => {
      if (!inverse) await finishInTurns(compute());
    },
    add: (user, weight, scores) => {
      product.fill(0);
      if (byUsers)
        for (let other = 0; other < users; ++other) {
          const share = inverse![user * users + other]!;
          for (let i = train.offsets[other]!; i < train.offsets[other + 1]!; ++i) product[train.items[i]!]! += share;
        }
      else
        for (let i = train.offsets[user]!; i < train.offsets[user + 1]!; ++i) {
          const row = train.items[i]! * items;
          for (let item = 0; item < items; ++item) product[item]! += inverse![row + item]!;
        }
      for (let item = 0; item < items; ++item) scores.add(item, weight * Math.max(0, -product[item]! / diagonal[item]!));
    },
  };
}

/** The number of columns that two rows have in common, for every pair, plus `ridge` on the diagonal; [rows, rows]. */
function* overlaps(rows: Interactions, columns: Interactions, ridge: number): Steps<Float64Array> {
  const size = rows.offsets.length - 1;
  const matrix = new Float64Array(size * size);
  for (let row = 0; row < size; ++row) {
    for (let i = rows.offsets[row]!; i < rows.offsets[row + 1]!; ++i) {
      const column = rows.items[i]!;
      for (let j = columns.offsets[column]!; j < columns.offsets[column + 1]!; ++j) matrix[row * size + columns.items[j]!]! += 1;
    }
    matrix[row * size + row]! += ridge;
    if (row % ROWS_PER_STEP === ROWS_PER_STEP - 1) yield;
  }
  return matrix;
}

/** The inverse of a symmetric positive definite matrix, in its place: A = L·Lᵀ, L⁻¹, and A⁻¹ = L⁻ᵀ·L⁻¹; size³/2 multiplications. */
export function* inverseOf(matrix: Float64Array, size: number): Steps<Float64Array> {
  // L in the lower triangle, row by row
  for (let i = 0; i < size; ++i) {
    const own = i * size;
    for (let j = 0; j < i; ++j) matrix[own + j] = (matrix[own + j]! - dot(matrix, own, matrix, j * size, j)) / matrix[j * size + j]!;
    matrix[own + i] = Math.sqrt(matrix[own + i]! - dot(matrix, own, matrix, own, i));
    yield;
  }
  // M = L⁻¹, from L·M = I: M_ij = −(Σ_{j ≤ k < i} L_ik·M_kj) / L_ii. Column j of M is written to row j, from the diagonal on.
  const reciprocal = Float64Array.from({ length: size }, (_, i) => 1 / matrix[i * size + i]!);
  for (let j = 0; j < size; ++j) {
    const column = j * size;
    matrix[column + j] = reciprocal[j]!;
    for (let i = j + 1; i < size; ++i) matrix[column + i] = -dot(matrix, i * size + j, matrix, column + j, i - j) * reciprocal[i]!;
    yield;
  }
  // A⁻¹_ij = Σ_{k ≥ i} M_ki·M_kj for j ≤ i, in place of L; the diagonal is M's until all are done.
  const diagonal = new Float64Array(size);
  for (let i = 0; i < size; ++i) {
    const own = i * size;
    for (let j = 0; j < i; ++j) matrix[own + j] = dot(matrix, own + i, matrix, j * size + i, size - i);
    diagonal[i] = dot(matrix, own + i, matrix, own + i, size - i);
    yield;
  }
  for (let i = 0; i < size; ++i) {
    matrix[i * size + i] = diagonal[i]!;
    for (let j = 0; j < i; ++j) matrix[j * size + i] = matrix[i * size + j]!;
  }
  return matrix;
}
