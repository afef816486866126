// What a figure shows and what it leaves out, in sentences; made of its data.
import { mean } from '../../../lib/statistics.ts';
import { decimals } from './axes.ts';
import type {
  AttentionEntropy,
  BetaSweep,
  BetaTrajectory,
  Disk,
  DiskNeighborhood,
  FigureData,
  LearningCurves,
  RadiusDegree,
} from './types.ts';

const count = (value: number): string => value.toLocaleString('en');

const seedsOf = ({ seeds }: { seeds: number[] }): string => (seeds.length === 1 ? 'one seed, so no error bars' : `${seeds.length} seeds`);

function sweep(data: BetaSweep): string {
  const { metrics, fixed, adaptive } = data;
  const comparisons = metrics.slice(0, 2).map(({ name, title }) => {
    const best = fixed.map(({ weight, values }) => ({ weight, value: mean(values[name]!) })).reduce((a, b) => (b.value > a.value ? b : a));
    const worst = Math.min(...fixed.map(({ values }) => mean(values[name]!)));
    const learned = mean(adaptive.values[name]!);
    return (
      `${title}: adaptive ${decimals(learned)}, best fixed ${decimals(best.value)} (weight ${best.weight}), worst ${decimals(worst)}` +
      `${learned > best.value ? '' : ' — here a fixed weight is at or above the adaptive one, unlike in the paper'}`
    );
  });
  const bars =
    data.seeds.length > 1 ? 'Bars and the band are ± one standard deviation over the seeds, which draw the validation split, too.' : '';
  return (
    `A fixed weight of L_K, the same for every item, against a learned σ(β) for each, on ${data.data} (${seedsOf(data)}). ${bars} ` +
    `${comparisons.join('. ')}. The best fixed weight is picked with the test metrics in view, which favours it.`
  );
}

function trajectory({ data, start, runs, items, itemsWithoutTriples }: BetaTrajectory): string {
  const first = runs[0]!;
  const end = first.all.at(-1)!;
  return (
    `σ(β), the learned weight of L_K, over the epochs on ${data}: percentiles over the ${count(items)} items with a triple` +
    `${itemsWithoutTriples > 0 ? ` (${count(itemsWithoutTriples)} without have no L_K and are left out)` : ''}. It starts at ${start} for all; at the end of seed ` +
    `${first.seed} the median is ${decimals(end.p50, 3)}, the middle half lies between ${decimals(end.p25, 3)} and ${decimals(end.p75, 3)}. Groups are quartiles ` +
    '(equal counts stay together; the β of an item that nobody has in training never moves), lines their medians, shades the middle half. “kept” marks the epoch that validation chose.'
  );
}

function curves(data: LearningCurves): string {
  const kept = data.runs.map(({ selectedEpoch }) => count(selectedEpoch)).join(', ');
  return (
    `Learning curves of Hyper-Know with adaptive β on ${data.data}, ${data.seeds.length === 1 ? 'one seed' : 'every seed by itself'}; the mark is the epoch of best validation ` +
    `recall@20, whose parameters are kept (${kept}). Losses are means over the samples of an epoch, without the regulariser; validation is the held-out part of the training interactions.`
  );
}

function radius({ data, dim, curvature, groups, untrained }: RadiusDegree): string {
  const verdicts = groups.map(({ name, spearman }) => {
    if (spearman === null) return `${name.toLowerCase()}: all of one degree`;
    const strength =
      Math.abs(spearman) < 0.1
        ? 'no order to speak of'
        : spearman < 0
          ? 'the more triples, the nearer to the origin'
          : 'the more triples, the further out';
    return `${name.toLowerCase()}: ρ = ${decimals(spearman, 3)}, ${strength}`;
  });
  return (
    `Distance from the origin against degree on ${data} (d = ${dim}, c = ${Number(curvature.toPrecision(4))}, first seed). If the ball held the hierarchy with the general above the ` +
    `specific, ρ would be negative. ${verdicts.join('; ')}.` +
    `${untrained > 0 ? ` ${count(untrained)} entities are in no item’s neighbourhood, so that training never moves them; they are left out.` : ''}`
  );
}

