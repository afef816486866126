export const svgElement = <N extends keyof SVGElementTagNameMap>(
  name: N,
  attributes: Record<string, string | number> = {},
): SVGElementTagNameMap[N] => {
  const element = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
  return element;
};

export const round = (value: number): string => value.toFixed(2);
