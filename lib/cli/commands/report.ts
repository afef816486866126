import { readdir, readFile, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { HyperKnowError } from '../../errors.ts';
import type { Run } from '../../report/runs.ts';
import { type Command, defineCommand } from '../command.ts';
import { count } from '../data.ts';
import { visibleJson } from '../escape.ts';
import { UsageError } from '../exit.ts';

/** A file of a run holds the metrics of every user: some megabytes. Larger ones are something else. */
const MOST_BYTES = 1 << 28;

export const report: Command = defineCommand({
  name: 'report',
  summary: 'Write the results of reproduce and of eval --json into one table, seeds merged to mean ± standard deviation',
  arguments: [
    {
      name: 'RESULTS',
      description: 'files of `eval --json` and of `reproduce` (results.json, ablation.json, runs/*/run.json), or folders with some',
      variadic: true,
    },
  ],
  options: {
    format: { type: 'string', words: ['markdown', 'csv', 'latex', 'json'], default: 'markdown', description: 'how the table is written' },
    metrics: { type: 'list', placeholder: 'NAME@K,…', defaultText: 'all there are', description: 'which metrics, e.g. recall@20,ndcg@20' },
  },
  examples: [
    'report runs',
    'report runs-of-one-machine runs-of-another',
    'report seed1.json seed2.json seed3.json --format latex --metrics recall@20,ndcg@20',
  ],
  async run({ output }, paths, { format, metrics }) {
    const { rowsOf, metricsIn } = await import('../../report/rows.ts');
    const { tableText } = await import('../../report/formats.ts');
    const runs = await readRuns(paths);
    const rows = rowsOf(runs);
    const known = metricsIn(rows);
    for (const name of metrics ?? [])
      if (!known.includes(name)) throw new UsageError(`--metrics: no result has ${name}; there are ${known.join(', ')}`);
    const shown = metrics ?? known;
    const narrowed = rows.map((row) => ({
      ...row,
      metrics: Object.fromEntries(Object.entries(row.metrics).filter(([name]) => shown.includes(name))),
    }));
    const document = { metrics: shown, rows: narrowed };
    if (format === 'json') output.line(visibleJson({ schema: 'hyper-know/report/1', ...document }));
    else for (const line of tableText(narrowed, shown, format)) output.line(line);
    const files = new Set(runs.map(({ file }) => file)).size;
    const total = rows.reduce((sum, row) => sum + row.runs, 0);
    output.note(`${[...new Set(rows.map(({ data }) => data))].join(', ')} · runs: ${count(total)}, of files: ${count(files)}`, 'dim');
    output.document('report/1', document);
  },
});

async function readRuns(paths: readonly string[]): Promise<Run[]> {
  const { runsIn } = await import('../../report/runs.ts');
  const { VARIANTS } = await import('../../variants.ts');
  const labels = new Map<string, string>(VARIANTS.map(({ name, label }) => [name, label.replace(/^\(\d\) /, '')]));
  const runs: Run[] = [];
  for (const path of paths) {
    const isFolder = (await stat(path).catch((cause) => Promise.reject(unreadable(path, cause)))).isDirectory();
    const files = isFolder ? await jsonFilesIn(path) : [path];
    let found = 0;
    for (const file of files) {
      const name = basename(file) === 'run.json' ? join(basename(dirname(file)), 'run.json') : basename(file);
      const own = runsIn(await readJson(file), name, labels);
      if (own === null && !isFolder)
        throw new HyperKnowError('ERR_HK_DATA', `${basename(file)}: is no result of \`eval --json\` or \`reproduce\``, {
          file: basename(file),
        });
      runs.push(...(own ?? []));
      found += own?.length ?? 0;
    }
    if (found === 0) throw new HyperKnowError('ERR_HK_DATA', `${basename(path)}: holds no results`, { file: basename(path) });
  }
  return runs;
}

async function jsonFilesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile() && entry.name.endsWith('.json'))
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => !/[/\\]\./.test(path.slice(folder.length))) // of runs that are not finished
    .sort();
}

async function readJson(path: string): Promise<unknown> {
  const file = basename(path);
  const bytes = await readFile(path).catch((cause) => Promise.reject(unreadable(path, cause)));
  if (bytes.length > MOST_BYTES)
    throw new HyperKnowError('ERR_HK_DATA', `${file}: has ${bytes.length} bytes, results at most ${MOST_BYTES}`, { file });
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    throw new HyperKnowError('ERR_HK_DATA', `${file}: is not JSON (${(error as Error).message.slice(0, 100)})`, { file });
  }
}

function unreadable(path: string, cause: NodeJS.ErrnoException): HyperKnowError {
  return new HyperKnowError('ERR_HK_IO', `${basename(path)}: cannot be read (${cause.code})`, { file: basename(path), cause });
}
