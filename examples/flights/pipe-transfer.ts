// pipe-transfer.ts: the same records through a pipe of the operating system, the standard input of the receiver. Each
// follows its length. (What Node.js calls a pipe to a child is a pair of Unix sockets on Linux.)

import { pipeline } from 'node:stream/promises';
import { Peer } from '../common/peer.js';
import type { Summary } from './aggregate.js';
import { MAX_RECORD_BYTE_LENGTH, writeRecord } from './record.js';
import type { Flights } from './source.js';
import { RECORDS_PER_TURN, type Transfer, type TransferOptions } from './transfer.js';

const LENGTH_BYTES = 2;
const MAX_FRAME_BYTES = LENGTH_BYTES + MAX_RECORD_BYTE_LENGTH;

/** @param chunkBytes - how much to collect before it is written; 0 writes each record by itself */
export async function sendThroughPipe(
  flights: Flights,
  chunkBytes: number,
  options: TransferOptions,
): Promise<Transfer> {
  const program = new URL('./pipe-receiver.js', import.meta.url);
  await using receiver = Peer.process<Summary>(program, '', options.signal, 'pipe');
  await receiver.ready();

  const start = performance.now();
  try {
    // Waits while the pipe is full.
    await pipeline(chunks(flights, chunkBytes, options), receiver.stdin, { signal: receiver.gone });
  } catch (error) {
    receiver.gone.throwIfAborted();
    if ((error as NodeJS.ErrnoException).code !== 'EPIPE') throw error; // Else result() says how the receiver ended.
  }
  const summary = await receiver.result();
  return { receiver: receiver.name, summary, seconds: (performance.now() - start) / 1000 };
}

async function* chunks(flights: Flights, chunkBytes: number, { progress }: TransferOptions): AsyncGenerator<Buffer> {
  let nextTurn = 0;
  for (let row = 0; row < flights.count; ) {
    // A new one each time: the stream still has the last.
    const chunk = Buffer.allocUnsafe(Math.max(chunkBytes, MAX_FRAME_BYTES));
    let length = 0;
    do {
      const byteLength = writeRecord(flights, row++, chunk, length + LENGTH_BYTES);
      chunk.writeUInt16LE(byteLength, length);
      length += LENGTH_BYTES + byteLength;
    } while (row < flights.count && length + MAX_FRAME_BYTES <= chunkBytes);
    yield chunk.subarray(0, length);
    if (row < nextTurn) continue;
    nextTurn = row + RECORDS_PER_TURN;
    await progress(row, flights.count);
  }
}
