// `npm run reproduce -- --figures …` as a whole: one list of runs with the tables, what it writes, that it goes on where it stopped, that shards make
// the same, that data alone draw the same again, and that --verify finds what was altered.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parseCommand } from '../../scripts/reproduce/command.ts';
import { fixture, temporaryFolder } from '../helpers.ts';
import { script } from '../reproducing.ts';

const figures = suite('figures from the command line');

function run(script: string, ...args: string[]) {
  const path = fileURLToPath(new URL(`../../scripts/${script}`, import.meta.url));
  return spawnSync(process.execPath, ['--import', 'tsx', path, ...args], { encoding: 'utf8' });
}

const OPTIONS = [
  '--data',
  fixture('kgat'),
  '--seeds',
  '2',
  '--epochs',
  '4',
  '--backend',
  'cpu',
  '--threads',
  '1',
  '--options',
  '{"dim":4,"batchSize":16,"evaluateEvery":2}',
];

figures('all figures of a small data set; the second time nothing is trained and nothing changes', () => {
  const out = temporaryFolder();
  const all = ['--figures', 'all', '--betas', '0,0.1,1', ...OPTIONS, '--out', out];
  const first = run('reproduce.ts', ...all);
  assert.is(first.status, 0, first.stderr);
  const folder = join(out, 'figures');
  const names = ['figure2', 'figure2-trajectory', 'radius-degree', 'learning-curves'];
  const found = readdirSync(folder);
  for (const name of names) assert.ok(found.includes(`${name}.svg`) && found.includes(`${name}.json`), `${name} in ${found}`);
  assert.ok(found.includes('figure3.json') && found.some((name) => /^figure3-.+\.svg$/.test(name)), `${found}`);
  assert.not.ok(found.includes('runs'), 'the runs are where those of the tables are');
  const kept = readdirSync(join(out, 'runs'));
  assert.is(kept.length, 2 * 4 + 1);
  const sweep = JSON.parse(readFileSync(join(folder, 'figure2.json'), 'utf8'));
  assert.equal([sweep.fixed.map(({ weight }: { weight: number }) => weight), sweep.seeds, sweep.data], [[0, 0.1, 1], [1, 2], 'kgat']);
  assert.ok(
    sweep.fixed.every(({ values }: { values: Record<string, number[]> }) =>
      values['recall@20']!.every((value) => value >= 0 && value <= 1),
    ),
  );
  const planar = JSON.parse(readFileSync(join(folder, 'figure3.json'), 'utf8'));
  assert.equal([planar.options.dim, planar.curvature], [2, 1]);
  assert.match(first.stdout, /^Radius against degree\nDistance from the origin .*items: (ρ = |all of one degree)/m);
  assert.match(first.stdout, /^Entropy of the attention\nNot drawn: no item has two triples/m);
  assert.not.match(readFileSync(join(out, 'report.html'), 'utf8'), /undefined|NaN|\[object/);

  const bytes = () =>
    new Map(
      [
        ...readdirSync(folder)
          .filter((name) => name.includes('.'))
          .map((name) => join(folder, name)),
        join(out, 'report.html'),
      ].map((path) => [path, readFileSync(path, 'utf8')]),
    );
  const before = bytes();
  const runFile = (name: string) => join(out, 'runs', name, 'run.json');
  const times = kept.map((name) => statSync(runFile(name)).mtimeMs);
  const damaged = kept.find((name) => JSON.parse(readFileSync(runFile(name), 'utf8')).key.options.beta === 1)!;
  writeFileSync(runFile(damaged), '{"key":'); // counts as none
  const second = run('reproduce.ts', ...all);
  assert.is(second.status, 0, second.stderr);
  assert.equal(bytes(), before);
  assert.is(second.stderr.match(/finished before/g)!.length, 2 * 4);
  kept.forEach((name, i) => void (name !== damaged && assert.is(statSync(runFile(name)).mtimeMs, times[i]!, name)));

  for (const path of before.keys()) if (!path.endsWith('.json')) rmSync(path);
  const again = run('reproduce/figures/redraw.ts', out);
  assert.is(again.status, 0, again.stderr);
  assert.equal(bytes(), before);
});

figures('one entity, with a name, in the plane; an entity that the data do not have is an error before anything is trained', () => {
  const out = temporaryFolder();
  const names = join(temporaryFolder(), 'names.tsv');
  writeFileSync(names, '3\tA <name>\n');
  const made = run('reproduce.ts', '--figures', '3', '--entity', '3', '--names', names, ...OPTIONS, '--out', out);
  assert.is(made.status, 0, made.stderr);
  assert.match(made.stdout, /^A <name> with \d+ neighbours/m);
  assert.ok(readFileSync(join(out, 'figures', 'figure3-3.svg'), 'utf8').includes('A &lt;name&gt; and its two-hop neighbours'));
  const next = run('reproduce.ts', '--figures', '3', '--entity', '5,6', ...OPTIONS, '--out', out);
  assert.is(next.status, 0, next.stderr);
  assert.match(next.stderr, /finished before/);
  assert.equal(
    readdirSync(join(out, 'figures'))
      .filter((name) => name.startsWith('figure3-'))
      .sort(),
    ['figure3-5.svg', 'figure3-6.svg'],
  );
  const mixed = run('reproduce.ts', '--figures', 'radius', '--epochs', '1', '--backend', 'cpu', '--out', out);
  assert.match(mixed.stderr, /--out: .* holds figures of kgat; give those of synthetic world another folder/);
  const other = temporaryFolder();
  const missing = run('reproduce.ts', '--figures', '3', '--entity', 'nobody', ...OPTIONS, '--out', other);
  assert.is(missing.status, 2);
  assert.match(missing.stderr, /--entity: the data have no entity "nobody"/);
  assert.ok(!existsSync(join(other, 'figures')));
  const untested = temporaryFolder();
  writeFileSync(join(untested, 'train.txt'), '0 0 1 2\n1 1 2 3\n2 0 3 4\n');
  writeFileSync(join(untested, 'kg_final.txt'), '0 0 5\n1 0 5\n2 1 5\n3 0 6\n4 0 6\n0 1 6\n');
  const alone = (...args: string[]) =>
    run('reproduce.ts', ...args, '--data', untested, '--epochs', '2', '--backend', 'cpu', '--out', other);
  assert.match(alone('--figures', '2').stderr, /--figures: 2 compares metrics of the test split, and the data have none/);
  for (const _ of ['trained', 'found']) assert.is(alone('--figures', '3,radius', '--entity', '5').status, 0);
  const unread = run('reproduce.ts', '--figures', '3', '--names', join(other, 'no-such.tsv'), '--out', other);
  assert.is(unread.status, 3);
  assert.is(unread.stderr, 'reproduce: --names: no-such.tsv cannot be read (ENOENT)\n');
  assert.throws(() => parseCommand(['--figures', '2', '--ablate']), /^--figures: goes without --ablate$/);
});

/** Names of finished runs. */
const finishedIn = (out: string): string[] =>
  readdirSync(join(out, 'runs'))
    .filter((name) => !name.startsWith('.'))
    .sort();

figures(
  'one list of runs for tables and figures: shared, listed by --dry-run, made in shards by two processes, merged by --from',
  async () => {
    const out = temporaryFolder();
    const command = ['--tables', '2,3', '--figures', '2,3', '--betas', '0,0.1,1', '--no-controls', '--preset', 'both', ...OPTIONS];
    const plan = run('reproduce.ts', ...command, '--out', out, '--dry-run');
    assert.is(plan.status, 0, plan.stderr);
    // Six variants in two presets, three fixed weights, two seeds each; the adaptive runs of Figure 2 are among the variants; one plane.
    const wanted = 2 * (2 * 6 + 3) + 1;
    const listed = [...plan.stdout.matchAll(/^\| ([\w-]+-[0-9a-f]{16}) +\| to do \|/gm)].map(([, name]) => name!).sort();
    assert.is(listed.length, wanted, plan.stdout);
    assert.match(plan.stdout, new RegExp(`^${wanted} runs, 0 finished; .*; models of \\d+ [KM]iB in all$`, 'm'));
    assert.not.ok(existsSync(join(out, 'figures')));

    const [left, right] = [temporaryFolder(), temporaryFolder()];
    const shards = await Promise.all(
      [left, right].map((folder, i) => script('reproduce', [...command, '--out', folder, '--shard', `${i + 1}/2`])),
    );
    for (const { status, stderr } of shards) assert.is(status, 0, stderr);
    assert.equal([...finishedIn(left), ...finishedIn(right)].sort(), listed);
    assert.not.ok(existsSync(join(left, 'figures')) || existsSync(join(left, 'results.json')), 'a shard draws nothing');
    const merged = run('reproduce.ts', ...command, '--out', left, '--from', right);
    assert.is(merged.status, 0, merged.stderr);
    assert.is(merged.stderr.match(/\((finished before|taken over)\)$/gm)!.length, wanted, merged.stderr);
    const whole = run('reproduce.ts', ...command, '--out', out);
    assert.is(whole.status, 0, whole.stderr);
    assert.equal(finishedIn(out), listed);
    for (const name of ['figure2.json', 'figure2.svg', 'figure2-trajectory.svg', 'figure3.json'])
      assert.is(readFileSync(join(left, 'figures', name), 'utf8'), readFileSync(join(out, 'figures', name), 'utf8'), name);
    const sweep = JSON.parse(readFileSync(join(out, 'figures', 'figure2.json'), 'utf8'));
    assert.is(sweep.preset, 'tuned', 'with both presets the figures are of the tuned one');
    const results = JSON.parse(readFileSync(join(out, 'results.json'), 'utf8'));
    const tuned = results.rows.find(
      ({ method, preset }: { method: string; preset: string }) => method === 'hyper-know' && preset === 'tuned',
    );
    assert.equal(sweep.folders, tuned.runs, 'the adaptive runs are those of the table');
  },
);

figures('killed in the midst of the fixed weights, the same command goes on to the same bytes', async () => {
  const out = temporaryFolder();
  const command = ['--figures', '2', '--betas', '0,0.1,1', ...OPTIONS];
  let finished = 0;
  const killed = await script('reproduce', [...command, '--out', out], (child) => {
    child.stderr!.on('data', (text: string) => {
      finished += text.match(/^\[\d+\/8\]/gm)?.length ?? 0;
      if (finished >= 3) child.kill('SIGKILL');
    });
  });
  assert.is(killed.signal, 'SIGKILL');
  const before = finishedIn(out).length;
  assert.ok(before >= 3 && before < 8, `${before}`);
  const again = run('reproduce.ts', ...command, '--out', out);
  assert.is(again.status, 0, again.stderr);
  assert.is(again.stderr.match(/finished before/g)!.length, before);
  const whole = temporaryFolder();
  assert.is(run('reproduce.ts', ...command, '--out', whole).status, 0);
  const read = (folder: string) => readFileSync(join(folder, 'figures', 'figure2.json'), 'utf8');
  assert.is(read(out), read(whole));
});

figures('models of which something is drawn are kept, whatever is said of the others', () => {
  const out = temporaryFolder();
  const command = ['--figures', 'all', '--betas', '0,0.1,1', ...OPTIONS, '--no-models', '--out', out];
  assert.is(run('reproduce.ts', ...command).status, 0);
  const withModel = finishedIn(out).filter((name) => existsSync(join(out, 'runs', name, 'model.safetensors')));
  assert.is(withModel.length, 2, 'of the first adaptive run and of the plane');
  const verified = run('reproduce.ts', '--verify', '--out', out);
  assert.is(verified.status, 0, verified.stdout);
  assert.match(verified.stdout, /^2 ok, 0 different, 0 missing, 7 unchecked$/m);
});

/** The cells of the tables of a page, line by line, by caption; a line that is marked as quoted begins with `quoted`. */
function tablesIn(html: string): Map<string, string[][]> {
  const textOf = (markup: string) =>
    markup
      .replace(/<[^>]+>/g, '')
      .replaceAll('&lt;', '<')
      .replaceAll('&gt;', '>')
      .replaceAll('&amp;', '&');
  const tables = [...html.matchAll(/<table(?: class="wide")?><caption>(.*?)<\/caption>(.*?)<\/table>/g)];
  return new Map(
    tables.map(([, caption, body]) => [
      textOf(caption!),
      [...body!.matchAll(/<tr( class="quoted")?>(.*?)<\/tr>/g)].map(([, quoted, line]) => [
        ...(quoted ? ['quoted'] : []),
        ...[...line!.matchAll(/<t[hd][^>]*>(.*?)<\/t[hd]>/g)].map(([, cell]) => textOf(cell!)),
      ]),
    ]),
  );
}

interface Spread {
  mean: number;
  sd: number | null;
}
const spread = ({ mean, sd }: Spread): string => (sd === null ? mean.toFixed(4) : `${mean.toFixed(4)} ± ${sd.toFixed(4)}`);

/** Methods of results.json whose line in the report's comparison is missing or says something else. */
function wrongLines(html: string, rows: { label: string; metrics: Record<string, Spread> }[]): string[] {
  const lines = [...tablesIn(html)].find(([caption]) => caption.startsWith('Test split, mean'))?.[1] ?? [];
  const columns = ['recall@20', 'ndcg@20', 'ndcgKgat@20'];
  return rows
    .filter(({ label, metrics }) => {
      const cells = lines.find(([first]) => first === label)?.slice(1, 4);
      return cells?.join('|') !== columns.map((name) => spread(metrics[name]!)).join('|');
    })
    .map(({ label }) => label);
}

figures(
  'tables and figures in one command: the report has both, as results.json and the tables say; planted: what --verify finds of figures',
  () => {
    const out = temporaryFolder();
    const made = run('reproduce.ts', '--tables', '2,3,4', '--figures', 'all', '--betas', '0,0.1,1', ...OPTIONS, '--out', out);
    assert.is(made.status, 0, made.stderr);
    const html = readFileSync(join(out, 'report.html'), 'utf8');
    const results = JSON.parse(readFileSync(join(out, 'results.json'), 'utf8'));
    assert.equal([results.schema, results.rows.length], ['hyper-know/results/3', 13]);
    assert.equal(wrongLines(html, results.rows), []);
    results.rows[3].metrics['recall@20'].mean += 0.001;
    results.rows[9].label = 'another';
    assert.equal(wrongLines(html, results.rows), [results.rows[3].label, 'another'], 'what the page does not say is seen');

    const shown = tablesIn(html);
    for (const number of [2, 3, 4]) {
      const { title, rows } = JSON.parse(readFileSync(join(out, 'tables', `table${number}.json`), 'utf8'));
      const [, ...lines] = shown.get(`Table ${number}. ${title}`) ?? [];
      assert.is(lines.length, rows.length, `lines of Table ${number}`);
      rows.forEach(({ quoted, cells }: { quoted: boolean; cells: Record<string, unknown> }, i: number) => {
        assert.is(lines[i]![0] === 'quoted', quoted);
        assert.ok(lines[i]!.includes(String(cells.method)), `${lines[i]}: ${cells.method}`);
        if (number === 4 && quoted) assert.ok(lines[i]!.includes(String(cells.mean)), `${lines[i]}: ${cells.mean} as the paper has it`);
      });
      assert.ok(rows.some(({ quoted }: { quoted: boolean }) => quoted) && !rows.every(({ quoted }: { quoted: boolean }) => quoted));
    }
    for (const topic of results.ledgers.tuned.map((one: { topic: string }) => one.topic))
      assert.ok(
        [...shown].some(([caption, lines]) => caption.startsWith('Ledger, tuned') && lines.some((line) => line.includes(topic))),
        topic,
      );
    assert.match(html, /<h2 id="learning-curves">/);
    assert.not.match(html, /undefined|NaN|\[object/);

    const verified = run('reproduce.ts', '--verify', '--out', out);
    assert.is(verified.status, 0, verified.stdout);
    assert.match(verified.stdout, /^\d+ ok, 0 different, 0 missing, 0 unchecked$/m);
    assert.match(verified.stdout, /^figures: 6 ok, 0 different, 0 missing, 0 unchecked$/m);

    const figure = (name: string) => join(out, 'figures', `${name}.json`);
    const change = (path: string, from: RegExp, to: string) => {
      const text = readFileSync(path, 'utf8');
      assert.match(text, from);
      writeFileSync(path, text.replace(from, to));
      return () => writeFileSync(path, text);
    };
    const faults: [what: string, plant: () => () => void, expected: RegExp][] = [
      [
        'a value of the sweep',
        () => change(figure('figure2'), /("recall@20":\[)/, '$10.5,'),
        /^different +figures\/figure2: figure2\.json: fixed\[0\]\.values\.recall@20 has 3 parts, recomputed 2/m,
      ],
      [
        'a percentile',
        () => change(figure('figure2-trajectory'), /"p95":[\d.]+/, '"p95":0.75'),
        /^different +figures\/figure2-trajectory: figure2-trajectory\.json: runs\[0\]\.all\[0\]\.p95 0\.75, recomputed [\d.]+/m,
      ],
      [
        'where a node is',
        () => change(figure('figure3'), /"x":-?[\d.e-]+/, '"x":0.123'),
        /^different +figures\/figure3: figure3\.json: entities\[0\]\.nodes\[0\]\.x 0\.123, recomputed /m,
      ],
      [
        'a loss',
        () => change(figure('learning-curves'), /("rankingLoss":\[)[\d.]+/, '$10.1'),
        /^different +figures\/learning-curves: .*rankingLoss\[0\] 0\.1, recomputed /m,
      ],
      [
        'a drawing',
        () => change(join(out, 'figures', 'radius-degree.svg'), /<\/svg>/, '<text>more</text></svg>'),
        /^different +figures\/radius-degree: radius-degree\.svg is not what its data give$/m,
      ],
      ['the page', () => change(join(out, 'report.html'), /<\/main>/, '<p>more</p></main>'), /^different +report\.html: it is not what /m],
      [
        'a drawing that is gone',
        () => {
          const path = join(out, 'figures', 'learning-curves.svg');
          const text = readFileSync(path);
          rmSync(path);
          return () => writeFileSync(path, text);
        },
        /^missing +figures\/learning-curves: learning-curves\.svg is not there$/m,
      ],
    ];
    for (const [what, plant, expected] of faults) {
      const undo = plant();
      const { status, stdout, stderr } = run('reproduce.ts', '--verify', '--out', out);
      assert.is(status, 5, `${what}: ${stderr}`);
      assert.match(stdout, expected, what);
      undo();
    }
    rmSync(join(out, 'runs', JSON.parse(readFileSync(figure('figure2'), 'utf8')).fixed[2].folders[1]), { recursive: true });
    const lost = run('reproduce.ts', '--verify', '--out', out);
    assert.is(lost.status, 5);
    assert.match(lost.stdout, /^missing +hyper-know-seed2-[0-9a-f]{16}: run\.json is not there$/m);
    assert.match(lost.stdout, /^missing +figures\/figure2: run\.json is not there$/m);
  },
);

figures.run();
