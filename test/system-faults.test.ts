// All or nothing below the process, too: strace has the kernel refuse every call with which a model or a checkpoint is written, one after the
// other, and what was there before is there after, alone. What Node does between a call of the library and the kernel's is part of the test.
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { fixture, temporaryFolder } from './helpers.ts';
import { straceObstacle } from './strace.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const system = suite('faults of the system while saving');
if (straceObstacle !== undefined) console.log(`skipped: ${straceObstacle}; the kernel refuses nothing`);
const injected = straceObstacle === undefined ? system : system.skip;

/** Kinds of refusals that each call meets, in turn; all with HYPER_KNOW_REFUSALS=4. */
const KINDS = Number(process.env.HYPER_KNOW_REFUSALS ?? 1);

/** The calls that write, and those that make it last. */
const CALLS = ['openat', 'write', 'fsync', 'close', 'rename'] as const;
type Call = (typeof CALLS)[number];

/** What strace is told; of a full disk, every later call of the kind fails, too. */
const REFUSALS: readonly { what: string; when: (at: number) => string; of?: Call }[] = [
  { what: 'ENOSPC from there on', when: (at) => `error=ENOSPC:when=${at}+` },
  { what: 'EIO', when: (at) => `error=EIO:when=${at}` },
  { what: 'EDQUOT', when: (at) => `error=EDQUOT:when=${at}` },
  { what: 'nothing is taken', when: (at) => `retval=0:when=${at}`, of: 'write' },
];
const INTERRUPTION = { what: 'EINTR', when: (at: number) => `error=EINTR:when=${at}` };

const url = (path: string): string => JSON.stringify(pathToFileURL(join(root, path)).href);

/** What writes a file at `path`: code of a module. The compiled package, which starts faster than its sources. */
const WRITERS = {
  'a model': `
    const { Model } = await import(${url('dist/index.js')});
    const model = await Model.load(${JSON.stringify(fixture('model-v1.safetensors'))});
    await settle(() => model.save(path));`,
  'a checkpoint': `
    const { saveCheckpoint } = await import(${url('dist/checkpoint.js')});
    const tensors = { users: Float32Array.of(1, 2), m: Float32Array.of(0, 3) };
    const progress = { epoch: 1, bestRecall: -1, bestEpoch: 0, bestStep: 0 };
    await settle(() => saveCheckpoint(path, { progress, state: { steps: 1, tensors }, best: null, configuration: { seed: 1 } }));`,
};

/** Says how it ended. The name of the temporary is no secret here: strace must know the paths whose calls it is to refuse. */
const program = (writer: string): string => `
  import crypto from 'node:crypto';
  import { syncBuiltinESMExports } from 'node:module';
  crypto.randomBytes = (count) => Buffer.alloc(count);
  syncBuiltinESMExports();
  const path = process.argv[1];
  const settle = (write) => write().then(
    () => console.log('{}'),
    ({ code, file, message }) => console.log(JSON.stringify({ code, file, message })),
  );
  ${writer}`;

const NAME = 'target';
const OLD = Buffer.from('what was there before');

interface Attempt {
  /** Whether the call was made at all. */
  isMet: boolean;
  /** What is not as promised. */
  problems: string[];
}

interface Outcome {
  isMet: boolean;
  error: { code?: string; file?: string; message?: string };
  /** The file's content, and what else is in its folder. */
  content: Buffer;
  others: string[];
}

/** Runs a writer over an old file; `refusal` is of strace's option `inject`. */
function run(writer: string, refusal?: string): Outcome {
  const folder = temporaryFolder();
  const [path, trace] = [join(folder, NAME), join(temporaryFolder(), 'trace')];
  writeFileSync(path, OLD);
  const paths = [folder, path, join(folder, `.${NAME}.000000000000.tmp`)].flatMap((one) => ['-P', one]);
  const inject = refusal === undefined ? [] : ['-e', `inject=${refusal}`];
  // One thread makes the calls, so that they have one count.
  const env = { ...process.env, CUDA_VISIBLE_DEVICES: '', NODE_OPTIONS: '', UV_THREADPOOL_SIZE: '1', UV_USE_IO_URING: '0' };
  const { status, stdout, stderr } = spawnSync(
    'strace',
    [
      ...['-f', '-qq', '--seccomp-bpf', '-o', trace, ...paths, '-e', `trace=${CALLS.join()}`, '-e', 'signal=none', ...inject],
      ...[process.execPath, '--input-type=module', '--eval', program(writer), path],
    ],
    { encoding: 'utf8', env },
  );
  assert.is(status, 0, stderr);
  return {
    isMet: readFileSync(trace, 'utf8').includes('(INJECTED)'),
    error: JSON.parse(stdout) as Outcome['error'],
    content: readFileSync(path),
    others: readdirSync(folder).filter((name) => name !== NAME),
  };
}

