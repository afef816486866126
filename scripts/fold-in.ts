// What users and items are worth that were not there at training: folded in against trained with everyone.
//
//   node --import tsx scripts/fold-in.ts --data FOLDER [--seeds 1] [--fraction 0.1] [--models FOLDER] [--threads N] [--options JSON] [--json]
//
// A seed decides who is held out. Trains one model with everyone and two a seed, one without some of the users and one without some of the items,
// each as long as any other training; with --models they are kept there, and taken from there the next time. Expected: two tables on standard
// output, or with --json one document.
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Dataset } from '../lib/data/dataset.ts';
import { Model } from '../lib/model.ts';
import { type TrainOptions, train } from '../lib/train.ts';
import { drawRows, withoutItems, withoutUsers } from './fold-in/hold-out.ts';
import { judgeItems, judgeUsers, type ItemRow, type UserRow } from './fold-in/judge.ts';
import { sourcesIn } from './reproduce/data.ts';

const { values } = parseArgs({
  options: {
    data: { type: 'string' },
    seeds: { type: 'string', default: '1' },
    fraction: { type: 'string', default: '0.1' },
    models: { type: 'string' },
    threads: { type: 'string' },
    options: { type: 'string', default: '{}' },
    json: { type: 'boolean', default: false },
  },
});
if (values.data === undefined) throw new TypeError('--data: a folder is needed');
const seeds = Number(values.seeds);
if (!Number.isInteger(seeds) || seeds < 1) throw new RangeError(`--seeds: must be a positive integer, got ${values.seeds}`);
const fraction = Number(values.fraction);
if (!(fraction > 0 && fraction < 1)) throw new RangeError(`--fraction: must lie between 0 and 1, got ${values.fraction}`);
const options: TrainOptions = {
  ...(JSON.parse(values.options) as TrainOptions),
  ...(values.threads === undefined ? {} : { threads: Number(values.threads) }),
};

/** Trained, or what an earlier call left. */
async function modelOf(name: string, dataset: Dataset): Promise<Model> {
  const path = values.models === undefined ? undefined : join(values.models, `${name}.safetensors`);
  if (path !== undefined && existsSync(path)) return Model.load(path);
  const began = performance.now();
  const model = await train(dataset, options);
  console.error(`${name}: trained in ${((performance.now() - began) / 1000).toFixed(0)} s`);
  if (path !== undefined) {
    mkdirSync(values.models!, { recursive: true });
    await model.save(path);
  }
  return model;
}

const degree = ({ offsets }: { offsets: Uint32Array }, row: number): number => offsets[row + 1]! - offsets[row]!;

const users: (UserRow & { data: string; seed: number })[] = [];
const items: (ItemRow & { data: string; seed: number })[] = [];
for (const source of sourcesIn(values.data)) {
  const dataset = await source.open(1);
  const full = await modelOf(`${source.name}-full`, dataset);
  for (let seed = 1; seed <= seeds; ++seed) {
    const at = { data: source.name, seed };
    const newUsers = drawRows(dataset.users, fraction, seed, (user) => degree(dataset.train, user) > 0);
    const withoutThem = await modelOf(`${source.name}-users${seed}-${fraction}`, withoutUsers(dataset, newUsers));
    for (const row of await judgeUsers(dataset, full, withoutThem, newUsers)) users.push({ ...at, ...row });
    const newItems = drawRows(dataset.items, fraction, seed, (item) => degree(dataset.graph, item) > 0);
    const withoutIt = await modelOf(`${source.name}-items${seed}-${fraction}`, await withoutItems(dataset, newItems));
    for (const row of await judgeItems(dataset, full, withoutIt, newItems)) items.push({ ...at, ...row });
  }
}

if (values.json) console.log(JSON.stringify({ schema: 'hyper-know/fold-in-evaluation/1', fraction, users, items }));
else {
  console.log('| new users of | seed | split | users | trained, NDCG@20 | folded in | kept | midpoint | popularity | ms a user |');
  console.log(`|${' --- |'.repeat(10)}`);
  for (const { data, seed, split, users: count, trained, folded, midpoint, popularity, milliseconds } of users)
    console.log(
      `| ${data} | ${seed} | ${split} | ${count} | ${[trained, folded].map((x) => x.toFixed(4)).join(' | ')} | ${((100 * folded) / trained).toFixed(1)} % ` +
        `| ${midpoint.toFixed(4)} | ${popularity.toFixed(4)} | ${milliseconds.toFixed(1)} |`,
    );
  console.log('\n| new items of | seed | items | users | ranked by | Recall@20 | NDCG@20 |');
  console.log(`|${' --- |'.repeat(7)}`);
  for (const { data, seed, items: count, users: judged, by, recall, ndcg } of items)
    console.log(`| ${data} | ${seed} | ${count} | ${judged} | ${by} | ${recall.toFixed(4)} | ${ndcg.toFixed(4)} |`);
}
