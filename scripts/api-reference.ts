// The API reference, from the docstrings of everything that lib/index.ts and lib/kernels.ts export.
//
//   node --import tsx scripts/api-reference.ts            prints it (2 s)
//   node --import tsx scripts/api-reference.ts --write    writes lib/API.md
//
// Fails where an exported name or a public member of a class has no docstring, or a function no example.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type {
  ClassDeclaration,
  ClassElement,
  FunctionDeclaration,
  InterfaceDeclaration,
  MethodDeclaration,
  Node,
  PropertyDeclaration,
  TypeAliasDeclaration,
  VariableDeclaration,
} from 'typescript/unstable/ast';
import { SyntaxKind } from 'typescript/unstable/ast';
import { API, type Checker, type Project, type Symbol as TsSymbol, SymbolFlags } from 'typescript/unstable/sync';

const root = fileURLToPath(new URL('..', import.meta.url));

/** Where the reference stands. */
export const REFERENCE: string = join(root, 'lib', 'API.md');

const MODULES = [
  { name: 'hyper-know', file: 'lib/index.ts' },
  { name: 'hyper-know/kernels', file: 'lib/kernels.ts' },
] as const;

/** Sections of the first module by where a name is declared; a file that is in none is an error. */
const TOPICS: readonly (readonly [title: string, files: RegExp])[] = [
  ['Data', /^lib\/(data\/|import-tables\.ts)/],
  ['Training', /^lib\/(train|options|presets|schedule|variants|memory|embedding|protocol)\.ts/],
  [
    'The model',
    /^lib\/(model|recommend|recommend-batch|similar|explain|fold-in|fold-in-item|influence|diagnostics|lorentz|ranking|neighbor-blend)\.ts/,
  ],
  ['Evaluation', /^lib\/(evaluate|statistics)\.ts/],
  ['Controls', /^lib\/(controls|linear-controls|bpr-mf)\.ts/],
  ['Export', /^lib\/export(-model\.ts$|\/)/],
  ['Machine and errors', /^lib\/(native|errors)\.ts/],
  ['Kernels', /^lib\/kernels\.ts/],
];

export interface Example {
  /** Of what it is, e.g. `Model.recommend`. */
  name: string;
  code: string;
}

export interface Reference {
  text: string;
  examples: Example[];
  /** What is missing, as sentences; empty where nothing is. */
  problems: string[];
}

interface Documented {
  name: string;
  text: string;
  signature: string;
  tags: { name: string; text: string }[];
}

interface Entry extends Documented {
  topic: string;
  kind: 'function' | 'class' | 'constant' | 'type';
  members: Documented[];
}

/** Reads the sources by the compiler. */
export function apiReference(): Reference {
  const api = new API({ cwd: root });
  try {
    const [project] = api.updateSnapshot({ openProjects: [join(root, 'tsconfig.json')] }).getProjects();
    const problems: string[] = [];
    const modules = MODULES.map(({ name, file }) => ({ name, entries: entriesOf(project!, file, problems) }));
    const known = new Set(modules.flatMap(({ entries }) => entries.map(({ name }) => name)));
    for (const { entries } of modules) for (const entry of entries) problems.push(...unknownTypes(entry, known));
    const examples = modules.flatMap(({ entries }) =>
      entries.flatMap((entry) => [...examplesOf(entry), ...entry.members.flatMap((member) => examplesOf(member))]),
    );
    return { text: markdown(modules), examples, problems };
  } finally {
    api.close();
  }
}

function examplesOf({ name, tags }: Documented): Example[] {
  return tags.filter((tag) => tag.name === 'example').map(({ text }) => ({ name, code: text }));
}

/** Types that only TypeScript has, not the run-time. */
const UTILITIES = ['ArrayLike', 'AsyncIterable', 'Iterable', 'Omit', 'Partial', 'PromiseLike', 'Readonly', 'Record', 'Required'];

