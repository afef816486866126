import { join } from 'node:path';
import { type Pairs, type Triples, Uint32List } from '../csr.ts';
import type { RawDataset, SourceFile } from '../raw-dataset.ts';
import { finishInTurns, type Steps } from '../steps.ts';
import { dataError, type Parser, parseFile, Refusal } from './file.ts';

/** The largest id that can be told from the 0xffffffff which pads lists. */
const LARGEST_ID = 0xfffffffe;

/** Ids up to here are taken from any file; beyond, there must be one id in the files for every `HOLES` of them. */
const SMALL_ID = 1_000_000;
const HOLES = 4;

const FILES: readonly string[] = ['train.txt', 'test.txt', 'kg_final.txt'];

/** Whether the folder holds any file in this form. */
export function claims(names: readonly string[]): boolean {
  return FILES.some((file) => names.includes(file));
}

/**
 * The KGAT form. Lines of train.txt and test.txt: a user id, then the ids of the user's items; of kg_final.txt: head, relation, tail.
 * Ids are decimal numbers of at most 2^32 − 2, parted by spaces and tabs. An entity id below the number of items is that item.
 * Accepted besides: CR LF, no line end at the end, a UTF-8 byte order mark, lines of nothing but spaces and tabs (skipped), leading
 * zeros, several lines of one user (joined), a user without items. Everything else is refused.
 *
 * Ids are used as they stand, so that one absurdly large id would cost memory for all ids below it: it is refused (`checkLargest`).
 */
export async function read(folder: string, names: readonly string[], readBytes: number): Promise<RawDataset> {
  const sources: SourceFile[] = [];
  const notes: string[] = [];
  const parse = async (name: string, parser: Parser) => sources.push(await parseFile(join(folder, name), parser, readBytes));

  const train = new InteractionLines('train.txt');
  await parse('train.txt', train);
  if (train.users.length === 0) throw dataError('train.txt', 1, 'there is no interaction in this file');

  const test = new InteractionLines('test.txt');
  if (names.includes('test.txt')) await parse('test.txt', test);
  else notes.push('test.txt is absent: the test split is empty.');

  const graph = new TripleLines('kg_final.txt');
  if (names.includes('kg_final.txt')) await parse('kg_final.txt', graph);
  else notes.push('kg_final.txt is absent: there are no triples.');

  const user = largestOf(train.largestUser, test.largestUser);
  const item = largestOf(train.largestItem, test.largestItem);
  const ids = train.ids + test.ids + graph.ids;
  for (const largest of [user, item, graph.largestRelation, graph.largestEntity]) checkLargest(largest, ids);
  const items = item.id + 1;
  return {
    source: 'kgat',
    files: sources,
    users: user.id + 1,
    items,
    entities: Math.max(items, graph.largestEntity.id + 1),
    relations: graph.largestRelation.id + 1,
    train: await finishInTurns(train.take()),
    test: names.includes('test.txt') ? await finishInTurns(test.take()) : 'absent',
    triples: await finishInTurns(graph.take()),
    ids: 'dense',
    notes,
  };
}

/** The largest id of a kind so far (−1: none) and where it stands. */
interface Largest {
  kind: string;
  file: string;
  id: number;
  line: number;
}

function largestOf(a: Largest, b: Largest): Largest {
  return b.id > a.id ? b : a;
}

function checkLargest({ kind, file, id, line }: Largest, ids: number): void {
  const limit = SMALL_ID + HOLES * ids;
  if (id > limit)
    throw dataError(
      file,
      line,
      `the ${kind} id is beyond ${limit}, too far for files of ${ids} ids in all (ids are to be dense)`,
      String(id),
    );
}

/** Lines of decimal ids parted by blanks. */
abstract class IdLines implements Parser {
  /** ids read so far */
  ids = 0;
  protected readonly file: string;
  line = 1;
  private inToken = false;
  private afterReturn = false;
  private value = 0;
  private begin = 0;

  constructor(file: string) {
    this.file = file;
  }

