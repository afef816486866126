// kill -9 at any moment loses at most the work since the last checkpoint: whoever goes on comes to the same bits.
import { spawn } from 'node:child_process';
import { copyFileSync, existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildSync } from 'esbuild';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Dataset } from '../lib/data/dataset.ts';
import { readTensors, writeTensors } from '../lib/safetensors.ts';
import { train } from '../lib/train.ts';
import { seededRandom, sha256OfFile, temporaryFolder } from './helpers.ts';
import { KILLED_OPTIONS, killedData } from './train-slowly.ts';

const kills = suite('kill -9');

/** Processes that are killed; more with HYPER_KNOW_KILLS. */
const KILLS = Number(process.env.HYPER_KNOW_KILLS ?? 20);

/** The training as plain JavaScript: compiled once, not by every process. It stands in build/ to find the addon and the packages. */
const script = fileURLToPath(new URL(`../build/train-slowly-${process.pid}.mjs`, import.meta.url));
kills.before(() => {
  buildSync({
    ...{ entryPoints: [fileURLToPath(new URL('train-slowly.ts', import.meta.url))], outfile: script },
    ...{ bundle: true, format: 'esm', platform: 'node', packages: 'external' },
  });
});
kills.after(() => rmSync(script));

interface End {
  killed: boolean;
  /** From the first line to the end. */
  milliseconds: number;
}

/** Trains in a process of its own; kills it so many milliseconds after it has begun, or after it has begun its n-th write. */
function run(args: readonly string[], kill?: { afterMs: number; ofWrite?: number }): Promise<End> {
  const child = spawn(process.execPath, [script, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  let [began, writes] = [0, 0];
  const killSoon = () => setTimeout(() => child.kill('SIGKILL'), kill!.afterMs);
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    for (const line of text.split('\n')) {
      if (line === 'begins') {
        began = performance.now();
        if (kill && kill.ofWrite === undefined) killSoon();
      }
      if (line === 'writing' && ++writes === kill?.ofWrite) killSoon();
    }
  });
  return new Promise((resolve, reject) =>
    child.on('close', (code, signal) => {
      if (code !== 0 && signal !== 'SIGKILL') reject(new Error(`the training ended with ${code ?? signal}`));
      else resolve({ killed: signal === 'SIGKILL', milliseconds: performance.now() - began });
    }),
  );
}

let dataset: Dataset;
let whole: string;
let duration: number;
kills.before(async () => {
  dataset = killedData();
  const folder = temporaryFolder();
  const model = join(folder, 'whole.safetensors');
  const end = await run([join(folder, 'checkpoint'), model]);
  assert.not.ok(end.killed);
  duration = end.milliseconds;
  whole = sha256OfFile(model);
});

/** The digest of the model that going on from the checkpoint ends with; from none: from the beginning. Or what prevents it. */
async function goOn(checkpoint: string): Promise<string> {
  const model = `${checkpoint}.model`;
  try {
    await (await train(dataset, { ...KILLED_OPTIONS, ...(existsSync(checkpoint) ? { resume: checkpoint } : {}) })).save(model);
    return sha256OfFile(model);
  } catch (error) {
    return String(error);
  }
}

interface Tally {
  killed: number;
  withinWrite: number;
  different: string[];
}

/**
 * Kills a training over and over, each process going on from what the one before left; goes on to the end from every checkpoint, until all are
 * killed or, with `faults`, until a difference is found.
 */
async function killOver(times: number, seed: number, ...faults: string[]): Promise<Tally> {
  const random = seededRandom(seed);
  const tally: Tally = { killed: 0, withinWrite: 0, different: [] };
  let [folder, partials] = [temporaryFolder(), 0];
  while (tally.killed < times && (faults.length === 0 || tally.different.length === 0)) {
    const checkpoint = join(folder, 'checkpoint');
    // Every other one is killed while it writes, or shortly after.
    const ofWrite = tally.killed % 2 === 0 ? 1 + Math.floor(random() * 6) : undefined;
    const afterMs = ofWrite === undefined ? random() * duration * 0.7 : random() * 25;
    const end = await run([checkpoint, join(folder, 'model'), ...faults], { afterMs, ...(ofWrite === undefined ? {} : { ofWrite }) });
    if (!end.killed) {
      [folder, partials] = [temporaryFolder(), 0]; // it was done before
      continue;
    }
    const left = readdirSync(folder).filter((name) => name.endsWith('.tmp')).length;
    if (left > partials) ++tally.withinWrite;
    partials = left;
    const copy = join(folder, `copy-${tally.killed++}`);
    if (existsSync(checkpoint)) copyFileSync(checkpoint, copy);
    const found = await goOn(copy);
    if (found !== whole) {
      tally.different.push(found);
      [folder, partials] = [temporaryFolder(), 0];
    }
  }
  return tally;
}

kills('a training that is killed at any moment goes on to the bits of the one that never was', async () => {
  const began = performance.now();
  const { killed, withinWrite, different } = await killOver(KILLS, 1);
  const seconds = ((performance.now() - began) / 1000).toFixed(0);
  console.log(
    `${killed} killed, ${withinWrite} of them within the write of a checkpoint, ${different.length} different, ${seconds} s; one run takes ${duration.toFixed(0)} ms`,
  );
  assert.equal(different, []);
  assert.ok(withinWrite >= KILLS / 5, `${withinWrite} of ${killed} within a write`);
});

kills('planted: checkpoints that are written in place are reported', async () => {
  const { different } = await killOver(20, 2, 'torn');
  assert.is(different.length, 1);
  assert.match(different[0]!, /^HyperKnowError: copy-\d+: /);
});

kills('planted: a checkpoint that has lost a moment of Adam, or counts an epoch too many, is reported', async () => {
  const folder = temporaryFolder();
  const checkpoint = join(folder, 'checkpoint');
  await run([checkpoint, join(folder, 'model')], { afterMs: 5, ofWrite: 6 });
  assert.is(await goOn(checkpoint), whole);
  const names = [...(await readTensors(checkpoint)).tensors.keys()].filter((name) => name.startsWith('state.'));
  let found = 0;
  for (const name of names) {
    const file = await readTensors(checkpoint);
    const { data } = file.tensors.get(name)!;
    if (data.every((value) => value === 0)) continue;
    data.fill(0);
    await writeTensors(join(folder, 'zeroed'), file);
    assert.is.not(await goOn(join(folder, 'zeroed')), whole, name);
    ++found;
  }
  assert.ok(found >= 6, `${found} of ${names.length} tensors: ${names.join(' ')}`);
  const file = await readTensors(checkpoint);
  const progress = JSON.parse(file.metadata.progress!);
  file.metadata.progress = JSON.stringify({ ...progress, epoch: progress.epoch + 1 });
  await writeTensors(join(folder, 'later'), file);
  assert.is.not(await goOn(join(folder, 'later')), whole);
});

kills.run();
