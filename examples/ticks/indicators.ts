// indicators.ts: what subscribers make of the ticks.

import { integer } from '../common/format.js';
import type { Tick } from './tick.js';

export interface Indicator {
  add(tick: Tick): void;
  /** For people, and exact enough to compare two. */
  toString(): string;
}

export class LastPrice implements Indicator {
  #price = Number.NaN;

  add({ price }: Tick): void {
    this.#price = price;
  }

  toString(): string {
    return `last ${this.#price.toFixed(2)}`;
  }
}

/** The mean price of the last ticks. */
export class MovingAverage implements Indicator {
  readonly #prices: Float64Array;
  #count = 0;

  /** @param window - how many ticks */
  constructor(window: number) {
    this.#prices = new Float64Array(window);
  }

  add({ price }: Tick): void {
    this.#prices[this.#count++ % this.#prices.length] = price;
  }

  toString(): string {
    const prices = this.#prices.subarray(0, this.#count);
    return `mean ${(prices.reduce((sum, price) => sum + price, 0) / prices.length).toFixed(4)}`;
  }
}

/** First, highest, lowest and last price, and the shares traded, of each period. */
export class Candles implements Indicator {
  readonly #periodMs: number;
  readonly #candles: Candle[] = [];

  constructor(periodMs: number) {
    this.#periodMs = periodMs;
  }

  add({ time, price, size }: Tick): void {
    const start = time - (time % this.#periodMs);
    const candle = this.#candles.at(-1);
    if (candle?.start !== start) {
      this.#candles.push({ start, open: price, high: price, low: price, close: price, volume: size });
      return;
    }
    candle.high = Math.max(candle.high, price);
    candle.low = Math.min(candle.low, price);
    candle.close = price;
    candle.volume += size;
  }

  toString(): string {
    const highest = this.#candles.reduce((most, { high, low }) => Math.max(most, high - low), 0);
    return `${integer(this.#candles.length)} candles, up to ${highest.toFixed(2)} high`;
  }
}

interface Candle {
  /** ms since the market opened. */
  start: number;
  open: number;
  high: number;
  low: number;
  close: number;
  volume: number;
}
