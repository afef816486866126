// Two results of one benchmark, A before and B after: every median that both have, and whether B is slower.
//
//   npm run bench -- compare A.json B.json [--fail-above 5%] [--force] [--json FILE] [--markdown]
//
// Expected: a line per median: A, B, the change, and whether the ranges from smallest to largest meet. Everything that has a median is a time
// or an amount of memory, so more is worse. Exit status 5 where a median grew by more than --fail-above, 2 for bad usage and for results of
// different machines, data or options, which --force compares all the same. Time: 1 s.
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { argumentError } from '../../lib/errors.ts';
import { command, COMMON, digits, isMain, percent, type Table, write } from './document.ts';

export interface Change {
  /** Where the median stands in both documents. */
  path: string;
  before: number;
  after: number;
  /** after / before − 1 */
  growth: number;
  /** Whether one of the runs before took as long as one of the runs after, as far as smallest and largest tell. */
  overlap: boolean;
}

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
type Fields = { [key: string]: Json };

const isObject = (value: Json | undefined): value is Fields => typeof value === 'object' && value !== null && !Array.isArray(value);

/** Every object with a median, by its path; an entry of an array goes by its name, where it has one. */
export function medians(document: Json, path = ''): Map<string, Fields> {
  const found = new Map<string, Fields>();
  if (!isObject(document) && !Array.isArray(document)) return found;
  if (isObject(document) && typeof document.median === 'number') found.set(path, document);
  for (const [key, value] of Object.entries(document)) {
    const name = Array.isArray(document) && isObject(value) && typeof value.name === 'string' ? value.name : key;
    for (const entry of medians(value, path === '' ? name : `${path}.${name}`)) found.set(...entry);
  }
  return found;
}

/** What must be the same for times to be comparable, whatever the benchmark. Commit and Node may differ: they are what is compared. */
const SAME = [
  ...['benchmark', 'device', 'processor', 'processors', 'platform', 'backend', 'threads'],
  ...['data', 'shape', 'samples', 'triples', 'variant', 'options', 'users', 'items', 'dim', 'k'],
];

/** The fields in which the two may not be compared. */
export function differences(before: Fields, after: Fields): string[] {
  const text = (value: Json | undefined) => JSON.stringify(value) ?? 'absent';
  return SAME.filter((name) => text(before[name]) !== text(after[name])).map(
    (name) => `${name}: ${text(before[name])}, ${text(after[name])}`,
  );
}

export function changes(before: Fields, after: Fields): Change[] {
  const [old, now] = [medians(before), medians(after)];
  return [...old].flatMap(([path, a]) => {
    const b = now.get(path);
    if (b === undefined) return [];
    const [from, to] = [a.median as number, b.median as number];
    const range = ({ median, smallest, largest }: Fields) => [Number(smallest ?? median), Number(largest ?? median)] as const;
    const [[low, high], [lower, higher]] = [range(a), range(b)];
    return [{ path, before: from, after: to, growth: to / from - 1, overlap: low <= higher && lower <= high }];
  });
}

function read(file: string): Fields {
  let content: Json;
  try {
    content = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw argumentError('range', file, `must be the JSON of a benchmark: ${(error as Error).message}`);
  }
  if (!isObject(content)) throw argumentError('range', file, 'must be the JSON of a benchmark');
  return content;
}

function table(found: readonly Change[], limit: number, notes: readonly string[]): Table {
  const sign = (growth: number) => `${growth < 0 ? '−' : '+'}${(100 * Math.abs(growth)).toFixed(1)} %`;
  return {
    title: `Medians before and after, failing above +${(100 * limit).toFixed(1)} %`,
    columns: ['median of', 'before', 'after', 'change', 'ranges', ''],
    rows: found.map(({ path, before, after, growth, overlap }) => [
      path,
      digits(before),
      digits(after),
      sign(growth),
      overlap ? 'overlap' : 'apart',
      growth > limit ? 'slower' : growth < -limit ? 'faster' : '',
    ]),
    notes,
  };
}

export function main(args: readonly string[]): number {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: { ...COMMON, 'fail-above': { type: 'string', default: '5%' }, force: { type: 'boolean', default: false } },
  });
  const [first, second] = positionals;
  if (first === undefined || second === undefined || positionals.length > 2)
    throw argumentError('range', 'FILE', `two results are compared, got ${positionals.length}`);
  const limit = percent('fail-above', values['fail-above']);
  const [before, after] = [read(first), read(second)];
  const apart = differences(before, after);
  if (apart.length > 0 && !values.force) {
    console.error(`compare: the results are not of the same thing (--force compares them all the same)\n  ${apart.join('\n  ')}`);
    return 2;
  }
  const found = changes(before, after);
  if (found.length === 0) throw argumentError('range', second, `has no median that ${first} has`);
  const slower = found.filter(({ growth }) => !(growth <= limit)); // NaN is no pass
  const notes = [
    `Commits ${before.commit ?? 'unknown'} and ${after.commit ?? 'unknown'}, Node ${before.node ?? 'unknown'} and ${after.node ?? 'unknown'}.`,
    ...(apart.length > 0 ? [`Compared by force: ${apart.join('; ')}.`] : []),
    slower.length === 0 ? 'None is slower than allowed.' : `${slower.length} slower than allowed.`,
  ];
  write({ benchmark: 'compare', limit, changes: found, tables: [table(found, limit, notes)] }, values);
  return slower.length === 0 ? 0 : 5;
}

if (isMain(import.meta.url)) await command(() => main(process.argv.slice(2)));
