// The packed tarball in an empty folder, as a user has it: installed by npm and pnpm without any install script, imported, required, compiled
// against. The registry must be within reach for the dependencies; where it is not, these tests say so and skip.
//   HYPER_KNOW_FROM_SOURCE=1   also installs it where no prebuild fits, with CMake and with node-gyp: 5 minutes on two cores
import { chmodSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { folderWith, temporaryFolder } from './helpers.ts';
import { isOffline, npm, type Outcome, pnpm, prebuildPath, run, tarball } from './pack.ts';

const install = suite('installation');
const root = fileURLToPath(new URL('..', import.meta.url));

const consumer = {
  'package.json': '{ "private": true }',
  'esm.mjs': `
    import { loadDataset, Model, synthetic, train } from 'hyper-know';
    import { poincareDistance } from 'hyper-know/kernels';
    const model = await train(synthetic(), { epochs: 1, dim: 4, batchSize: 1024, backend: 'cpu' });
    await model.save('model.safetensors');
    const again = await Model.load('model.safetensors');
    const user = model.userIds[0];
    if (JSON.stringify(again.recommend(user, 3)) !== JSON.stringify(model.recommend(user, 3))) throw new Error('another model was loaded');
    console.log('esm', typeof loadDataset, model.recommend(user, 3).length, poincareDistance(Float32Array.of(0), Float32Array.of(0.5), 1).length);
  `,
  'cjs.cjs': `
    const { train, synthetic } = require('hyper-know');
    const { topK } = require('hyper-know/kernels');
    const version = require('hyper-know/package.json').version;
    train(synthetic(), { epochs: 1, dim: 4, batchSize: 1024, backend: 'cpu' }).then((model) => console.log('cjs', model.dim, typeof topK, version));
  `,
  'types.mts': `
    import { type EpochEvent, type Model, synthetic, train } from 'hyper-know';
    import { topK } from 'hyper-know/kernels';
    const model: Model = await train(synthetic(), { onEpoch: ({ loss }: EpochEvent) => void loss.toFixed(2) });
    const list: { item: string | number; distance: number }[] = model.recommend('ann', 3);
    const best: { items: Uint32Array; distances: Float32Array } = topK({ users: new Float32Array(2), items: new Float32Array(2), dim: 2, k: 1 });
    // @ts-expect-error a dimension is a number: the types are not any
    train(synthetic(), { dim: 'wide' });
    export { best, list };
  `,
  'types.cts': `
    import { synthetic, train } from 'hyper-know';
    export const loss: Promise<number> = Promise.resolve(train(synthetic(), { epochs: 1 })).then((model): number => model.dim);
  `,
};

const folders: string[] = [];
// Thousands of files each: left to the end of the process, it would take so long over them that it seemed to hang.
install.after(async () => {
  await Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true })));
});

/** A folder with a program in it and nothing else. */
function emptyFolder(): string {
  const folder = temporaryFolder();
  folders.push(folder);
  for (const [name, content] of Object.entries(consumer)) writeFileSync(join(folder, name), content);
  return folder;
}

const quiet = ['--ignore-scripts', '--no-audit', '--no-fund'];
const managers = {
  npm: (folder: string, packed: string): Promise<Outcome> => run(npm, ['install', ...quiet, packed], folder),
  pnpm: (folder: string, packed: string): Promise<Outcome> =>
    run(pnpm, ['add', '--ignore-scripts', '--store-dir', join(folder, '.store'), packed], folder),
} as const;

let packedOnce: Promise<string> | undefined;
const withPrebuild = (): Promise<string> => {
  packedOnce ??= tarball({ prebuild: true });
  return packedOnce;
};

const once: Partial<Record<keyof typeof managers, Promise<string | undefined>>> = {};

/** Where it is installed, the same folder each time; undefined, and said so, where that is impossible here. */
function installed(manager: keyof typeof managers): Promise<string | undefined> {
  once[manager] ??= freshlyInstalled(manager);
  return once[manager];
}

async function freshlyInstalled(manager: keyof typeof managers): Promise<string | undefined> {
  if (manager === 'pnpm' && !existsSync(pnpm)) {
    console.log('skipped: pnpm is not among the installed packages (npm ci)');
    return undefined;
  }
  const folder = emptyFolder();
  const { status, output } = await managers[manager](folder, await withPrebuild());
  if (status !== 0 && isOffline(output)) {
    console.log(`skipped: ${manager} cannot reach its registry`);
    return undefined;
  }
  assert.is(status, 0, output);
  return folder;
}

