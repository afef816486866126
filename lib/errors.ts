/** Codes of the errors this package raises on purpose; `error.code` is stable, the wording of `message` is not. */
export type ErrorCode =
  | 'ERR_HK_DATA' // a data file or an iterable of interactions or triples is malformed
  | 'ERR_HK_FORMAT' // a folder or file is in no known format
  | 'ERR_HK_IO' // a file could not be read or written
  | 'ERR_HK_RANGE' // an argument is outside its documented range
  | 'ERR_HK_TYPE' // an argument has the wrong type
  | 'ERR_HK_SHAPE' // lengths of two arguments do not fit together
  | 'ERR_HK_UNKNOWN_ID' // a user, item, entity or relation id the model does not know
  | 'ERR_HK_BACKEND' // the backend asked for cannot run here
  | 'ERR_HK_MEMORY' // memory is exhausted, an estimate says it would be, or the system starts no more threads
  | 'ERR_HK_DIVERGED' // training produced a loss or parameter that is not finite
  | 'ERR_HK_MODEL_FILE' // a saved model or checkpoint is damaged or not ours
  | 'ERR_HK_DISPOSED' // the object was closed
  | 'ERR_HK_BUSY' // the object is still working on an earlier call
  | 'ERR_HK_INTERNAL';

/**
 * The error of everything that depends on data, files or the machine. Bad arguments are `TypeError`/`RangeError` instead, with a `code`
 * ERR_HK_TYPE, ERR_HK_RANGE or ERR_HK_SHAPE.
 *
 * @example
 * try {
 *   await loadDataset('nowhere');
 * } catch (error) {
 *   if (error instanceof HyperKnowError) console.error(error.code, error.file, error.line, error.message); // ERR_HK_IO …
 * }
 */
export class HyperKnowError extends Error {
  override readonly name = 'HyperKnowError';
  /** Stable, where the wording of `message` is not. */
  readonly code: ErrorCode;
  /** Base name of the file at fault, where there is one. */
  readonly file?: string;
  /** 1-based line in `file`, where there is one. */
  readonly line?: number;

  constructor(code: ErrorCode, message: string, at: { file?: string; line?: number; cause?: unknown } = {}) {
    super(message, at.cause === undefined ? undefined : { cause: at.cause });
    this.code = code;
    if (at.file !== undefined) this.file = at.file;
    if (at.line !== undefined) this.line = at.line;
  }
}

/** A `TypeError` or `RangeError` that carries a code and names the argument. */
export function argumentError(kind: 'type' | 'range', argument: string, rest: string): TypeError | RangeError {
  const error = kind === 'type' ? new TypeError(`${argument}: ${rest}`) : new RangeError(`${argument}: ${rest}`);
  return Object.assign(error, { code: kind === 'type' ? 'ERR_HK_TYPE' : 'ERR_HK_RANGE' });
}
