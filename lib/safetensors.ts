// The safetensors format: a u64 header length, a JSON header, the tensors. Metadata is string → string, so that any reader of the format
// takes these files. Beyond the format, every file carries the sha-256 of each tensor and of its header, and holds finite numbers only.
import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { basename } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { isObject } from './check.ts';
import { HyperKnowError } from './errors.ts';
import { files } from './files.ts';
import { writeAll, writeWholeFile } from './whole-file.ts';

export type TensorData = Float32Array | Float64Array | Uint32Array | Uint8Array;

export interface Tensor {
  shape: readonly number[];
  data: TensorData;
}

export interface TensorFile {
  metadata: Record<string, string>;
  tensors: Map<string, Tensor>;
}

const TYPES = { F64: Float64Array, F32: Float32Array, U32: Uint32Array, U8: Uint8Array } as const;
type TypeName = keyof typeof TYPES;

/** Largest header that is written or read: some hundred tensors and their digests. Whatever may grow is a tensor. */
const MAX_HEADER_BYTES = 1 << 20;

/** Bytes handled between two turns of the event loop: a few milliseconds of hashing. */
const PIECE_BYTES = 1 << 21;

const DIGESTS = 'sha256';
const HEADER_DIGEST = 'sha256_header';

/**
 * Writes a file that is there whole or not at all: a temporary beside it, flushed, renamed over it, and the folder flushed.
 *
 * @throws {HyperKnowError} ERR_HK_IO if it cannot be written, ERR_HK_DIVERGED if a number is not finite; an old file stays as it was
 */
export async function writeTensors(path: string, { metadata, tensors }: TensorFile): Promise<void> {
  // Wide types first, so that every tensor is aligned.
  const ordered = [...tensors].sort(([, a], [, b]) => b.data.BYTES_PER_ELEMENT - a.data.BYTES_PER_ELEMENT);
  const digests: Record<string, string> = {};
  for (const [name, { data }] of ordered) {
    await checkFinite(data, () => new HyperKnowError('ERR_HK_DIVERGED', `${basename(path)}: ${name} holds a number that is not finite`));
    digests[name] = await sha256(data);
  }
  const header: Header = { __metadata__: { ...metadata, [DIGESTS]: JSON.stringify(digests) } };
  let end = 0;
  for (const [name, { shape, data }] of ordered) {
    header[name] = { dtype: typeOf(data), shape: [...shape], data_offsets: [end, end + data.byteLength] };
    end += data.byteLength;
  }
  (header.__metadata__ as Record<string, string>)[HEADER_DIGEST] = headerDigest(header);
  const text = Buffer.from(JSON.stringify(header));
  const padded = Math.ceil(text.length / 8) * 8;
  if (padded > MAX_HEADER_BYTES) throw new RangeError(`the header has ${padded} bytes, more than ${MAX_HEADER_BYTES}`);
  const prefix = Buffer.alloc(8 + padded, ' ');
  prefix.writeBigUInt64LE(BigInt(padded));
  text.copy(prefix, 8);

  try {
    await writeWholeFile(path, async (file) => {
      await writeAll(file, prefix);
      for (const [, { data }] of ordered) await writeAll(file, bytesOf(data));
    });
  } catch (cause) {
    throw ioError(path, 'written', cause);
  }
}

/**
 * Reads a file of `writeTensors`, and refuses one that is damaged anywhere.
 *
 * @throws {HyperKnowError} ERR_HK_IO if it cannot be read, ERR_HK_MODEL_FILE if it is damaged or none of ours, with `file`
 */
export async function readTensors(path: string): Promise<TensorFile> {
  let file: FileHandle;
  let size: number;
  try {
    const found = await files.stat(path);
    if (!found.isFile()) throw new Error('it is not a regular file');
    size = found.size;
    file = await files.open(path, 'r');
  } catch (cause) {
    throw ioError(path, 'read', cause);
  }
  try {
    const header = await readHeader(file, size, path);
    const tensors = new Map<string, Tensor>();
    for (const [name, { dtype, shape, data_offsets }] of header.entries) {
      const data = new TYPES[dtype](allocate(path, data_offsets[1] - data_offsets[0]));
      await readAll(file, bytesOf(data), header.begin + data_offsets[0], path);
      if ((await sha256(data)) !== header.digests[name]) throw damaged(path, `tensor ${name} does not fit its digest`);
      await checkFinite(data, () => damaged(path, `tensor ${name} holds a number that is not finite`));
      tensors.set(name, { shape, data });
    }
    return { metadata: header.metadata, tensors };
  } finally {
    await file.close();
  }
}

/** The error for a file whose content is not what it must be. */
export function damaged(path: string, what: string): HyperKnowError {
  return new HyperKnowError('ERR_HK_MODEL_FILE', `${basename(path)}: ${what}`, { file: basename(path) });
}

interface Entry {
  dtype: TypeName;
  shape: number[];
  data_offsets: [number, number];
}

type Header = Record<string, Entry | Record<string, string>>;

