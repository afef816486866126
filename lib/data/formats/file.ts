import { createHash } from 'node:crypto';
import { constants, type FileHandle, open } from 'node:fs/promises';
import { basename } from 'node:path';
import { HyperKnowError } from '../../errors.ts';
import type { SourceFile } from '../raw-dataset.ts';

/** Bytes read at once where nothing else is said: a millisecond or two of parsing. */
export const READ_BYTES: number = 1 << 17;

/** Consumes a file from its first byte (after a byte order mark) to its last, in pieces cut anywhere. */
export interface Parser {
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

/** Feeds a regular file to `parser`. Never more than `readBytes` of it are in memory, whatever its lines look like. */
export async function parseFile(path: string, parser: Parser, readBytes: number): Promise<SourceFile> {
  const name = basename(path);
  // Without O_NONBLOCK, opening a FIFO waits for a writer. Windows has neither.
  const handle = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0)).catch((cause) => {
    throw unreadable(name, cause);
  });
  try {
    const stats = await handle.stat();
    if (!stats.isFile()) {
      const kind = stats.isDirectory() ? 'a folder' : 'a device, pipe or socket';
      throw new HyperKnowError('ERR_HK_IO', `${name}: is ${kind}, not a regular file`, { file: name });
    }
    const hash = createHash('sha256');
    const buffer = Buffer.allocUnsafe(readBytes);
    const markBytes = await byteOrderMark(handle);
    let position = 0;
    for (;;) {
      const { bytesRead } = await handle.read(buffer, 0, readBytes, position);
      if (bytesRead === 0) break;
      const bytes = buffer.subarray(0, bytesRead);
      hash.update(bytes);
      const skip = Math.min(bytesRead, Math.max(0, markBytes - position));
      if (skip < bytesRead) parser.read(bytes.subarray(skip), position + skip);
      position += bytesRead;
    }
    parser.end();
    return { name, bytes: position, sha256: hash.digest('hex') };
  } catch (error) {
    if (error instanceof Refusal) {
      const token = error.position === undefined ? undefined : await tokenAt(handle, error.position, error.separators);
      throw dataError(name, error.line, error.message, token);
    }
    throw error instanceof HyperKnowError || !isSystemError(error) ? error : unreadable(name, error);
  } finally {
    await handle.close();
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

function isSystemError(error: unknown): error is Error & { code: string } {
  return error instanceof Error && 'syscall' in error && 'code' in error && typeof error.code === 'string';
}

/** How many bytes the UTF-8 byte order mark takes at the beginning of the file: 3 or 0. */
async function byteOrderMark(handle: FileHandle): Promise<number> {
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(3), 0, 3, 0);
  return bytesRead === 3 && buffer[0] === 0xef && buffer[1] === 0xbb && buffer[2] === 0xbf ? 3 : 0;
}

const TOKEN_CHARACTERS = 40;

/** The beginning of the token at `position`, one character more than is shown so that a cut can be seen. */
async function tokenAt(handle: FileHandle, position: number, separators: string): Promise<string> {
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(4 * TOKEN_CHARACTERS + 4), 0, 4 * TOKEN_CHARACTERS + 4, position);
  let end = 0;
  while (end < bytesRead && buffer[end] !== 0x0a && !separators.includes(String.fromCharCode(buffer[end]!))) ++end;
  return buffer.toString('utf8', 0, end).replace(/\r$/, '');
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
