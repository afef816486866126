/**
 * Why there is no data set. `refused`: what came is not what was asked for, it is not asked for again and nothing of it is kept; `interrupted`: the
 * connection ended early, which may be tried again; `unreachable`: there is no connection at all; `terms`: nobody accepted them; `folder`:
 * what is on the disk stands in the way.
 */
export type Reason = 'refused' | 'interrupted' | 'unreachable' | 'terms' | 'folder';

export class DownloadError extends Error {
  override readonly name = 'DownloadError';
  readonly reason: Reason;

  constructor(reason: Reason, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.reason = reason;
  }
}