function attention({ data, items, itemsWithFewer, percentiles }: AttentionEntropy): string {
  return (
    `How attention (the weights of Eq. 5) is spread over an item’s triples on ${data} (first seed): entropy over ln(degree), 1 where all count alike, 0 where one has everything. ` +
    `${count(items)} items with two triples or more; ${count(itemsWithFewer)} with fewer are left out. Median ${decimals(percentiles.p50, 3)}, ` +
    `5–95 %: ${decimals(percentiles.p5, 3)} to ${decimals(percentiles.p95, 3)}.`
  );
}

/** Of one entity's neighbourhood. */
export function diskCaption(disk: Disk, neighborhood: DiskNeighborhood): string {
  const { nodes, hubDegree, perNode, omitted } = neighborhood;
  const hops = (hop: number) => nodes.filter((node) => node.hop === hop).length;
  const hubs = nodes.filter(({ hop, degree }) => hop === 1 && degree > hubDegree).length;
  return [
    `${nodes[0]!.label} with ${count(hops(1))} neighbours and ${count(hops(2))} of theirs on ${disk.data}, trained in two dimensions with c = ${Number(disk.curvature.toPrecision(4))} ` +
      `(seed ${disk.seeds[0]}, epoch ${disk.epoch}${disk.recall === null ? '' : `, recall@20 ${decimals(disk.recall)} on the test split`}). ` +
      'Edges are triples either way, drawn as geodesics; size tells the hop.',
    hubs > 0
      ? `${hubs} ${hubs === 1 ? 'neighbour is a hub' : 'neighbours are hubs'} (more than ${count(hubDegree)} triples) and not followed: ${count(omitted.ofHubs)} entities behind are not shown.`
      : `No neighbour is a hub (more than ${count(hubDegree)} triples).`,
    omitted.abovePerNode > 0
      ? `At most ${perNode[0]} neighbours of the entity and ${perNode[1]} of each neighbour are shown, spread evenly over their ids: ${count(omitted.abovePerNode)} left out.`
      : '',
    placementNote(disk, neighborhood),
  ]
    .filter((sentence) => sentence !== '')
    .join(' ');
}

/** What is to be said where not everything that is shown was trained; empty where it was. */
export function placementNote({ kgHeads }: Disk, { nodes }: DiskNeighborhood): string {
  const [center] = nodes;
  const count = (placed: string) => nodes.filter((node) => node.placed === placed).length;
  const [never, after] = [count('never'), count('by its triples')];
  if (never + after === 0) return '';
  const who =
    center!.placed === 'trained'
      ? `${never + after} of the ${nodes.length} nodes ${never + after === 1 ? 'is' : 'are'} in no item’s neighbourhood`
      : `${center!.label} is in no item’s neighbourhood, as are ${never + after - 1} of the ${nodes.length - 1} others`;
  const literally = 'L_K as the paper writes it is summed over items, and never trains such entities';
  if (kgHeads === 'items')
    return `${who}. ${literally}: they stand where they were initialised (hollow). --kg-heads all places them by their triples.`;
  const rest =
    never > 0
      ? ` ${never} of them ${never === 1 ? 'has' : 'have'} no triple to go by and ${never === 1 ? 'stands' : 'stand'} where initialised (hollow).`
      : '';
  return `${who}. ${literally}. Here they were placed after training by L_K of the heads that are no items, everything else held still.${rest}`;
}

export function captionOf(data: FigureData): string {
  switch (data.figure) {
    case 'beta-sweep':
      return sweep(data);
    case 'beta-trajectory':
      return trajectory(data);
    case 'learning-curves':
      return curves(data);
    case 'radius-degree':
      return radius(data);
    case 'attention-entropy':
      return attention(data);
    case 'disk':
      return data.entities.map((one) => diskCaption(data, one)).join('\n');
  }
}
