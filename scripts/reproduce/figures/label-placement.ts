// Where names fit. No imports: the report's page runs this file, too.

export interface Mark {
  x: number;
  y: number;
  /** Half of its width and height. */
  size: number;
}

export interface Label {
  /** Which mark it is of. */
  mark: number;
  text: string;
  size: number;
  /** Shown whether or not there is room. */
  always: boolean;
}

export interface PlacedLabel {
  label: Label;
  anchor: 'start' | 'end' | 'middle';
  x: number;
  y: number;
}

interface Box {
  left: number;
  right: number;
  top: number;
  bottom: number;
}

const meets = (a: Box, b: Box): boolean => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;

/** Of a sans-serif typeface, about. */
const widthOf = ({ text, size }: Label): number => [...text].length * 0.56 * size;

/**
 * Labels beside their marks, in the order given, each right, left, above or below, wherever it meets neither a mark nor another label nor the
 * frame; one that finds no place is left out.
 *
 * @param frame half of the width and the height around the origin
 */
export function placeLabels(marks: readonly Mark[], labels: readonly Label[], frame: readonly [number, number]): PlacedLabel[] {
  const boxes = marks.map(({ x, y, size }): Box => ({ left: x - size, right: x + size, top: y - size, bottom: y + size }));
  const taken: Box[] = [...boxes];
  const placed: PlacedLabel[] = [];
  for (const label of labels) {
    const { x, y, size } = marks[label.mark]!;
    const [gap, wide] = [size + 3, widthOf(label)];
    const options = [
      { anchor: 'start', x: x + gap, y: y + 3.5, left: x + gap },
      { anchor: 'end', x: x - gap, y: y + 3.5, left: x - gap - wide },
      { anchor: 'middle', x, y: y - gap - 1, left: x - wide / 2 },
      { anchor: 'middle', x, y: y + gap + 8, left: x - wide / 2 },
    ] as const;
    const fits = options
      .map(({ left, ...option }) => ({ option, box: { left, right: left + wide, top: option.y - 0.8 * label.size, bottom: option.y + 2 } }))
      .filter(({ box }) => box.left > -frame[0] && box.right < frame[0] && box.top > -frame[1] && box.bottom < frame[1]);
    const own = boxes[label.mark];
    const found =
      fits.find(({ box }) => !taken.some((other) => other !== own && meets(box, other))) ?? (label.always ? fits[0] : undefined);
    if (!found) continue;
    taken.push(found.box);
    placed.push({ label, ...found.option });
  }
  return placed;
}
