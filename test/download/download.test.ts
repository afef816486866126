// `npm run reproduce -- --dataset NAME` fetches published files: from servers that lie, that stop in the middle, that are not there. No test
// here asks any other machine. Without openssl, which makes the certificate of the servers, they skip and say so.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { loadDataset } from '../../lib/data/dataset.ts';
import { DATASETS, publishedDataset } from '../../scripts/reproduce/download/published-files.ts';
import { contentOf } from '../failing-files.ts';
import { dataFolder, fixture, temporaryFolder } from '../helpers.ts';
import { archives, ofUnix, zipWith } from './archives.ts';
import { against, attempt, checkerboard, faultsOf, graph, honest, published, sha256 } from './attempt.ts';
import { but, changed, cutting, lies } from './lies.ts';
import { certificate, files } from './server.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const download = suite('download');
const canServe = certificate() !== undefined;
if (!canServe) console.log('skipped: there is no openssl to make the certificate of a test server; downloads are not tested');
const served = canServe ? download : download.skip;

served('an honest server: the files, verified, and where they are from; a second run asks nobody', () =>
  against(files(honest), async (server) => {
    const shown: string[] = [];
    const seen: [string, boolean][] = [];
    const { error, parent } = await attempt(server, {
      acceptTerms: (terms) => shown.push(terms) > 0,
      onFile: ({ name, pinned }) => seen.push([name, pinned]),
    });
    assert.is(error, undefined, error?.stack);
    assert.equal(shown, [checkerboard.terms]);
    assert.equal(seen, [
      ['train.txt', true],
      ['test.txt', false],
      ['kg_final.txt.zip', false],
    ]);
    assert.equal(readdirSync(parent).sort(), ['beside.txt', 'data']);
    assert.equal(readdirSync(join(parent, 'data')).sort(), ['SOURCE.json', 'kg_final.txt.zip', 'test.txt', 'train.txt']);
    const record = JSON.parse(readFileSync(join(parent, 'data', 'SOURCE.json'), 'utf8'));
    assert.equal(record.files[2], {
      ...{
        name: 'kg_final.txt.zip',
        url: `${server.origin}/data/kg_final.txt.zip`,
        bytes: graph.length,
        sha256: sha256(graph),
        pinned: false,
      },
    });
    const [fetched, original] = [await loadDataset(join(parent, 'data')), await loadDataset(fixture('kgat'))];
    for (const part of ['train', 'validation', 'test', 'triples'] as const) assert.equal(fetched[part], original[part], part);

    const asked = server.requests.length;
    assert.is((await attempt(server, { parent, acceptTerms: () => false })).error, undefined);
    assert.is(server.requests.length, asked);
  }),
);

served(`a server that lies is refused within 30 s, and nothing is left behind: ${lies.length} ways`, async () => {
  const outcomes = await Promise.all(
    lies.map(([label, handler, expected]) =>
      against(handler, async (server) => {
        const outcome = await attempt(server);
        return { seconds: outcome.seconds, faults: faultsOf(outcome, expected).map((fault) => `${label}: ${fault}`) };
      }),
    ),
  );
  assert.equal(
    outcomes.flatMap(({ faults }) => faults),
    [],
  );
  const slowest = Math.max(...outcomes.map(({ seconds }) => seconds));
  console.log(`downloads: ${lies.length} of ${lies.length} lies refused, the slowest after ${slowest.toFixed(1)} s`);
});

served('a certificate that nobody vouches for is refused', () =>
  against(files(honest), async ({ origin }) => {
    assert.equal(faultsOf(await attempt({ origin, ca: '' }, { ca: undefined as unknown as string }), /self-signed certificate/), []);
  }),
);

served('planted: what is accepted, what comes too late and what is left behind would be seen', () =>
  against(files(honest), async (server) => {
    const accepted = faultsOf(await attempt(server), /./);
    assert.is(accepted[0], 'it was accepted');
    assert.ok(accepted.some((fault) => fault.startsWith('left behind: data')));
    const refused = await against(lies[0]![1], (liar) => attempt(liar));
    assert.equal(faultsOf(refused, lies[0]![2]), []);
    assert.is(faultsOf(refused, /another reason/).length, 1);
    assert.is(faultsOf({ ...refused, seconds: 31 }, lies[0]![2]).length, 1);
    writeFileSync(join(refused.parent, '.data.partial'), '');
    assert.is(faultsOf({ ...refused, after: contentOf(refused.parent) }, lies[0]![2]).length, 1);
  }),
);

