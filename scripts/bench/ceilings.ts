// What this processor can do at most, measured by ceilings.cc: copying, random rows of 256 bytes, float32 arithmetic. Needs a C++ compiler;
// without one it says so and ends with status 0. A card's are measured by ceilings.cu.
//
//   npm run bench -- ceilings [--threads N] [--json FILE] [--markdown]
//
// Expected: a line per ceiling. Time on 2 cores: 10 s, most of it building.
import { availableParallelism } from 'node:os';
import { command, digits, integer, machine, options, report } from './document.ts';
import { measureProcessor, type ProcessorCeilings, rateOf } from './limits.ts';

async function main(): Promise<number> {
  const values = options({ threads: { type: 'string', default: String(availableParallelism()) } });
  const threads = integer('threads', values.threads, 1, 1024);
  const described = machine('cpu');
  const ceilings = await measureProcessor(threads);
  if (typeof ceilings === 'string') {
    console.log(`ceilings: left out, ${ceilings}`);
    return 0;
  }
  const document = { benchmark: 'ceilings', ...described, backend: 'cpu', threads, ceilings, tables: [table(ceilings, threads)] };
  report(document, values);
  return 0;
}

function table(ceilings: ProcessorCeilings, threads: number) {
  return {
    title: `Ceilings of the processor, ${threads} threads`,
    columns: ['what', 'median', 'lowest', 'highest', ''],
    rows: Object.entries(ceilings).map(([name, ceiling]) => {
      const { amount, seconds, unit } = ceiling;
      const rates = [rateOf(ceiling), amount / seconds.largest, amount / seconds.smallest];
      return [name, ...rates.map((rate) => digits(rate / 1e9)), unit === 'B' ? 'GB/s' : 'GFLOP/s'];
    }),
  };
}

await command(main);
