// All or nothing: every call that a save makes fails once, and what was there before is there after, alone.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { loadCheckpoint, saveCheckpoint } from '../../lib/checkpoint.ts';
import { writeWholeFile } from '../../lib/cli/whole-file.ts';
import { importTables } from '../../lib/data/import/import-tables.ts';
import { synthetic } from '../../lib/data/synthetic.ts';
import { HyperKnowError } from '../../lib/errors.ts';
import { exportModel } from '../../lib/export/index.ts';
import { files } from '../../lib/files.ts';
import { Model } from '../../lib/model.ts';
import { train } from '../../lib/train.ts';
import { type Calls, type Code, contentOf, withFailing } from '../failing-files.ts';
import { temporaryFolder } from '../helpers.ts';

const faults = suite('faults while saving');
const dataset = synthetic({ users: 20, items: 40, interactionsPerUser: [5, 8], seed: 5 });
let models: [older: Model, newer: Model];
faults.before(async () => {
  const [older, newer] = await Promise.all([1, 2].map((seed) => train(dataset, { dim: 4, epochs: 1, seed, backend: 'cpu' })));
  models = [older!, newer!];
});

interface Writer {
  /** Name of what is written, a file or a folder. */
  target: string;
  write: (path: string, version: 0 | 1) => Promise<unknown>;
  /** Reads it in full, and throws where that cannot be done. */
  read: (path: string) => Promise<unknown>;
}

const checkpointOf = (seed: number) => ({
  progress: { epoch: seed, bestRecall: -1, bestEpoch: 0, bestStep: 0 },
  state: { steps: seed, tensors: { users: Float32Array.of(seed, 2), m: Float32Array.of(0, seed) } },
  best: null,
  configuration: { seed: 1 },
});

const orders = join(temporaryFolder(), 'orders.csv');
writeFileSync(orders, `user,item\n${Array.from({ length: 40 }, (_, i) => `u${i % 8},i${(i * 7) % 12}\n`).join('')}`);

const writers: Record<string, Writer> = {
  'Model.save': { target: 'model.safetensors', write: (path, version) => models[version]!.save(path), read: Model.load },
  checkpoint: {
    target: 'run.checkpoint',
    write: (path, version) => saveCheckpoint(path, checkpointOf(1 + version)),
    read: (path) => loadCheckpoint(path, { seed: 1 }),
  },
  'export folder': {
    target: 'sql',
    write: (out, version) => exportModel(models[version]!, { to: 'pgvector', out, overwrite: true }),
    read: async (path) => JSON.parse(readFileSync(join(path, 'certificate.json'), 'utf8')),
  },
  'import folder': {
    target: 'shop',
    write: async (out, version) => {
      const interactions = { path: orders, user: 'user', item: 'item' };
      return (await importTables({ interactions, minInteractions: 1 + version })).save(out, { replace: true });
    },
    read: async (path) => assert.ok(existsSync(join(path, 'shop.train.inter'))),
  },
  'file of the command line': {
    target: 'lists.csv',
    write: (path, version) => writeWholeFile(path, [`a,${version}\n`, 'b\n']),
    read: async (path) => readFileSync(path),
  },
};

interface Attempt {
  calls: Calls;
  problems: string[];
}

