// The section "On an H200" of README.md, made from what is in results/h200.
//
//   node --import tsx scripts/bench/device.ts [--write]
//
// Expected: the section on standard output; with --write it takes the place of the one in README.md instead.
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { digits, markdownOf, showSpread, type Table } from './document.ts';
import type { Spread } from './measure.ts';

const here = dirname(fileURLToPath(import.meta.url));
const README = join(here, 'README.md');
export const HEADING = '## On an H200';

const SHAPES = ['amazon-book', 'last-fm', 'yelp2018'] as const;
type Shape = (typeof SHAPES)[number];

interface Turn {
  commit: string;
  what: string;
  /** Median, smallest, largest; how many epochs. */
  seconds: Partial<Record<Shape, [number, number, number, number]>>;
  kept: boolean;
}
interface Kernel {
  kernel: string;
  microseconds: number;
  registers: number;
}
interface Epoch {
  cited: { seconds: number };
  floor: { seconds: number; bound: string };
  counts: { batches: number };
  seconds: { epoch: Spread };
}
interface Peers {
  torch: string;
  stepsPerEpoch: number;
  variants: Record<string, { millisecondsPerStep: Spread }>;
}
interface Hubs {
  milliseconds: Record<string, { median: number; changing: number }>;
}
interface Comparison {
  rows: { label: string; seeds: number; metrics: Record<string, { mean: number; sd: number }>; epochSeconds: number }[];
}
interface Run {
  method: string;
  seed: number;
  'recall@20': number;
  'ndcg@20': number;
}
interface Unfinished {
  runs: Record<string, Run[]>;
}
interface BothPresets {
  command: string;
  stopped: string;
  /** `beta`: the weight of L_K for all items, of a fixed-weight run of Figure 2. */
  runs: (Run & { preset: string; beta?: number })[];
}

const read = <T>(name: string): T => JSON.parse(readFileSync(join(here, 'results', 'h200', `${name}.json`), 'utf8')) as T;
const ms = (seconds: number): string => digits(1000 * seconds);

function epochs(turns: readonly Turn[]): Table {
  const standing = turns.filter(({ kept }) => kept).at(-1)!.seconds as Required<Turn['seconds']>;
  const [, , , runs] = standing['last-fm'];
  return {
    title: 'Epochs of the code as it stands, adaptive β, d = 64, batches of 4096',
    columns: [
      'synthetic data of the size of',
      'ms (smallest – largest)',
      'µs a step',
      'least possible, ms',
      'measured / least',
      'Table 4, V100 / this',
    ],
    rows: SHAPES.map((shape) => {
      const { cited, floor, counts } = read<Epoch>(`epoch-${shape}-last`);
      const [median, smallest, largest] = standing[shape];
      return [
        shape,
        `${ms(median)} (${ms(smallest)} – ${ms(largest)})`,
        digits((1e6 * median) / counts.batches),
        ms(floor.seconds),
        digits(median / floor.seconds),
        digits(cited.seconds / median),
      ];
    }),
    notes: [
      `Medians of ${runs} epochs after the first. The least possible time is that of the bytes, at the rates \`ceilings.cu\` measured on such a card.`,
    ],
  };
}

function tried(turns: readonly Turn[]): Table {
  return {
    title: 'What was tried, in this order: ms per epoch',
    columns: ['', ...SHAPES, 'kept', 'commit'],
    rows: turns.map(({ what, seconds, kept, commit }) => [
      what,
      ...SHAPES.map((shape) => (seconds[shape] ? ms(seconds[shape][0]) : '')),
      kept ? 'yes' : 'no',
      commit,
    ]),
  };
}

function kernels(): Table {
  const { step } = read<{ step: Record<Shape, Kernel[]> }>('kernels');
  const names = step['last-fm'].map(({ kernel }) => kernel);
  return {
    title: 'Kernels of a step, µs each when nothing runs beside it (`ncu`)',
    columns: ['kernel, in the order of the calls', ...SHAPES, 'registers'],
    rows: names.map((name, i) => [
      `\`${name}\``,
      ...SHAPES.map((shape) => digits(step[shape][i]!.microseconds)),
      `${step['last-fm'][i]!.registers}`,
    ]),
  };
}

function peers(): Table {
  const { torch, stepsPerEpoch, variants } = read<Peers>('peers-last-fm');
  const ours = 1000 * (read<Epoch>('epoch-last-fm-beside-peers').seconds.epoch.median / stepsPerEpoch);
  return {
    title: `A step of last-fm's size beside PyTorch ${torch}, in one run`,
    columns: ['', 'ms (smallest – largest)', 'of ours'],
    rows: [
      ['this package', digits(ours), ''],
      ...Object.entries(variants).map(([name, { millisecondsPerStep }]) => [
        `PyTorch, ${name}`,
        showSpread(millisecondsPerStep),
        `${digits(millisecondsPerStep.median / ours)} ×`,
      ]),
    ],
    notes: [
      'Ours in that run was a turn of the table above that was not kept and is slower than the code as it stands. PyTorch: `python3 scripts/bench/peers/hyper_know.py --mode time --device cuda --variants eager,padded,graph --steps 100 --export FOLDER`, where `export.ts --shape last-fm` has written.',
    ],
  };
}

