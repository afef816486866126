import { mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';

/**
 * The calls that models, checkpoints, exports and imports are written with. Whoever writes a file calls them as members of this object, so that a
 * test can put one in their place that fails.
 */
export const files: {
  mkdir: typeof mkdir;
  open: typeof open;
  readdir: typeof readdir;
  readFile: typeof readFile;
  rename: typeof rename;
  rm: typeof rm;
  stat: typeof stat;
} = { mkdir, open, readdir, readFile, rename, rm, stat };
