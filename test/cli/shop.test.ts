// The README's section "From two CSV files to recommendations", run as it stands on a made-up shop; and what Ctrl-C leaves of a training.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { temporaryFolder } from '../helpers.ts';
import { writeShop } from './shop-files.ts';
import { hyperKnow } from './spawn.ts';

const shopping = suite('shop');
const folder = temporaryFolder();
const root = fileURLToPath(new URL('../..', import.meta.url));
const section = /^## From two CSV files to recommendations\n(.*?)^## /ms.exec(readFileSync(join(root, 'README.md'), 'utf8'))![1]!;

/** The arguments of the commands of the section's shell block. */
function commands(): string[][] {
  const block = /^```sh\n(.*?)^```$/ms.exec(section)![1]!.replaceAll('\\\n', ' ');
  return block
    .split('\n')
    .map((line) => line.replace(/\s#.*$/, '').trim())
    .filter((line) => line.startsWith('npx hyper-know '))
    .map((line) => [...line.slice('npx hyper-know '.length).matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain!));
}

let metrics: Record<string, Record<string, number>> = {};

shopping('the commands of the README, in order', async () => {
  writeShop(folder);
  const all = commands();
  assert.equal(
    all.map(([name]) => name),
    ['import', 'check', 'train', 'eval'],
  );
  for (const args of all) {
    const { status, stdout, stderr } = await hyperKnow(args[0] === 'eval' ? [...args, '--json'] : args, { cwd: folder });
    assert.is(status, 0, stderr);
    if (args[0] === 'import') {
      assert.match(stdout, /^interactions: 9,000 rows → [\d,]+ distinct pairs → /m);
      assert.match(stdout, /^category +200 +200 +4 +25\.0 %$/m);
    }
    if (args[0] === 'eval') metrics = JSON.parse(stdout);
  }
  assert.equal(
    readdirSync(join(folder, 'shop')).filter((name) => !/^shop\.((train|valid|test)\.inter|kg|link|import\.json)$/.test(name)),
    [],
  );
  assert.not.ok(existsSync(join(folder, 'shop.safetensors.checkpoint')), 'nothing to continue from after the end');
  // Of 200 items 50 are of a customer's taste: guessing finds 10 % of them among 20, taste alone about 40 %.
  assert.ok(metrics.recall![20]! > 0.25, `recall@20 ${metrics.recall![20]}`);
});

shopping('the program of the README', () => {
  const code = /^```javascript\n(.*?)^```$/ms.exec(section)![1]!;
  const file = join(folder, 'serve.mts');
  writeFileSync(file, code.replaceAll("from 'hyper-know'", `from ${JSON.stringify(new URL('../../lib/index.ts', import.meta.url).href)}`));
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--import', import.meta.resolve('tsx'), file], {
    cwd: folder,
    encoding: 'utf8',
  });
  assert.is(status, 0, stderr);
  assert.match(stdout, /SKU-\d+/);
  assert.match(stdout, /category:/);
});

shopping('importing again is refused, and done with --force', async () => {
  const [args] = commands();
  const again = await hyperKnow(args!, { cwd: folder });
  assert.is(again.status, 3, again.stderr);
  assert.match(again.stderr, /shop: is there already/);
  assert.is((await hyperKnow([...args!, '--force', '--quiet'], { cwd: folder })).status, 0);
});

shopping('import as JSON; a wrong column, a wrong option', async () => {
  const [args] = commands();
  const { stdout } = await hyperKnow([...args!, '--force', '--json'], { cwd: folder });
  const report = JSON.parse(stdout);
  assert.is(report.schema, 'hyper-know/import/1');
  assert.is(report.rows, 9000);
  assert.equal(
    report.files.map(({ name }: { name: string }) => name),
    ['orders.csv', 'catalogue.csv'],
  );
  const column = await hyperKnow(['import', '--interactions', 'orders.csv', '--user', 'client', '--item', 'sku', '--out', 'x'], {
    cwd: folder,
  });
  assert.is(column.status, 3);
  assert.match(column.stderr, /orders\.csv, line 1: the column "client" is not there; there are "customer", "sku", "ts"/);
  const option = await hyperKnow([...args!, '--bins', 'weight=3'], { cwd: folder });
  assert.is(option.status, 2);
  assert.match(option.stderr, /--bins: weight is none of --relations/);
});

