// `npm run reproduce -- --figures …` as a whole: what it writes, that it goes on where it stopped, and that data alone draw the same again.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parseCommand } from '../../scripts/reproduce/command.ts';
import { fixture, temporaryFolder } from '../helpers.ts';

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
  const kept = readdirSync(join(folder, 'runs'));
  assert.is(kept.filter((name) => name.endsWith('.json')).length, 2 * 4 + 1);
  assert.is(kept.filter((name) => name.endsWith('.safetensors')).length, 2, 'of the first adaptive run and of the plane');
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
  const times = kept.map((name) => statSync(join(folder, 'runs', name)).mtimeMs);
  const damaged = kept.find((name) => name.startsWith('fixed-1-'))!;
  writeFileSync(join(folder, 'runs', damaged), '{"key":'); // counts as none
  const second = run('reproduce.ts', ...all);
  assert.is(second.status, 0, second.stderr);
  assert.equal(bytes(), before);
  assert.is(second.stderr.match(/finished before/g)!.length, 2 * 4);
  kept.forEach((name, i) => void (name !== damaged && assert.is(statSync(join(folder, 'runs', name)).mtimeMs, times[i]!, name)));

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
  for (const other of [['--ablate'], ['--verify'], ['--dry-run'], ['--shard', '1/2']])
    assert.throws(() => parseCommand(['--figures', '2', ...other]), new RegExp(`^--figures: goes without ${other[0]}$`));
  assert.throws(() => parseCommand(['--figures', '2', '--preset', 'both']), /^--figures: goes with one preset$/);
});

/** The cells of the tables of a page, line by line, by caption; a line that is marked as quoted begins with `quoted`. */
function tablesIn(html: string): Map<string, string[][]> {
  const textOf = (markup: string) =>
    markup
      .replace(/<[^>]+>/g, '')
      .replaceAll('&lt;', '<')
      .replaceAll('&gt;', '>')
      .replaceAll('&amp;', '&');
  const tables = [...html.matchAll(/<table><caption>(.*?)<\/caption>(.*?)<\/table>/g)];
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
  'tables and figures in one command: the report has both, as results.json and the tables say; verify looks at neither figure nor page',
  () => {
    const out = temporaryFolder();
    const made = run('reproduce.ts', '--tables', '2,3,4', '--figures', 'curves', ...OPTIONS, '--out', out);
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
  },
);

figures.run();
