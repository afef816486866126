import type { Output } from './output.ts';

/** One option of a command. Its name on the command line, in the environment and in a configuration file follow from its key. */
export interface OptionSpec {
  type: 'string' | 'integer' | 'number' | 'boolean' | 'list';
  /** One sentence without a full stop. */
  description: string;
  /** What stands for the value in the help, e.g. 'FILE'. */
  placeholder?: string;
  short?: string;
  /** Of a string: the only values there are. Of a number: words that may stand in its place. */
  words?: readonly string[];
  min?: number;
  max?: number;
  /** In force when nothing else is said. */
  default?: string | number | boolean | readonly string[];
  /** For the help, where the default is no constant. */
  defaultText?: string;
  required?: boolean;
}

/** Options by their names in camel case: `batchSize` is --batch-size, HYPER_KNOW_BATCH_SIZE, and `batchSize` in a configuration file. */
export type OptionTable = Readonly<Record<string, OptionSpec>>;

type Words<S> = S extends { words: readonly (infer W)[] } ? W : never;
type ValueOf<S extends OptionSpec> = S['type'] extends 'boolean'
  ? boolean
  : S['type'] extends 'list'
    ? readonly string[]
    : S['type'] extends 'string'
      ? [Words<S>] extends [never]
        ? string
        : Words<S>
      : number | Words<S>;

/** The checked values: always there where there is a default or the option is required. */
export type Values<T extends OptionTable> = {
  [K in keyof T]: ValueOf<T[K]> | (T[K] extends { default: unknown } | { required: true } ? never : undefined);
};

export interface Argument {
  name: string;
  description: string;
  /** May be left out. */
  optional?: boolean;
  /** The last one: as many as there are. */
  variadic?: boolean;
}

/** What a command is given to run with. */
export interface Context {
  readonly output: Output;
  readonly env: NodeJS.ProcessEnv;
  /** Version of the package. */
  readonly version: string;
  /** Folder of the package: of the checkout, or under node_modules. */
  readonly root: string;
  /**
   * From now on Ctrl-C and SIGTERM abort this signal, with an `Interrupted` as reason, instead of ending the process; a second one ends it.
   * Who has put things in order throws the reason on, for the exit status.
   */
  interruptible(): AbortSignal;
}

/** A sub-command; `defineCommand` makes one, lib/cli/commands/index.ts lists them all. */
export interface Command {
  readonly name: string;
  /** One line for the overview. */
  readonly summary: string;
  readonly arguments: readonly Argument[];
  readonly options: OptionTable;
  /** Command lines for the help, without `hyper-know` in front. */
  readonly examples: readonly string[];
  /** Everything after the name goes to `run` as it stands, as `args`. */
  readonly passThrough: boolean;
  run(context: Context, args: readonly string[], values: Record<string, unknown>): Promise<number>;
}

/** Types the values by the table of options. A command may return an exit status (exit.ts); nothing is 0. */
export function defineCommand<const T extends OptionTable>(command: {
  name: string;
  summary: string;
  arguments?: readonly Argument[];
  options?: T;
  examples?: readonly string[];
  passThrough?: boolean;
  run(context: Context, args: readonly string[], values: Values<T>): Promise<number | undefined>;
}): Command {
  return {
    name: command.name,
    summary: command.summary,
    arguments: command.arguments ?? [],
    options: command.options ?? {},
    examples: command.examples ?? [],
    passThrough: command.passThrough ?? false,
    run: async (context, args, values) => (await command.run(context, args, values as Values<T>)) ?? 0,
  };
}

/** `batchSize` → `batch-size` */
export function kebab(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}
