// How these programs end.
import { visible } from '../../lib/cli/escape.ts';
import { EXIT, exitCodeOf } from '../../lib/cli/exit.ts';
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

/**
 * Runs the program; what was wrong about its arguments or data is said in one line, escaped, with the exit status of the command line: 2, 3, 4; 1 for
 * data that could not be fetched.
 */
export async function main(name: string, program: () => Promise<number>): Promise<void> {
  try {
    process.exitCode = await program();
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const status = code?.startsWith('ERR_PARSE_ARGS_') ? EXIT.usage : exitCodeOf(error);
    if (status === EXIT.failure && !(error instanceof HyperKnowError || error instanceof DownloadError)) throw error;
    process.stderr.write(`${name}: ${message.split('\n').map(visible).join('\n')}\n`);
    process.exitCode = status;
  }
}
