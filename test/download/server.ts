// An https server on this machine that answers as a test has it, well or badly, with a certificate made for the occasion.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { temporaryFolder } from '../helpers.ts';

export type Handler = (request: IncomingMessage, response: ServerResponse) => void;

export interface Server {
  /** `https://localhost:PORT` */
  origin: string;
  /** The certificate to trust, PEM. */
  ca: string;
  /** Method and path of every request, in order. */
  requests: { url: string; range: string | undefined }[];
  close(): Promise<void>;
}

interface Certificate {
  key: string;
  cert: string;
}

let made: Certificate | undefined | null = null;

/** A certificate of this process's own; undefined where there is no openssl to make it. */
export function certificate(): Certificate | undefined {
  if (made !== null) return made;
  const folder = temporaryFolder();
  const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
  const { status } = spawnSync('openssl', [
    'req',
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:prime256v1',
    '-nodes',
    '-days',
    '2',
    '-subj',
    '/CN=localhost',
    '-addext',
    'subjectAltName=DNS:localhost',
    '-keyout',
    key,
    '-out',
    cert,
  ]);
  made = status === 0 ? { key: readFileSync(key, 'utf8'), cert: readFileSync(cert, 'utf8') } : undefined;
  return made;
}

export async function serve(handler: Handler): Promise<Server> {
  const { key, cert } = certificate()!;
  const requests: Server['requests'] = [];
  const sockets = new Set<Duplex>();
  const server = createServer({ key, cert }, (request, response) => {
    requests.push({ url: request.url ?? '', range: request.headers.range });
    response.on('error', () => {});
    handler(request, response);
  });
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => {});
  });
  server.on('tlsClientError', () => {});
  await new Promise<void>((resolve) => server.listen(0, 'localhost', resolve));
  return {
    origin: `https://localhost:${(server.address() as AddressInfo).port}`,
    ca: cert,
    requests,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

/** An honest server of files by their names, with ranges; `version` is what it calls all of them. */
export const files =
  (contents: Record<string, Buffer>, version = '"1"'): Handler =>
  (request, response) => {
    const content = contents[(request.url ?? '').replace(/^\/data\//, '')];
    if (content === undefined) {
      response.writeHead(404, { 'content-type': 'text/html' }).end('<html>no such file</html>');
      return;
    }
    const { range, 'if-range': condition } = request.headers;
    const begin = range !== undefined && condition === version ? Number(/^bytes=(\d+)-$/.exec(range)?.[1]) : 0;
    const head = { etag: version, 'content-type': 'text/plain', 'content-length': content.length - begin };
    if (begin > 0) response.writeHead(206, { ...head, 'content-range': `bytes ${begin}-${content.length - 1}/${content.length}` });
    else response.writeHead(200, head);
    response.end(content.subarray(begin));
  };
