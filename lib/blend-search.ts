import type { Dataset } from './data/dataset.ts';
import { hasInteraction, type Interactions } from './data/csr.ts';
import { finishInTurns, type Steps } from './data/steps.ts';
import type { BlendedEmbedding, Embedding } from './embedding.ts';
import { blendedRanking, depthOf, itemGaps, trainItems } from './neighbor-blend.ts';
import { native } from './native.ts';
import { BLEND_WEIGHTS, type BlendWeights } from './presets.ts';
import { gather, interactionsOfUsers, itemTable } from './ranking.ts';
import { METRICS } from './metrics.ts';
import { mean } from './statistics.ts';

/** Users whose nearest items are found by one call. */
const CHUNK = 8192;

/** Where validation recall and NDCG are measured. */
const CUT_OFF = 20;

/** The weights, and validation recall@20 with them. */
export interface ChosenBlend extends BlendWeights {
  validationRecall: number;
}

/**
 * Of `BLEND_WEIGHTS` those with the largest sum of validation recall@20 and NDCG@20, each divided by the largest of any weights, the first where several are
 * alike: what `evaluate` finds of a model with them. By recall alone, which many weights have nearly as much of, the order of the lists would be left to
 * chance. The test split plays no part.
 *
 * @param train the training interactions, as the model is to keep them
 */
export async function chooseBlend(
  model: Embedding,
  dataset: Dataset,
  train: Interactions,
  { backend, threads, signal }: { backend: string; threads: number; signal: AbortSignal | undefined },
): Promise<ChosenBlend> {
  const blended: BlendedEmbedding = { ...model, blend: { itemKnn: 0, attributeKnn: 0, train } };
  const { offsets } = dataset.validation;
  const users = Uint32Array.from({ length: dataset.users }, (_, user) => user).filter((user) => offsets[user + 1]! > offsets[user]!);
  const found = BLEND_WEIGHTS.map(() => ({ recall: new Float64Array(users.length), ndcg: new Float64Array(users.length) }));
  const list = { hits: new Uint8Array(CUT_OFF), relevant: 0 };
  const ranking = await finishInTurns(blendedRanking(blended), signal);
  const depth = depthOf(CUT_OFF);
  const gaps = itemGaps(model);
  const judge = function* (begin: number, near: Uint32Array): Steps<void> {
    for (let i = 0; i * depth < near.length; ++i) {
      const user = users[begin + i]!;
      const point = model.users.subarray(user * model.dim, (user + 1) * model.dim);
      const history = trainItems(blended, user);
      const own = new Set(history);
      yield* ranking.prepare(history);
      ranking.begin(blended, point, history, near.subarray(i * depth, (i + 1) * depth), gaps);
      for (const [w, weights] of BLEND_WEIGHTS.entries()) {
        const { items } = ranking.top(weights, CUT_OFF, (item) => own.has(item));
        list.hits.fill(0);
        for (const [place, item] of items.entries()) if (hasInteraction(dataset.validation, user, item)) list.hits[place] = 1;
        list.relevant = offsets[user + 1]! - offsets[user]!;
        found[w]!.recall[begin + i] = METRICS.recall.value(list, CUT_OFF);
        found[w]!.ndcg[begin + i] = METRICS.ndcg.value(list, CUT_OFF);
      }
      yield;
    }
  };
  for (let begin = 0; begin < users.length; begin += CHUNK) {
    const chunk = users.subarray(begin, begin + CHUNK);
    const [points, items] = [gather(model.users, chunk, model.dim), itemTable(model)];
    const known = interactionsOfUsers(train, chunk);
    const near = native.topKAsync(backend, threads, points, items, model.dim, depth, known.offsets, known.items, model.curvature);
    await finishInTurns(judge(begin, (await near.promise).items), signal);
  }
  const recalls = found.map(({ recall }) => mean(recall));
  const shares = sharesOfBest(recalls);
  for (const [w, share] of sharesOfBest(found.map(({ ndcg }) => mean(ndcg))).entries()) shares[w]! += share;
  const best = shares.indexOf(Math.max(...shares));
  return { ...BLEND_WEIGHTS[best]!, validationRecall: recalls[best]! };
}

/** 0 where all are. */
function sharesOfBest(values: readonly number[]): number[] {
  const best = Math.max(...values);
  return values.map((value) => (best > 0 ? value / best : 0));
}
