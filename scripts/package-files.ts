// What the published package holds, from `npm pack`, in the form of test/package-files.txt, which `npm test` compares with it: a file a
// line, but what the compiler makes of one source file on one line. Prebuilds are left out: each platform's machine adds its own.
//   node --import tsx scripts/package-files.ts            (2 s; prints the list)
//   node --import tsx scripts/package-files.ts --write    puts it into test/package-files.txt, after a look at what is new
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const isPrebuild = (path: string): boolean => path.startsWith('prebuilds/');

export interface Packed {
  /** The paths of the files, prebuilds included, sorted. */
  paths: string[];
  /** Bytes of the tarball. */
  size: number;
}

/** What `npm pack` would put into the tarball. Nothing is built and no script is run. */
export function packed(): Packed {
  const npm = process.env.npm_execpath; // set by npm; else npm is taken from PATH
  const args = ['pack', '--dry-run', '--json', '--ignore-scripts'];
  const options = { cwd: root, maxBuffer: 1 << 26, shell: npm === undefined && process.platform === 'win32' };
  const output = npm ? execFileSync(process.execPath, [npm, ...args], options) : execFileSync('npm', args, options);
  const [{ files, size }] = JSON.parse(output.toString()) as [{ files: { path: string }[]; size: number }];
  return { paths: files.map(({ path }) => path).sort(), size };
}

const COMPILED = ['d.ts', 'd.ts.map', 'js', 'js.map'];

/** The lines of the list for these paths. */
export function listOf(paths: readonly string[]): string[] {
  const present = new Set(paths);
  const lines = paths
    .filter((path) => !isPrebuild(path))
    .map((path) => {
      const stem = /^(dist\/.*?)\.(?:d\.ts|js)(?:\.map)?$/.exec(path)?.[1];
      const made = COMPILED.filter((extension) => present.has(`${stem}.${extension}`));
      return made.length > 1 ? `${stem}.{${made.join(',')}}` : path;
    });
  return [...new Set(lines)].sort();
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const text = `${listOf(packed().paths).join('\n')}\n`;
  if (process.argv.includes('--write')) writeFileSync(join(root, 'test', 'package-files.txt'), text);
  else process.stdout.write(text);
}
