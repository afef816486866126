import type { MessagePort } from 'node:worker_threads';

let closed: MessagePort | undefined;

/**
 * Gives the memory of arrays back at once; they are empty afterwards, as is whatever else views their buffers. The garbage collector, left to
 * itself, lets 64 MiB of such buffers lie before it looks for any. A port takes the buffers that are sent through it, even where it is closed.
 */
export function release(...arrays: readonly ArrayBufferView[]): void {
  if (closed === undefined) {
    closed = new MessageChannel().port1;
    closed.close();
  }
  closed.postMessage(
    null,
    arrays.map(({ buffer }) => buffer as ArrayBuffer),
  );
}
