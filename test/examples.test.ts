// The API reference is what the docstrings say, and every example in them compiles against the package's types and runs on the built package.
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { apiReference, REFERENCE } from '../scripts/api-reference.ts';
import { folderWith } from './helpers.ts';

const documentation = suite('documentation');
const root = fileURLToPath(new URL('..', import.meta.url));
const { text, examples, problems } = apiReference();

documentation('everything that is exported has a docstring, every function an example', () => {
  assert.equal(problems, []);
});

documentation('lib/API.md is up to date', () => {
  assert.ok(readFileSync(REFERENCE, 'utf8') === text, 'lib/API.md is not: node --import tsx scripts/api-reference.ts --write');
});

/** What every example finds: a small shop as data set, trained model and tables, and all names of the package. */
const PRELUDE = `
const dataset = createDataset({
  interactions: [
    ['ann', 'lamp'], ['ann', 'desk'], ['bob', 'desk'], ['bob', 'chair'], ['cid', 'lamp'], ['cid', 'rug'],
  ].map(([user, item]) => ({ user: user!, item: item! })),
  triples: [
    ['lamp', 'designer', 'Studio North'], ['rug', 'designer', 'Studio North'], ['lamp', 'material', 'steel'],
    ['desk', 'material', 'oak'], ['chair', 'material', 'oak'], ['rug', 'material', 'wool'],
  ].map(([head, relation, tail]) => ({ head: head!, relation: relation!, tail: tail! })),
  test: [{ user: 'ann', item: 'rug' }, { user: 'bob', item: 'lamp' }],
}, { validationFraction: 0 });
const model = await train(dataset, { dim: 8, epochs: 5, batchSize: 4, seed: 1 });
await (await importTables({
  interactions: { path: 'orders.csv', user: 'customer', item: 'sku' },
  items: { path: 'catalogue.csv', item: 'sku', relations: ['brand'] },
})).save('shop');
`;

function program(folder: string): string {
  const from = (file: string): string =>
    relative(folder, join(root, 'dist', file))
      .split(sep)
      .join('/');
  const sources = ['index', 'kernels'].map((name) => readFileSync(join(root, 'lib', `${name}.ts`), 'utf8'));
  const functions = [...sources[1]!.matchAll(/^export function (\w+)/gm)].map(([, name]) => name!);
  return [
    `import { ${valuesOf(sources[0]!).join(', ')} } from '${from('index.js')}';`,
    `import { ${functions.join(', ')} } from '${from('kernels.js')}';`,
    PRELUDE,
    'const examples: [name: string, run: () => Promise<unknown>][] = [',
    ...examples.map(({ name, code }) => `[${JSON.stringify(name)}, async () => {\n${code}\n}],`),
    '];',
    'for (const [name, run] of examples) {',
    '  await run().catch((cause) => { throw new Error(["the example of", name, "fails"].join(" "), { cause }); });',
    '  console.log(["example of", name].join(" "), "ok");',
    '}',
    'export {};',
  ].join('\n');
}

/** The values among what an index re-exports. */
function valuesOf(index: string): string[] {
  return [...index.matchAll(/^export \{([^}]*)\} from/gm)].flatMap(([, list]) =>
    list!
      .split(',')
      .map((name) => name.trim())
      .filter((name) => name !== '' && !name.startsWith('type ')),
  );
}

const folder = folderWith({
  'orders.csv': `customer,sku,ts\n${Array.from({ length: 24 }, (_, i) => `C-${i % 6},S-${(i + Math.floor(i / 6)) % 5},${1000 + i}`).join('\n')}\n`,
  'catalogue.csv': `sku,brand,tags,price\n${[0, 1, 2, 3, 4].map((i) => `S-${i},Brand ${i % 2},red|soft,${10 * i}`).join('\n')}\n`,
});
const file = join(folder, 'examples.mts');

documentation('every example compiles', () => {
  assert.ok(examples.length > 40, `${examples.length} examples`);
  writeFileSync(file, program(folder));
  const options = ['--noEmit', '--strict', '--skipLibCheck', '--noUncheckedIndexedAccess', '--module', 'nodenext', '--target', 'es2023'];
  const types = ['--lib', 'es2023', '--types', 'node', '--typeRoots', join(root, 'node_modules', '@types'), '--ignoreConfig'];
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [join(root, 'node_modules/typescript/bin/tsc'), ...options, ...types, file],
    {
      encoding: 'utf8',
    },
  );
  assert.is(status, 0, stdout + stderr);
});

documentation('every example runs', () => {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--import', import.meta.resolve('tsx'), file], {
    cwd: folder,
    encoding: 'utf8',
  });
  assert.is(status, 0, stderr);
  assert.is(stdout.match(/^example of \S+ ok$/gm)?.length, examples.length);
});

documentation.run();
