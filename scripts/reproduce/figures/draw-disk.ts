// Figure 3 on paper: the disk as it was trained, and the same with the entity in the middle.
import { geodesicPath, type Point, recenter, roundDistances } from './disk-geometry.ts';
import { type Label, type Mark, placeLabels } from './label-placement.ts';
import type { Panel } from './plot.ts';
import { type Attributes, hint, round, tag, text } from './svg.ts';
import { type Color, DASHES, mark, OTHER, paint, SERIES } from './theme.ts';
import type { Disk, DiskNeighborhood, DiskNode } from './types.ts';

const RADIUS = 168;
const CENTER = 180;
const TOP = 30;
const SIZES = { 0: 7, 1: 4.2, 2: 2.4 } as const;
const LABEL = 10;

const relationColor = (relation: number): Color => SERIES[relation] ?? OTHER;
const relationDash = (relation: number): string | undefined => (relation < SERIES.length ? DASHES[relation] : '1 1.5');

/** One look at the disk: where the nodes are in it, and how many units of the page its radius is. */
interface View {
  title: string;
  seen: Point[];
  background: Point[];
  scale: number;
}

/** Enlarged where that shows a third more at least; so far that the outermost node is still inside. */
function enlargement(seen: readonly Point[]): number {
  const zoom = Math.min(20, 0.92 / Math.max(...seen.map((point) => Math.hypot(...point))));
  return zoom >= 1.33 ? Math.floor(10 * zoom) / 10 : 1;
}

export function diskPanels(disk: Disk, { nodes, edges }: DiskNeighborhood): Panel[] {
  const points = nodes.map(({ x, y }): Point => [x, y]);
  const { label, x, y } = nodes[0]!;
  const moved = points.map((point) => recenter([x, y], point));
  const zoom = enlargement(moved);
  const name = shortened(label, 24);
  const views: View[] = [
    {
      title: `${name} and its two-hop neighbours`,
      seen: points,
      background: disk.background.map(([a, b]): Point => [a, b]),
      scale: RADIUS,
    },
    {
      title: `${name} in the centre${zoom > 1 ? `, ${zoom} times enlarged` : ''}`,
      seen: moved,
      background: disk.background.map((point) => recenter([x, y], point)),
      scale: zoom * RADIUS,
    },
  ];
  const rows = Math.max(legendHeight(disk, edges), 3);
  return views.map((view, i) => ({
    ...{ width: 360, height: TOP + 2 * RADIUS + 16 + rows * 15 + 6, title: view.title, description: describe(nodes, edges.length) },
    body: drawView(disk, nodes, edges, view) + (i === 0 ? legend(disk, edges) : shapes(nodes)),
  }));
}

function drawView({ curvature }: Disk, nodes: readonly DiskNode[], edges: DiskNeighborhood['edges'], view: View): string {
  const { title, seen, background, scale } = view;
  const isWhole = scale === RADIUS;
  const circles = rings(curvature, view);
  const dots = background.filter((point) => Math.hypot(...point) * scale <= RADIUS);
  return [
    text({ x: 4, y: 15, 'font-size': 12, 'font-weight': 'bold', ...paint({ fill: 'ink' }) }, title),
    tag(
      'g',
      { transform: `translate(${CENTER} ${TOP + RADIUS})` },
      isWhole ? tag('circle', { cx: 0, cy: 0, r: RADIUS, 'stroke-width': 1.2, ...paint({ fill: 'paper', stroke: 'ink' }) }) : '',
      circles.drawn,
      tag(
        'g',
        { 'fill-opacity': 0.25, ...paint({ fill: 'muted' }) },
        ...dots.map(([x, y]) => tag('circle', { cx: scale * x, cy: -scale * y, r: 0.8 })),
      ),
      tag('g', { 'stroke-opacity': 0.75, fill: 'none' }, ...edges.map((edge) => drawEdge(view, edge))),
      ...drawOrder(nodes).map((node) => drawNode(nodes[node]!, seen[node]!, scale)),
      ...labels(nodes, view, circles.marks),
    ),
  ].join('');
}

