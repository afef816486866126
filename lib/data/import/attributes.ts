import { Uint32List } from '../csr.ts';
import type { SourceFile } from '../raw-dataset.ts';
import { readNTriples } from '../tables/ntriples.ts';
import { type Cell, readTable } from '../tables/table.ts';
import { basename } from 'node:path';
import { IdMap } from '../id-map.ts';
import { cellError, idOf, numberOf } from './interactions.ts';
import type { ResolvedImport, ResolvedRelation } from './options.ts';

/** What one relation brings, and whether it can tell items apart at all. */
export interface RelationReport {
  name: string;
  triples: number;
  /** Items with a value, and distinct values. */
  items: number;
  values: number;
  /** The value that most of the items have, and the share of them that has it. */
  commonest: { value: string; share: number };
  /** Why it is likely noise, where it is. */
  doubt?: string;
}

/** What became of the catalogue and of the triples. */
export interface KnowledgeReport {
  files: SourceFile[];
  relations: RelationReport[];
  /** Rows of the catalogue whose item has no interaction that was kept; they are left out. */
  unknownItems: number;
  /** Rows of the catalogue about an item that an earlier row is about too; their values are added. */
  repeatedItems: number;
  itemsWithoutRow: number;
  /** Values of item relations that are no item, left out. */
  unknownTargets: number;
  /** Triples of the graph that touch no item, and literals, left out. */
  triplesElsewhere: number;
  literals: number;
}

/** The graph: entities by name, items first under their own ids. */
export interface Knowledge {
  entities: IdMap;
  relations: IdMap;
  heads: Uint32List;
  kinds: Uint32List;
  tails: Uint32List;
  report: KnowledgeReport;
}

/** A relation of which one value covers so many of its items says next to nothing. */
const NOISE_SHARE = 0.8;

/** By what ids items go in the graph. */
interface Aliases {
  ids: IdMap;
  /** by id */
  items: number[];
}

/** Reads catalogue and graph for these items. */
export async function readKnowledge({ items: catalogue, triples }: ResolvedImport, items: readonly string[]): Promise<Knowledge> {
  const entities = new IdMap();
  for (const item of items) entities.add(item);
  const knowledge: Knowledge = {
    entities,
    relations: new IdMap(),
    heads: new Uint32List(),
    kinds: new Uint32List(),
    tails: new Uint32List(),
    report: {
      files: [],
      relations: [],
      unknownItems: 0,
      repeatedItems: 0,
      itemsWithoutRow: catalogue ? items.length : 0,
      unknownTargets: 0,
      triplesElsewhere: 0,
      literals: 0,
    },
  };
  const aliases: Aliases = { ids: new IdMap(), items: [] };
  if (catalogue) await readCatalogue(catalogue, items.length, knowledge, aliases);
  if (triples) await readGraph(triples, items.length, knowledge, aliases);
  return knowledge;
}

async function readCatalogue(
  catalogue: NonNullable<ResolvedImport['items']>,
  itemCount: number,
  knowledge: Knowledge,
  aliases: Aliases,
): Promise<void> {
  const { entities, report } = knowledge;
  const name = basename(catalogue.path);
  const relations = catalogue.relations.map((relation) => new RelationBuilder(relation, knowledge, itemCount, name));
  const columns = [catalogue.item, ...relations.map(({ column }) => column), ...(catalogue.entity === undefined ? [] : [catalogue.entity])];
  const isDescribed = new Uint8Array(itemCount);
  const row = (cells: readonly Cell[], line: number) => {
    const item = entities.get(idOf(cells[0]!, name, line, catalogue.item));
    if (item === undefined || item >= itemCount) {
      ++report.unknownItems;
      return;
    }
    if (isDescribed[item] === 1) ++report.repeatedItems;
    else --report.itemsWithoutRow;
    isDescribed[item] = 1;
    relations.forEach((relation, i) => {
      relation.add(item, cells[i + 1]!, line);
    });
    if (catalogue.entity !== undefined && cells.at(-1) !== '')
      aliases.items[aliases.ids.add(idOf(cells.at(-1)!, name, line, catalogue.entity))] = item;
  };
  report.files.push(
    await readTable(catalogue.path, columns, row, catalogue.delimiter === undefined ? {} : { delimiter: catalogue.delimiter }),
  );
  for (const relation of relations) report.relations.push(relation.finish());
}

/** Collects the values of one column. */
class RelationBuilder {
  readonly column: string;
  private readonly relation: ResolvedRelation;
  private readonly knowledge: Knowledge;
  private readonly itemCount: number;
  private readonly file: string;
  /** by entity: how many items have it */
  private readonly counts = new Map<number, number>();
  private readonly itemsSeen = new Set<number>();
  private readonly known = new Set<number>();
  /** where numbers are to be put into classes: item and number in turn */
  private readonly numbers: [item: number, value: number][] = [];
  private triples = 0;

  constructor(relation: ResolvedRelation, knowledge: Knowledge, itemCount: number, file: string) {
    this.column = relation.column;
    this.relation = relation;
    this.knowledge = knowledge;
    this.itemCount = itemCount;
    this.file = file;
  }

  add(item: number, cell: Cell, line: number): void {
    const { separator, bins } = this.relation;
    if (bins !== undefined) {
      if (cell === '') return;
      const value = numberOf(cell);
      if (!Number.isFinite(value)) throw cellError(this.file, line, this.column, 'must be a number, to be put into classes', cell);
      this.numbers.push([item, value]);
      return;
    }
    const values = typeof cell !== 'string' ? cell : separator === undefined ? [cell] : cell.split(separator);
    for (const value of values) this.addValue(item, value.replace(/\p{Cc}+/gu, ' ').trim(), line);
  }

