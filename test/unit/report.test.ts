// What `hyper-know report` makes of results: which runs are one row, which are one run, and the text of tables.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { labelOf, tableText } from '../../lib/report/formats.ts';
import { metricsIn, rowsOf } from '../../lib/report/rows.ts';
import { type Run, runsIn } from '../../lib/report/runs.ts';

const report = suite('report');

const FILES = [{ name: 'shop.train.inter', bytes: 10, sha256: 'ab' }];
const LABELS = new Map([['hyper-know', 'Hyper-Know']]);

/** A run as `reproduce` writes it. */
function finished(method: string, seed: number | null, recall: number, { options = {}, split = `split ${seed}`, files = FILES } = {}) {
  const dataset = { users: 3, items: 4, entities: 9, relations: 2, files, options: { inverse: false }, split };
  return { key: { dataset, method, seed, options, version: '0.1.0' }, metrics: { 'recall@20': recall, 'ndcg@20': recall / 2 }, seconds: 1 };
}

const results = (runs: object[], rows: object[] = []) => ({ schema: 'hyper-know/results/2', runs, rows });
const read = (document: unknown, file = 'results.json'): Run[] => runsIn(document, file, LABELS)!;

report('seeds are merged to mean and standard deviation; options that differ part rows', () => {
  const rows = rowsOf(
    read(
      results([
        finished('hyper-know', 1, 0.3, { options: { epochs: 4, backend: 'cpu' } }),
        finished('hyper-know', 2, 0.5, { options: { epochs: 4, backend: 'cuda' } }),
        finished('hyper-know', 1, 0.2, { options: { epochs: 2, adam: 'exact' } }),
      ]),
    ),
  );
  assert.equal(
    rows.map(({ data, seeds, runs, differs }) => [data, seeds, runs, differs]),
    [
      ['shop', [1, 2], 2, { epochs: 4, adam: null }],
      ['shop', [1], 1, { epochs: 2, adam: 'exact' }],
    ],
  );
  const { mean, sd } = rows[0]!.metrics['recall@20']!;
  assert.ok(Math.abs(mean - 0.4) < 1e-12 && Math.abs(sd! - 0.2 / Math.SQRT2) < 1e-12);
  assert.is(rows[1]!.metrics['recall@20']!.sd, null);
  assert.is(labelOf(rows[1]!), 'Hyper-Know, epochs 2, adam exact');
});

report('a run that stands in two files counts once; other files are other data', () => {
  const one = finished('hyper-know', 1, 0.3);
  const inBoth = [...read(results([one])), ...read({ ...one, perUser: {} }, 'hyper-know-seed1-x.json')];
  const [row] = rowsOf(inBoth);
  assert.equal([row!.runs, row!.files], [1, ['results.json']]);
  const elsewhere = finished('hyper-know', 1, 0.9, { files: [{ name: 'train.txt', bytes: 1, sha256: 'cd' }] });
  assert.equal(
    rowsOf([...inBoth, ...read(results([elsewhere]))]).map(({ data, runs }) => [data, runs]),
    [
      ['shop', 1],
      ['3 users, 4 items', 1],
    ],
  );
});

report('two files that contradict each other are refused', () => {
  const runs = [...read(results([finished('hyper-know', 1, 0.3)]), 'a.json'), ...read(results([finished('hyper-know', 1, 0.4)]), 'b.json')];
  assert.throws(() => rowsOf(runs), /^b\.json: says recall@20 0\.4 of the run of Hyper-Know, seed 1, of which a\.json says 0\.3/);
});

report('a control is called as its results call it, and has no seed but one run a split', () => {
  const runs = read(
    results(
      [finished('control:ials', null, 0.2, { split: 'x' }), finished('control:ials', null, 0.3, { split: 'y' })],
      [{ method: 'control:ials', label: 'iALS' }],
    ),
  );
  const [row] = rowsOf(runs);
  assert.equal([row!.label, row!.seeds, row!.runs], ['iALS', [null, null], 2]);
});

