import { rankBy, type Scorer } from '../controls.ts';
import type { Dataset } from '../data/dataset.ts';
import { evaluatePerUser, evaluateRanking, type PerUserMetrics } from '../evaluate.ts';
import { Model } from '../model.ts';
import { mean } from '../statistics.ts';

export type JudgedSplit = 'test' | 'validation';

/** Every metric of a run by its name, such as `recall@20` or `ndcgKgat@20`. */
export interface Judgement {
  /** Means over the users. */
  metrics: Record<string, number>;
  /** One value for each user with an item of the split, ascending by user. */
  perUser: Record<string, number[]>;
}

const CUT_OFF = 20;

/** Both definitions of NDCG, always by the CPU, whose results are the same for any number of threads. */
export async function judge(what: Model | Scorer, dataset: Dataset, split: JudgedSplit, threads?: number): Promise<Judgement> {
  const ranking = { k: CUT_OFF, split, ndcg: 'both' } as const;
  const { users: _users, ...judged }: PerUserMetrics =
    what instanceof Model
      ? await evaluatePerUser(what, dataset, { ...ranking, backend: 'cpu', ...(threads === undefined ? {} : { threads }) })
      : await evaluateRanking(rankBy(what, dataset), dataset, ranking);
  const perUser = Object.fromEntries(Object.entries(judged).map(([name, values]) => [`${name}@${CUT_OFF}`, [...values[CUT_OFF]!]]));
  return { perUser, metrics: Object.fromEntries(Object.entries(perUser).map(([name, values]) => [name, mean(values)])) };
}
