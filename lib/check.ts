import { argumentError } from './errors.ts';

/** What a value looks like in an error message: short, printable, never calling the value's own code. */
export function show(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value);
  if (typeof value === 'bigint') return `${value}n`;
  if (value === null || typeof value !== 'object') return typeof value === 'function' ? 'a function' : String(value);
  return Array.isArray(value) || ArrayBuffer.isView(value) ? 'an array' : 'an object';
}

/** An object as JSON has them: no array, not null. */
export const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

export function checkInteger(argument: string, value: unknown, min: number, max: number = Number.MAX_SAFE_INTEGER): number {
  if (typeof value !== 'number') throw argumentError('type', argument, `must be an integer, got ${show(value)}`);
  if (!Number.isInteger(value) || value < min || value > max)
    throw argumentError('range', argument, `must be an integer from ${min} to ${max}, got ${show(value)}`);
  return value;
}

/** A finite number in [min, max], or with `open: true` in (min, max]. */
export function checkNumber(argument: string, value: unknown, min: number, max: number = Number.MAX_VALUE, open = false): number {
  if (typeof value !== 'number') throw argumentError('type', argument, `must be a number, got ${show(value)}`);
  if (!Number.isFinite(value) || (open ? !(value > min) : !(value >= min)) || !(value <= max))
    throw argumentError(
      'range',
      argument,
      `must be ${open ? 'above' : 'at least'} ${min}${max === Number.MAX_VALUE ? '' : ` and at most ${max}`}, got ${show(value)}`,
    );
  return value;
}

export function checkBoolean(argument: string, value: unknown): boolean {
  if (typeof value !== 'boolean') throw argumentError('type', argument, `must be true or false, got ${show(value)}`);
  return value;
}

export function checkOneOf<T extends string>(argument: string, value: unknown, allowed: readonly T[]): T {
  if (typeof value !== 'string') throw argumentError('type', argument, `must be one of ${allowed.join(', ')}, got ${show(value)}`);
  if (!(allowed as readonly string[]).includes(value))
    throw argumentError('range', argument, `must be one of ${allowed.join(', ')}, got ${show(value)}`);
  return value as T;
}

/** One card a process: which one is CUDA's own business. */
export function checkBackend<T extends string>(value: unknown, allowed: readonly T[]): T {
  const card = typeof value === 'string' ? /^cuda:(\d+)$/.exec(value)?.[1] : undefined;
  if (card !== undefined)
    throw argumentError('range', 'backend', `cannot name a card: set CUDA_VISIBLE_DEVICES=${card} and ask for 'cuda', got ${show(value)}`);
  return checkOneOf('backend', value, allowed);
}

export function checkFloat32Array(argument: string, value: unknown): Float32Array {
  if (!(value instanceof Float32Array)) throw argumentError('type', argument, `must be a Float32Array, got ${show(value)}`);
  return unshared(argument, value);
}

export function checkUint32Array(argument: string, value: unknown): Uint32Array {
  if (!(value instanceof Uint32Array)) throw argumentError('type', argument, `must be a Uint32Array, got ${show(value)}`);
  return unshared(argument, value);
}

/** Another thread may write to shared memory between a check and the use of what was checked. */
function unshared<T extends Float32Array | Uint32Array>(argument: string, value: T): T {
  if (value.buffer instanceof SharedArrayBuffer) throw argumentError('type', argument, 'must not be shared memory');
  return value;
}

/** An options bag: undefined stands for {}. Names that are not known are refused, since a misspelt option is silently no option. */
export function checkOptions<T extends object>(argument: string, value: T | undefined, known: readonly (keyof T & string)[]): T {
  if (value === undefined) return {} as T;
  if (value === null || typeof value !== 'object' || Array.isArray(value) || ArrayBuffer.isView(value))
    throw argumentError('type', argument, `must be an object, got ${show(value)}`);
  for (const name of Object.keys(value))
    if (!(known as readonly string[]).includes(name))
      throw argumentError('type', `${argument}.${name}`, `no such option; known are ${known.join(', ')}`);
  return value;
}
