// transfer.ts: what the two ways from sender to receiver have in common.

import type { Summary } from './aggregate.js';

export interface TransferOptions {
  /** Aborted when the user wants to end. */
  signal: AbortSignal;
  /** Shows how far it is, and gives the event loop its turn. */
  progress: (done: number, total: number) => Promise<void>;
}

export interface Transfer {
  /** Where the records went. */
  receiver: string;
  /** What the receiver made of them. */
  summary: Summary;
  /** From the first record to the receiver's summary. */
  seconds: number;
}

/** How many records are sent or read between turns of the event loop: some milliseconds' worth. */
export const RECORDS_PER_TURN = 1 << 14;
