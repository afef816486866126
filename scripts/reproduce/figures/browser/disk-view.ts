// The disk: click or press Enter on a node to move it to the centre; names on hover and focus; hubs and relations can be hidden.
import { along, geodesicPath, type Point, recenter, roundDistances } from '../disk-geometry.ts';
import { type Label, type Mark, placeLabels } from '../label-placement.ts';
import type { Disk, DiskNeighborhood } from '../types.ts';
import { describeNode } from './describe.ts';
import { round, svgElement } from './dom.ts';
import { relationFields, relationStroke } from './relation-fields.ts';
import { tooltip } from './tooltip.ts';

const RADIUS = 200;
const HALF = 208;
const SIZES = [9, 5.5, 3.4] as const;
const DURATION = 650;
const ORIGIN: Point = [0, 0];
export class DiskView {
  readonly #disk: Disk & { captions: string[] };
  readonly #svg: SVGSVGElement;
  readonly #status: HTMLElement;
  readonly #controls: HTMLFormElement;
  #which = 0;
  #center: Point = ORIGIN;
  #zoom = 1;
  #focused = 0;
  #hiddenRelations = new Set<number>();
  #visible: boolean[] = [];
  #nodes: SVGGElement[] = [];
  #edges: SVGPathElement[] = [];
  #dots: SVGCircleElement[] = [];
  #boundary!: SVGCircleElement;
  #rings!: SVGGElement;
  #names!: SVGGElement;
  #animation = 0;
  #seen: Point[] = [];

