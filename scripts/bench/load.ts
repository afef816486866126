// Everything around training: importing the package in a fresh process, reading a data set from files, and the largest resident memory of
// reading and of an epoch, beside the size of the tables. Every run is a process of its own, with the built package (dist/).
//
//   npm run bench -- load [--data FOLDER,…] [--shapes last-fm,amazon-book] [--runs 5] [--threads N] [--json FILE] [--markdown]
//
// Without --data, folders in KGAT form are written to a temporary folder at the published sizes of --shapes (amazon-book: 2.6 M triples).
// Expected: a line per import and a line per data set. Time on 2 cores: a minute.
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Interactions } from '../../lib/data/csr.ts';
import { type Shape, synthetic } from '../../lib/data/synthetic.ts';
import { SHAPES } from './data.ts';
import { command, digits, integer, list, machine, oneOf, options, report, showSpread, type Table } from './document.ts';
import { type Spread, spread, takeTurns } from './measure.ts';

const DIM = 64;

const root = fileURLToPath(new URL('../..', import.meta.url));

const IMPORTS = [
  ['Node alone', ''],
  ["import 'hyper-know'", "import 'hyper-know';"],
  ["import 'hyper-know/kernels'", "import 'hyper-know/kernels';"],
] as const;

/** A process that reads a folder, trains an epoch if asked to, and says how long reading took and how much memory either needed. */
const READ = `
import { readFileSync } from 'node:fs';
import { loadDataset, train } from 'hyper-know';
const [folder, epochs, threads] = process.argv.slice(1);
// What resourceUsage() says begins, on Linux, with the peak of the process that started this one.
const kibibytes = () =>
  process.platform === 'linux' ? Number(/VmHWM:\\s+(\\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]) : process.resourceUsage().maxRSS;
const peak = () => kibibytes() * 1024;
const before = peak();
const started = performance.now();
const dataset = await loadDataset(folder);
const seconds = (performance.now() - started) / 1000;
const reading = peak();
const { users, entities, relations, triples, train: { items } } = dataset;
if (epochs > 0) await train(dataset, { dim: ${DIM}, backend: 'cpu', threads: Number(threads), epochs: Number(epochs), earlyStopping: false });
const rows = users + entities + relations;
console.log(JSON.stringify({ seconds, before, reading, training: peak(), rows, samples: items.length, triples: triples.heads.length }));
`;

interface Reading {
  seconds: number;
  before: number;
  reading: number;
  training: number;
  rows: number;
  samples: number;
  triples: number;
}

