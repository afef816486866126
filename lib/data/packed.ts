// What lies in a gzip or zip file, piece by piece, and never more of it in memory than a piece.
import type { FileHandle } from 'node:fs/promises';
import { PassThrough } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { crc32, createGunzip, createInflateRaw } from 'node:zlib';
import { HyperKnowError } from '../errors.ts';

export type Packing = 'none' | 'gzip' | 'zip';

/** A file may expand to `RATIO` times its size, or to this where that is more; beyond, it was made to exhaust whoever unpacks it. */
const SMALL_BYTES = 1 << 26;
const RATIO = 200;

const PIECE_BYTES = 1 << 16;

/** How a file is packed, by its first bytes, whatever its name. */
export async function packingOf(handle: FileHandle): Promise<Packing> {
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(4), 0, 4, 0);
  if (bytesRead >= 2 && buffer[0] === 0x1f && buffer[1] === 0x8b) return 'gzip';
  return bytesRead === 4 && buffer.readUInt32BE() === 0x504b0304 ? 'zip' : 'none';
}

/**
 * The bytes that are packed in a regular file: of a zip file the one file in it.
 *
 * @param onRead sees the file's own bytes, all of them, in order; only where it is no zip file
 * @throws {HyperKnowError} ERR_HK_DATA if it is damaged, expands too far, or is a zip file of several files or of a kind that is not known
 */
export async function* unpacked(
  handle: FileHandle,
  packing: Packing,
  name: string,
  onRead: (bytes: Buffer) => void = () => {},
): AsyncGenerator<Buffer, void, void> {
  const { size } = await handle.stat();
  if (packing === 'none') {
    for await (const bytes of bytesOf(handle, 0, size)) {
      onRead(bytes);
      yield bytes;
    }
    return;
  }
  const limit = Math.max(SMALL_BYTES, RATIO * size);
  const member = packing === 'zip' ? await onlyMember(handle, size, name) : undefined;
  const most = Math.min(limit, member?.bytes ?? limit);
  const packed = member ? bytesOf(handle, member.begin, member.begin + member.packedBytes) : tapped(bytesOf(handle, 0, size), onRead);
  let bytes = 0;
  let sum = 0;
  const inflate = member && !member.deflated ? new PassThrough() : member ? createInflateRaw() : createGunzip();
  // An error comes out of `inflate` too, and who stops early closes it: nothing is to be learned from this promise but that all is over.
  const ended = pipeline(packed, inflate).catch(() => {});
  try {
    for await (const piece of inflate as AsyncIterable<Buffer>) {
      bytes += piece.length;
      if (bytes > limit)
        throw damaged(name, `expands to more than ${limit} bytes, ${RATIO} times its size: it is not unpacked any further`);
      if (bytes > most) throw damaged(name, 'is a damaged zip file (it holds more than its directory says)');
      if (member) sum = crc32(piece, sum);
      yield piece;
    }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw code?.startsWith('Z_') ? damaged(name, `is a damaged ${packing} file (${(error as Error).message})`) : error;
  } finally {
    inflate.destroy();
    await ended;
  }
  if (member && (bytes !== member.bytes || sum !== member.crc)) throw damaged(name, 'is a damaged zip file (its check sum is another)');
}

async function* tapped(source: AsyncIterable<Buffer>, onRead: (bytes: Buffer) => void): AsyncGenerator<Buffer, void, void> {
  for await (const bytes of source) {
    onRead(bytes);
    yield bytes;
  }
}

