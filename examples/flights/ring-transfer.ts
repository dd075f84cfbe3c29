// ring-transfer.ts: the sending end of the ring. Every flight becomes one record, written where the receiver reads it.

import { SpscRing } from 'ringway';
import { Peer } from '../common/peer.js';
import type { Summary } from './aggregate.js';
import { recordByteLength, writeRecord } from './record.js';
import type { Flights } from './source.js';
import { RECORDS_PER_TURN, type Transfer, type TransferOptions } from './transfer.js';

export async function sendThroughRing(flights: Flights, { signal, progress }: TransferOptions): Promise<Transfer> {
  using ring = SpscRing.create({ capacity: 1 << 20 });
  const program = new URL('./ring-receiver.js', import.meta.url);
  // A handle is plain data. It leads another process to shared memory, or carries a SharedArrayBuffer to a thread.
  await using receiver =
    ring.backend === 'shm'
      ? Peer.process<Summary>(program, JSON.stringify(ring.handle), signal)
      : Peer.thread<Summary>(program, ring.handle, signal);
  await receiver.ready();

  // If the receiver ends too early, `gone` knows why. By itself the ring would say that its consumer was closed or died.
  const waiting = { signal: receiver.gone, onPeerGone: 'wait' } as const;
  const start = performance.now();
  const producer = ring.producer();
  let row = 0;
  const writer = (memory: Uint8Array, byteOffset: number) => writeRecord(flights, row, memory, byteOffset);
  for (; row < flights.count; row++) {
    const byteLength = recordByteLength(flights, row);
    // tryWrite() is false when the ring is full; write() waits for room. So there is no await per record.
    // The receiver can see the record when the writer has returned.
    if (!producer.tryWrite(byteLength, writer)) await producer.write(byteLength, writer, waiting);
    // A receiver that keeps up never lets the ring fill, and then nothing above gives way to timers and signals.
    if (row % RECORDS_PER_TURN === 0) {
      await progress(row, flights.count);
      receiver.gone.throwIfAborted();
    }
  }
  producer.close(); // The receiver reads what is left, then meets the end of the stream.
  const summary = await receiver.result();
  return { receiver: receiver.name, summary, seconds: (performance.now() - start) / 1000 };
}
