// Seeded damage to small files, for the comparison of a reader with its slow and plain counterpart.

/** Damaged inputs a format and run; more or fewer with HYPER_KNOW_MUTATIONS. */
export const MUTATIONS: number = Number(process.env.HYPER_KNOW_MUTATIONS ?? 20_000);

/** How much is read at once: cut within every line, or once or never. */
export const READ_BYTES: readonly number[] = [1, 2, 3, 7, 4096, 65536];

const BYTES = [0x00, 0x09, 0x0a, 0x0d, 0x20, 0x22, 0x2b, 0x2d, 0x2e, 0x30, 0x39, 0x3a, 0x65, 0x78, 0x7f, 0x80, 0xc3, 0xa9, 0xef, 0xff];

export const TEXTS: readonly Buffer[] = [
  '-1',
  '+1',
  '1.5',
  '1e3',
  '0x1f',
  '007',
  '4294967294',
  '4294967295',
  '2147483648',
  '99999999999999999999',
  '1000001',
  'abc',
]
  .concat(['\r\n', '\n\n', '\r', '\t', '  ', '\t\t', ' \n', '\ufeff', '\u2028', '٣', '１', 'NaN', '0 0 0', '\n1\n', '\n5 5\n'])
  .map((text) => Buffer.from(text));

/** The bytes with one to three random edits, of which some insert one of `texts`. */
export function mutated(bytes: Buffer, random: () => number, texts: readonly Buffer[] = TEXTS): Buffer {
  const below = (bound: number) => Math.floor(random() * bound);
  let result = bytes;
  for (let edits = 1 + below(3); edits > 0; --edits) {
    const at = below(result.length + 1);
    const length = Math.min(below(6), result.length - at);
    const [before, middle, after] = [result.subarray(0, at), result.subarray(at, at + length), result.subarray(at + length)];
    const inserted = [
      () => Buffer.of(BYTES[below(BYTES.length)]!),
      () => texts[below(texts.length)]!,
      () => Buffer.alloc(0),
      () => Buffer.concat([middle, middle]),
      () => Buffer.concat([middle, texts[below(texts.length)]!]),
    ][below(5)]!();
    result = random() < 0.03 ? Buffer.from(before) : Buffer.concat([before, inserted, after]);
  }
  return random() < 0.05 ? Buffer.concat([Buffer.of(0xef, 0xbb, 0xbf), result]) : result;
}
