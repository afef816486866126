// Serves a saved model over HTTP from this process: an example to start from. Routes, errors and figures: scripts/README.md.
//
//   node --import tsx scripts/serve.ts MODEL [--port 3000] [--host 127.0.0.1] [--keep 0]
//
// --keep N: keeps the last N lists as text for who asks for the same again; without it every list is ranked on request. Expected: the line
// "listening on http://127.0.0.1:3000" on standard output (--port 0: any free port), until Ctrl-C or SIGTERM: then requests that came are
// answered, and the process ends with exit status 0. Status 2: wrong arguments; 3: no such model, or a damaged one; 1: the port is taken.
import { parseArgs } from 'node:util';
import { checkInteger } from '../lib/check.ts';
import { type HyperKnowError, Model } from '../lib/index.ts';
import { serveModel } from './serve/app.ts';

interface Arguments {
  path: string;
  port: number;
  host: string;
  keep: number;
}

function read(): Arguments {
  const { values, positionals } = parseArgs({
    options: {
      port: { type: 'string', default: '3000' },
      host: { type: 'string', default: '127.0.0.1' },
      keep: { type: 'string', default: '0' },
    },
    allowPositionals: true,
  });
  const [path] = positionals;
  if (path === undefined || positionals.length > 1) throw new TypeError('MODEL: the path of one saved model is needed');
  const integer = (name: 'port' | 'keep', most: number) =>
    checkInteger(`--${name}`, values[name] === '' ? Number.NaN : Number(values[name]), 0, most);
  return { path, port: integer('port', 65_535), host: values.host, keep: integer('keep', 1 << 24) };
}

async function main(): Promise<number> {
  let given: Arguments;
  try {
    given = read();
  } catch (error) {
    console.error((error as Error).message);
    return 2;
  }
  let model: Model;
  try {
    model = await Model.load(given.path);
  } catch (error) {
    console.error((error as HyperKnowError).message);
    return 3;
  }
  const app = serveModel(model, { keep: given.keep });
  const ended = new Promise<void>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, resolve);
  });
  try {
    console.log(`listening on ${await app.listen({ port: given.port, host: given.host })}`);
  } catch (error) {
    await app.close();
    console.error((error as Error).message);
    return 1;
  }
  await ended;
  await app.close();
  return 0;
}

process.exitCode = await main();