for (const manager of ['npm', 'pnpm'] as const)
  install(`${manager} --ignore-scripts in an empty folder: imported, required, typed, and the command runs`, async () => {
    const [folder] = await Promise.all([installed(manager), installed('npm'), installed('pnpm')]); // both at once: half the time
    if (folder === undefined) return;
    const inside = join(folder, 'node_modules', 'hyper-know');
    assert.ok(existsSync(join(inside, prebuildPath())) && !existsSync(join(inside, 'build')), 'nothing was built');

    assert.equal(await run(process.execPath, ['esm.mjs'], folder), { status: 0, output: 'esm function 3 1\n' });
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
    assert.equal(await run(process.execPath, ['cjs.cjs'], folder), { status: 0, output: `cjs 4 function ${version}\n` });
    const command = await run(process.execPath, [join(inside, 'dist', 'cli', 'main.js'), '--version'], folder);
    assert.equal(command, { status: 0, output: `${version}\n` });

    const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
    const compile = (module: string, resolution: string, files: readonly string[]) =>
      // Without libraries of Node or of the browser that this checkout happens to have; the declarations of the package are checked, too.
      run(
        process.execPath,
        [
          tsc,
          '--ignoreConfig',
          '--noEmit',
          '--strict',
          '--target',
          'es2022',
          '--types',
          '',
          '--skipLibCheck',
          'false',
          '--module',
          module,
          '--moduleResolution',
          resolution,
          ...files,
        ],
        folder,
      );
    const compiled = await Promise.all([
      compile('node16', 'node16', ['types.mts']),
      compile('nodenext', 'nodenext', ['types.mts', 'types.cts']),
      compile('esnext', 'bundler', ['types.mts']),
    ]);
    for (const outcome of compiled) assert.equal(outcome, { status: 0, output: '' });
  });

(process.platform === 'linux' ? install : install.skip)('the prebuild needs no library of CUDA: what it has of it is inside', async () => {
  const folder = await installed('npm');
  if (folder === undefined) return;
  const { status, output } = await run('ldd', [join(folder, 'node_modules', 'hyper-know', prebuildPath())], folder);
  assert.is(status, 0, output);
  assert.not.match(output, /libcuda|libnv|not found/);
});

install('the install step keeps a prebuild that loads, and builds nothing', async () => {
  const folder = await installed('npm');
  if (folder === undefined) return;
  const inside = join(folder, 'node_modules', 'hyper-know');
  assert.equal(await run(process.execPath, [join(inside, 'scripts', 'install.mjs')], inside), { status: 0, output: '' });
  assert.not.ok(existsSync(join(inside, 'build')));
});

install(
  'planted: a package without its declarations does not compile, one without its prebuild does not load and says what to do',
  async () => {
    const folder = await installed('npm');
    if (folder === undefined) return;
    const inside = join(folder, 'node_modules', 'hyper-know');
    rmSync(join(inside, 'dist', 'index.d.ts'));
    const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
    const args = [tsc, '--ignoreConfig', '--noEmit', '--strict', '--module', 'nodenext', '--types', '', 'types.mts'];
    assert.is.not((await run(process.execPath, args, folder)).status, 0);
    rmSync(join(inside, 'prebuilds'), { recursive: true });
    const { status, output } = await run(process.execPath, ['esm.mjs'], folder);
    assert.is.not(status, 0);
    assert.match(output, /ERR_HK_BACKEND[\s\S]*|native addon of hyper-know does not load/);
    assert.match(output, /npm rebuild hyper-know/);
  },
);

install('npm publish --dry-run has nothing to remark', async () => {
  const { status, output } = await run(npm, ['publish', '--dry-run', '--ignore-scripts'], root);
  if (status !== 0 && isOffline(output)) return console.log('skipped: npm cannot reach its registry');
  assert.is(status, 0, output);
  const remarks = output.split('\n').filter((line) => /^npm (warn|error)/i.test(line) && !/requires you to be logged in/.test(line));
  assert.equal(remarks, []);
});

/** PATH with a program in front that fails by this name. */
function pathWithout(name: string): string {
  const folder = folderWith({ [name]: '#!/bin/sh\nexit 127\n' });
  chmodSync(join(folder, name), 0o755);
  return `${folder}${delimiter}${process.env.PATH}`;
}

const onRequest = process.env.HYPER_KNOW_FROM_SOURCE === '1';
if (!onRequest) console.log('skipped: installations from source take minutes; HYPER_KNOW_FROM_SOURCE=1 runs them');
for (const [label, hasCMake] of [
  ['CMake', true],
  ['node-gyp, where there is no CMake', false],
] as const)
  (onRequest ? install : install.skip)(`where no prebuild fits, npm builds the addon from source with ${label}`, async () => {
    const folder = emptyFolder();
    const env = { HYPER_KNOW_BUILD: 'cpu', ...(hasCMake ? {} : { PATH: pathWithout('cmake') }) };
    const { status, output } = await run(npm, ['install', '--no-audit', '--no-fund', await tarball({ prebuild: false })], folder, env);
    assert.is(status, 0, output);
    const inside = join(folder, 'node_modules', 'hyper-know');
    assert.ok(existsSync(join(inside, 'build', 'Release', 'hyper_know.node')));
    assert.is(existsSync(join(inside, 'build', 'CMakeCache.txt')), hasCMake, 'which way it was built');
    assert.equal(await run(process.execPath, ['esm.mjs'], folder), { status: 0, output: 'esm function 3 1\n' });
  });

install.run();