  /** The next id of the line, which begins at `begin` in the file. */
  protected abstract id(id: number, begin: number): void;
  /** The line is over; its last id, if it has any, begins at `begin` in the file. */
  protected abstract lineEnd(begin: number): void;

  read(bytes: Buffer, position: number): void {
    let inToken = this.inToken;
    let value = this.value;
    const end = bytes.length;
    for (let i = 0; i < end; ) {
      let byte = bytes[i]!;
      if (byte >= 0x30 && byte <= 0x39 && !this.afterReturn) {
        if (!inToken) {
          inToken = true;
          value = 0;
          this.begin = position + i;
        }
        do {
          value = 10 * value + byte - 0x30;
          byte = ++i < end ? bytes[i]! : 0;
        } while (byte >= 0x30 && byte <= 0x39);
        if (value > LARGEST_ID) throw this.refuse(`an id is at most ${LARGEST_ID}`, this.begin);
        continue;
      }
      if (byte === 0x0a || ((byte === 0x20 || byte === 0x09) && !this.afterReturn)) {
        if (inToken) {
          inToken = false;
          this.token(value);
        }
        if (byte === 0x0a) this.newLine();
      } else {
        if (!inToken && !this.afterReturn) this.begin = position + i;
        if (byte !== 0x0d || this.afterReturn) throw this.refuse('an id is made of decimal digits only', this.begin);
        this.afterReturn = true;
      }
      ++i;
    }
    this.inToken = inToken;
    this.value = value;
  }

  end(): void {
    if (this.inToken) this.token(this.value);
    this.newLine();
  }

  protected refuse(what: string, begin: number): Refusal {
    return new Refusal(this.line, what, begin, ' \t');
  }

  protected largest(kind: string): Largest {
    return { kind, file: this.file, id: -1, line: 0 };
  }

  protected note(largest: Largest, id: number): void {
    if (id <= largest.id) return;
    largest.id = id;
    largest.line = this.line;
  }

  private token(id: number): void {
    ++this.ids;
    this.id(id, this.begin);
  }

  private newLine(): void {
    this.afterReturn = false;
    this.lineEnd(this.begin);
    ++this.line;
  }
}

class InteractionLines extends IdLines {
  readonly largestUser: Largest = this.largest('user');
  readonly largestItem: Largest = this.largest('item');
  readonly users: Uint32List = new Uint32List();
  private readonly items = new Uint32List();
  private user = -1;

  protected override id(id: number): void {
    if (this.user < 0) {
      this.user = id;
      this.note(this.largestUser, id);
    } else {
      this.users.push(this.user);
      this.items.push(id);
      this.note(this.largestItem, id);
    }
  }

  protected override lineEnd(): void {
    this.user = -1;
  }

  *take(): Steps<Pairs> {
    return { users: yield* this.users.take(), items: yield* this.items.take() };
  }
}

class TripleLines extends IdLines {
  readonly largestEntity: Largest = this.largest('entity');
  readonly largestRelation: Largest = this.largest('relation');
  private readonly heads = new Uint32List();
  private readonly relations = new Uint32List();
  private readonly tails = new Uint32List();
  private readonly columns = [this.heads, this.relations, this.tails] as const;
  private column = 0;

  protected override id(id: number, begin: number): void {
    if (this.column === 3) throw this.refuse('a triple is head, relation and tail, and here is a fourth id', begin);
    this.columns[this.column++]!.push(id);
    this.note(this.column === 2 ? this.largestRelation : this.largestEntity, id);
  }

  protected override lineEnd(begin: number): void {
    if (this.column !== 0 && this.column !== 3) {
      const count = this.column === 1 ? 'one id' : 'two ids';
      throw this.refuse(`a triple is head, relation and tail, and the line ends after ${count}`, begin);
    }
    this.column = 0;
  }

  *take(): Steps<Triples> {
    return { heads: yield* this.heads.take(), relations: yield* this.relations.take(), tails: yield* this.tails.take() };
  }
}
