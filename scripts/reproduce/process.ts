// How these programs end.
import { exitCodeOf } from '../../lib/cli/exit.ts';
import { HyperKnowError } from '../../lib/errors.ts';
import { DownloadError } from './download/download-error.ts';

/** Ctrl-C and SIGTERM end the process as a kill would: what was finished and the last checkpoints are on the disk. Says so. */
export function goOnLater(): void {
  for (const [signal, status] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)
    process.once(signal, () => {
      process.stderr.write('\ninterrupted: the same command goes on from the last checkpoint\n');
      process.exit(status);
    });
}

/** Runs the program; what was wrong about its arguments or data is said in one line, with the exit status of the command line: 2, 3, 4; 1 for data that could not be fetched. */
export async function main(name: string, program: () => Promise<number>): Promise<void> {
  try {
    process.exitCode = await program();
  } catch (error) {
    const isArgument = isAboutArgument(error);
    if (!isArgument && !(error instanceof HyperKnowError || error instanceof DownloadError)) throw error;
    process.stderr.write(`${name}: ${(error as Error).message}\n`);
    process.exitCode = isArgument ? 2 : exitCodeOf(error);
  }
}

function isAboutArgument(error: unknown): boolean {
  if (!(error instanceof TypeError || error instanceof RangeError || error instanceof SyntaxError)) return false;
  const { code, message } = error as NodeJS.ErrnoException;
  return code === undefined ? /^(--|[^:/]+\.json: )/.test(message) : /^ERR_(HK|PARSE_ARGS)_/.test(code);
}
