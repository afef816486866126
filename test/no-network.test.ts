// Importing, loading, training, recommending, saving: no network, no other program, no code out of strings. strace
// sees what the process asks of the kernel; a scan of lib/ sees what no run comes by.
import { spawnSync } from 'node:child_process';
import { closeSync, existsSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { join, relative, sep } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { fixture, temporaryFolder } from './helpers.ts';
import { straceObstacle } from './strace.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const silent = suite('no network, no programs');

const url = (path: string): string => JSON.stringify(pathToFileURL(join(root, path)).href);
/** The compiled package, since tsx, which tests run under, has a socket of its own. */
const ordinary = `
  import { evaluate, loadDataset, Model, train } from ${url('dist/index.js')};
  import { topK } from ${url('dist/kernels.js')};
  for (const folder of ${JSON.stringify([fixture('kgat'), fixture('recbole')])}) {
    const dataset = await loadDataset(folder);
    const model = await train(dataset, { epochs: 3, dim: 4, batchSize: 16, backend: 'cpu', checkpoint: { path: 'checkpoint', every: 1 } });
    await evaluate(model, dataset);
    await model.save('model');
    const again = await Model.load('model');
    const [user, item] = [again.userIds[0], again.itemIds[0]];
    again.recommend(user, 3);
    again.explain(user, item);
    again.foldInUser([item]);
    topK({ users: model.users, items: model.entities, dim: model.dim, k: 2 }, { backend: 'cpu' });
  }
`;

interface Seen {
  status: number | null;
  output: string;
  /** Lines of strace about sockets, and about programs that were started, but for the process itself. */
  network: string[];
  programs: string[];
}

function traced(program: string): Seen {
  const folder = temporaryFolder();
  const args = ['-f', '-qq', '-e', 'trace=%network,execve,execveat', '-e', 'signal=none', '-o', 'trace', process.execPath];
  // With CUDA in the addon, the driver would be looked for; what it does then is not ours.
  const env = { ...process.env, CUDA_VISIBLE_DEVICES: '', NODE_OPTIONS: '' };
  const output = join(folder, 'output'); // a file: Node asks what kind of socket a pipe to its parent is
  const stdio = ['ignore', openSync(output, 'w'), openSync(output, 'a')];
  const { status } = spawnSync('strace', [...args, '--input-type=module', '--eval', program], {
    cwd: folder,
    env,
    stdio: stdio as 'ignore'[],
  });
  for (const file of stdio.slice(1)) closeSync(file as number);
  const trace = existsSync(join(folder, 'trace')) ? readFileSync(join(folder, 'trace'), 'utf8').trimEnd().split('\n') : [];
  const programs = trace.filter((line) => /\bexecve(at)?\(/.test(line));
  return {
    status,
    output: readFileSync(output, 'utf8'),
    network: trace.filter((line) => !programs.includes(line) && /^\d+ +(<\.\.\. )?\w+[( ]/.test(line)),
    programs: programs.slice(1),
  };
}

if (straceObstacle !== undefined) console.log(`skipped: ${straceObstacle}; what the package asks of the kernel is not looked at`);
const watched = straceObstacle === undefined ? silent : silent.skip;

watched('import, load, train, evaluate, save, load, recommend, explain: 0 connections, 0 programs', () => {
  const { status, output, network, programs } = traced(ordinary);
  assert.is(status, 0, output);
  assert.equal(network, []);
  assert.equal(programs, []);
  console.log(`strace: ${network.length} calls about sockets, ${programs.length} programs started`);
});

for (const [label, line, where, expected] of [
  [
    'a connection',
    `import('node:net').then(({ connect }) => connect(9, '127.0.0.1').on('error', () => {}));`,
    'network',
    /connect\(.*AF_INET/,
  ],
  ['a name looked up', `import('node:dns').then(({ Resolver }) => new Resolver().resolve('x.invalid', () => {}));`, 'network', /AF_INET/],
  ['a program', `import('node:child_process').then(({ spawnSync }) => spawnSync('true'));`, 'programs', /execve\(".*true"/],
] as const)
  watched(`planted: ${label} is seen`, () => {
    const { status, output, ...seen } = traced(`import ${url('dist/index.js')};\n${line}`);
    assert.is(status, 0, output);
    assert.match(seen[where].join('\n'), expected);
  });

/** What may stand in lib/ only where `allowed` says so, and why. */
const rules: readonly { what: string; pattern: RegExp; allowed: Readonly<Record<string, string>> }[] = [
  {
    what: 'code out of a string',
    pattern: /\beval\s*\(|\(\s*\d+\s*,\s*eval\s*\)|\bglobalThis\s*[.[]|\bFunction\s*\(|['"](node:)?(vm|repl|inspector)['"/]/,
    allowed: {},
  },
  {
    what: 'a program of its own',
    pattern: /['"](node:)?(child_process|cluster)['"]/,
    allowed: {
      'lib/cli/checkout.ts': '`hyper-know bench` and `reproduce` start the scripts of a checkout, by their fixed names and without a shell',
    },
  },
  {
    what: 'the network',
    pattern: /['"](node:)?(net|tls|https?|http2|dgram|dns)(\/promises)?['"]|\bfetch\s*\(|\b(WebSocket|EventSource|XMLHttpRequest)\b/,
    allowed: {},
  },
  {
    what: 'a module that is named at run time',
    pattern: /\bimport\((?!['"])|\bcreateRequire\b|\bprocess\.(binding|dlopen)\b/,
    allowed: { 'lib/native.ts': 'the addon, which ES modules cannot import, by way of node-gyp-build' },
  },
  {
    what: 'a thread',
    pattern: /\bnew Worker\b/,
    allowed: { 'lib/data/tables/parquet.ts': 'reads Parquet in parquet-worker.ts beside it, so that the event loop stays free' },
  },
];

/** `file:line: what` for everything in these sources that no rule allows, and for every allowance that nothing needs any more. */
function forbidden(sources: ReadonlyMap<string, string>): string[] {
  const found: string[] = [];
  for (const { what, pattern, allowed } of rules) {
    const unused = new Set(Object.keys(allowed));
    for (const [file, source] of sources)
      source.split('\n').forEach((line, i) => {
        if (/^\s*(\/\/|\/?\*)/.test(line) || !pattern.test(line.replace(/(^|\s)\/\/ .*$/, ''))) return;
        if (!unused.delete(file) && !(file in allowed)) found.push(`${file}:${i + 1}: ${what}`);
      });
    found.push(...[...unused].map((file) => `${file}: is allowed ${what} and has none`));
  }
  return found;
}

const sources = new Map(
  readdirSync(join(root, 'lib'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => join(entry.parentPath, entry.name))
    .map((path) => [relative(root, path).split(sep).join('/'), readFileSync(path, 'utf8')]),
);

silent('lib/ holds no eval, no network and, but for what is listed, no child process', () => {
  assert.ok(sources.size > 100, `${sources.size} files`);
  assert.equal(forbidden(sources), []);
});

silent('planted: each of them is found, and an allowance that nothing needs', () => {
  for (const line of [
    'const f = eval("1");',
    'const f = (0, eval)("1");',
    "const g = new Function('return 1');",
    "import { runInNewContext } from 'node:vm';",
    "import { exec } from 'child_process';",
    "import { get } from 'node:https';",
    "const { lookup } = await import('node:dns/promises');",
    'await fetch(url);',
    'await import(name);',
    'new Worker(source, { eval: true });',
  ])
    assert.ok(
      forbidden(new Map([...sources, ['lib/planted.ts', `export {};\n${line}\n`]])).some((fault) => fault.startsWith('lib/planted.ts:2: ')),
      line,
    );
  assert.equal(forbidden(new Map([...sources, ['lib/native.ts', '']])), [
    'lib/native.ts: is allowed a module that is named at run time and has none',
  ]);
});

silent.run();
