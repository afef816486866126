import { basename, join, resolve } from 'node:path';
import { HyperKnowError } from '../../errors.ts';
import { files } from '../../files.ts';
import { writeAll } from '../../whole-file.ts';
import { writeWholeFolder } from '../../whole-folder.ts';
import type { Pairs } from '../csr.ts';
import type { RawDataset } from '../raw-dataset.ts';

/** Rows that are put into one piece of text. */
const ROWS = 1 << 13;

const REPORT = '.import.json';

/** RecBole's atomic files in a folder that is there whole or not at all: written beside it, flushed, renamed. */
export async function writeAtomicFiles(folder: string, raw: RawDataset, record: object, replace: boolean): Promise<void> {
  const target = resolve(folder);
  const name = basename(target).replace(/[^\p{L}\p{N}_-]+/gu, '-');
  const fail = (what: string, cause?: unknown) =>
    new HyperKnowError('ERR_HK_IO', `${basename(target)}: ${what}`, { file: basename(target), ...(cause === undefined ? {} : { cause }) });
  const checkTarget = async () => {
    const there = await files.readdir(target).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return [];
      throw fail(`is there and is no folder (${error.code})`, error);
    });
    if (there.length === 0) return;
    if (!replace) throw fail('is there already; it would have to be replaced');
    if (!there.some((file) => file.endsWith(REPORT)))
      throw fail(`is there already, and was not written by an import (it holds no NAME${REPORT}): it is left as it is`);
  };

  const fill = async (temporary: string) => {
    const ids = raw.ids as Exclude<RawDataset['ids'], 'dense'>;
    const pairs = (part: Pairs) => (i: number) => `${ids.users[part.users[i]!]}\t${ids.items[part.items[i]!]}\n`;
    const write = (ending: string, header: string, count: number, row: (i: number) => string) =>
      writeRows(join(temporary, name + ending), header, count, row);
    await write('.train.inter', 'user_id:token\titem_id:token\n', raw.train.users.length, pairs(raw.train));
    const held = { '.valid.inter': raw.validation, '.test.inter': typeof raw.test === 'string' ? undefined : raw.test };
    for (const [ending, part] of Object.entries(held))
      if (part) await write(ending, 'user_id:token\titem_id:token\n', part.users.length, pairs(part));
    const { heads, relations, tails } = raw.triples;
    await write(
      '.kg',
      'head_id:token\trelation_id:token\ttail_id:token\n',
      heads.length,
      (i) => `${ids.entities[heads[i]!]}\t${ids.relations[relations[i]!]}\t${ids.entities[tails[i]!]}\n`,
    );
    await write('.link', 'item_id:token\tentity_id:token\n', raw.items, (i) => `${ids.items[i]}\t${ids.items[i]}\n`);
    await write(REPORT, `${JSON.stringify(record, undefined, 2)}\n`, 0, () => '');
  };
  try {
    await writeWholeFolder(target, checkTarget, fill);
  } catch (cause) {
    throw cause instanceof HyperKnowError ? cause : fail(`cannot be written (${(cause as Error).message})`, cause);
  }
}

async function writeRows(path: string, header: string, count: number, row: (i: number) => string): Promise<void> {
  const file = await files.open(path, 'wx');
  try {
    await writeAll(file, Buffer.from(header));
    for (let begin = 0; begin < count; begin += ROWS) {
      let text = '';
      for (let i = begin; i < Math.min(count, begin + ROWS); ++i) text += row(i);
      await writeAll(file, Buffer.from(text));
    }
    await file.sync();
  } finally {
    await file.close();
  }
}