served(`a hostile archive is refused and leaves no trace: ${archives.length} kinds`, async () => {
  const faults: string[] = [];
  for (const [label, zip, expected] of archives)
    await against(files({ ...honest, 'kg_final.txt.zip': zip }), async (server) => {
      faults.push(...faultsOf(await attempt(server), expected).map((fault) => `${label}: ${fault}`));
    });
  assert.equal(faults, []);
  console.log(`downloads: ${archives.length} of ${archives.length} hostile archives refused`);
  await against(files({ ...honest, 'kg_final.txt.zip': zipWith(ofUnix(0o100000)) }), async (server) =>
    assert.is((await attempt(server)).error, undefined, 'a plain file with the attributes of Unix'),
  );
});

served('a connection that is cut is taken up where it ended', () =>
  against(cutting('train.txt', published['train.txt'], 30, 2), async (server) => {
    const { error } = await attempt(server);
    assert.is(error, undefined, error?.stack);
    assert.equal(
      server.requests.filter(({ url }) => url.endsWith('train.txt')).map(({ range }) => range),
      [undefined, 'bytes=30-', 'bytes=60-'],
    );
  }),
);

/** Fetches until the second file hangs after 20 bytes of it, then gives up as Ctrl-C does; the folder around. */
async function interrupted(version = '"1"'): Promise<string> {
  const hanging = but('test.txt', (_, response) => {
    response.writeHead(200, { etag: version, 'content-length': published['test.txt'].length });
    response.write(published['test.txt'].subarray(0, 20), () => setTimeout(() => stop.abort(), 50));
  });
  const stop = new AbortController();
  const { error, parent } = await against(hanging, (server) => attempt(server, { signal: stop.signal }));
  assert.is(error?.name, 'AbortError');
  return parent;
}
served('an interrupted run leaves what it has; the next one fetches the rest', async () => {
  const parent = await interrupted();
  assert.equal(readdirSync(join(parent, '.data.partial')).sort(), ['.test.txt.from', '.test.txt.part', '.train.txt.done', 'train.txt']);
  await against(files(honest), async (server) => {
    const from = join(parent, '.data.partial', '.test.txt.from');
    writeFileSync(from, JSON.stringify({ url: `${server.origin}/data/test.txt`, version: '"1"' })); // its port is another
    const { error } = await attempt(server, { parent });
    assert.is(error, undefined, error?.stack);
    assert.equal(server.requests, [
      { url: '/data/test.txt', range: 'bytes=20-' },
      { url: '/data/kg_final.txt.zip', range: undefined },
    ]);
    assert.equal(readdirSync(parent).sort(), ['beside.txt', 'data']);
  });
});

served('so does one that was killed while it wrote its notes', async () => {
  const parent = await interrupted();
  for (const note of ['.test.txt.from', '.train.txt.done']) writeFileSync(join(parent, '.data.partial', note), '{"url":"htt');
  await against(files(honest), async (server) => {
    const { error } = await attempt(server, { parent });
    assert.is(error, undefined, error?.stack);
    assert.equal(
      server.requests.map(({ range }) => range),
      [undefined, undefined, undefined],
    );
  });
});

served('what has changed since on the server or on the disk is fetched anew or refused, never mixed', async () => {
  for (const [label, spoil] of [
    ['another version there', () => {}],
    ['more here than there is', (folder: string) => writeFileSync(join(folder, '.test.txt.part'), Buffer.alloc(5000))],
  ] as const) {
    const parent = await interrupted('"old"');
    spoil(join(parent, '.data.partial'));
    await against(files(honest), async (server) => {
      writeFileSync(
        join(parent, '.data.partial', '.test.txt.from'),
        JSON.stringify({ url: `${server.origin}/data/test.txt`, version: '"old"' }),
      );
      const { error } = await attempt(server, { parent });
      assert.is(error, undefined, `${label}: ${error?.stack}`);
      assert.ok(readFileSync(join(parent, 'data', 'test.txt')).equals(published['test.txt']), label);
    });
  }
  const parent = await interrupted();
  writeFileSync(join(parent, '.data.partial', 'train.txt'), changed(published['train.txt'], '10', '11'));
  await against(files(honest), async (server) => {
    const { error, after } = await attempt(server, { parent });
    assert.match(error?.message ?? '', /the sha-256 of train\.txt is \w+, published is/);
    assert.equal(
      after.map((line) => line.split(' ')[0]),
      ['beside.txt'],
    );
  });
});

