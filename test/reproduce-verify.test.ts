// `hyper-know verify`: results that were not touched are ok, and every planted fault is found and named.
import { cpSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { loadDataset } from '../lib/data/dataset.ts';
import { Model } from '../lib/model.ts';
import { dataKeyOf } from '../lib/report/data-key.ts';
import { type RunRecord, runName, sha256OfFile, sha256OfHistory } from '../lib/report/run-folder.ts';
import { type Verdict, verifyResults } from '../lib/report/verify.ts';
import { CONTROLS } from '../scripts/reproduce/controls.ts';
import { makeRun, plannedRun } from '../scripts/reproduce/methods.ts';
import { sourcesIn } from '../scripts/reproduce/data.ts';
import { hyperKnow } from './cli/spawn.ts';
import { temporaryFolder } from './helpers.ts';
import { SMALL, script, worldFolder } from './reproducing.ts';

const verify = suite('verify');

let data: string;
let original: string;
let names: string[];

verify.before(async () => {
  data = worldFolder();
  original = temporaryFolder();
  const { status, stderr } = await script('reproduce', [
    ...['--data', data, '--variants', 'hyper-know,bpr-e', '--seeds', '2', '--epochs', '6', ...SMALL],
    ...['--out', original],
  ]);
  assert.is(status, 0, stderr);
  names = readdirSync(join(original, 'runs')).sort();
});

/** A copy to spoil. */
function copy(): string {
  const folder = temporaryFolder();
  cpSync(original, folder, { recursive: true });
  // data are found from the folder of the results: both lie beside each other
  return folder;
}

const verdicts = async (path: string, options: Parameters<typeof verifyResults>[1] = {}): Promise<Verdict[]> => {
  const all: Verdict[] = [];
  for await (const verdict of verifyResults(path, options)) all.push(verdict);
  return all;
};

/** Those that are not ok. */
const faults = async (path: string, options: Parameters<typeof verifyResults>[1] = {}): Promise<Verdict[]> =>
  (await verdicts(path, options)).filter(({ status }) => status !== 'ok');

function change(path: string, by: (document: never) => void): void {
  const document = JSON.parse(readFileSync(path, 'utf8')) as never;
  by(document);
  writeFileSync(path, JSON.stringify(document));
}

const runFile = (out: string, name: string): string => join(out, 'runs', name, 'run.json');

verify('what was not touched is ok, wherever it is asked for, and the command says so', async () => {
  const all = await verdicts(join(original, 'results.json'));
  assert.equal(
    all.map(({ status, remarks }) => [status, remarks]),
    Array.from({ length: names.length + 1 }, () => ['ok', []]),
  );
  assert.equal(
    all
      .slice(0, -1)
      .map(({ what }) => what)
      .sort(),
    names,
  );
  assert.equal((await verdicts(original)).length, names.length + 1);
  assert.equal(
    (await verdicts(join(original, 'runs', names[0]!))).map(({ what, status }) => [what, status]),
    [[names[0], 'ok']],
  );
  assert.equal((await verdicts(runFile(original, names[1]!))).length, 1);
  const { status, stdout, stderr } = await hyperKnow(['verify', join(original, 'results.json')]);
  assert.is(status, 0, stderr);
  assert.match(stdout, /\n5 ok, 0 different, 0 missing, 0 unchecked\n$/);
});

verify('planted: one flipped bit of an embedding; other floats with digests made to fit', async () => {
  const flipped = copy();
  const path = join(flipped, 'runs', names[0]!, 'model.safetensors');
  const bytes = readFileSync(path);
  bytes[8 + Number(bytes.readBigUInt64LE()) + 4 * 8 * 3]! ^= 1;
  writeFileSync(path, bytes);
  const [first, ...rest] = await faults(flipped);
  assert.equal([first!.what, first!.status, rest], [names[0], 'different', []]);
  assert.match(first!.remarks.join(), /model\.safetensors: tensor \w+ does not fit its digest/);

  const forged = copy();
  const other = join(forged, 'runs', names[0]!, 'model.safetensors');
  const model = await Model.load(other);
  model.users.forEach((value, i) => {
    model.users[i] = -value; // everyone looks the other way
  });
  await model.save(other);
  assert.match((await faults(forged))[0]!.remarks.join(), /^model\.safetensors is not the file that was written \(sha-256\)/);
  const sha256 = await sha256OfFile(other);
  change(runFile(forged, names[0]!), (run: RunRecord) => {
    run.model!.sha256 = sha256;
  });
  rmSync(join(forged, 'results.json'));
  const [found, ...more] = await faults(forged);
  assert.equal([found!.what, more], [names[0], []]);
  assert.match(
    found!.remarks.join('; '),
    /recall@20: [\d.]+, recomputed [\d.]+; .*recall@20: other values of \d+ users, first of number \d+: /,
  );
});

verify('planted: an altered metric, value of a user, row, selection, key', async () => {
  type Results = { rows: { metrics: Record<string, { mean: number }>; label: string }[]; runs: { metrics: Record<string, number> }[] };
  const last = names.at(-1)!;
  const cases: [what: string, spoil: (out: string) => void, where: string, expected: RegExp][] = [
    [
      'a metric of results.json',
      (out) =>
        change(join(out, 'results.json'), (results: Results) => {
          results.runs[0]!.metrics['ndcg@20']! += 1e-12;
        }),
      '',
      /^results\.json: ndcg@20: [\d.]+, recomputed [\d.]+$/,
    ],
    [
      'a row of results.json',
      (out) =>
        change(join(out, 'results.json'), (results: Results) => {
          results.rows[1]!.metrics['recall@20']!.mean += 1e-12;
        }),
      'rows of results.json',
      /^\(6\) Hyper-Know: metrics\.recall@20\.mean [\d.]+, recomputed [\d.]+$/,
    ],
    [
      'a metric of run.json, in the results as well',
      (out) => {
        for (const path of [runFile(out, last), join(out, 'results.json')])
          writeFileSync(path, readFileSync(path, 'utf8').replaceAll(/"mrr@20":\s*[\d.]+/g, '"mrr@20": 0.987'));
      },
      last,
      /^mrr@20: 0\.987, recomputed [\d.]+/,
    ],
    [
      'a value of a user',
      (out) =>
        change(runFile(out, last), (run: RunRecord) => {
          run.perUser['recall@20']![5]! += 0.125;
        }),
      last,
      /recall@20: other values of 1 users, first of number 5: [\d.]+, recomputed [\d.]+/,
    ],
    [
      'a user less',
      (out) =>
        change(runFile(out, last), (run: RunRecord) => {
          run.perUser['mrr@20']!.pop();
        }),
      last,
      /mrr@20: values of \d+ users, recomputed of \d+/,
    ],
    [
      'the number selected on the test split',
      (out) =>
        change(runFile(out, last), (run: RunRecord) => {
          run.testSelected!.metrics['recall@20']! += 0.1;
        }),
      last,
      /testSelected has not the best test recall@20 of the history/,
    ],
    [
      'another option than was used',
      (out) =>
        change(runFile(out, last), (run: RunRecord) => {
          run.key.options.dim = 64;
        }),
      last,
      /its name is not that of its key, which would be /,
    ],
  ];
  for (const [what, spoil, where, expected] of cases) {
    const out = copy();
    spoil(out);
    const found = await faults(out);
    assert.ok(found.length >= 1, `${what}: nothing was found`);
    const [first] = where === '' ? found : found.filter((verdict) => verdict.what === where);
    assert.is(first?.status, 'different', what);
    assert.match(first!.remarks.join('; '), expected, what);
  }
  const tolerant = copy();
  cases[1]![1](tolerant);
  assert.equal(await faults(tolerant, { tolerance: 1e-9 }), []);
});

verify('planted: an altered history, protocol, curvature, weight: of an epoch that was not selected, and of the one that was', async () => {
  const name = names.find((one) => one.startsWith('hyper-know'))!;
  const { bestEpoch, history, epochs } = JSON.parse(readFileSync(runFile(original, name), 'utf8')) as RunRecord;
  const best = bestEpoch! - 1;
  const other = history!.findIndex(({ validation }, i) => validation && i !== best);
  assert.ok(other >= 0 && history![best]!.itemWeights && history!.length === epochs);
  const sign = (run: RunRecord) => {
    run.historySha256 = sha256OfHistory(run.history!);
  };
  const cases: [what: string, spoil: (run: RunRecord) => void, expected: RegExp][] = [
    [
      'a loss',
      (run) => {
        run.history![other]!.rankingLoss += 0.1;
      },
      /the history is not what was written \(sha-256\); history: the losses/,
    ],
    [
      'a metric of an epoch that was not selected, lower than the best',
      (run) => {
        run.history![other]!.validation!['ndcg@20'] = 0;
      },
      /^the history is not what was written \(sha-256\)$/,
    ],
    [
      'the metrics of the selected epoch, signed again',
      (run) => {
        run.history![best]!.test!['ndcg@20']! += 2e-3;
        sign(run);
      },
      /^history: test ndcg@20 of epoch \d+: [\d.]+, recomputed [\d.]+$/,
    ],
    [
      'a validation metric of the selected epoch, signed again',
      (run) => {
        run.history![best]!.validation!['ndcg@20']! += 2e-3;
        sign(run);
      },
      /^history: validation ndcg@20 of epoch \d+: [\d.]+, recomputed [\d.]+$/,
    ],
    [
      'σ(β) of a group, signed again',
      (run) => {
        run.history![best]!.itemWeights!.degree[0]!.p95 += 1e-9;
        sign(run);
      },
      /^history: σ\(β\) in epoch \d+: degree\[0\]\.p95 [\d.]+, recomputed [\d.]+ of the model$/,
    ],
    [
      'the curvature, signed again',
      (run) => {
        run.history![best]!.curvature *= 2;
        sign(run);
      },
      /^history: curvature [\d.]+ in epoch \d+, the model's is [\d.]+$/,
    ],
    [
      'an epoch less, signed again',
      (run) => {
        run.history!.splice(best === 0 ? 1 : 0, 1);
        sign(run);
      },
      /the history is not epochs 1 to 6/,
    ],
    [
      'the seconds of an epoch',
      (run) => {
        run.epochSeconds! *= 2;
      },
      /epochSeconds: [\d.e-]+, the history's median is [\d.e-]+/,
    ],
    [
      'an option in the protocol',
      (run) => {
        (run.protocol.options as { learningRate: number }).learningRate = 1;
      },
      /protocol: options\.learningRate 1, recomputed 0\.003 in the model/,
    ],
    [
      'the selected epoch',
      (run) => {
        const at = run.history![other]!;
        run.bestEpoch = at.epoch;
        at.validation!['recall@20'] = run.validationRecall!;
        sign(run);
      },
      /bestEpoch: \d, the model's is \d/,
    ],
  ];
  for (const [what, spoil, expected] of cases) {
    const out = copy();
    rmSync(join(out, 'results.json')); // which lists some of it, too
    change(runFile(out, name), spoil);
    const found = await faults(out);
    assert.equal(
      found.map((verdict) => [verdict.what, verdict.status]),
      [[name, 'different']],
      what,
    );
    assert.match(found[0]!.remarks.join('; '), expected, what);
  }
  const listed = copy();
  change(runFile(listed, name), (run: RunRecord) => {
    run.history![other]!.validation!['ndcg@20'] = 0;
    sign(run);
  });
  assert.match((await faults(listed))[0]!.remarks.join(), /^results\.json: historySha256 is not that of run\.json$/);
});

verify('tables, ablation and sweep are made again from their runs; planted: a number in each of their files', async () => {
  const out = temporaryFolder();
  const own = [...SMALL, '--data', data, '--epochs', '4', '--out', out];
  const space = '{"base":{"dim":4,"epochs":4,"batchSize":64},"space":{"learningRate":[0.003,0.03]}}';
  writeFileSync(join(out, 'space.json'), space);
  for (const [name, args] of [
    ['reproduce', [...own, '--tables', '2,3,4', '--seeds', '2']],
    ['reproduce', [...own, '--ablate', '--seeds', '2']],
    ['sweep', ['--data', data, '--space', join(out, 'space.json'), '--seeds', '2', '--threads', '1', '--backend', 'cpu', '--out', out]],
  ] as const) {
    const { status, stderr } = await script(name, args);
    assert.is(status, 0, stderr);
  }
  const whole = await verdicts(out);
  assert.equal(
    whole.filter(({ status }) => status === 'ok').flatMap(({ what }) => (/-seed/.test(what) ? [] : [what])),
    [
      ...['rows of results.json', 'tables/table2', 'tables/table3', 'tables/table4'],
      ...['rows of ablation.json', 'ablation.md', 'rows of sweep.json', 'sweep.md', 'sweep.csv'],
    ],
  );
  assert.equal(
    whole.filter(({ status }) => status !== 'ok').map(({ status, what }) => [status, what.startsWith('hyper-know-seed')]),
    Array.from({ length: 4 }, () => ['unchecked', true]),
    'the runs of a sweep keep no model',
  );
  /** Writes the file with the first match of `from` replaced. */
  const edit = (path: string, from: RegExp, to: string) => (folder: string) => {
    const text = readFileSync(join(folder, path), 'utf8');
    assert.match(text, from, path);
    writeFileSync(join(folder, path), text.replace(from, to));
  };
  const cases: [spoil: (folder: string) => void, where: string, status: Verdict['status'], expected: RegExp][] = [
    [edit('tables/table2.md', /0\.1489/, '0.1499'), 'tables/table2', 'different', /^table2\.md: line \d+ is not what its numbers give$/],
    [edit('tables/table3.tex', /\\textbf\{0\./, '\\textbf{1.'), 'tables/table3', 'different', /^table3\.tex: line \d+ is not what/],
    [edit('tables/table4.csv', /^,.*$/m, 'x'), 'tables/table4', 'different', /^table4\.csv: line \d+ is not what/],
    [
      edit('tables/table3.json', /("quoted": false,\s+"cells": \{[^}]*?"recall@20": \{\s+"mean": )0\.\d+/, '$10.9'),
      'tables/table3',
      'different',
      /^table3\.json: rows\[\d+\]\.cells\.recall@20\.mean 0\.9, recomputed 0\.\d+$/,
    ],
    [
      edit('tables/table2.json', /"recall@20": 0\.1345/, '"recall@20": 0.1346'),
      'tables/table2',
      'different',
      /recall@20 0\.1346, recomputed 0\.1345/,
    ],
    [(folder) => rmSync(join(folder, 'tables', 'table4.csv')), 'tables/table4', 'missing', /^table4\.csv is not there$/],
    [(folder) => rmSync(join(folder, 'tables'), { recursive: true }), 'tables/table2', 'missing', /^table2\.md is not there; table2\.csv/],
    [
      edit('ablation.json', /("method": "attention",\s+"label": ")/, '$1!'),
      'ablation.md',
      'different',
      /^line \d+ is not what its numbers give$/,
    ],
    [
      edit('ablation.json', /("ndcg": \{\s+"mean": )0\.\d+/, '$10.9'),
      'rows of ablation.json',
      'different',
      /^hyper-know-\w+, Hyper-Know: ndcg\.mean 0\.9, recomputed 0\.\d+$/,
    ],
    [edit('ablation.md', /±/, '+'), 'ablation.md', 'different', /^line \d+ is not what/],
    [(folder) => rmSync(join(folder, 'ablation.md')), 'ablation.md', 'missing', /^ablation\.md cannot be read \(ENOENT\)$/],
    [
      edit('sweep.json', /("recall": \{\s+"mean": )0\.\d+/, '$10.9'),
      'rows of sweep.json',
      'different',
      /^rows\[0\]\.score .*|^rows\[0\]\.cells\[0\]\.recall\.mean 0\.9, recomputed/,
    ],
    [edit('sweep.csv', /,2,/, ',3,'), 'sweep.csv', 'different', /^line 2 is not what/],
    [edit('results.json', /("here": )"30"/, '$1"31"'), 'rows of results.json', 'different', /^ledger of the tuned preset: /],
  ];
  for (const [i, [spoil, where, status, expected]] of cases.entries()) {
    const spoilt = temporaryFolder();
    cpSync(out, spoilt, { recursive: true });
    spoil(spoilt);
    const found = (await verdicts(spoilt)).find(({ what }) => what === where);
    assert.is(found?.status, status, `case ${i}: ${found?.remarks.join('; ')}`);
    assert.match(found!.remarks.join('; '), expected, `case ${i}`);
  }
  const { status, stdout } = await script('reproduce', ['--verify', '--out', out]);
  assert.is(status, 0, stdout);
  edit('tables/table2.md', /0\.1489/, '0.1499')(out);
  assert.is((await hyperKnow(['verify', join(out, 'results.json')])).status, 5);
});

verify('planted: another data set, a missing model, a missing run; the status is 5', async () => {
  const other = await faults(join(original, 'results.json'), { data: worldFolder({ seed: 4 }) });
  assert.is(other.length, names.length);
  assert.match(other[0]!.remarks.join(), /^the data set is another: \w+ /);
  const grown = worldFolder();
  writeFileSync(join(grown, 'kg_final.txt'), `${readFileSync(join(grown, 'kg_final.txt'), 'utf8')}0 0 1\n0 0 2\n`);
  assert.match(
    (await faults(original, { data: grown }))[0]!.remarks.join(),
    /the data set is another: kg_final\.txt is another file \(sha-256\)/,
  );

  const out = copy();
  rmSync(join(out, 'runs', names[0]!, 'model.safetensors'));
  rmSync(join(out, 'runs', names[1]!), { recursive: true });
  const { status, stdout, stderr } = await hyperKnow(['verify', out]);
  assert.is(status, 5, stderr);
  assert.match(stdout, new RegExp(`missing +${names[0]}: model\\.safetensors is not there`));
  assert.match(stdout, new RegExp(`missing +${names[1]}: run\\.json is not there`));
  assert.match(stdout, /rows of results\.json: .* is not there\n2 ok, 0 different, 3 missing, 0 unchecked\n$/);

  const moved = temporaryFolder();
  renameSync(data, join(moved, 'data'));
  const lost = await hyperKnow(['verify', original]);
  assert.is(lost.status, 3);
  assert.match(lost.stderr, /--data says where the data set hyper-know-\w+ is now/);
  assert.equal(await faults(original, { data: join(moved, 'data') }), []);
  renameSync(join(moved, 'data'), data);
  const none = await hyperKnow(['verify', data]);
  assert.is(none.status, 3);
  assert.match(none.stderr, /holds neither results\.json nor runs/);
});

verify('results and an ablation in one folder: the runs of both; planted: a metric in the second list', async () => {
  const out = copy();
  const [results, ablation] = [join(out, 'results.json'), join(out, 'ablation.json')];
  const { runs } = JSON.parse(readFileSync(results, 'utf8')) as { runs: { metrics: Record<string, number> }[] };
  writeFileSync(ablation, JSON.stringify({ schema: 'hyper-know/ablation/1', runs }));
  change(results, (document: { runs: unknown[] }) => {
    document.runs = document.runs.slice(1);
  });
  const all = await verdicts(out);
  assert.equal(
    all.map(({ status }) => status),
    Array.from({ length: names.length + 1 }, () => 'ok'),
  );
  change(ablation, (document: { runs: typeof runs }) => {
    document.runs[0]!.metrics['recall@20']! += 1e-12;
  });
  const [found, ...more] = await faults(out);
  assert.equal([found!.status, more], ['different', []]);
  assert.match(found!.remarks.join(), /^ablation\.json: recall@20: [\d.]+, recomputed [\d.]+$/);
});

verify('a control is recomputed from its setting; planted: another setting', async () => {
  const [source] = sourcesIn(data);
  const dataset = await loadDataset(data, { seed: 1 });
  const out = temporaryFolder();
  for (const name of ['control:popularity', 'control:blend', 'control:ease']) {
    const control = CONTROLS.find((one) => one.name === name)!;
    const planned = plannedRun(
      { name, label: control.label, kind: 'control', control },
      { source: source!, data: dataKeyOf(dataset), seed: 1, splitSeed: 1 },
    );
    await makeRun(planned, dataset, { out, threads: 1, keepModel: true, show: () => {} });
  }
  assert.equal(
    (await verdicts(out)).map(({ status }) => status),
    ['ok', 'ok', 'ok'],
  );
  const [blend] = readdirSync(join(out, 'runs')).filter((name) => name.startsWith('control-blend'));
  change(runFile(out, blend!), (run: RunRecord) => {
    (run.setting as { share: number }).share = (run.setting as { share: number }).share > 0.4 ? 0.1 : 0.9;
    assert.is(runName(run.key), blend);
  });
  const [found] = await faults(out);
  assert.equal([found!.what, found!.status], [blend, 'different']);
});

verify('lists with neighbours: epochs are verified without them, metrics with them, and weights that were changed are found', async () => {
  const out = temporaryFolder();
  const small = SMALL.map((text) => text.replace('{"dim"', '{"neighborBlend":{"itemKnn":0.4,"attributeKnn":0.2},"dim"'));
  const command = ['--data', data, '--variants', 'hyper-know', '--seeds', '1', '--epochs', '4', ...small, '--out', out];
  assert.is((await script('reproduce', command)).status, 0);
  assert.equal(await faults(out), []);
  const [name] = readdirSync(join(out, 'runs'));
  const { history, bestEpoch, metrics }: RunRecord = JSON.parse(readFileSync(runFile(out, name!), 'utf8'));
  assert.is.not(history![bestEpoch! - 1]!.test!['recall@20'], metrics['recall@20']);

  const path = join(out, 'runs', name!, 'model.safetensors');
  const model = await Model.load(path);
  await new Model({
    ...model,
    training: { ...model.training, neighborBlend: { itemKnn: 0, attributeKnn: 0.2, validationRecall: 0.9 } },
    blend: { ...model.blend!, itemKnn: 0 },
  }).save(path);
  const sha256 = await sha256OfFile(path);
  change(runFile(out, name!), (run: RunRecord) => {
    run.model!.sha256 = sha256;
  });
  rmSync(join(out, 'results.json'));
  const [found] = await faults(out);
  assert.match(found!.remarks.join('\n'), /^recall@20: .*, recomputed/m);
  assert.match(found!.remarks.join('\n'), /^neighborBlend: validation recall@20 of 0\.9, recomputed/m);
  assert.not.match(found!.remarks.join('\n'), /^history: /m);
});

verify('what keeps no model is not called ok; who wants models makes them', async () => {
  const out = temporaryFolder();
  const command = ['--data', data, '--variants', 'bpr-h', '--seeds', '1', '--epochs', '2', ...SMALL, '--out', out];
  assert.is((await script('reproduce', [...command, '--no-models'])).status, 0);
  const { status, stdout, stderr } = await script('reproduce', ['--verify', '--out', out]);
  assert.is(status, 0, stderr);
  assert.match(stdout, /^unchecked +bpr-h-seed1-\w+: no model was kept/);
  assert.match((await script('reproduce', [...command, '--no-models'])).stderr, /finished before/);
  const again = await script('reproduce', command);
  assert.not.match(again.stderr, /finished before/);
  assert.equal(await faults(out), []);
});

verify.run();
