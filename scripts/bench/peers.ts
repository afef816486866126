// Training side by side: ours, plain JavaScript, NumPy and PyTorch take turns on the same data, batches and threads.
//
//   npm run bench -- peers [--data FOLDER | --shape last-fm|amazon-book|yelp2018] [--rounds 5] [--steps 5] [--threads N] [--only PART,…]
//                          [--json FILE] [--markdown]
//   npm run bench -- peers --install          the npm packages that `topk` is measured against, into scripts/bench/peers/node
//
// All train the preset 'tuned' with the paper's attention: the same equations with touched-row Adam, batches of 4096, float32 tables, drawing
// the samples included (peers/README.md says what each computes). Before the race the ten steps of a small data set are trained by ours and by
// plain JavaScript on the same samples, and again by each Python peer in float64: losses and tables have to agree, or the exit status is 1. A
// turn is an epoch of ours and --steps steps of a peer. PYTHON names a Python that has torch or NumPy (default: python3); what is missing is
// named and left out.
//
// Expected: milliseconds per step, samples per second and how many times as long each takes as ours. Time on 2 cores: two minutes.
import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { native, type TrainerConfig } from '../../lib/native.ts';
import { AS_THE_PEERS, configuration, openDataset } from './data.ts';
import { command, digits, integer, list, machine, options, report, showRatio, showSpread } from './document.ts';
import { ratio, spread, takeTurns } from './measure.ts';
import { checkJavaScript, javaScriptFrom, TOLERANCE } from './peers/agreement.ts';
import { Sampler } from './peers/javascript.ts';
import { install } from './peers/packages.ts';

const python = process.env.PYTHON ?? 'python3';
const scripts = fileURLToPath(new URL('peers', import.meta.url));
const OURS = 'hyper-know';

interface Trainer {
  name: string;
  what: string;
  /** Seconds per step of a turn. */
  turn: () => Promise<number>;
  end?: () => void;
}

