// Tables 2 to 4 as `npm run reproduce -- --tables` writes them: what is quoted, what was measured, and their four forms.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { RunRecord } from '../lib/report/run-folder.ts';
import { parseCommand } from '../scripts/reproduce/command.ts';
import { type Measured, paperTables, tableDocument } from '../lib/report/tables/paper-tables.ts';
import { TABLE_2, TABLE_3 } from '../lib/report/tables/quoted.ts';
import { numberText, tableAs } from '../lib/report/tables/table.ts';
import { temporaryFolder } from './helpers.ts';
import { SMALL, script, worldFolder } from './reproducing.ts';

const tables = suite('tables of the paper');

const run = (seconds: number[], { backend = 'cpu', recall = 0.1 } = {}) =>
  ({
    bestEpoch: 2,
    testSelected: { note: '', epoch: 3, metrics: { 'recall@20': recall, 'ndcgKgat@20': recall / 2 } },
    history: seconds.map((own, i) => ({ epoch: i + 1, seconds: own })),
    protocol: { backend, device: backend === 'cpu' ? 'CPU, AVX2' : 'A card' },
    host: { cpu: 'A_CPU', threads: 2 },
  }) as unknown as RunRecord;

const metrics = (recall: number) => ({
  'recall@20': { mean: recall, sd: 0.01 },
  'ndcg@20': { mean: recall / 2, sd: 0.01 },
  'ndcgKgat@20': { mean: recall / 3, sd: Number.NaN },
});

const measured = (changes: Partial<Measured> = {}): Measured => ({
  ...{ name: 'my_data', users: 3, items: 4, report: { source: 'recbole' } as Measured['report'] },
  interactions: { train: 5, validation: 1, test: 2 },
  rows: [
    { method: 'bpr-h', label: '(2) BPR+H', preset: 'tuned', seeds: 2, metrics: metrics(0.2), runs: ['h1'] },
    { method: 'hyper-know', label: '(6) Hyper-Know', preset: 'tuned', seeds: 2, metrics: metrics(0.3), runs: ['a', 'b', 'c'] },
    {
      ...{ method: 'control:popularity', label: 'popularity', preset: 'tuned', seeds: 1, metrics: metrics(0.1), runs: ['p'] },
      againstHyperKnow: { 'recall@20': { difference: 0.2, t: 9, p: 1e-9, users: 3 } },
    },
    { method: 'control:popularity', label: 'popularity', preset: 'paper', seeds: 1, metrics: metrics(0.1), runs: ['p'] },
  ],
  records: new Map([
    ['h1', run([1])],
    ['a', run([1, 2, 3], { recall: 0.4 })],
    ['b', run([2, 2, 2], { recall: 0.2 })],
    ['c', run([0.01, 0.01, 0.01], { backend: 'cuda', recall: 0.3 })],
    ['p', {} as RunRecord],
  ]),
  ...changes,
});

