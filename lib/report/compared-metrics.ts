/** What is compared, by the names that runs have for it. */
export const METRICS = [
  { name: 'recall@20', title: 'Recall@20' },
  { name: 'ndcg@20', title: 'NDCG@20 (standard)' },
  { name: 'ndcgKgat@20', title: 'NDCG@20 (kgat)' },
] as const;

export const titleOf = (metric: string): string => METRICS.find(({ name }) => name === metric)?.title ?? metric;
