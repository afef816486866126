import { createHash } from 'node:crypto';
import type { Graph, Interactions } from './csr.ts';
import type { Steps } from './steps.ts';

/** Bytes hashed between two yields: a few milliseconds. */
const PIECE_BYTES = 1 << 21;

/** Hexadecimal sha-256 of a text and the bytes of arrays, one after the other. */
export function* sha256Of(text: string, arrays: readonly Uint32Array[]): Steps<string> {
  const hash = createHash('sha256').update(text);
  for (const { buffer, byteOffset, byteLength } of arrays)
    for (let begin = 0; begin < byteLength; begin += PIECE_BYTES) {
      hash.update(new Uint8Array(buffer, byteOffset + begin, Math.min(PIECE_BYTES, byteLength - begin)));
      yield;
    }
  return hash.digest('hex');
}

/** Hexadecimal sha-256 of what a split is: the counts, who has which item in which part, and the graph. The caller's ids have no part in it. */
export function splitDigest(
  { users, items, entities, relations }: Record<'users' | 'items' | 'entities' | 'relations', number>,
  parts: readonly Interactions[],
  graph: Graph,
): Steps<string> {
  return sha256Of(JSON.stringify({ users, items, entities, relations }), [
    ...parts.flatMap(({ offsets, items: own }) => [offsets, own]),
    ...[graph.offsets, graph.relations, graph.tails],
  ]);
}