async function* bytesOf(handle: FileHandle, begin: number, end: number): AsyncGenerator<Buffer, void, void> {
  for (let position = begin; position < end; ) {
    const wanted = Math.min(PIECE_BYTES, end - position);
    const { buffer, bytesRead } = await handle.read(Buffer.allocUnsafe(wanted), 0, wanted, position);
    if (bytesRead === 0) return;
    position += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}

/** The file in a zip file: where its bytes stand, and how many they are packed and, as the directory has it, unpacked. */
export interface Member {
  begin: number;
  packedBytes: number;
  bytes: number;
  crc: number;
  deflated: boolean;
}

/** A zip file ends with this record and a comment of at most 64 KiB. */
const END_BYTES = 22;

/** Larger directories are not gone through for the one file that is wanted. */
const MOST_DIRECTORY_BYTES = 1 << 20;

/** File types of Unix, in the upper half of a directory entry's attributes: a folder and a plain file; 0 where none is given. */
const PLAIN_TYPES = [0, 0o04, 0o10];
/** The extra field of Unix that names what a link leads to. */
const UNIX_EXTRA = 0x000d;

/** Why an entry of a zip file's directory is none of an honest data file. Nothing is written by the names; but who made them meant harm. */
function suspicion(entry: Buffer, member: string, extra: Buffer): string | undefined {
  if (/^[\\/]|^[a-z]:|(^|[\\/])\.\.([\\/]|$)|\0/i.test(member)) return 'a name that leads out of its folder';
  const isUnix = entry.readUInt8(5) === 3;
  if (isUnix && !PLAIN_TYPES.includes(entry.readUInt16LE(40) >> 12)) return 'a link or device';
  for (let at = 0; at + 4 <= extra.length; at += 4 + extra.readUInt16LE(at + 2))
    if (extra.readUInt16LE(at) === UNIX_EXTRA && extra.readUInt16LE(at + 2) > 12) return 'a link or device';
  return undefined;
}

/**
 * The one file of a zip file, from its directory; what macOS adds does not count.
 *
 * @throws {HyperKnowError} ERR_HK_DATA if there is another number of files, or any that no data set has: links, devices, names out of the folder
 */
export async function onlyMember(handle: FileHandle, size: number, name: string): Promise<Member> {
  const tail = await readAt(handle, Math.max(0, size - END_BYTES - 0xffff), size, name);
  let end = tail.length - END_BYTES;
  while (end >= 0 && tail.readUInt32LE(end) !== 0x06054b50) --end;
  if (end < 0) throw damaged(name, 'is a damaged zip file (it has no directory)');
  const directoryBytes = tail.readUInt32LE(end + 12);
  const directoryBegin = tail.readUInt32LE(end + 16);
  if (directoryBegin === 0xffffffff || directoryBytes > MOST_DIRECTORY_BYTES)
    throw damaged(name, 'is a zip file too large to be read as it is: unpack it');
  const directory = await readAt(handle, directoryBegin, directoryBegin + directoryBytes, name);

  const found: { name: string; at: number }[] = [];
  for (let at = 0; at + 46 <= directory.length && directory.readUInt32LE(at) === 0x02014b50; ) {
    const nameBytes = directory.readUInt16LE(at + 28);
    const member = directory.toString('utf8', at + 46, at + 46 + nameBytes);
    const extra = directory.subarray(at + 46 + nameBytes, at + 46 + nameBytes + directory.readUInt16LE(at + 30));
    const what = suspicion(directory.subarray(at, at + 46), member, extra);
    if (what !== undefined) throw damaged(name, `is a zip file with ${what}: it is not read`);
    if (!/\/$|(^|\/)(__MACOSX\/|\.DS_Store$)/.test(member)) found.push({ name: member, at });
    at += 46 + nameBytes + directory.readUInt16LE(at + 30) + directory.readUInt16LE(at + 32);
  }
  if (found.length !== 1) throw damaged(name, `is a zip file of ${found.length} files, where one is wanted: unpack it`);
  const { at } = found[0]!;
  const method = directory.readUInt16LE(at + 10);
  const local = directory.readUInt32LE(at + 42);
  const packedBytes = directory.readUInt32LE(at + 20);
  const bytes = directory.readUInt32LE(at + 24);
  if ((directory.readUInt16LE(at + 8) & 1) !== 0) throw damaged(name, 'is an encrypted zip file');
  if (method !== 0 && method !== 8) throw damaged(name, `is a zip file of a kind that is not known (method ${method}): unpack it`);
  if ([local, packedBytes, bytes].includes(0xffffffff)) throw damaged(name, 'is a zip file too large to be read as it is: unpack it');
  const header = await readAt(handle, local, local + 30, name);
  const begin = local + 30 + header.readUInt16LE(26) + header.readUInt16LE(28);
  if (header.readUInt32LE(0) !== 0x04034b50 || begin + packedBytes > size)
    throw damaged(name, 'is a damaged zip file (its directory leads nowhere)');
  return { begin, packedBytes, bytes, crc: directory.readUInt32LE(at + 16), deflated: method === 8 };
}

async function readAt(handle: FileHandle, begin: number, end: number, name: string): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of bytesOf(handle, begin, end)) parts.push(part);
  const bytes = Buffer.concat(parts);
  if (bytes.length !== end - begin) throw damaged(name, 'is a damaged zip file (it is cut off)');
  return bytes;
}

function damaged(name: string, what: string): HyperKnowError {
  return new HyperKnowError('ERR_HK_DATA', `${name}: ${what}`, { file: name });
}
