// The caller's ids as the command line has them: as text. An id of a model may be an integer or a text.
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { show } from '../check.ts';
import type { Id } from '../data/csr.ts';
import { hasId } from '../embedding.ts';
import { HyperKnowError } from '../errors.ts';
import type { Model } from '../model.ts';

export type Kind = 'user' | 'item' | 'entity' | 'relation';

/** Where a text came from, for the message. */
export interface Origin {
  /** An argument's or option's name. */
  what: string;
  file?: string;
  line?: number;
}

/** How many near ids a message proposes, and how many ids are looked through for them at most. */
const NEAR = 3;
const MOST_LOOKED_AT = 200_000;

export function idsOf(model: Model, kind: Kind): readonly Id[] {
  return { user: model.userIds, item: model.itemIds, entity: model.entityIds, relation: model.relationIds }[kind];
}

/** The id that a text stands for: itself, else the integer it spells; undefined where the model knows neither. */
export function knownId(ids: readonly Id[], text: string): Id | undefined {
  if (hasId(ids, text)) return text;
  const number = /^(0|-?[1-9]\d{0,15})$/.test(text) ? Number(text) : Number.NaN;
  return hasId(ids, number) ? number : undefined;
}

/**
 * The same for a text that must be known.
 *
 * @throws {HyperKnowError} ERR_HK_UNKNOWN_ID, which says what else has this id, or which ids are near to it
 */
export function idOf(model: Model, kind: Kind, text: string, origin: Origin): Id {
  const id = knownId(idsOf(model, kind), text);
  if (id !== undefined) return id;
  const { what, file, line } = origin;
  const at = file === undefined ? what : `${what}: ${file}, line ${line}`;
  const message = `${at}: the model does not know the ${kind} ${show(text)}${hintFor(model, kind, text)}`;
  throw new HyperKnowError('ERR_HK_UNKNOWN_ID', message, file === undefined ? {} : { file, line: line! });
}

function hintFor(model: Model, kind: Kind, text: string): string {
  const other = (['user', 'item', 'entity', 'relation'] as const).find(
    (name) => name !== kind && knownId(idsOf(model, name), text) !== undefined,
  );
  if (other) return `; it is ${/^[aeiou]/.test(other) && other !== 'user' ? 'an' : 'a'} ${other}`;
  const near = nearIds(idsOf(model, kind), text);
  return near.length > 0 ? ` (did you mean ${near.map((id) => show(String(id))).join(', ')}?)` : '';
}

/** The ids that become `text` by the fewest changed, added or left out letters, one or two; case does not count. */
export function nearIds(ids: readonly Id[], text: string): Id[] {
  const wanted = text.toLowerCase();
  if (ids.length > MOST_LOOKED_AT || wanted.length > 64 || wanted === '') return [];
  const near: { id: Id; changes: number }[] = [];
  let most = wanted.length < 6 ? 1 : 2;
  for (const id of ids) {
    const changes = editDistance(String(id).toLowerCase(), wanted, most);
    if (changes > most) continue;
    near.push({ id, changes });
    if (near.length < 8 * NEAR) continue;
    near.sort((a, b) => a.changes - b.changes).length = NEAR;
    most = near.at(-1)!.changes;
  }
  return near
    .sort((a, b) => a.changes - b.changes)
    .slice(0, NEAR)
    .map(({ id }) => id);
}

/** Levenshtein's distance where it is at most `most`, else something above. */
function editDistance(a: string, b: string, most: number): number {
  if (Math.abs(a.length - b.length) > most) return most + 1;
  // Ids of one kind begin alike: what is equal at both ends costs nothing.
  let begin = 0;
  while (begin < a.length && begin < b.length && a[begin] === b[begin]) ++begin;
  let [endA, endB] = [a.length, b.length];
  while (endA > begin && endB > begin && a[endA - 1] === b[endB - 1]) [endA, endB] = [endA - 1, endB - 1];
  let row = Array.from({ length: endB - begin + 1 }, (_, j) => j);
  for (let i = 1; i <= endA - begin; ++i) {
    const next = [i];
    let least = i;
    for (let j = 1; j < row.length; ++j) {
      const changed = row[j - 1]! + (a[begin + i - 1] === b[begin + j - 1] ? 0 : 1);
      next[j] = Math.min(changed, row[j]! + 1, next[j - 1]! + 1);
      least = Math.min(least, next[j]!);
    }
    if (least > most) return least;
    row = next;
  }
  return row.at(-1)!;
}

/** A file of one id a line; empty lines are passed over. */
export async function readLines(option: string, path: string): Promise<{ text: string; origin: Origin }[]> {
  const file = basename(path);
  const bytes = await readFile(path).catch((cause: NodeJS.ErrnoException) => {
    throw new HyperKnowError('ERR_HK_IO', `${option}: ${file} cannot be read (${cause.code})`, { file, cause });
  });
  let whole: string;
  try {
    whole = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new HyperKnowError('ERR_HK_DATA', `${option}: ${file} must be UTF-8, with one id a line`, { file });
  }
  return whole
    .split(/\r?\n/)
    .map((text, i) => ({ text, origin: { what: option, file, line: i + 1 } }))
    .filter(({ text }) => text !== '');
}

/** The ids in such a file, all of which the model must know. */
export async function readIds(model: Model, kind: Kind, option: string, path: string): Promise<Id[]> {
  return (await readLines(option, path)).map(({ text, origin }) => idOf(model, kind, text, origin));
}
