import { createHash, type Hash } from 'node:crypto';
import { access, constants, type FileHandle, open } from 'node:fs/promises';
import { basename } from 'node:path';
import { HyperKnowError } from '../../errors.ts';
import { TooManyRows } from '../csr.ts';
import type { SourceFile } from '../raw-dataset.ts';

/** Bytes read at once where nothing else is said: a millisecond or two of parsing. */
export const READ_BYTES: number = 1 << 17;

/** Consumes a file from its first byte (after a byte order mark) to its last, in pieces cut anywhere. */
export interface Parser {
  /** The line that is being read, from 1. */
  readonly line: number;
  /** The next bytes, the first of which stands at `position` in the file. The array is reused after the call. */
  read(bytes: Buffer, position: number): void;
  /** No more bytes. */
  end(): void;
}

/** Thrown by a parser: what is wrong, in which line, and where the offending token begins (undefined: there is none to show). */
export class Refusal extends Error {
  readonly line: number;
  readonly position: number | undefined;
  /** Bytes, besides the line end, at which the token stops. */
  readonly separators: string;

  constructor(line: number, what: string, position: number | undefined, separators: string) {
    super(what);
    this.line = line;
    this.position = position;
    this.separators = separators;
  }
}

/** The error of a malformed file: base name, line and token are in the message. */
export function dataError(file: string, line: number, what: string, token?: string): HyperKnowError {
  const got = token === undefined ? '' : `, got ${quoteToken(token)}`;
  return new HyperKnowError('ERR_HK_DATA', `${file}, line ${line}: ${what}${got}`, { file, line });
}

/** Opens a regular file, and nothing that could keep us waiting or never end; the caller closes it. */
export async function openRegular(path: string): Promise<FileHandle> {
  const name = basename(path);
  // Without O_NONBLOCK, opening a FIFO waits for a writer. Windows has neither.
  const handle = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0)).catch((cause) => {
    throw unreadable(name, cause);
  });
  const stats = await handle.stat();
  if (stats.isFile()) return handle;
  await handle.close();
  const kind = stats.isDirectory() ? 'a folder' : 'a device, pipe or socket';
  throw new HyperKnowError('ERR_HK_IO', `${name}: is ${kind}, not a regular file`, { file: name });
}

/**
 * Feeds a regular file to `parser`, or what is packed in it where it is a gzip or zip file. Never more than `readBytes` of it are in memory,
 * whatever its lines look like.
 */
export async function parseFile(path: string, parser: Parser, readBytes: number): Promise<SourceFile> {
  const found = await present(path);
  const name = basename(found);
  const handle = await openRegular(found);
  try {
    const hash = createHash('sha256');
    const unpacking = await unpackingOf(handle);
    const feed = new MarklessFeed(parser);
    let bytes = 0;
    if (!unpacking) {
      const buffer = Buffer.allocUnsafe(readBytes);
      for (;;) {
        const { bytesRead } = await handle.read(buffer, 0, readBytes, bytes);
        if (bytesRead === 0) break;
        hash.update(buffer.subarray(0, bytesRead));
        feed.read(buffer.subarray(0, bytesRead));
        bytes += bytesRead;
      }
    } else {
      for await (const piece of unpacking(name))
        for (let begin = 0; begin < piece.length; begin += readBytes) feed.read(piece.subarray(begin, begin + readBytes));
      bytes = await hashAll(handle, hash);
    }
    feed.end();
    return { name, bytes, sha256: hash.digest('hex') };
  } catch (error) {
    if (error instanceof Refusal) {
      const token = error.position === undefined ? undefined : await tokenAt(handle, error.position, error.separators);
      throw dataError(name, error.line, error.message, token);
    }
    if (error instanceof TooManyRows) throw dataError(name, parser.line, error.message);
    throw error instanceof HyperKnowError || !isSystemError(error) ? error : unreadable(name, error);
  } finally {
    await handle.close();
  }
}

/** The path, or that of the packed file that stands in its place. */
async function present(path: string): Promise<string> {
  for (const candidate of [path, `${path}.gz`, `${path}.zip`])
    if (
      await access(candidate).then(
        () => true,
        () => false,
      )
    )
      return candidate;
  return path;
}

