// main.ts: three million flights from this process to another one, which counts them: through a ring in shared memory,
// then through a pipe. Where processes can't share memory, the ring leads to a worker thread.

import { capabilities } from 'ringway';
import { run } from '../common/run.js';
import { aggregateColumns } from './aggregate.js';
import { check } from './check.js';
import { sendThroughPipe } from './pipe-transfer.js';
import { printBusiest, printComparison, printRead, withProgressBar } from './report.js';
import { sendThroughRing } from './ring-transfer.js';
import { readFlights } from './source.js';

await run('flights', main);

async function main(signal: AbortSignal): Promise<void> {
  const start = performance.now();
  const flights = await withProgressBar('Reading the file', signal, readFlights);
  printRead(flights, (performance.now() - start) / 1000);
  const expected = aggregateColumns(flights);

  if (!capabilities.crossProcess) {
    console.log(`No shared memory between processes (${capabilities.reason}), so the ring leads to a worker thread.`);
  }
  const ring = await withProgressBar('Ring', signal, (progress) => sendThroughRing(flights, { signal, progress }));
  printBusiest(ring);
  check(ring, expected);

  const pipe = await withProgressBar('Pipe, 64 KiB at a time', signal, (progress) =>
    sendThroughPipe(flights, 1 << 16, { signal, progress }),
  );
  check(pipe, expected);

  // One system call per record takes its time, so a tenth must do.
  const tenth = { ...flights, count: Math.floor(flights.count / 10) };
  const unbuffered = await withProgressBar('Pipe, record by record', signal, (progress) =>
    sendThroughPipe(tenth, 0, { signal, progress }),
  );
  check(unbuffered, aggregateColumns(tenth));

  printComparison({ Ring: ring, 'Pipe, 64 KiB at a time': pipe, 'Pipe, record by record': unbuffered });
  console.log(`verified: ${ring.summary.records} records`);
}
