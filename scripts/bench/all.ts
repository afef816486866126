// Every benchmark once, at modest cost: a JSON document each, and the results in README.md made from them.
//
//   npm run bench -- all [--json-dir scripts/bench/results] [--only NAME,…] [--no-run] [--readme] [--markdown]
//
// Each is a process of its own, one after the other; its tables are printed as it ends. --only runs those whose name holds one of the parts.
// --no-run measures nothing and takes the documents that are there. --readme writes the section "Results" of scripts/bench/README.md anew from all
// documents of the folder; --markdown prints that section. PYTHON names a Python for the peers. What cannot run here says so by itself.
// Expected: 9 documents. Time on 2 cores: 8 minutes.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { argumentError } from '../../lib/errors.ts';
import { command, type Document, isMain, list, markdownOf, sentence } from './document.ts';

const RUNS: readonly [name: string, benchmark: string, ...args: string[]][] = [
  ['ceilings', 'ceilings'],
  ['epoch-last-fm', 'epoch', '--shape', 'last-fm', '--epochs', '5', '--ceilings', 'cpu'],
  ['epoch-amazon-book', 'epoch', '--shape', 'amazon-book', '--epochs', '5', '--ceilings', 'cpu'],
  ['epoch-yelp2018', 'epoch', '--shape', 'yelp2018', '--epochs', '5', '--ceilings', 'cpu'],
  ['peers', 'peers', '--rounds', '5', '--steps', '3'],
  ['topk', 'topk'],
  ['kernels', 'kernels'],
  ['load', 'load', '--runs', '5'],
  ['scale', 'scale', '--rounds', '5'],
];

const here = fileURLToPath(new URL('.', import.meta.url));
const README = join(here, 'README.md');
const HEADING = '## Results';

function run(folder: string, parts: readonly string[]): string[] {
  const failed: string[] = [];
  const chosen = RUNS.filter(([name]) => parts.length === 0 || parts.some((part) => name.includes(part)));
  if (chosen.length === 0) throw argumentError('range', '--only', `no benchmark's name holds any of ${parts.join(', ')}`);
  for (const [name, benchmark, ...args] of chosen) {
    console.error(`\n── ${name} ──`);
    const file = join(folder, `${name}.json`);
    const script = ['--import', 'tsx', join(here, '..', 'bench.ts'), benchmark, ...args, '--json', file];
    const { status } = spawnSync(process.execPath, script, { stdio: ['ignore', 'inherit', 'inherit'] });
    if (status !== 0) failed.push(`${name} (status ${status})`);
  }
  return failed;
}

/** All documents of the folder, those of RUNS first and in their order. */
function documents(folder: string): { name: string; document: Document & { command: string } }[] {
  const place = (name: string) => {
    const known = RUNS.findIndex(([own]) => own === name);
    return known < 0 ? RUNS.length : known;
  };
  const names = existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith('.json')) : [];
  return names
    .map((file) => ({ name: basename(file, '.json'), document: JSON.parse(readFileSync(join(folder, file), 'utf8')) }))
    .filter(({ document }) => Array.isArray(document.tables))
    .sort((a, b) => place(a.name) - place(b.name) || a.name.localeCompare(b.name));
}

/** The section as Markdown: each command with its machine and its tables. */
export function resultsOf(results: readonly { document: Document & { command: string } }[]): string {
  return results
    .map(({ document }) =>
      [`### \`${document.command}\``, '', `${sentence(document)}.`, '', ...document.tables.map(markdownOf)].join('\n').trimEnd(),
    )
    .join('\n\n');
}

/** The text with the section under `HEADING`, up to the next heading of its level, replaced. */
export function withResults(text: string, results: string): string {
  const begin = text.indexOf(`${HEADING}\n`);
  if (begin < 0) throw new Error(`README.md has no section ${HEADING}`);
  const next = text.indexOf('\n## ', begin + HEADING.length);
  return `${text.slice(0, begin)}${HEADING}\n\n${results}\n${next < 0 ? '' : text.slice(next)}`;
}

function main(): number {
  const { values } = parseArgs({
    options: {
      'json-dir': { type: 'string', default: join(here, 'results') },
      only: { type: 'string', default: '' },
      'no-run': { type: 'boolean', default: false },
      readme: { type: 'boolean', default: false },
      markdown: { type: 'boolean', default: false },
    },
  });
  const folder = values['json-dir'];
  mkdirSync(folder, { recursive: true });
  const failed = values['no-run'] ? [] : run(folder, list(values.only));
  const found = documents(folder);
  if (values.markdown) console.log(resultsOf(found));
  if (values.readme) {
    if (found.length === 0) throw argumentError('range', '--json-dir', `${basename(folder)} holds no results`);
    writeFileSync(README, withResults(readFileSync(README, 'utf8'), resultsOf(found)));
    console.error(`README.md: section ${HEADING} made from ${found.length} documents`);
  }
  if (failed.length > 0) console.error(`all: failed: ${failed.join(', ')}`);
  return failed.length > 0 ? 1 : 0;
}

if (isMain(import.meta.url)) await command(main);