async function main(): Promise<number> {
  const values = options({
    data: { type: 'string' },
    shapes: { type: 'string', default: 'last-fm,amazon-book' },
    runs: { type: 'string', default: '5' },
    threads: { type: 'string', default: String(availableParallelism()) },
  });
  const runs = integer('runs', values.runs);
  const threads = integer('threads', values.threads, 1, 1024);
  const shapes = list(values.shapes).map((shape) => oneOf('shapes', shape, SHAPES));

  const described = machine('cpu');
  const temporary = mkdtempSync(join(tmpdir(), 'hyper-know-load-'));
  try {
    const folders =
      values.data === undefined
        ? shapes.map((shape) => ({ label: `synthetic, shape ${shape}`, folder: writeKgat(join(temporary, shape), shape) }))
        : list(values.data).map((folder) => ({ label: basename(resolve(folder)), folder: resolve(folder) }));
    const importSeconds = await takeTurns(
      IMPORTS.map(([name, code]) => ({ name, run: () => node(code) })),
      { rounds: 2 * runs + 1 },
    );
    const bare = importSeconds.get(IMPORTS[0][0])!;
    const imports = IMPORTS.map(([name]) => {
      const seconds = importSeconds.get(name)!;
      return { name, seconds: spread(seconds), beyondNode: spread(seconds.map((value, round) => value - bare[round]!)) };
    });
    // The warm-up trains, too; after it the files come from the page cache.
    const readings = new Map(folders.map(({ label }): [string, Reading[]] => [label, []]));
    await takeTurns(
      folders.map(({ label, folder }) => ({
        name: label,
        run: async () => {
          const epochs = readings.get(label)!.length === 0 ? '1' : '0';
          const reading = JSON.parse(await node(READ, folder, epochs, String(threads))) as Reading;
          readings.get(label)!.push(reading);
          return reading.seconds;
        },
      })),
      { rounds: runs },
    );
    const data = folders.map(({ label, folder }) => {
      const [warmUp, ...measured] = readings.get(label)!;
      const of = (pick: (reading: Reading) => number) => spread(measured.map(pick));
      const { samples, triples, rows, training } = warmUp!;
      return {
        ...{ name: label, samples, triples, fileBytes: fileBytes(folder), tableBytes: 3 * 4 * DIM * rows, trainingBytes: training },
        ...{ seconds: of(({ seconds }) => seconds), readingBytes: of(({ reading }) => reading), nodeBytes: of(({ before }) => before) },
      };
    });
    report(
      {
        ...{ benchmark: 'load', ...described, backend: 'cpu', threads, data: folders.map(({ label }) => label) },
        ...{ imports, datasets: data, tables: [importTable(imports), dataTable(data)] },
      },
      values,
    );
    return 0;
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
}

function importTable(imports: readonly { name: string; seconds: Spread; beyondNode: Spread }[]): Table {
  return {
    title: 'A fresh process',
    columns: ['', 'ms (smallest – largest)', 'beyond Node, ms', 'runs'],
    rows: imports.map(({ name, seconds, beyondNode }, i) => [
      name,
      showSpread(seconds, 1000),
      i === 0 ? '' : digits(1000 * beyondNode.median),
      `${seconds.runs}`,
    ]),
  };
}

function dataTable(
  data: readonly {
    name: string;
    triples: number;
    samples: number;
    tableBytes: number;
    fileBytes: number;
    seconds: Spread;
    readingBytes: Spread;
    trainingBytes: number;
    nodeBytes: Spread;
  }[],
): Table {
  const mib = (bytes: number) => digits(bytes / 2 ** 20);
  return {
    title: 'Reading a data set, then an epoch of training',
    columns: [
      'data',
      'triples',
      'files, MiB',
      'reading, s (smallest – largest)',
      'MiB/s',
      'peak reading, MiB',
      'peak training, MiB',
      '/ tables',
    ],
    rows: data.map(({ name, triples, tableBytes, fileBytes, seconds, readingBytes, trainingBytes }) => [
      name,
      digits(triples),
      mib(fileBytes),
      showSpread(seconds),
      mib(fileBytes / seconds.median),
      mib(readingBytes.median),
      mib(trainingBytes),
      digits(trainingBytes / tableBytes),
    ]),
    notes: [
      `Peaks are the largest resident memory of the whole process; Node with the package has ${mib(data[0]!.nodeBytes.median)} MiB before it reads anything. Tables: parameters and two moments of every row, d = ${DIM}.`,
    ],
  };
}

/** What the program prints; it imports the package as a user would. */
async function node(code: string, ...args: readonly string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', code, ...args], { cwd: root });
  return stdout;
}

const fileBytes = (folder: string): number => readdirSync(folder).reduce((sum, name) => sum + statSync(join(folder, name)).size, 0);

/** The shape as train.txt, test.txt and kg_final.txt. */
function writeKgat(folder: string, shape: Shape): string {
  const { users, train, test, triples } = synthetic({ shape, seed: 1, validationFraction: 0 });
  mkdirSync(folder);
  const lines = ({ offsets, items }: Interactions) =>
    Array.from({ length: users }, (_, user) => [user, ...items.subarray(offsets[user]!, offsets[user + 1]!)].join(' ')).join('\n');
  writeFileSync(join(folder, 'train.txt'), `${lines(train)}\n`);
  writeFileSync(join(folder, 'test.txt'), `${lines(test)}\n`);
  const { heads, relations, tails } = triples;
  writeFileSync(join(folder, 'kg_final.txt'), `${Array.from(heads, (head, i) => `${head} ${relations[i]} ${tails[i]}`).join('\n')}\n`);
  return folder;
}

await command(main);
