// The data sets of the paper as their authors publish them: which files, from where, under which terms.
import { UsageError } from '../../../lib/cli/exit.ts';
import { PUBLISHED, type Published } from '../../../lib/data/published.ts';

export interface PublishedFile {
  name: string;
  /** More is never taken. */
  mostBytes: number;
  /** Known only of files that were at hand; what is not known is noted at the first download, and the counts are compared in any case. */
  bytes?: number;
  sha256?: string;
}

export interface PublishedDataset {
  counts: Readonly<Published>;
  /** The folder of its files, without a slash at the end. */
  base: string;
  files: readonly PublishedFile[];
  terms: string;
}

const KGAT = 'https://raw.githubusercontent.com/xiangwang1223/knowledge_graph_attention_network/master/Data';

const TERMS = `The data sets of KGAT (Wang, He, Cao, Liu, Chua: Knowledge Graph Attention Network for Recommendation, KDD 2019) are not part of
hyper-know and not under its licence. In short, their authors allow research with them, provided that
  - publications acknowledge the data and cite that paper,
  - the data are not passed on without their permission,
  - nobody tries to find out who the users are,
  - nothing commercial is done with them without their permission,
and vouch for nothing. What binds is their own wording, at the end of
  https://github.com/xiangwang1223/knowledge_graph_attention_network/blob/master/Data/README.md`;

/** Above the largest of each kind: 2.4 million ids in text, 2.6 million triples packed or not. */
const MOST = { text: 1 << 26, packed: 1 << 25, triples: 1 << 27 };

const text = (name: string, known: { bytes?: number } = {}): PublishedFile => ({ name, mostBytes: known.bytes ?? MOST.text, ...known });
/** The graphs of Amazon-book and Yelp2018 are published as zip files, that of Last-FM as it is. */
const PACKED_GRAPH: PublishedFile = { name: 'kg_final.txt.zip', mostBytes: MOST.packed };
const PLAIN_GRAPH: PublishedFile = { name: 'kg_final.txt', mostBytes: MOST.triples };

const FILES: Readonly<Record<string, readonly PublishedFile[]>> = {
  'amazon-book': [text('train.txt', { bytes: 3_897_477 }), text('test.txt', { bytes: 1_478_039 }), PACKED_GRAPH],
  'last-fm': [text('train.txt'), text('test.txt'), PLAIN_GRAPH],
  yelp2018: [text('train.txt'), text('test.txt'), PACKED_GRAPH],
};

export const DATASETS: readonly string[] = Object.keys(FILES);

/** @throws {UsageError} if there is none of this name */
export function publishedDataset(name: string): PublishedDataset {
  const counts = PUBLISHED.find((published) => published.name === name);
  const files = Object.hasOwn(FILES, name) ? FILES[name] : undefined;
  if (!counts || !files) throw new UsageError(`--dataset: must be one of ${DATASETS.join(', ')}, got ${JSON.stringify(name)}`);
  const pinned = (file: PublishedFile): PublishedFile => {
    const sha256 = counts.sha256?.[file.name];
    return sha256 === undefined ? file : { ...file, sha256 };
  };
  return { counts, base: `${KGAT}/${name}`, files: files.map(pinned), terms: TERMS };
}