download('without a network: which files to put where; what an earlier run has stays', async () => {
  const { error, before, after, parent } = await attempt({ origin: 'https://localhost:1', ca: '' });
  assert.is(error?.reason, 'unreachable', error?.stack);
  if (canServe) {
    const started = await interrupted();
    const { before: partial, after: kept } = await attempt({ origin: 'https://localhost:1', ca: '' }, { parent: started });
    assert.ok(kept.some((line) => line.includes('.test.txt.part')));
    assert.equal(kept, partial);
  }
  for (const { name } of checkerboard.files) assert.ok(error?.message.includes(`from https://localhost:1/${name}`), error?.message);
  assert.ok(
    error?.message.includes(`into ${join(parent, 'data')}`) && error.message.includes('(or kg_final.txt, unpacked)'),
    error?.message,
  );
  assert.equal(after, before);

  mkdirSync(join(parent, 'data'));
  for (const [name, content] of Object.entries(published)) writeFileSync(join(parent, 'data', name), content);
  assert.is((await attempt({ origin: 'https://localhost:1', ca: '' }, { parent })).error, undefined, 'put there by hand');
});

download('a folder that holds something else is left as it is', async () => {
  const parent = temporaryFolder();
  mkdirSync(join(parent, 'data'));
  for (const [name, content] of Object.entries({ ...published, 'train.txt': changed(published['train.txt'], '10', '11') }))
    writeFileSync(join(parent, 'data', name), content);
  const wrong = await attempt({ origin: 'https://localhost:1', ca: '' }, { parent });
  assert.equal(faultsOf(wrong, /the sha-256 of train\.txt is[\s\S]*left as it is/, 'folder'), []);
  writeFileSync(join(parent, 'data', 'train.txt'), published['train.txt']);
  writeFileSync(join(parent, 'data', 'SOURCE.json'), JSON.stringify({ files: [{ name: 'test.txt', sha256: sha256(Buffer.from('')) }] }));
  assert.match(
    (await attempt({ origin: 'https://localhost:1', ca: '' }, { parent })).error?.message ?? '',
    /test\.txt is \w+, fetched was/,
  );
});

download('terms that nobody accepts: nothing is fetched', async () => {
  const { error, before, after } = await attempt({ origin: 'https://localhost:1', ca: '' }, { acceptTerms: () => false });
  assert.is(error?.reason, 'terms');
  assert.equal(after, before);
  if (existsSync(join(root, 'data', 'last-fm'))) return; // someone has fetched it here
  const args = ['--import', 'tsx', 'scripts/reproduce.ts', '--dataset', 'last-fm', '--out', temporaryFolder()];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  assert.is(status, 1, stderr);
  assert.is(stdout, '');
  assert.match(stderr, /the data are not passed on[\s\S]*the terms of last-fm were not accepted \(--accept-terms\)/);
  assert.not.match(stderr, /^ {4}at /m, 'no stack');
  assert.not.ok(existsSync(join(root, 'data')));
});

download('the published data sets: https, counts, and the digests of files that are at hand', () => {
  assert.equal(DATASETS, ['amazon-book', 'last-fm', 'yelp2018']);
  for (const name of DATASETS) {
    const { base, files: all, terms, counts } = publishedDataset(name);
    assert.match(base, new RegExp(`^https://raw\\.githubusercontent\\.com/.*/Data/${name}$`));
    assert.equal(
      all.map((file) => file.name.replace(/\.zip$/, '')),
      ['train.txt', 'test.txt', 'kg_final.txt'],
    );
    assert.match(terms, /research/);
    assert.ok(counts.triples > 400_000);
  }
  assert.throws(() => publishedDataset('ml-1m'), /--dataset: must be one of amazon-book, last-fm, yelp2018, got "ml-1m"/);
  const folder = dataFolder('amazon-book');
  for (const { name, bytes, sha256: digest } of publishedDataset('amazon-book').files.slice(0, 2)) {
    assert.match(digest ?? '', /^[0-9a-f]{64}$/);
    if (folder === undefined) continue;
    const content = readFileSync(join(folder, name));
    assert.is(content.length, bytes);
    assert.is(sha256(content), digest);
  }
});

download.run();
