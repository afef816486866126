import { HyperKnowError } from '../errors.ts';

/** What a command's exit status says. */
export const EXIT = {
  ok: 0,
  /** anything else that went wrong, such as a full disk */
  failure: 1,
  /** the command line, the environment or the configuration is wrong */
  usage: 2,
  /** a data set or model is missing, unreadable, malformed, or has not what was asked for */
  badData: 3,
  /** the backend that was asked for cannot run here */
  device: 4,
  /** a result lies outside the tolerance that was asked for */
  tolerance: 5,
} as const;

/** A mistake in how the command was called; the message names the option. */
export class UsageError extends Error {}

/** The reason of an abort by a signal: 130 for SIGINT, 143 for SIGTERM, as shells have it. */
export class Interrupted extends Error {
  readonly exitCode: number;

  constructor(signal: 'SIGINT' | 'SIGTERM') {
    super(`interrupted by ${signal}`);
    this.exitCode = signal === 'SIGINT' ? 130 : 143;
  }
}

/** Errors of the system that mean a path is wrong, where others mean that the machine is. */
const WRONG_PATH = ['ENOENT', 'ENOTDIR', 'EISDIR', 'EACCES', 'ELOOP'];

export function exitCodeOf(error: unknown): number {
  if (error instanceof Interrupted) return error.exitCode;
  if (error instanceof UsageError) return EXIT.usage;
  if (error instanceof HyperKnowError)
    switch (error.code) {
      case 'ERR_HK_DATA':
      case 'ERR_HK_FORMAT':
      case 'ERR_HK_MODEL_FILE':
      case 'ERR_HK_UNKNOWN_ID':
        return EXIT.badData;
      case 'ERR_HK_IO': {
        const code = (error.cause as NodeJS.ErrnoException | undefined)?.code;
        return code === undefined || WRONG_PATH.includes(code) ? EXIT.badData : EXIT.failure;
      }
      case 'ERR_HK_BACKEND':
        return EXIT.device;
      default:
        return EXIT.failure;
    }
  const code = (error as { code?: unknown } | null | undefined)?.code;
  return code === 'ERR_HK_TYPE' || code === 'ERR_HK_RANGE' || code === 'ERR_HK_SHAPE' ? EXIT.usage : EXIT.failure;
}
