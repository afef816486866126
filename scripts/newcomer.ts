// The first ten minutes of a newcomer, for real: the packed package is installed into an empty folder with a made-up shop, and there every command
// and the program of the README's "From two CSV files to recommendations" run as they stand.
//
//   node --import tsx scripts/newcomer.ts [--runs 5] [--json]
//
// Expected: what each command printed and how long it took, then what the package weighs, how long it takes to start, and the memory of a process that
// serves the model, medians of --runs processes; with --json one document. Exit status 1 where a command failed. The registry must be within
// reach for the dependencies. The tarball has the addon at hand as its one prebuild; what is published has one for each platform. Time: 1 min.
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { writeShop } from '../test/cli/shop-files.ts';
import { temporaryFolder } from '../test/helpers.ts';
import { foreignEnvironment, npm, prebuildPath, tarball } from '../test/pack.ts';
import { command, digits, integer, machine, sentence, textOf } from './bench/document.ts';
import { spread } from './bench/measure.ts';

interface Step {
  command: string;
  seconds: number;
  status: number | null;
  output: string;
}

const root = fileURLToPath(new URL('..', import.meta.url));
const readme = readFileSync(join(root, 'README.md'), 'utf8');
const section = /^## From two CSV files to recommendations\n(.*?)^## /ms.exec(readme)![1]!;
const blockOf = (language: string): string => new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, 'ms').exec(section)![1]!;

/** What a fresh process does, as a module in the folder. */
const processes = (main: string): Record<string, string> => ({
  'Node alone': '',
  "import 'hyper-know'": "await import('hyper-know');",
  'hyper-know --version': `process.argv[2] = '--version'; await import(${JSON.stringify(pathToFileURL(main).href)});`,
  'Model.load, and the first list': `
    const { Model } = await import('hyper-know');
    const model = await Model.load('shop.safetensors');
    model.recommend(model.userIds[0], 20);`,
});

async function main(): Promise<number> {
  const { values } = parseArgs({ options: { runs: { type: 'string', default: '5' }, json: { type: 'boolean', default: false } } });
  const runs = integer('runs', values.runs);
  const about = machine('cpu');
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'package.json'), '{ "private": true, "type": "module" }\n');
  writeShop(folder);
  writeFileSync(join(folder, 'serve.js'), blockOf('javascript'));

  const steps: Step[] = [];
  const step = (shown: string, program: string, args: readonly string[]): boolean => {
    const started = performance.now();
    const { status, stdout, stderr } = spawnSync(program, args, { cwd: folder, encoding: 'utf8', env: foreignEnvironment() });
    const seconds = (performance.now() - started) / 1000;
    steps.push({ command: shown, seconds, status, output: `${stderr ?? ''}${stdout ?? ''}`.trimEnd() });
    if (!values.json) console.log(`$ ${shown}\n${steps.at(-1)!.output}\n[${seconds.toFixed(1)} s]\n`);
    return status === 0;
  };

  const packed = await tarball({ prebuild: true });
  const [npmProgram, first]: [string, string[]] = npm === 'npm' ? ['npm', []] : [process.execPath, [npm]];
  const quiet = ['--ignore-scripts', '--no-audit', '--no-fund'];
  if (!step('npm install hyper-know', npmProgram, [...first, 'install', ...quiet, packed])) return failed(steps);
  const installed = join(folder, 'node_modules', 'hyper-know');
  const main = join(installed, 'dist', 'cli', 'main.js');
  for (const line of blockOf('sh').replaceAll('\\\n', ' ').split('\n')) {
    const shown = line
      .replace(/\s#.*$/, '')
      .replaceAll(/\s+/g, ' ')
      .trim();
    if (shown === '') continue;
    const [, ...args] = [...shown.slice('npx '.length).matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain!);
    if (!step(shown, process.execPath, [main, ...args])) return failed(steps);
  }
  if (!step('node serve.js', process.execPath, ['serve.js'])) return failed(steps);

  const measured = Object.entries(processes(main)).map(([what, code]) => {
    const taken = Array.from({ length: runs }, () => {
      const program = `process.on('exit', () => console.error(JSON.stringify([process.memoryUsage.rss(), process.cpuUsage()])));${code}`;
      const started = performance.now();
      const { stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', program, '-'], { cwd: folder, encoding: 'utf8' });
      const seconds = (performance.now() - started) / 1000;
      const [resident, { user, system }] = JSON.parse(stderr) as [number, NodeJS.CpuUsage];
      return { seconds, processorSeconds: (user + system) / 1e6, resident };
    });
    const of = (key: keyof (typeof taken)[number]) => spread(taken.map((one) => one[key]));
    return { what, seconds: of('seconds'), processorSeconds: of('processorSeconds'), residentBytes: of('resident') };
  });

  const prebuildBytes = statSync(join(installed, prebuildPath())).size;
  const sizes = {
    tarballBytes: statSync(packed).size,
    tarballWithoutPrebuildBytes: statSync(await tarball({ prebuild: false })).size,
    prebuildBytes,
    installedBytes: bytesUnder(installed),
    dependenciesBytes: bytesUnder(join(folder, 'node_modules')) - bytesUnder(installed),
    modelBytes: statSync(join(folder, 'shop.safetensors')).size,
  };
  const seconds = steps.reduce((sum, one) => sum + one.seconds, 0);
  if (values.json) {
    console.log(JSON.stringify({ schema: 'hyper-know/newcomer/1', ...about, seconds, steps, sizes, measured }, null, 2));
    return 0;
  }
  const kilobytes = (bytes: number) => digits(bytes / 1000);
  console.log(`${sentence({ benchmark: 'newcomer', backend: 'cpu', ...about, tables: [] })}\n`);
  console.log(`From npm install to reasons: ${digits(seconds)} s of computing.\n`);
  console.log(
    textOf({
      title: 'Sizes',
      columns: ['', 'kB'],
      rows: [
        ['tarball (npm pack), the prebuild of this platform in it', kilobytes(sizes.tarballBytes)],
        ['tarball without a prebuild', kilobytes(sizes.tarballWithoutPrebuildBytes)],
        ['that prebuild, unpacked', kilobytes(sizes.prebuildBytes)],
        ['installed, itself', kilobytes(sizes.installedBytes)],
        ['installed, what it depends on', kilobytes(sizes.dependenciesBytes)],
        ['the model of the shop', kilobytes(sizes.modelBytes)],
      ],
    }),
  );
  console.log(
    textOf({
      title: `A fresh process, medians of ${runs}`,
      columns: ['', 'ms', 'of a processor, ms', 'resident, MB'],
      rows: measured.map(({ what, seconds, processorSeconds, residentBytes }) => [
        what,
        digits(1000 * seconds.median),
        digits(1000 * processorSeconds.median),
        digits(residentBytes.median / 1e6),
      ]),
    }),
  );
  return 0;
}

function failed(steps: readonly Step[]): number {
  const { command: shown, status, output } = steps.at(-1)!;
  console.error(`${shown}: status ${status}\n${output}`);
  return 1;
}

function bytesUnder(folder: string): number {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, { parentPath, name }) => sum + statSync(join(parentPath, name)).size, 0);
}

await command(main);
