// `npm run reproduce`: what its commands mean, what its ablation changes, and that a run is made once.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { resolveOptions } from '../lib/options.ts';
import { PRESETS } from '../lib/presets.ts';
import { ablationRows, ablationTable, overviewTable } from '../lib/report/ablation.ts';
import { changesOf } from '../scripts/reproduce/ablate.ts';
import { parseCommand } from '../scripts/reproduce/command.ts';
import { fixture, folderWith, temporaryFolder } from './helpers.ts';
import { script } from './reproducing.ts';

const reproduce = suite('reproduce');

reproduce('a command: folders, folders of folders, seeds, options', () => {
  const fixtures = fixture('');
  assert.equal(
    parseCommand(['--ablate', '--data', fixture('kgat'), '--data', fixtures]).sources.map(({ name }) => name),
    ['kgat', 'kgat', 'recbole'],
  );
  const { seeds, options, ablate, controls } = parseCommand(['--seeds', '2', '--options', '{"dim":8}', '--epochs', '3', '--no-controls']);
  assert.equal([seeds, ablate, controls], [[1, 2], false, false]);
  assert.equal([options.dim, options.epochs, options.backend], [8, 3, 'auto']);
  assert.throws(() => parseCommand(['--data', fixtures]), /^--data: one data set, or --ablate, got kgat, recbole$/);
  assert.throws(() => parseCommand(['--seeds', '0']), /^--seeds: must be a positive integer/);
  assert.throws(() => parseCommand(['--variants', 'best']), /^--variants: "best" is not one of bpr-e, /);
  assert.throws(() => parseCommand(['--options', '{']), /^--options: is not JSON \(/);
  assert.throws(() => parseCommand(['--options', '[]']), /^--options: must be an object, got an array$/);
  for (const [name, flag] of [
    ['preset', '--preset'],
    ['variant', '--variants'],
    ['seed', '--seeds'],
    ['backend', '--backend'],
    ['threads', '--threads'],
  ])
    assert.throws(() => parseCommand(['--options', `{"${name}":1}`]), new RegExp(`^--options: ${name} has an option of its own, ${flag}$`));
  assert.throws(() => parseCommand(['--options', '{"checkpoint":{"path":"x"}}']), /^--options: checkpoint is set by the command$/);
});

reproduce('every change of the ablation changes one thing, whatever is on', () => {
  const all = {
    loss: 'sampled-softmax',
    averaging: true,
    sharedEntities: true,
    sharedUsers: true,
    neighborBlend: true,
    adam: 'exact',
    schedule: 'constant',
    curvature: 'learned',
    beta: 0.2,
  } as const;
  for (const options of [{}, { preset: 'paper' }, all] as const) {
    const resolve = (changes: object) => resolveOptions({ ...options, ...changes }, 100_000, true);
    const flat = (changes: object): Record<string, unknown> => {
      const { hyperparameters, variant, adaptive } = resolve(changes);
      return { ...hyperparameters, ...variant, adaptive };
    };
    const base = flat({});
    const changes = changesOf(options);
    assert.is(changes[0]!.name, 'base');
    for (const { name, label, options: own } of changes.slice(1)) {
      const changed = flat(own);
      const different = Object.keys(base).filter((key) => JSON.stringify(base[key]) !== JSON.stringify(changed[key]));
      const allowed: Record<string, string[]> = {
        // Of a variant its names differ; a weight that is learned has another start; the Euclidean one has a learning rate of its own.
        beta: ['adaptive', 'knowledgeWeight'],
        attention: ['attention', 'name', 'label'],
        geometry: ['geometry', 'name', 'label', 'learningRate'],
        knowledge: ['knowledge', 'adaptive', 'name', 'label', 'attention', 'knowledgeWeight', 'sharedEntities', 'sharedUsers'],
      };
      const expected = allowed[name] ?? [name];
      assert.ok(different.includes(expected[0]!), `${label} changes ${expected[0]}, not ${different}`);
      assert.equal(
        different.filter((key) => !expected.includes(key)),
        [],
        label,
      );
    }
    assert.is(new Set(changes.map(({ name }) => name)).size, changes.length);
  }
  const labels = changesOf({}).map(({ label }) => label);
  assert.ok(labels.includes(PRESETS.tuned.averaging ? 'without averaging' : 'with averaging'), labels.join());
});

/** A run whose users have these values of recall@20. */
const runOf = (seed: number | null, recalls: number[], validationRecall: number) => {
  const recall = recalls.reduce((sum, value) => sum + value, 0) / recalls.length;
  return {
    metrics: { 'recall@20': recall, 'ndcg@20': recall / 2 },
    perUser: { 'recall@20': recalls, 'ndcg@20': recalls.map((value) => value / 2) },
    validationRecall,
    ...(seed === null ? {} : { epochSeconds: seed, bestEpoch: 10 * seed }),
  };
};

reproduce('rows and tables of the ablation', () => {
  const methods = ['base', 'averaging', 'control:x'].map((name) => ({ name, label: `the ${name}` }));
  const rows = ablationRows(
    methods,
    new Map([
      ['base', [runOf(1, [0.1, 0.3, 0.2], 0.25), runOf(2, [0.3, 0.3, 0.6], 0.35)]],
      ['averaging', [runOf(1, [0.4, 0.3, 0.5], 0.5), runOf(2, [0.2, 0.5, 0.9], 0.3)]],
      ['control:x', [runOf(null, [0.1, 0.2, 0.3], 0.2)]],
    ]),
  );
  const [base, averaging, control] = rows;
  assert.is(base!.againstBase, undefined);
  // Users' means: .2, .3, .4 and .3, .4, .7: differences .1, .1, .3; t = mean/(sd/√3) = .1667/.0667 = 2.5 of 2 degrees of freedom
  assert.ok(Math.abs(averaging!.againstBase!.difference - 1 / 6) <= 1e-12);
  assert.ok(Math.abs(averaging!.againstBase!.p - 0.12961) <= 1e-4, `${averaging!.againstBase!.p}`);
  assert.ok(Math.abs(base!.recall.sd - 0.2 / Math.SQRT2) <= 1e-12);
  assert.equal([averaging!.epochSeconds, averaging!.bestEpoch, control!.epochSeconds], [1.5, 15, undefined]);
  const table = ablationTable(rows).split('\n');
  assert.match(table[2]!, /^\| the base +\| +0\.3000 ± 0\.0707 \| +0\.3000 ± 0\.1414 \|/);
  assert.match(table[3]!, /\+0\.1667 \| +0\.1296 \| +1\.5 \| +15 \|$/);
  assert.match(table[4]!, /^\| the control:x \| +0\.2000 \| +0\.2000 \| +0\.1000 \| +−0\.1000 \|/);
  const overview = overviewTable([
    { name: 'one', rows },
    { name: 'two', rows: rows.slice(0, 1).concat(rows.slice(2)) },
  ]).split('\n');
  assert.match(overview[2]!, /^\| the averaging +\| \+0\.1000 \| +\|$/);
  assert.match(overview[3]!, /^\| the control:x +\| −0\.1000 \| −0\.1000 \|$/);
});

reproduce('data without a test split are refused before anything is trained', async () => {
  const data = folderWith({ 'train.txt': '0 0 1 2\n1 1 2 3\n2 0 3 4\n', 'kg_final.txt': '0 0 5\n1 0 5\n' });
  const out = temporaryFolder();
  for (const args of [[], ['--ablate'], ['--dry-run']]) {
    const { status, stderr } = await script('reproduce', ['--data', data, ...args, '--out', out]);
    assert.is(status, 2);
    assert.match(stderr, /reproduce: --data: hyper-know-\w+ has no user with a test item, a comparison needs two\n$/);
  }
  assert.not.ok(existsSync(join(out, 'runs')));
});

reproduce('an ablation of two data sets writes tables, and the second time makes no run again', () => {
  const out = temporaryFolder();
  const path = fileURLToPath(new URL('../scripts/reproduce.ts', import.meta.url));
  const run = () => {
    const options = '{"dim":4,"earlyStopping":false}';
    const args = [
      '--ablate',
      '--data',
      fixture(''),
      '--seeds',
      '2',
      '--epochs',
      '2',
      '--options',
      options,
      '--backend',
      'cpu',
      '--out',
      out,
    ];
    const child = spawnSync(process.execPath, ['--import', 'tsx', path, ...args], { encoding: 'utf8' });
    assert.is(child.status, 0, child.stderr);
    return child;
  };
  const first = run();
  const runs = readdirSync(join(out, 'runs'));
  const times = runs.map((run) => statSync(join(out, 'runs', run, 'run.json')).mtimeMs);
  assert.ok(runs.length >= 2 * 2 * 11, `${runs.length} runs`);
  assert.is(runs.filter((file) => file.startsWith('control-item-knn')).length, 2, 'a control is fitted once for each data set');
  assert.not.match(first.stderr, /finished before/);
  const { dataSets, runs: listed, schema } = JSON.parse(readFileSync(join(out, 'ablation.json'), 'utf8'));
  assert.is(schema, 'hyper-know/ablation/1');
  assert.equal(
    dataSets.map(({ name }: { name: string }) => name),
    ['kgat', 'recbole'],
  );
  assert.is(listed.length, runs.length);
  const text = readFileSync(join(out, 'ablation.md'), 'utf8');
  for (const { label } of changesOf({ dim: 4 })) assert.ok(text.includes(`| ${label} `), label);

  const broken = runs.findIndex((file) => file.startsWith('bpr-h'));
  const damaged = runs.findIndex((file) => file.startsWith('control-popularity'));
  writeFileSync(join(out, 'runs', runs[damaged]!, 'run.json'), '{"damaged":'); // counts as none
  rmSync(join(out, 'runs', runs[broken]!, 'model.safetensors')); // so does this
  const second = run();
  // The model that was made again took another time.
  const timeless = (text: string) => text.replace(/[\d.]+ \|( +\d+ \|)$/gm, '|$1').replace(/ +|-+/g, ' ');
  assert.is(timeless(second.stdout), timeless(first.stdout));
  const others = (values: readonly unknown[]) => values.filter((_, i) => i !== damaged && i !== broken);
  assert.equal(others(runs.map((run) => statSync(join(out, 'runs', run, 'run.json')).mtimeMs)), others(times));
  assert.equal(readdirSync(join(out, 'runs')), runs, 'nothing is left beside them');
  assert.is(second.stderr.match(/finished before/g)!.length, runs.length - 2);
  assert.ok(!existsSync(join(out, 'results.json')));
});

reproduce.run();
