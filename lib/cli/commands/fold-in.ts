import { stat } from 'node:fs/promises';
import type { Id } from '../../data/csr.ts';
import { HyperKnowError } from '../../errors.ts';
import type { Model } from '../../model.ts';
import { type Command, type Context, defineCommand, type OptionTable, type Values } from '../command.ts';
import { count } from '../data.ts';
import { UsageError } from '../exit.ts';
import { idOf, idsOf, type Kind, knownId, type Origin, readIds, readLines } from '../ids.ts';
import { cell, decimal, K_OPTION, MODEL_ARGUMENT, openModel } from '../model.ts';
import { writeWholeFile } from '../whole-file.ts';

const OPTIONS = {
  userItems: { type: 'list', placeholder: 'ID,…', description: 'place a new user who has these items' },
  userItemsFile: { type: 'string', placeholder: 'FILE', description: 'the same from a file of one id a line' },
  itemTriples: {
    type: 'string',
    placeholder: 'FILE',
    description: 'place a new item with these triples: a table (CSV, TSV, Parquet) of one a row, without the item itself',
  },
  relation: { type: 'string', placeholder: 'COLUMN', default: 'relation', description: 'column of relations in --item-triples' },
  tail: { type: 'string', placeholder: 'COLUMN', default: 'tail', description: 'column of entities there' },
  skipUnknown: { type: 'boolean', description: 'leave out items or triples the model does not know, where they would be an error' },
  k: K_OPTION,
  candidates: { type: 'string', placeholder: 'FILE', description: 'file of the only items that may be listed, one id a line' },
  audience: { type: 'boolean', description: 'of a new item: list the users it is nearest to, not the items' },
  out: { type: 'string', short: 'o', placeholder: 'FILE', description: 'write the vector there: *.npy (float32) or *.json' },
} as const satisfies OptionTable;

export const foldIn: Command = defineCommand({
  name: 'fold-in',
  summary: 'Place a user or an item that was not there at training, and list what is nearest',
  arguments: [MODEL_ARGUMENT],
  options: OPTIONS,
  examples: [
    'fold-in shop.safetensors --user-items SKU-7,SKU-19 -k 5',
    'fold-in shop.safetensors --item-triples launch.csv --audience --out launch.npy   # columns relation, tail',
  ],
  async run(context, [path], values) {
    const wayUser = values.userItems !== undefined || values.userItemsFile !== undefined;
    if (wayUser === (values.itemTriples !== undefined))
      throw new UsageError('--user-items (or --user-items-file) places a user, --item-triples an item: one of them must be given');
    if (wayUser && values.audience) throw new UsageError('--audience: is about a new item');
    if (values.audience && values.candidates !== undefined) throw new UsageError('--candidates: has no meaning with --audience');
    if (values.out !== undefined && !/\.(npy|json)$/i.test(values.out))
      throw new UsageError(`--out: must be a file *.npy or *.json, got "${values.out}"`);
    const model = await openModel(path!);
    if (wayUser) await foldInUser(context, path!, model, values);
    else await foldInItem(context, path!, model, values);
  },
});

async function foldInUser({ output }: Context, path: string, model: Model, values: Values<typeof OPTIONS>): Promise<void> {
  const { k, candidates, userItemsFile, out } = values;
  const texts = [
    ...(values.userItems ?? []).map((text) => ({ text, origin: { what: '--user-items' } })),
    ...(userItemsFile === undefined ? [] : await readLines('--user-items-file', userItemsFile)),
  ];
  const chosen = new Chosen(model, values.skipUnknown === true);
  const items = texts.map(({ text, origin }) => chosen.id('item', text, origin)).filter((id) => id !== undefined);
  if (chosen.skipped > 0) output.warn(`${count(chosen.skipped)} of ${count(texts.length)} items are unknown to the model: left out`);
  if (items.length === 0) throw new HyperKnowError('ERR_HK_DATA', '--user-items: the model knows none of them');
  const vector = model.foldInUser(items);
  const narrowed = candidates === undefined ? {} : { candidates: await readIds(model, 'item', '--candidates', candidates) };
  const list = model.recommend(vector, k, { exclude: items, ...narrowed });
  await writeVector(out, vector);
  output.table(
    list.map(({ item, distance }, i) => [i + 1, cell(item), decimal(distance)]),
    ['rank', 'item', 'distance'],
  );
  output.document('fold-in/1', { model: path, of: 'user', from: items, skipped: chosen.skipped, k, items: list, vector: [...vector], out });
}