/** A caller must be able to name every type that a signature names. */
function unknownTypes({ name, kind, signature, members }: Entry, known: ReadonlySet<string>): string[] {
  const texts = [...(kind === 'class' ? [signature.replace(/^class .*/, '')] : [signature]), ...members.map((member) => member.signature)];
  const bare = texts.join('\n').replace(/\/\*[\s\S]*?\*\/|\/\/.*$|'[^'\n]*'/gm, '');
  const names = new Set([...bare.matchAll(/\b(?<!\.)[A-Z]\w*[a-z]\w*/g)].map(([type]) => type));
  return [...names]
    .filter((type) => !known.has(type) && !UTILITIES.includes(type) && !(type in globalThis))
    .map((type) => `${name}: its signature names ${type}, which is not exported`);
}

function entriesOf({ program, checker, ...project }: Project, file: string, problems: string[]): Entry[] {
  const source = program.getSourceFile(join(root, file))!;
  return checker.getExportsOfModule(checker.getSymbolAtLocation(source)!).map((exported) => {
    const symbol = exported.flags & SymbolFlags.Alias ? checker.getAliasedSymbol(exported) : exported;
    const node = symbol.declarations[0]!.resolve({ program, checker, ...project } as Project)!;
    const place = node.getSourceFile().fileName.slice(root.length);
    const topic = TOPICS.find(([, files]) => files.test(place))?.[0];
    if (topic === undefined) problems.push(`${exported.name}: ${place} is in no section of scripts/api-reference.ts`);
    const entry: Entry = {
      topic: topic ?? '',
      members: [],
      ...documented(checker, symbol, exported.name),
      ...shapeOf(node, exported.name),
    };
    if (node.kind === SyntaxKind.ClassDeclaration) {
      const fields: string[] = [];
      for (const member of (node as ClassDeclaration).members) addMember(checker, entry, member, fields, problems);
      const name = `class ${entry.name}${heritageOf(node as ClassDeclaration)}`;
      entry.signature = fields.length > 0 ? [`${name} {`, ...fields, '}'].join('\n') : name;
    }
    if (entry.text === '') problems.push(`${entry.name} (${place}): has no docstring`);
    if (entry.kind === 'function' && examplesOf(entry).length === 0) problems.push(`${entry.name} (${place}): has no example`);
    return entry;
  });
}

function documented(checker: Checker, symbol: TsSymbol, name: string): Omit<Documented, 'signature'> {
  const tags = checker.getJsDocTagsOfSymbol(symbol).map((tag) => ({ name: tag.name, text: (tag.text ?? '').trimEnd() }));
  return { name, text: checker.getDocumentationCommentOfSymbol(symbol).trim(), tags };
}

function shapeOf(node: Node, name: string): { kind: Entry['kind']; signature: string } {
  switch (node.kind) {
    case SyntaxKind.FunctionDeclaration:
      return { kind: 'function', signature: head(node as FunctionDeclaration) };
    case SyntaxKind.ClassDeclaration:
      return { kind: 'class', signature: '' };
    case SyntaxKind.VariableDeclaration:
      return { kind: 'constant', signature: `const ${name}: ${(node as VariableDeclaration).type!.getText()}` };
    default:
      return { kind: 'type', signature: withoutExport((node as InterfaceDeclaration | TypeAliasDeclaration).getText()) };
  }
}

/** A function or method up to its body. */
function head(node: FunctionDeclaration | ClassElement): string {
  const text = node.getText();
  const { body } = node as FunctionDeclaration;
  const end = body ? text.length - body.getText().length : text.length;
  return withoutExport(text.slice(0, end)).replace(/^((?:static )?)async /, '$1');
}

const withoutExport = (text: string): string =>
  text
    .replace(/^export /, '')
    .replace(/;$/, '')
    .trimEnd();

function heritageOf(node: ClassDeclaration): string {
  return (node.heritageClauses ?? [])
    .map((clause) => clause.getText())
    .filter((text) => text !== 'implements Embedding') // no name of the public API
    .map((text) => ` ${text}`)
    .join('');
}

