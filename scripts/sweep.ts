// Trains settings and writes what validation says of each: what a preset is chosen by. The test split is never looked at.
//
//   node --import tsx scripts/sweep.ts --data FOLDER [--seeds 1] [--threads N] [--base JSON] [--out runs/sweep.jsonl] '{"negatives":256}' …
//
// Each setting is a JSON object of options of `train`, beside those of --base. Expected: a line on standard output per setting and seed with its
// validation recall@20 and NDCG@20, best epoch, epochs and seconds per epoch, and the same as a line of JSON at the end of --out, where also stands
// what every epoch that was validated gave; a setting that is there already is not trained again. The split is that of seed 1.
import { appendFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { parseArgs } from 'node:util';
import { quantile } from '../lib/statistics.ts';
import { type TrainOptions, train } from '../lib/train.ts';
import { keyOf, sourcesIn } from './reproduce/data.ts';
import { VERSION } from './reproduce/methods.ts';

interface Line {
  data: string;
  split: unknown;
  version: string;
  options: TrainOptions;
  seed: number;
  /** Of the best epoch, by recall. */
  validation: { epoch: number; recall: number; ndcg: number };
  /** [epoch, recall@20], where it was validated */
  course: [number, number][];
  epochs: number;
  epochSeconds: number;
  /** Of the whole run, validation included. */
  seconds: number;
}

const { values, positionals } = parseArgs({
  options: {
    data: { type: 'string' },
    seeds: { type: 'string', default: '1' },
    threads: { type: 'string' },
    base: { type: 'string', default: '{}' },
    out: { type: 'string', default: 'runs/sweep.jsonl' },
  },
  allowPositionals: true,
});
if (values.data === undefined) throw new TypeError('--data: a folder is needed');
const base = JSON.parse(values.base) as TrainOptions;
const settings = (positionals.length > 0 ? positionals : ['{}']).map((text) => ({ ...base, ...(JSON.parse(text) as TrainOptions) }));
const threads = values.threads === undefined ? {} : { threads: Number(values.threads) };
const out = values.out;
mkdirSync(dirname(out), { recursive: true });
const known = existsSync(out) ? readFileSync(out, 'utf8').split('\n').filter(Boolean) : [];
const before = known.map((line) => JSON.parse(line) as Line);

const identity = ({ data, split, version, options, seed }: Omit<Line, 'validation' | 'course' | 'epochs' | 'epochSeconds' | 'seconds'>) =>
  JSON.stringify([data, split, version, Object.entries(options).sort(), seed]);

for (const source of sourcesIn(values.data)) {
  const dataset = await source.open(1);
  const { split } = keyOf(dataset);
  for (const options of settings)
    for (let seed = 1; seed <= Number(values.seeds); ++seed) {
      const key = { data: source.name, split, version: VERSION, options, seed };
      let line = before.find((one) => identity(one) === identity(key));
      if (line === undefined) {
        const started = performance.now();
        const course: Line['course'] = [];
        const seconds: number[] = [];
        let best = { epoch: 0, recall: -1, ndcg: -1 };
        const run = train(dataset, { ...options, ...threads, seed });
        for await (const { epoch, seconds: own, metrics } of run) {
          seconds.push(own);
          if (!metrics) continue;
          const [recall, ndcg] = [metrics.recall[20]!, metrics.ndcg[20]!];
          course.push([epoch, Number(recall.toFixed(5))]);
          if (recall > best.recall) best = { epoch, recall, ndcg };
        }
        line = {
          ...key,
          ...{ validation: best, course, epochs: seconds.length, epochSeconds: quantile(seconds, 0.5) },
          seconds: (performance.now() - started) / 1000,
        };
        appendFileSync(out, `${JSON.stringify(line)}\n`);
      }
      const { validation: v, epochs, epochSeconds } = line;
      console.log(
        `${source.name}  R@20 ${v.recall.toFixed(4)}  N@20 ${v.ndcg.toFixed(4)}  epoch ${v.epoch} of ${epochs}, ` +
          `${epochSeconds.toPrecision(2)} s each, seed ${seed}  ${JSON.stringify(options)}`,
      );
    }
}
