/** How the learning rates of Θ and β change over the epochs: 'constant', or 'decay', which halves them six times in the second half. */
export type Schedule = 'constant' | 'decay';

/**
 * Factor of the learning rates in an epoch. L_K is an unsquared distance: its pull does not weaken near n_v, so at a constant rate Adam keeps
 * an item jumping about its neighbourhood by a step's length. 'decay': 1 in the first half of the epochs, then 2^(−6x), x from 0 to 1 over the
 * second half.
 *
 * @param epoch counted from 0
 * @param epochs that are planned
 */
export function learningRateFactor(schedule: Schedule, epoch: number, epochs: number): number {
  if (schedule === 'constant') return 1;
  const past = (epoch + 1) / epochs;
  return past <= 0.5 ? 1 : 2 ** (-6 * (2 * past - 1));
}
