// One entry to the benchmarks: npm run bench -- NAME [OPTION …]; each is a file of scripts/bench and says on top what it takes and prints.
import { pathToFileURL } from 'node:url';

const NAMES = ['all', 'ceilings', 'compare', 'epoch', 'kernels', 'load', 'peers', 'scale', 'topk'];

const [name, ...rest] = process.argv.slice(2);
if (name === undefined || !NAMES.includes(name)) {
  console.error(`usage: npm run bench -- ${NAMES.join(' | ')} [OPTION …]`);
  process.exitCode = 2;
} else {
  process.argv = [process.argv[0]!, process.argv[1]!, ...rest];
  await import(pathToFileURL(`${import.meta.dirname}/bench/${name}.ts`).href);
}