async function foldInItem({ output }: Context, path: string, model: Model, values: Values<typeof OPTIONS>): Promise<void> {
  const { k, candidates, out, audience } = values;
  const { readTable } = await import('../../data/tables/table.ts');
  const chosen = new Chosen(model, values.skipUnknown === true);
  const triples: { relation: Id; tail: Id }[] = [];
  let rows = 0;
  const file = values.itemTriples!;
  if ((await stat(file).catch(() => undefined))?.isDirectory()) throw new UsageError(`--item-triples: ${file} is a folder`);
  const texts: [relation: string, tail: string, line: number][] = [];
  const { name } = await readTable(file, [values.relation, values.tail], ([relation, tail], line) => {
    for (const one of [tail!].flat()) texts.push([String(relation), one, line]);
  });
  for (const [relation, tail, line] of texts) {
    ++rows;
    const origin = { what: '--item-triples', file: name, line };
    const pair = [chosen.id('relation', relation, origin), chosen.id('entity', tail, origin)] as const;
    if (pair[0] !== undefined && pair[1] !== undefined) triples.push({ relation: pair[0], tail: pair[1] });
  }
  const skipped = rows - triples.length;
  if (skipped > 0) output.warn(`${count(skipped)} of ${count(rows)} triples have a relation or entity unknown to the model: left out`);
  if (triples.length === 0) throw new HyperKnowError('ERR_HK_DATA', `--item-triples: ${name} has no triple that the model knows`);
  const vector = model.foldInItem(triples);
  await writeVector(out, vector);
  const narrowed = candidates === undefined ? {} : { candidates: await readIds(model, 'item', '--candidates', candidates) };
  const about = { model: path, of: 'item', from: triples, skipped, k };
  if (audience) {
    const users = model.similarUsers(vector, k);
    output.table(
      users.map(({ user, distance }, i) => [i + 1, cell(user), decimal(distance)]),
      ['rank', 'user', 'distance'],
    );
    output.document('fold-in/1', { ...about, users, vector: [...vector], out });
    return;
  }
  const items = model.similarItems(vector, k, narrowed);
  output.table(
    items.map(({ item, distance }, i) => [i + 1, cell(item), decimal(distance)]),
    ['rank', 'item', 'distance'],
  );
  output.document('fold-in/1', { ...about, items, vector: [...vector], out });
}

/** Ids that must be known, or where the caller said so may not be. */
class Chosen {
  skipped = 0;
  readonly #model: Model;
  readonly #lenient: boolean;

  constructor(model: Model, lenient: boolean) {
    this.#model = model;
    this.#lenient = lenient;
  }

  id(kind: Kind, text: string, origin: Origin): Id | undefined {
    if (!this.#lenient) return idOf(this.#model, kind, text, origin);
    const id = knownId(idsOf(this.#model, kind), text);
    if (id === undefined) this.skipped++;
    return id;
  }
}

async function writeVector(path: string | undefined, vector: Float32Array): Promise<void> {
  if (path === undefined) return;
  if (/\.json$/i.test(path)) return writeWholeFile(path, [`${JSON.stringify([...vector])}\n`]);
  const { npyOf } = await import('../../export/arrays.ts');
  return writeWholeFile(path, npyOf(vector, 1));
}