/** Circles at round distances from the centre, up to five: what the ball does to lengths. Their names stand where fewest points are. */
function rings(curvature: number, { seen, background, scale }: View): { drawn: string; marks: Mark[] } {
  const circles = roundDistances(curvature, scale, RADIUS);
  const named = circles.filter(({ radius }, i) => radius - (i === 0 ? 0 : circles[i - 1]!.radius) >= 14);
  const crowd = (angle: number): number => {
    const places = named.map(({ radius }): Point => [radius * Math.cos(angle), radius * Math.sin(angle)]);
    const near = (points: readonly Point[], weight: number) =>
      points.filter(([x, y]) => places.some(([a, b]) => Math.hypot(scale * x - a, scale * y - b) < 24)).length * weight;
    return near(seen, 4) + near(background, 1);
  };
  const angles = Array.from({ length: 16 }, (_, i) => (-(i + 4) * Math.PI) / 8);
  const angle = angles.reduce((best, one) => (crowd(one) < crowd(best) ? one : best));
  const lines = circles.map(({ radius }) => tag('circle', { cx: 0, cy: 0, r: radius, 'stroke-width': 0.7, ...paint({ stroke: 'grid' }) }));
  const marks = named.map(({ radius }): Mark => ({ x: radius * Math.cos(angle), y: -radius * Math.sin(angle), size: 11 }));
  const names = named.map(({ distance }, i) => {
    const attributes = { 'text-anchor': 'middle', 'font-size': 9, ...HALO, ...paint({ fill: 'muted', stroke: 'paper' }) };
    return text({ x: marks[i]!.x, y: marks[i]!.y + 3, ...attributes }, `d = ${distance}`);
  });
  return { drawn: lines.join('') + names.join(''), marks };
}

const describe = (nodes: readonly DiskNode[], edges: number): string => {
  const count = (hop: number) => nodes.filter((node) => node.hop === hop).length;
  return `${nodes[0]!.label} with ${count(1)} neighbours and ${count(2)} of theirs in the Poincaré disk, joined by ${edges} geodesics.`;
};

const shortened = (label: string, most: number): string =>
  [...label].length <= most ? label : `${[...label].slice(0, most - 1).join('')}…`;

function drawEdge({ seen, scale }: View, { source, target, relation }: DiskNeighborhood['edges'][number]): string {
  const color = paint({ stroke: relationColor(relation) });
  const d = geodesicPath(seen[source]!, seen[target]!, scale, round);
  return tag('path', { d, 'stroke-width': source === 0 ? 1.3 : 0.7, 'stroke-dasharray': relationDash(relation), ...color });
}

/** Far ones first, so that the entity itself is on top. */
const drawOrder = (nodes: readonly DiskNode[]): number[] => nodes.map((_, i) => i).sort((a, b) => nodes[b]!.hop - nodes[a]!.hop || a - b);

function drawNode({ hop, kind, label, degree, placed }: DiskNode, [x, y]: Point, scale: number): string {
  // Never trained: hollow.
  const colors =
    placed === 'never'
      ? paint({ fill: 'paper', stroke: hop === 0 ? 'c1' : 'ink' })
      : paint({ fill: hop === 0 ? 'c1' : 'ink', stroke: 'paper' });
  const attributes: Attributes = { 'stroke-width': placed === 'never' ? (hop === 0 ? 2.4 : 1.2) : 0.7, ...colors };
  return mark(kind === 'item' ? 0 : 1, scale * x, -scale * y, SIZES[hop], attributes, hint(`${label} (${kind}, ${degree} triples)`));
}

/** Names of the entity and of neighbours where there is room, those of more triples first. */
function labels(nodes: readonly DiskNode[], { seen, scale }: View, taken: readonly Mark[]): string[] {
  // Names may touch the small marks of the second hop, not cover them.
  const marks = seen.map(([x, y], i) => ({ x: scale * x, y: -scale * y, size: SIZES[nodes[i]!.hop] * (nodes[i]!.hop === 2 ? 0.5 : 1) }));
  const order = nodes.map((_, i) => i).filter((i) => nodes[i]!.hop < 2);
  order.sort((a, b) => nodes[a]!.hop - nodes[b]!.hop || nodes[b]!.degree - nodes[a]!.degree || a - b);
  const wanted = order.map((mark): Label => {
    const { label, hop } = nodes[mark]!;
    return { mark, text: shortened(label, 22), size: hop === 0 ? LABEL + 1 : LABEL, always: hop === 0 };
  });
  return placeLabels([...marks, ...taken], wanted, [CENTER - 2, RADIUS + 8]).map(({ label: { text: name, size, always }, anchor, x, y }) =>
    text(
      {
        x,
        y,
        'text-anchor': anchor,
        'font-size': size,
        ...(always ? { 'font-weight': 'bold' } : {}),
        ...HALO,
        ...paint({ fill: 'ink', stroke: 'paper' }),
      },
      name,
    ),
  );
}

const HALO: Attributes = { 'paint-order': 'stroke', 'stroke-width': 3, 'stroke-linejoin': 'round', 'stroke-opacity': 0.85 };

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
            label: `${others.length} other relation${others.length > 1 ? 's' : ''} (${others.reduce((sum, relation) => sum + counts.get(relation)!, 0)})`,
            relation: SERIES.length,
          },
        ]
      : []),
  ];
}

const legendHeight = (disk: Disk, edges: DiskNeighborhood['edges']): number => Math.ceil(relationEntries(disk, edges).length / 2) + 1;

/** Relations, in two columns. */
function legend(disk: Disk, edges: DiskNeighborhood['edges']): string {
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
