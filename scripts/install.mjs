// npm's "install" step, and `npm rebuild hyper-know`: keep a binary that loads, else build one from source.
//   HYPER_KNOW_BUILD=auto|prebuild|source|cuda|cpu   forces one way (auto: a binary that loads, else source; source: CUDA if there is nvcc)
// Runs before anything of this package is compiled: plain Node, no imports beyond it. ensure.mjs uses its two builds as well.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const require = createRequire(import.meta.url);
const shell = process.platform === 'win32';

export const say = (line) => console.log(`hyper-know: ${line}`);

/** Runs a tool and keeps its output, which is only of interest when it fails. */
export function run(command, args, options = {}) {
  const result = spawnSync(command, args, { cwd: root, encoding: 'utf8', shell, maxBuffer: 1 << 28, ...options });
  return { ok: result.status === 0, output: `${result.stdout ?? ''}${result.stderr ?? ''}${result.error?.message ?? ''}` };
}

/**
 * GPU generations for a build that is used on this machine: those of its cards; without a card the oldest one, whose PTX the driver
 * translates for any later card on first use. All of them, as prebuilds have, take minutes to compile.
 */
export function generationsHere() {
  const { ok, output } = run('nvidia-smi', ['--query-gpu=compute_cap', '--format=csv,noheader']);
  const cards = ok ? [...output.matchAll(/^(\d+)\.(\d)\s*$/gm)].map(([, major, minor]) => Number(major + minor)) : [];
  return cards.length === 0 ? '75' : [...new Set(cards)].sort((a, b) => a - b).join(';');
}

const cmakeJs = (...args) => run(process.execPath, [require.resolve('cmake-js/bin/cmake-js'), ...args]);

/** Prepares build/ for CMake with options of CMakeLists.txt; the line saying which build it is goes to `say`. */
function configure(options) {
  if (!run('cmake', ['--version']).ok) return { ok: false, output: 'cmake was not found' };
  const defines = Object.entries(options).map(([name, value]) => `--CD${name}=${value}`);
  let result = cmakeJs('configure', ...defines);
  if (!result.ok) {
    // What CMake remembers, a folder or a compiler, may have moved since.
    rmSync(join(root, 'build/CMakeCache.txt'), { force: true });
    rmSync(join(root, 'build/CMakeFiles'), { recursive: true, force: true });
    result = cmakeJs('configure', ...defines);
  }
  if (result.ok) say(/hyper-know: (.*build.*)/.exec(result.output)?.[1] ?? 'configured');
  return result;
}

/** Builds one target of CMakeLists.txt in build/, which is configured. */
export const buildTarget = (target) => cmakeJs('build', '--target', target, '--parallel', String(availableParallelism()));

/** Builds build/Release/hyper_know.node, CPU only, with node-gyp: a compiler and Python are enough. */
function buildWithNodeGyp() {
  const beside = join(dirname(process.execPath), '../lib/node_modules/npm/node_modules/node-gyp/bin/node-gyp.js');
  const nodeGyp = process.env.npm_config_node_gyp ?? (existsSync(beside) ? beside : undefined);
  const prefix = process.env.npm_config_nodedir ?? dirname(dirname(process.execPath)); // headers beside the running node: no download
  const args = ['rebuild', `--jobs=${availableParallelism()}`];
  if (existsSync(join(prefix, 'include/node/node_api.h'))) args.push(`--nodedir=${prefix}`);
  return nodeGyp === undefined ? run('node-gyp', args) : run(process.execPath, [nodeGyp, ...args]);
}

/** True if the addon loads: tried in a child process, since a binary that crashes on load must not take the install with it. */
const loads = () => run(process.execPath, ['-e', `require('node-gyp-build')(${JSON.stringify(root)})`]).ok;

/**
 * Builds the addon from source, with CMake if it can be had. `cuda` is HK_CUDA of CMakeLists.txt. node-gyp, CPU only, comes in where
 * CMake cannot be configured, and with `anyWay` also where the CMake build fails. Output is shown only on failure.
 */
export function buildFromSource(cuda, options = {}, anyWay = true) {
  const failures = [];
  const works = ({ ok, output }) => {
    if (ok && loads()) return true;
    failures.push(ok ? 'the addon was built, but does not load' : output);
    return false;
  };
  const configured = configure({ HK_CUDA: cuda, HK_CUDA_WANT: generationsHere(), ...options });
  if (works(configured.ok ? buildTarget('hyper_know') : configured)) return true;
  if (cuda !== 'ON' && (anyWay || !configured.ok)) {
    say(`${configured.ok ? 'the build with CMake failed' : 'CMake is not there or cannot be configured'}, trying node-gyp (CPU only)`);
    if (works(buildWithNodeGyp())) return true;
  }
  mkdirSync(join(root, 'build'), { recursive: true });
  writeFileSync(join(root, 'build/failure.log'), failures.join('\n----\n'));
  console.error(failures.map((text) => text.split('\n').slice(-60).join('\n')).join('\n----\n'));
  console.error('hyper-know: the native addon could not be built; all output is in build/failure.log');
  return false;
}

function main() {
  const want = process.env.HYPER_KNOW_BUILD ?? (process.env.npm_config_build_from_source === 'true' ? 'source' : 'auto');
  if (!['auto', 'prebuild', 'source', 'cuda', 'cpu'].includes(want)) {
    console.error(`hyper-know: HYPER_KNOW_BUILD is auto, prebuild, source, cuda or cpu, not '${want}'`);
    return 1;
  }
  const ensure = join(root, 'scripts/ensure.mjs'); // not published: this is a checkout, which also compiles its TypeScript
  if (want === 'auto' && existsSync(ensure))
    return spawnSync(process.execPath, [ensure, 'build'], { cwd: root, stdio: 'inherit' }).status ?? 1;
  if (want === 'auto' || want === 'prebuild') {
    if (loads()) return 0;
    if (want === 'prebuild') {
      console.error('hyper-know: no prebuilt binary loads here');
      return 1;
    }
  }
  return buildFromSource(want === 'cuda' ? 'ON' : want === 'cpu' ? 'OFF' : 'AUTO') ? 0 : 1;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exitCode = main();
