// A panel: one pair of axes with a title and a legend. Figures are made of panels, side by side on paper and as they fit on a page.
import type { ScaleContinuousNumeric } from 'd3-scale';
import { type Attributes, escapeText, hint, mathText, round, tag, text, textWidth } from './svg.ts';
import { type Color, DASHES, FONT, mark, paint } from './theme.ts';

export type Scale = ScaleContinuousNumeric<number, number>;

export interface Panel {
  width: number;
  height: number;
  /** What a screen reader says of it. */
  title: string;
  description: string;
  body: string;
}

export interface Axis {
  label: string;
  scale: Scale;
  ticks: readonly number[];
  format(value: number): string;
}

/** How a line or mark is told from the others; `series` names the group of the drawing that can be switched off. */
export interface LegendEntry {
  label: string;
  color: Color;
  dash?: string | undefined;
  kind: 'line' | 'band' | 'mark';
  shape?: number;
  series?: string;
}

const WIDTH = 360;
export const PLOT: Readonly<{ left: number; right: number; height: number }> = { left: 54, right: 342, height: 176 };
const TITLE = 24;
const LEGEND_ROW = 15;
const BELOW = 44;
const SMALL = 11;

/** The plot's own coordinates: x from PLOT.left to PLOT.right, y from PLOT.height up to 0. */
export const X_RANGE: [number, number] = [PLOT.left, PLOT.right];
export const Y_RANGE: [number, number] = [PLOT.height, 0];

export interface PanelOptions {
  title: string;
  description: string;
  x: Axis;
  y: Axis;
  legend?: readonly LegendEntry[];
  /** So that the axes of panels side by side are at one height. */
  legendRows?: number;
  content: string;
}

export function panel({ title, description, x, y, legend = [], legendRows: least = 0, content }: PanelOptions): Panel {
  const rows = legendRows(legend);
  const top = TITLE + LEGEND_ROW * Math.max(rows.length, least) + 8;
  const body = [
    mathText({ x: 4, y: 15, 'font-size': 12, 'font-weight': 'bold', ...paint({ fill: 'ink' }) }, title),
    ...rows.map((entries, row) => legendRow(entries, TITLE + LEGEND_ROW * row + 8)),
    tag('g', { transform: `translate(0 ${round(top)})` }, axes(x, y), content),
  ].join('');
  return { width: WIDTH, height: top + PLOT.height + BELOW, title, description, body };
}

function axes(x: Axis, y: Axis): string {
  const { left, right, height } = PLOT;
  const label = { 'font-size': SMALL, ...paint({ fill: 'ink' }) };
  const number = { 'font-size': SMALL, ...paint({ fill: 'muted' }) };
  const line = { 'stroke-width': 1, ...paint({ stroke: 'ink' }) };
  return [
    ...y.ticks.map((value) => {
      const at = y.scale(value);
      const grid = tag('line', { x1: left, x2: right, y1: at, y2: at, 'stroke-width': 0.6, ...paint({ stroke: 'grid' }) });
      return grid + text({ x: left - 6, y: at + 4, 'text-anchor': 'end', ...number }, y.format(value));
    }),
    ...x.ticks.map((value) => {
      const at = x.scale(value);
      const tick = tag('line', { x1: at, x2: at, y1: height, y2: height + 4, ...line });
      return tick + text({ x: at, y: height + 16, 'text-anchor': 'middle', ...number }, x.format(value));
    }),
    tag('path', { d: `M${left} 0V${height}H${right}`, ...line }),
    mathText({ x: 0.5 * (left + right), y: height + 34, 'text-anchor': 'middle', ...label }, x.label),
    mathText({ transform: `translate(12 ${round(0.5 * height)}) rotate(-90)`, 'text-anchor': 'middle', ...label }, y.label),
  ].join('');
}

const entryWidth = ({ label }: LegendEntry): number => 30 + textWidth(label, SMALL);

function legendRows(legend: readonly LegendEntry[]): LegendEntry[][] {
  const rows: LegendEntry[][] = [];
  let left = 0;
  for (const entry of legend) {
    if (rows.length === 0 || left + entryWidth(entry) > WIDTH - 8) {
      rows.push([]);
      left = 0;
    }
    rows.at(-1)!.push(entry);
    left += entryWidth(entry);
  }
  return rows;
}

function legendRow(entries: readonly LegendEntry[], y: number): string {
  let left = 6;
  return entries
    .map((entry) => {
      const at = left;
      left += entryWidth(entry);
      const label = mathText({ x: at + 22, y: y + 4, 'font-size': SMALL, ...paint({ fill: 'ink' }) }, entry.label);
      return tag('g', entry.series === undefined ? {} : { 'data-key': entry.series }, legendKey(entry, at, y) + label);
    })
    .join('');
}

function legendKey({ color, dash, kind, shape = 0 }: LegendEntry, x: number, y: number): string {
  if (kind === 'band') return tag('rect', { x, y: y - 5, width: 18, height: 10, 'fill-opacity': 0.25, ...paint({ fill: color }) });
  if (kind === 'mark') return mark(shape, x + 9, y, 4, { 'stroke-width': 1.4, ...paint({ fill: 'paper', stroke: color }) });
  return tag('line', { x1: x, x2: x + 18, y1: y, y2: y, 'stroke-width': 2, 'stroke-dasharray': dash, ...paint({ stroke: color }) });
}

export function curve(path: string | null, color: Color, attributes: Attributes = {}, title?: string): string {
  const all = { d: path ?? '', 'stroke-width': 1.8, 'stroke-linejoin': 'round', ...paint({ stroke: color }), ...attributes };
  return title === undefined ? tag('path', all) : tag('path', all, hint(title));
}

export const dashOf = (series: number): string | undefined => DASHES[series % DASHES.length];

/** A whole drawing of panels in rows of `columns`. */
export function drawing(name: string, title: string, description: string, panels: readonly Panel[], columns: number): string {
  const rows: Panel[][] = [];
  for (let i = 0; i < panels.length; i += columns) rows.push(panels.slice(i, i + columns));
  const width = Math.max(...rows.map((row) => row.reduce((sum, one) => sum + one.width, 0)));
  let top = 0;
  const placed = rows.map((row) => {
    let left = 0;
    const y = top;
    top += Math.max(...row.map(({ height }) => height));
    return row.map(({ body, width: own }) => {
      const group = tag('g', { transform: `translate(${round(left)} ${round(y)})` }, body);
      left += own;
      return group;
    });
  });
  const background = tag('rect', { width, height: top, ...paint({ fill: 'paper' }) });
  return `${svgElement(name, title, description, width, top, background + placed.flat().join(''))}\n`;
}

/** One panel as an element of a page. */
export const panelElement = (name: string, { title, description, width, height, body }: Panel): string =>
  svgElement(name, title, description, width, height, body);

function svgElement(name: string, title: string, description: string, width: number, height: number, body: string): string {
  return tag(
    'svg',
    {
      xmlns: 'http://www.w3.org/2000/svg',
      viewBox: `0 0 ${round(width)} ${round(height)}`,
      width,
      height,
      role: 'img',
      'aria-labelledby': `${name}-title ${name}-description`,
      ...FONT,
    },
    tag('title', { id: `${name}-title` }, escapeText(title)),
    tag('desc', { id: `${name}-description` }, escapeText(description)),
    body,
  );
}
