// tick.ts: one trade at the market, as the ring carries it.

import { type RecordValue, record } from 'ringway';

export const Tick = record({
  /** Counts from 0. */
  number: 'uint32',
  /** Shares. */
  size: 'uint32',
  /** ms since the market opened. */
  time: 'float64',
  price: 'float64',
});

export type Tick = RecordValue<typeof Tick>;