  constructor(root: HTMLElement, disk: Disk & { captions: string[] }) {
    this.#disk = disk;
    this.#svg = root.querySelector('svg')!;
    this.#status = root.querySelector('[role=status]')!;
    this.#controls = root.querySelector('form')!;
    root.hidden = false;
    const field = <T extends Element>(name: string) => this.#controls.querySelector<T>(`[name="${name}"]`)!;
    field<HTMLSelectElement>('entity').addEventListener('change', (event) =>
      this.#choose(Number((event.target as HTMLSelectElement).value)),
    );
    field('hubs').addEventListener('change', () => this.#update());
    field('limit').addEventListener('input', () => this.#update());
    field('names').addEventListener('change', () => this.#draw());
    this.#controls.addEventListener('submit', (event) => event.preventDefault());
    root.querySelector('[data-action=trained]')!.addEventListener('click', () => this.#moveTo(ORIGIN, 1, 'as trained'));
    root.querySelector('[data-action=entity]')!.addEventListener('click', () => this.#centerOn(0));
    for (const [action, factor] of [
      ['in', 1.3],
      ['out', 1 / 1.3],
    ] as const)
      root
        .querySelector(`[data-action=${action}]`)!
        .addEventListener('click', () => this.#moveTo(this.#center, this.#clampZoom(this.#zoom * factor)));
    this.#svg.addEventListener('keydown', (event) => this.#key(event));
    const chosen = Number(field<HTMLSelectElement>('entity').value); // a reload keeps what was chosen
    this.#choose(Number.isInteger(chosen) && disk.entities[chosen] ? chosen : 0);
  }

  get #neighborhood(): DiskNeighborhood {
    return this.#disk.entities[this.#which]!;
  }

  #choose(which: number): void {
    cancelAnimationFrame(this.#animation);
    this.#which = which;
    this.#center = ORIGIN;
    this.#zoom = 1;
    this.#focused = 0;
    this.#hiddenRelations.clear();
    this.#build();
    relationFields(this.#controls.querySelector('fieldset')!, this.#disk, this.#neighborhood, (relation, isShown) => {
      if (isShown) this.#hiddenRelations.delete(relation);
      else this.#hiddenRelations.add(relation);
      this.#update();
    });
    this.#controls.closest('figure')!.querySelector('[data-caption]')!.textContent = this.#disk.captions[which]!;
    this.#update();
  }

  #build(): void {
    const { nodes, edges } = this.#neighborhood;
    this.#boundary = svgElement('circle', { class: 'boundary fill-paper stroke-ink', cx: 0, cy: 0, r: RADIUS });
    this.#rings = svgElement('g', { class: 'rings', 'aria-hidden': 'true' });
    const background = svgElement('g', { class: 'fill-muted', 'fill-opacity': 0.3, 'aria-hidden': 'true' });
    this.#dots = this.#disk.background.map(() => background.appendChild(svgElement('circle', { r: 1 })));
    const lines = svgElement('g', { class: 'edges', 'aria-hidden': 'true' });
    this.#edges = edges.map(({ relation, source }) =>
      lines.appendChild(
        svgElement('path', {
          ...relationStroke(relation),
          fill: 'none',
          'stroke-width': source === 0 ? 1.6 : 0.9,
        }),
      ),
    );
    const marks = svgElement('g');
    this.#nodes = nodes.map((node, i) => {
      const size = SIZES[node.hop];
      const group = svgElement('g', {
        class: `node hop-${node.hop} ${node.placed === 'never' ? 'never' : ''}`,
        role: 'button',
        tabindex: -1,
      });
      group.setAttribute('aria-label', describeNode(this.#disk, this.#neighborhood, i));
      // A finger needs more room than a dot has.
      group.append(svgElement('circle', { class: 'target', r: Math.max(9, size + 3) }));
      group.append(
        node.kind === 'item'
          ? svgElement('circle', { class: 'shape', r: size })
          : svgElement('rect', { class: 'shape', x: -0.89 * size, y: -0.89 * size, width: 1.78 * size, height: 1.78 * size }),
      );
      group.addEventListener('click', () => this.#centerOn(i));
      group.addEventListener('pointerenter', () => this.#highlight(i));
      group.addEventListener('pointerleave', () => this.#highlight(null));
      group.addEventListener('focus', () => {
        this.#focused = i;
        if (group.matches(':focus-visible')) this.#highlight(i);
      });
      group.addEventListener('blur', () => this.#highlight(null));
      return group;
    });
    // The far ones first, so that the entity is on top; in the page's order for those who go through by keyboard, by hop.
    marks.append(...this.#nodes.toReversed());
    this.#names = svgElement('g', { class: 'names', 'aria-hidden': 'true' });
    this.#svg.replaceChildren(this.#boundary, this.#rings, background, lines, marks, this.#names);
  }

  /** Which nodes and edges are shown: not hubs, if these are hidden, not what only they or a hidden relation lead to. */
  #update(): void {
    const { nodes, edges } = this.#neighborhood;
    const hideHubs = this.#controls.querySelector<HTMLInputElement>('[name=hubs]')!.checked;
    const limit = hideHubs ? Number(this.#controls.querySelector<HTMLInputElement>('[name=limit]')!.value) : Number.POSITIVE_INFINITY;
    const isHub = (i: number) => i !== 0 && nodes[i]!.degree > limit;
    const shows = ({ source, target, relation }: (typeof edges)[number]) =>
      !this.#hiddenRelations.has(relation) && !isHub(source) && !isHub(target);
    this.#visible = nodes.map((_, i) => i === 0);
    for (const hop of [1, 2])
      for (const edge of edges)
        if (nodes[edge.target]!.hop === hop && this.#visible[edge.source] && shows(edge)) this.#visible[edge.target] = true;
    for (const [i, edge] of edges.entries()) {
      const isShown = shows(edge) && this.#visible[edge.source] && this.#visible[edge.target];
      this.#edges[i]!.toggleAttribute('hidden', !isShown);
    }
    for (const [i, node] of this.#nodes.entries()) node.toggleAttribute('hidden', !this.#visible[i]);
    if (!this.#visible[this.#focused]) this.#focused = 0;
    this.#draw();
    const hidden = this.#visible.filter((is) => !is).length;
    this.#say(`${nodes.length - hidden} of ${nodes.length} nodes shown`);
  }

  #say(text: string): void {
    this.#status.textContent = text;
  }

  #draw(): void {
    const { nodes, edges } = this.#neighborhood;
    const scale = RADIUS * this.#zoom;
    this.#seen = nodes.map(({ x, y }) => recenter(this.#center, [x, y]));
    this.#boundary.setAttribute('r', round(scale));
    this.#disk.background.forEach((point, i) => {
      const [x, y] = recenter(this.#center, point);
      this.#dots[i]!.setAttribute('cx', round(scale * x));
      this.#dots[i]!.setAttribute('cy', round(-scale * y));
    });
    for (const [i, { source, target }] of edges.entries())
      this.#edges[i]!.setAttribute('d', geodesicPath(this.#seen[source]!, this.#seen[target]!, scale, round));
    this.#nodes.forEach((node, i) => {
      node.setAttribute('transform', `translate(${round(scale * this.#seen[i]![0])} ${round(-scale * this.#seen[i]![1])})`);
      node.setAttribute('tabindex', i === this.#focused ? '0' : '-1');
    });
    this.#drawRings(scale);
    this.#drawNames(scale);
  }

  #drawRings(scale: number): void {
    let last = 0;
    const rings = roundDistances(this.#disk.curvature, scale, RADIUS).flatMap(({ distance, radius }) => {
      const ring = svgElement('circle', { r: round(radius) });
      if (radius - last < 18) return [ring];
      last = radius;
      const text = svgElement('text', { x: 0, y: round(radius + 3), 'text-anchor': 'middle' });
      text.textContent = `d = ${distance}`;
      return [ring, text];
    });
    this.#rings.replaceChildren(...rings);
  }

  #drawNames(scale: number): void {
    const { nodes } = this.#neighborhood;
    const wantsAll = this.#controls.querySelector<HTMLInputElement>('[name=names]')!.checked;
    const shown = nodes.map((_, i) => i).filter((i) => this.#visible[i]);
    const marks = shown.map((i): Mark => {
      const [x, y] = this.#seen[i]!;
      return { x: scale * x, y: -scale * y, size: SIZES[nodes[i]!.hop] * (nodes[i]!.hop === 2 ? 0.5 : 1) };
    });
    const labels = shown
      .map((i, mark) => ({ i, mark }))
      .filter(({ i }) => nodes[i]!.hop === 0 || (wantsAll && nodes[i]!.hop === 1))
      .sort((a, b) => nodes[a.i]!.hop - nodes[b.i]!.hop || nodes[b.i]!.degree - nodes[a.i]!.degree || a.i - b.i)
      .map(({ i, mark }): Label => {
        const { label, hop } = nodes[i]!;
        const text = [...label].length > 22 ? `${[...label].slice(0, 21).join('')}…` : label;
        return { mark, text, size: hop === 0 ? 14 : 12, always: hop === 0 };
      });
    const placed = placeLabels(marks, labels, [HALF, HALF]);
    this.#names.replaceChildren(
      ...placed.map(({ label, anchor, x, y }) => {
        const text = svgElement('text', {
          x: round(x),
          y: round(y),
          'text-anchor': anchor,
          'font-size': label.size,
          class: label.always ? 'own' : '',
        });
        text.textContent = label.text;
        return text;
      }),
    );
  }

  #highlight(i: number | null): void {
    const { edges } = this.#neighborhood;
    this.#svg.classList.toggle('highlighting', i !== null);
    for (const [edge, { source, target }] of edges.entries()) this.#edges[edge]!.classList.toggle('lit', source === i || target === i);
    if (i === null) tooltip.hide();
    else tooltip.show(describeNode(this.#disk, this.#neighborhood, i), this.#nodes[i]!);
  }

  #centerOn(i: number): void {
    const { nodes } = this.#neighborhood;
    const node = nodes[i]!;
    this.#focused = i;
    const target: Point = [node.x, node.y];
    const reach = Math.max(...nodes.filter((_, j) => this.#visible[j]).map(({ x, y }) => Math.hypot(...recenter(target, [x, y]))));
    this.#moveTo(target, this.#clampZoom(Math.max(1, 0.92 / reach)), `${node.label} in the centre`);
  }

  #clampZoom(zoom: number): number {
    return Math.min(20, Math.max(1, zoom));
  }

  /** Along the geodesic; at once for those who asked for less motion. */
  #moveTo(target: Point, zoom: number, said?: string): void {
    cancelAnimationFrame(this.#animation);
    tooltip.hide();
    const [from, fromZoom, started] = [this.#center, this.#zoom, performance.now()];
    const duration = matchMedia('(prefers-reduced-motion: reduce)').matches ? 0 : DURATION;
    const step = (now: number) => {
      const share = duration === 0 ? 1 : Math.min(1, Math.max(0, now - started) / duration);
      const eased = share * share * (3 - 2 * share);
      this.#center = share === 1 ? target : along(from, target, eased);
      this.#zoom = fromZoom * (zoom / fromZoom) ** eased;
      this.#draw();
      if (share < 1) this.#animation = requestAnimationFrame(step);
      else
        this.#say(
          [said, this.#zoom > 1 ? `enlarged ${this.#zoom.toFixed(1)} times` : undefined].filter(Boolean).join(', ') || 'the whole disk',
        );
    };
    step(started);
  }

  #key(event: KeyboardEvent): void {
    const directions: Record<string, Point> = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    const direction = directions[event.key];
    if (direction) this.#focusTowards(direction);
    else if (event.key === 'Enter' || event.key === ' ') this.#centerOn(this.#focused);
    else if (event.key === 'Escape') this.#moveTo(ORIGIN, 1, 'as trained');
    else if (event.key === 'Home') this.#focus(0);
    else return;
    event.preventDefault();
  }

  /** The node that is nearest in about this direction. */
  #focusTowards([dx, dy]: Point): void {
    const [x, y] = this.#seen[this.#focused]!;
    let [best, least] = [-1, Number.POSITIVE_INFINITY];
    this.#seen.forEach(([px, py], i) => {
      const [ux, uy] = [px - x, py - y];
      const ahead = ux * dx + uy * dy;
      const aside = Math.abs(ux * dy - uy * dx);
      if (!this.#visible[i] || i === this.#focused || ahead <= 0 || aside > 2 * ahead) return;
      const cost = ahead + 2 * aside;
      if (cost < least) [best, least] = [i, cost];
    });
    if (best >= 0) this.#focus(best);
  }

  #focus(i: number): void {
    this.#nodes[this.#focused]!.setAttribute('tabindex', '-1');
    this.#focused = i;
    this.#nodes[i]!.setAttribute('tabindex', '0');
    this.#nodes[i]!.focus();
  }
}
