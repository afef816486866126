// Trains the settings of a declared space and says what validation finds of each: what a preset is chosen by. The test split is never looked at.
//
//   node --import tsx scripts/sweep.ts --data FOLDER --space FILE.json [--seeds 1] [--threads N] [--backend auto|cpu|cuda] [--out runs/sweep]
//                       [--shard i/n] [--from OUT]… [--models] [--dry-run]
//   node --import tsx scripts/sweep.ts --data FOLDER [--base JSON] '{"negatives":256}' …      settings one by one
//
// scripts/README.md has the form of the file. A training stops early by validation recall@20, as `train` does. Expected: a table on standard output, best
// first, the same in --out as sweep.md, sweep.csv and sweep.json, and a folder per finished run as `npm run reproduce` has them, without models. The same command
// goes on where it was interrupted. The split is that of seed 1.
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { UsageError } from '../lib/cli/exit.ts';
import { dataKeyOf } from '../lib/report/data-key.ts';
import { listedRuns, type RunRecord, runName, writeText } from '../lib/report/run-folder.ts';
import { type SweepDocument, sweepCsv, sweepRows, sweepTable, sweepText } from '../lib/report/sweep.ts';
import { VERSION } from '../lib/version.ts';
import { fromFolders, OF_SWEEPS, optionsOf, parseShard, positive } from './reproduce/command.ts';
import { sizesOf, sourcesIn } from './reproduce/data.ts';
import { dryRun } from './reproduce/dry-run.ts';
import { type PlannedRun, plannedRun } from './reproduce/methods.ts';
import { hostOf } from './reproduce/protocol.ts';
import { goOnLater, main } from './reproduce/process.ts';
import { distinctRuns, OpenDatasets, sayWhere, shardOf, workOff } from './reproduce/work.ts';
import { checkSettings, distinct, readSpace, settingsOf } from './sweep/space.ts';

const SPLIT_SEED = 1;

goOnLater();
await main('sweep', async () => {
  const command = parseSweep(process.argv.slice(2));
  const datasets = new OpenDatasets();
  const planned = await plan(command, datasets);
  // Data set by data set, so that each is opened once.
  const all = distinctRuns(command.sources.flatMap((_, i) => planned.flatMap((bySet) => bySet[i]!)));
  const { out, shard, from, threads, keepModels } = command;
  const ours = shard ? shardOf(all, shard) : all;
  if (command.dryRun) {
    await dryRun(ours, { out, datasets, keepModel: keepModels });
    return 0;
  }
  const records = new Map<string, SweptRun>();
  const work = {
    ...{ out, from, datasets, threads, keepModel: keepModels },
    describe: ({ metrics, bestEpoch, epochs }: RunRecord) =>
      `Recall@20 ${metrics['recall@20']!.toFixed(4)}  NDCG@20 ${metrics['ndcg@20']!.toFixed(4)}  epoch ${bestEpoch} of ${epochs}`,
  };
  await workOff(ours, work, ({ key }, { perUser: _perUser, ...record }) => void records.set(runName(key), record));
  if (shard) sayWhere(ours.length, all.length, out);
  else await conclude(command, planned, records);
  return 0;
});

function parseSweep(argv: readonly string[]) {
  const { values, positionals } = parseArgs({
    args: [...argv],
    options: {
      data: { type: 'string', multiple: true },
      space: { type: 'string' },
      base: { type: 'string', default: '{}' },
      seeds: { type: 'string', default: '1' },
      threads: { type: 'string' },
      backend: { type: 'string', default: 'auto' },
      out: { type: 'string', default: 'runs/sweep' },
      from: { type: 'string', multiple: true },
      shard: { type: 'string' },
      models: { type: 'boolean', default: false },
      'dry-run': { type: 'boolean', default: false },
    },
    allowPositionals: true,
  });
  if (values.data === undefined) throw new UsageError('--data: a folder is needed');
  const space = values.space === undefined ? null : readSpace(values.space);
  if (space && positionals.length > 0) throw new UsageError('--space: goes without settings one by one');
  const base = optionsOf('--base', values.base, OF_SWEEPS);
  const given = positionals.length > 0 ? positionals : ['{}'];
  const settings = distinct(
    (space ? settingsOf(space) : given.map((text, i) => optionsOf(`setting ${i + 1}`, text, OF_SWEEPS))).map((setting) => ({
      ...base,
      ...setting,
    })),
  );
  checkSettings(settings);
  return {
    ...{ space: space ?? { base, settings }, settings, sources: values.data.flatMap(sourcesIn), keepModels: values.models },
    ...{ backend: values.backend as 'auto' | 'cpu' | 'cuda', out: resolve(values.out), from: fromFolders(values.from ?? []) },
    seeds: Array.from({ length: positive('seeds', values.seeds) }, (_, i) => i + 1),
    threads: values.threads === undefined ? undefined : positive('threads', values.threads),
    shard: values.shard === undefined ? null : parseShard(values.shard),
    dryRun: values['dry-run'],
  };
}

type Sweep = ReturnType<typeof parseSweep>;
type SweptRun = Omit<RunRecord, 'perUser'>;

/** The runs of every setting on every data set: [setting][data set][seed]. */
async function plan({ settings, sources, seeds, backend, threads }: Sweep, datasets: OpenDatasets): Promise<PlannedRun[][][]> {
  const planned: PlannedRun[][][] = settings.map(() => []);
  for (const [i, source] of sources.entries()) {
    const dataset = await datasets.open(source, SPLIT_SEED);
    process.stderr.write(`${source.name}: ${sizesOf(dataset)}\n`);
    if (dataset.validation.items.length === 0) throw new UsageError(`--data: ${source.name} has no validation split to choose by`);
    const data = dataKeyOf(dataset);
    for (const [s, setting] of settings.entries())
      planned[s]![i] = seeds.map((seed) => {
        const options = { ...setting, backend, ...(threads === undefined ? {} : { threads }) };
        const method = { name: 'sweep', label: JSON.stringify(setting), kind: 'model' as const, options };
        return plannedRun(method, { source, data, seed, splitSeed: SPLIT_SEED, judged: 'validation' });
      });
  }
  return planned;
}

async function conclude(command: Sweep, planned: readonly PlannedRun[][][], records: ReadonlyMap<string, SweptRun>): Promise<void> {
  const { space, settings, seeds, threads, sources, out } = command;
  const names = sources.map(({ name }) => name);
  const results = planned.map((bySet) =>
    bySet.map((runs) => runs.map(({ key }) => ({ ...records.get(runName(key))!, folder: runName(key) }))),
  );
  const rows = sweepRows(settings, names, results);
  console.log(sweepTable(rows, names));
  const document: SweepDocument = {
    ...{ schema: 'hyper-know/sweep/1', version: VERSION, space },
    selection: 'validation recall@20; the test split was not looked at',
    ...{ seeds, splitSeed: SPLIT_SEED, data: names, host: hostOf(threads), rows },
    runs: listedRuns(records),
  };
  await writeText(join(out, 'sweep.md'), sweepText(document));
  await writeText(join(out, 'sweep.csv'), sweepCsv(rows));
  await writeText(join(out, 'sweep.json'), `${JSON.stringify(document, undefined, 2)}\n`);
  process.stderr.write(`wrote ${join(out, 'sweep.md')}, sweep.csv and sweep.json\n`);
}
