// Servers that do not give what they were asked for: what each does, and what the refusal says.
import { gzipSync } from 'node:zlib';
import { honest, published } from './attempt.ts';
import { files, type Handler } from './server.ts';

export const changed = (bytes: Buffer, from: string, to: string): Buffer =>
  Buffer.from(bytes.toString('latin1').replace(from, to), 'latin1');
/** An honest answer to all but one file. */
export const but =
  (name: string, lie: Handler): Handler =>
  (request, response) =>
    (request.url === `/data/${name}` ? lie : files(honest))(request, response);
const endless: Handler = (_request, response) => {
  const more = (): void => {
    while (!response.destroyed && response.write('0 1 2 3 4 5 6 7\n'.repeat(1000)));
  };
  response.on('drain', more);
  more();
};

export const lies: readonly [label: string, handler: Handler, expected: RegExp][] = [
  [
    'other bytes where the digest is known',
    files({ ...honest, 'train.txt': changed(published['train.txt'], '10', '11') }),
    /train\.txt: its sha-256 is \w+, published is/,
  ],
  [
    'other bytes where only counts are',
    files({ ...honest, 'test.txt': changed(published['test.txt'], '0 0', '0 0 1') }),
    /test: 13, published are 12/,
  ],
  [
    'an id beyond all others',
    files({ ...honest, 'test.txt': changed(published['test.txt'], '0 0', '0 99999') }),
    /items: 100,000, published are 12/,
  ],
  [
    'fewer bytes than are published',
    files({ ...honest, 'train.txt': published['train.txt'].subarray(0, 20) }),
    /announces 20 bytes, published are/,
  ],
  [
    'fewer bytes, with no word of how many',
    but('train.txt', (_, response) => void response.write('0 2\n', () => response.end())),
    /train\.txt: has 4 bytes, published are/,
  ],
  [
    'fewer bytes than it announces, again and again',
    but('test.txt', (_, response) => {
      response.writeHead(200, { 'content-length': 1000 });
      response.write('0 0\n', () => setTimeout(() => response.destroy(), 20));
    }),
    /test\.txt: localhost:\d+: aborted|test\.txt: ends after 4 of 1,000 bytes/,
  ],
  ['a file without end', but('test.txt', endless), /test\.txt: the server sends more than 65,536 bytes/],
  [
    'an announced gigabyte',
    but('test.txt', (_, response) => void response.writeHead(200, { 'content-length': 1 << 30 }).write('0')),
    /announces 1,073,741,824 bytes, at most 65,536/,
  ],
  [
    'a redirect to itself',
    but('test.txt', (_, response) => void response.writeHead(302, { location: '/data/test.txt' }).end()),
    /redirects more than 5 times/,
  ],
  [
    'a redirect after every three seconds',
    but('test.txt', (_, response) => void setTimeout(() => response.writeHead(307, { location: '/data/test.txt' }).end(), 3000)),
    /no answer within 8 s/,
  ],
  [
    'a redirect to http',
    but('test.txt', (_, response) => void response.writeHead(301, { location: 'http://localhost/test.txt' }).end()),
    /redirects to "http:\/\/localhost\/test\.txt", which is not https/,
  ],
  [
    'a redirect to a file',
    but('test.txt', (_, response) => void response.writeHead(302, { location: 'file:///etc/passwd' }).end()),
    /which is not https/,
  ],
  [
    'a page that says 404',
    files({ ...honest, 'kg_final.txt.zip': undefined as unknown as Buffer }),
    /kg_final\.txt\.zip: the server answers with status 404/,
  ],
  [
    'a page that says 200',
    but(
      'train.txt',
      (_, response) => void response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end('<html>log in</html>'),
    ),
    /sends a web page/,
  ],
  ['a page instead of a zip file', files({ ...honest, 'kg_final.txt.zip': Buffer.from('<html>') }), /kg_final\.txt\.zip: is no zip file/],
  [
    'a packed bomb where a plain file was asked for',
    but('test.txt', (_, response) => void response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync(Buffer.alloc(1 << 24)))),
    /sends it packed \(gzip\)/,
  ],
  [
    'a part that nobody asked for',
    but('test.txt', (_, response) => void response.writeHead(206, { 'content-range': 'bytes 4-7/8' }).end('1 1\n')),
    /another part than was asked for/,
  ],
  [
    'a byte a second',
    but('test.txt', (_, response) => {
      const drip = setInterval(() => response.write('0'), 1000);
      response.on('close', () => clearInterval(drip));
    }),
    /test\.txt: localhost:\d+: sends less than 8192 bytes in 8 s/,
  ],
  ['no answer at all', but('test.txt', () => {}), /test\.txt: localhost:\d+: no answer within 8 s/],
  [
    'a head that comes a byte a second',
    but('test.txt', (request) => {
      const { socket } = request;
      socket.write('HTTP/1.1 200 OK\r\nx: ');
      const drip = setInterval(() => socket.write('y'), 1000);
      socket.on('close', () => clearInterval(drip));
    }),
    /no answer within 8 s/,
  ],
  [
    'a head without end',
    but('test.txt', (request) => {
      request.socket.write(`HTTP/1.1 200 OK\r\nx: ${'y'.repeat(1 << 20)}`);
    }),
    /Header overflow/,
  ],
];

/** An honest server that cuts the connection after so many bytes, so many times, and then no more. */
export function cutting(name: string, content: Buffer, after: number, times: number, version = '"1"'): Handler {
  let cuts = 0;
  return but(name, (request, response) => {
    if (cuts++ >= times) return files({ ...honest, [name]: content }, version)(request, response);
    const begin = Number(/\d+/.exec(request.headers.range ?? '0')?.[0]);
    const head = { etag: version, 'content-length': content.length - begin };
    response.writeHead(
      begin > 0 ? 206 : 200,
      begin > 0 ? { ...head, 'content-range': `bytes ${begin}-${content.length - 1}/${content.length}` } : head,
    );
    response.write(content.subarray(begin, begin + after), () => setTimeout(() => response.destroy(), 50));
  });
}
