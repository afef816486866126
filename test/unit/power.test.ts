// A loss of power, after any call of a write: the old file or the new one, the old folder or the new one, and never a mix.
import { readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { saveCheckpoint } from '../../lib/checkpoint.ts';
import { writeWholeFile } from '../../lib/cli/whole-file.ts';
import { importTables } from '../../lib/data/import/import-tables.ts';
import { synthetic } from '../../lib/data/synthetic.ts';
import type { Embedding } from '../../lib/embedding.ts';
import { exportModel } from '../../lib/export/index.ts';
import { files } from '../../lib/files.ts';
import { Model } from '../../lib/model.ts';
import { copyRun, type RunRecord, runName, writeRun } from '../../lib/report/run-folder.ts';
import { train } from '../../lib/train.ts';
import { folderWith, temporaryFolder } from '../helpers.ts';
import { type Disk, diskOf, disksAfter, recorded } from '../recorded-files.ts';

const power = suite('loss of power');

type Write = (path: string, version: number) => Promise<unknown>;

const trained = await train(synthetic({ users: 5, items: 40, interactionsPerUser: [3, 5], seed: 1 }), {
  dim: 2,
  epochs: 1,
  backend: 'cpu',
});
const model = (version: number): Model =>
  new Model({ ...trained, beta: trained.beta.map(() => version), users: trained.users.map((x) => x / version) } as unknown as Embedding);

// ── files ──

const state = (seed: number) => ({
  progress: { epoch: seed, bestRecall: -1, bestEpoch: 0, bestStep: 0 },
  state: { steps: seed, tensors: { users: Float32Array.of(seed, 2), m: Float32Array.of(0, seed) } },
  best: null,
  configuration: { seed: 1 },
});
const WRITERS: Readonly<Record<string, Write>> = {
  'a model': (path, version) => model(version).save(path),
  'a checkpoint': (path, version) => saveCheckpoint(path, state(version)),
  'a file of the command line': (path, version) => writeWholeFile(path, [`a,${version}\n`, 'b\n', 'c\n']),
};

interface Replay {
  states: number;
  problems: string[];
}

/** Writes over an old file, or where there was none, and looks at what every loss of power leaves of it. */
async function replay(write: Write, isOver: boolean): Promise<Replay> {
  const folder = temporaryFolder();
  const path = join(folder, 'target');
  if (isOver) await write(path, 1);
  const recording = await recorded(folder, () => write(path, 2));
  const { before, events } = recording;
  const old = before.get('target');
  const written = readFileSync(path);
  assert.not.ok(old?.equals(written));
  const found: Replay = { states: 0, problems: [] };
  for (let count = 0; count <= events.length; ++count)
    for (const disk of disksAfter(recording, count)) {
      ++found.states;
      const now = disk.get('target');
      const isOld = now === undefined ? old === undefined : old !== undefined && now.equals(old);
      const isNew = now?.equals(written) ?? false;
      if (!isOld && !isNew) found.problems.push(`after ${count} calls it has ${now?.length ?? 'no'} bytes`);
      else if (count === events.length && !isNew) found.problems.push('it was said to be saved, and is not');
    }
  return found;
}

for (const [label, write] of Object.entries(WRITERS))
  power(`it leaves the old file or the new one: ${label}`, async () => {
    let states = 0;
    for (const isOver of [true, false]) {
      const found = await replay(write, isOver);
      assert.equal(found.problems, []);
      states += found.states;
    }
    console.log(`${label}: ${states} states of the disk, each with the old file or the new one`);
    assert.ok(states > 30, `${states} states`);
  });

power('planted: a file or a folder that is not flushed, and writing in place, are reported', async () => {
  const inPlace: Write = async (path, version) => {
    const file = await files.open(path, 'w');
    await file.write(Buffer.from(`${version}`.repeat(100)));
    await file.sync();
    await file.close();
  };
  assert.ok((await replay(inPlace, true)).problems.length > 0, 'in place');
  const sloppy =
    (flushes: { file: boolean; folder: boolean }): Write =>
    async (path, version) => {
      const file = await files.open(`${path}.tmp`, 'wx');
      await file.write(Buffer.from(`${version}`.repeat(50)));
      await file.write(Buffer.from(`${version}`.repeat(50)));
      if (flushes.file) await file.sync();
      await file.close();
      await files.rename(`${path}.tmp`, path);
      if (flushes.folder) await flush(dirname(path));
    };
  assert.equal((await replay(sloppy({ file: true, folder: true }), true)).problems, []);
  assert.ok((await replay(sloppy({ file: false, folder: true }), true)).problems.length > 0, 'no flush of the file');
  assert.match((await replay(sloppy({ file: true, folder: false }), true)).problems.join(), /it was said to be saved, and is not/);
});

async function flush(path: string): Promise<void> {
  const folder = await files.open(path, 'r');
  await folder.sync();
  await folder.close();
}

// ── folders ──

const orders = join(
  folderWith({ 'orders.csv': `user,item\n${Array.from({ length: 40 }, (_, i) => `u${i % 8},i${(i * 7) % 12}\n`).join('')}` }),
  'orders.csv',
);
/** As much of a run as its folder asks for; the name is the same whatever the version. */
const run = (version: number): RunRecord => ({
  key: { dataset: {}, method: 'some', seed: 1, options: {}, version: '1' },
  ...{ label: 'some', data: { name: 'none', folder: null, splitSeed: 0 } },
  ...{ metrics: { 'recall@20': version }, perUser: {}, protocol: {}, ledger: [], seconds: 1, host: {} },
});
const NAME = runName(run(0).key);

/** The folder that each writes is `target`, or what a run is called. */
const FOLDER_WRITERS: Readonly<Record<string, Write>> = {
  'an export': (out, version) => exportModel(model(version), { to: 'pgvector', out, overwrite: true }),
  'an import': async (out, version) =>
    (await importTables({ interactions: { path: orders, user: 'user', item: 'item' }, minInteractions: version })).save(out, {
      replace: true,
    }),
  'a run of reproduce': (out, version) => writeRun(dirname(out), run(version), model(version)),
  'a run that is copied': async (out, version) => {
    const from = temporaryFolder();
    await writeRun(join(from, 'runs'), run(version), model(version));
    await copyRun(join(from, 'runs', NAME), from, dirname(dirname(out)));
  },
};

interface FolderReplay extends Replay {
  /** States with no folder, but the old one beside it: between the two renames. */
  beside: number;
}

/** What is below a folder of a disk; undefined where there is none. */
function below(disk: Disk, folder: string): Disk | undefined {
  if (!disk.has(`${folder}/`)) return undefined;
  return new Map(
    [...disk].filter(([path]) => path.startsWith(`${folder}/`)).map(([path, content]) => [path.slice(folder.length), content]),
  );
}

const isSame = (one: Disk | undefined, other: Disk | undefined): boolean =>
  one === undefined || other === undefined
    ? one === other
    : one.size === other.size && [...one].every(([path, content]) => other.get(path)?.equals(content));

/** Writes over an old folder, or where there was none, and looks at what every loss of power leaves of it. */
async function replayFolder(write: Write, isOver: boolean): Promise<FolderReplay> {
  const folder = temporaryFolder();
  const runs = join(folder, 'runs');
  await files.mkdir(runs);
  const path = join(runs, NAME);
  if (isOver) await write(path, 1);
  const recording = await recorded(runs, () => write(path, 2));
  const { before, events } = recording;
  const [old, written] = [below(before, NAME), below(diskOf(runs), NAME)];
  assert.ok(written !== undefined && !isSame(old, written));
  const found: FolderReplay = { states: 0, problems: [], beside: 0 };
  for (let count = 0; count <= events.length; ++count)
    for (const disk of disksAfter(recording, count)) {
      ++found.states;
      const now = below(disk, NAME);
      const isNew = isSame(now, written);
      const aside = [...disk.keys()].find((name) => name.startsWith(`.${NAME}.`) && name.endsWith('.old/'));
      if (count === events.length && !isNew) found.problems.push('it was said to be written, and is not');
      else if (isNew || isSame(now, old)) continue;
      else if (now === undefined && aside !== undefined && isSame(below(disk, aside.slice(0, -1)), old)) ++found.beside;
      else found.problems.push(`after ${count} calls it holds ${now === undefined ? 'nothing' : [...now.keys()].join()}`);
    }
  return found;
}

for (const [label, write] of Object.entries(FOLDER_WRITERS))
  power(`it leaves the old folder or the new one, or between two renames the old one beside: ${label}`, async () => {
    const [over, fresh] = [await replayFolder(write, true), await replayFolder(write, false)];
    assert.equal([...over.problems, ...fresh.problems], []);
    assert.ok(over.beside > 0 && fresh.beside === 0, `${over.beside} and ${fresh.beside} states between two renames`);
    console.log(`${label}: ${over.states + fresh.states} states of the disk, ${over.beside} of them between two renames`);
  });

power('planted: a file, the folder or the one around it that is not flushed, and filling in place, are reported', async () => {
  const sloppy =
    (flushes: { files?: boolean; folder?: boolean; around?: boolean; first?: boolean }): Write =>
    async (path, version) => {
      const temporary = join(dirname(path), `.${basename(path)}.tmp`);
      await files.mkdir(temporary);
      for (const name of ['a', 'b']) {
        const file = await files.open(join(temporary, name), 'wx');
        await file.write(Buffer.from(`${version}`.repeat(50)));
        await file.write(Buffer.from(`${version}`.repeat(50)));
        if (flushes.files ?? true) await file.sync();
        await file.close();
      }
      if (flushes.folder ?? true) await flush(temporary);
      const old = join(dirname(path), `.${basename(path)}.old`);
      const isThere = readdirSync(dirname(path)).includes(basename(path));
      if (isThere && flushes.first) await files.rm(path, { recursive: true });
      else if (isThere) await files.rename(path, old);
      await files.rename(temporary, path);
      if (flushes.around ?? true) await flush(dirname(path));
      await files.rm(old, { recursive: true, force: true });
    };
  assert.equal((await replayFolder(sloppy({}), true)).problems, []);
  assert.equal((await replayFolder(sloppy({}), false)).problems, []);
  for (const [flushes, expected] of [
    [{ files: false }, /holds \/,\/a,\/b/],
    [{ folder: false }, /holds \/(,\/a)?$/m],
    [{ around: false }, /it was said to be written, and is not/],
    [{ first: true }, /holds nothing/],
  ] as const)
    assert.match((await replayFolder(sloppy(flushes), true)).problems.join('\n'), expected, JSON.stringify(flushes));
});

power.run();
