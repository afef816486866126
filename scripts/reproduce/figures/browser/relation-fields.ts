import type { Disk, DiskNeighborhood } from '../types.ts';
import { svgElement } from './dom.ts';

/** Relations with a colour and dashes of their own; the others share the last. */
const COLORS = ['c0', 'c1', 'c2', 'c3', 'c4', 'c5'];
const DASHES = ['', '6 3', '2 2.5', '8 3 2 3', '4 2', '1 2.5'];

export const relationStroke = (relation: number) => ({
  class: `stroke-${COLORS[relation] ?? 'cx'}`,
  'stroke-dasharray': DASHES[relation] ?? '1 1.5',
});

/** Colour, dashes, name and a box to tick, for each relation that has an edge here. */
export function relationFields(
  fieldset: HTMLFieldSetElement,
  { relations }: Disk,
  { edges }: DiskNeighborhood,
  onChange: (relation: number, isShown: boolean) => void,
): void {
  const counts = new Map<number, number>();
  for (const { relation } of edges) counts.set(relation, (counts.get(relation) ?? 0) + 1);
  const entries = [...counts].sort(([a], [b]) => a - b);
  const labels = entries.map(([relation, count]) => {
    const label = document.createElement('label');
    const box = Object.assign(document.createElement('input'), { type: 'checkbox', checked: true });
    box.addEventListener('change', () => onChange(relation, box.checked));
    const key = svgElement('svg', { class: 'key', viewBox: '0 0 24 6', width: 24, height: 6, 'aria-hidden': 'true' });
    key.append(svgElement('path', { d: 'M0 3H24', 'stroke-width': 2.4, ...relationStroke(relation) }));
    label.append(box, key, `${relations[relation]} (${count})`);
    return label;
  });
  fieldset.replaceChildren(fieldset.querySelector('legend')!, ...labels);
}
