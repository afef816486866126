import { distanceRule, type ExportContext, HNSW, type Target } from './target.ts';
import { csvText, vectorText } from './text.ts';

/** .npy files, the ids as JSON in the order of rows. */
export const npy: Target = {
  limits: { index: Number.MAX_SAFE_INTEGER, scan: Number.MAX_SAFE_INTEGER },
  async write(context: ExportContext) {
    const { encoding, itemIds, userIds, folder } = context;
    await folder.bytes('items.npy', npyOf(encoding.items, encoding.columns));
    await folder.bytes('queries.npy', npyOf(encoding.users, encoding.columns));
    if (encoding.base && encoding.factor) {
      await folder.bytes('base.npy', npyOf(encoding.base, 1));
      await folder.bytes('factor.npy', npyOf(encoding.factor, 1));
    }
    await folder.text('item_ids.json', jsonList(itemIds.values));
    await folder.text('user_ids.json', jsonList(userIds.values));
  },
};

/** The same with a recipe. */
export const faiss: Target = {
  limits: npy.limits,
  async write(context: ExportContext) {
    await npy.write(context);
    const { encoding } = context;
    const flat = encoding.metric === 'l2' ? 'faiss.IndexFlatL2' : 'faiss.IndexFlatIP';
    const index =
      context.index === 'hnsw'
        ? `index = faiss.IndexHNSWFlat(items.shape[1], ${HNSW.m})   # L2, which these vectors are made for
index.hnsw.efConstruction = ${HNSW.construction}
index.hnsw.efSearch = ${HNSW.search}`
        : `index = ${flat}(items.shape[1])         # exact; a graph by inner product loses items, many of them far out`;
    const distance =
      encoding.name === 'euclidean'
        ? 'distances = 2 * np.sqrt(scores)'
        : `products = ${encoding.metric === 'l2' ? '1 - scores / 2' : 'scores'}
base, factor = np.load("base.npy")[:10, None], np.load("factor.npy")[:10, None]
distances = np.arccosh(np.maximum(1, base + factor * products)) / ${Math.sqrt(context.model.curvature)}`;
    await context.folder.text('recipe.py', [
      `# ${encoding.name}: ${distanceRule(encoding)}
import json
import faiss
import numpy as np

items, queries = np.load("items.npy"), np.load("queries.npy")
${index}
index.add(items)
scores, rows = index.search(queries[:10], 20)         # of the first ten users; what they have seen is not left out
${distance}
item_ids = json.load(open("item_ids.json"))
print([[(item_ids[row], float(d)) for row, d in zip(*pair)] for pair in zip(rows, distances)])
`,
    ]);
  },
};

/** RFC 4180, one column a coordinate. */
export const csv: Target = {
  limits: npy.limits,
  async write({ encoding, itemIds, userIds, folder }: ExportContext) {
    const { columns, items, users, base, factor } = encoding;
    const names = Array.from({ length: columns }, (_, i) => `x${i}`).join();
    const rows = function* (first: string, ids: readonly (string | number)[], rest: (row: number) => string): Generator<string> {
      yield `${first}\r\n`;
      for (let row = 0; row < ids.length; ++row) yield `${csvText(ids[row]!)},${rest(row)}\r\n`;
    };
    await folder.text(
      'items.csv',
      rows(`item,${names}`, itemIds.values, (row) => vectorText(items, row, columns)),
    );
    await folder.text(
      'queries.csv',
      rows(
        `user,base,factor,${names}`,
        userIds.values,
        (row) => `${base?.[row] ?? 0},${factor?.[row] ?? 0},${vectorText(users, row, columns)}`,
      ),
    );
  },
};

function* jsonList(values: readonly (string | number)[]): Generator<string> {
  yield '[';
  for (let i = 0; i < values.length; ++i) yield `${i === 0 ? '' : ','}${JSON.stringify(values[i])}`;
  yield ']\n';
}

/** Version 1.0 of the format: magic, header padded to 64 bytes, then the numbers as they lie in memory. */
export function* npyOf(data: Float32Array | Float64Array, columns: number): Generator<Uint8Array> {
  const rows = data.length / columns;
  const shape = columns === 1 ? `(${rows},)` : `(${rows}, ${columns})`;
  const text = `{'descr': '<f${data.BYTES_PER_ELEMENT}', 'fortran_order': False, 'shape': ${shape}, }`;
  const length = Math.ceil((10 + text.length + 1) / 64) * 64 - 10;
  yield Buffer.concat([
    Buffer.from([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, length & 0xff, length >> 8]),
    Buffer.from(`${text.padEnd(length - 1)}\n`),
  ]);
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  for (let begin = 0; begin < bytes.length; begin += 1 << 20) yield bytes.subarray(begin, begin + (1 << 20));
}
