// Ids, names and file names come from data sets, and a terminal obeys what is printed on it. Everything that is printed goes through here.

/**
 * Controls (line ends too), format characters such as the bidirectional overrides, lone surrogates, line and paragraph separators; but not the
 * two joiners that Persian, Hindi and emoji are written with.
 */
const UNSEEN = /(?![\u200c\u200d])[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

/** Text that cannot move a cursor, change a colour, set a link or turn its direction: whatever is not plainly visible is written `\u{…}`. */
export function visible(text: string): string {
  return text.replace(UNSEEN, (character) => `\\u{${character.codePointAt(0)!.toString(16)}}`);
}

/** JSON, on one line unless `indent` says otherwise, with the same characters as `\uXXXX`: it parses to the same value. */
export function visibleJson(value: unknown, indent?: number): string {
  return JSON.stringify(value, undefined, indent).replace(UNSEEN, (character) =>
    character === '\n' // between its lines; in a text it is `\n` already
      ? character
      : Array.from({ length: character.length }, (_, i) => `\\u${character.charCodeAt(i).toString(16).padStart(4, '0')}`).join(''),
  );
}
