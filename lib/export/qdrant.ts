import { seenItems } from '../ranking.ts';
import { distanceRule, type ExportContext, HNSW, type Target } from './target.ts';
import { vectorText } from './text.ts';

/** Qdrant: a collection and its points, the users as ready queries. Point ids are rows; the caller's ids stand in the payload. */
export const qdrant: Target = {
  limits: { index: 65_536, scan: 65_536 },
  async write({ model, encoding, index, itemIds, userIds, folder, schema }: ExportContext) {
    const { columns, items, users, base, factor, metric } = encoding;
    const indexed = index === 'hnsw';
    // With m = 0 no graph is built, every search is a full scan.
    const collection = {
      vectors: { size: columns, distance: metric === 'l2' ? 'Euclid' : 'Dot' },
      hnsw_config: indexed ? { m: HNSW.m, ef_construct: HNSW.construction } : { m: 0 },
    };
    await folder.text('collection.json', [`${JSON.stringify(collection, null, 2)}\n`]);
    await folder.text(
      'points.ndjson',
      lines(itemIds.values.length, (row) => {
        const id = JSON.stringify(itemIds.values[row]);
        return `{"id":${row},"vector":[${vectorText(items, row, columns)}],"payload":{"item":${id}}}`;
      }),
    );
    await folder.text(
      'queries.ndjson',
      lines(userIds.values.length, (row) => {
        const user = JSON.stringify(userIds.values[row]);
        const seen = `{"must_not":[{"has_id":[${seenItems(model, row).join()}]}]}`;
        const params = indexed ? `{"hnsw_ef":${HNSW.search}}` : '{"exact":true}';
        const search = `{"query":[${vectorText(users, row, columns)}],"filter":${seen},"params":${params},"limit":20,"with_payload":true}`;
        return `{"user":${user},"base":${base ? base[row] : 0},"factor":${factor ? factor[row] : 0},"search":${search}}`;
      }),
    );
    await folder.text('README.txt', [
      `Points of hyper-know for Qdrant: ${encoding.name}, ${columns} columns, ${collection.vectors.distance}.

curl -X PUT  $QDRANT/collections/${schema} -H 'content-type: application/json' -d @collection.json
split -l 500 --filter='jq -s "{points: .}" | curl -sS -X PUT "$QDRANT/collections/${schema}/points?wait=true" -H "content-type: application/json" -d @-' points.ndjson
head -n 1 queries.ndjson | jq .search | curl -X POST $QDRANT/collections/${schema}/points/query -H 'content-type: application/json' -d @-

${distanceRule(encoding)}.
${
  indexed
    ? 'Keep the distance Euclid: a graph by Dot loses items, many of them far out.'
    : 'Keep "exact": true and m = 0: a graph by Dot loses items, many of them far out. For millions of items export with the index hnsw.'
}
`,
    ]);
  },
};

function* lines(rows: number, line: (row: number) => string): Generator<string> {
  for (let row = 0; row < rows; ++row) yield `${line(row)}\n`;
}