/** How to unpack a file, if it is packed; what that takes is loaded only then. */
async function unpackingOf(handle: FileHandle): Promise<((name: string) => AsyncIterable<Buffer>) | undefined> {
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(2), 0, 2, 0);
  if (bytesRead < 2 || !(buffer.equals(GZIP) || buffer.equals(ZIP))) return undefined;
  const { packingOf, unpacked } = await import('../packed.ts');
  const packing = await packingOf(handle);
  return packing === 'none' ? undefined : (name) => unpacked(handle, packing, name);
}

const GZIP = Buffer.from([0x1f, 0x8b]);
const ZIP = Buffer.from([0x50, 0x4b]);

/** Hands pieces on with their positions, but for a UTF-8 byte order mark in front. */
class MarklessFeed {
  private readonly parser: Parser;
  private position = 0;
  /** the first bytes, as long as they may be the beginning of a mark */
  private held: Buffer = Buffer.alloc(0);
  private begun = false;

  constructor(parser: Parser) {
    this.parser = parser;
  }

  read(piece: Buffer): void {
    if (this.begun) this.hand(piece);
    else {
      this.held = Buffer.concat([this.held, piece]);
      if (this.held.length >= MARK.length) this.begin();
    }
  }

  end(): void {
    if (!this.begun) this.begin();
    this.parser.end();
  }

  private begin(): void {
    this.begun = true;
    if (this.held.subarray(0, MARK.length).equals(MARK)) {
      this.position = MARK.length;
      this.held = this.held.subarray(MARK.length);
    }
    this.hand(this.held);
  }

  private hand(piece: Buffer): void {
    if (piece.length === 0) return;
    this.parser.read(piece, this.position);
    this.position += piece.length;
  }
}

const MARK = Buffer.from([0xef, 0xbb, 0xbf]);

/** Adds the whole file to a hash; its size. */
export async function hashAll(handle: FileHandle, hash: Hash): Promise<number> {
  let bytes = 0;
  const buffer = Buffer.allocUnsafe(READ_BYTES);
  for (;;) {
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, bytes);
    if (bytesRead === 0) return bytes;
    hash.update(buffer.subarray(0, bytesRead));
    bytes += bytesRead;
  }
}

/** The error of a file or folder that the system will not let us read. */
export function unreadable(name: string, cause: unknown): HyperKnowError {
  const code = isSystemError(cause) ? cause.code : String(cause);
  const reasons: Record<string, string> = {
    ENOENT: 'does not exist',
    ENOTDIR: 'is not a folder',
    EACCES: 'may not be read',
    EISDIR: 'is a folder, not a regular file',
  };
  return new HyperKnowError('ERR_HK_IO', `${name}: ${reasons[code] ?? 'cannot be read'} (${code})`, { file: name, cause });
}

export function isSystemError(error: unknown): error is Error & { code: string } {
  return error instanceof Error && 'syscall' in error && 'code' in error && typeof error.code === 'string';
}

const TOKEN_CHARACTERS = 40;

/** The beginning of the token at `position` of what is in the file, one character more than is shown so that a cut can be seen. */
async function tokenAt(handle: FileHandle, position: number, separators: string): Promise<string> {
  const bytes = await bytesAt(handle, position, 4 * TOKEN_CHARACTERS + 4);
  let end = 0;
  while (end < bytes.length && bytes[end] !== 0x0a && !separators.includes(String.fromCharCode(bytes[end]!))) ++end;
  return bytes.toString('utf8', 0, end).replace(/\r$/, '');
}

async function bytesAt(handle: FileHandle, position: number, length: number): Promise<Buffer> {
  const unpacking = await unpackingOf(handle);
  if (!unpacking) {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, position);
    return buffer.subarray(0, bytesRead);
  }
  let bytes = Buffer.alloc(0);
  let begin = 0;
  for await (const piece of unpacking('')) {
    if (begin + piece.length > position) bytes = Buffer.concat([bytes, piece.subarray(Math.max(0, position - begin))]);
    if (bytes.length >= length) break;
    begin += piece.length;
  }
  return bytes.subarray(0, length);
}

/** A token for an error message: cut to 40 characters, with everything that is not plainly visible escaped. */
export function quoteToken(token: string): string {
  const characters = [...token];
  const shown = characters.slice(0, TOKEN_CHARACTERS).join('');
  const escaped = shown.replace(/["\\\p{C}\p{Zl}\p{Zp}]/gu, (character) =>
    character === '"' || character === '\\' ? `\\${character}` : `\\u{${character.codePointAt(0)!.toString(16)}}`,
  );
  return `"${escaped}${characters.length > TOKEN_CHARACTERS ? '…' : ''}"`;
}
