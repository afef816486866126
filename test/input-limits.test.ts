// What is read cannot exhaust memory or time: one huge id, files that never end or that wait, bombs; ten times the bytes take ten times as long.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createDataset, type Dataset } from '../lib/data/dataset.ts';
import { evaluate } from '../lib/evaluate.ts';
import { train } from '../lib/train.ts';
import { VARIANTS } from '../lib/variants.ts';
import { fixture, folderWith, temporaryFolder } from './helpers.ts';
import type { ReadCost } from './read-once.ts';

const limits = suite('limits of input');

const MIB = 1 << 20;
const script = fileURLToPath(new URL('read-once.ts', import.meta.url));

function read(...args: string[]): ReadCost {
  const child = spawnSync(process.execPath, ['--import', 'tsx', script, ...args], {
    ...{ encoding: 'utf8', timeout: 120_000 },
    env: { ...process.env, HYPER_KNOW_SMALL: fixture('kgat') },
  });
  assert.is(child.status, 0, `ended with ${child.signal ?? child.status}: ${child.stderr}`);
  return JSON.parse(child.stdout) as ReadCost;
}

const KGAT = { 'train.txt': '0 0 1 2\n1 1 2\n', 'test.txt': '0 3\n1 0\n', 'kg_final.txt': '0 0 4\n1 1 5\n2 0 4\n3 1 5\n' };

/** What is not as promised of a file of so many bytes that is to be refused. */
const refusalProblems = ({ outcome, wall, work, grown }: ReadCost, bytes: number, expected: RegExp): string[] => [
  ...(expected.test(outcome) ? [] : [`it gave ${outcome.slice(0, 200)}`]),
  ...(Math.min(wall, work) < 1000 && wall < 10_000 ? [] : [`it took ${wall.toFixed(0)} ms, ${work.toFixed(0)} of them work`]),
  ...(grown <= 20 * bytes + 200 * MIB ? [] : [`it took ${(grown / MIB).toFixed(0)} MiB`]),
];

for (const id of [2 ** 31 - 1, 2 ** 32 - 2, '9'.repeat(5000)])
  limits(`one huge id among small ones: ${String(id).slice(0, 20)}`, () => {
    for (const [file, text] of Object.entries({
      'train.txt': `${KGAT['train.txt']}2 ${id}\n`,
      'kg_final.txt': `${KGAT['kg_final.txt']}0 0 ${id}\n`,
    })) {
      const cost = read('dataset', folderWith({ ...KGAT, [file]: text }));
      assert.equal(refusalProblems(cost, 200, new RegExp(`^ERR_HK_DATA ${file}`)), [], file);
    }
  });

limits('files that never end, that wait for a writer, or are none', () => {
  for (const [label, make] of Object.entries<(path: string) => void>({
    'a FIFO': (path) => execFileSync('mkfifo', [path]),
    'a link to /dev/zero': (path) => symlinkSync('/dev/zero', path),
    'a link to itself': (path) => symlinkSync(path, path),
    'a folder': (path) => mkdirSync(path),
  })) {
    if (process.platform === 'win32') continue;
    const folder = folderWith({ 'test.txt': KGAT['test.txt'], 'kg_final.txt': KGAT['kg_final.txt'] });
    make(join(folder, 'train.txt'));
    assert.equal(refusalProblems(read('dataset', folder), 200, /^ERR_HK_(IO|FORMAT) /), [], label);
    if (label === 'a folder' || label.endsWith('itself')) continue;
    make(join(folder, 'model'));
    assert.equal(refusalProblems(read('model', join(folder, 'model')), 0, /^ERR_HK_IO model/), [], `${label} as a model`);
    make(join(folder, 'orders.csv'));
    assert.equal(
      refusalProblems(read('import', join(folder, 'orders.csv'), 'u', 'i'), 0, /^ERR_HK_IO orders\.csv/),
      [],
      `${label} as a table`,
    );
  }
});

limits('gzip bombs: of zeros, of one line, of equal lines', () => {
  const bomb = (text: string, times: number) => gzipSync(Buffer.concat(new Array<Buffer>(times).fill(Buffer.from(text.repeat(1 << 16)))));
  for (const [label, packed, expected] of [
    ['zeros', bomb('\0\0\0\0', 1 << 10), /^ERR_HK_DATA train\.txt\.gz, line 1/],
    ['equal lines', bomb('0 1\n', 1 << 9), /^ERR_HK_DATA train\.txt\.gz.*expands to more than/],
  ] as const) {
    const { 'train.txt': _, ...rest } = KGAT;
    const cost = read('dataset', folderWith({ ...rest, 'train.txt.gz': packed }));
    const problems = refusalProblems({ ...cost, wall: 0, work: 0 }, packed.length, expected);
    assert.equal(
      label === 'zeros' ? refusalProblems(cost, packed.length, expected) : problems.filter((one) => !one.includes('MiB')),
      [],
      label,
    );
    console.log(
      `a bomb of ${label}, ${(packed.length / 1024).toFixed(0)} KiB: ${cost.wall.toFixed(0)} ms, ${(cost.grown / MIB).toFixed(0)} MiB`,
    );
  }
  const table = join(temporaryFolder(), 'orders.csv.gz');
  writeFileSync(table, gzipSync(Buffer.concat([Buffer.from('u,i\n"'), Buffer.alloc(1 << 26, 97)])));
  assert.equal(refusalProblems(read('import', table, 'u', 'i'), 1 << 16, /^ERR_HK_DATA orders\.csv\.gz, line 2/), []);
});

