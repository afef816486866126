// Every kernel of native/src/backend.h has exactly one CPU and one CUDA definition, in files of the same name; no file defines a
// kernel that the interface does not have; what the class declares private is none, but what several kernels share. What belongs
// together is read from the definitions. `npm test` checks it; so does
//   node --import tsx scripts/check-twins.ts         (1 s; expected: "twins: N kernels, no violation")
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, parse } from 'node:path';
import { fileURLToPath } from 'node:url';

interface Twin {
  backend: string;
  folder: string;
  extension: string;
  /** The file of the class itself: memory and waiting, no kernels. */
  frame: string;
}

const twins: readonly [Twin, Twin] = [
  { backend: 'CpuBackend', folder: 'native/src/cpu', extension: '.cc', frame: 'cpu_backend' },
  { backend: 'CudaBackend', folder: 'native/cuda', extension: '.cu', frame: 'cuda_backend' },
];

const withoutComments = (text: string): string => text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/\/\/.*$/gm, '');

/** Kernel methods take one argument struct by reference, `virtual void adam(const Adam& a) = 0;`; the memory calls do not. */
function kernelsOf(interfaceText: string): Map<string, string> {
  const methods = withoutComments(interfaceText).matchAll(/virtual\s+void\s+(\w+)\(\s*const\s+(\w+)\s*&\s*\w*\s*\)\s*=\s*0\s*;/g);
  return new Map([...methods].map((match) => [match[1] as string, match[2] as string]));
}

/** Kernel name → the files, without extension, that define it for one backend. */
function definitionsOf(root: string, { backend, folder, extension }: Twin, kernels: Map<string, string>): Map<string, string[]> {
  const found = new Map<string, string[]>();
  const files = existsSync(join(root, folder)) ? readdirSync(join(root, folder)).sort() : [];
  for (const file of files.filter((name) => name.endsWith(extension))) {
    const definition = new RegExp(`\\bvoid\\s+(?:\\w+::)*${backend}::(\\w+)\\(\\s*const\\s+(\\w+)\\s*&\\s*\\w*\\s*\\)\\s*\\{`, 'g');
    for (const [, name, struct] of withoutComments(readFileSync(join(root, folder, file), 'utf8')).matchAll(definition)) {
      const kernel = name as string;
      if (!kernels.has(kernel) || kernels.get(kernel) === struct) found.set(kernel, [...(found.get(kernel) ?? []), parse(file).name]);
    }
  }
  return found;
}

/** Names of the methods that the backend's class declares private. */
function privateMethods(root: string, { folder, frame }: Twin): Set<string> {
  const header = withoutComments(readFileSync(join(root, folder, `${frame}.h`), 'utf8'));
  const [, ...sections] = header.split(/^ *(?=(?:public|protected|private):)/m);
  const declarations = sections.filter((section) => section.startsWith('private:')).join('\n');
  return new Set([...declarations.matchAll(/\bvoid\s+(\w+)\(/g)].map(([, name]) => name as string));
}

/** What is missing, double or misplaced, one line each. */
export function checkTwins(root: string): { kernels: string[]; violations: string[] } {
  const kernels = kernelsOf(readFileSync(join(root, 'native/src/backend.h'), 'utf8'));
  const violations: string[] = [];
  if (kernels.size === 0) violations.push('native/src/backend.h: no kernel method found');
  const [cpu, cuda] = twins.map((twin) => ({ ...twin, definitions: definitionsOf(root, twin, kernels) })) as [
    Twin & { definitions: Map<string, string[]> },
    Twin & { definitions: Map<string, string[]> },
  ];
  for (const { definitions, ...twin } of [cpu, cuda]) {
    const { backend, folder, extension, frame } = twin;
    const shared = privateMethods(root, twin);
    for (const kernel of kernels.keys()) {
      const files = definitions.get(kernel) ?? [];
      if (files.length === 0) violations.push(`${folder}: ${backend}::${kernel} is defined in no ${extension} file`);
      if (files.length > 1) violations.push(`${folder}: ${backend}::${kernel} is defined ${files.length} times, in ${files.join(', ')}`);
      if (files.includes(frame)) violations.push(`${folder}/${frame}${extension}: ${kernel} belongs in a file of its own`);
    }
    for (const [name, files] of definitions)
      if (!kernels.has(name) && !shared.has(name))
        violations.push(`${folder}/${files[0]}${extension}: ${backend}::${name} is no kernel of native/src/backend.h`);
  }
  for (const kernel of kernels.keys()) {
    const [one, other] = [cpu.definitions.get(kernel)?.[0], cuda.definitions.get(kernel)?.[0]];
    if (one !== undefined && other !== undefined && one !== other)
      violations.push(
        `${kernel}: the CPU twin is in ${one}${cpu.extension}, the CUDA twin in ${other}${cuda.extension}; one file name for both`,
      );
  }
  return { kernels: [...kernels.keys()], violations };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { kernels, violations } = checkTwins(fileURLToPath(new URL('..', import.meta.url)));
  for (const violation of violations) console.error(violation);
  console.log(`twins: ${kernels.length} kernels, ${violations.length || 'no'} violation${violations.length > 1 ? 's' : ''}`);
  process.exitCode = violations.length > 0 ? 1 : 0;
}
