import { basename, resolve } from 'node:path';
import { isObject } from '../check.ts';
import { type Dataset, loadDataset } from '../data/dataset.ts';
import { HyperKnowError } from '../errors.ts';
import { syntheticWorld } from './data-key.ts';
import type { RunRecord } from './run-folder.ts';

/** Opens the data of runs; the last one stays open. */
export class RunData {
  readonly #out: string;
  readonly #instead: string | undefined;
  #last: { what: string; dataset: Dataset } | undefined;

  /**
   * @param out where the folders of the runs count from
   * @param instead where the data are now
   */
  constructor(out: string, instead: string | undefined) {
    this.#out = out;
    this.#instead = instead;
  }

  async open({ data, key }: RunRecord): Promise<Dataset> {
    const folder = this.#instead ?? (data.folder === null ? null : resolve(this.#out, data.folder));
    const options = isObject(key.dataset.options) ? key.dataset.options : {};
    const what = JSON.stringify([folder, data.splitSeed, options]);
    if (this.#last?.what !== what) {
      const { inverse = false, validationFraction = 0.1 } = options as { inverse?: boolean; validationFraction?: number };
      const open = () => (folder === null ? syntheticWorld() : loadDataset(folder, { inverse, validationFraction, seed: data.splitSeed }));
      this.#last = {
        what,
        dataset: await Promise.resolve()
          .then(open)
          .catch((error) => elsewhere(error, folder)),
      };
    }
    return this.#last.dataset;
  }
}

function elsewhere(error: unknown, folder: string | null): never {
  if (error instanceof HyperKnowError && folder !== null) error.message += `; --data says where the data set ${basename(folder)} is now`;
  throw error;
}
