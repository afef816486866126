import { join } from 'node:path';
import { HyperKnowError } from '../../errors.ts';
import { type Id, type Pairs, Uint32List } from '../csr.ts';
import { IdMap } from '../id-map.ts';
import type { RawDataset, SourceFile } from '../raw-dataset.ts';
import { finishInTurns } from '../steps.ts';
import { dataError, type Parser, parseFile, Refusal } from './file.ts';

/** What has longer lines is a file of another kind, and must not be gathered in memory. */
const LARGEST_LINE_BYTES = 1 << 20;

const [TAB, LF, CR] = [0x09, 0x0a, 0x0d];

const PARTS = ['train', 'valid', 'test'] as const;

/**
 * RecBole's atomic files. The first line names the columns, tab-separated, as name:type; the needed ones may stand in any order,
 * others are passed over. Needed are user_id:token and item_id:token in NAME.inter (every line is an interaction, whatever its rating);
 * head_id:token, relation_id:token, tail_id:token in NAME.kg; item_id:token and entity_id:token in NAME.link. Tokens are the ids, byte
 * for byte, UTF-8. Accepted besides: CR LF, no line end at the end, a byte order mark, empty lines (skipped). Refused: empty tokens,
 * control characters, lines above 1 MiB, a line with more or fewer columns than the first.
 *
 * NAME.train.inter, NAME.valid.inter and NAME.test.inter, RecBole's ready-made split, are read instead of NAME.inter where they are there.
 * A linked item goes by its entity's id among the entities. Without NAME.link an entity with an item's id is that item.
 */
export async function read(folder: string, names: readonly string[], readBytes: number): Promise<RawDataset> {
  const sources: SourceFile[] = [];
  const notes: string[] = [];
  const name = datasetName(names);
  const parse = async (file: string, needed: readonly string[], row: Row) =>
    sources.push(await parseFile(join(folder, file), new TokenLines(needed, row), readBytes));

  const users = new IdMap();
  const items = new IdMap();
  const interactions = async (file: string): Promise<Pairs> => {
    const pairs = { users: new Uint32List(), items: new Uint32List() };
    await parse(file, ['user_id', 'item_id'], ([user, item]) => {
      pairs.users.push(users.add(user!));
      pairs.items.push(items.add(item!));
    });
    return { users: await finishInTurns(pairs.users.take()), items: await finishInTurns(pairs.items.take()) };
  };
  const partFile = (part: string) => `${name}.${part}.inter`;
  const parted = names.includes(partFile('train'));
  const trainFile = parted ? partFile('train') : `${name}.inter`;
  const train = await interactions(trainFile);
  if (train.users.length === 0) throw dataError(trainFile, 1, 'there is no interaction in this file');
  const valid = parted && names.includes(partFile('valid')) ? await interactions(partFile('valid')) : undefined;
  const test = parted && names.includes(partFile('test')) ? await interactions(partFile('test')) : undefined;
  if (!parted) notes.push(`${trainFile} holds no test split: 20 % of each user's interactions were drawn.`);
  else if (!test) notes.push(`${partFile('test')} is absent: the test split is empty.`);

  const graph = { heads: new Uint32List(), relations: new Uint32List(), tails: new Uint32List() };
  const relations = new IdMap();
  let entities = items;
  const kgFile = `${name}.kg`;
  if (names.includes(kgFile)) {
    const linkFile = `${name}.link`;
    const links = names.includes(linkFile) ? new Links(items, linkFile) : undefined;
    if (links) await parse(linkFile, ['item_id', 'entity_id'], ([item, entity], lines) => links.add(item!, entity!, lines));
    else notes.push(`${linkFile} is absent: an entity with an item's id is that item.`);
    entities = links ? links.entities(notes) : copyOf(items);
    const entity = (lines: TokenLines, role: number, id: string) => {
      const row = entities.add(id);
      if (links?.isUnlinked(row)) throw lines.refuseToken(role, `the entity has the id of an item that ${linkFile} does not link to it`);
      return row;
    };
    await parse(kgFile, ['head_id', 'relation_id', 'tail_id'], ([head, relation, tail], lines) => {
      graph.heads.push(entity(lines, 0, head!));
      graph.relations.push(relations.add(relation!));
      graph.tails.push(entity(lines, 2, tail!));
    });
  } else notes.push(`${kgFile} is absent: there are no triples.`);

  return {
    source: 'recbole',
    files: sources,
    users: users.size,
    items: items.size,
    entities: entities.size,
    relations: relations.size,
    train,
    ...(valid ? { validation: valid } : {}),
    test: test ?? (parted ? 'absent' : 'draw'),
    triples: {
      heads: await finishInTurns(graph.heads.take()),
      relations: await finishInTurns(graph.relations.take()),
      tails: await finishInTurns(graph.tails.take()),
    },
    ids: { users: users.ids, items: items.ids, entities: entities.ids, relations: relations.ids },
    notes,
  };
}

