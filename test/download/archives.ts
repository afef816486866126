// Zip files that no data set comes in: what each is, and what the refusal says.
import { seededRandom } from '../helpers.ts';
import { zipOf } from '../unit/data/zip.ts';
import { graph, published } from './attempt.ts';

/** The same zip file with something changed in the directory's entry of its first file. */
export function zipWith(change: (entry: Buffer) => void, zip = graph): Buffer {
  const copy = Buffer.from(zip);
  change(copy.subarray(copy.indexOf('PK\u0001\u0002')));
  return copy;
}
export const ofUnix = (type: number) => (entry: Buffer) => {
  entry.writeUInt8(3, 5);
  entry.writeUInt32LE((type | 0o777) * 0x10000, 38);
};
const named = (name: string): Buffer => zipOf({ [name]: published['kg_final.txt'] }, {});
/** A directory of so many files, none of which is there. */
function ofEntries(number: number): Buffer {
  const entry = Buffer.concat([Buffer.from('PK\u0001\u0002'), Buffer.alloc(24), Buffer.from([1, 0]), Buffer.alloc(16), Buffer.from('a')]);
  const list = Buffer.concat([Buffer.from('PK\u0003\u0004'), ...Array.from({ length: number }, () => entry)]);
  const end = Buffer.alloc(22);
  end.write('PK\u0005\u0006');
  end.writeUInt32LE(list.length - 4, 12);
  end.writeUInt32LE(4, 16);
  return Buffer.concat([list, end]);
}
/** PKWARE's extra field of Unix, in the directory's entry, with the name that a hard link leads to. */
function hardLink(): Buffer {
  const [at, extra] = [
    graph.indexOf('PK\u0001\u0002'),
    Buffer.concat([Buffer.from([0x0d, 0, 16, 0]), Buffer.alloc(12), Buffer.from('link')]),
  ];
  const end = at + 46 + 'kg_final.txt'.length;
  const zip = Buffer.concat([graph.subarray(0, end), extra, graph.subarray(end)]);
  zip.writeUInt16LE(extra.length, at + 30);
  const tail = zip.lastIndexOf('PK\u0005\u0006');
  zip.writeUInt32LE(zip.readUInt32LE(tail + 12) + extra.length, tail + 12);
  return zip;
}
const random = seededRandom(1);
const bomb = zipOf({ 'kg_final.txt': Buffer.concat([published['kg_final.txt'], Buffer.alloc(1 << 20, '\n')]) }, {});
export const archives: readonly [label: string, zip: Buffer, expected: RegExp][] = [
  ['../x', named('../kg_final.txt'), /a name that leads out of its folder/],
  ['a/../../x', named('a/../../kg_final.txt'), /a name that leads out of its folder/],
  ['/x', named('/kg_final.txt'), /a name that leads out of its folder/],
  ['C:\\x', named('C:\\kg_final.txt'), /a name that leads out of its folder/],
  ['..\\x', named('..\\kg_final.txt'), /a name that leads out of its folder/],
  [
    '../x among what macOS adds',
    zipOf({ '__MACOSX/../../x': Buffer.from('x'), 'kg_final.txt': published['kg_final.txt'] }, {}),
    /a name that leads/,
  ],
  ['a symbolic link', zipWith(ofUnix(0o120000)), /a link or device/],
  ['a hard link', hardLink(), /a link or device/],
  ['a character device', zipWith(ofUnix(0o020000)), /a link or device/],
  ['a FIFO', zipWith(ofUnix(0o010000)), /a link or device/],
  [
    'the same name twice',
    changedName(zipOf({ 'kg_final.txt': published['kg_final.txt'], 'kg_final.txu': published['kg_final.txt'] }, {})),
    /2 files/,
  ],
  ['a million entries', ofEntries(1_000_000), /too large to be read/],
  ['20,000 entries', ofEntries(20_000), /20000 files/],
  ['a ratio above 100', bomb, /more than 100 times its size/],
  [
    'a ratio above 100 that is not owned up to',
    zipWith((entry) => entry.writeUInt32LE(1000, 24), bomb),
    /holds more than its directory says/,
  ],
  ['no zip file but a tar file', Buffer.concat([Buffer.from('kg_final.txt'), Buffer.alloc(1012)]), /is no zip file/],
  ['noise', Buffer.from(Array.from({ length: 5000 }, () => Math.floor(256 * random()))), /is no zip file/],
];

function changedName(zip: Buffer): Buffer {
  return Buffer.from(zip.toString('latin1').replaceAll('kg_final.txu', 'kg_final.txt'), 'latin1');
}
