// The simple methods that a model has to be compared with, each the best of a small grid by validation recall@20.
import { bestOnValidation, popularity, type Scorer, SHARES, validatedBlend } from '../../lib/controls.ts';
import type { Dataset } from '../../lib/data/dataset.ts';
import { EASE_MOST, isEasePossible } from '../../lib/linear-controls.ts';
import { controlScorer } from '../../lib/report/control-scorers.ts';
import { grid } from './grid.ts';

/**
 * The settings that are tried: which is taken is decided by validation recall@20 alone, for every split anew, and stands in results.json.
 * scripts/README.md has what they gave.
 */
export const GRIDS = {
  itemKnn: { neighbors: [200], shrinkage: [10, 0, 30] },
  attributeKnn: { neighbors: [200], shrinkage: [0, 10] },
  bpr: { dim: [64], learningRate: [0.5, 0.1], regularization: [0.01, 0.03], epochs: [100] },
  als: { dim: [128], unobserved: [80, 20], regularization: [0.03, 0.01] },
  ease: { regularization: [100, 30, 300] },
} as const;

/** A scorer that can say what it chose. */
type Tuned = Scorer & { setting(): unknown };

/** The best of a grid of the control that has this name. */
function tuned(method: string, settings: Iterable<object>): (dataset: Dataset) => Tuned {
  const all = [...settings];
  return (dataset) => {
    const scorer = bestOnValidation(
      all.map((setting) => controlScorer(method, setting, dataset)!),
      dataset,
    );
    return Object.assign(scorer, { setting: () => all[scorer.chosen] });
  };
}

const bestItemKnn = tuned('control:item-knn', grid(GRIDS.itemKnn));
const bestAttributeKnn = tuned('control:attribute-knn', grid(GRIDS.attributeKnn));

function bestBlend(dataset: Dataset): Tuned {
  const [one, other] = [bestItemKnn(dataset), bestAttributeKnn(dataset)];
  const scorer = validatedBlend(one, other, dataset);
  return Object.assign(scorer, {
    setting: () => ({ share: SHARES[scorer.chosen], itemKnn: one.setting(), attributeKnn: other.setting() }),
  });
}

export interface Control {
  name: string;
  label: string;
  /** A function of the data set and its split alone: what starts at random always starts alike. */
  scorer: (dataset: Dataset) => Scorer & Partial<Tuned>;
  /** Why it cannot be had for these data. */
  missing?: (dataset: Dataset) => string | undefined;
}

const withoutGraph = ({ graph }: Dataset): string | undefined => (graph.tails.length > 0 ? undefined : 'there is no knowledge graph');

export const CONTROLS: readonly Control[] = [
  { name: 'control:popularity', label: 'popularity', scorer: popularity },
  { name: 'control:item-knn', label: 'item-kNN', scorer: bestItemKnn },
  { name: 'control:attribute-knn', label: 'KG-attribute kNN', scorer: bestAttributeKnn, missing: withoutGraph },
  { name: 'control:blend', label: 'item-kNN + KG-attribute kNN', scorer: bestBlend, missing: withoutGraph },
  { name: 'control:bpr-mf', label: 'BPR-MF', scorer: tuned('control:bpr-mf', grid(GRIDS.bpr)) },
  { name: 'control:ials', label: 'iALS', scorer: tuned('control:ials', grid(GRIDS.als)) },
  {
    name: 'control:ease',
    label: 'EASE',
    scorer: tuned('control:ease', grid(GRIDS.ease)),
    missing: (dataset) =>
      isEasePossible(dataset)
        ? undefined
        : `it inverts a matrix of users or of items, and both are more than ${EASE_MOST}: ${dataset.users} and ${dataset.items}`,
  },
];

/** Those that can be had for the data set, and a sentence for each of the others. */
export function controlsFor(dataset: Dataset): { controls: Control[]; remarks: string[] } {
  const why = CONTROLS.map(({ missing }) => missing?.(dataset));
  return {
    controls: CONTROLS.filter((_, i) => why[i] === undefined),
    remarks: CONTROLS.flatMap(({ label }, i) => (why[i] === undefined ? [] : [`${label} is left out: ${why[i]}.`])),
  };
}