/** Fails every call of a write in turn. What is not as promised: nothing, where all is well. */
async function enumerate(writer: Writer, code: Code, onwards: boolean, old: 'there' | 'absent'): Promise<Attempt[]> {
  const attempts: Attempt[] = [];
  for (let at = 1; ; ++at) {
    const folder = temporaryFolder();
    const path = join(folder, writer.target);
    if (old === 'there') await writer.write(path, 0);
    const before = contentOf(folder);
    const { calls, outcome } = await withFailing({ at, code, onwards }, () => writer.write(path, 1), 2000);
    const problems: string[] = [];
    const problem = (what: string) => problems.push(`call ${at}, ${calls.failed[0]}: ${what}`);
    const after = contentOf(folder);
    if (calls.failed.length === 0) {
      assert.ok('value' in outcome, String((outcome as { error?: unknown }).error));
      await writer.read(path);
      assert.not.equal(after, before);
      rmSync(folder, { recursive: true });
      return attempts;
    }
    const error = 'error' in outcome ? (outcome.error as HyperKnowError) : undefined;
    const inPlace = error?.message.includes('it is in place') || error?.message.includes('it was written');
    if (!error) problem('nothing was thrown');
    else if (!(error instanceof HyperKnowError) || error.code !== 'ERR_HK_IO') problem(`${error} is no ERR_HK_IO`);
    else if (!error.message.includes(writer.target) || error.file !== writer.target) problem(`no path in ${error.message}`);
    if (!inPlace && after.join() !== before.join()) problem(`${before.join()} became ${after.join()}`);
    if (inPlace && !(await isWhole(writer, path))) problem('what is in place cannot be read');
    for (const name of new Set(after.map((line) => line.split(/[/ ]/)[0]!)))
      if (name !== writer.target && !error?.message.includes(name)) problem(`${name} is left`);
    attempts.push({ calls, problems });
    rmSync(folder, { recursive: true });
  }
}

async function isWhole(writer: Writer, path: string): Promise<boolean> {
  return writer.read(path).then(
    () => true,
    () => false,
  );
}

const problemsOf = (attempts: Attempt[]) => attempts.flatMap(({ problems }) => problems);

for (const [label, writer] of Object.entries(writers))
  faults(`${label}: every call fails once, or from there on; the old stays whole, the error names it, nothing is left`, async () => {
    let calls = 0;
    for (const [old, code, onwards] of [
      ['there', 'EIO', false],
      ['there', 'ENOSPC', true],
      ['absent', 'EDQUOT', false],
    ] as const) {
      const attempts = await enumerate(writer, code, onwards, old);
      assert.equal(problemsOf(attempts), [], `${code}${onwards ? ' from there on' : ''}, the old one ${old}`);
      const failed = new Set(attempts.map((attempt) => attempt.calls.failed[0]));
      for (const call of ['open', 'write', 'sync', 'close', 'rename'] as const) assert.ok(failed.has(call), `${call} never failed`);
      calls += attempts.length;
    }
    console.log(`${label}: ${calls} calls failed`);
  });

/** What a loss of power asks for: everything flushed before the rename, the folder after it. */
const LASTS = /^open (write )+sync close rename open sync close$/;

faults('the order of calls outlasts a loss of power', async () => {
  for (const label of ['Model.save', 'checkpoint', 'file of the command line']) {
    const { target, write } = writers[label]!;
    const path = join(temporaryFolder(), target);
    const { calls } = await withFailing(null, () => write(path, 0));
    assert.match(calls.made.join(' '), LASTS);
  }
  const path = join(temporaryFolder(), 'folder');
  const { calls } = await withFailing(null, () => writers['export folder']!.write(path, 0));
  const made = calls.made.join(' ');
  assert.match(made, /sync close open sync close (stat )+rename open sync close$/); // the files, their folder, the name, the folder around
  assert.is(made.match(/open (write )+sync close/g)!.length, readdirSync(path).length);
});

faults('planted: a writer that does not flush is reported', async () => {
  const { open } = files;
  const { calls } = await withFailing(null, async () => {
    const failing = files.open;
    files.open = async (...all) => Object.assign(await failing(...all), { sync: async () => {} });
    await saveCheckpoint(join(temporaryFolder(), 'run'), checkpointOf(1));
  });
  assert.is(files.open, open, 'all is as before');
  assert.not.match(calls.made.join(' '), LASTS);
});

