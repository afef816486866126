// `npm run reproduce -- --verify`: what `hyper-know verify` does, of what is under --out.
import { UsageError } from '../../lib/cli/exit.ts';
import { run } from '../../lib/cli/program.ts';
import type { Command } from './command.ts';

/** The exit status: 5 where a number differs or a file is missing. */
export function verify({ out, data, options }: Command): Promise<number> {
  if (data.length > 1) throw new UsageError('--data: one data set goes with --verify');
  const threads = options.threads === undefined ? [] : ['--threads', String(options.threads)];
  return run(['verify', out, ...data.flatMap((folder) => ['--data', folder]), ...threads]);
}
