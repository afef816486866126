import type { Id, Pairs, Triples } from './csr.ts';

/** One file that was read. */
export interface SourceFile {
  /** base name */
  name: string;
  bytes: number;
  /** hexadecimal digest of the whole file */
  sha256: string;
}

/** Where data came from. */
export type DataSource = 'kgat' | 'recbole' | 'iterables' | 'synthetic' | 'tables';

/** What a format's reader hands over: dense ids, everything as read, nothing sorted, split or de-duplicated. */
export interface RawDataset {
  source: DataSource;
  files: SourceFile[];
  users: number;
  items: number;
  /** items included, which come first */
  entities: number;
  /** without inverses */
  relations: number;
  train: Pairs;
  /** Where absent, it is drawn from `train`. */
  validation?: Pairs;
  /** 'draw': the data has no test split and is meant to be split. */
  test: Pairs | 'absent' | 'draw';
  triples: Triples;
  /** The caller's ids by dense id; 'dense' where they are the dense ids. */
  ids: 'dense' | { users: Id[]; items: Id[]; entities: Id[]; relations: Id[] };
  notes: string[];
}
