// What is written of runs, again from the runs: rows of comparisons, ablations and sweeps, their texts, and the paper's tables.
import { join } from 'node:path';
import { isObject } from '../check.ts';
import { files } from '../files.ts';
import { type AblationDocument, ablationRows, ablationText } from './ablation.ts';
import { type Checks, type Verdict, verdictOn } from './checks.ts';
import { comparisonRows, REFERENCE } from './comparison.ts';
import type { RunRecord } from './run-folder.ts';
import { type SweepDocument, sweepCsv, sweepRows, sweepText } from './sweep.ts';
import { measuredIn, paperTables, type ResultsDocument, TABLES, tableDocument } from './tables/paper-tables.ts';
import { type PaperTable, TABLE_FORMATS, tableAs } from './tables/table.ts';

/** Name of the folder → run, of all that are there. */
type Records = ReadonlyMap<string, RunRecord>;

export interface DocumentContext {
  /** The folder that the document is in. */
  out: string;
  records: Records;
  check: Checks;
}

/** What a document is made of: its file's name, and what stands in it. */
export interface Written {
  file: string;
  content: Record<string, unknown>;
}

/** A verdict of the rows of a document, and of each text beside it. */
export async function* verifyDocument(written: Written, context: DocumentContext): AsyncGenerator<Verdict> {
  const { file, content } = written;
  const [, kind] = /^hyper-know\/(\w+)\//.exec(String(content.schema)) ?? [];
  if (kind === 'results' && Array.isArray(content.rows)) {
    const rows = resultRows(written, context);
    yield rows;
    if (rows.status === 'missing') return;
    yield* tables(content as unknown as ResultsDocument & { tables?: number[] }, context);
  } else if (kind === 'ablation' && Array.isArray(content.dataSets)) {
    const rows = ablatedRows(file, content as unknown as AblationDocument, context);
    yield rows;
    if (rows.status !== 'unchecked') yield await text('ablation.md', () => ablationText(content as unknown as AblationDocument), context);
  } else if (kind === 'sweep' && Array.isArray(content.rows)) {
    const document = content as unknown as SweepDocument;
    const rows = sweptRows(file, document, context);
    yield rows;
    if (rows.status === 'unchecked') return;
    yield await text('sweep.md', () => sweepText(document), context);
    yield await text('sweep.csv', () => sweepCsv(document.rows), context);
  }
}

const OLDER = 'it was written by an older release, which did not say what runs its rows are of';

/** Of rows or cells that name their runs: why they cannot be made again. */
function unmade(what: string, parts: readonly { folders: string[] }[], records: Records): Verdict | undefined {
  if (!parts.every(({ folders }) => Array.isArray(folders))) return { what, status: 'unchecked', remarks: [OLDER] };
  return absent(
    what,
    parts.flatMap(({ folders }) => folders),
    records,
  );
}

/** What no run is there for. */
function absent(what: string, names: readonly string[], records: Records): Verdict | undefined {
  const missing = [...new Set(names.filter((name) => !records.has(name)))];
  return missing.length > 0 ? { what, status: 'missing', remarks: missing.map((name) => `${name} is not there`) } : undefined;
}

const asJson = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T;

/** Means, deviations and tests; the ledgers. */
function resultRows({ file, content }: Written, { records, check }: DocumentContext): Verdict {
  const what = `rows of ${file}`;
  const rows = (content.rows as unknown[]).filter(isObject) as unknown as {
    method: string;
    label: string;
    preset: string;
    runs?: string[];
    metrics: Record<string, unknown>;
  }[];
  const none = absent(
    what,
    rows.flatMap(({ runs = [] }) => runs),
    records,
  );
  if (none) return none;
  const wrong: string[] = [];
  for (const preset of new Set(rows.map((row) => row.preset))) {
    const own = rows.filter((row) => row.preset === preset);
    const results = new Map(own.map(({ method, runs = [] }) => [method, runs.map((name) => records.get(name)!)]));
    const first = own.find(({ method }) => method === REFERENCE) ?? own[0]!;
    const again = comparisonRows(
      own.map(({ method, label }) => ({ name: method, label })),
      results,
      Object.keys(first.metrics),
    );
    own.forEach(({ preset: _preset, runs: _runs, ...row }, i) => {
      const difference = check.tree(row, asJson(again[i]));
      if (difference !== undefined) wrong.push(`${row.label}: ${difference}`);
    });
    const ledger = isObject(content.ledgers) ? content.ledgers[preset] : undefined;
    const theirs = results.get(first.method)?.[0]?.ledger;
    const difference = ledger === undefined || theirs === undefined ? undefined : check.tree(ledger, theirs);
    if (difference !== undefined) wrong.push(`ledger of the ${preset} preset: ${difference}`);
  }
  return verdictOn(what, wrong);
}