/** Whether the folder holds interactions in this form. */
export function claims(names: readonly string[]): boolean {
  return names.some((file) => file.endsWith('.inter'));
}

/** The NAME of NAME.inter or NAME.train.inter. */
function datasetName(names: readonly string[]): string {
  const inter = names.filter((file) => file.endsWith('.inter')).map((file) => file.slice(0, -'.inter'.length));
  const ending = new RegExp(`\\.(${PARTS.join('|')})$`);
  const found = [...new Set(inter.map((stem) => stem.replace(ending, '')))].sort();
  if (found.length > 1)
    throw new HyperKnowError('ERR_HK_FORMAT', `${found.map((stem) => `${stem}.inter`).join(', ')}: one folder is to hold one data set`);
  const name = found[0]!;
  if (!names.includes(`${name}.inter`) && !names.includes(`${name}.train.inter`))
    throw new HyperKnowError('ERR_HK_IO', `${name}.train.inter: does not exist, though other parts do`, { file: `${name}.train.inter` });
  return name;
}

function copyOf(map: IdMap): IdMap {
  const copy = new IdMap();
  for (const id of map.ids) copy.add(id);
  return copy;
}

/** Which entity each item is. */
class Links {
  private readonly items: IdMap;
  private readonly file: string;
  /** by item: the id of its entity */
  private readonly entityOf: (string | undefined)[];
  private readonly taken = new IdMap();
  /** by entity that is taken */
  private readonly owners: { item: number; line: number }[] = [];
  private shared = 0;
  private unused = 0;

  constructor(items: IdMap, file: string) {
    this.items = items;
    this.file = file;
    this.entityOf = items.ids.map(() => undefined);
  }

  add(itemId: string, entity: string, lines: TokenLines): void {
    const item = this.items.get(itemId);
    if (item === undefined) {
      ++this.unused;
      return;
    }
    const before = this.entityOf[item];
    if (before === entity) return;
    if (before !== undefined) throw lines.refuseToken(1, 'the item is linked to another entity already');
    const owner = this.owners[this.taken.add(entity)];
    if (owner === undefined) {
      this.entityOf[item] = entity;
      this.owners.push({ item, line: lines.line });
    } else if (owner.item !== item) ++this.shared;
  }

  /** Entities that begin with the items, each by the id of its entity, or by its own where it is not linked. */
  entities(notes: string[]): IdMap {
    const entities = new IdMap();
    this.items.ids.forEach((id: Id, item) => {
      const owner = this.entityOf[item] === undefined ? this.taken.get(id) : undefined;
      if (owner !== undefined)
        throw dataError(this.file, this.owners[owner]!.line, 'the entity has the id of an item that is not linked to it', id as string);
      entities.add(this.entityOf[item] ?? id);
    });
    if (this.shared > 0)
      notes.push(`${this.file}: ${this.shared} links to an entity that an earlier line gives to another item were left out.`);
    if (this.unused > 0) notes.push(`${this.file}: ${this.unused} links of items without interactions were left out.`);
    return entities;
  }

  isUnlinked(entity: number): boolean {
    return entity < this.entityOf.length && this.entityOf[entity] === undefined;
  }
}

/** Takes the needed columns of a line, in the order in which they were asked for. */
type Row = (tokens: readonly string[], lines: TokenLines) => void;

/** Tab-separated lines under a header of typed column names. */
class TokenLines implements Parser {
  private readonly needed: readonly string[];
  private readonly row: Row;
  line = 1;
  /** the beginning of the current line, where it stands in an earlier piece of the file */
  private carried: Buffer = Buffer.alloc(0);
  /** where the byte after the last piece stands in the file */
  private position = 0;
  /** by column of the file: its index among the needed ones, or −1; empty before the header */
  private roles: number[] = [];
  private readonly tokens: string[];
  /** by needed column: where its token of the current line begins in the file */
  private readonly begins: number[];
  private readonly decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

