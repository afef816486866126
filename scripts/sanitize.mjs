// The native core under sanitizers: AddressSanitizer with UndefinedBehaviorSanitizer and LeakSanitizer, and ThreadSanitizer, over test/native.
// Faults are planted, and must be reported.
//   node scripts/sanitize.mjs               address and thread: builds in .sanitize/, 2 minutes on 2 cores; expected last line
//                                           "sanitizers: N runs, 0 failed"
//   node scripts/sanitize.mjs address       one of them
//   node scripts/sanitize.mjs host          the CUDA sources on the host, every kernel under address: 5 minutes more
// Linux with gcc or clang, and cmake.
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

process.chdir(fileURLToPath(new URL('..', import.meta.url)));

const ADDRESS = 'address,undefined';

/** What a build runs: arguments, for which instruction sets; and faults, each with what its report must say. */
const PLANS = {
  address: {
    sanitizers: ADDRESS,
    runs: [
      ['kernels', 'training', 'threads', 'allocations'],
      ['avx2', 'kernels', 'training'],
      ['baseline', 'kernels', 'training'],
    ],
    faults: {
      off_by_one_write: /AddressSanitizer: heap-buffer-overflow/,
      off_by_one_read: /AddressSanitizer: heap-buffer-overflow/,
      use_after_free: /AddressSanitizer: heap-use-after-free/,
      leak: /1048576 byte\(s\) leaked/,
      undefined_behaviour: /signed integer overflow/,
      swallowed_allocation: /an allocation failed and no error came out/,
    },
  },
  thread: {
    sanitizers: 'thread',
    runs: [['kernels', 'training', 'threads']],
    faults: { race: /ThreadSanitizer: data race/ },
  },
};

const environment = {
  ...process.env,
  ASAN_OPTIONS: 'detect_leaks=1:strict_init_order=1',
  UBSAN_OPTIONS: 'halt_on_error=1:print_stacktrace=1',
  TSAN_OPTIONS: 'halt_on_error=1',
};

let [runs, failed] = [0, 0];

/** Counts a command that `passes` judges by its status and output; shows what it said where it failed. */
function attempt(label, command, args, passes = ({ status }) => status === 0, env = environment) {
  const began = performance.now();
  const { status, signal, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8', env, maxBuffer: 1 << 28 });
  const output = `${stdout ?? ''}${stderr ?? ''}${error ?? ''}`;
  const passed = passes({ status: status ?? signal ?? 'not started', output });
  ++runs;
  if (!passed) ++failed;
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  console.log(`sanitizers: ${passed ? 'ok' : 'FAILED'}  ${label}, ${seconds} s`);
  if (!passed) console.log(`status ${status ?? signal}\n${output.split('\n').slice(-60).join('\n')}`);
  return passed;
}

function build(folder, options, target) {
  mkdirSync(folder, { recursive: true });
  const configure = ['-S', '.', '-B', folder, '-DCMAKE_BUILD_TYPE=Release', '-DHK_CUDA=OFF', ...options];
  const parallel = ['--parallel', String(availableParallelism())];
  return (
    attempt(`${folder} is configured`, 'cmake', configure) &&
    attempt(`${target} is built`, 'cmake', ['--build', folder, '--target', target, ...parallel])
  );
}

function sanitize(name) {
  const { sanitizers, runs: wanted, faults } = PLANS[name];
  const folder = join('.sanitize', name);
  if (!build(folder, [`-DHK_SANITIZE=${sanitizers}`], 'core_selftest')) return;
  const program = join(folder, 'core_selftest');
  const clean = ({ status, output }) => status === 0 && /core selftest: \d+ checks, 0 failed\n$/.test(output);
  for (const args of wanted) {
    const isa = ['avx2', 'baseline'].includes(args[0]) ? args[0] : undefined;
    const env = isa === undefined ? environment : { ...environment, HYPER_KNOW_CPU: isa };
    attempt(`${name}: ${args.join(' ')}`, program, isa === undefined ? args : args.slice(1), clean, env);
  }
  for (const [fault, report] of Object.entries(faults))
    attempt(
      `${name}: planted ${fault} is reported`,
      program,
      ['plant', fault],
      ({ status, output }) => status !== 0 && report.test(output),
    );
}

function sanitizeHost() {
  const options = ['-DHK_CUDA_ON_HOST=ON', `-DHK_SANITIZE=${ADDRESS}`, `-DHK_CUDA_ON_HOST_SANITIZE=${ADDRESS}`];
  if (!build(join('.sanitize', 'host'), options, 'host_selftest')) return;
  const clean = ({ status, output }) => status === 0 && /host selftest: \d+ checks, 0 failed\n$/.test(output);
  attempt('host: every kernel, and its planted faults', join('.host', 'build', 'Release', 'host_selftest'), [], clean);
}

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => name !== 'host' && !Object.hasOwn(PLANS, name));
if (unknown.length > 0) {
  console.error(`usage: node scripts/sanitize.mjs [${Object.keys(PLANS).join('] [')}] [host]`);
  process.exit(2);
}
if (process.platform !== 'linux') {
  console.log('sanitizers: skipped, not on Linux');
  process.exit(0);
}
for (const name of wanted.length > 0 ? wanted : Object.keys(PLANS)) {
  if (name === 'host') sanitizeHost();
  else sanitize(name);
}
console.log(`sanitizers: ${runs} runs, ${failed} failed`);
process.exitCode = failed > 0 || runs === 0 ? 1 : 0;
