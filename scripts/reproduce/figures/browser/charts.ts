// Charts are drawn before; here their hints show at once, and the entries of a legend switch what they are about.
import { tooltip } from './tooltip.ts';

export function enhanceCharts(root: ParentNode): void {
  for (const mark of root.querySelectorAll<SVGElement>('svg.chart .mark')) {
    const title = mark.querySelector(':scope > title');
    const text = title?.textContent ?? '';
    title?.remove(); // the browser's own hint comes late, and would be a second one
    mark.addEventListener('pointerenter', () => tooltip.show(text, mark));
    mark.addEventListener('pointerleave', () => tooltip.hide());
  }
  for (const key of root.querySelectorAll<SVGGElement>('svg.chart [data-key]')) {
    const svg = key.ownerSVGElement!;
    // A picture has no parts that could be pressed.
    svg.setAttribute('role', 'group');
    key.setAttribute('role', 'button');
    key.setAttribute('tabindex', '0');
    key.setAttribute('aria-pressed', 'true');
    const box = key.getBBox();
    const area = document.createElementNS('http://www.w3.org/2000/svg', 'rect');
    for (const [name, value] of Object.entries({ x: box.x - 2, y: box.y - 1, width: box.width + 4, height: box.height + 2 }))
      area.setAttribute(name, String(value));
    area.setAttribute('fill', 'transparent');
    key.prepend(area);
    const toggle = () => {
      const shown = key.getAttribute('aria-pressed') === 'false';
      key.setAttribute('aria-pressed', String(shown));
      for (const series of svg.querySelectorAll<SVGElement>(`[data-series="${key.dataset.key}"]`)) series.toggleAttribute('hidden', !shown);
    };
    key.addEventListener('click', toggle);
    key.addEventListener('keydown', (event) => {
      if (event.key !== 'Enter' && event.key !== ' ') return;
      event.preventDefault();
      toggle();
    });
  }
}
