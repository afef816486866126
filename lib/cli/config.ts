// The configuration file: JSON, one object a command, each with the command's options in camel case. The tables of options are the schema.
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { z } from 'zod';
import type { Command, OptionSpec } from './command.ts';
import { UsageError } from './exit.ts';

/** Larger ones are something else. */
const MOST_BYTES = 1 << 20;

function valueSchema(spec: OptionSpec): z.ZodType {
  const { min, max, words } = spec;
  switch (spec.type) {
    case 'boolean':
      return z.boolean();
    case 'list':
      return z.array(z.string().min(1)).min(1);
    case 'string':
      return words === undefined ? z.string().min(1) : z.enum(words as readonly [string, ...string[]]);
    default: {
      let number = spec.type === 'integer' ? z.int() : z.number();
      if (min !== undefined) number = number.min(min);
      if (max !== undefined) number = number.max(max);
      return words === undefined ? number : z.union([number, z.enum(words as readonly [string, ...string[]])]);
    }
  }
}

function commandSchema(command: Command): z.ZodType {
  const fields = Object.entries(command.options).map(([key, spec]) => {
    const fallback = spec.default === undefined ? (spec.defaultText ?? '') : JSON.stringify(spec.default);
    return [
      key,
      valueSchema(spec)
        .describe(`${spec.description}.${fallback && ` Default: ${fallback}.`}`)
        .optional(),
    ] as const;
  });
  return z.strictObject(Object.fromEntries(fields)).describe(command.summary);
}

function schemaOf(commands: readonly Command[]): z.ZodType<Record<string, Record<string, unknown> | undefined>> {
  const sections = commands
    .filter(({ options }) => Object.keys(options).length > 0)
    .map((command) => [command.name, commandSchema(command).optional()] as const);
  const schema = z.strictObject({
    $schema: z.string().optional().describe('For editors: what `hyper-know config-schema` writes.'),
    ...Object.fromEntries(sections),
  });
  return schema as unknown as z.ZodType<Record<string, Record<string, unknown> | undefined>>;
}

/** The JSON Schema of a configuration file, for editors. */
export function configJsonSchema(commands: readonly Command[]): object {
  return z.toJSONSchema(schemaOf(commands), { target: 'draft-7', io: 'input' });
}

/**
 * Reads and checks a configuration file, and returns the section of one command.
 *
 * @throws {UsageError} naming the file and the first options that are wrong
 */
export async function readConfig(path: string, commands: readonly Command[], command: string): Promise<Record<string, unknown>> {
  const name = basename(path);
  const text = await readFile(path).catch((cause: NodeJS.ErrnoException) => {
    throw new UsageError(`${name}: cannot be read (${cause.code})`);
  });
  if (text.length > MOST_BYTES) throw new UsageError(`${name}: has ${text.length} bytes, a configuration at most ${MOST_BYTES}`);
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(text));
  } catch (error) {
    throw new UsageError(`${name}: is not JSON (${(error as Error).message})`);
  }
  const result = schemaOf(commands).safeParse(value);
  if (!result.success) {
    const issues = result.error.issues.slice(0, 3).map(({ path: at, message }) => `${at.join('.') || 'the whole'}: ${message}`);
    throw new UsageError(`${name}: ${issues.join('; ')}`);
  }
  return result.data[command] ?? {};
}