async function readHeader(
  file: FileHandle,
  size: number,
  path: string,
): Promise<{ metadata: Record<string, string>; digests: Record<string, unknown>; entries: [string, Entry][]; begin: number }> {
  if (size < 8) throw damaged(path, 'it is shorter than a safetensors file can be');
  const prefix = Buffer.alloc(8);
  await readAll(file, prefix, 0, path);
  const length = prefix.readBigUInt64LE();
  if (length > BigInt(Math.min(MAX_HEADER_BYTES, size - 8))) throw damaged(path, `its header cannot have ${length} bytes`);
  const bytes = Buffer.alloc(Number(length));
  await readAll(file, bytes, 8, path);
  let header: Header;
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes).replace(/ {0,7}$/, '');
    header = JSON.parse(text) as Header;
    // Also refuses repeated keys, of which only the last is left.
    if (!isObject(header) || JSON.stringify(header) !== text) throw new Error();
  } catch {
    throw damaged(path, 'its header is not JSON in the form that is written');
  }
  const { __metadata__: metadata, ...entries } = header;
  if (!isObject(metadata) || !Object.values(metadata).every((value) => typeof value === 'string'))
    throw damaged(path, 'its metadata is not a map of strings');
  const strings = metadata as Record<string, string>;
  const { [HEADER_DIGEST]: digest, ...rest } = strings;
  if (digest !== headerDigest({ __metadata__: rest, ...entries })) throw damaged(path, 'its header does not fit its digest');
  let end = 0;
  for (const [name, entry] of Object.entries(entries)) end = checkEntry(path, name, entry, end);
  if (8 + Number(length) + end !== size) throw damaged(path, `it has ${size} bytes, not the ${8 + Number(length) + end} of its tensors`);
  const { [DIGESTS]: digests, ...own } = rest;
  return {
    metadata: own,
    digests: jsonObject(path, DIGESTS, digests),
    entries: Object.entries(entries) as [string, Entry][],
    begin: 8 + Number(length),
  };
}

/** @returns where the tensor ends */
function checkEntry(path: string, name: string, entry: unknown, begin: number): number {
  const bad = (what: string): HyperKnowError => damaged(path, `tensor ${name}: ${what}`);
  if (!isObject(entry) || Object.keys(entry).sort().join() !== 'data_offsets,dtype,shape') throw bad('is not described as a tensor is');
  const { dtype, shape, data_offsets: offsets } = entry;
  if (typeof dtype !== 'string' || !Object.hasOwn(TYPES, dtype)) throw bad('has a type that is not used here');
  const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
  if (!Array.isArray(shape) || !shape.every(isCount)) throw bad('has no shape');
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isCount)) throw bad('has no offsets');
  const bytes = shape.reduce((product: number, extent) => product * extent, TYPES[dtype as TypeName].BYTES_PER_ELEMENT);
  if (offsets[0] !== begin) throw bad(`begins at ${offsets[0]}, but the one before it ends at ${begin}`);
  if (!Number.isSafeInteger(bytes) || offsets[1] !== begin + bytes) throw bad('is not as long as its shape says');
  return offsets[1];
}

/** The metadata field `name` as a JSON object. */
export function jsonObject(path: string, name: string, text: string | undefined): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text ?? '');
  } catch {
    value = undefined;
  }
  if (!isObject(value)) throw damaged(path, `its metadata ${name} is not a JSON object`);
  return value;
}

function headerDigest(header: Header): string {
  return createHash('sha256').update(JSON.stringify(header)).digest('hex');
}

function typeOf(data: TensorData): TypeName {
  return (Object.keys(TYPES) as TypeName[]).find((name) => data instanceof TYPES[name])!;
}

function bytesOf({ buffer, byteOffset, byteLength }: TensorData): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

function allocate(path: string, bytes: number): ArrayBuffer {
  try {
    return new ArrayBuffer(bytes);
  } catch (cause) {
    throw new HyperKnowError('ERR_HK_MEMORY', `${basename(path)}: no memory for a tensor of ${bytes} bytes`, {
      file: basename(path),
      cause,
    });
  }
}

async function sha256(data: TensorData): Promise<string> {
  const bytes = bytesOf(data);
  const hash = createHash('sha256');
  for (let begin = 0; begin < bytes.length; begin += PIECE_BYTES) {
    hash.update(bytes.subarray(begin, begin + PIECE_BYTES));
    await nextTurn();
  }
  return hash.digest('hex');
}

async function checkFinite(data: TensorData, error: () => Error): Promise<void> {
  if (!(data instanceof Float32Array || data instanceof Float64Array)) return;
  const piece = PIECE_BYTES / 4;
  for (let begin = 0; begin < data.length; begin += piece) {
    const end = Math.min(data.length, begin + piece);
    for (let i = begin; i < end; ++i) if (!Number.isFinite(data[i]!)) throw error();
    await nextTurn();
  }
}

async function readAll(file: FileHandle, bytes: Uint8Array, position: number, path: string): Promise<void> {
  for (let begin = 0; begin < bytes.length; ) {
    const { bytesRead } = await file.read(bytes, begin, Math.min(PIECE_BYTES, bytes.length - begin), position + begin).catch((cause) => {
      throw ioError(path, 'read', cause);
    });
    if (bytesRead === 0) throw damaged(path, 'it ends before its last tensor does');
    begin += bytesRead;
  }
}

function ioError(path: string, done: 'read' | 'written', cause: unknown): HyperKnowError {
  return new HyperKnowError('ERR_HK_IO', `${basename(path)}: it cannot be ${done} (${(cause as Error).message})`, {
    file: basename(path),
    cause,
  });
}