  constructor(needed: readonly string[], row: Row) {
    this.needed = needed;
    this.row = row;
    this.tokens = needed.map(() => '');
    this.begins = needed.map(() => 0);
  }

  read(piece: Buffer, position: number): void {
    const bytes = this.carried.length === 0 ? piece : Buffer.concat([this.carried, piece]);
    const first = position - this.carried.length;
    this.position = position + piece.length;
    let begin = 0;
    for (let end = bytes.indexOf(LF, this.carried.length); end >= 0; end = bytes.indexOf(LF, begin)) {
      this.readLine(bytes.subarray(begin, end), first + begin);
      begin = end + 1;
    }
    if (bytes.length - begin > LARGEST_LINE_BYTES) throw this.tooLong(first + begin);
    this.carried = Buffer.from(bytes.subarray(begin));
  }

  end(): void {
    this.readLine(this.carried, this.position - this.carried.length);
    if (this.roles.length === 0) throw new Refusal(1, `there is no header with ${this.columnNames()}`, undefined, '');
  }

  private readLine(line: Buffer, position: number): void {
    if (line.length > LARGEST_LINE_BYTES) throw this.tooLong(position);
    const length = line.length > 0 && line[line.length - 1] === CR ? line.length - 1 : line.length;
    if (length > 0) {
      if (this.roles.length === 0) this.readHeader(this.decode(line.subarray(0, length), position), position);
      else this.readRow(line, length, position);
    }
    ++this.line;
  }

  private readHeader(header: string, position: number): void {
    const fields = header.split('\t');
    let begin = position;
    for (const field of fields) {
      if (!/^[^:\p{Cc}]+:(token|token_seq|float|float_seq)$/u.test(field))
        throw this.refuse('a column is given as name:type, the type one of token, token_seq, float, float_seq', begin);
      const name = field.slice(0, field.lastIndexOf(':'));
      if (fields.filter((other) => other.startsWith(`${name}:`)).length > 1) throw this.refuse('there are two columns of this name', begin);
      this.roles.push(field.endsWith(':token') ? this.needed.indexOf(name) : -1);
      begin += Buffer.byteLength(field) + 1;
    }
    if (this.needed.some((_, role) => !this.roles.includes(role)))
      throw this.refuse(`the header must name ${this.columnNames()}`, position, '');
  }

  private readRow(line: Buffer, length: number, position: number): void {
    let column = 0;
    let begin = 0;
    let ascii = true;
    for (let i = 0; i <= length; ++i) {
      const byte = i === length ? TAB : line[i]!;
      if (byte >= 0x80) ascii = false;
      else if (byte === TAB) {
        if (column === this.roles.length) throw this.refuse(`there are more columns than the ${column} of the header`, position + begin);
        const role = this.roles[column]!;
        if (role >= 0) {
          if (begin === i) throw this.refuse(`the ${this.needed[role]} is empty`, position + begin);
          this.tokens[role] = ascii ? line.toString('latin1', begin, i) : this.decode(line.subarray(begin, i), position + begin);
          this.begins[role] = position + begin;
        }
        ++column;
        if (i < length) begin = i + 1;
        ascii = true;
      } else if (byte < 0x20 || byte === 0x7f) throw this.refuse('a token holds no control characters', position + begin);
    }
    if (column < this.roles.length)
      throw this.refuse(`there are ${column} columns where the header has ${this.roles.length}`, position + begin);
    this.row(this.tokens, this);
  }

  /** The refusal of the current row for what it has in the given needed column. */
  refuseToken(role: number, what: string): Refusal {
    return this.refuse(what, this.begins[role]!);
  }

  private decode(token: Buffer, position: number): string {
    try {
      return this.decoder.decode(token);
    } catch {
      throw this.refuse('a token must be UTF-8', position);
    }
  }

  private columnNames(): string {
    return this.needed.map((name) => `${name}:token`).join(', ');
  }

  private tooLong(position: number): Refusal {
    return this.refuse(`a line has at most ${LARGEST_LINE_BYTES} bytes`, position);
  }

  private refuse(what: string, position: number, separators = '\t'): Refusal {
    return new Refusal(this.line, what, position, separators);
  }
}
