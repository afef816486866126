import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Command as Commander, CommanderError, InvalidArgumentError, Option } from 'commander';
import { type Command, kebab, type OptionSpec } from './command.ts';
import { commands } from './commands/index.ts';
import { visible, visibleJson } from './escape.ts';
import { EXIT, exitCodeOf, Interrupted, UsageError } from './exit.ts';
import { Output } from './output.ts';
import { resolveValues } from './values.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Options that every command has; they are no part of a configuration. */
interface Common {
  json?: boolean;
  quiet?: boolean;
  config?: string;
  printConfig?: boolean;
}

/**
 * Runs one command line, and says what the exit status is to be (exit.ts). Never throws.
 *
 * @param argv what follows the program's name
 */
export async function run(argv: readonly string[]): Promise<number> {
  const env = process.env;
  const version = (JSON.parse(readFileSync(`${root}/package.json`, 'utf8')) as { version: string }).version;
  const outputFor = ({ json = false, quiet = false }: Common) =>
    new Output({ json, quiet, env, stdout: process.stdout, stderr: process.stderr });
  let output = outputFor({});
  let status: number = EXIT.ok;

  const program = new Commander('hyper-know')
    .description('Top-K recommendation from interactions and a knowledge graph, embedded in the Poincaré ball.')
    .version(version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .helpCommand('help [command]', 'print the help of a command')
    .enablePositionalOptions()
    .exitOverride()
    .configureOutput({
      outputError: (text) =>
        output.error(
          text
            .trim()
            .replace(/^error: /, '')
            .replaceAll('\n', ' '),
        ),
    })
    .addHelpText('after', `\n${EXIT_HELP}`);
  for (const command of commands) {
    const sub = subCommand(program, command).action(async (...all: unknown[]) => {
      const flags = flagsOf(all.at(-1) as Commander);
      output = outputFor(flags);
      const args = (all.slice(0, -2) as (string | string[] | undefined)[]).flat().filter((arg) => arg !== undefined);
      const config = flags.config === undefined ? {} : await (await import('./config.ts')).readConfig(flags.config, commands, command.name);
      const values = resolveValues(command.options, { flags, env, config });
      if (flags.printConfig) output.raw(visibleJson({ [command.name]: values }, 2));
      else status = await command.run({ output, env, version, root, interruptible }, args, values);
    });
    if (command.examples.length > 0)
      sub.addHelpText('after', `\nExamples:\n${command.examples.map((line) => `  $ hyper-know ${line}`).join('\n')}`);
  }

  program
    .command('config-schema')
    .description('Print the JSON Schema of a configuration file, for editors.')
    .exitOverride()
    .action(async () => output.raw(JSON.stringify((await import('./config.ts')).configJsonSchema(commands), undefined, 2)));

  try {
    await program.parseAsync(argv as string[], { from: 'user' });
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage; // commander has said what it is
    report(output, error, env);
    return exitCodeOf(error);
  }
  return status;
}

const EXIT_HELP = `Exit status: 0 ok, 1 failure, 2 wrong usage, 3 bad data, 4 the backend cannot run, 5 outside a tolerance,
130 after Ctrl-C (a training writes its checkpoint first).
Options also come from the environment (HYPER_KNOW_BACKEND=cpu) and from --config FILE, in this order behind the command line.`;

/** What stands on the command line itself: commander puts true for every --no-… that does not. */
function flagsOf(sub: Commander): Common & Record<string, readonly string[] | boolean> {
  return Object.fromEntries(Object.entries(sub.opts()).filter(([key]) => sub.getOptionValueSource(key) === 'cli'));
}

function subCommand(program: Commander, command: Command): Commander {
  const sub = program.command(command.name).summary(command.summary).description(`${command.summary}.`).exitOverride();
  sub.helpOption('-h, --help', 'print this help');
  for (const { name, description, optional, variadic } of command.arguments) {
    const text = `${name}${variadic ? '...' : ''}`;
    sub.argument(optional ? `[${text}]` : `<${text}>`, description);
  }
  if (command.passThrough) return sub.argument('[args...]', 'go on as they stand').passThroughOptions().allowUnknownOption();
  for (const [key, spec] of Object.entries(command.options)) for (const option of optionsOf(key, spec)) sub.addOption(option);
  sub.option('--json', 'print the result as one JSON document');
  sub.option('-q, --quiet', 'print nothing but the result and errors');
  if (Object.keys(command.options).length > 0) {
    sub.option('--config <FILE>', 'take options from a JSON file');
    sub.option('--print-config', 'print the options in force as such a file, and do nothing');
  }
  return sub;
}

/** commander collects texts; their meaning is the business of values.ts, which also knows where else a value may come from. */
function optionsOf(key: string, spec: OptionSpec): Option[] {
  const name = kebab(key);
  const words = spec.words && spec.type === 'string' ? ` (${spec.words.join(', ')})` : '';
  const fallback = spec.default ?? spec.defaultText;
  const text = `${spec.description}${words}${fallback === undefined || fallback === false ? '' : ` (default: ${fallback})`}`;
  if (spec.type === 'boolean')
    return spec.default === true
      ? [new Option(`--no-${name}`, text.replace(/ \(default: true\)$/, '')).default(undefined)]
      : [new Option(`${spec.short ? `-${spec.short}, ` : ''}--${name}`, text)];
  const option = new Option(`${spec.short ? `-${spec.short}, ` : ''}--${name} <${spec.placeholder ?? placeholderOf(spec)}>`, text);
  return [
    option.argParser((value: string, before: string[] | undefined) => {
      if (value.includes('\0')) throw new InvalidArgumentError('It holds a zero byte.');
      return [...(before ?? []), value];
    }),
  ];
}

function placeholderOf({ type, words }: OptionSpec): string {
  if (type === 'string') return words ? 'WORD' : 'TEXT';
  return type === 'list' ? 'A,B,…' : 'N';
}

/** Says what went wrong. The arguments of the library's functions are called as the command line calls them. */
function report(output: Output, error: unknown, env: NodeJS.ProcessEnv): void {
  if (error instanceof Interrupted) return;
  const { message, stack, code } =
    error instanceof Error ? (error as NodeJS.ErrnoException) : { message: String(error), stack: undefined, code: undefined };
  const ours = error instanceof UsageError || (typeof code === 'string' && code.startsWith('ERR_HK_'));
  const renamed =
    (code === 'ERR_HK_TYPE' || code === 'ERR_HK_RANGE') && /^[a-z]+[A-Z]?\w*:/.test(message)
      ? message.replace(/^[\w.]+/, (argument) => `--${kebab(argument).replaceAll('.', '-')}`)
      : message;
  output.error(ours ? renamed : `${message}${code === undefined ? ' (unexpected: HYPER_KNOW_DEBUG=1 shows where)' : ''}`);
  if (env.HYPER_KNOW_DEBUG === '1' && stack) for (const line of stack.split('\n').slice(1)) process.stderr.write(`${visible(line)}\n`);
}

/** See `Context.interruptible`. */
function interruptible(): AbortSignal {
  const controller = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => {
      const reason = new Interrupted(signal);
      if (controller.signal.aborted) process.exit(reason.exitCode);
      controller.abort(reason);
    });
  return controller.signal;
}