limits('planted: a reader that takes too long, takes too much or takes it is reported', () => {
  const cost: ReadCost = { outcome: 'ERR_HK_DATA', wall: 50, work: 50, grown: 1000 };
  assert.equal(refusalProblems(cost, 100, /^ERR/), []);
  for (const wrong of [{ outcome: 'ok' }, { wall: 2000, work: 1500 }, { wall: 11_000 }, { grown: 201 * MIB }, { grown: Number.NaN }])
    assert.is(refusalProblems({ ...cost, ...wrong }, 100, /^ERR/).length, 1);
});

// ── linear time ──

/** Milliseconds of work that ten times the bytes take for each that one takes. */
function growth(make: (scale: number) => string[]): number {
  const [one, ten] = [1, 10].map((scale) => {
    const costs = (scale === 1 ? [0, 1] : [0]).map(() => read(...make(scale)));
    for (const { outcome } of costs) assert.is(outcome, 'ok');
    return Math.min(...costs.map(({ work }) => work));
  });
  return ten! / Math.max(one!, 20); // below that it is not the bytes that take the time
}

const kgat = (text: string) => ['dataset', folderWith({ ...KGAT, 'train.txt': text })];

limits('ten times the bytes take at most twelve times the work: many lines, one long line, ids of text', () => {
  const growths: Record<string, number> = {};
  growths['many lines'] = growth((scale) => {
    const users = 10_000 * scale;
    return kgat(
      Array.from(
        { length: users },
        (_, user) => `${user} ${Array.from({ length: 20 }, (_, i) => (user + 977 * i) % 5000).join(' ')}\n`,
      ).join(''),
    );
  });
  growths['one long line'] = growth((scale) => kgat(`0 ${Array.from({ length: 150_000 * scale }, (_, i) => i).join(' ')}\n`));
  growths['ids of text'] = growth((scale) => {
    const rows = Array.from({ length: 30_000 * scale }, (_, i) => `user-${i}\titem-${(i * 7919) % (10_000 * scale)}\n`);
    return ['dataset', folderWith({ 'shop.inter': `user_id:token\titem_id:token\n${rows.join('')}` })];
  });
  console.log(
    `ten times the bytes: ${Object.entries(growths)
      .map(([name, factor]) => `${name} ${factor.toFixed(1)}`)
      .join(', ')} times the work`,
  );
  for (const [name, factor] of Object.entries(growths)) assert.ok(factor <= 12, `${name}: ${factor}`);
});

// ── data at the edge ──

const pairs = (users: number, items: number, has: (user: number, item: number) => boolean) =>
  Array.from({ length: users * items }, (_, i) => ({ user: Math.floor(i / items), item: i % items })).filter(({ user, item }) =>
    has(user, item),
  );
const triplesOf = (items: number, has: (item: number) => boolean) =>
  Array.from({ length: items }, (_, item) => ({ head: item, relation: 'r', tail: `e${item % 3}` })).filter(({ head }) => has(head));
const EDGES: Readonly<Record<string, () => Dataset>> = {
  'a user with every item': () =>
    createDataset({ interactions: pairs(5, 8, (u, i) => u === 0 || i === u), triples: triplesOf(8, () => true) }),
  'no negatives at all': () => createDataset({ interactions: pairs(4, 6, () => true), triples: triplesOf(6, () => true) }),
  'items without triples': () =>
    createDataset({ interactions: pairs(5, 8, (u, i) => (u + i) % 3 === 0), triples: triplesOf(8, (i) => i === 0) }),
  'no triples': () => createDataset({ interactions: pairs(5, 8, (u, i) => (u + i) % 3 === 0), triples: [] }),
  'users with test items alone': () =>
    createDataset({ interactions: pairs(3, 8, (u, i) => (u + i) % 3 === 0), triples: [], test: [{ user: 'new', item: 1 }] }),
  'one user': () => createDataset({ interactions: pairs(1, 8, (_, i) => i < 3), triples: triplesOf(8, () => true) }),
  'one item': () => createDataset({ interactions: pairs(8, 1, () => true), triples: triplesOf(1, () => true) }),
  'an empty test': () =>
    createDataset({ interactions: pairs(5, 8, (u, i) => (u + i) % 2 === 0), triples: triplesOf(8, () => true), test: [] }),
};

limits('data at the edge: an epoch ends, numbers are finite, and what has no triples has no L_K and no gradient of β', async () => {
  for (const [label, make] of Object.entries(EDGES))
    for (const { name } of VARIANTS)
      for (const loss of ['bpr', 'sampled-softmax'] as const) {
        const data = make();
        const losses: number[] = [];
        const options = { variant: name, loss, dim: 5, epochs: 2, batchSize: 7, backend: 'cpu' } as const;
        const model = await train(data, { ...options, onEpoch: ({ knowledgeLoss }) => void losses.push(knowledgeLoss) });
        for (const table of ['users', 'entities', 'relations', 'beta'] as const)
          assert.ok(model[table].every(Number.isFinite), `${label}, ${name}, ${loss}: ${table}`);
        if (data.graph.tails.length === 0)
          assert.ok(
            losses.every((one) => one === 0),
            `${label}, ${name}: L_K ${losses}`,
          );
        const beta = model.beta[0]!;
        const fresh = data.graph.tails.length === 0 || data.items === 1 ? model.beta : model.beta.subarray(0, 0);
        if (data.graph.tails.length === 0)
          assert.ok(
            fresh.every((one) => one === beta),
            `${label}, ${name}: β moved`,
          );
        await evaluate(model, data);
      }
});

limits.run();