/** Refuses one call; `whole` is the file that the writer writes when none is refused. */
function attempt(writer: string, whole: Buffer, call: Call, at: number, { what, when }: (typeof REFUSALS)[number]): Attempt {
  const { isMet, error, content, others } = run(writer, `${call}:${when(at)}`);
  const problems: string[] = [];
  const problem = (text: string) => problems.push(`${call} ${at}, ${what}: ${text}`);
  const isNew = content.equals(whole);
  const isSaved = error.code === undefined && error.message === undefined;
  if (!isMet || what === INTERRUPTION.what) {
    if (!isSaved) problem(`it failed, ${error.message}`);
    if (!isNew) problem('it was said to be saved, and is not');
  } else {
    if (isSaved) problem('nothing was thrown');
    else if (error.code !== 'ERR_HK_IO') problem(`${error.code} ${error.message} is no ERR_HK_IO`);
    else if (!error.message?.startsWith(`${NAME}: `) || error.file !== NAME) problem(`no name in ${error.message}`);
    // A folder that cannot be flushed after the rename: the new one is there, whole.
    const isInPlace = error.message?.includes('it is in place') ?? false;
    if (isInPlace ? !isNew : !content.equals(OLD)) problem(`${content.length} bytes are ${isInPlace ? 'not the new' : 'not the old'} file`);
  }
  for (const name of others) problem(`${name} is left`);
  return { isMet, problems };
}

/** Refuses each call of a writer in turn, until there are no more. */
function everyCall(writer: string, kinds: number, calls: readonly Call[] = CALLS): { met: number; of: Set<Call>; problems: string[] } {
  const reference = run(writer);
  assert.is(reference.error.message, undefined);
  const found = { met: 0, of: new Set<Call>(), problems: [] as string[] };
  for (const call of calls) {
    const refusals = REFUSALS.filter(({ of = call }) => of === call);
    for (let at = 1, isMore = true; isMore; ++at) {
      const chosen = Array.from({ length: Math.min(kinds, refusals.length) }, (_, i) => refusals[(at + i) % refusals.length]!);
      for (const refusal of [...chosen, INTERRUPTION]) {
        const { isMet, problems } = attempt(writer, reference.content, call, at, refusal);
        isMore = isMet;
        found.problems.push(...problems);
        if (!isMet) break;
        ++found.met;
        found.of.add(call);
      }
    }
  }
  return found;
}

for (const [label, writer] of Object.entries(WRITERS))
  injected(`${label}: the kernel refuses or interrupts every call; the old file stays whole, or the new one is there`, () => {
    const { met, of, problems } = everyCall(writer, KINDS);
    assert.equal(problems, []);
    assert.equal([...of], [...CALLS]);
    console.log(`${label}: ${met} calls refused or interrupted by the kernel`);
  });

/** Writers that a test has to find out: `write` is called with nothing and is to write 'something' at `path`. */
const planted = (write: string): string => `
  const { open, rename, rm } = await import('node:fs/promises');
  const temporary = path.replace(/target$/, '.target.000000000000.tmp');
  const writeTo = async (to, isHeeded) => {
    const file = await open(to, 'w');
    try {
      for (const piece of ['some', 'th', 'ing']) {
        const { bytesWritten } = await file.write(piece);
        if (isHeeded && bytesWritten < piece.length) throw new Error('it was not taken');
      }
    } finally {
      await file.close();
    }
  };
  const moved = async (isHeeded) => {
    await writeTo(temporary, isHeeded);
    await rename(temporary, path);
  };
  const cleared = async (error) => {
    await rm(temporary, { force: true });
    throw error;
  };
  const named = ({ message }) => {
    throw Object.assign(new Error('target: ' + message), { code: 'ERR_HK_IO', file: 'target' });
  };
  await settle(${write});`;

for (const [what, write, expected] of [
  ['writes in place', '() => writeTo(path, true).catch(named)', /write 2, EDQUOT: 4 bytes are not the old file/],
  ['leaves its temporary', '() => moved(true).catch(named)', /\.tmp is left/],
  ['keeps silent', '() => moved(true).catch(cleared).catch(() => {})', /write 1, EIO: nothing was thrown/],
  ['throws what Node throws', '() => moved(true).catch(cleared)', /write 1, EIO: EIO .* is no ERR_HK_IO/],
  [
    'does not look how much was written',
    '() => moved(false).catch(cleared).catch(named)',
    /^write 3, nothing is taken: nothing was thrown\nwrite 3, nothing is taken: 6 bytes are not the old file$/,
  ],
] as const)
  injected(`planted: a writer that ${what} is reported`, () => {
    assert.match(everyCall(planted(write), 1, ['write']).problems.join('\n'), expected);
  });

injected('planted: one that is as it should be is not', () => {
  assert.equal(everyCall(planted('() => moved(true).catch(cleared).catch(named)'), 4, ['write', 'close', 'rename']).problems, []);
});

system.run();