for (const [label, options, expected] of [
  ['by a time that no column has', ['--split', 'time'], /--split: 'time' needs --time$/m],
  ['with ratings and no least one', ['--rating', 'ts'], /--min-rating: goes with --rating, and that with it$/m],
  ['parted by two characters', ['--delimiter', ';;'], /--delimiter: must be one character, no quote or line end, got ";;"$/m],
  ['with one class', ['--items', 'catalogue.csv', '--relations', 'price', '--bins', 'price=1'], /--bins: must be an integer from 2/],
] as const)
  shopping(`import ${label}: status 2, and the option is named as it is on the command line`, async () => {
    const args = ['import', '--interactions', 'orders.csv', '--user', 'customer', '--item', 'sku', ...options, '--out', 'x'];
    const { status, stderr } = await hyperKnow(args, { cwd: folder });
    assert.is(status, 2, stderr);
    assert.match(stderr, expected);
  });

shopping('import of interactions alone: no table of relations that are not there', async () => {
  const args = ['import', '--interactions', 'orders.csv', '--user', 'customer', '--item', 'sku', '--out', 'alone'];
  const { status, stdout, stderr } = await hyperKnow(args, { cwd: folder });
  assert.is(status, 0, stderr);
  assert.match(stdout, /^knowledge graph: 0 triples, 0 relations, 200 entities \(items included\)\nwrote alone$/m);
  assert.match(stderr, /there is no knowledge: --items with --relations, or --triples, would add some/);
});

shopping('check finds a leak between the splits: status 3', async () => {
  const leaky = temporaryFolder();
  writeFileSync(join(leaky, 'train.txt'), '0 0 1\n1 1 2\n');
  writeFileSync(join(leaky, 'test.txt'), '0 1\n1 0\n');
  const { status, stdout } = await hyperKnow(['check', leaky, '--json', '--quiet']);
  assert.is(status, 3);
  const { findings, schema } = JSON.parse(stdout);
  assert.is(schema, 'hyper-know/check/1');
  assert.ok(findings.some(({ level, code }: { level: string; code: string }) => level === 'error' && code === 'test-in-train'));
});

shopping('Ctrl-C and SIGTERM write the checkpoint, status 130 and 143; --resume comes to the same bits', async () => {
  const options = ['--epochs', '60', '--dim', '16', '--batch-size', '512', '--evaluate-every', '1', '--no-early-stopping'];
  const whole = await hyperKnow(['train', 'shop', '--out', 'whole.safetensors', ...options], { cwd: folder });
  assert.is(whole.status, 0, whole.stderr);

  for (const [signal, status] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const) {
    let sent = false;
    const out = `${signal}.safetensors`;
    const args = ['train', 'shop', '--out', out, ...options];
    const stopped = await hyperKnow(args, {
      cwd: folder,
      watch: (child, stderr) => {
        if (sent || !stderr.includes('epoch 5/60')) return;
        sent = true;
        child.kill(signal);
      },
    });
    assert.is(stopped.status, status, stopped.stderr);
    assert.ok(stopped.stderr.includes(`checkpoint written: ${out}.checkpoint; the same command with --resume continues`), stopped.stderr);
    assert.not.ok(existsSync(join(folder, out)), 'no model yet');
    assert.not.match(stopped.stderr, /epoch 60\/60/);

    const resumed = await hyperKnow([...args, '--resume'], { cwd: folder });
    assert.is(resumed.status, 0, resumed.stderr);
    assert.not.match(resumed.stderr, /epoch 1\/60/);
    assert.ok(readFileSync(join(folder, out)).equals(readFileSync(join(folder, 'whole.safetensors'))));
  }
});

shopping('who stops reading is no error', () => {
  const script = `set -o pipefail; "${process.execPath}" --import ${import.meta.resolve('tsx')} "${join(root, 'lib/cli/main.ts')}" config-schema | head -c 10`;
  const { status, stdout, stderr } = spawnSync('bash', ['-c', script], { encoding: 'utf8' });
  assert.is(stdout.length, 10);
  assert.equal([status, stderr], [0, '']);
});

shopping.run();
