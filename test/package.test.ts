// What the published package is: its scripts, its lock file, its files, the names it exports.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';

const root = fileURLToPath(new URL('..', import.meta.url));
const text = (file: string): string => readFileSync(join(root, file), 'utf8');
const manifest = JSON.parse(text('package.json'));
const packaging = suite('package');

packaging('an installation runs the one install script and nothing else', () => {
  assert.is(manifest.scripts.install, 'node scripts/install.mjs');
  const atInstall = ['preinstall', 'postinstall', 'prepare', 'preprepare', 'postprepare', 'prepublish'];
  assert.equal(
    atInstall.filter((name) => name in manifest.scripts),
    [],
  );
  assert.is(manifest.gypfile, false);
});

packaging('the lock file holds integrity and no download address', () => {
  const lock = JSON.parse(text('package-lock.json'));
  const packages = Object.entries<{ integrity?: string; resolved?: string }>(lock.packages).filter(([path]) => path !== '');
  assert.ok(packages.length > 50, `${packages.length} packages`);
  for (const [path, { integrity, resolved }] of packages) {
    assert.is(resolved, undefined, `${path} has a download address`);
    assert.match(integrity ?? '', /^sha512-/, `${path} has an integrity hash`);
  }
  assert.is(lock.version, manifest.version);
  assert.match(text('.npmrc'), /^omit-lockfile-registry-resolved=true$/m);
});

packaging('the tarball holds what is listed here and nothing else', () => {
  const npm = process.env.npm_execpath; // set by npm; a plain `node scripts/test.mjs` takes npm from PATH
  const args = ['pack', '--dry-run', '--json', '--ignore-scripts'];
  const output = npm ? execFileSync(process.execPath, [npm, ...args], { cwd: root }) : execFileSync('npm', args, { cwd: root });
  const [{ files, size }] = JSON.parse(output.toString()) as [{ files: { path: string }[]; size: number }];
  const allowed = [
    /^(package\.json|README\.md|LICENSE|CHANGELOG\.md|binding\.gyp|CMakeLists\.txt|scripts\/install\.mjs)$/,
    /^dist\/[\w/-]+\.(js|js\.map|d\.ts|d\.ts\.map)$/,
    /^lib\/[\w/-]+\.ts$/,
    /^(native|lib|lib\/cli)\/README\.md$|^lib\/API\.md$/,
    /^native\/[\w/]+\.(h|cc|cu|cuh)$/,
    /^prebuilds\/[\w-]+\/hyper-know\.[\w.]*node$/,
  ];
  const paths = files.map(({ path }) => path);
  assert.equal(
    paths.filter((path) => !allowed.some((pattern) => pattern.test(path))),
    [],
  );
  const required = [
    'README.md',
    'LICENSE',
    'CHANGELOG.md',
    'dist/index.js',
    'dist/index.d.ts',
    'dist/kernels.js',
    'dist/kernels.d.ts',
    'lib/index.ts',
  ];
  const sources = [
    'native/src/backend.h',
    'native/src/addon/addon.cc',
    'native/cuda/cuda_backend.cu',
    'scripts/install.mjs',
    'CMakeLists.txt',
    'binding.gyp',
  ];
  assert.equal(
    [...required, ...sources].filter((path) => !paths.includes(path)),
    [],
  );
  assert.ok(size < 5_000_000, `${size} bytes packed`);
});

packaging('a source file in lib/ has its compiled twin in dist/', () => {
  for (const name of ['index', 'kernels', 'native', 'errors']) {
    const map = JSON.parse(text(`dist/${name}.js.map`));
    assert.equal(map.sources, [`../lib/${name}.ts`]);
  }
});

packaging('hyper-know exports its names, by self-reference', async () => {
  const names = Object.keys(await import('hyper-know'));
  const wanted = ['loadDataset', 'createDataset', 'synthetic', 'train', 'evaluate', 'Model', 'backends', 'HyperKnowError'];
  assert.equal(
    wanted.filter((name) => !names.includes(name)),
    [],
  );
});

packaging('hyper-know/kernels exports its names, by self-reference', async () => {
  const names = Object.keys(await import('hyper-know/kernels'));
  const wanted = ['poincareDistance', 'poincareDistanceGradient', 'neighborhood', 'neighborhoodGradient', 'hypergradient', 'topK'];
  assert.equal(
    wanted.filter((name) => !names.includes(name)),
    [],
  );
});

packaging('nothing else can be imported', async () => {
  const hidden: string = 'hyper-know/dist/native.js';
  const error = await import(hidden).then(
    () => undefined,
    (reason: NodeJS.ErrnoException) => reason,
  );
  assert.is(error?.code, 'ERR_PACKAGE_PATH_NOT_EXPORTED');
});

packaging.run();