async function main(): Promise<number> {
  const values = options({
    data: { type: 'string' },
    shape: { type: 'string' },
    rounds: { type: 'string', default: '5' },
    steps: { type: 'string', default: '5' },
    threads: { type: 'string', default: String(availableParallelism()) },
    only: { type: 'string', default: '' },
    install: { type: 'boolean', default: false },
  });
  if (values.install) return install() ? 0 : 1;
  const rounds = integer('rounds', values.rounds);
  const steps = integer('steps', values.steps);
  const threads = integer('threads', values.threads, 1, 1024);
  const wanted = list(values.only);
  const isWanted = (name: string) => wanted.length === 0 || wanted.some((part) => name.includes(part));

  const described = machine('cpu');
  const folder = mkdtempSync(join(tmpdir(), 'hyper-know-peers-'));
  const trainers: Trainer[] = [];
  try {
    const dataset = await openDataset(values);
    const config = configuration(dataset, AS_THE_PEERS, { threads });
    const missing: string[] = [];
    const agreement: Record<string, number> = {};

    trainers.push(await ourTrainer(OURS, config));
    if (threads > 1 && isWanted('1 thread')) trainers.push(await ourTrainer(`${OURS}, 1 thread`, { ...config, threads: 1 }));
    if (isWanted('plain JavaScript')) {
      agreement['plain JavaScript'] = await checkJavaScript();
      trainers.push(await javaScript(config, dataset, steps));
    }
    const inPython = [
      { name: 'NumPy', module: 'numpy', script: 'hyper_know_numpy.py', args: [] },
      {
        name: 'PyTorch, eager',
        module: 'torch',
        script: 'hyper_know.py',
        args: ['--device', 'cpu', '--variants', 'eager', '--threads', `${threads}`],
      },
    ].filter(({ name }) => isWanted(name));
    const usable = inPython.filter(({ name, module }) => {
      const found = spawnSync(python, ['-c', `import ${module}`], { stdio: 'ignore' }).status === 0;
      if (!found) missing.push(`${name}, ${python} has no ${module} (PYTHON names another)`);
      return found;
    });
    if (usable.length > 0) {
      const [small, whole] = [join(folder, 'small'), join(folder, 'whole')];
      exportTo(small, ['--small']);
      exportTo(whole, values.data === undefined ? ['--shape', values.shape ?? 'last-fm'] : ['--data', values.data]);
      for (const { name, script, args } of usable) {
        agreement[name] = checkPython(script, small);
        trainers.push(await served(name, script, [...args, '--mode', 'serve', '--export', whole, '--warm-up', '3'], steps, threads));
      }
    }

    const seconds = await takeTurns(
      trainers.map(({ name, turn }) => ({ name, run: turn })),
      { rounds },
    );
    const own = seconds.get(OURS)!;
    const results = trainers.map(({ name, what }) => {
      const mine = seconds.get(name)!;
      const secondsPerStep = spread(mine);
      return {
        ...{ name, what, secondsPerStep, samplesPerSecond: config.batchSize / secondsPerStep.median, overOurs: ratio(mine, own) },
        ...(agreement[name] === undefined ? {} : { difference: agreement[name] }),
      };
    });
    const disagree = Object.entries(agreement).filter(([, difference]) => !(difference <= TOLERANCE));
    report(
      {
        benchmark: 'peers',
        ...described,
        backend: 'cpu',
        threads,
        data: values.data === undefined ? dataset.label : { digests: dataset.report.files },
        samples: dataset.train.items.length,
        triples: dataset.graph.tails.length,
        batchSize: config.batchSize,
        steps,
        contenders: results,
        missing,
        tables: [
          {
            title: `Training steps of ${digits(config.batchSize)} samples, ${dataset.label}, ${rounds} rounds in turns`,
            columns: ['', 'ms per step (smallest – largest)', 'samples/s', 'time / ours', 'largest difference', 'what'],
            rows: results.map(({ name, what, secondsPerStep, samplesPerSecond, overOurs, difference }) => [
              name,
              showSpread(secondsPerStep, 1000),
              digits(samplesPerSecond),
              name === OURS ? '' : showRatio(overOurs),
              difference === undefined ? '' : difference.toExponential(1),
              what,
            ]),
            notes: [
              'The largest difference is that of the losses and tables after ten steps on the same samples of a small data set, over how far training moved them.',
              ...(missing.length === 0 ? [] : [`Left out: ${missing.join('; ')}.`]),
              ...disagree.map(([name, difference]) => `${name} computes something else: it differs by ${difference.toExponential(1)}.`),
            ],
          },
        ],
      },
      values,
    );
    return disagree.length === 0 ? 0 : 1;
  } finally {
    for (const { end } of trainers) end?.();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Ours: a turn is an epoch, which is one call. */
async function ourTrainer(name: string, config: TrainerConfig): Promise<Trainer> {
  const trainer = new native.Trainer(config);
  let epoch = 0;
  const turn = async () => {
    const { seconds, steps } = await trainer.epoch(epoch++, 1).promise;
    return seconds / steps;
  };
  return { name, what: `CPU, ${config.threads} threads`, turn, end: () => trainer.dispose() };
}

async function javaScript(
  config: TrainerConfig,
  { train, items }: Awaited<ReturnType<typeof openDataset>>,
  steps: number,
): Promise<Trainer> {
  const trainer = await javaScriptFrom(config);
  const sampler = new Sampler(train, items);
  const turn = async () => {
    const started = performance.now();
    for (let step = 0; step < steps; ++step) trainer.step(sampler.draw(config.batchSize));
    return (performance.now() - started) / 1000 / steps;
  };
  return { name: 'plain JavaScript', what: 'typed arrays, 1 thread, gradients by hand', turn };
}

function exportTo(folder: string, what: readonly string[]): void {
  const args = ['--import', import.meta.resolve('tsx'), join(scripts, 'export.ts'), ...what, '--out', folder];
  const { status, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`export.ts failed: ${stderr}`);
}

/** glibc returns and refaults the memory of every large array unless it is told not to, which makes the peers several times as slow. */
function environment(threads: number): NodeJS.ProcessEnv {
  return {
    ...process.env,
    ...{ MALLOC_MMAP_THRESHOLD_: '1000000000', MALLOC_TRIM_THRESHOLD_: '4000000000' },
    ...{ OMP_NUM_THREADS: String(threads), PYTHONIOENCODING: 'utf-8', PYTHONDONTWRITEBYTECODE: '1' },
  };
}

/** The largest of the differences that the peer's oracle prints. */
function checkPython(script: string, folder: string): number {
  const { stdout, stderr } = spawnSync(python, [join(scripts, script), '--mode', 'oracle', '--export', folder], {
    encoding: 'utf8',
    env: environment(1),
  });
  const found = [...stdout.matchAll(/(?:Loss|users|entities|relations|beta) +(\d\.\de[+-]\d+|nan)/g)].map(([, value]) => Number(value));
  if (found.length === 0) throw new Error(`${script} printed no comparison: ${stderr}`);
  return Math.max(...found);
}

/** A Python process that does so many steps when it is told to. */
async function served(name: string, script: string, args: readonly string[], steps: number, threads: number): Promise<Trainer> {
  const child: ChildProcessWithoutNullStreams = spawn(python, [join(scripts, script), ...args], { env: environment(threads) });
  let problem = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    problem += text;
  });
  const lines: Interface = createInterface({ input: child.stdout });
  const answers = lines[Symbol.asyncIterator]();
  const answer = async (): Promise<string> => {
    const { value, done } = await answers.next();
    if (done) throw new Error(`${script} ended: ${problem.trim().split('\n').at(-1)}`);
    return value as string;
  };
  const ready = JSON.parse(await answer()) as { version: string; threads: number };
  const turn = async () => {
    child.stdin.write(`${steps}\n`);
    return Number(await answer()) / steps;
  };
  const end = () => {
    child.stdin.end();
  };
  return { name, what: `${ready.version}, ${ready.threads} threads`, turn, end };
}

await command(main);
