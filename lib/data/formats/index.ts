import { readdir } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import { HyperKnowError } from '../../errors.ts';
import type { RawDataset } from '../raw-dataset.ts';
import { READ_BYTES, unreadable } from './file.ts';
import * as kgat from './kgat.ts';
import * as recbole from './recbole.ts';

export interface Format {
  /** What a folder in this form holds, for people. */
  expects: string;
  /** Whether a folder with these names is in this form. */
  claims(names: readonly string[]): boolean;
  /** @param readBytes how much of a file is read at once; the result does not depend on it */
  read(folder: string, names: readonly string[], readBytes: number): Promise<RawDataset>;
}

/** Every known format. A folder must be claimed by exactly one of them. */
export const formats: Readonly<Record<'kgat' | 'recbole', Format>> = {
  kgat: {
    expects: 'train.txt, test.txt, kg_final.txt',
    claims: kgat.claims,
    read: kgat.read,
  },
  recbole: {
    expects: 'NAME.inter, NAME.kg, NAME.link',
    claims: recbole.claims,
    read: recbole.read,
  },
};

/** Reads a folder in whichever format claims it. */
export async function readFolder(path: string, readBytes: number = READ_BYTES): Promise<RawDataset> {
  const name = basename(resolve(path));
  const inFolder = await readdir(path).catch((cause) => {
    throw unreadable(name, cause);
  });
  const names = unpackedNames(inFolder);
  const claiming = Object.values(formats).filter((format) => format.claims(names));
  if (claiming.length === 1) return claiming[0]!.read(path, names, readBytes);
  const known = Object.values(formats).map(({ expects }) => expects);
  const what =
    claiming.length === 0
      ? `is in no known format; it would hold ${known.join(' or ')}`
      : `holds data in two forms: ${known.join(' and ')}`;
  throw new HyperKnowError('ERR_HK_FORMAT', `${name}: ${what}`, { file: name });
}

/** Names as they are, and those of gzip and zip files without `.gz` and `.zip` where there is no such file. */
function unpackedNames(names: readonly string[]): string[] {
  return [...new Set([...names, ...names.map((name) => name.replace(/\.(gz|zip)$/, ''))])];
}
