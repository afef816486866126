// SVG as text. Numbers have two decimals at most, so that equal data give equal bytes on every machine.

export type Attributes = Record<string, string | number | undefined>;

const ESCAPES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };

/** Text for XML and HTML; what XML does not allow at all is left out. */
export const escapeText = (text: string): string =>
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the ones that XML 1.0 forbids
  text.replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, '').replace(/[&<>"]/g, (character) => ESCAPES[character]!);

/** @throws {RangeError} for what is no number: a path with NaN in it shows nothing and says nothing */
export function round(value: number): string {
  if (!Number.isFinite(value)) throw new RangeError(`svg: ${value} is no coordinate`);
  const text = (Math.round(value * 100) / 100).toString();
  return text === '-0' ? '0' : text;
}

export function tag(name: string, attributes: Attributes, ...children: string[]): string {
  const written = Object.entries(attributes)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => ` ${key}="${typeof value === 'number' ? round(value) : escapeText(value!)}"`)
    .join('');
  return children.length === 0 ? `<${name}${written}/>` : `<${name}${written}>${children.join('')}</${name}>`;
}

export const text = (attributes: Attributes, content: string): string => tag('text', attributes, escapeText(content));

/** The same with `L_K` and the like set with a subscript. */
export const mathText = (attributes: Attributes, content: string): string =>
  tag(
    'text',
    attributes,
    escapeText(content).replace(/([A-Z])_([A-Z])(.?)/gu, (_, base: string, below: string, next: string) => {
      const back = next === '' ? '' : `<tspan dy="-2.5">${next}</tspan>`;
      return `<tspan font-style="italic">${base}</tspan><tspan dy="2.5" font-size="8">${below}</tspan>${back}`;
    }),
  );

/** On a shape: shown where the pointer rests on it. */
export const hint = (content: string): string => tag('title', {}, escapeText(content));

/** About how wide a text is in a sans-serif typeface: what decides whether labels meet. */
export const textWidth = (content: string, size: number): number => [...content].length * 0.56 * size;