function ablatedRows(file: string, { dataSets }: AblationDocument, { records, check }: DocumentContext): Verdict {
  const what = `rows of ${file}`;
  const none = unmade(
    what,
    dataSets.flatMap(({ rows }) => rows),
    records,
  );
  if (none) return none;
  const wrong: string[] = [];
  for (const { name, rows } of dataSets) {
    const results = new Map(rows.map(({ method, folders }) => [method, folders.map((folder) => records.get(folder)!)]));
    const again = ablationRows(
      rows.map(({ method, label }) => ({ name: method, label })),
      results,
    );
    rows.forEach(({ folders: _folders, ...row }, i) => {
      const difference = check.tree(row, asJson(again[i]));
      if (difference !== undefined) wrong.push(`${name}, ${row.label}: ${difference}`);
    });
  }
  return verdictOn(what, wrong);
}

function sweptRows(file: string, { data, rows }: SweepDocument, { records, check }: DocumentContext): Verdict {
  const what = `rows of ${file}`;
  const none = unmade(
    what,
    rows.flatMap((row) => row.cells),
    records,
  );
  if (none) return none;
  const again = sweepRows(
    rows.map(({ options }) => options),
    data,
    rows.map((row) => row.cells.map(({ folders }) => folders.map((folder) => ({ ...records.get(folder)!, folder })))),
  );
  const difference = check.tree(rows, asJson(again), 'rows');
  return verdictOn(what, difference === undefined ? [] : [difference]);
}

/** A text beside its document, which says the same. */
async function text(file: string, make: () => string, { out }: DocumentContext): Promise<Verdict> {
  const found = await files.readFile(join(out, file), 'utf8').catch((cause: NodeJS.ErrnoException) => cause);
  if (typeof found !== 'string') return { what: file, status: 'missing', remarks: [`${file} cannot be read (${found.code})`] };
  return verdictOn(file, lineDifference(found, make()));
}

function lineDifference(found: string, expected: string): string[] {
  if (found === expected) return [];
  const [ours, theirs] = [found.split('\n'), expected.split('\n')];
  const line = theirs.findIndex((one, i) => one !== ours[i]);
  return [`line ${(line < 0 ? theirs.length : line) + 1} is not what its numbers give`];
}

/** Every table that results.json lists or that is there: its numbers from the runs, its three texts from its numbers. */
async function* tables(document: ResultsDocument & { tables?: number[] }, context: DocumentContext): AsyncGenerator<Verdict> {
  const { out, records, check } = context;
  const present = await files.readdir(join(out, 'tables')).catch((): string[] => []);
  for (const number of TABLES) {
    const name = `table${number}`;
    const isListed = document.tables?.includes(number) ?? false;
    if (!isListed && !present.includes(`${name}.json`)) continue;
    const what = `tables/${name}`;
    const absentForms = TABLE_FORMATS.filter((format) => !present.includes(`${name}.${format}`));
    if (absentForms.length > 0) {
      yield { what, status: 'missing', remarks: absentForms.map((format) => `${name}.${format} is not there`) };
      continue;
    }
    const read = (format: string): Promise<string> => files.readFile(join(out, 'tables', `${name}.${format}`), 'utf8');
    const [again] = paperTables([number], measuredIn(document, records));
    let written: PaperTable;
    try {
      written = JSON.parse(await read('json')) as PaperTable;
    } catch (error) {
      yield verdictOn(what, [`${name}.json: is not JSON (${(error as Error).message.slice(0, 100)})`]);
      continue;
    }
    const difference = check.tree(written, asJson(tableDocument(again!, document)));
    const wrong = difference === undefined ? [] : [`${name}.json: ${difference}${isListed ? '' : '; results.json does not list it'}`];
    // With numbers that are wrong in the first place, texts that say the same are as wrong.
    if (wrong.length === 0)
      for (const format of TABLE_FORMATS)
        wrong.push(...lineDifference(await read(format), tableAs(written, format)).map((line) => `${name}.${format}: ${line}`));
    yield verdictOn(what, wrong);
  }
}
