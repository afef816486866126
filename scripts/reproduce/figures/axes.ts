// Scales with round ends, and how numbers are written on them.
import { scaleLinear } from 'd3-scale';
import { type Axis, X_RANGE } from './plot.ts';

export const decimals = (value: number, places = 4): string => value.toFixed(places).replace(/^-/, '−');

export const spread = (mean: number, sd: number | null): string => (sd === null ? decimals(mean) : `${decimals(mean)} ± ${decimals(sd)}`);

/** An axis that holds all of the values, with some room. */
export function axisFrom(label: string, values: readonly number[], range: [number, number], count = 5): Axis {
  const low = Math.min(...values);
  const high = Math.max(...values);
  const room = 0.06 * (high - low || Math.abs(high) || 1);
  const scale = scaleLinear([low >= 0 ? Math.max(0, low - room) : low - room, high + room], range).nice(count);
  return { label, scale, ticks: scale.ticks(count), format: scale.tickFormat(count) };
}

export function epochAxis(last: number): Axis {
  const scale = scaleLinear([0, Math.max(1, last)], X_RANGE);
  return { label: 'epoch', scale, ticks: scale.ticks(6).filter(Number.isInteger), format: scale.tickFormat(6, 'd') };
}