/** Fields go into the class's own block with their comments, methods get a section each. */
function addMember(checker: Checker, entry: Entry, member: ClassElement, fields: string[], problems: string[]): void {
  const { name } = member as MethodDeclaration | PropertyDeclaration; // a constructor has none
  const text = member.getText();
  if (name === undefined || name.getText().startsWith('#') || /^private /.test(text)) return;
  const symbol = checker.getSymbolAtLocation(name);
  const about = symbol
    ? documented(checker, symbol, `${entry.name}.${name.getText()}`)
    : { name: `${entry.name}.${name.getText()}`, text: '', tags: [] };
  if (about.tags.some((tag) => tag.name === 'internal')) return;
  const isInherited = /^override /.test(text) || /^\[Symbol\./.test(name.getText());
  if (about.text === '' && !isInherited) problems.push(`${about.name}: has no docstring`);
  if (member.kind === SyntaxKind.PropertyDeclaration || member.kind === SyntaxKind.GetAccessor) {
    const declared =
      member.kind === SyntaxKind.GetAccessor ? `readonly ${head(member).replace(/^get (\w+)\(\)/, '$1')}` : text.replace(/ = .*;$|;$/, '');
    fields.push(...(about.text ? [`  /** ${about.text.replaceAll('\n', '\n   * ')} */`] : []), `  ${declared.replace(/^override /, '')};`);
  } else if (!isInherited) entry.members.push({ ...about, signature: head(member).replaceAll('\n  ', '\n') });
}

function markdown(modules: readonly { name: string; entries: readonly Entry[] }[]): string {
  const lines = [
    '# API reference',
    '',
    'Made from the docstrings by `node --import tsx scripts/api-reference.ts --write`; a test runs every example. Rows of tables are dense, `Id` is',
    "the caller's own; arrays are row-major, their shapes stand in brackets.",
    '',
  ];
  const link = (name: string): string => `[\`${name}\`](#${name.toLowerCase()})`;
  const sections = modules.flatMap(({ name, entries }) =>
    TOPICS.map(([title]) => ({ module: name, title, entries: entries.filter(({ topic }) => topic === title) })),
  );
  const shown = sections.filter(({ entries }) => entries.length > 0);
  for (const { title, module, entries } of shown)
    lines.push(
      `- ${title} (\`${module}\`): ${entries
        .filter(({ kind }) => kind !== 'type')
        .map(({ name }) => link(name))
        .join(', ')}`,
    );
  for (const { title, module, entries } of shown) {
    lines.push('', `## ${title}`, '', `From \`${module}\`.`);
    for (const entry of entries.filter(({ kind }) => kind !== 'type')) lines.push(...entryLines(entry, '###'));
    for (const entry of entries.filter(({ kind }) => kind === 'type')) lines.push(...entryLines(entry, '###'));
  }
  return `${lines.join('\n')}\n`;
}

function entryLines(entry: Entry, level: string): string[] {
  return [
    ...documentedLines(entry, level, entry.name),
    ...entry.members.flatMap((member) => documentedLines(member, `${level}#`, member.name)),
  ];
}

function documentedLines({ signature, text, tags }: Documented, level: string, name: string): string[] {
  const lines = ['', `${level} ${name}`, '', '```ts', ...signature.split('\n'), '```'];
  if (text !== '') lines.push('', text);
  const points = tags.flatMap(({ name: tag, text: words }) => {
    const one = words.replace(/\s*\n\s*/g, ' ').trim();
    if (tag === 'param') {
      const [, parameter, rest] = /^(\S+)\s+-?\s*(.*)$/s.exec(one) ?? [undefined, one, ''];
      return [`- \`${parameter}\`: ${rest}`];
    }
    if (tag === 'returns') return [`- Returns ${one}`];
    if (tag === 'throws')
      return [
        `- Throws ${one.replace(/\{([^}]*)\}/g, (_, types: string) =>
          types
            .split(/\s*,\s*/)
            .map((type) => `\`${type}\``)
            .join(', '),
        )}`,
      ];
    return [];
  });
  if (points.length > 0) lines.push('', ...points);
  for (const { name: tag, text: code } of tags) if (tag === 'example') lines.push('', '```ts', ...code.split('\n'), '```');
  return lines;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { text, problems } = apiReference();
  for (const problem of problems) console.error(problem);
  if (problems.length > 0) process.exitCode = 1;
  else if (process.argv.includes('--write')) writeFileSync(REFERENCE, text);
  else process.stdout.write(text);
}
