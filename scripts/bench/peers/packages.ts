/** The npm packages that hyper-know is measured against: installed beside this file on request, left out by name where they are not. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const folder = fileURLToPath(new URL('node', import.meta.url));
const require = createRequire(`${folder}/`);

/** Packages whose addon npm has to build; the others bring theirs. */
const BUILT = ['hnswlib-node'];

/**
 * Installs them from the registry that npm is set up with. Install scripts stay off, because onnxruntime-node's fetches CUDA libraries from
 * elsewhere; what must be built is built after that.
 */
export function install(): boolean {
  const npm = (...args: string[]) =>
    spawnSync('npm', args, {
      cwd: folder,
      stdio: ['ignore', 'inherit', 'inherit'],
      shell: process.platform === 'win32',
      env: {
        ...process.env,
        ONNXRUNTIME_NODE_INSTALL: 'skip',
        ONNXRUNTIME_NODE_INSTALL_CUDA: 'skip',
        // A distribution's Node has its headers here; without them node-gyp fetches some.
        ...(existsSync(headers) && !process.env.npm_config_nodedir ? { npm_config_nodedir: dirname(dirname(headers)) } : {}),
      },
    }).status === 0;
  return npm('install', '--ignore-scripts', '--no-package-lock', '--no-audit', '--no-fund') && npm('rebuild', ...BUILT);
}

const headers = resolve(dirname(process.execPath), '..', 'include', 'node');

/** The package and its version, or why it cannot be used. */
export function loadPackage<T>(name: string): { module: T; version: string } | { missing: string } {
  const file = `${folder}/node_modules/${name}/package.json`;
  if (!existsSync(file)) return { missing: 'not installed (npm run bench -- peers --install)' };
  try {
    return { module: require(name) as T, version: (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version };
  } catch (error) {
    return { missing: `does not load: ${(error as Error).message.split('\n')[0]}` };
  }
}

/** Where a file of a package lies. */
export const fileOf = (path: string): string => `${folder}/node_modules/${path}`;
