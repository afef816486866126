// `scripts/sweep.ts`: what a declared space means, and that a sweep looks at validation alone, is gone on with and put together.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { RunRecord } from '../lib/report/run-folder.ts';
import { checkSettings, readSpace, type Space, settingsOf } from '../scripts/sweep/space.ts';
import { effectsTable, sweepCsv, sweepRows, sweepTable, sweepText } from '../lib/report/sweep.ts';
import { folderWith, temporaryFolder } from './helpers.ts';
import { script, worldFolder } from './reproducing.ts';

const sweep = suite('sweep');

const spaceFile = (space: unknown): string => join(folderWith({ 'space.json': JSON.stringify(space) }), 'space.json');
const read = (space: unknown): Space => readSpace(spaceFile(space));

sweep('a grid is every combination; a random search is drawn by its seed, and a longer one begins alike', () => {
  const grid = settingsOf(read({ base: { dim: 4 }, space: { learningRate: [0.1, 0.2], adam: ['exact', 'touched', 'exact'] } }));
  assert.equal(grid, [
    { dim: 4, learningRate: 0.1, adam: 'exact' },
    { dim: 4, learningRate: 0.1, adam: 'touched' },
    { dim: 4, learningRate: 0.2, adam: 'exact' },
    { dim: 4, learningRate: 0.2, adam: 'touched' },
  ]);
  const space = {
    regularization: { log: [0.001, 1] },
    knowledgeWeight: { uniform: [0.25, 0.5] },
    negatives: { logInteger: [1, 1024] },
    epochs: { integer: [3, 5] },
    averaging: [true, false],
  };
  const drawn = (random: number, seed = 7) => settingsOf(read({ space, search: { random, seed } }));
  const many = drawn(300);
  assert.equal(many.slice(0, 20), drawn(20));
  assert.not.equal(drawn(20, 8), drawn(20));
  const column = (name: string) => many.map((setting) => (setting as Record<string, number>)[name]!);
  const within = (name: string, least: number, most: number) => column(name).every((value) => value >= least && value <= most);
  assert.ok(within('regularization', 0.001, 1) && within('knowledgeWeight', 0.25, 0.5) && within('negatives', 1, 1024));
  assert.equal([...new Set(column('epochs'))].sort(), [3, 4, 5]);
  const below = column('regularization').filter((value) => value < Math.sqrt(0.001)).length / many.length;
  assert.ok(below > 0.4 && below < 0.6, `on a logarithmic scale half are below the geometric mean: ${below}`);
  assert.ok(column('negatives').every(Number.isInteger));
});

