// Counts of published data sets, to tell whether a folder holds one of them.

export interface Published {
  name: string;
  /** Where the counts come from. */
  source: string;
  users: number;
  items: number;
  /** Distinct interactions. */
  train: number;
  test: number;
  /** items included; distinct triples */
  entities: number;
  relations: number;
  triples: number;
  /** What its authors allow. */
  terms: string;
  /** Digests of the published files, where they were at hand. */
  sha256?: Readonly<Record<string, string>>;
}

const KGAT = { source: "KGAT's repository", terms: "KGAT's data: for research, not to be redistributed or used commercially" };

/** Ids dense, as KGAT's files have them. Last-FM's and Amazon-book's test files and id lists were counted, the rest is from KGAT's logs. */
export const PUBLISHED: readonly Readonly<Published>[] = [
  {
    ...{ name: 'amazon-book', ...KGAT, users: 70_679, items: 24_915, train: 652_514, test: 193_920 },
    ...{ entities: 113_487, relations: 39, triples: 2_557_746 },
    sha256: {
      'train.txt': '4d10106bb06a77e11df660429903c0067aeb85b86431807836b0d8b7edc30c38',
      'test.txt': 'f47eff9d35fb95c07d74251a991478a84095ce6c5969b0dafcb4afe99fc716ec',
    },
  },
  {
    ...{ name: 'last-fm', ...KGAT, users: 23_566, items: 48_123, train: 1_289_003, test: 423_635 },
    ...{ entities: 106_389, relations: 9, triples: 464_567 },
  },
  {
    ...{ name: 'yelp2018', ...KGAT, users: 45_919, items: 45_538, train: 930_032, test: 253_578 },
    ...{ entities: 136_499, relations: 42, triples: 1_853_704 },
  },
];

/** The published data set with as many users and items, whatever else differs. */
export const publishedWith = (users: number, items: number): Readonly<Published> | undefined =>
  PUBLISHED.find((one) => one.users === users && one.items === items);
