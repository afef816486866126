import type { Id } from '../data/csr.ts';
import type { Model } from '../model.ts';

/** Where a model is. */
export const MODEL_ARGUMENT = { name: 'MODEL', description: 'file that `hyper-know train` wrote' } as const;

/** The length of a list, of every command that prints some. */
export const K_OPTION: {
  readonly type: 'integer';
  readonly min: 1;
  readonly max: number;
  readonly short: 'k';
  readonly default: 20;
  readonly description: string;
} = { type: 'integer', min: 1, max: 1_000_000, short: 'k', default: 20, description: 'length of a list' };

export async function openModel(path: string): Promise<Model> {
  const { Model } = await import('../model.ts');
  return Model.load(path);
}

/** A distance, or another number between 0 and some tens, in a table. */
export function decimal(value: number): string {
  return value.toFixed(4);
}

/** What stands in a table for an id. */
export function cell(id: Id): string {
  return String(id);
}
