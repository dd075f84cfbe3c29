// Values between two processes: small objects there and back and one way, and a typed array of 64 MiB one way.

import { type Contender, LARGE_BYTE_LENGTH, LARGE_VALUES, OBJECT_ROUND_TRIPS, OBJECT_STREAMS } from './contenders.js';
import type { Slice } from './pair.js';
import { duration, figures, median, Neighbours, neighboursText, percentiles, printTable, times } from './report.js';
import { known, middles, perMessage, ratio, type Shown, type Slices, slicesOf } from './shown.js';

export interface PipeResult {
  roundTrips: Shown;
  streams: Shown;
  large: Shown;
}

/** Lets contenders take turns; their slices take `factor` times as long as others. */
type Run = (contenders: readonly Contender[], byteLength: number, factor: number) => Promise<Shown>;

/** A message of 64 MiB takes tens of milliseconds, so slices need to be longer. */
const LARGE_FACTOR = 4;
/** Of the rings that every slice has; pipes have their own. */
const UNUSED_BYTE_LENGTH = 64;

export async function measurePipe(run: Run): Promise<PipeResult> {
  let neighbours = new Neighbours();
  const roundTrips = await run(OBJECT_ROUND_TRIPS, UNUSED_BYTE_LENGTH, 1);
  const toFork = (slices: Slices) => times(ratio(slices, slicesOf(roundTrips, 'Node', 'fork-echo')));
  print('Round trip, a small object', neighbours, roundTrips, {
    p50: (_, slices) => duration(percentiles(slices.map(({ samples }) => samples)).p50),
    p99: (_, slices) => duration(percentiles(slices.map(({ samples }) => samples)).p99),
    'p50 of slices': (all) => range(middles(all)),
    'to child_process': toFork,
    CPU: (_, slices) => duration(perMessage(slices).cpuNs),
    sleeps: (_, slices) => figures(perMessage(slices).switches),
  });

  neighbours = new Neighbours();
  const streams = await run(OBJECT_STREAMS, UNUSED_BYTE_LENGTH, 1);
  const perMessageNs = (slices: Slices) => known(middles(slices)).map((ps) => ps / 1e3);
  print('One way, small objects', neighbours, streams, {
    'a message': (all) => duration(median(perMessageNs(all))),
    slices: (all) => range(perMessageNs(all)),
    'thousand/s': (all) => figures(1e6 / median(perMessageNs(all))),
    'speed to child_process': (all) => times(1 / ratio(all, slicesOf(streams, 'Node', 'fork-objects'))),
    CPU: (_, slices) => duration(perMessage(slices).cpuNs),
    sleeps: (_, slices) => figures(perMessage(slices).switches),
  });

  neighbours = new Neighbours();
  const large = await run(LARGE_VALUES, LARGE_BYTE_LENGTH, LARGE_FACTOR);
  const speedTo = (program: string) => (all: Slices) => times(1 / ratio(all, slicesOf(large, 'Node', program)));
  print('One way, a Float64Array of 64 MiB, acknowledged', neighbours, large, {
    'a message': (all) => duration(median(known(middles(all)))),
    slices: (all) => range(middles(all)),
    'GB/s': (all) => figures(LARGE_BYTE_LENGTH / median(known(middles(all)))),
    'speed to memcpy': speedTo('memcpy-large'),
    'to new memory': speedTo('memcpy-new'),
    'to socket': speedTo('socket-large'),
    CPU: (_, slices) => duration(perMessage(slices).cpuNs),
    sleeps: (_, slices) => figures(perMessage(slices).switches),
  });
  return { roundTrips, streams, large };
}

/** What a cell shows of all slices of a row, and of those that did not fail. */
type Cell = (all: Slices, slices: readonly Slice[]) => string;

function print(title: string, neighbours: Neighbours, shown: Shown, columns: Readonly<Record<string, Cell>>): void {
  const rows = [...shown].map(([{ label }, all]) => {
    const slices = all.filter((slice) => slice !== undefined);
    return [label, ...Object.values(columns).map((cell) => (slices.length === 0 ? 'failed' : cell(all, slices)))];
  });
  printTable(`### ${title} (${neighboursText(neighbours.share)})`, ['', ...Object.keys(columns)], rows);
}

function range(ns: readonly number[]): string {
  return `${duration(Math.min(...known(ns)))} .. ${duration(Math.max(...known(ns)))}`;
}
