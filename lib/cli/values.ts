import { kebab, type OptionSpec, type OptionTable } from './command.ts';
import { UsageError } from './exit.ts';
import { visible } from './escape.ts';

/** `batchSize` → `HYPER_KNOW_BATCH_SIZE` */
export function environmentName(key: string): string {
  return `HYPER_KNOW_${kebab(key).replaceAll('-', '_').toUpperCase()}`;
}

/** The value of an option that was given as text. `origin` is what the message names: `--batch-size`, or the environment's variable. */
export function parseValue(origin: string, spec: OptionSpec, text: string): unknown {
  const refuse = (what: string): never => {
    throw new UsageError(`${origin}: must be ${what}, got "${visible(text.slice(0, 60))}"`);
  };
  const { words } = spec;
  switch (spec.type) {
    case 'string':
      if (text === '') refuse('some text');
      return words === undefined || words.includes(text) ? text : refuse(`one of ${words.join(', ')}`);
    case 'list':
      return text.split(',').map((part) => (part === '' ? refuse('values parted by commas, none of them empty') : part));
    case 'boolean':
      if (/^(1|true|yes|on)$/i.test(text)) return true;
      return /^(0|false|no|off)$/i.test(text) ? false : refuse('true or false');
    default: {
      if (words?.includes(text)) return text;
      const number = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : Number.NaN;
      return isInRange(spec, number) ? number : refuse(rangeOf(spec));
    }
  }
}

/** Whether a number is one that the option may have. */
export function isInRange({ type, min = Number.NEGATIVE_INFINITY, max = Number.POSITIVE_INFINITY }: OptionSpec, number: number): boolean {
  return (type === 'integer' ? Number.isSafeInteger(number) : Number.isFinite(number)) && number >= min && number <= max;
}

function rangeOf({ type, min, max, words = [] }: OptionSpec): string {
  const bounds = [...(min === undefined ? [] : [`at least ${min}`]), ...(max === undefined ? [] : [`at most ${max}`])].join(' and ');
  const number = `${type === 'integer' ? 'an integer' : 'a number'}${bounds && ` of ${bounds}`}`;
  return [number, ...words.map((word) => `"${word}"`)].join(' or ');
}

/** What each source says about the options: those of the command line and the environment as text, a configuration's as values. */
export interface Sources {
  /** Several texts where an option was given several times; the last counts, but for lists, which grow. */
  flags: Readonly<Record<string, readonly string[] | boolean>>;
  env: NodeJS.ProcessEnv;
  /** Checked already (config.ts). */
  config: Readonly<Record<string, unknown>>;
}

/** The value of every option: flag before environment before configuration before default. */
export function resolveValues(table: OptionTable, { flags, env, config }: Sources): Record<string, unknown> {
  const values: Record<string, unknown> = {};
  for (const [key, spec] of Object.entries(table)) {
    const flag = flags[key];
    const variable = env[environmentName(key)];
    if (typeof flag === 'boolean') values[key] = flag;
    else if (flag !== undefined) {
      const parsed = flag.map((text) => parseValue(`--${kebab(key)}`, spec, text));
      values[key] = spec.type === 'list' ? parsed.flat() : parsed.at(-1);
    } else if (variable !== undefined && variable !== '') values[key] = parseValue(environmentName(key), spec, variable);
    else values[key] = config[key] ?? spec.default;
    if (values[key] === undefined && spec.required) throw new UsageError(`--${kebab(key)} is missing: ${spec.description}`);
  }
  return values;
}
