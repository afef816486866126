// How training grows: with the triples, with the threads, and with a neighbour that keeps a core busy; and whether the threads change a bit.
//
//   npm run bench -- scale [--triples 1e5,1e6,1e7] [--threads 1,2,3,8] [--rounds 5] [--batches 20] [--json FILE] [--markdown]
//
// A synthetic world of 25,000 items and 70,000 users is trained for --batches batches of 4096 per turn. First with more and more triples;
// then at 10^6 with every number of threads (those of --threads and all of this machine's), which take turns and must end with the same bits,
// or the exit status is 1; then with all threads while a process of its own spins, turn by turn without and with it.
//
// Expected: a line per size, per number of threads, and two for the neighbour. Time on 2 cores: two minutes, 10^7 triples need 2 GiB.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { Random } from '../../lib/data/random.ts';
import { argumentError } from '../../lib/errors.ts';
import { type NativeTrainer, native } from '../../lib/native.ts';
import { configuration, type Data } from './data.ts';
import { command, digits, integer, list, machine, options, report, showRatio, showSpread, type Table } from './document.ts';
import { type Ratio, ratio, type Spread, spread, takeTurns } from './measure.ts';
import { countEpoch } from './work.ts';

const [USERS, ITEMS, RELATIONS, BATCH] = [70_000, 25_000, 40, 4096];
/** Mean number of triples that a tail other than an item has. */
const IN_DEGREE = 25;
const THREADS_AT = 1e6;

async function main(): Promise<number> {
  const values = options({
    triples: { type: 'string', default: '1e5,1e6,1e7' },
    threads: { type: 'string', default: '1,2,3,8' },
    rounds: { type: 'string', default: '5' },
    batches: { type: 'string', default: '20' },
  });
  const sizes = list(values.triples).map((text) => integer('triples', text, 1000, 1e9));
  const own = availableParallelism();
  const threads = [...new Set([...list(values.threads).map((text) => integer('threads', text, 1, 1024)), 1, own])].sort((a, b) => a - b);
  const rounds = integer('rounds', values.rounds);
  const batches = integer('batches', values.batches, 1, 1000);
  if (sizes.length === 0) throw argumentError('range', '--triples', 'must name at least one number of triples');

  const described = machine('cpu');
  const growth = [];
  for (const triples of sizes) growth.push(await measureSize(world(triples, batches), own, rounds));
  const threading = await measureThreads(world(THREADS_AT, batches), threads, rounds);
  const neighbour = await measureNeighbour(world(THREADS_AT, batches), own, rounds);
  const digests = new Set(threading.map(({ digest }) => digest));
  report(
    {
      benchmark: 'scale',
      ...described,
      backend: 'cpu',
      threads: own,
      data: `synthetic, ${USERS} users, ${ITEMS} items, ${batches} batches of ${BATCH}`,
      ...{ growth, threading, identical: digests.size === 1, neighbour },
      tables: [growthTable(growth, own), threadTable(threading, digests.size === 1), neighbourTable(neighbour, own, described.processors)],
    },
    values,
  );
  return digests.size === 1 ? 0 : 1;
}

/** Uniform interactions; triples with a few popular tails (the square of a uniform number picks them), sorted by relation within an item. */
function world(triples: number, batches: number): Data {
  const random = new Random(1, 0);
  const interactions = batches * BATCH;
  const train = { offsets: new Uint32Array(USERS + 1), items: new Uint32Array(interactions) };
  for (let user = 0; user < USERS; ++user) {
    const [begin, end] = [user, user + 1].map((place) => Math.floor((place * interactions) / USERS)) as [number, number];
    train.offsets[user + 1] = end;
    const own = new Set<number>();
    while (own.size < end - begin) own.add(random.below(ITEMS));
    train.items.set(
      [...own].sort((a, b) => a - b),
      begin,
    );
  }
  const entities = ITEMS + Math.ceil(triples / IN_DEGREE);
  const offsets = Uint32Array.from({ length: ITEMS + 1 }, (_, item) => Math.floor((item * triples) / ITEMS));
  const relations = Uint32Array.from({ length: triples }, () => random.below(RELATIONS));
  for (let item = 0; item < ITEMS; ++item) relations.subarray(offsets[item]!, offsets[item + 1]!).sort();
  const tails = Uint32Array.from({ length: triples }, () => ITEMS + Math.floor((entities - ITEMS) * random.uniform() ** 2));
  return {
    label: `${triples} triples`,
    users: USERS,
    items: ITEMS,
    entities,
    relations: RELATIONS,
    train,
    graph: { offsets, relations, tails },
  };
}

/** A turn is one epoch: seconds per step, as the trainer measures them. */
class Turns {
  readonly trainer: NativeTrainer;
  #epoch = 0;

  constructor(data: Data, threads: number) {
    this.trainer = new native.Trainer(configuration(data, { batchSize: BATCH }, { threads }));
  }

