// One entry to the benchmarks: npm run bench -- NAME [OPTION …]; each is a file of scripts/bench and says on top what it takes and prints.
import { fileURLToPath, pathToFileURL } from 'node:url';

const NAMES = ['all', 'backends', 'ceilings', 'compare', 'epoch', 'kernels', 'load', 'peers', 'scale', 'topk'];

const [name, ...rest] = process.argv.slice(2);
if (name === undefined || !NAMES.includes(name)) {
  console.error(`usage: npm run bench -- ${NAMES.join(' | ')} [OPTION …]`);
  process.exitCode = 2;
} else {
  const file = fileURLToPath(new URL(`bench/${name}.ts`, import.meta.url));
  process.argv = [process.argv[0]!, file, ...rest];
  await import(pathToFileURL(file).href);
}
