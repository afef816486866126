// Runs of `npm run reproduce`: killed at any moment they go on to the same bits, two processes make each but once, and shards are put together.
import type { ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { loadDataset } from '../lib/data/dataset.ts';
import type { RunRecord } from '../lib/report/run-folder.ts';
import { train } from '../lib/train.ts';
import { claim } from '../scripts/reproduce/claim.ts';
import { type PlannedRun, plannedRun } from '../scripts/reproduce/methods.ts';
import { trainKept } from '../scripts/reproduce/train-run.ts';
import { distinctRuns, shardOf } from '../scripts/reproduce/work.ts';
import { hyperKnow } from './cli/spawn.ts';
import { temporaryFolder } from './helpers.ts';
import { SMALL, script, worldFolder } from './reproducing.ts';

const runs = suite('runs of reproduce');

const runsIn = (out: string): string[] => (existsSync(join(out, 'runs')) ? readdirSync(join(out, 'runs')).sort() : []);
const finishedIn = (out: string): string[] => runsIn(out).filter((name) => !name.startsWith('.'));
const recordOf = (out: string, name: string): RunRecord =>
  JSON.parse(readFileSync(join(out, 'runs', name, 'run.json'), 'utf8')) as RunRecord;

/** Of what a run found, all that the clock has no part in. */
function outcome(out: string, name: string): unknown {
  const { epochSeconds: _epochSeconds, seconds: _seconds, history, ...rest } = recordOf(out, name);
  return { ...rest, data: { ...rest.data, folder: null }, history: history?.map(({ seconds: _own, ...epoch }) => epoch) };
}

/** Size and time of the checkpoint of a run that is under way. */
function checkpointIn(out: string): string | undefined {
  for (const name of runsIn(out).filter((one) => one.endsWith('.partial'))) {
    try {
      const { mtimeMs, ino } = statSync(join(out, 'runs', name, 'checkpoint.safetensors'));
      return `${ino} ${mtimeMs}`;
    } catch {
      // not yet, or no longer
    }
  }
  return undefined;
}

/** Kills the process so long after its n-th checkpoint. */
function killAfter(out: string, checkpoints: number, delayMs: number, signal: NodeJS.Signals = 'SIGKILL') {
  return (child: ChildProcess): void => {
    let before = checkpointIn(out);
    let seen = 0;
    const timer = setInterval(() => {
      const now = checkpointIn(out);
      if (now === before || now === undefined) return;
      before = now;
      if (++seen < checkpoints) return;
      clearInterval(timer);
      setTimeout(() => child.kill(signal), delayMs);
    }, 1);
    child.on('close', () => clearInterval(timer));
  };
}

runs('kill -9 and SIGTERM at any moment: the same command goes on to the same model, metrics and history', async () => {
  const data = worldFolder();
  const command = ['--data', data, '--variants', 'hyper-know', '--seeds', '1', '--epochs', '150', ...SMALL];
  const [whole, killed] = [temporaryFolder(), temporaryFolder()];
  const first = await script('reproduce', [...command, '--out', whole]);
  assert.is(first.status, 0, first.stderr);
  const [name] = finishedIn(whole);

  const kills: string[] = [];
  for (const [checkpoints, delayMs, signal] of [
    [3, 0, 'SIGKILL'],
    [9, 3, 'SIGKILL'],
    [6, 7, 'SIGTERM'],
  ] as const) {
    const { signal: by, status } = await script(
      'reproduce',
      [...command, '--out', killed],
      killAfter(killed, checkpoints, delayMs, signal),
    );
    kills.push(String(by ?? status));
    assert.equal(finishedIn(killed), [], 'nothing finished is there yet');
  }
  assert.equal(kills, ['SIGKILL', 'SIGKILL', '143']);
  const kept = runsIn(killed).filter((one) => one.endsWith('.partial'));
  const epochs = (JSON.parse(readFileSync(join(killed, 'runs', kept[0]!, 'history.json'), 'utf8')) as { history: unknown[] }).history
    .length;
  assert.ok(epochs >= 2 * 15, `${epochs} epochs are kept`);
  const plan = await script('reproduce', [...command, '--out', killed, '--dry-run']);
  assert.match(plan.stdout, new RegExp(`\\| ${name} +\\| +interrupted at epoch ${epochs} \\| +\\d+ MiB \\|`));

  const last = await script('reproduce', [...command, '--out', killed]);
  assert.is(last.status, 0, last.stderr);
  assert.is(last.stdout.replace(/ *[\d.]+ \|$/gm, ''), first.stdout.replace(/ *[\d.]+ \|$/gm, ''), 'the table, but for the seconds');
  assert.equal(runsIn(killed), [name], 'no checkpoint and no half-written folder is left');
  assert.equal(outcome(killed, name!), outcome(whole, name!));
  assert.is(recordOf(killed, name!).history!.length, 150);
});

runs('a training that is continued tells every epoch once; planted: a lost history begins anew', async () => {
  const dataset = await loadDataset(worldFolder(), { seed: 1 });
  const options = { dim: 4, batchSize: 64, epochs: 12, evaluateEvery: 3, seed: 2, backend: 'cpu', threads: 1, monitorTest: true } as const;
  const whole = await trainKept(dataset, options, temporaryFolder(), () => {});
  assert.equal(Buffer.from(whole.model.users.buffer), Buffer.from((await train(dataset, options)).users.buffer));
  for (const damage of ['none', 'history', 'checkpoint'] as const) {
    const folder = temporaryFolder();
    const stopped = new Error('stop');
    const first: number[] = [];
    await trainKept(dataset, options, folder, ({ epoch }) => {
      first.push(epoch);
      if (epoch === 8) throw stopped;
    }).catch((error) => assert.is(error, stopped));
    if (damage === 'history') writeFileSync(join(folder, 'history.json'), '{"seconds":1,"history":[]}');
    if (damage === 'checkpoint') writeFileSync(join(folder, 'checkpoint.safetensors'), 'none');
    const second: number[] = [];
    const { model, history } = await trainKept(dataset, options, folder, ({ epoch }) => second.push(epoch));
    assert.equal([first.length, second[0], second.at(-1)], [8, damage === 'checkpoint' ? 1 : 7, 12]);
    if (damage === 'history') assert.ok(second.includes(1), 'it was trained again from the first epoch');
    assert.equal(Buffer.from(model.entities.buffer), Buffer.from(whole.model.entities.buffer));
    const timeless = (epochs: typeof history) => epochs.map(({ seconds: _seconds, ...epoch }) => epoch);
    assert.equal(timeless(history), timeless(whole.history));
    assert.equal(
      history.flatMap(({ epoch, test }) => (test ? [epoch] : [])),
      [3, 6, 9, 12],
    );
  }
});

runs('shards: every run in one of them, whatever the order of the list', async () => {
  const planned = [1, 2, 3, 4, 5, 6, 7].map((seed) =>
    plannedRun(
      { name: 'm', label: 'M', kind: 'model', options: { variant: 'bpr-h', backend: 'cpu' } },
      { source: { name: 's', folder: null, open: () => Promise.reject() }, data: {}, seed, splitSeed: seed },
    ),
  );
  assert.is(distinctRuns([...planned, ...planned]).length, 7);
  const seeds = (list: readonly PlannedRun[]) => list.map(({ seed }) => seed).sort();
  const parts = [1, 2, 3].map((index) => seeds(shardOf(planned, { index, count: 3 })));
  assert.equal(parts.flat().sort(), [1, 2, 3, 4, 5, 6, 7]);
  assert.equal(parts.map(({ length }) => length).sort(), [2, 2, 3]);
  assert.equal(
    [1, 2, 3].map((index) => seeds(shardOf([...planned].reverse(), { index, count: 3 }))),
    parts,
  );
});

runs('two shards at once in one folder, and in two that are put together, are the comparison that one process makes', async () => {
  const data = worldFolder();
  const command = ['--data', data, '--variants', 'hyper-know,bpr-h', '--seeds', '2', '--epochs', '4', ...SMALL];
  const [one, shared, left, right] = [temporaryFolder(), temporaryFolder(), temporaryFolder(), temporaryFolder()];
  const both = (outs: readonly string[]) =>
    Promise.all(outs.map((out, i) => script('reproduce', [...command, '--shard', `${i + 1}/2`, '--out', out])));
  const [single, ...parts] = [
    await script('reproduce', [...command, '--out', one]),
    ...(await both([shared, shared])),
    ...(await both([left, right])),
  ];
  for (const { status, stderr } of [single!, ...parts]) assert.is(status, 0, stderr);
  assert.equal([finishedIn(shared), [...finishedIn(left), ...finishedIn(right)].sort()], [finishedIn(one), finishedIn(one)]);
  assert.ok(finishedIn(left).length === 2 && !existsSync(join(left, 'results.json')) && !existsSync(join(shared, 'results.json')));
  const reports = await Promise.all([[one], [shared], [left, right]].map((outs) => hyperKnow(['report', ...outs, '--json'])));
  const [all, ...others] = reports.map(({ status, stdout, stderr }) => {
    assert.is(status, 0, stderr);
    const { rows } = JSON.parse(stdout) as { rows: { method: string; runs: number; metrics: object }[] };
    const of = rows.map(({ method, runs: count, metrics }) => [method, count, metrics] as const);
    return of.sort(([a], [b]) => (a < b ? -1 : 1));
  });
  for (const other of others) assert.equal(other, all, '`hyper-know report` lists what is finished, wherever it is');
  assert.equal(
    all!.map(([method, count]) => [method, count]),
    [
      ['bpr-h', 2],
      ['hyper-know', 2],
    ],
  );
  for (const [out, also] of [
    [shared, []],
    [left, ['--from', right]],
  ] as const) {
    const merged = await script('reproduce', [...command, '--out', out, ...also]);
    assert.is(merged.status, 0, merged.stderr);
    assert.is(merged.stderr.match(/finished before|taken over/g)!.length, 4, 'nothing is made again');
    assert.is(merged.stdout.replace(/ *[\d.]+ \|$/gm, ''), single!.stdout.replace(/ *[\d.]+ \|$/gm, ''));
    for (const name of finishedIn(one)) assert.equal(outcome(out, name), outcome(one, name));
  }
});

runs('a run that another process is at is left to it; the claim of one that is gone is taken', () => {
  const folder = join(temporaryFolder(), 'run.partial');
  const first = claim(folder);
  assert.ok(first);
  assert.is(claim(folder), null, 'held');
  first!.release();
  const second = claim(folder);
  assert.ok(second, 'given back');
  second!.release();
  const owner = join(folder, 'owner.json');
  mkdirSync(folder, { recursive: true });
  writeFileSync(owner, JSON.stringify({ pid: 2 ** 22 + 1, host: hostname(), token: 'x' })); // above Linux's largest process number
  const third = claim(folder);
  assert.ok(third, 'its process is gone');
  third!.release();
  writeFileSync(owner, JSON.stringify({ pid: 1, host: 'elsewhere', token: 'x' }));
  assert.is(claim(folder), null, 'another machine may be at it');
  const long = new Date(Date.now() - 10 * 60_000);
  utimesSync(owner, long, long);
  const fourth = claim(folder);
  assert.ok(fourth, 'it has not been touched for long');
  fourth!.release();
  assert.ok(!existsSync(owner));
});

runs.run();