faults('where the system itself lets no file grow beyond 4 KiB, the old model stays whole and nothing is left', async () => {
  if (process.platform !== 'linux') return;
  const [folder, source] = [temporaryFolder(), join(temporaryFolder(), 'new.safetensors')];
  await models[0].save(join(folder, 'model.safetensors'));
  await models[1].save(source);
  const before = contentOf(folder);
  const library = JSON.stringify(new URL('../../lib/model.ts', import.meta.url).href);
  const script = `import { Model } from ${library};
    const model = await Model.load(process.argv[1]);
    await model.save(process.argv[2]).catch(({ code, message }) => console.log(code, message));`;
  const limited = `trap '' XFSZ; ulimit -f 4; exec "$0" --import "$1" --input-type=module -e "$2" "$3" "$4"`;
  const args = [process.execPath, import.meta.resolve('tsx'), script, source, join(folder, 'model.safetensors')];
  const env = { ...process.env, TSX_DISABLE_CACHE: '1' };
  const { status, stdout, stderr } = spawnSync('bash', ['-c', limited, ...args], { encoding: 'utf8', env });
  assert.is(status, 0, stderr);
  assert.match(stdout, /^ERR_HK_IO model\.safetensors: it cannot be written \(EFBIG/);
  assert.equal(contentOf(folder), before);
});

faults('a folder that may be written but not read is no reason to fail', async () => {
  const folder = temporaryFolder();
  const path = join(folder, 'model.safetensors');
  const { calls } = await withFailing(null, () => models[0].save(path));
  const at = calls.made.lastIndexOf('open') + 1; // the folder's
  const { outcome } = await withFailing({ at, code: 'EACCES', onwards: false }, () => models[1].save(path));
  assert.ok('value' in outcome);
  assert.equal((await Model.load(path)).users, models[1].users);
});

faults('writes that take one byte at a time give the same file', async () => {
  const [one, whole] = [join(temporaryFolder(), 'a'), join(temporaryFolder(), 'a')];
  await saveCheckpoint(whole, checkpointOf(3));
  const { calls } = await withFailing(null, () => saveCheckpoint(one, checkpointOf(3)), 1);
  assert.ok(readFileSync(one).equals(readFileSync(whole)));
  assert.is(calls.made.filter((call) => call === 'write').length, readFileSync(whole).length);
});

faults('planted: writers that write in place, leave a temporary, keep silent, claim to be done or name nothing are reported', async () => {
  const writeTo = async (path: string, text: string) => {
    const file = await files.open(path, 'w');
    try {
      for (const piece of [text, '\n']) await file.write(Buffer.from(piece));
      await file.sync();
    } finally {
      await file.close();
    }
  };
  const named =
    (path: string, what = 'it failed') =>
    (cause: unknown) => {
      throw new HyperKnowError('ERR_HK_IO', `file: ${what}`, { file: basename(path), cause });
    };
  const planted: [expected: RegExp, write: Writer['write']][] = [
    [/became/, (path, version) => writeTo(path, `${version}`).catch(named(path))],
    [
      /\.tmp is left/,
      async (path, version) => {
        const temporary = `${path}.tmp`;
        await writeTo(temporary, `${version}`).catch(named(path));
        await files.rename(temporary, path).catch(named(path));
      },
    ],
    [/in place cannot be read/, (path, version) => writeTo(path, `${version}`).catch(named(path, 'it is in place'))],
    [/nothing was thrown/, (path, version) => writeTo(path, `${version}`).catch(() => {})],
    [/is no ERR_HK_IO/, (path, version) => writeTo(path, `${version}`)],
    [
      /no path in/,
      (path, version) =>
        writeTo(path, `${version}`).catch((cause) => {
          throw new HyperKnowError('ERR_HK_IO', 'it failed', { cause });
        }),
    ],
  ];
  for (const [expected, write] of planted) {
    const read = async (path: string) => assert.match(readFileSync(path, 'utf8'), /^\d\n$/);
    const writer = { target: 'file', write, read };
    assert.match(problemsOf(await enumerate(writer, 'EIO', false, 'there')).join('\n'), expected);
  }
});

faults.run();
