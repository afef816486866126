// Every extension of a preset turned the other way, one at a time, on all the data sets that are given.
import { join } from 'node:path';
import { PRESETS } from '../../lib/presets.ts';
import { type AblationDocument, ablationRows, ablationText, dataSetText, overviewTable } from '../../lib/report/ablation.ts';
import { dataKeyOf } from '../../lib/report/data-key.ts';
import { number } from '../../lib/report/numbers.ts';
import { listedRuns, type RunRecord, runName, writeText } from '../../lib/report/run-folder.ts';
import type { TrainOptions } from '../../lib/train.ts';
import { VERSION } from '../../lib/version.ts';
import type { Command } from './command.ts';
import { controlsFor } from './controls.ts';
import { workOf } from './compare.ts';
import { checkTested, type Source, sizesOf } from './data.ts';
import { dryRun } from './dry-run.ts';
import { type Method, type PlannedRun, plannedRun } from './methods.ts';
import { protocolOf } from './protocol.ts';
import { distinctRuns, OpenDatasets, sayWhere, shardOf, workOff } from './work.ts';

/** The validation split is the same for all seeds, so that a control is fitted once. */
const SPLIT_SEED = 1;

export interface Change {
  name: string;
  label: string;
  /** Beside the options of the others. */
  options: TrainOptions;
  /** Whether it needs a knowledge graph. */
  knowledge: boolean;
}

/** The base and what is changed about it, one at a time: what the preset and `options` have on is turned off, what they have off is turned on. */
export function changesOf(options: TrainOptions): Change[] {
  const preset = PRESETS[options.preset ?? 'tuned'];
  const { dim, loss, averaging, sharedEntities, sharedUsers, neighborBlend, adam, schedule, curvature, attentionTemperature } = {
    ...preset,
    ...options,
  };
  const { beta = 'adaptive' } = options;
  const fixed = preset.fixedKnowledgeWeight;
  const turned = (
    name: 'averaging' | 'sharedEntities' | 'sharedUsers' | 'neighborBlend',
    isOn: boolean,
    what: string,
    knowledge: boolean,
  ): Change => ({
    ...{ name, knowledge, label: isOn ? `without ${what}` : `with ${what}` },
    options: { [name]: !isOn },
  });
  return [
    { name: 'base', label: 'Hyper-Know', options: {}, knowledge: false },
    loss === 'bpr'
      ? { name: 'loss', label: 'sampled softmax, not BPR', options: { loss: 'sampled-softmax' }, knowledge: false }
      : { name: 'loss', label: 'BPR, not sampled softmax', options: { loss: 'bpr' }, knowledge: false },
    dim === 64
      ? { name: 'dim', label: '128 dimensions, not 64', options: { dim: 128 }, knowledge: false }
      : { name: 'dim', label: `64 dimensions, not ${dim}`, options: { dim: 64 }, knowledge: false },
    turned('averaging', Boolean(averaging), 'averaging', false),
    turned('sharedEntities', Boolean(sharedEntities), 'shared entities', true),
    turned('sharedUsers', Boolean(sharedUsers), 'shared users', false),
    turned('neighborBlend', Boolean(neighborBlend), 'neighbours blended into lists', false),
    adam === 'touched'
      ? { name: 'adam', label: 'exact Adam, not on touched rows', options: { adam: 'exact' }, knowledge: false }
      : { name: 'adam', label: `Adam on touched rows, not ${adam}`, options: { adam: 'touched' }, knowledge: false },
    schedule === 'decay'
      ? { name: 'schedule', label: 'a constant learning rate', options: { schedule: 'constant' }, knowledge: false }
      : { name: 'schedule', label: 'a learning rate that decays', options: { schedule: 'decay' }, knowledge: false },
    curvature === 'learned'
      ? {
          name: 'curvature',
          label: 'the curvature of the tuned preset, not learned',
          options: { curvature: PRESETS.tuned.curvature },
          knowledge: false,
        }
      : { name: 'curvature', label: 'a learned curvature', options: { curvature: 'learned' }, knowledge: false },
    typeof beta === 'number'
      ? { name: 'beta', label: `an adaptive weight σ(β), not ${beta} for all`, options: { beta: 'adaptive' }, knowledge: true }
      : { name: 'beta', label: `σ(β) = ${fixed} for all, not adaptive`, options: { beta: fixed }, knowledge: true },
    attentionTemperature === 1
      ? { name: 'attentionTemperature', label: 'attention of temperature 3', options: { attentionTemperature: 3 }, knowledge: true }
      : { name: 'attentionTemperature', label: 'attention of temperature 1', options: { attentionTemperature: 1 }, knowledge: true },
    { name: 'attention', label: 'no attention', options: { variant: 'bpr-avg-h', beta }, knowledge: true },
    { name: 'geometry', label: 'Euclidean', options: { variant: 'bpr-att-e', beta }, knowledge: false },
    { name: 'knowledge', label: 'no knowledge graph', options: { variant: 'bpr-h' }, knowledge: true },
  ];
}