  private addValue(item: number, value: string, line: number): void {
    if (value === '') return;
    const { entities, report } = this.knowledge;
    let entity: number | undefined;
    if (this.relation.entities === 'item') {
      entity = entities.get(value);
      if (entity === undefined || entity >= this.itemCount) {
        ++report.unknownTargets;
        return;
      }
    } else {
      entity = entities.add(`${this.relation.entities}:${value}`);
      if (entity < this.itemCount)
        throw cellError(
          this.file,
          line,
          this.column,
          `would be the entity "${this.relation.entities}:${value}", but an item has that id`,
          value,
        );
    }
    this.addTriple(item, entity);
  }

  private addTriple(item: number, entity: number): void {
    const { entities, relations, heads, kinds, tails } = this.knowledge;
    const pair = item * 2 ** 32 + entity;
    if (this.known.has(pair) || entities.size === 0) return;
    this.known.add(pair);
    this.itemsSeen.add(item);
    this.counts.set(entity, (this.counts.get(entity) ?? 0) + 1);
    ++this.triples;
    heads.push(item);
    kinds.push(relations.add(this.relation.name));
    tails.push(entity);
  }

  /** Classes of about equally many items, named by the numbers they begin and end with; equal numbers are never parted. */
  private addClasses(bins: number): void {
    const sorted = Float64Array.from(this.numbers, ([, value]) => value).sort();
    const last = sorted.length - 1;
    const edges = [...new Set(Array.from({ length: bins }, (_, i) => sorted[Math.floor((i * sorted.length) / bins)]!))];
    for (const [item, value] of this.numbers) {
      let at = edges.length - 1;
      while (at > 0 && value < edges[at]!) --at;
      const label = at === edges.length - 1 ? `${edges[at]} to ${sorted[last]}` : `${edges[at]} to below ${edges[at + 1]}`;
      this.addValue(item, label, 1);
    }
  }

  finish(): RelationReport {
    if (this.relation.bins !== undefined && this.numbers.length > 0) this.addClasses(this.relation.bins);
    const [entity, most] = [...this.counts].reduce((best, next) => (next[1] > best[1] ? next : best), [-1, 0]);
    const items = this.itemsSeen.size;
    const share = items === 0 ? 0 : most / items;
    const doubt =
      items === 0
        ? 'no item has a value'
        : share > NOISE_SHARE
          ? `one value covers ${Math.round(100 * share)} % of its items`
          : most === 1 && items > 1
            ? 'no two items share a value'
            : undefined;
    return {
      name: this.relation.name,
      triples: this.triples,
      items,
      values: this.counts.size,
      commonest: { value: entity < 0 ? '' : String(this.knowledge.entities.ids[entity]), share },
      ...(doubt === undefined ? {} : { doubt }),
    };
  }
}

async function readGraph(
  graph: NonNullable<ResolvedImport['triples']>,
  itemCount: number,
  { entities, relations, heads, kinds, tails, report }: Knowledge,
  aliases: Aliases,
): Promise<void> {
  /** by relation */
  const counts = new Map<number, { triples: number; items: Set<number>; values: Map<number, number> }>();
  const itemOf = (id: string) => {
    const alias = aliases.ids.get(id);
    const row = alias === undefined ? entities.get(id) : aliases.items[alias];
    return row !== undefined && row < itemCount ? row : undefined;
  };
  const add = (head: string, relation: string, tail: string, isLiteral: boolean) => {
    if (isLiteral && !graph.literals) {
      ++report.literals;
      return;
    }
    const [from, to] = [itemOf(head), isLiteral ? undefined : itemOf(tail)];
    if (from === undefined && to === undefined) {
      ++report.triplesElsewhere;
      return;
    }
    const headRow = from ?? entities.add(head);
    const tailRow = to ?? entities.add(isLiteral ? `"${tail}"` : tail);
    heads.push(headRow);
    const kind = relations.add(relation);
    kinds.push(kind);
    tails.push(tailRow);
    const count = counts.get(kind) ?? { triples: 0, items: new Set<number>(), values: new Map<number, number>() };
    counts.set(kind, count);
    ++count.triples;
    if (from !== undefined) {
      count.items.add(from);
      count.values.set(tailRow, (count.values.get(tailRow) ?? 0) + 1);
    }
  };
  const name = basename(graph.path);
  const clean = (text: string) => text.replace(/\p{Cc}+/gu, ' ').trim();
  if (/\.nt(\.gz|\.zip)?$/i.test(name))
    report.files.push(
      await readNTriples(graph.path, (head, relation, tail, isLiteral) => {
        const text = clean(tail);
        if (text !== '') add(clean(head), clean(relation), text, isLiteral);
      }),
    );
  else {
    const { head = 'head', relation = 'relation', tail = 'tail', delimiter } = graph;
    const row = (cells: readonly Cell[], line: number) =>
      add(idOf(cells[0]!, name, line, head), idOf(cells[1]!, name, line, relation), idOf(cells[2]!, name, line, tail), false);
    report.files.push(await readTable(graph.path, [head, relation, tail], row, delimiter === undefined ? {} : { delimiter }));
  }
  for (const [kind, { triples, items, values }] of counts) {
    const [entity, most] = [...values].reduce((best, next) => (next[1] > best[1] ? next : best), [-1, 0]);
    const share = items.size === 0 ? 0 : most / items.size;
    report.relations.push({
      name: relations.ids[kind] as string,
      triples,
      items: items.size,
      values: values.size,
      commonest: { value: entity < 0 ? '' : String(entities.ids[entity]), share },
      ...(share > NOISE_SHARE && items.size > 1 ? { doubt: `one value covers ${Math.round(100 * share)} % of its items` } : {}),
    });
  }
}
