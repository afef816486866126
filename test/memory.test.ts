// The estimate of memory against what a training takes: a process of its own, so that nothing else has grown it.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { estimateMemory } from '../lib/memory.ts';
import { synthetic } from '../lib/data/synthetic.ts';
import { temporaryFolder, writeKgat } from './helpers.ts';

const memory = suite('memory');

const data = { shape: 'last-fm', seed: 1 } as const;

for (const loss of ['bpr', 'sampled-softmax'] as const)
  memory(`what training the shape of Last-FM takes, ${loss}: half to twice the estimate`, () => {
    const options = { dim: 32, epochs: 2, evaluateEvery: 1, batchSize: 4096, backend: 'cpu', loss, seed: 1 } as const;
    const program = `
      import { synthetic } from ${JSON.stringify(new URL('../lib/data/synthetic.ts', import.meta.url).href)};
      import { estimateMemory } from ${JSON.stringify(new URL('../lib/memory.ts', import.meta.url).href)};
      import { train } from ${JSON.stringify(new URL('../lib/train.ts', import.meta.url).href)};
      const data = synthetic(${JSON.stringify(data)});
      globalThis.gc();
      const before = process.memoryUsage().rss;
      let most = before;
      const timer = setInterval(() => { most = Math.max(most, process.memoryUsage().rss); }, 5);
      await train(data, ${JSON.stringify(options)});
      clearInterval(timer);
      console.log(JSON.stringify({ grown: most - before, total: estimateMemory(data, ${JSON.stringify(options)}).total }));`;
    const args = ['--expose-gc', '--import', import.meta.resolve('tsx'), '--input-type=module', '-e', program];
    const { stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
    const { grown, total } = JSON.parse(stdout || '{}');
    assert.ok(grown > total / 2 && grown < 2 * total, `grew by ${grown}, estimated ${total} ${stderr}`);
  });

memory('it grows with what costs memory', () => {
  const small = synthetic({ seed: 1 });
  const of = (options: Parameters<typeof estimateMemory>[1]) => estimateMemory(small, options).total;
  assert.ok(of({ dim: 128 }) > 1.8 * of({ dim: 64 }));
  assert.ok(of({ checkpoint: { path: 'x' } }) > of({}));
  assert.ok(of({ averaging: true }) > of({}));
  assert.ok(of({ variant: 'bpr-h' }) < of({}));
  assert.ok(of({ sharedEntities: true }) > of({ sharedEntities: false }));
  assert.ok(of({ sharedUsers: true }) > of({ sharedUsers: false }));
  assert.ok(of({ loss: 'sampled-softmax', negatives: 512 }) > of({ loss: 'sampled-softmax', negatives: 64 }));
});

memory(
  'the parameters are what training keeps of every row: itself, its point, two moments and a gap; of the average as much again',
  () => {
    const { users, entities, relations, items, train: interactions, graph } = synthetic({ seed: 1 });
    const rows = users + entities + relations;
    const dim = 64;
    const atLeast = (bytes: number, wanted: number) =>
      assert.ok(bytes >= wanted && bytes <= wanted + 30 * 512, `${bytes} bytes, at least ${wanted} of them in tables`);
    const of = (options: Parameters<typeof estimateMemory>[1]) => estimateMemory(synthetic({ seed: 1 }), { dim, ...options });
    atLeast(of({}).parameters, rows * (4 * dim * 4 + 8) + items * 12);
    atLeast(of({ parameters: 'ball' }).parameters, rows * (3 * dim * 4 + 8) + items * 12);
    atLeast(of({ averaging: true }).parameters, rows * (6 * dim * 4 + 16) + items * 12);
    atLeast(of({ adam: 'exact' }).parameters, rows * (4 * dim * 4 + 12) + items * 16);
    const { graph: held, batch, host, parameters, total } = of({});
    assert.ok(held > 4 * (2 * graph.tails.length + 2 * interactions.items.length));
    assert.is(total, parameters + batch + held + host);
  },
);

/** Reads a folder and trains an epoch, and prints what the process had in memory at most. `planted`: as if 64 MiB that reading left were not given back. */
const LOADING = `
  import { readFileSync } from 'node:fs';
  import { loadDataset, train } from 'hyper-know';
  const [folder, dim, planted] = process.argv.slice(1);
  const dataset = await loadDataset(folder);
  const left = Buffer.alloc(planted ? 64 << 20 : 0, 1);
  await train(dataset, { dim: Number(dim), backend: 'cpu', threads: 2, epochs: 1, earlyStopping: false });
  if (left[0] === 0) throw new Error('it is in use until here');
  console.log(1024 * Number(/VmHWM:\\s+(\\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]));`;

(process.platform === 'linux' ? memory : memory.skip)(
  'a process that reads the shape of Last-FM and trains an epoch has at most 3 times the parameters and their moments',
  () => {
    const dim = 64;
    const world = synthetic({ ...data, validationFraction: 0 });
    const folder = temporaryFolder();
    writeKgat(folder, world);
    const tables = 3 * 4 * dim * (world.users + world.entities + world.relations);
    const peak = (...planted: string[]) => {
      const args = ['--input-type=module', '-e', LOADING, folder, String(dim), ...planted];
      const { stdout, stderr } = spawnSync(process.execPath, args, {
        encoding: 'utf8',
        cwd: fileURLToPath(new URL('..', import.meta.url)),
      });
      assert.is(stderr, '');
      return Number(stdout) / tables;
    };
    const times = peak();
    console.log(`${times.toFixed(2)} times the tables`);
    assert.ok(times > 1.33 && times <= 3, `${times} times the tables`);
    assert.ok(peak('planted') > 3, 'what is left behind is noticed');
  },
);

memory.run();
