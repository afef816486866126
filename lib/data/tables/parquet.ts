import { Worker } from 'node:worker_threads';
import { HyperKnowError } from '../../errors.ts';
import type { ParquetMessage, ParquetTask } from './parquet-worker.ts';
import { type Cell, placesOf, type TableReader } from './rows.ts';

/** A file of so many rows for its bytes was made to exhaust whoever reads it. */
const SMALL_ROWS = 1 << 20;
const ROWS_PER_BYTE = 32;

/** What the decoder may take for a row group before it counts as lost, in milliseconds, and in bytes a millisecond of the file. */
const PATIENCE = 5_000;
const SLOWEST = 1_000;

const HEAP_MEBIBYTES = 4096;

/**
 * Parquet, whichever way its pages are compressed that this Node can undo; snappy, gzip and brotli are always among them. It is decoded on a
 * thread of its own: a row group at once, which leaves the event loop free, and a damaged file cannot keep us for ever.
 */
export const readParquet: TableReader = async ({ path, size, name, columns, row }) => {
  const fail = (what: string, line?: number): HyperKnowError =>
    new HyperKnowError('ERR_HK_DATA', `${name}${line === undefined ? '' : `, line ${line}`}: ${what}`, {
      file: name,
      ...(line === undefined ? {} : { line }),
    });
  const task: ParquetTask = { path, columns, mostRows: SMALL_ROWS + ROWS_PER_BYTE * size };
  // The compiled one from the sources too: a thread does not inherit the loader that lets a checkout run TypeScript.
  const worker = new Worker(new URL('../../../dist/data/tables/parquet-worker.js', import.meta.url), {
    workerData: task,
    resourceLimits: { maxOldGenerationSizeMb: HEAP_MEBIBYTES },
  });
  try {
    let rows = 0;
    for await (const message of messagesOf(worker, PATIENCE + size / SLOWEST, () =>
      fail('is damaged, or Parquet of a kind that cannot be read here'),
    )) {
      if (message.kind === 'header') placesOf(name, columns, message.columns, 1);
      else if (message.kind === 'rows') {
        const cells: Cell[] = [];
        for (let i = 0; i < message.cells[0]!.length; ++i) {
          for (let k = 0; k < columns.length; ++k) cells[k] = message.cells[k]![i]!;
          row(cells, ++rows);
        }
      } else if (message.kind === 'end') return rows;
      else if (message.kind === 'bad cell')
        throw fail(`the ${message.column} must be text, an exact number, a date or a list of them`, message.row);
      else if (message.kind === 'too many rows') throw fail(`says that it has ${message.rows} rows, too many for its ${size} bytes`);
      else if (message.unsupported)
        throw fail(`is compressed in a way that cannot be undone here (${message.message}): write it with snappy or gzip`);
      else throw fail(`is damaged, or Parquet of a kind that is not known (${message.message})`);
    }
    throw fail('is damaged, or Parquet of a kind that cannot be read here');
  } finally {
    await worker.terminate();
  }
};

/** What the thread says, asked for piece by piece; ends with an error where it dies or is silent for too long. */
async function* messagesOf(worker: Worker, patience: number, lost: () => Error): AsyncGenerator<ParquetMessage, void, void> {
  const queue: (ParquetMessage | Error)[] = [];
  let wake = () => {};
  const add = (message: ParquetMessage | Error) => {
    queue.push(message);
    wake();
  };
  worker.on('message', add);
  worker.on('error', (error: NodeJS.ErrnoException) => add(error.code === 'ERR_MODULE_NOT_FOUND' ? notBuilt(error) : lost()));
  worker.on('exit', () => add(lost()));
  for (;;) {
    if (queue.length === 0) {
      const timer = setTimeout(() => add(lost()), patience);
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
      clearTimeout(timer);
    }
    const message = queue.shift()!;
    if (message instanceof Error) throw message;
    yield message;
    worker.postMessage('more');
  }
}

function notBuilt(cause: Error): HyperKnowError {
  return new HyperKnowError(
    'ERR_HK_INTERNAL',
    `the decoder of Parquet does not load (${cause.message}); a clone needs \`npm run build:ts\` for it`,
    { cause },
  );
}
