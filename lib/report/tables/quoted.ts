// Numbers of the paper, as printed there: Ma et al., "Knowledge-Enhanced Top-K Recommendation in Poincaré Ball", AAAI 2021.
// Nothing here was computed by this project.

export const SOURCE = 'Ma et al., AAAI 2021';

/** The paper's data sets, by the names that lib/data/published.ts has for them. */
export const DATA_SETS = [
  { name: 'amazon-book', title: 'Amazon-book' },
  { name: 'last-fm', title: 'Last-FM' },
  { name: 'yelp2018', title: 'Yelp2018' },
] as const;
export type DataSetName = (typeof DATA_SETS)[number]['name'];

type Pair = readonly [recall: number, ndcg: number];

/** Table 2: Recall@20 and NDCG@20, a pair for each of DATA_SETS. */
export const TABLE_2: readonly { method: string; values: readonly [Pair, Pair, Pair] }[] = [
  {
    method: 'FM',
    values: [
      [0.1345, 0.0886],
      [0.0778, 0.1181],
      [0.0627, 0.0768],
    ],
  },
  {
    method: 'NFM',
    values: [
      [0.1366, 0.0913],
      [0.0829, 0.1214],
      [0.066, 0.081],
    ],
  },
  {
    method: 'CKE',
    values: [
      [0.1343, 0.0885],
      [0.0736, 0.1184],
      [0.0657, 0.0805],
    ],
  },
  {
    method: 'CFKG',
    values: [
      [0.1142, 0.077],
      [0.0723, 0.1143],
      [0.0522, 0.0644],
    ],
  },
  {
    method: 'RippleNet',
    values: [
      [0.1336, 0.091],
      [0.0791, 0.1238],
      [0.0664, 0.0822],
    ],
  },
  {
    method: 'GC-MC',
    values: [
      [0.1316, 0.0874],
      [0.0818, 0.1253],
      [0.0659, 0.079],
    ],
  },
  {
    method: 'KGAT',
    values: [
      [0.1489, 0.1006],
      [0.087, 0.1325],
      [0.0712, 0.0867],
    ],
  },
  {
    method: 'Hyper-Know',
    values: [
      [0.1534, 0.1075],
      [0.0949, 0.1533],
      [0.0683, 0.0897],
    ],
  },
];

/** Table 3: the same of Amazon-book and Last-FM, by the names of lib/variants.ts. */
export const TABLE_3: readonly { variant: string; values: readonly [Pair, Pair] }[] = [
  {
    variant: 'bpr-e',
    values: [
      [0.1017, 0.0729],
      [0.0604, 0.1112],
    ],
  },
  {
    variant: 'bpr-h',
    values: [
      [0.1167, 0.0833],
      [0.0656, 0.1191],
    ],
  },
  {
    variant: 'bpr-att-e',
    values: [
      [0.1121, 0.0812],
      [0.0746, 0.1319],
    ],
  },
  {
    variant: 'bpr-att-h',
    values: [
      [0.1447, 0.1025],
      [0.0885, 0.1453],
    ],
  },
  {
    variant: 'bpr-avg-h',
    values: [
      [0.125, 0.0897],
      [0.0775, 0.1358],
    ],
  },
  {
    variant: 'hyper-know',
    values: [
      [0.1534, 0.1075],
      [0.0949, 0.1533],
    ],
  },
];

/** Table 4: seconds per epoch on one NVIDIA Tesla V100, mean of 20 epochs, of each of DATA_SETS. */
export const TABLE_4: readonly { method: string; seconds: readonly [number, number, number] }[] = [
  { method: 'CKE', seconds: [55, 53, 63] },
  { method: 'CFKG', seconds: [22, 27, 37] },
  { method: 'KGAT', seconds: [457, 137, 352] },
  { method: 'Hyper-Know', seconds: [15, 22, 20] },
];