sweep('a space that cannot be meant is refused by file and place', () => {
  for (const [space, expected] of [
    [[], /^space\.json: must be an object with "space"$/],
    [{ space: {} }, /^space\.json: space has no options$/],
    [{ space: { dim: [] } }, /^space\.json: space\.dim: has no values$/],
    [{ space: { dim: 3 } }, /^space\.json: space\.dim: must be a list of values or one of /],
    [{ space: { dim: { integer: [1, 2] } } }, /^space\.json: space\.dim: integer needs "search": \{ "random"/],
    [{ space: { dim: { log: [0, 2] } }, search: { random: 2, seed: 1 } }, /^space\.json: space\.dim: log needs \[least, most\]/],
    [{ space: { dim: { uniform: [3, 2] } }, search: { random: 2, seed: 1 } }, /uniform needs \[least, most\] with least < most$/],
    [{ space: { dim: { integer: [1, 2.5] } }, search: { random: 2, seed: 1 } }, /integer needs \[least, most\]/],
    [{ space: { dim: [3] }, search: { random: 0, seed: 1 } }, /^space\.json: search must be "grid" or/],
    [{ space: { dim: [3] }, seeds: 3 }, /^space\.json: "seeds" is none of base, space, search$/],
    [{ space: { seed: [1, 2] } }, /^space\.json: space: seed has an option of its own, --seeds$/],
    [{ base: { backend: 'cpu' }, space: { dim: [3] } }, /^space\.json: base: backend has an option of its own, --backend$/],
  ] as const)
    assert.throws(() => read(space), expected);
  assert.equal(settingsOf(read({ base: { preset: 'paper' }, space: { variant: ['bpr-h'] } })), [{ preset: 'paper', variant: 'bpr-h' }]);
  assert.throws(() => checkSettings(settingsOf(read({ space: { dim: [4, 0] } }))), /^dim: .*\(in \{"dim":0\}\)$/);
  assert.throws(() => checkSettings(settingsOf(read({ space: { dims: [4] } }))), /dims/);
});

sweep('the table: best first, over several data sets by what each is of the best there', () => {
  const run = (recall: number) => ({
    ...{ metrics: { 'recall@20': recall, 'ndcg@20': recall / 2 }, bestEpoch: 2, epochs: 4, epochSeconds: 1.5 },
    folder: 'x',
  });
  const rows = sweepRows(
    [{ dim: 4 }, { dim: 8 }],
    ['one', 'two'],
    [
      [[run(0.1), run(0.3)], [run(0.5)]],
      [[run(0.4), run(0.4)], [run(0.4)]],
    ],
  );
  assert.equal(
    rows.map(({ options, score }) => [options.dim, Number(score.toFixed(6))]),
    [
      [8, 0.9],
      [4, 0.75],
    ],
  );
  const lines = sweepTable(rows, ['one', 'two']).split('\n');
  assert.match(lines[2]!, /^\| 0\.9000 +\| +8 \| +0\.4000 ± 0\.0000 \| +0\.2000 \| +2 of 4 \| +1\.5 \| +0\.4000 \|/);
  assert.match(sweepCsv(rows).split('\n')[2]!, /^0\.9,8,two,1,0\.4,,0\.2,,2,4,1\.5$/);
});

sweep('what settings with one value have in common: listed values, thirds of drawn ones; only of many settings', () => {
  const run = (recall: number) => ({
    ...{ metrics: { 'recall@20': recall, 'ndcg@20': recall / 2 }, bestEpoch: 2, epochs: 4, epochSeconds: 1.5 },
    folder: 'x',
  });
  const settings = Array.from({ length: 12 }, (_, i) => ({ dim: i % 2 === 0 ? 4 : 16, learningRate: (12 - i) / 100, averaging: i < 6 }));
  const of = (count: number) => {
    const own = settings.slice(0, count);
    return sweepRows(
      own,
      ['one'],
      own.map(({ dim, learningRate }) => [[run(dim / 100 + learningRate)]]),
    );
  };
  const cells = effectsTable(of(12), ['one'])
    .split('\n')
    .slice(2)
    .map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
  assert.equal(cells, [
    ['dim', '4', '6', '0.1100', '0.0550'],
    ['dim', '16', '6', '0.2200', '0.1100'],
    ['learningRate', '0.01 – 0.04', '4', '0.1250', '0.0625'],
    ['learningRate', '0.05 – 0.08', '4', '0.1650', '0.0825'],
    ['learningRate', '0.09 – 0.12', '4', '0.2050', '0.1025'],
    ['averaging', 'false', '6', '0.1350', '0.0675'],
    ['averaging', 'true', '6', '0.1950', '0.0975'],
  ]);
  const text = (count: number) =>
    sweepText({
      ...{ schema: '', version: '', space: {}, selection: '', seeds: [1], splitSeed: 1, data: ['one'], host: {}, runs: [] },
      rows: of(count),
    });
  assert.ok(text(12).includes(effectsTable(of(12), ['one'])));
  assert.not.ok(text(11).includes('in common'));
});

sweep('from the command: two shards, put together; the test split is not looked at; an interrupted list goes on', async () => {
  const data = worldFolder();
  const [out, other] = [temporaryFolder(), temporaryFolder()];
  const space = spaceFile({
    base: { dim: 4, epochs: 4, batchSize: 64 },
    space: { learningRate: [0.003, 0.03], regularization: [0.01, 0.1] },
  });
  const command = ['--data', data, '--space', space, '--seeds', '2', '--threads', '1', '--backend', 'cpu'];
  const shards = await Promise.all(
    [out, other].map((folder, i) => script('sweep', [...command, '--shard', `${i + 1}/2`, '--out', folder])),
  );
  for (const { status, stderr } of shards) assert.is(status, 0, stderr);
  const merged = await script('sweep', [...command, '--out', out, '--from', other]);
  assert.is(merged.status, 0, merged.stderr);
  assert.equal([merged.stderr.match(/finished before/g)!.length, merged.stderr.match(/taken over/g)!.length], [4, 4]);
  const { schema, rows, runs, selection } = JSON.parse(readFileSync(join(out, 'sweep.json'), 'utf8'));
  assert.equal([schema, rows.length, runs.length], ['hyper-know/sweep/1', 4, 8]);
  assert.match(selection, /the test split was not looked at/);
  assert.ok(rows[0].score === 1 && rows.at(-1).score <= rows[1].score);
  assert.is(readFileSync(join(out, 'sweep.md'), 'utf8').includes(merged.stdout.trim()), true);
  for (const name of readdirSync(join(out, 'runs'))) {
    const run = JSON.parse(readFileSync(join(out, 'runs', name, 'run.json'), 'utf8')) as RunRecord;
    assert.equal([run.key.judged, run.testSelected, run.model], ['validation', undefined, undefined]);
    assert.ok(run.history!.every(({ test }) => test === undefined));
    assert.ok(Math.abs(run.metrics['recall@20']! - run.validationRecall!) <= 1e-12, 'what is listed is what selected the epoch');
  }
  const wrong = spaceFile({ space: { learningRate: [-1] } });
  const refused = await script('sweep', ['--data', data, '--space', wrong, '--out', other]);
  assert.equal([refused.status, /^sweep: learningRate: .*\(in /.test(refused.stderr)], [2, true], refused.stderr);
  const named = join(folderWith({ 'space\u001b[2J': '{' }), 'space\u001b[2J');
  const unread = await script('sweep', ['--data', data, '--space', named, '--out', other]);
  assert.is(unread.status, 2);
  assert.match(unread.stderr, /^sweep: space\\u\{1b\}\[2J: is not JSON \(.*\)\n$/);
  const setting = await script('sweep', ['--data', data, '{}', '{"dim":', '--out', other]);
  assert.match(setting.stderr, /^sweep: setting 2: is not JSON \(/);
});

sweep.run();
