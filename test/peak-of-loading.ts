// Loads every file of a folder as a model and prints as JSON what the process had in memory at most meanwhile, beyond what it had before, in bytes:
//   node --expose-gc --import tsx test/peak-of-loading.ts FOLDER MODEL [trusting]        Linux
// MODEL is loaded first, so that all of the program is there. `trusting`: as if headers were believed, each takes 64 MiB.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Model } from '../lib/model.ts';

const [folder, whole, trusting] = process.argv.slice(2) as [string, string, string | undefined];

function kibibytes(field: 'VmRSS' | 'VmHWM'): number {
  return Number(new RegExp(`${field}:\\s+(\\d+)`).exec(readFileSync('/proc/self/status', 'utf8'))![1]);
}

async function load(path: string, believing: boolean): Promise<void> {
  const believed = believing ? Buffer.alloc(64 << 20, 1) : undefined;
  await Model.load(path).catch(() => {});
  if (believed?.[0] === 0) throw new Error('it is in use until here');
}

for (let time = 0; time < 3; ++time) await load(whole, false);
const peaks: Record<string, number> = {};
for (const name of readdirSync(folder)) {
  for (let time = 0; time < 2; ++time) (globalThis as unknown as { gc(): void }).gc(); // the second waits until what the first found has been given back
  writeFileSync('/proc/self/clear_refs', '5'); // the peak begins anew
  const before = kibibytes('VmRSS');
  await load(join(folder, name), trusting !== undefined);
  peaks[name] = 1024 * (kibibytes('VmHWM') - before);
}
process.stdout.write(JSON.stringify(peaks));
