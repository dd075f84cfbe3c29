// roles.ts: who subscribes, and what each computes.

import type { SegmentHandle } from 'ringway';
import { Candles, type Indicator, LastPrice, MovingAverage } from './indicators.js';

export interface Role {
  indicator(): Indicator;
  /** How many ticks it reads at a time. */
  ticksPerTurn: number;
  /** How long it does something else then. */
  pauseMs: number;
}

export const ROLES: Record<string, Role> = {
  'last price': { indicator: () => new LastPrice(), ticksPerTurn: 4096, pauseMs: 0 },
  'moving average': { indicator: () => new MovingAverage(1000), ticksPerTurn: 4096, pauseMs: 0 },
  candles: { indicator: () => new Candles(60_000), ticksPerTurn: 4096, pauseMs: 0 },
  'last price, slowly': { indicator: () => new LastPrice(), ticksPerTurn: 64, pauseMs: 1 },
};

/** What a subscriber is started with. */
export interface Assignment {
  /** Of the ring, for BroadcastRing.attach(). */
  handle: SegmentHandle;
  /** A key of ROLES. */
  role: string;
}

/** What a subscriber has to say when the publisher has closed its end. */
export interface Report {
  received: number;
  /** As the ring counts. */
  missed: number;
  /** As the numbers of the ticks show. */
  gaps: number;
  result: string;
}
