import { bprMf } from '../bpr-mf.ts';
import { attributeKnn, blend, itemKnn, popularity, type Scorer } from '../controls.ts';
import type { Dataset } from '../data/dataset.ts';
import { ease, implicitAls } from '../linear-controls.ts';

type Make = (dataset: Dataset, setting: never) => Scorer;

/** Every control that `reproduce` compares with, by the name of its runs. */
const MAKERS: Readonly<Record<string, Make>> = {
  'control:popularity': popularity,
  'control:item-knn': itemKnn,
  'control:attribute-knn': attributeKnn,
  'control:blend': (dataset, { share, itemKnn: one, attributeKnn: other }: { share: number; itemKnn: never; attributeKnn: never }) =>
    blend(itemKnn(dataset, one), attributeKnn(dataset, other), share),
  'control:bpr-mf': bprMf,
  'control:ials': implicitAls,
  'control:ease': (dataset, { regularization }: { regularization: number }) => ease(dataset, regularization),
};

/** The scorer of a run of a control; undefined for a name that is none. */
export function controlScorer(method: string, setting: unknown, dataset: Dataset): Scorer | undefined {
  return MAKERS[method]?.(dataset, (setting ?? undefined) as never);
}
