// The benchmarks as commands: bad arguments are one line and exit status 2, and the README's results are made from documents.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { resultsOf, withResults } from '../../scripts/bench/all.ts';
import { temporaryFolder } from '../helpers.ts';

const all = suite('bench');
const root = fileURLToPath(new URL('../..', import.meta.url));

const bench = (...args: string[]) =>
  spawnSync(process.execPath, ['--import', 'tsx', 'scripts/bench.ts', ...args], { cwd: root, encoding: 'utf8' });

for (const [args, expected] of [
  [['epoch', '--threads', 'many'], /^--threads: must be a number, got "many"\n$/],
  [['epoch', '--shape', 'none'], /^--shape: must be one of last-fm, amazon-book, yelp2018, got "none"\n$/],
  [['topk', '--k', '0'], /^--k: must be an integer from 1 to 24915, got 0\n$/],
  [['scale', '--triples', '1e5,1'], /^--triples: must be an integer from 1000 /],
  [['load', '--shapes', 'small'], /^--shapes: must be one of /],
  [['kernels', '--repeat', '3'], /^Unknown option '--repeat'/],
  [['nothing'], /^usage: npm run bench -- all \| backends \| ceilings/],
] as [string[], RegExp][])
  all(`bad usage: ${args.join(' ')}`, () => {
    const { status, stderr } = bench(...args);
    assert.is(status, 2, stderr);
    assert.match(stderr, expected);
  });

all('a small run: every answer is exact, and the document has the machine, the command and the medians', () => {
  const file = join(temporaryFolder(), 'topk.json');
  const { status, stderr } = bench(
    ...['topk', '--users', '64', '--items', '500', '--dim', '8', '--k', '5', '--rounds', '2', '--checked', '20', '--backend', 'cpu'],
    ...['--peers', 'none', '--json', file],
  );
  assert.is(status, 0, stderr);
  const document = JSON.parse(readFileSync(file, 'utf8'));
  assert.is(
    document.command,
    'npm run bench -- topk --users 64 --items 500 --dim 8 --k 5 --rounds 2 --checked 20 --backend cpu --peers none',
  );
  assert.is(document.node, process.version);
  assert.is(document.contenders[0].differing, 0);
  assert.ok(document.contenders[0].secondsPerQuery.median > 0);
  assert.is(document.contenders[0].secondsPerQuery.runs, 2);
});

all('the section of results is replaced, and nothing else', () => {
  const readme = readFileSync(new URL('../../scripts/bench/README.md', import.meta.url), 'utf8');
  const document = {
    ...{ benchmark: 'b', command: 'npm run bench -- b', backend: 'cpu', device: 'CPU', processor: 'Q', processors: 2, memoryBytes: 1 },
    ...{ platform: 'p', node: 'v20', loadBefore: 0, tables: [{ title: 'T', columns: ['a', 'b'], rows: [['1', '2']] }] },
  };
  const once = withResults(readme, resultsOf([{ document }]));
  assert.match(once, /\n## Results\n\n### `npm run bench -- b`\n\nCPU; Q, 2 processors; .*\.\n\n\*\*T\*\*\n\n\| a \| b \|\n/);
  assert.is(withResults(once, resultsOf([{ document }])), once);
  const around = (text: string) => [text.slice(0, text.indexOf('## Results')), text.slice(text.indexOf('\n## What was tried'))];
  assert.equal(around(once), around(readme));
});

all.run();
