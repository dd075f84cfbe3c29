// What contenders showed: one slice a round each, and ratios between slices of the same round.

import type { Contender } from './contenders.js';
import type { Slice } from './pair.js';
import { groupedMedian, median } from './report.js';

/** Undefined where a slice failed. */
export type Slices = readonly (Slice | undefined)[];
/** Of all contenders at one size. */
export type Shown = ReadonlyMap<Contender, Slices>;

/** Those of the first contender of that language and program; none if it was left out. */
export function slicesOf(shown: Shown | undefined, language: Contender['language'], program: string): Slices {
  const found = [...(shown ?? [])].find(([contender]) => {
    return contender.language === language && contender.program === program;
  });
  return found?.[1] ?? [];
}

/** The median of each slice, NaN where it failed: nanoseconds a round trip, or picoseconds a message. */
export function middles(slices: Slices): number[] {
  return slices.map((slice) => (slice === undefined ? NaN : groupedMedian(slice.samples)));
}

export function known(values: readonly number[]): number[] {
  return values.filter((value) => Number.isFinite(value));
}

/** The median of what one contender took, divided by what the other one took in the same round. */
export function ratio(slices: Slices, to: Slices): number {
  const divisors = middles(to);
  return median(known(middles(slices).map((value, round) => value / divisors[round])));
}

export function perMessage(slices: readonly Slice[]): { cpuNs: number; switches: number } {
  const messages = slices.reduce((sum, slice) => sum + slice.messages, 0);
  return {
    cpuNs: (slices.reduce((sum, slice) => sum + slice.cpuUs, 0) * 1e3) / messages,
    switches: slices.reduce((sum, slice) => sum + slice.switches, 0) / messages,
  };
}
