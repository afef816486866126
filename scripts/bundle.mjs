// Puts all that importing the package loads, some fifty modules of dist/, into one file, core.js: finding and linking a module takes Node a
// millisecond, and that was most of the time of an import. What is loaded later stays as it is.
//   node scripts/bundle.mjs FOLDER      (0.3 s; `npm run build:ts` does it, after the compiler)
// Each of these modules then hands on what core.js has of it, so that every path of dist/ still leads to the same functions and classes.
import { rmSync, writeFileSync } from 'node:fs';
import { join, posix, relative, resolve, sep } from 'node:path';
import { build } from 'esbuild';

const ENTRIES = ['index.js', 'kernels.js'];

const dist = resolve(process.argv[2] ?? '');
const inDist = (path) => relative(dist, path).split(sep).join('/');

/** An import() stays one, of the same file seen from core.js. */
const laterImports = {
  name: 'later imports',
  setup: ({ onResolve }) =>
    onResolve({ filter: /^\./ }, ({ kind, path, resolveDir }) =>
      kind === 'dynamic-import' ? { path: `./${inDist(resolve(resolveDir, path))}`, external: true } : undefined,
    ),
};

const settings = {
  ...{ absWorkingDir: dist, bundle: true, format: 'esm', platform: 'node', target: 'node20', packages: 'external', keepNames: true },
  ...{ plugins: [laterImports], metafile: true, logLevel: 'warning' },
};

/** The modules that the entries load, and what each exports. */
async function modules() {
  const found = await build({ ...settings, entryPoints: ENTRIES, outdir: dist, write: false });
  const paths = Object.keys(found.metafile.inputs);
  const each = await build({ ...settings, entryPoints: paths, outdir: dist, outbase: dist, write: false });
  return Object.entries(each.metafile.outputs).map(([path, { exports }]) => ({ path, exports }));
}

/** What a module's export is called in core.js. */
const nameOf = (path, name) => `${path.replace(/\.js$/, '').replace(/\W/g, '_')}$${name}`;

const all = await modules();
const lines = all.map(({ path, exports }) => {
  const names = exports.map((name) => `${name} as ${nameOf(path, name)}`);
  return `export { ${names.join(', ')} } from './${path}';`;
});
await build({
  ...settings,
  stdin: { contents: lines.join('\n'), resolveDir: dist, sourcefile: 'modules.js' },
  outfile: join(dist, 'core.js'),
  sourcemap: true,
  sourcesContent: false,
});
for (const { path, exports } of all) {
  const names = exports.map((name) => `${nameOf(path, name)} as ${name}`);
  const core = posix.relative(posix.dirname(path), 'core.js');
  writeFileSync(join(dist, path), `export { ${names.join(', ')} } from '${core.startsWith('.') ? core : `./${core}`}';\n`);
  rmSync(join(dist, `${path}.map`)); // it was of what is in core.js now
}