tables('Table 2: quoted rows are marked, ours and the controls once; other data are called so', () => {
  const [table] = paperTables([2], measured());
  const quoted = table!.rows.filter((row) => row.quoted);
  assert.is(quoted.length, 3 * TABLE_2.length);
  for (const { cells } of quoted) assert.is(cells.source, 'quoted: Ma et al., AAAI 2021, Table 2');
  const ours = table!.rows.filter((row) => !row.quoted);
  assert.equal(
    ours.map(({ cells }) => [cells.method, cells.source, cells.data]),
    [
      ['(6) Hyper-Know', 'here, tuned preset', 'my_data'],
      ['popularity', 'control, here', 'my_data'],
    ],
  );
  const { mean, sd } = ours[0]!.cells.testSelected as { mean: number; sd: number };
  assert.ok(Math.abs(mean - 0.3) < 1e-12 && Math.abs(sd - 0.1) < 1e-12);
  assert.match(table!.notes.join('\n'), /my_data is none of the paper's data sets/);
  assert.match(table!.notes.join('\n'), /The columns "epoch selected on test" are no results/);
  // The paper quotes NDCG without a definition; it stands with KGAT's, never with the standard one.
  assert.equal(
    quoted.flatMap(({ cells }) => cells['ndcg@20'] ?? []),
    [],
  );
});

tables('the data set of the paper is quoted alone', () => {
  const report = { source: 'kgat', validationSplit: 'random' } as Measured['report'];
  const sizes = { name: 'folder', users: 23_566, items: 48_123, report };
  const last = measured({ ...sizes, interactions: { train: 1_160_103, validation: 128_900, test: 423_635 } });
  const [two, three, four] = paperTables([2, 3, 4], last);
  const quoted = (table: typeof two) => table!.rows.filter((row) => row.quoted);
  assert.equal(
    quoted(two).map(({ cells }) => cells['recall@20']),
    TABLE_2.map(({ values }) => values[1][0]),
  );
  assert.equal(
    quoted(three).map(({ cells }) => cells['ndcgKgat@20']),
    TABLE_3.map(({ values }) => values[1][1]),
  );
  assert.equal(
    quoted(four).map(({ cells }) => [cells.data, cells.mean]),
    [53, 27, 137, 22].map((seconds) => ['Last-FM', seconds]),
  );
  assert.not.match(two!.notes.join('\n'), /none of the paper's data sets/);
  assert.is(two!.rows.at(-1)!.cells.data, 'Last-FM');

  const [split] = paperTables([3], measured({ ...sizes, interactions: { train: 304_445, validation: 33_827, test: 85_363 } }));
  assert.equal(
    [...new Set(split!.rows.map(({ quoted: marked, cells }) => `${marked} ${String(cells.data)}`))],
    ['true Last-FM', 'false folder'],
  );
  assert.match(split!.title, /^Ablation on folder:/);
  assert.match(
    split!.notes[0]!,
    /^folder has the users and items of Last-FM, but 338,272 for training and validation and 85,363 for testing, not 1,289,003 and 423,635 interactions: its quoted numbers are of other data and not to be compared/,
  );
});

tables('Table 4: seconds of different backends are not mixed', () => {
  const elsewhere = new Map([['bpr-h tuned', [run([5], { backend: 'cuda' })]]]);
  const [table] = paperTables([4], measured({ elsewhere }));
  const also = table!.rows.filter(({ quoted, cells }) => !quoted && cells.method === '(2) BPR+H');
  assert.equal(
    also.map(({ cells }) => [cells.backend, cells.mean]),
    [
      ['cpu', 1],
      ['cuda', 5],
    ],
  );
  const own = table!.rows.filter(({ quoted, cells }) => !quoted && cells.method === '(6) Hyper-Know');
  assert.equal(
    own.map(({ cells }) => [cells.backend, cells.hardware, cells.mean, cells.median, cells.epochs]),
    [
      ['cpu', 'A_CPU, AVX2, threads: 2', 2, 2, 6],
      ['cuda', 'A card', 0.01, 0.01, 3],
    ],
  );
});

tables('Markdown, CSV, LaTeX and JSON', () => {
  const [table] = paperTables([2], measured());
  const markdown = tableAs(table!, 'md').split('\n');
  const row = markdown.find((line) => line.includes('here, tuned preset'))!;
  assert.match(row, /^\| my\\_data +\| \(6\) Hyper-Know +\| here, tuned preset +\| +2 \| \*\*0\.3000 ± 0\.0100\*\* \| +\*\*0\.1000\*\* \|/);
  assert.match(markdown.find((line) => line.includes('popularity'))!, /\| +0\.2000 \| +< 0\.0001 \|/);
  assert.not.match(markdown.filter((line) => line.includes('quoted:')).join('\n'), /\*\*/);
  const csv = tableAs(table!, 'csv').trimEnd().split('\n');
  assert.match(csv[0]!, /^quoted,data,method,source,seeds,recall@20,recall@20 sd,ndcgKgat@20,ndcgKgat@20 sd,/);
  assert.match(csv[1]!, /^quoted,Amazon-book,FM,"quoted: Ma et al\., AAAI 2021, Table 2",5,0\.1345,,0\.0886,,/);
  assert.match(csv.at(-2)!, /^,my_data,\(6\) Hyper-Know,"here, tuned preset",2,0\.3,0\.01,0\.09999999999999999,,/);
  const latex = tableAs(table!, 'tex');
  assert.match(latex, /\\begin\{tabular\}\{lllrrrrrrrrr\}\n\\toprule\n/);
  assert.match(latex, /my\\_data & \(6\) Hyper-Know & here, tuned preset & 2 & \\textbf\{0\.3000 \$\\pm\$ 0\.0100\} &/);
  assert.match(latex, /Hyper-Know \$-\$ this/);
  assert.match(latex, /& 0\.2000 & \$<\$ 0\.0001 &/);
  assert.is((latex.match(/ \\\\$/gm) ?? []).length, 1 + table!.rows.length);
  assert.match(
    latex,
    /^Yelp2018 & Hyper-Know & quoted.*\n\\midrule\nmy\\_data & \(6\) Hyper-Know &/m,
    'a rule parts what is quoted from what is not',
  );
  const json = JSON.parse(tableAs(tableDocument(table!, { protocol: {} as never, ledgers: { tuned: [1] } }), 'json')) as {
    schema: string;
    ledgers: object;
    rows: unknown[];
  };
  assert.equal([json.schema, json.ledgers, json.rows.length], ['hyper-know/table/1', { tuned: [1] }, table!.rows.length]);
});

tables('numbers: digits after the point or in all, minus signs, none below the least', () => {
  assert.equal(
    [numberText(-0.01234, {}), numberText(1234.5, { significant: 3 }), numberText(15, { significant: 3 }), numberText(2.4, { digits: 0 })],
    ['−0.0123', '1230', '15', '2'],
  );
  assert.equal([numberText(1e-9, { digits: 4, least: 0.0001 }), numberText(Number.NaN, {})], ['< 0.0001', '–']);
  const negative = { method: 'bpr-h', label: 'x', preset: 'tuned', seeds: 2, metrics: metrics(0.2), runs: ['h1'] };
  const rows = [{ ...negative, againstHyperKnow: { 'recall@20': { difference: -0.2, t: -9, p: 0.5, users: 3 } } }];
  const [table] = paperTables([3], measured({ rows }));
  assert.match(tableAs(table!, 'md'), /\| +−0\.2000 \|/);
  assert.match(tableAs(table!, 'tex'), /& \$-\$0\.2000 &/);
  assert.match(tableAs(table!, 'csv'), /,-0\.2,/);
});

tables('what --tables and --preset make', () => {
  const of = (...args: string[]) => {
    const { variants, controls, presets, tables: numbers } = parseCommand(args);
    return [variants.map(({ name }) => name), controls, presets, numbers];
  };
  const all = parseCommand([]).variants.map(({ name }) => name);
  assert.equal(of('--tables', '4,2,2'), [['hyper-know'], true, ['tuned'], [2, 4]]);
  assert.equal(of('--tables', '3', '--preset', 'both'), [all, false, ['tuned', 'paper'], [3]]);
  assert.equal(of('--tables', '3', '--variants', 'bpr-h'), [['bpr-h', 'hyper-know'], false, ['tuned'], [3]]);
  assert.equal(of('--preset', 'paper'), [all, true, ['paper'], []]);
  assert.throws(() => parseCommand(['--tables', '2,5']), /^--tables: "5" is not one of 2, 3, 4$/);
  assert.throws(() => parseCommand(['--preset', 'best']), /^--preset: "best" is not one of tuned, softmax, paper, both$/);
  assert.throws(() => parseCommand(['--ablate', '--tables', '2']), /^--ablate: goes with one preset/);
  for (const shard of ['0/2', '3/2', '1', 'a/b']) assert.throws(() => parseCommand(['--shard', shard]), /^--shard: must be i\/n/);
  assert.equal(parseCommand(['--shard', '2/3']).shard, { index: 2, count: 3 });
});

tables('from the command: both presets, every form, the ledger in each document', async () => {
  const out = temporaryFolder();
  const args = ['--data', worldFolder(), '--tables', '2,3,4', '--preset', 'both', '--seeds', '2', '--epochs', '2', ...SMALL, '--out', out];
  const { status, stdout, stderr } = await script('reproduce', args);
  assert.is(status, 0, stderr);
  assert.equal(
    readdirSync(join(out, 'tables')).sort(),
    [2, 3, 4].flatMap((number) => ['csv', 'json', 'md', 'tex'].map((form) => `table${number}.${form}`)),
  );
  const read = (path: string) => JSON.parse(readFileSync(join(out, path), 'utf8'));
  const results = read('results.json');
  assert.is(results.schema, 'hyper-know/results/3');
  assert.equal([results.runs.length, results.rows.length], [24, 12]);
  for (const document of [results, read('tables/table3.json')])
    for (const [preset, curvature] of [
      ['tuned', String(1 / 81)],
      ['paper', '1'],
    ]) {
      const entry = document.ledgers[preset!].find(({ topic }: { topic: string }) => topic === 'curvature c');
      assert.equal([entry.paper, entry.here], ['1', curvature]);
    }
  const own = read('tables/table3.json').rows.filter(({ quoted }: { quoted: boolean }) => !quoted);
  assert.is(own.filter(({ cells }: { cells: { source: string } }) => cells.source === 'here, paper preset').length, 6);
  for (const row of results.rows) assert.is(row.againstHyperKnow === undefined, row.method === 'hyper-know', row.method);
  assert.match(stdout, /^tuned preset\n\|/);
  assert.match(stdout, /\n\npaper preset\n\|/);
  assert.match(stdout, /# Table 4\. Training time per epoch in seconds on /);
  assert.match(readFileSync(join(out, 'tables', 'table2.md'), 'utf8'), /\| \(6\) Hyper-Know +\| here, paper preset +\|/);
  const run = read(`${results.runs[0].folder}/run.json`);
  assert.is(run.schema, 'hyper-know/run/1');
  for (const name of ['recall@20', 'ndcg@20', 'ndcgKgat@20']) assert.type(run.testSelected.metrics[name], 'number');
  assert.match(run.testSelected.note, /no result/);
  assert.ok(run.ledger.length > 20 && run.history[0].seconds > 0);
});

tables.run();