report('an ablation: its names of data sets, and of variants those of their own', () => {
  const run = finished('hyper-know', 1, 0.3, { files: [] });
  const document = {
    schema: 'hyper-know/ablation/1',
    runs: [run],
    dataSets: [{ name: 'the shop', data: run.key.dataset, rows: [{ method: 'hyper-know', label: 'not this' }] }],
  };
  assert.equal(
    read(document).map(({ data, label }) => [data, label]),
    [['the shop', 'Hyper-Know']],
  );
});

report('an evaluation under one definition of NDCG or both', () => {
  const base = { schema: 'hyper-know/eval/1', model: 'm', data: 'd/shop', split: 'validation', files: FILES, users: 3, recall: { 5: 0.5 } };
  const training = { variant: 'hyper-know', preset: 'tuned', options: { seed: 7, backend: 'cpu', dim: 8 }, epoch: 1, steps: 1 };
  const [kgat] = read({ ...base, training, ndcgDefinition: 'kgat', ndcg: { 5: 0.25 } });
  assert.equal(kgat!.metrics, { 'recall@5': 0.5, 'ndcgKgat@5': 0.25 });
  assert.equal([kgat!.data, kgat!.seed, kgat!.split, kgat!.options], ['shop', 7, 'validation', { preset: 'tuned', dim: 8 }]);
  const [both] = read({ ...base, training, ndcgDefinition: 'both', ndcg: { 5: 0.2 }, ndcgKgat: { 5: 0.25 } });
  const rows = rowsOf([kgat!, both!]);
  assert.equal([rows.length, rows[0]!.runs, metricsIn(rows)], [1, 1, ['recall@5', 'ndcg@5', 'ndcgKgat@5']]);
});

report('what is no result is none; what is damaged is refused', () => {
  for (const document of [null, 1, [], {}, { schema: 'hyper-know/check/1' }]) assert.is(runsIn(document, 'x.json', LABELS), null);
  for (const [document, expected] of [
    [results('none' as unknown as object[]), /^x\.json: it has no runs/],
    [results([{ key: {} }]), /^x\.json: a run does not say what it is of/],
    [results([{ ...finished('m', 1, 0), metrics: { recall: 'high' } }]), /^x\.json: a run has no metrics/],
    [{ schema: 'hyper-know/eval/1', model: 'm', data: 'd', split: 'test' }, /^x\.json: it has no metrics/],
  ] as const)
    assert.throws(() => runsIn(document, 'x.json', LABELS), expected);
});

report('Markdown, LaTeX and CSV', () => {
  const rows = rowsOf(
    read(
      results([finished('hyper-know', 1, 0.3), finished('hyper-know', 2, 0.5), { ...finished('a_b|c', null, 0.25), epochSeconds: 1.25 }]),
    ),
  );
  assert.equal(tableText(rows, ['recall@20'], 'markdown'), [
    '| Method     | Runs |           Recall@20 | s/epoch |',
    '| ---------- | ---: | ------------------: | ------: |',
    '| Hyper-Know |    2 | **0.4000 ± 0.1414** |         |',
    '| a\\_b\\|c    |    1 |              0.2500 |     1.3 |',
  ]);
  assert.equal(tableText(rows, ['recall@20'], 'latex'), [
    '\\begin{tabular}{lrrr}',
    '\\toprule',
    'Method & Runs & Recall@20 & s/epoch \\\\',
    '\\midrule',
    'Hyper-Know & 2 & \\textbf{0.4000 $\\pm$ 0.1414} &  \\\\',
    'a\\_b|c & 1 & 0.2500 & 1.3 \\\\',
    '\\bottomrule',
    '\\end{tabular}',
  ]);
  const csv = tableText(rows, ['recall@20'], 'csv');
  assert.is(csv[0], 'data,split,method,label,runs,recall@20,recall@20 sd,epoch seconds');
  assert.is(csv[2], 'shop,test,a_b|c,a_b|c,1,0.25,,1.25');
});

report.run();
