/** Arrays as views into larger buffers whose other bytes are known: whoever writes outside the view is found out. */

type Typed = Float32Array | Uint32Array;

const CANARY = 0xa5;
const MARGIN = 64; // bytes before and behind

export interface Frame {
  /** Where in the inputs the array stands. */
  path: string;
  bytes: Uint8Array;
  length: number;
}

function frame<T extends Typed>(array: T, path: string): { view: T; frame: Frame } {
  const bytes = new Uint8Array(array.byteLength + 2 * MARGIN).fill(CANARY);
  const view = new (array.constructor as new (buffer: ArrayBuffer, offset: number, length: number) => T)(
    bytes.buffer,
    MARGIN,
    array.length,
  );
  view.set(array);
  return { view, frame: { path, bytes, length: array.byteLength } };
}

/** The same inputs with every typed array, at any depth, in a frame of its own. */
export function framed<T>(inputs: T, path = 'inputs'): { inputs: T; frames: Frame[] } {
  if (inputs instanceof Float32Array || inputs instanceof Uint32Array) {
    const { view, frame: one } = frame(inputs, path);
    return { inputs: view as T & Typed, frames: [one] };
  }
  if (inputs === null || typeof inputs !== 'object') return { inputs, frames: [] };
  const frames: Frame[] = [];
  const entries = Object.entries(inputs).map(([name, value]) => {
    const inner = framed(value as unknown, `${path}.${name}`);
    frames.push(...inner.frames);
    return [name, inner.inputs];
  });
  return { inputs: Object.fromEntries(entries) as T, frames };
}

/** The frames with a changed byte outside the view. */
export function damage(frames: readonly Frame[]): string[] {
  return frames.flatMap(({ path, bytes, length }) => {
    const at = bytes.findIndex((byte, i) => byte !== CANARY && (i < MARGIN || i >= MARGIN + length));
    return at < 0 ? [] : [`${path}: byte ${at - MARGIN} of ${length} was written`];
  });
}
