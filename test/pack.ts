// The published tarball, and an empty folder to install it into as a user would.
import { spawn } from 'node:child_process';
import { copyFileSync, cpSync, existsSync, mkdirSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { packed } from '../scripts/package-files.ts';
import { temporaryFolder } from './helpers.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const require = createRequire(import.meta.url);

export interface Outcome {
  status: number | null;
  output: string;
}

/**
 * The environment of someone who has nothing to do with this checkout: without what npm tells its scripts and without our own variables,
 * but with the registry, cache and certificates of this machine.
 */
export function foreignEnvironment(extra: Record<string, string> = {}): NodeJS.ProcessEnv {
  const kept = /^npm_config_(registry|cache|userconfig|globalconfig|cafile|ca|proxy|https_proxy|noproxy)$/i;
  const own = Object.entries(process.env).filter(([name]) => kept.test(name) || !/^(npm_|HYPER_KNOW_|NODE_OPTIONS$|INIT_CWD$)/i.test(name));
  // A registry that does not answer is given up on in seconds; npm would try for minutes.
  const patience = { npm_config_fetch_retries: '1', npm_config_fetch_retry_mintimeout: '1000', npm_config_fetch_timeout: '30000' };
  return { ...Object.fromEntries(own), ...patience, ...extra };
}

/** Runs a program to its end, a `.js` or `.cjs` file with this Node. Never rejects: the caller looks at the status. */
export function run(program: string, args: readonly string[], cwd: string, env: Record<string, string> = {}): Promise<Outcome> {
  const [command, all] = /\.c?js$/.test(program) ? [process.execPath, [program, ...args]] : [program, [...args]];
  const child = spawn(command, all, { cwd, env: foreignEnvironment(env), shell: process.platform === 'win32' && command === 'npm' });
  const outcome: Outcome = { status: null, output: '' };
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      outcome.output += text;
    });
  return new Promise((resolve) => {
    child.on('error', (error) => resolve({ status: null, output: `${outcome.output}${error.message}` }));
    child.on('close', (status) => resolve({ ...outcome, status }));
  });
}

export const npm: string = process.env.npm_execpath?.endsWith('npm-cli.js') ? process.env.npm_execpath : 'npm';
export const pnpm: string = join(root, 'node_modules', 'pnpm', 'bin', 'pnpm.cjs');

/** Where the addon of this checkout stands, whichever one the tests were told to load. */
const addonAtHand = (): string => {
  const resolver = require('node-gyp-build') as { resolve(folder: string): string };
  return resolver.resolve(process.env.HYPER_KNOW_PREBUILD ?? root);
};

/** The name prebuildify gives a prebuild of this machine, below the package. */
export function prebuildPath(): string {
  const isMusl = existsSync('/etc/alpine-release');
  const libc = process.platform === 'linux' ? (isMusl ? '.musl' : '.glibc') : '';
  return `prebuilds/${process.platform}-${process.arch}/hyper-know${libc}.node`;
}

/**
 * The tarball that `npm pack` makes of the files of this checkout, with the addon at hand as the one prebuild, or with none.
 *
 * @returns the path of the tarball
 */
export async function tarball({ prebuild }: { prebuild: boolean }): Promise<string> {
  const [stage, out] = [join(temporaryFolder(), 'package'), temporaryFolder()];
  for (const path of packed().paths.filter((path) => !path.startsWith('prebuilds/'))) cpSync(join(root, path), join(stage, path));
  if (prebuild) {
    mkdirSync(dirname(join(stage, prebuildPath())), { recursive: true });
    copyFileSync(addonAtHand(), join(stage, prebuildPath()));
  }
  const { status, output } = await run(npm, ['pack', '--ignore-scripts', '--pack-destination', out], stage);
  const [name] = readdirSync(out);
  if (status !== 0 || name === undefined) throw new Error(`npm pack: status ${status}\n${output}`);
  return join(out, name);
}

/** Whether an installation failed because no registry could be reached or it would not serve, which is no fault of the package. */
export const isOffline = (output: string): boolean =>
  /\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|ENOTCACHED|ERR_SOCKET_TIMEOUT|ERR_PNPM_META_FETCH_FAIL|E403|E5\d\d)\b/.test(
    output,
  );
