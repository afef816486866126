import type { Embedding } from './embedding.ts';
import { type NativeItemTable, native } from './native.ts';

const tables: WeakMap<Embedding, NativeItemTable> = new WeakMap();

/** The item rows of the entity table. */
export function itemTable({ entities, itemIds, dim }: Embedding): Float32Array {
  return entities.subarray(0, itemIds.length * dim);
}

/**
 * The model's items as native topK ranks them fastest: copied and prepared at the first call and kept as long as the model, or until
 * `releaseItems`. The copy takes twice the memory of the items' points.
 *
 * Points that were written to since are prepared again. `whole` looks at all of them, which costs about as much as ranking two users;
 * otherwise a table of more than 2¹⁶ numbers is only sampled, so that there a change of single items can go unseen.
 */
export function preparedItems(model: Embedding, whole: boolean = false): NativeItemTable {
  const items = itemTable(model);
  let table = tables.get(model);
  if (!table?.matches(items, whole)) {
    // One that is replaced may still be ranked by a batch: it goes when that lets go of it.
    table = new native.ItemTable(items, model.dim, model.curvature);
    tables.set(model, table);
  }
  return table;
}

/** Frees what `preparedItems` keeps, now or when the last job that ranks it is done. */
export function releaseItems(model: Embedding): void {
  tables.get(model)?.dispose();
  tables.delete(model);
}
