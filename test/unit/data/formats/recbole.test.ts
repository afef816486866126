import { isUtf8 } from 'node:buffer';
import { readdirSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { formats } from '../../../../lib/data/formats/index.ts';
import type { RawDataset } from '../../../../lib/data/raw-dataset.ts';
import { HyperKnowError } from '../../../../lib/errors.ts';
import { folderWith, seededRandom, workClock } from '../../../helpers.ts';
import { withFilesInMemory } from '../../../memory-files.ts';
import { MUTATIONS, mutated, READ_BYTES } from './mutations.ts';

const INTER = 'user_id:token\titem_id:token\trating:float\nann\tA\t5\nbob\tB\t4\nann\tB\t3\n';
const KG = 'head_id:token\trelation_id:token\ttail_id:token\nm.1\tby\tm.9\nm.9\tin\tm.8\nm.2\tby\tm.9\n';
const LINK = 'item_id:token\tentity_id:token\nB\tm.2\nA\tm.1\n';

type Files = Record<string, string | Uint8Array>;

const read = (folder: string, readBytes = 4096, names = readdirSync(folder)) => formats.recbole.read(folder, names, readBytes);
const readFiles = (files: Files, readBytes?: number) =>
  read(folderWith({ 'x.inter': INTER, 'x.kg': KG, 'x.link': LINK, ...files }), readBytes);

async function errorOf(promise: Promise<unknown>): Promise<HyperKnowError> {
  const error = await promise.then(
    () => undefined,
    (reason) => reason,
  );
  assert.instance(error, HyperKnowError, `refused, and properly: ${error?.stack}`);
  return error;
}

function content({ ids, train, validation, test, triples }: RawDataset) {
  assert.ok(ids !== 'dense');
  const pairs = (part: RawDataset['test'] | undefined) =>
    typeof part === 'object' ? [...part.users].map((user, i) => [ids.users[user], ids.items[part.items[i]!]]) : part;
  return {
    ...ids,
    train: pairs(train),
    validation: pairs(validation),
    test: pairs(test),
    triples: [...triples.heads].map((head, i) => [
      ids.entities[head],
      ids.relations[triples.relations[i]!],
      ids.entities[triples.tails[i]!],
    ]),
  };
}

const expected = {
  users: ['ann', 'bob'],
  items: ['A', 'B'],
  entities: ['m.1', 'm.2', 'm.9', 'm.8'],
  relations: ['by', 'in'],
  train: [
    ['ann', 'A'],
    ['bob', 'B'],
    ['ann', 'B'],
  ],
  validation: undefined,
  test: 'draw',
  triples: [
    ['m.1', 'by', 'm.9'],
    ['m.9', 'in', 'm.8'],
    ['m.2', 'by', 'm.9'],
  ],
};

test('a well-formed folder: linked items are their entities', async () => {
  const raw = await readFiles({});
  assert.equal(content(raw), expected);
  assert.equal([raw.users, raw.items, raw.entities, raw.relations], [2, 2, 4, 2]);
  assert.equal(
    raw.files.map(({ name }) => name),
    ['x.inter', 'x.link', 'x.kg'],
  );
});

const harmless: [what: string, files: Files][] = [
  ['CR LF', { 'x.inter': INTER.replaceAll('\n', '\r\n'), 'x.kg': KG.replaceAll('\n', '\r\n') }],
  ['no line end at the end', { 'x.inter': INTER.slice(0, -1), 'x.kg': KG.slice(0, -1), 'x.link': LINK.slice(0, -1) }],
  ['a byte order mark', { 'x.inter': `\ufeff${INTER}` }],
  ['empty lines', { 'x.inter': `\n${INTER.replaceAll('\n', '\n\n')}`, 'x.kg': KG.replaceAll('\n', '\r\n\r\n') }],
  ['other columns, in another order', { 'x.inter': 'text:token_seq\titem_id:token\tuser_id:token\n\tA\tann\na b\tB\tbob\né\tB\tann\n' }],
  ['a repeated link', { 'x.link': `${LINK}A\tm.1\n` }],
];

for (const [what, files] of harmless) {
  test(`accepted: ${what}`, async () => assert.equal(content(await readFiles(files)), expected));
}

test('tokens are taken as they stand', async () => {
  const ids = ['1', '01', '1.0', ' 1', 'a b', 'é', '😀', '__proto__', '\u00a0', '"x"'];
  const inter = `user_id:token\titem_id:token\n${ids.map((id) => `${id}\t${id}\n`).join('')}`;
  for (const readBytes of [1, 5, 4096]) {
    const raw = await read(folderWith({ 'x.inter': inter }), readBytes);
    assert.ok(raw.ids !== 'dense');
    assert.equal(raw.ids.users, ids);
    assert.equal(raw.ids.items, ids);
  }
});

test('a ready-made split is used', async () => {
  const lines = (...pairs: string[]) => `user_id:token\titem_id:token\n${pairs.map((pair) => `${pair.replace(' ', '\t')}\n`).join('')}`;
  const parts = { 'x.train.inter': lines('a A', 'b B'), 'x.valid.inter': lines('a B'), 'x.test.inter': lines('b C') };
  const raw = await read(folderWith({ ...parts, 'x.inter': INTER }));
  assert.equal(content(raw), {
    users: ['a', 'b'],
    items: ['A', 'B', 'C'],
    entities: ['A', 'B', 'C'],
    relations: [],
    train: [
      ['a', 'A'],
      ['b', 'B'],
    ],
    validation: [['a', 'B']],
    test: [['b', 'C']],
    triples: [],
  });
  const alone = await read(folderWith({ 'x.train.inter': parts['x.train.inter'] }));
  assert.is(alone.test, 'absent');
  const error = await errorOf(read(folderWith({ 'x.test.inter': parts['x.test.inter'] })));
  assert.equal([error.code, error.file], ['ERR_HK_IO', 'x.train.inter']);
});

test('links: none, of strangers, shared', async () => {
  const folder = folderWith({ 'x.inter': INTER, 'x.kg': KG.replaceAll('m.1', 'A') });
  assert.equal(content(await read(folder)).entities, ['A', 'B', 'm.9', 'm.8', 'm.2']);
  const raw = await readFiles({ 'x.link': `${LINK}Z\tm.7\nB\tm.2\n` });
  assert.equal(content(raw), expected);
  assert.match(raw.notes.join('\n'), '1 links of items without interactions');
  const shared = await readFiles({ 'x.link': 'item_id:token\tentity_id:token\nB\tm.2\nA\tm.2\n' });
  assert.equal(content(shared).entities, ['A', 'm.2', 'm.1', 'm.9', 'm.8']);
  assert.match(shared.notes.join('\n'), '1 links to an entity that an earlier line gives to another item');
});

test('one folder, one data set', async () => {
  const error = await errorOf(readFiles({ 'y.inter': INTER }));
  assert.equal(error.code, 'ERR_HK_FORMAT');
  assert.match(error.message, 'x.inter, y.inter');
});

const HEADER = 'user_id:token\titem_id:token\n';
const refused: [what: string, file: string, content: string | Uint8Array, line: number, token: string][] = [
  ['an empty file', 'x.inter', '', 1, ''],
  ['a header alone', 'x.inter', HEADER, 1, ''],
  ['an empty kg', 'x.kg', '', 1, ''],
  ['no header', 'x.inter', 'ann\tA\n', 1, '"ann"'],
  ['an unknown type', 'x.inter', 'user_id:token\titem_id:int\nann\tA\n', 1, '"item_id:int"'],
  ['a needed column of another type', 'x.inter', 'user_id:token\titem_id:float\nann\t1\n', 1, '"user_id:token\\u{9}item_id:float"'],
  ['a missing needed column', 'x.link', 'item_id:token\nA\n', 1, '"item_id:token"'],
  ['a column twice', 'x.inter', 'user_id:token\titem_id:token\tuser_id:token\n', 1, '"user_id:token"'],
  ['a missing column', 'x.inter', `${HEADER}ann\tA\nbob\n`, 3, '"bob"'],
  ['an extra column', 'x.kg', `${KG}m.1\tby\tm.9\tm.7\n`, 5, '"m.7"'],
  ['a trailing tab', 'x.inter', `${HEADER}ann\tA\t\n`, 2, '""'],
  ['an empty token', 'x.inter', `${HEADER}ann\t\n`, 2, '""'],
  ['a NUL byte', 'x.inter', `${HEADER}ann\tA\u0000B\n`, 2, '"A\\u{0}B"'],
  ['a carriage return inside a line', 'x.inter', `${HEADER}an\rn\tA\n`, 2, '"an\\u{d}n"'],
  ['bytes that are no UTF-8', 'x.inter', Buffer.concat([Buffer.from(`${HEADER}ann\t`), Buffer.of(0xc3, 0x28, 0x0a)]), 2, '"'],
  ['a long token with a control character', 'x.inter', `${HEADER}ann\t${'x'.repeat(100)}\u0001\n`, 2, `"${'x'.repeat(40)}…"`],
  ['two entities of one item', 'x.link', `${LINK}A\tm.5\n`, 4, '"m.5"'],
  ['an entity with the id of an item linked elsewhere', 'x.link', 'item_id:token\tentity_id:token\nB\tA\n', 2, '"A"'],
  ['an entity with the id of an unlinked item', 'x.kg', `${KG}A\tby\tm.9\n`, 5, '"A"'],
];

for (const [what, file, text, line, token] of refused) {
  test(`refused, whatever the read buffer: ${what}`, async () => {
    const links = what.includes('unlinked') ? { 'x.link': 'item_id:token\tentity_id:token\nB\tm.2\n' } : {};
    const messages = new Set<string>();
    for (const readBytes of [1, 2, 3, 7, 4096, 65536]) {
      const error = await errorOf(readFiles({ ...links, [file]: text }, readBytes));
      assert.equal([error.code, error.file, error.line], ['ERR_HK_DATA', file, line], error.message);
      assert.ok(error.message.includes(file) && error.message.includes(`line ${line}`), error.message);
      assert.ok(error.message.includes(token), error.message);
      messages.add(error.message);
    }
    assert.is(messages.size, 1);
  });
}

test('a line of 10 MB is refused without gathering it', async () => {
  for (const line of ['x'.repeat(10_000_000), 'x\t'.repeat(5_000_000)]) {
    const work = workClock();
    const error = await errorOf(readFiles({ 'x.inter': `${HEADER}${line}\n` }, 65536));
    assert.equal([error.file, error.line], ['x.inter', 2]);
    assert.match(error.message, 'at most 1048576 bytes');
    assert.ok(work() < 1000);
  }
});

/** The reader written once more from the description of the format alone, slow and plain: ids, or where it is refused. */
function plainReading(files: Record<string, Buffer>): unknown {
  class Refused {
    readonly refused: string;
    constructor(file: string, line: number) {
      this.refused = `${file} ${line}`;
    }
  }
  const table = (file: string, needed: string[]) => {
    let text = files[file]!.toString('latin1');
    if (text.startsWith('\xef\xbb\xbf')) text = text.slice(3);
    const lines = text.split('\n').map((line, i) => ({ line: i + 1, text: line.replace(/\r$/, '') }));
    const [header, ...rows] = lines.filter((line) => line.text !== '');
    if (!header) throw new Refused(file, 1);
    const columns = header.text.split('\t');
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what a name must not hold
    const wellFormed = columns.every((column) => /^[^:\x00-\x1f\x7f]+:(token|token_seq|float|float_seq)$/.test(column));
    const distinct = new Set(columns.map((column) => column.split(':')[0])).size === columns.length;
    const c1 = /[\u0080-\u009f]/.test(Buffer.from(header.text, 'latin1').toString());
    const at = needed.map((name) => columns.indexOf(`${name}:token`));
    if (!wellFormed || !distinct || c1 || at.includes(-1) || !isUtf8(Buffer.from(header.text, 'latin1')))
      throw new Refused(file, header.line);
    return rows.map((row) => {
      const cells = row.text.split('\t');
      const tokens = at.map((k) => cells[k] ?? '');
      // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what a token must not hold
      const bad = cells.length !== columns.length || cells.some((cell) => /[\x00-\x1f\x7f]/.test(cell));
      if (bad || tokens.some((token) => token === '' || !isUtf8(Buffer.from(token, 'latin1')))) throw new Refused(file, row.line);
      return { line: row.line, tokens: tokens.map((token) => Buffer.from(token, 'latin1').toString()) };
    });
  };
  try {
    const inter = table('x.inter', ['user_id', 'item_id']);
    if (inter.length === 0) throw new Refused('x.inter', 1);
    const items = [...new Set(inter.map(({ tokens }) => tokens[1]!))];
    const entityOf = new Map<string, string>();
    const itemOf = new Map<string, { item: string; line: number }>();
    for (const { line, tokens } of tableWithRule('x.link', ['item_id', 'entity_id'], ({ tokens: [item, entity] }) => {
      if (!items.includes(item!) || entityOf.get(item!) === entity) return true;
      if (entityOf.has(item!)) return false;
      if (!itemOf.has(entity!)) {
        entityOf.set(item!, entity!);
        itemOf.set(entity!, { item: item!, line: 0 });
      }
      return true;
    }))
      if (entityOf.get(tokens[0]!) === tokens[1] && itemOf.get(tokens[1]!)!.line === 0) itemOf.get(tokens[1]!)!.line = line;
    for (const item of items) if (!entityOf.has(item) && itemOf.has(item)) throw new Refused('x.link', itemOf.get(item)!.line);
    const unlinked = items.filter((item) => !entityOf.has(item));
    const kg = tableWithRule(
      'x.kg',
      ['head_id', 'relation_id', 'tail_id'],
      ({ tokens }) => !unlinked.includes(tokens[0]!) && !unlinked.includes(tokens[2]!),
    );
    return {
      train: inter.map(({ tokens }) => tokens),
      items: items.map((item) => entityOf.get(item) ?? item),
      triples: kg.map(({ tokens }) => tokens),
    };
  } catch (error) {
    if (error instanceof Refused) return { refused: error.refused };
    throw error;
  }

  /** The rows of a table each of which must pass a test; the first row at fault in the file decides, whatever its fault. */
  function tableWithRule(file: string, needed: string[], rule: (row: { line: number; tokens: string[] }) => boolean) {
    const lines = files[file]!.toString('latin1').split('\n');
    let rows: ReturnType<typeof table> = [];
    let malformed: unknown;
    try {
      rows = table(file, needed);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      malformed = error;
      // The rows before the malformed one are tested first.
      const line = Number(error.refused.split(' ')[1]);
      const before = Buffer.from(lines.slice(0, line - 1).join('\n'), 'latin1');
      if (before.length > 0 && line > 1) {
        const kept = files[file]!;
        files[file] = before;
        try {
          rows = table(file, needed);
        } catch {
          rows = [];
        }
        files[file] = kept;
      }
    }
    for (const row of rows) if (!rule(row)) throw new Refused(file, row.line);
    if (malformed) throw malformed;
    return rows;
  }
}

async function reading(folder: string, readBytes: number): Promise<unknown> {
  try {
    const { train, items, entities, triples } = { ...content(await read(folder, readBytes, ['x.inter', 'x.kg', 'x.link'])) };
    return { train, items: entities.slice(0, items.length), triples };
  } catch (error) {
    if (!(error instanceof HyperKnowError) || error.code !== 'ERR_HK_DATA') throw error;
    return { refused: `${error.file} ${error.line}` };
  }
}

async function compare(count: number, seed: number, reader: typeof reading): Promise<{ disagreements: string[]; refused: number }> {
  const random = seededRandom(seed);
  const whole: Record<string, Buffer> = {
    'x.inter': Buffer.from(`${INTER}1\t2\t3\nbob\té\t1\n`),
    'x.kg': Buffer.from(`${KG}m.1\tlike\tm.2\n1\t2\t3\n`),
    'x.link': Buffer.from(`${LINK}2\tm.3\nQ\tm.4\n`),
  };
  const names = Object.keys(whole);
  const disagreements: string[] = [];
  let refused = 0;
  const files = { ...whole };
  await withFilesInMemory('memory', files, async () => {
    for (let i = 0; i < count; ++i) {
      const damaged = names[Math.floor(random() * names.length)]!;
      Object.assign(files, whole, { [damaged]: mutated(whole[damaged]!, random) });
      const readBytes = READ_BYTES[Math.floor(random() * READ_BYTES.length)]!;
      const [wanted, found] = [JSON.stringify(plainReading(files)), JSON.stringify(await reader('memory', readBytes))];
      if (wanted !== found)
        disagreements.push(`${JSON.stringify(files[damaged]!.toString('latin1'))} as ${damaged}: ${wanted} against ${found}`);
      if (wanted.startsWith('{"refused"')) ++refused;
    }
  });
  return { disagreements, refused };
}

test('agrees with the plain reader on damaged files', async () => {
  const { disagreements, refused } = await compare(MUTATIONS, 1, reading);
  assert.equal(disagreements, []);
  assert.ok(refused > MUTATIONS / 5 && refused < 0.95 * MUTATIONS, `${refused} of ${MUTATIONS} refused`);
});

test('the comparison finds a reader that drops a row', async () => {
  const drops = async (folder: string, readBytes: number) => {
    const found = (await reading(folder, readBytes)) as { train?: unknown[] };
    found.train?.pop();
    return found;
  };
  assert.ok((await compare(30, 2, drops)).disagreements.length > 0);
});

test.run();
