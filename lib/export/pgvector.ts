import type { Interactions } from '../data/csr.ts';
import { type ExportContext, distanceRule, HNSW, type Target } from './target.ts';
import { type IdColumn, vectorText } from './text.ts';

/**
 * PostgreSQL with pgvector 0.7 or later: tables, COPY files, functions recommend(user_id, k) and similar_items(item_id, k), and load.sql, which
 * psql runs from within the folder.
 */
export const pgvector: Target = {
  limits: { index: 2000, scan: 16_000 },
  async write(context: ExportContext) {
    const { model, encoding, itemIds, userIds, folder, schema } = context;
    const { columns, base, factor, items, users } = encoding;
    await folder.text('schema.sql', [schemaSql(context)]);
    await folder.text(
      'items.copy',
      rowsOf(itemIds, (row) => `[${vectorText(items, row, columns)}]`),
    );
    await folder.text(
      'users.copy',
      rowsOf(userIds, (row) => `[${vectorText(users, row, columns)}]\t${base ? `${base[row]}\t${factor![row]}` : '0\t0'}`),
    );
    await folder.text('seen.copy', seenRows(userIds, itemIds, model.seen));
    await folder.text('functions.sql', [functionsSql(context)]);
    await folder.text('load.sql', [loadSql(schema)]);
  },
};

const TABLES = { items: '(id, vector)', users: '(id, query, base, factor)', seen: '(user_id, item_id)' } as const;

function schemaSql({ model, encoding, itemIds, userIds, schema }: ExportContext): string {
  const { name, columns, norm } = encoding;
  // (V0 - 1/sqrt(c), V, …) becomes (-V0, V, 0).
  const isLast = (i: number) => name === 'augmented-l2' && i === columns - 1;
  const mask = Array.from({ length: columns }, (_, i) => (isLast(i) ? 0 : i === 0 && name !== 'euclidean' ? -norm : norm));
  const shift = Array.from({ length: columns }, (_, i) => (i === 0 && name !== 'euclidean' ? -1 / Math.sqrt(model.curvature) : 0));
  const [user, item] = [sqlType(userIds), sqlType(itemIds)];
  return `CREATE EXTENSION IF NOT EXISTS vector;
CREATE SCHEMA ${schema};
CREATE TABLE ${schema}.items (id ${item} PRIMARY KEY, vector vector(${columns}) NOT NULL);
CREATE TABLE ${schema}.users (id ${user} PRIMARY KEY, query vector(${columns}) NOT NULL, base double precision NOT NULL, factor double precision NOT NULL);
-- One row: what makes an item's vector a query, (vector * mask) + shift.
CREATE TABLE ${schema}.as_query (mask vector(${columns}) NOT NULL, shift vector(${columns}) NOT NULL);
INSERT INTO ${schema}.as_query VALUES ('[${mask.join()}]', '[${shift.join()}]');
-- Training and validation items of each user: recommend() leaves them out. Add to it what happens later.
CREATE TABLE ${schema}.seen (user_id ${user} NOT NULL, item_id ${item} NOT NULL, PRIMARY KEY (user_id, item_id));
`;
}

