// One answer over https: redirects followed within bounds, no part of it awaited for ever.
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { DownloadError } from './download-error.ts';

const MOST_REDIRECTS = 5;
/** Until the head of an answer is there, redirects included. */
const HEAD_SECONDS = 8;
/** In every such span of time, a body brings at least so much. */
const SPAN = { seconds: 8, bytes: 1 << 13 };

export interface GetOptions {
  signal?: AbortSignal | undefined;
  /** Certificates to trust besides those of Node, PEM. */
  ca?: string | undefined;
}

export interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  body: AsyncIterable<Buffer>;
  /** Ends the connection; the body is not wanted. */
  discard(): void;
}

/** What the system says where there is no way to the server, or no name for it. */
const NO_WAY = ['ENOTFOUND', 'EAI_AGAIN', 'ECONNREFUSED', 'ENETUNREACH', 'EHOSTUNREACH', 'ENETDOWN', 'EADDRNOTAVAIL'];

/** And where a connection ended before it was done, the last in the words of Node. */
const CUT = ['ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'ECONNABORTED', 'ERR_STREAM_PREMATURE_CLOSE'];

function failure(url: URL, error: unknown, isConnected: boolean): Error {
  if (error instanceof DownloadError || (error as Error).name === 'AbortError') return error as Error;
  const { code = '', message } = error as NodeJS.ErrnoException;
  const where = `${url.host}: ${message}`;
  if (NO_WAY.includes(code)) return new DownloadError('unreachable', where, error);
  return new DownloadError(CUT.includes(code) ? (isConnected ? 'interrupted' : 'unreachable') : 'refused', where, error);
}

function head(url: URL, headers: Record<string, string>, deadline: number, { ca, signal }: GetOptions): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    let isConnected = false;
    // No agent: no connection is kept, so that nothing outlives the download. identity: a limit is one of what arrives.
    const options = {
      agent: false as const,
      headers: { 'accept-encoding': 'identity', 'user-agent': 'hyper-know', ...headers },
      signal,
      ca,
    };
    const call = request(url, options, resolve);
    const late = setTimeout(
      () => call.destroy(new DownloadError(isConnected ? 'refused' : 'unreachable', `${url.host}: no answer within ${HEAD_SECONDS} s`)),
      deadline - performance.now(),
    );
    call.on('socket', (socket) => socket.on('secureConnect', () => (isConnected = true)));
    call.on('response', () => clearTimeout(late));
    call.on('error', (error) => {
      clearTimeout(late);
      reject(failure(url, error, isConnected));
    });
    call.end();
  });
}

/** @throws {DownloadError} 'refused' for what is not https */
function secure(target: string, base?: URL): URL {
  const url = URL.canParse(target, base?.href) ? new URL(target, base?.href) : undefined;
  if (url?.protocol !== 'https:' || url.username !== '' || url.password !== '')
    throw new DownloadError(
      'refused',
      `${base ? `${base.host}: redirects to ` : ''}${JSON.stringify(target.slice(0, 200))}, which is not https`,
    );
  return url;
}

/** The answer to a GET, whatever its status, after at most five redirects, each to https. */
export async function httpsGet(target: string, headers: Record<string, string>, options: GetOptions): Promise<Answer> {
  let url = secure(target);
  const deadline = performance.now() + HEAD_SECONDS * 1000;
  for (let redirects = 0; ; ++redirects) {
    const message = await head(url, headers, deadline, options);
    const status = message.statusCode ?? 0;
    const { location } = message.headers;
    if (![301, 302, 303, 307, 308].includes(status) || location === undefined)
      return { status, headers: message.headers, body: steadily(url, message), discard: () => message.destroy() };
    message.destroy();
    if (redirects === MOST_REDIRECTS) throw new DownloadError('refused', `${url.host}: redirects more than ${MOST_REDIRECTS} times`);
    url = secure(location, url);
  }
}

/** A body, as long as it comes at a reasonable pace. */
async function* steadily(url: URL, message: IncomingMessage): AsyncGenerator<Buffer, void, void> {
  let bytes = 0;
  const pace = setInterval(() => {
    if (bytes < SPAN.bytes)
      message.destroy(new DownloadError('refused', `${url.host}: sends less than ${SPAN.bytes} bytes in ${SPAN.seconds} s`));
    bytes = 0;
  }, SPAN.seconds * 1000);
  try {
    for await (const piece of message as AsyncIterable<Buffer>) {
      bytes += piece.length;
      yield piece;
    }
  } catch (error) {
    throw failure(url, error, true);
  } finally {
    clearInterval(pace);
    message.destroy();
  }
}
