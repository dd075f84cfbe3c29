// report.ts: what the user sees.

import { setImmediate as nextTurn } from 'node:timers/promises';
import { SingleBar } from 'cli-progress';
import { integer, printTable } from '../common/format.js';
import type { Flights } from './source.js';
import type { Transfer } from './transfer.js';

/** Runs `work` under a progress bar, which is gone when it returns. Without a terminal there is no bar. */
export async function withProgressBar<Result>(
  title: string,
  signal: AbortSignal,
  work: (progress: (done: number, total: number) => Promise<void>) => Promise<Result>,
): Promise<Result> {
  const bar = new SingleBar({
    format: `${title} [{bar}] {percentage} %`,
    stream: process.stdout,
    hideCursor: true,
    clearOnComplete: true,
    gracefulExit: false, // main.ts answers signals.
  });
  signal.throwIfAborted();
  bar.start(1, 0);
  try {
    return await work(async (done, total) => {
      bar.setTotal(total);
      bar.update(done);
      await nextTurn();
      signal.throwIfAborted();
    });
  } finally {
    bar.stop(); // Gives the cursor back.
  }
}

export function printRead(flights: Flights, seconds: number): void {
  console.log(`Read ${integer(flights.count)} flights from the file into memory in ${seconds.toFixed(1)} s.`);
}

export function printBusiest({ receiver, summary }: Transfer): void {
  console.log(`Sent through the ring to ${receiver}, which counted them. The ten busiest airports:`);
  const rows = summary.airports
    .slice(0, 10)
    .map(({ airport, flights, delaySum, delayP95 }) => [
      airport,
      integer(flights),
      (delaySum / flights).toFixed(1),
      integer(delayP95),
    ]);
  printTable(['Origin', 'Flights', 'Mean delay, min', '95th percentile, min'], rows);
}

export function printComparison(transfers: Record<string, Transfer>): void {
  console.log(
    'The same through a pipe. The time is from memory to memory: write each record, send it, read it, count it.',
  );
  console.log('In chunks, a record waits until its chunk is full; else it can be read as soon as it is written.');
  const rows = Object.entries(transfers).map(([name, { summary, seconds }]) => {
    const rate = (amount: number) => integer(Math.round(amount / seconds));
    return [name, integer(summary.records), seconds.toFixed(2), rate(summary.records), rate(summary.bytes)];
  });
  printTable(['', 'Records', 'Seconds', 'Records/s', 'Bytes/s'], rows);
}
