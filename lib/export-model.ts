import type { ExportOptions, ExportReport } from './export/index.ts';
import type { Model } from './model.ts';

/**
 * Hands a model to a vector engine: its users and items as vectors that the engine orders as the model does, scripts that load them, and a
 * certificate of how well they do. The event loop stays free. What writes them is loaded at the first call.
 *
 * @throws {TypeError, RangeError} for bad arguments; {HyperKnowError} ERR_HK_IO if the folder cannot be written or is there already,
 *   ERR_HK_DISPOSED
 * @example
 * const { recall, warnings, files } = await exportModel(model, { to: 'pgvector', out: 'sql' });
 * console.error(recall, warnings, files.map(({ name }) => name)); // 1, [], ['schema.sql', 'items.copy', …]
 */
export async function exportModel(model: Model, options: ExportOptions): Promise<ExportReport> {
  return (await import('./export/index.ts')).exportModel(model, options);
}
