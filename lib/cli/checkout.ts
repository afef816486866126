import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Context } from './command.ts';
import { EXIT } from './exit.ts';

/** Runs a TypeScript program of scripts/, which only a checkout of the repository has, with these arguments; its status is ours. */
export async function runScript({ root, output }: Context, name: string, args: readonly string[]): Promise<number> {
  const script = join(root, 'scripts', `${name}.ts`);
  const tsx = join(root, 'node_modules', 'tsx', 'dist', 'loader.mjs');
  if (!existsSync(script) || !existsSync(tsx)) {
    output.error(
      `${name} works in a checkout of the repository with its development dependencies only; the installed package does not hold scripts/${name}.ts`,
    );
    return EXIT.failure;
  }
  // Ctrl-C reaches the child by itself: both are in the terminal's foreground. What it makes of it is its own business.
  const ignore = () => {};
  process.on('SIGINT', ignore);
  const child = spawn(process.execPath, ['--import', `file://${tsx}`, script, ...args], { stdio: 'inherit' });
  return await new Promise<number>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => resolve(code ?? (signal === 'SIGINT' ? 130 : 143)));
  }).finally(() => process.off('SIGINT', ignore));
}
