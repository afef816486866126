// The workflows of GitHub Actions: what they may do, what they run of others, and which platforms they build for.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parse } from 'yaml';

const folder = fileURLToPath(new URL('../.github/workflows', import.meta.url));
const workflows = suite('workflows');

interface Step {
  uses?: string;
  run?: string;
  with?: Record<string, unknown>;
}

interface Job {
  permissions?: unknown;
  container?: string | { image: string };
  env?: Record<string, unknown>;
  needs?: string | string[];
  steps?: Step[];
  'timeout-minutes'?: number;
  'runs-on'?: string;
  strategy?: { matrix?: Record<string, unknown> & { include?: Record<string, string>[] } };
}

interface Workflow {
  on?: Record<string, unknown> | string | string[];
  permissions?: unknown;
  jobs?: Record<string, Job>;
}

/** What a job may do beyond reading the repository, and which does. */
const MORE: Readonly<Record<string, Readonly<Record<string, string>>>> = { publish: { 'id-token': 'write' } };

/** `job: what is wrong` for everything in a workflow that gives more away than it must. */
function faultsOf(text: string): string[] {
  const { on, permissions, jobs = {} } = parse(text) as Workflow;
  const faults: string[] = [];
  const triggers = typeof on === 'string' ? [on] : Array.isArray(on) ? on : Object.keys(on ?? {});
  for (const trigger of triggers)
    if (!['push', 'pull_request', 'workflow_dispatch'].includes(trigger))
      faults.push(`on: ${trigger} runs what strangers send with our rights`);
  if (JSON.stringify(permissions) !== '{}') faults.push('permissions: are not {} for the whole workflow');
  if (/\bsecrets\b/.test(text)) faults.push('a secret is used');
  for (const line of text.split('\n'))
    if (/^\s*(- )?uses:/.test(line) && !/ # v\d+\.\d+\.\d+$/.test(line)) faults.push(`${line.trim()} does not say its version`);
  if (Object.keys(jobs).length === 0) faults.push('there is no job');

  for (const [name, job] of Object.entries(jobs)) {
    const say = (what: string) => faults.push(`${name}: ${what}`);
    const wanted = { contents: 'read', ...MORE[name] };
    if (JSON.stringify(job.permissions) !== JSON.stringify(wanted)) say(`permissions are not ${JSON.stringify(wanted)}`);
    if (!(Number(job['timeout-minutes']) <= 60)) say('may run for hours');
    const machines = [
      job['runs-on'],
      ...Object.values(job.strategy?.matrix ?? {}).flat(),
      ...(job.strategy?.matrix?.include ?? []).map(({ os }) => os),
    ];
    if (machines.some((machine) => typeof machine === 'string' && machine.endsWith('-latest'))) say('runs on whatever is the latest');
    const image = typeof job.container === 'object' ? job.container.image : job.container;
    const images = [
      ...(image === undefined ? [] : [image]),
      ...Object.entries(job.env ?? {}).flatMap(([key, value]) => (key === 'IMAGE' ? [String(value)] : [])),
    ];
    for (const one of images) if (!/@sha256:[0-9a-f]{64}$/.test(one)) say(`${one} is not pinned by digest`);
    for (const { uses, run, with: options } of job.steps ?? []) {
      if (uses !== undefined) {
        if (!/^[\w.-]+\/[\w./-]+@[0-9a-f]{40}$/.test(uses)) say(`${uses} is not pinned by a full commit`);
        if (uses.startsWith('actions/checkout@') && options?.['persist-credentials'] !== false) say('leaves its token in the checkout');
      }
      if (run === undefined) continue;
      if (/\$\{\{/.test(run)) say('pastes an expression into a script');
      if (/\bnpm (ci|i|install)\b(?!.*--ignore-scripts)/.test(run)) say('runs the install scripts of dependencies');
      if (/\bnpm publish\b/.test(run) && !/--provenance\b/.test(run)) say('publishes without provenance');
      if (/\bdocker run\b/.test(run) && !/"\$IMAGE"/.test(run)) say('runs an image other than that of IMAGE');
      if (/\b(curl|wget)\b/.test(run)) say('downloads something by hand');
    }
  }
  return faults;
}

const all = new Map(readdirSync(folder).map((file) => [file, readFileSync(join(folder, file), 'utf8')]));

for (const [file, text] of all)
  workflows(`${file}: least permissions, actions by commit, images by digest, no secret`, () => {
    assert.equal(faultsOf(text), []);
    assert.ok(Object.keys((parse(text) as Workflow).jobs ?? {}).length > 0);
  });

const planted: readonly [label: string, from: string | RegExp, to: string, expected: RegExp][] = [
  ['an action by its tag', /(actions\/checkout)@\w+/, '$1@v6', /checkout@v6 is not pinned/],
  ['an action by an abbreviated commit', /(actions\/setup-node@\w{7})\w+/, '$1', /is not pinned by a full commit/],
  ['an action without its version', / # v6\.0\.2/, '', /does not say its version/],
  ['no permissions at the top', 'permissions: {}', '', /permissions: are not \{\}/],
  ['all permissions', 'permissions: {}', 'permissions: write-all', /permissions: are not \{\}/],
  ['a job that may write', '      contents: read', '      contents: write', /permissions are not \{"contents":"read"/],
  ['a job without permissions of its own', /\n {4}permissions:\n {6}contents: read\n {4}(?=strategy|#)/, '\n    ', /permissions are not/],
  ['a trigger with our rights on what strangers send', /^on:$/m, 'on:\n  pull_request_target:', /pull_request_target/],
  ['an image by its tag', /@sha256:\w+/, '', /is not pinned by digest/],
  ['an expression in a script', 'run: npm ci', 'run: echo $' + '{{ github.event.head_commit.message }} && npm ci', /pastes an expression/],
  ['install scripts', ' --ignore-scripts --no-audit', ' --no-audit', /install scripts/],
  ['no provenance', ' --provenance', '', /without provenance/],
  ['a token', 'npm publish', 'NODE_AUTH_TOKEN=$TOKEN npm publish # secrets', /a secret is used/],
  ['a token left in the checkout', 'persist-credentials: false', 'persist-credentials: true', /leaves its token/],
  ['the latest machine', 'ubuntu-24.04', 'ubuntu-latest', /whatever is the latest/],
  ['no end', /timeout-minutes: \d+/, 'timeout-minutes: 600', /may run for hours/],
];

workflows('planted: each of these is found', () => {
  for (const [label, from, to, expected] of planted) {
    const touched = [...all.values()].map((text) => [text, text.replace(from, to)] as const).filter(([before, after]) => before !== after);
    assert.ok(touched.length > 0, `${label}: no workflow holds ${from}`);
    for (const [, after] of touched) assert.match(faultsOf(after).join('\n'), expected, label);
  }
});

workflows('a version is published with a prebuild of every platform that is promised, and tests run on three systems', () => {
  const { jobs = {} } = parse(all.get('prebuild.yml')!) as Workflow;
  const built = ['cpu', 'musl'].flatMap((job) => jobs[job]?.strategy?.matrix?.include?.map(({ platform }) => platform) ?? []);
  const uploaded = jobs.cuda?.steps?.map(({ with: options }) => options?.name).filter((name) => name !== undefined) ?? [];
  assert.equal(uploaded, ['prebuild-linux-x64-glibc']);
  assert.ok(
    jobs.cuda?.steps?.some(({ run }) => run === 'npm run prebuild:linux'),
    'the one with CUDA',
  );
  assert.equal(built.sort(), ['darwin-arm64', 'darwin-x64', 'linux-arm64-glibc', 'linux-arm64-musl', 'linux-x64-musl', 'win32-x64']);
  assert.equal(jobs.publish?.needs, ['cuda', 'cpu', 'musl']);
  const listed = /<<'LIST'\n([\s\S]*?)LIST/
    .exec(jobs.publish?.steps?.find(({ run }) => run?.includes('LIST'))?.run ?? '')?.[1]
    ?.trim()
    .split('\n');
  const files = [...built, 'linux-x64-glibc'].map((platform) => platform!.replace(/-(glibc|musl)$/, '/$1').split('/'));
  assert.equal(listed, files.map(([at, libc]) => `./${at}/hyper-know${libc ? `.${libc}` : ''}.node`).sort());

  const tests = (parse(all.get('ci.yml')!) as Workflow).jobs ?? {};
  const systems = ['linux', 'cpu']
    .flatMap((job) => [tests[job]?.['runs-on'], ...((tests[job]?.strategy?.matrix?.os as string[]) ?? [])])
    .join(' ');
  for (const system of ['ubuntu', 'macos', 'windows']) assert.ok(systems.includes(system), system);
});

workflows.run();
