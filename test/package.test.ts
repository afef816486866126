// What the published package is: its scripts, its lock file, its files, the names it exports.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, posix } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { listOf, packed } from '../scripts/package-files.ts';

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

/** What a list of files has too much and too little. */
function differences(found: readonly string[], listed: readonly string[]): string[] {
  return [
    ...found.filter((line) => !listed.includes(line)).map((line) => `${line} is packed and not listed`),
    ...listed.filter((line) => !found.includes(line)).map((line) => `${line} is listed and not packed`),
  ];
}

const listed = text('test/package-files.txt').trimEnd().split('\n');
const { paths, size } = packed();

packaging('dependencies at run time are these eight; those that any program loads bring nothing with them', () => {
  const loaded = ['commander', 'csv-parse', 'hyparquet', 'hyparquet-writer', 'node-gyp-build', 'zod'];
  assert.equal(Object.keys(manifest.dependencies).sort(), [...loaded, 'cmake-js', 'node-addon-api'].sort());
  const lock = JSON.parse(text('package-lock.json'));
  for (const name of loaded) {
    const { dependencies = {}, hasInstallScript = false } = lock.packages[`node_modules/${name}`];
    assert.equal(
      Object.keys(dependencies).filter((other) => !loaded.includes(other)),
      [],
      name,
    );
    assert.is(hasInstallScript, false, name);
  }
});

packaging('SECURITY.md says how to report, what counts and which versions are supported', () => {
  const security = text('SECURITY.md');
  for (const heading of ['How to report', 'What counts', 'Supported versions', 'What is promised, and what is not kept'])
    assert.match(security, new RegExp(`^## ${heading}$`, 'm'));
  assert.match(security, /any crash is a vulnerability/);
});

packaging('the tarball holds what test/package-files.txt lists and nothing else', () => {
  assert.equal(differences(listOf(paths), listed), [], 'if that is meant: node --import tsx scripts/package-files.ts --write');
  for (const path of paths.filter((path) => path.startsWith('prebuilds/')))
    assert.match(path, /^prebuilds\/[\w-]+\/hyper-know\.[\w.]*node$/);
  assert.equal(
    listed.filter((line) =>
      /(^|\/)(test|data|runs|\.[^/{]+)(\/|$)|\.(tsbuildinfo|log|tgz|env)$/.test(line.replace(/^(dist|lib)\/data\//, '')),
    ),
    [],
    'tests, data sets, hidden files and what tools leave are not published',
  );
  assert.ok(size < 5_000_000, `${size} bytes packed`);
  console.log(`package: ${paths.length} files, ${(size / 1000).toFixed(0)} kB packed`);
});

packaging('planted: a file that is packed but not listed, one that is listed but not packed, one of the compiled ones', () => {
  const [some, compiled] = ['lib/index.ts', 'dist/artifact.{d.ts,d.ts.map,js,js.map}'];
  assert.ok(listed.includes(some) && listed.includes(compiled));
  assert.equal(differences(listOf([...paths, 'test/fixtures/kgat/train.txt']), listed), [
    'test/fixtures/kgat/train.txt is packed and not listed',
  ]);
  assert.equal(differences(listOf(paths.filter((path) => path !== some)), listed), [`${some} is listed and not packed`]);
  assert.is(differences(listOf(paths.filter((path) => path !== 'dist/artifact.js.map')), listed).length, 2);
});

/** What is wrong with a source map of dist/: its sources are to be files of the package, by relative paths. */
function faultsOfMap(path: string, content: string): string[] {
  const { sources, sourceRoot, sourcesContent } = JSON.parse(content) as {
    sources: string[];
    sourceRoot?: string;
    sourcesContent?: unknown;
  };
  const faults = sources
    .filter((source) => !paths.includes(posix.join(posix.dirname(path), source)) || posix.isAbsolute(source) || /^[\w+]+:/.test(source))
    .map((source) => `${path}: ${source} is no file of the package`);
  if (sourceRoot) faults.push(`${path}: has a sourceRoot, ${sourceRoot}`);
  if (sourcesContent) faults.push(`${path}: repeats its source`);
  return faults;
}

packaging('source maps lead to the sources of the package; no file has a path of the machine that packed it', () => {
  const maps = paths.filter((path) => path.endsWith('.map'));
  assert.ok(maps.length > 100, `${maps.length} maps`);
  assert.equal(
    maps.flatMap((path) => faultsOfMap(path, text(path))),
    [],
  );
  const here = [root, homedir()].map((path) => path.replace(/[\\/]+$/, '')).filter((path) => path.length > 1 && path !== '/root');
  assert.equal(
    paths.filter((path) => !path.startsWith('prebuilds/') && here.some((folder) => text(path).includes(folder))),
    [],
  );
});

packaging('planted: a source map with a path of this machine, and one with its source in it', () => {
  const fault = (map: object): string[] => faultsOfMap('dist/index.js.map', JSON.stringify(map));
  assert.is(fault({ sources: [join(root, 'lib/index.ts')] }).length, 1);
  assert.is(fault({ sources: [pathToFileURL(join(root, 'lib/index.ts')).href] }).length, 1);
  assert.is(fault({ sources: ['../lib/index.ts'], sourceRoot: root }).length, 1);
  assert.is(fault({ sources: ['../lib/index.ts'], sourcesContent: ['secret'] }).length, 1);
  assert.equal(fault({ sources: ['../lib/index.ts'] }), []);
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

/** The modules of dist/ that a program loads, in a process of its own. */
function loadedBy(program: string): string[] {
  const inline = (code: string) => `data:text/javascript,${encodeURIComponent(code)}`;
  const hooks = "export const load = (url, context, next) => (url.startsWith('file:') && process._rawDebug(url), next(url, context));";
  const register = `import { register } from 'node:module'; register(${JSON.stringify(inline(hooks))});`;
  const args = ['--import', inline(register), '--input-type=module', '-e', program];
  const { status, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', cwd: root });
  assert.is(status, 0, stderr);
  const dist = pathToFileURL(join(root, 'dist/')).href;
  return [...stderr.matchAll(/^file:.*$/gm)].filter(([url]) => url.startsWith(dist)).map(([url]) => url.slice(dist.length));
}

packaging('importing the package loads all it needs in one module, and the later ones find that one', () => {
  assert.equal(loadedBy("import 'hyper-know';"), ['index.js', 'core.js']);
  assert.equal(loadedBy("import 'hyper-know/kernels';"), ['kernels.js', 'core.js']);
  const [failure, wanted] = ["loadDataset('nowhere').catch((error) => error)", 'error instanceof HyperKnowError'];
  const program = `import { HyperKnowError, loadDataset } from 'hyper-know'; const error = await ${failure}; if (!(${wanted})) throw error;`;
  const later = loadedBy(program);
  assert.equal(later.slice(0, 2), ['index.js', 'core.js']);
  assert.ok(later.includes('data/formats/index.js') && new Set(later).size === later.length, later.join(' '));
});

packaging('planted: a module that the import loads besides', () => {
  const version = pathToFileURL(join(root, 'dist/version.js')).href;
  assert.equal(loadedBy(`import 'hyper-know'; import ${JSON.stringify(version)};`).sort(), ['core.js', 'index.js', 'version.js']);
});

packaging('what core.js holds has the names that the sources give it', async () => {
  const exported = Object.entries(await import('hyper-know')).filter(([, value]) => typeof value === 'function');
  assert.ok(exported.length > 10);
  assert.equal(
    exported.filter(([name, value]) => (value as { name: string }).name !== name).map(([name]) => name),
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