function functionsSql({ model, encoding, index, itemIds, userIds, schema }: ExportContext): string {
  const { name, norm } = encoding;
  const [user, item] = [sqlType(userIds), sqlType(itemIds)];
  const c = model.curvature;
  const root = Math.sqrt(c);
  const indexed = index === 'hnsw';
  const operator = name === 'lorentz' ? '<#>' : '<->';
  // <#> is the inner product with its sign changed.
  const distance = (query: string) =>
    c === 0 ? `2 * (i.vector <-> ${query})` : `acosh(greatest(1, q.base - q.factor * (i.vector <#> ${query}))) / ${root}`;
  // What is left out is left out after the index has been asked: it goes on until k are found.
  const settings = indexed ? `\n  SET hnsw.ef_search = ${HNSW.search} SET hnsw.iterative_scan = strict_order` : '';
  const indexing = indexed
    ? `-- L2 on all of it: an index by inner product (vector_ip_ops) loses items of these points, many of them far out.
CREATE INDEX items_vector ON ${schema}.items USING hnsw (vector vector_l2_ops) WITH (m = ${HNSW.m}, ef_construction = ${HNSW.construction});
`
    : `-- No index: a full scan is exact. An index by inner product loses items, many of them far out;
-- for millions of items export again with the option index 'hnsw', whose vectors an L2 index can handle.
`;
  const raw = '(it.vector * a.mask + a.shift)';
  const query = c === 0 ? 'it.vector' : `l2_normalize(${raw})`;
  const constants =
    c === 0 ? '0 AS base, 0 AS factor' : `-(${raw}::real[])[1] * ${root} AS base, -${c * norm} * vector_norm(${raw}) AS factor`;
  const wanted = `FROM ${schema}.items it, ${schema}.as_query a WHERE it.id = wanted_item`;
  const nearest = (filter: string, to: string) => `(
      SELECT id, vector FROM ${schema}.items WHERE ${filter}
      ORDER BY vector ${operator} (${to}) LIMIT k
    ) i`;
  return `${indexing}
-- The k nearest items that the user has not seen; nothing for a user that is not there. ${distanceRule(encoding)}.
CREATE FUNCTION ${schema}.recommend(wanted_user ${user}, k integer DEFAULT 20)
  RETURNS TABLE (item_id ${item}, distance double precision) LANGUAGE sql STABLE${settings} AS $$
  SELECT i.id, ${distance('q.query')}
    FROM ${nearest(
      `id <> ALL (ARRAY(SELECT s.item_id FROM ${schema}.seen s WHERE s.user_id = wanted_user))`,
      `SELECT u.query FROM ${schema}.users u WHERE u.id = wanted_user`,
    )}, (SELECT query, base, factor FROM ${schema}.users WHERE id = wanted_user) q
    ORDER BY 2, 1
$$;

-- The k items nearest to an item; nothing for an item that is not there.
CREATE FUNCTION ${schema}.similar_items(wanted_item ${item}, k integer DEFAULT 20)
  RETURNS TABLE (item_id ${item}, distance double precision) LANGUAGE sql STABLE${settings} AS $$
  SELECT i.id, ${distance('q.query')}
    FROM ${nearest('id <> wanted_item', `SELECT ${query} ${wanted}`)},
    (SELECT ${query} AS query, ${constants} ${wanted}) q
    ORDER BY 2, 1
$$;
`;
}

function loadSql(schema: string): string {
  const copies = Object.entries(TABLES).map(([table, columns]) => `\\copy ${schema}.${table} ${columns} FROM '${table}.copy'`);
  return `-- cd into this folder, then: psql -v ON_ERROR_STOP=1 -1 -f load.sql DATABASE
\\i schema.sql
${copies.join('\n')}
\\i functions.sql
ANALYZE ${schema}.items;
ANALYZE ${schema}.users;
ANALYZE ${schema}.seen;
`;
}

function sqlType({ isInteger }: IdColumn): string {
  return isInteger ? 'bigint' : 'text';
}

/** A value of the text form of COPY. */
function copyText(id: string | number): string {
  return String(id).replace(/[\\\t\n\r\b\f\v]/g, (character) => ESCAPES[character]!);
}

const ESCAPES: Readonly<Record<string, string>> = {
  ...{ '\\': '\\\\', '\t': '\\t', '\n': '\\n', '\r': '\\r' },
  ...{ '\b': '\\b', '\f': '\\f', '\v': '\\v' },
};

function* rowsOf({ values }: IdColumn, rest: (row: number) => string): Generator<string> {
  for (let row = 0; row < values.length; ++row) yield `${copyText(values[row]!)}\t${rest(row)}\n`;
}

function* seenRows(userIds: IdColumn, itemIds: IdColumn, { offsets, items }: Interactions): Generator<string> {
  for (let user = 0; user < userIds.values.length; ++user) {
    const id = copyText(userIds.values[user]!);
    for (let i = offsets[user]!; i < offsets[user + 1]!; ++i) yield `${id}\t${copyText(itemIds.values[items[i]!]!)}\n`;
  }
}
