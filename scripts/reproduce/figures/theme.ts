// Colours and marks. The eight colours are Okabe and Ito's, which stay apart for colour-blind readers; dashes and shapes tell the same in print
// without colour. Every colour is an attribute, which any viewer of SVG understands, and a class, by which the report's page has others at night.
import { type Attributes, round, tag } from './svg.ts';

const COLORS = {
  ink: '#1a1a1a',
  muted: '#5c5c5c',
  grid: '#dddddd',
  paper: '#ffffff',
  c0: '#0072b2',
  c1: '#d55e00',
  c2: '#009e73',
  cx: '#777777',
  c3: '#cc79a7',
  c4: '#e69f00',
  c5: '#56b4e9',
} as const;

export type Color = keyof typeof COLORS;

export const SERIES: readonly Color[] = ['c0', 'c1', 'c2', 'c3', 'c4', 'c5'];
/** What comes after the others. */
export const OTHER: Color = 'cx';
export const DASHES: readonly (string | undefined)[] = [undefined, '6 3', '2 2.5', '8 3 2 3', '4 2', '1 2.5'];

export const FONT: Attributes = { 'font-family': 'sans-serif' };

export function paint({ fill, stroke }: { fill?: Color; stroke?: Color }): Attributes {
  return {
    class: [fill && `fill-${fill}`, stroke && `stroke-${stroke}`].filter(Boolean).join(' '),
    fill: fill ? COLORS[fill] : 'none',
    ...(stroke ? { stroke: COLORS[stroke] } : {}),
  };
}

/** A mark around (x, y) of about the area of a circle of this radius; the shape goes with the number of the series. */
export function mark(series: number, x: number, y: number, radius: number, attributes: Attributes, ...children: string[]): string {
  if (series % 4 === 0) return tag('circle', { cx: x, cy: y, r: radius, ...attributes }, ...children);
  const side = 0.89 * radius;
  if (series % 4 === 1) return tag('rect', { x: x - side, y: y - side, width: 2 * side, height: 2 * side, ...attributes }, ...children);
  const long = 1.35 * radius;
  const points =
    series % 4 === 2
      ? [x, y - long, x + 1.17 * long, y + 0.68 * long, x - 1.17 * long, y + 0.68 * long]
      : [x, y - long, x + long, y, x, y + long, x - long, y];
  return tag('polygon', { points: points.map(round).join(' '), ...attributes }, ...children);
}
