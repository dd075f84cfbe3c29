// Figures for people: percentiles, medians over slices, tables in Markdown.

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, release, totalmem } from 'node:os';
import { createHistogram } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/**
 * The median of values that a coarse clock has rounded: within the group of equal values that holds the middle it
 * assumes them spread evenly. Clocks of 10 ns a step are common, where a round trip takes 100.
 */
export function groupedMedian(samples: Uint32Array): number {
  const sorted = samples.toSorted();
  const middle = sorted[sorted.length >> 1];
  const first = sorted.indexOf(middle);
  const last = sorted.lastIndexOf(middle);
  const below = first > 0 ? sorted[first - 1] : middle;
  const above = last + 1 < sorted.length ? sorted[last + 1] : middle;
  const from = (below + middle) / 2;
  const to = (middle + above) / 2;
  return from + ((sorted.length / 2 - first) / (last + 1 - first)) * (to - from);
}

export interface Percentiles {
  p50: number;
  p99: number;
  p999: number;
  p9999: number;
  max: number;
  count: number;
}

/** Of the samples of all slices, which are whole numbers. */
export function percentiles(slices: readonly Uint32Array[]): Percentiles {
  const histogram = createHistogram({ lowest: 1, highest: 2 ** 32, figures: 3 });
  for (const samples of slices) for (const sample of samples) histogram.record(sample);
  const at = (percentile: number) => histogram.percentile(percentile);
  return { p50: at(50), p99: at(99), p999: at(99.9), p9999: at(99.99), max: histogram.max, count: histogram.count };
}

/** `1.83 us`, three figures. */
export function duration(ns: number): string {
  if (!Number.isFinite(ns)) return '-';
  for (const [unit, factor] of [
    ['s', 1e9],
    ['ms', 1e6],
    ['us', 1e3],
  ] as const) {
    if (Math.abs(ns) >= factor) return `${figures(ns / factor)} ${unit}`;
  }
  return `${figures(ns)} ns`;
}

/** Three figures, without an exponent. */
export function figures(value: number): string {
  if (!Number.isFinite(value)) return '-';
  const digits = value === 0 ? 0 : Math.floor(Math.log10(Math.abs(value)));
  return value.toFixed(Math.min(Math.max(2 - digits, 0), 3));
}

export function times(ratio: number): string {
  return Number.isFinite(ratio) ? `${ratio.toFixed(2)} x` : '-';
}

/** Prints a table; the first column is text, the others are figures. */
export function printTable(title: string, header: readonly string[], rows: readonly (readonly string[])[]): void {
  const widths = header.map((cell, i) => Math.max(cell.length, ...rows.map((row) => row[i].length)));
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join(' | ')} |`;
  const rule = widths.map((width, i) => (i === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`));
  console.log(`\n${title}\n\n${[header, rule, ...rows].map(line).join('\n')}`);
}

/** What the figures depend on. */
export function describeMachine(): Record<string, string> {
  const git = (...args: string[]) => spawnSync('git', args, { cwd: ROOT, encoding: 'utf8' }).stdout?.trim();
  const changed = git('status', '--porcelain', '--untracked-files=no') ? ', changed since' : '';
  const { version } = JSON.parse(readFileSync(new URL('package.json', `file://${ROOT}/`), 'utf8')) as {
    version: string;
  };
  return {
    date: new Date().toISOString().slice(0, 16).replace('T', ' '),
    machine: `${availableParallelism()} x ${cpus()[0]?.model.trim()}, ${Math.round(totalmem() / 2 ** 30)} GiB`,
    system: `Linux ${release()}`,
    node: `${process.version}, V8 ${process.versions.v8}`,
    ringway: `${version}, commit ${git('rev-parse', '--short', 'HEAD') || 'unknown'}${changed}`,
    load: `${loadavg()[0].toFixed(2)} runnable on average in the last minute`,
  };
}

/** What other programs used of the machine since this was made. */
export class Neighbours {
  readonly #from = Neighbours.#read();

  /** Between 0 and 1. */
  get share(): number {
    const to = Neighbours.#read();
    const total = to.total - this.#from.total;
    return total > 0 ? Math.max(0, (to.busy - this.#from.busy - (to.ours - this.#from.ours)) / total) : 0;
  }

  // In clock ticks of the whole machine.
  static #read(): { total: number; busy: number; ours: number } {
    const all = readFileSync('/proc/stat', 'utf8').split('\n')[0].split(/\s+/).slice(1, 9).map(Number);
    const total = all.reduce((sum, ticks) => sum + ticks, 0);
    // Behind the command's name: user and system time, ours and that of children who have ended.
    const fields = readFileSync('/proc/self/stat', 'utf8')
      .replace(/^.*\) /, '')
      .split(' ');
    const ours = fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks), 0);
    return { total, busy: total - all[3] - all[4], ours };
  }
}

/** How busy others were meanwhile, for a table's title. */
export function neighboursText(share: number): string {
  const warning = share > 0.1 ? ', so do not trust this' : '';
  return `other programs took ${(100 * share).toFixed(0)} % of the machine${warning}`;
}
