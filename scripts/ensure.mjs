// From a bare clone to something that runs: dependencies, the addon, dist/, and the test build of the CUDA sources, each only when it
// is missing or was made from other sources. Runs before anything is installed: plain Node.
//   node scripts/ensure.mjs           all of it (what `npm test` does first); a second or less when nothing changed
//   node scripts/ensure.mjs run       all but the test build (what `npm run reproduce` does first)
//   node scripts/ensure.mjs build     addon and dist/ (npm's install step in a checkout)
//   node scripts/ensure.mjs native    the addon anew, for every GPU generation nvcc knows (`npm run build:native`)
//   node scripts/ensure.mjs ts        dist/ only (`npm run build:ts`)
// HYPER_KNOW_BUILD=cpu leaves CUDA out although there is an nvcc.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildFromSource, buildTarget, generationsHere, run, say } from './install.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
process.chdir(root);

const CUDA = process.env.HYPER_KNOW_BUILD === 'cpu' ? 'OFF' : 'AUTO';

const filesUnder = (folder) =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();

function hash(parts, files) {
  const sum = createHash('sha256').update(JSON.stringify(parts));
  for (const file of files) sum.update(`\0${file}\0`).update(readFileSync(file));
  return sum.digest('hex');
}

const isFresh = (stamp, product, sum) => existsSync(product) && existsSync(stamp) && readFileSync(stamp, 'utf8') === sum;

function writeStamp(stamp, sum) {
  mkdirSync(dirname(stamp), { recursive: true });
  writeFileSync(stamp, sum);
}

function timed(label, action) {
  const start = performance.now();
  const done = action();
  if (done) say(`${label} (${((performance.now() - start) / 1000).toFixed(0)} s)`);
  return done;
}

/** Where CMake will find a CUDA compiler, if anywhere. */
function nvcc() {
  const { CUDACXX, CUDA_PATH, PATH = '' } = process.env;
  const folders = [...(CUDA_PATH ? [join(CUDA_PATH, 'bin')] : []), ...PATH.split(delimiter)];
  return [CUDACXX, ...folders.map((folder) => join(folder, 'nvcc'))].find((file) => file && existsSync(file)) ?? 'none';
}

/** Every package of the lock file that is not optional stands in node_modules at the locked version. */
function dependenciesAreThere() {
  if (!existsSync('node_modules/.package-lock.json')) return false;
  const installed = JSON.parse(readFileSync('node_modules/.package-lock.json', 'utf8')).packages;
  const locked = JSON.parse(readFileSync('package-lock.json', 'utf8')).packages;
  return Object.entries(locked).every(([path, { version, optional }]) => path === '' || optional || installed[path]?.version === version);
}

function ensureDependencies() {
  if (dependenciesAreThere()) return true;
  say('installing dependencies (npm ci)');
  const install = () =>
    spawnSync('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], { stdio: 'inherit', shell: process.platform === 'win32' });
  return timed('dependencies installed', () => install().status === 0);
}

const nativeSum = () =>
  hash(
    [CUDA, nvcc(), generationsHere(), process.platform, process.arch],
    ['CMakeLists.txt', 'binding.gyp', ...filesUnder('native').filter((file) => /\.(h|cc|cu|cuh)$/.test(file))],
  );

/** With `everyGeneration` anew, for the generations that CMakeLists.txt names: about 3 minutes; else for this machine, if out of date. */
function ensureNative(everyGeneration) {
  const sum = nativeSum();
  const stamp = 'build/.sources';
  if (!everyGeneration && isFresh(stamp, 'build/Release/hyper_know.node', sum)) return true;
  const every = /HK_CUDA_WANT "([\d;]+)"/.exec(readFileSync('CMakeLists.txt', 'utf8'))[1];
  const options = { HK_CUDA_WANT: everyGeneration ? every : generationsHere(), HK_CUDA_ON_HOST: 'ON' };
  if (!timed('addon built', () => buildFromSource(CUDA, options, false))) return false;
  writeStamp(stamp, sum);
  return true;
}

function ensureTypeScript(force) {
  const tsc = 'node_modules/typescript/bin/tsc';
  if (!existsSync(tsc)) {
    say('dist/ is not built: the development dependencies are not installed');
    return true;
  }
  const sum = hash([], ['package.json', 'tsconfig.json', 'scripts/bundle.mjs', ...filesUnder('lib')]);
  const stamp = 'build/.dist'; // not in dist/, which is published
  if (!force && isFresh(stamp, 'dist/index.js', sum)) return true;
  const next = 'dist.next';
  rmSync(next, { recursive: true, force: true });
  const compiled = timed('dist/ built', () => {
    return [
      [tsc, '-p', 'tsconfig.json', '--outDir', next],
      ['scripts/bundle.mjs', next],
    ].every((program) => {
      const { ok, output } = run(process.execPath, program);
      if (!ok) console.error(output);
      return ok;
    });
  });
  if (!compiled) return false;
  rmSync('dist', { recursive: true, force: true });
  renameSync(next, 'dist');
  writeStamp(stamp, sum);
  return true;
}

/** The CUDA sources as a backend on the host, for tests, which say so and skip where it could not be made. It shares build/ with the addon. */
function ensureCudaOnHost() {
  const sum = nativeSum();
  const stamp = '.host/build/.sources';
  if (isFresh(stamp, '.host/build/Release/hyper_know.node', sum) || !existsSync('build/CMakeCache.txt')) return true;
  timed('CUDA sources built for the host', () => {
    const { ok, output } = buildTarget('hyper_know_on_host');
    if (ok) writeStamp(stamp, sum);
    else say(`the CUDA sources could not be built for the host, their tests will be skipped:\n${output.split('\n').slice(-40).join('\n')}`);
    return ok;
  });
  return true;
}

const what = process.argv[2] ?? 'all';
const steps = {
  all: () => ensureDependencies() && ensureNative(false) && ensureTypeScript(false) && ensureCudaOnHost(),
  run: () => ensureDependencies() && ensureNative(false) && ensureTypeScript(false),
  build: () => ensureNative(false) && ensureTypeScript(false),
  native: () => ensureDependencies() && ensureNative(true),
  ts: () => ensureDependencies() && ensureTypeScript(true),
};
if (!Object.hasOwn(steps, what)) {
  console.error(`usage: node scripts/ensure.mjs [${Object.keys(steps).join(' | ')}]`);
  process.exitCode = 1;
} else if (!steps[what]()) process.exitCode = 1;
