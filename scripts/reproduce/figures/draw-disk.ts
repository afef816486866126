// Figure 3 on paper: the disk as it was trained, and the same with the entity in the middle.
import { geodesicPath, type Point, recenter } from './disk-geometry.ts';
import type { Panel } from './plot.ts';
import { type Attributes, hint, round, tag, text, textWidth } from './svg.ts';
import { type Color, DASHES, mark, OTHER, paint, SERIES } from './theme.ts';
import type { Disk, DiskNeighborhood, DiskNode } from './types.ts';

const RADIUS = 168;
const CENTER = 180;
const TOP = 30;
const SIZES = { 0: 7, 1: 4.2, 2: 2.4 } as const;
const LABEL = 10;

export const relationColor = (relation: number): Color => SERIES[relation] ?? OTHER;
export const relationDash = (relation: number): string | undefined => (relation < SERIES.length ? DASHES[relation] : '1 1.5');

export function diskPanels(disk: Disk, { nodes, edges }: DiskNeighborhood): Panel[] {
  const points = nodes.map(({ x, y }): Point => [x, y]);
  const name = nodes[0]!.label;
  const views: [string, Point][] = [
    [`${name} and its two-hop neighbours`, [0, 0]],
    [`the same, ${name} moved to the centre`, points[0]!],
  ];
  return views.map(([title, center], i) => {
    const seen = points.map((point) => recenter(center, point));
    const background = disk.background.map((point) => recenter(center, point));
    const body = [
      text({ x: 4, y: 15, 'font-size': 12, 'font-weight': 'bold', ...paint({ fill: 'ink' }) }, shortened(title, 52)),
      tag(
        'g',
        { transform: `translate(${CENTER} ${TOP + RADIUS})` },
        tag('circle', { cx: 0, cy: 0, r: RADIUS, 'stroke-width': 1, ...paint({ fill: 'paper', stroke: 'muted' }) }),
        tag(
          'g',
          { 'fill-opacity': 0.25, ...paint({ fill: 'muted' }) },
          ...background.map(([x, y]) => tag('circle', { cx: RADIUS * x, cy: -RADIUS * y, r: 0.8 })),
        ),
        tag('g', { 'stroke-opacity': 0.75, fill: 'none' }, ...edges.map((edge) => drawEdge(seen, edge))),
        ...drawOrder(nodes).map((node) => drawNode(nodes[node]!, seen[node]!)),
        ...labels(nodes, seen),
      ),
      i === 0 ? legend(disk, nodes, edges) : shapes(nodes),
    ].join('');
    const rows = Math.max(legendHeight(disk, edges), 3);
    return { width: 360, height: TOP + 2 * RADIUS + 16 + rows * 15 + 6, title, description: describe(nodes, edges.length), body };
  });
}

const describe = (nodes: readonly DiskNode[], edges: number): string => {
  const count = (hop: number) => nodes.filter((node) => node.hop === hop).length;
  return `${nodes[0]!.label} with ${count(1)} neighbours and ${count(2)} of theirs in the Poincaré disk, joined by ${edges} geodesics.`;
};

const shortened = (label: string, most: number): string =>
  [...label].length <= most ? label : `${[...label].slice(0, most - 1).join('')}…`;

function drawEdge(seen: readonly Point[], { source, target, relation }: DiskNeighborhood['edges'][number]): string {
  const color = paint({ stroke: relationColor(relation) });
  const d = geodesicPath(seen[source]!, seen[target]!, RADIUS, round);
  return tag('path', { d, 'stroke-width': source === 0 ? 1.3 : 0.7, 'stroke-dasharray': relationDash(relation), ...color });
}

/** Far ones first, so that the entity itself is on top. */
const drawOrder = (nodes: readonly DiskNode[]): number[] => nodes.map((_, i) => i).sort((a, b) => nodes[b]!.hop - nodes[a]!.hop || a - b);

function drawNode({ hop, kind, label, degree, placed }: DiskNode, [x, y]: Point): string {
  // Never trained: hollow.
  const colors = placed === 'never' ? paint({ fill: 'paper', stroke: 'ink' }) : paint({ fill: hop === 0 ? 'c1' : 'ink', stroke: 'paper' });
  const attributes: Attributes = { 'stroke-width': placed === 'never' ? 1.2 : 0.7, ...colors };
  return mark(kind === 'item' ? 0 : 1, RADIUS * x, -RADIUS * y, SIZES[hop], attributes, hint(`${label} (${kind}, ${degree} triples)`));
}

interface Box {
  left: number;
  right: number;
  top: number;
  bottom: number;
}

const meets = (a: Box, b: Box): boolean => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;

