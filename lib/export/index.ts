import { checkBoolean, checkInteger, checkOneOf, checkOptions, show } from '../check.ts';
import { finishInTurns } from '../data/steps.ts';
import { argumentError } from '../errors.ts';
import { checkModel, type Model } from '../model.ts';
import { csv, faiss, npy } from './arrays.ts';
import { type Certificate, certify } from './certificate.ts';
import { encode } from './encoding.ts';
import { CERTIFICATE_FILE, ExportFolder, type WrittenFile } from './folder.ts';
import { parquet } from './parquet.ts';
import { pgvector } from './pgvector.ts';
import { qdrant } from './qdrant.ts';
import type { Target } from './target.ts';
import { idColumn } from './text.ts';

export type { Certificate } from './certificate.ts';
export type { EncodingName } from './encoding.ts';
export type { WrittenFile } from './folder.ts';

/** Engines and file formats that a model can be handed to. */
export type ExportTarget = 'pgvector' | 'qdrant' | 'faiss' | 'parquet' | 'csv' | 'npy';

export const EXPORT_TARGETS: Readonly<Record<ExportTarget, Target>> = { pgvector, qdrant, faiss, parquet, csv, npy };

/** Of `exportModel`. */
export interface ExportOptions {
  to: ExportTarget;
  /** The folder to write, whole or not at all; parents are made. */
  out: string;
  /**
   * 'none' (default): for full scans, which find exactly what the model does: Lorentz vectors of dim + 1 columns, ordered by inner product.
   * 'hnsw': for graph indexes, which pay from about a million items: augmented vectors of dim + 2 columns, ordered by L2. A graph over Lorentz
   * vectors by inner product is never written: it loses items, the more the farther out they lie. The Euclidean variants have plain vectors in both cases.
   */
  index?: 'none' | 'hnsw';
  /** pgvector: schema of the tables; Qdrant: name of the collection. Lower-case letters, digits and _. Default 'hyper_know'. */
  schema?: string;
  /** Replace an earlier export at `out`; nothing else is ever replaced. Default false. */
  overwrite?: boolean;
  /** Users that the certificate compares, evenly spread over all. Default 500. */
  checkUsers?: number;
}

/** What was written, and what it is worth. It stands in the folder, too, as certificate.json. */
export interface ExportReport extends Certificate {
  format: 'hyper-know export';
  version: 1;
  to: ExportTarget;
  index: 'none' | 'hnsw';
  dim: number;
  curvature: number;
  variant: string;
  items: number;
  /** But for certificate.json itself. */
  files: WrittenFile[];
}

/** `exportModel` of lib/export-model.ts, which loads this. */
export async function exportModel(model: Model, options: ExportOptions): Promise<ExportReport> {
  checkModel(model);
  const known = ['to', 'out', 'index', 'schema', 'overwrite', 'checkUsers'] as const;
  const given = checkOptions<ExportOptions>('options', options, known);
  const to = checkOneOf('to', given.to, Object.keys(EXPORT_TARGETS) as ExportTarget[]);
  const index = checkOneOf('index', given.index === undefined ? 'none' : given.index, ['none', 'hnsw']);
  const { out, schema = 'hyper_know' } = given;
  if (typeof out !== 'string' || out === '') throw argumentError('type', 'out', `must be the path of a folder, got ${show(out)}`);
  if (typeof schema !== 'string' || !/^[a-z_][a-z0-9_]{0,62}$/.test(schema))
    throw argumentError('range', 'schema', `must be of a-z, 0-9 and _, and not begin with a digit, got ${show(schema)}`);
  const overwrite = given.overwrite === undefined ? false : checkBoolean('overwrite', given.overwrite);
  const checkUsers = checkInteger('checkUsers', given.checkUsers === undefined ? 500 : given.checkUsers, 1);
  const { itemIds: itemList, userIds: userList, dim, curvature, training } = model;
  const target = EXPORT_TARGETS[to];
  const encoding = await finishInTurns(encode(model, index === 'hnsw' ? 'augmented-l2' : 'lorentz'));
  const most = target.limits[index === 'hnsw' ? 'index' : 'scan'];
  if (encoding.columns > most)
    throw argumentError('range', 'index', `${to} takes at most ${most} columns there, these vectors have ${encoding.columns}`);
  const [itemIds, userIds] = [idColumn('items', itemList), idColumn('users', userList)];
  const certificate = await finishInTurns(certify(model, encoding, 20, checkUsers));
  const about = {
    format: 'hyper-know export',
    version: 1,
    to,
    index,
    dim,
    curvature,
    variant: training.variant,
    items: itemList.length,
  } as const;
  let report: ExportReport | undefined;
  await ExportFolder.write(out, overwrite, async (folder) => {
    await target.write({ model, encoding, index, itemIds, userIds, folder, schema });
    report = { ...about, ...certificate, files: [...folder.files] };
    await folder.text(CERTIFICATE_FILE, [`${JSON.stringify(report, null, 2)}\n`]);
  });
  return report!;
}