  readonly run = async (): Promise<number> => {
    const { seconds, steps } = await this.trainer.epoch(this.#epoch++, 1).promise;
    return seconds / steps;
  };

  /** Of every bit of the tables. */
  async digest(): Promise<string> {
    const { users, entities, relations, beta } = await this.trainer.read().promise;
    const hash = createHash('sha256');
    for (const { buffer, byteOffset, byteLength } of [users, entities, relations, beta])
      hash.update(new Uint8Array(buffer, byteOffset, byteLength));
    return hash.digest('hex');
  }
}

interface Size {
  name: string;
  triples: number;
  entities: number;
  triplesPerStep: number;
  secondsPerStep: Spread;
}

async function measureSize(data: Data, threads: number, rounds: number): Promise<Size> {
  const turns = new Turns(data, threads);
  const { triples, batches } = countEpoch(turns.trainer.samples(0), data.graph, data, BATCH);
  const seconds = await takeTurns([{ name: data.label, run: turns.run }], { rounds });
  turns.trainer.dispose();
  const secondsPerStep = spread(seconds.get(data.label)!);
  return { name: data.label, triples: data.graph.tails.length, entities: data.entities, triplesPerStep: triples / batches, secondsPerStep };
}

interface Threading {
  name: string;
  threads: number;
  secondsPerStep: Spread;
  /** Time on one thread / (threads · time). */
  efficiency: Ratio;
  digest: string;
}

async function measureThreads(data: Data, numbers: readonly number[], rounds: number): Promise<Threading[]> {
  const all = numbers.map((threads) => ({ name: `${threads} threads`, threads, turns: new Turns(data, threads) }));
  const seconds = await takeTurns(
    all.map(({ name, turns }) => ({ name, run: turns.run })),
    { rounds },
  );
  const one = seconds.get('1 threads')!;
  const results: Threading[] = [];
  for (const { name, threads, turns } of all) {
    const mine = seconds.get(name)!;
    const digest = await turns.digest();
    turns.trainer.dispose();
    const shared = mine.map((value) => value * threads);
    results.push({ name, threads, secondsPerStep: spread(mine), efficiency: ratio(one, shared), digest });
  }
  return results;
}

interface Neighbour {
  quiet: Spread;
  busy: Spread;
  busyOverQuiet: Ratio;
}

/** One trainer, turn by turn with and without a process that keeps a core busy; that process is stopped meanwhile, not ended. */
async function measureNeighbour(data: Data, threads: number, rounds: number): Promise<Neighbour | string> {
  if (process.platform === 'win32') return 'a process cannot be paused here';
  const turns = new Turns(data, threads);
  const spinning = spawn(process.execPath, ['-e', 'for (;;);'], { stdio: 'ignore' });
  try {
    spinning.kill('SIGSTOP');
    const busy = async () => {
      spinning.kill('SIGCONT');
      await sleep(20);
      try {
        return await turns.run();
      } finally {
        spinning.kill('SIGSTOP');
      }
    };
    const seconds = await takeTurns(
      [
        { name: 'quiet', run: turns.run },
        { name: 'busy', run: busy },
      ],
      { rounds },
    );
    const [quiet, other] = [seconds.get('quiet')!, seconds.get('busy')!];
    return { quiet: spread(quiet), busy: spread(other), busyOverQuiet: ratio(other, quiet) };
  } finally {
    spinning.kill('SIGKILL');
    turns.trainer.dispose();
  }
}

function growthTable(sizes: readonly Size[], threads: number): Table {
  return {
    title: `Triples, ${threads} threads`,
    columns: [
      'triples',
      'entities',
      'triples per step',
      'ms per step (smallest – largest)',
      'ns per triple of the graph',
      'ns per triple of the step',
    ],
    rows: sizes.map(({ triples, entities, triplesPerStep, secondsPerStep }) => [
      digits(triples),
      digits(entities),
      digits(triplesPerStep),
      showSpread(secondsPerStep, 1000),
      showSpread(secondsPerStep, 1e9 / triples),
      digits((1e9 * secondsPerStep.median) / triplesPerStep),
    ]),
    notes: [
      `A step has ${digits(BATCH)} samples whatever the graph: with few triples it is they that cost. Time per triple of the graph and step stays level where it grows in proportion.`,
    ],
  };
}

function threadTable(results: readonly Threading[], identical: boolean): Table {
  return {
    title: `Threads, ${digits(THREADS_AT)} triples, in turns`,
    columns: ['threads', 'ms per step (smallest – largest)', 'efficiency (lowest – highest)', 'digest of the tables'],
    rows: results.map(({ threads, secondsPerStep, efficiency, digest }) => [
      `${threads}`,
      showSpread(secondsPerStep, 1000),
      `${digits(efficiency.middle)} (${digits(efficiency.smallest)} – ${digits(efficiency.largest)})`,
      digest.slice(0, 16),
    ]),
    notes: [identical ? 'All end with the same bits.' : 'They do not end with the same bits.'],
  };
}

function neighbourTable(result: Neighbour | string, threads: number, processors: number): Table {
  const title = `A neighbour that keeps one core busy, ${threads} threads, ${digits(THREADS_AT)} triples`;
  if (typeof result === 'string') return { title, columns: [''], rows: [], notes: [`Left out: ${result}.`] };
  return {
    title,
    columns: ['', 'ms per step (smallest – largest)'],
    rows: [
      ['without it', showSpread(result.quiet, 1000)],
      ['with it', showSpread(result.busy, 1000)],
    ],
    notes: [
      `It takes ${showRatio(result.busyOverQuiet)} as long; were the processors shared out evenly, ${digits(Math.max(1, (threads + 1) / processors))}×.`,
    ],
  };
}

await command(main);