/** Names of the entity and of neighbours where there is room, right or left of their marks; those of more triples first. */
function labels(nodes: readonly DiskNode[], seen: readonly Point[]): string[] {
  const marks = seen.map(([x, y], i): Box => {
    const size = SIZES[nodes[i]!.hop] * (nodes[i]!.hop === 2 ? 0.6 : 1);
    return { left: RADIUS * x - size, right: RADIUS * x + size, top: -RADIUS * y - size, bottom: -RADIUS * y + size };
  });
  const taken: Box[] = marks.filter((_, i) => nodes[i]!.hop < 2);
  const order = nodes.map((_, i) => i).filter((i) => nodes[i]!.hop < 2);
  order.sort((a, b) => nodes[a]!.hop - nodes[b]!.hop || nodes[b]!.degree - nodes[a]!.degree || a - b);
  return order.flatMap((i) => {
    const [x, y] = [RADIUS * seen[i]![0], -RADIUS * seen[i]![1]];
    const { hop, label } = nodes[i]!;
    const name = shortened(label, 22);
    const size = hop === 0 ? LABEL + 1 : LABEL;
    const [gap, wide] = [SIZES[hop] + 3, textWidth(name, size)];
    const places: [anchor: string, x: number, y: number][] = [
      ['start', x + gap, y + 3.5],
      ['end', x - gap, y + 3.5],
      ['middle', x, y - gap - 1],
      ['middle', x, y + gap + 8],
    ];
    for (const [anchor, at, base] of places) {
      const left = anchor === 'start' ? at : anchor === 'end' ? at - wide : at - wide / 2;
      const box = { left, right: left + wide, top: base - size * 0.8, bottom: base + 2 };
      const own = marks[i]!;
      const isFree = !taken.some((other) => other !== own && meets(box, other));
      const isInside = left > -CENTER + 2 && left + wide < CENTER - 2 && box.top > -RADIUS - 8 && box.bottom < RADIUS + 8;
      if (!isInside || (!isFree && hop !== 0)) continue;
      taken.push(box);
      const halo = { 'paint-order': 'stroke', 'stroke-width': 3, 'stroke-linejoin': 'round', 'stroke-opacity': 0.85 };
      return [
        text(
          {
            x: at,
            y: base,
            'text-anchor': anchor,
            'font-size': size,
            ...(hop === 0 ? { 'font-weight': 'bold' } : {}),
            ...halo,
            ...paint({ fill: 'ink', stroke: 'paper' }),
          },
          name,
        ),
      ];
    }
    return [];
  });
}

function relationEntries(disk: Disk, edges: DiskNeighborhood['edges']): { label: string; relation: number }[] {
  const counts = new Map<number, number>();
  for (const { relation } of edges) counts.set(relation, (counts.get(relation) ?? 0) + 1);
  const used = [...counts.keys()].sort((a, b) => a - b);
  const own = used.filter((relation) => relation < SERIES.length);
  const others = used.filter((relation) => relation >= SERIES.length);
  return [
    ...own.map((relation) => ({ label: `${shortened(disk.relations[relation]!, 20)} (${counts.get(relation)})`, relation })),
    ...(others.length > 0
      ? [
          {
            label: `${others.length} other relations (${others.reduce((sum, relation) => sum + counts.get(relation)!, 0)})`,
            relation: SERIES.length,
          },
        ]
      : []),
  ];
}

const legendHeight = (disk: Disk, edges: DiskNeighborhood['edges']): number => Math.ceil(relationEntries(disk, edges).length / 2) + 1;

/** Relations, in two columns. */
function legend(disk: Disk, _nodes: readonly DiskNode[], edges: DiskNeighborhood['edges']): string {
  const top = TOP + 2 * RADIUS + 16;
  const title = text({ x: 6, y: top + 4, 'font-size': 11, ...paint({ fill: 'muted' }) }, 'relations (edges)');
  const entries = relationEntries(disk, edges).map(({ label, relation }, i) => {
    const [x, y] = [6 + 178 * (i % 2), top + 15 * (1 + Math.floor(i / 2))];
    const key = { x1: x, x2: x + 22, y1: y, y2: y, 'stroke-width': 2, 'stroke-dasharray': relationDash(relation) };
    return (
      tag('line', { ...key, ...paint({ stroke: relationColor(relation) }) }) +
      text({ x: x + 28, y: y + 4, 'font-size': 11, ...paint({ fill: 'ink' }) }, label)
    );
  });
  return title + entries.join('');
}

/** What sizes and shapes mean. */
function shapes(nodes: readonly DiskNode[]): string {
  const top = TOP + 2 * RADIUS + 16;
  const entry = (x: number, y: number, drawn: string, label: string) =>
    drawn + text({ x: x + 12, y: y + 4, 'font-size': 11, ...paint({ fill: 'ink' }) }, label);
  const filled = { 'stroke-width': 0.7, ...paint({ fill: 'ink', stroke: 'paper' }) };
  const rows = [
    entry(12, top, mark(0, 12, top, 4.2, filled), 'item'),
    entry(72, top, mark(1, 72, top, 4.2, filled), 'other entity'),
    entry(12, top + 15, mark(0, 12, top + 15, SIZES[0], { 'stroke-width': 0.7, ...paint({ fill: 'c1', stroke: 'paper' }) }), 'itself'),
    entry(72, top + 15, mark(0, 72, top + 15, SIZES[1], filled), 'one hop away'),
    entry(168, top + 15, mark(0, 168, top + 15, SIZES[2], filled), 'two hops away'),
    entry(
      168,
      top,
      tag('g', { 'fill-opacity': 0.4, ...paint({ fill: 'muted' }) }, tag('circle', { cx: 168, cy: top, r: 1.4 })),
      'other items (a sample)',
    ),
  ];
  const never = nodes.some(({ placed }) => placed === 'never');
  if (never)
    rows.push(
      entry(
        12,
        top + 30,
        mark(0, 12, top + 30, 4.2, { 'stroke-width': 1.2, ...paint({ fill: 'paper', stroke: 'ink' }) }),
        'hollow: never trained, stands where it was initialised',
      ),
    );
  return rows.join('');
}