function hubs(): Table {
  const [first, last] = [read<Hubs>('hub-tails-first').milliseconds, read<Hubs>('hub-tails-last').milliseconds];
  return {
    title: 'Entity gradients of a batch, the hottest tail in 3,000 triples of 26,178 (`hub_tails`; in the first and in the last turn)',
    columns: ['', 'ms, first', 'ms, last', 'numbers that change from run to run'],
    rows: Object.keys(last).map((name) => [name, digits(first[name]!.median), digits(last[name]!.median), digits(last[name]!.changing)]),
  };
}

function topK(): Table {
  const { command, users, contenders } = read<{ command: string; users: number; contenders: { secondsPerQuery: Spread }[] }>('topk');
  const { median, smallest, largest } = contenders[0]!.secondsPerQuery;
  return {
    title: `Ranking all users of amazon-book's size once, copies to and from the card included: \`${command}\``,
    columns: ['users', 'ms (smallest – largest)', 'aim, ms'],
    rows: [[digits(users), `${ms(users * median)} (${ms(users * smallest)} – ${ms(users * largest)})`, '8']],
  };
}

function quality(): Table[] {
  const { rows } = read<Comparison>('book-crossing');
  const { runs } = read<Unfinished>('unfinished-runs');
  return [
    {
      title: 'Table 3 on book-crossing, five seeds: `npm run reproduce -- --backend cuda --no-controls --seeds 5 --data FOLDER`',
      columns: ['', 'Recall@20', 'NDCG@20', 'ms per epoch'],
      rows: rows.map(({ label, metrics, epochSeconds }) => [
        label,
        withSpread(metrics['recall@20']!),
        withSpread(metrics['ndcg@20']!),
        ms(epochSeconds),
      ]),
      notes: [
        "The preset 'tuned' had an attentionTemperature of 1 then, here and in the tables that follow.",
        'Three data sets, the tests and four sanitizers shared the card while this ran: the times are no measure of it.',
      ],
    },
    ...Object.entries(runs).map(
      ([data, own]): Table => ({
        title: `The same on ${data}, cut off with fewer seeds`,
        columns: ['', 'seeds', 'Recall@20', 'NDCG@20'],
        rows: [...new Set(own.map(({ method }) => method))].map((method) => [
          method,
          ...overSeeds(own.filter((run) => run.method === method)),
        ]),
      }),
    ),
    ...presets(),
  ];
}

/** Table 3 and the fixed weights of Figure 2 on last-fm-resplit. */
function presets(): Table[] {
  const { command, stopped, runs } = read<BothPresets>('last-fm-resplit');
  const learned = runs.filter(({ beta }) => beta === undefined);
  const of = (preset: string, method: string) => overSeeds(learned.filter((run) => run.preset === preset && run.method === method));
  const weights = [...new Set(runs.flatMap(({ beta }) => beta ?? []))].sort((a, b) => a - b);
  return [
    {
      title: `Table 3 on last-fm-resplit in both presets: \`${command}\``,
      columns: ['', 'tuned: seeds', 'Recall@20', 'NDCG@20', 'paper: seeds', 'Recall@20', 'NDCG@20'],
      rows: [...new Set(learned.map(({ method }) => method))].map((method) => [method, ...of('tuned', method), ...of('paper', method)]),
      notes: [`Ended ${stopped}.`],
    },
    {
      title: 'Figure 2 in the same run: the weight of L_K fixed for all items, preset tuned',
      columns: ['weight', 'seeds', 'Recall@20', 'NDCG@20'],
      rows: [
        ...weights.map((weight) => [`${weight}`, ...overSeeds(runs.filter(({ beta }) => beta === weight))]),
        ['σ(β), learned', ...of('tuned', 'Hyper-Know')],
      ],
    },
  ];
}

/** How many, and the mean ± deviation of Recall@20 and NDCG@20. */
const overSeeds = (runs: readonly Run[]): string[] => [
  `${runs.length}`,
  ...(['recall@20', 'ndcg@20'] as const).map((key) => withSpread(meanOf(runs.map((run) => run[key])))),
];

const withSpread = ({ mean, sd }: { mean: number; sd: number }): string => `${mean.toFixed(4)} ± ${sd.toFixed(4)}`;

function meanOf(values: readonly number[]): { mean: number; sd: number } {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return { mean, sd: Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1)) };
}

export function section(): string {
  const { device, driver, command, turns } = read<{ device: string; driver: string; command: string; turns: Turn[] }>('turns');
  const tables = [epochs(turns), tried(turns), kernels(), peers(), hubs(), topK(), ...quality()];
  const head = `${device}, driver ${driver}; \`${command}\`. [results/h200](results/h200/README.md) has the raw documents and what they leave open.`;
  return [HEADING, '', head, '', ...tables.map(markdownOf)].join('\n').trimEnd();
}

/** The text with the section in the place of the one it has. */
export function withSection(text: string, made: string): string {
  const begin = text.indexOf(`${HEADING}\n`);
  if (begin < 0) throw new Error(`README.md has no section ${HEADING}`);
  const next = text.indexOf('\n## ', begin + HEADING.length);
  return `${text.slice(0, begin)}${made}\n${next < 0 ? '' : text.slice(next)}`;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  if (process.argv.includes('--write')) writeFileSync(README, withSection(readFileSync(README, 'utf8'), section()));
  else console.log(section());
}