export async function ablate(command: Command): Promise<void> {
  const { sources, seeds, options, controls: wanted, out, shard } = command;
  const changes = changesOf(options);
  const datasets = new OpenDatasets();
  const sets: AblationDocument['dataSets'] = [];
  const runs = new Map<string, RunRecord>();
  const planned: { source: Source; methods: Method[]; runs: PlannedRun[]; remarks: string[] }[] = [];
  for (const source of sources) {
    const dataset = await datasets.open(source, SPLIT_SEED);
    checkTested(dataset, source.name);
    const { controls, remarks } = wanted ? controlsFor(dataset) : { controls: [], remarks: [] };
    const hasGraph = dataset.graph.tails.length > 0;
    if (!hasGraph) remarks.push('What changes something about the knowledge graph is left out: there is none.');
    const methods: Method[] = [
      ...changes
        .filter(({ knowledge }) => hasGraph || !knowledge)
        .map(({ name, label, options: own }) => ({ name, label, kind: 'model' as const, options: { ...options, ...own } })),
      ...controls.map((control) => ({ name: control.name, label: control.label, kind: 'control' as const, control })),
    ];
    const data = dataKeyOf(dataset);
    const own = methods.flatMap((method) =>
      (method.kind === 'control' ? [SPLIT_SEED] : seeds).map((seed) => plannedRun(method, { source, data, seed, splitSeed: SPLIT_SEED })),
    );
    planned.push({ source, methods, runs: own, remarks });
  }
  const all = distinctRuns(planned.flatMap((one) => one.runs));
  const ours = new Set((shard ? shardOf(all, shard) : all).map(({ key }) => runName(key)));
  if (command.dryRun)
    return dryRun(
      all.filter(({ key }) => ours.has(runName(key))),
      { out, datasets, keepModel: command.keepModels },
    );

  const work = {
    ...workOf(command, datasets),
    describe: ({ validationRecall, metrics }: RunRecord) =>
      `validation Recall@20 ${number(validationRecall ?? Number.NaN)}  test ${number(metrics['recall@20']!)}`,
  };
  for (const { source, methods, runs: own, remarks } of planned) {
    const dataset = await datasets.open(source, SPLIT_SEED);
    process.stderr.write(`${source.name}: ${sizesOf(dataset)}\n`);
    const wantedHere = distinctRuns(own).filter(({ key }) => ours.has(runName(key)));
    await workOff(wantedHere, work, ({ key }, record) => void runs.set(runName(key), record));
    if (shard) continue;
    const names = new Map(
      methods.map((method) => [method.name, own.filter((run) => run.method === method).map(({ key }) => runName(key))]),
    );
    const results = new Map([...names].map(([name, folders]) => [name, folders.map((folder) => runs.get(folder)!)]));
    const rows = ablationRows(methods, results).map((row) => ({ ...row, folders: names.get(row.method)! }));
    const set = {
      ...{ name: source.name, sizes: sizesOf(dataset), data: { ...dataKeyOf(dataset), report: dataset.report } },
      ...{ rows, remarks },
    };
    sets.push(set);
    console.log(`${dataSetText(set)}\n`);
  }
  if (shard) return sayWhere(ours.size, all.length, out);
  console.log(overviewTable(sets));

  const { threads, ...decisive } = options;
  const document: AblationDocument = {
    schema: 'hyper-know/ablation/1',
    version: VERSION,
    protocol: { options: decisive, seeds, splitSeed: SPLIT_SEED, changes, ...protocolOf(threads) },
    dataSets: sets,
    runs: listedRuns(runs),
  };
  await writeText(join(out, 'ablation.json'), `${JSON.stringify(document, undefined, 2)}\n`);
  await writeText(join(out, 'ablation.md'), ablationText(document));
  process.stderr.write(`wrote ${join(out, 'ablation.md')} and ablation.json\n`);
}
