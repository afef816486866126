// Reads a data set or a model once, in a process of its own, and prints what that cost as JSON:
//   node --import tsx test/read-once.ts dataset|model PATH | import PATH USER ITEM
import { importTables } from '../lib/import-tables.ts';
import { loadDataset } from '../lib/data/dataset.ts';
import { Model } from '../lib/model.ts';

export interface ReadCost {
  /** 'ok', or the code and the message. */
  outcome: string;
  /** By the clock and of all threads, in milliseconds. */
  wall: number;
  work: number;
  /** Bytes that the process had at most, beyond those before it read. */
  grown: number;
}

const [what, path, user, item] = process.argv.slice(2) as [string, string, string, string];
const readers: Readonly<Record<string, () => Promise<unknown>>> = {
  dataset: () => loadDataset(path),
  model: () => Model.load(path),
  import: () => importTables({ interactions: { path, user, item } }),
};
await loadDataset(process.env.HYPER_KNOW_SMALL!); // compiled, and its buffers there
const before = process.resourceUsage().maxRSS;
const cpu = process.cpuUsage();
const began = performance.now();
const outcome = await readers[what]!().then(
  () => 'ok',
  ({ code, message }) => `${code} ${message}`,
);
const wall = performance.now() - began;
const { user: own, system } = process.cpuUsage(cpu);
const cost: ReadCost = { outcome, wall, work: (own + system) / 1000, grown: 1024 * (process.resourceUsage().maxRSS - before) };
process.stdout.write(JSON.stringify(cost));
process.exit();
