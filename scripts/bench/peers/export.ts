// Writes what the PyTorch peer beside this file needs: one data set, hyper-parameters, where training starts, and what our trainer draws.
//
//   node --import tsx scripts/bench/peers/export.ts [--data FOLDER | --shape last-fm|amazon-book|yelp2018 | --small] [--steps 10] --out FOLDER
//
// Expected: meta.json and one raw little-endian file for each of its tensors, and a line that says so. --small makes up a small data set whose
// epoch has ten steps, trains that epoch (CPU) once for each of the cases below and adds the parameters it ends with: what
// `hyper_know.py --mode oracle` compares with. Otherwise the one case is the preset 'tuned', and nothing is trained. The attention is the
// paper's, of temperature 1. Without --data, --shape and --small: the shape of last-fm. Time on 2 cores: 1 s for --small, 3 s for the shape of
// last-fm.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type NativeTrainer, native } from '../../../lib/native.ts';
import type { TrainOptions } from '../../../lib/options.ts';
import { AS_THE_PEERS, configuration, type Data, openDataset, smallData } from '../data.ts';

/** Steps of the one epoch that is trained for the oracle. */
const ORACLE_STEPS = 10;

/** Every kind of Adam, both presets; 'far' starts where distances are large against 1 and takes long steps. */
const ORACLE_CASES: readonly [name: string, options: TrainOptions][] = [
  ['touched', { adam: 'touched' }],
  ['dense', { adam: 'dense' }],
  ['paper', { preset: 'paper' }],
  ['far', { preset: 'paper', adam: 'touched', initScale: 0.3, learningRate: 0.02 }],
];

const TABLES = ['users', 'entities', 'relations', 'beta'] as const;

/** Files of one folder, listed in its meta.json. */
class Export {
  readonly #folder: string;
  readonly #tensors: Record<string, { type: string; shape: number[] }> = {};

  constructor(folder: string) {
    this.#folder = folder;
    mkdirSync(folder, { recursive: true });
  }

  /** Writes NAME.bin; `columns`: of a matrix. */
  add(name: string, values: Uint32Array | Float32Array, columns?: number): void {
    const { buffer, byteOffset, byteLength, length } = values;
    const shape = columns === undefined ? [length] : [length / columns, columns];
    this.#tensors[name] = { type: values instanceof Uint32Array ? 'uint32' : 'float32', shape };
    writeFileSync(join(this.#folder, `${name}.bin`), new Uint8Array(buffer, byteOffset, byteLength));
  }

  /** The parameters of a trainer as `PREFIX.users` and so on, in the coordinates that are trained. */
  async addParameters(prefix: string, trainer: NativeTrainer, dim: number): Promise<void> {
    const { tensors } = await trainer.state().promise;
    for (const table of TABLES)
      this.add(`${prefix}.${table}`, tensors[`${table}.parameters`] as Float32Array, table === 'beta' ? undefined : dim);
  }

  finish(meta: object): void {
    writeFileSync(join(this.#folder, 'meta.json'), `${JSON.stringify({ ...meta, tensors: this.#tensors }, null, 2)}\n`);
  }
}

const { values } = parseArgs({
  options: {
    data: { type: 'string' },
    shape: { type: 'string' },
    small: { type: 'boolean', default: false },
    steps: { type: 'string', default: '10' },
    out: { type: 'string' },
  },
});
if ([values.data !== undefined, values.shape !== undefined, values.small].filter(Boolean).length > 1)
  throw new RangeError('--data, --shape and --small exclude each other');
if (values.out === undefined) throw new RangeError('--out: the folder to write to is missing');

const data: Data = values.small ? smallData() : await openDataset(values);
const { label, users, items, entities, relations, train, graph } = data;
const interactions = train.items.length;
const out = new Export(values.out);
out.add('train.offsets', train.offsets);
out.add('train.items', train.items);
out.add('graph.offsets', graph.offsets);
out.add('graph.relations', graph.relations);
out.add('graph.tails', graph.tails);

const oracleBatch = Math.ceil(interactions / ORACLE_STEPS);
const cases: object[] = [];
for (const [name, options] of values.small ? ORACLE_CASES : ([['tuned', {}]] as const)) {
  const config = configuration(data, { ...AS_THE_PEERS, ...options, ...(values.small ? { batchSize: oracleBatch } : {}) });
  const { dim, adam, curvature, learningRate, betaLearningRate, innerLearningRate, regularization, knowledgeWeight, batchSize } = config;
  const steps = values.small ? ORACLE_STEPS : Number(values.steps);
  const trainer = new native.Trainer(config);
  await out.addParameters(`${name}.initial`, trainer, dim);
  const samples = trainer.samples(0);
  for (const side of ['users', 'positives', 'negatives'] as const)
    out.add(`${name}.samples.${side}`, samples[side].subarray(0, steps * batchSize));
  let trained: object | undefined;
  if (values.small) {
    const result = await trainer.epoch(0, 1).promise;
    if (result.steps !== steps) throw new Error(`an epoch has ${result.steps} steps, not ${steps}`);
    await out.addParameters(`${name}.trained`, trainer, dim);
    trained = { steps, rankingLoss: result.rankingLoss, knowledgeLoss: result.knowledgeLoss };
  }
  trainer.dispose();
  cases.push({
    ...{ name, dim, adam, scale: 1 / Math.sqrt(curvature), learningRate, betaLearningRate, innerLearningRate, regularization },
    ...{ knowledgeWeight, batchSize, ...(trained === undefined ? {} : { trained }) },
  });
}
out.finish({ label, users, items, entities, relations, interactions, triples: graph.tails.length, cases });
console.log(`${values.out}: ${label}, ${interactions} interactions, ${graph.tails.length} triples, ${cases.length} cases`);
