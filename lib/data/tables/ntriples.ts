import { parseFile, type Parser, READ_BYTES, Refusal } from '../formats/file.ts';
import type { SourceFile } from '../raw-dataset.ts';

/** What has longer lines is a file of another kind. */
const LARGEST_LINE_BYTES = 1 << 20;

/** Takes one triple. An IRI comes without its angle brackets, a blank node as `_:name`; `literal` says that the tail is the text of a literal. */
export type TripleRow = (head: string, relation: string, tail: string, literal: boolean, line: number) => void;

/**
 * Reads N-Triples (W3C, https://www.w3.org/TR/n-triples/): one `subject predicate object .` a line, comments after `#`, escapes `\uXXXX`,
 * `\UXXXXXXXX` and `\n` and the like; plain or as gzip or zip file. A literal's language or type is dropped, its text kept.
 *
 * @throws {HyperKnowError} ERR_HK_DATA with `file` and `line`, ERR_HK_IO
 */
export function readNTriples(path: string, row: TripleRow): Promise<SourceFile> {
  return parseFile(path, new NTriplesLines(row), READ_BYTES);
}

const IRI = String.raw`<((?:[^\x00-\x20<>"{}|^${'`'}\\]|\\u[0-9A-Fa-f]{4}|\\U[0-9A-Fa-f]{8})*)>`;
const BLANK = String.raw`(_:[\p{L}\p{N}_](?:[\p{L}\p{N}\p{M}_.·‿⁀-]*[\p{L}\p{N}\p{M}_·‿⁀-])?)`;
const LITERAL = String.raw`"((?:[^"\\\n\r]|\\[tbnrf"'\\]|\\u[0-9A-Fa-f]{4}|\\U[0-9A-Fa-f]{8})*)"(?:@[A-Za-z]+(?:-[A-Za-z0-9]+)*|\^\^${IRI.replace('((', '(?:(')})?`;
const TRIPLE = new RegExp(
  String.raw`^[ \t]*(?:${IRI}|${BLANK})[ \t]*${IRI}[ \t]*(?:${IRI}|${BLANK}|${LITERAL})[ \t]*\.[ \t]*(?:#.*)?$`,
  'u',
);
const EMPTY = /^[ \t]*(?:#.*)?$/;

class NTriplesLines implements Parser {
  private readonly row: TripleRow;
  line = 1;
  /** the beginning of the current line, where it stands in an earlier piece */
  private carried: Buffer = Buffer.alloc(0);
  private position = 0;
  private readonly decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

  constructor(row: TripleRow) {
    this.row = row;
  }

  read(piece: Buffer, position: number): void {
    const bytes = this.carried.length === 0 ? piece : Buffer.concat([this.carried, piece]);
    const first = position - this.carried.length;
    this.position = position + piece.length;
    let begin = 0;
    for (let end = bytes.indexOf(0x0a, this.carried.length); end >= 0; end = bytes.indexOf(0x0a, begin)) {
      this.readLine(bytes.subarray(begin, end), first + begin);
      begin = end + 1;
    }
    if (bytes.length - begin > LARGEST_LINE_BYTES) throw this.tooLong(first + begin);
    this.carried = Buffer.from(bytes.subarray(begin));
  }

  end(): void {
    this.readLine(this.carried, this.position - this.carried.length);
  }

  private readLine(bytes: Buffer, position: number): void {
    if (bytes.length > LARGEST_LINE_BYTES) throw this.tooLong(position);
    let text: string;
    try {
      text = this.decoder.decode(bytes).replace(/\r$/, '');
    } catch {
      throw new Refusal(this.line, 'a line must be UTF-8', position, '');
    }
    const match = TRIPLE.exec(text);
    if (match) {
      const [, headIri, headBlank, relation, tailIri, tailBlank, literal] = match;
      const head = headIri === undefined ? headBlank! : unescaped(headIri);
      const tail = tailIri === undefined ? (tailBlank ?? unescaped(literal!)) : unescaped(tailIri);
      this.row(head, unescaped(relation!), tail, literal !== undefined, this.line);
    } else if (!EMPTY.test(text)) throw new Refusal(this.line, 'a line is to be `subject predicate object .`', position, '');
    ++this.line;
  }

  private tooLong(position: number): Refusal {
    return new Refusal(this.line, `a line has at most ${LARGEST_LINE_BYTES} bytes`, position, '');
  }
}

const ESCAPES: Readonly<Record<string, string>> = { t: '\t', b: '\b', n: '\n', r: '\r', f: '\f', '"': '"', "'": "'", '\\': '\\' };

function unescaped(text: string): string {
  if (!text.includes('\\')) return text;
  return text.replace(/\\(?:u(.{4})|U(.{8})|(.))/gu, (_, short?: string, long?: string, letter?: string) => {
    if (letter !== undefined) return ESCAPES[letter]!;
    const code = Number.parseInt((short ?? long)!, 16);
    return code > 0x10ffff || (code >= 0xd800 && code < 0xe000) ? '\ufffd' : String.fromCodePoint(code);
  });
}
