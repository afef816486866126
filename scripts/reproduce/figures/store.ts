// What has been trained for figures is kept under OUT/figures, so that the same command goes on where it stopped.
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Model } from '../../../lib/model.ts';
import { writeText } from '../../../lib/report/run-folder.ts';

export const writeJson = (path: string, value: unknown): Promise<void> => writeText(path, `${JSON.stringify(value)}\n`);

/** A document, or undefined where there is none, or it is damaged. */
export function readJson(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return undefined;
  }
}

export class Store {
  readonly folder: string;
  readonly #runs: string;

  constructor(out: string) {
    this.folder = join(out, 'figures');
    this.#runs = join(this.folder, 'runs');
    mkdirSync(this.#runs, { recursive: true });
  }

  /** What was kept under the key; else, or where it is wanted `again`, what `make` makes of it, kept. */
  async run<T>(name: string, key: unknown, make: () => Promise<T>, again = false): Promise<{ value: T; isNew: boolean }> {
    const path = `${this.#path(name, key)}.json`;
    const known = readJson(path) as { key: unknown; value: T } | undefined;
    if (!again && known && JSON.stringify(known.key) === JSON.stringify(key)) return { value: known.value, isNew: false };
    const value = await make();
    await writeJson(path, { key, value });
    return { value, isNew: true };
  }

  /** The model that was kept under the key, or undefined. */
  async model(name: string, key: unknown): Promise<Model | undefined> {
    try {
      return await Model.load(`${this.#path(name, key)}.safetensors`);
    } catch {
      return undefined;
    }
  }

  keepModel(name: string, key: unknown, model: Model): Promise<void> {
    return model.save(`${this.#path(name, key)}.safetensors`);
  }

  #path(name: string, key: unknown): string {
    return join(this.#runs, `${name}-${createHash('sha256').update(JSON.stringify(key)).digest('hex').slice(0, 16)}`);
  }
}
