// market.ts: the data: a random walk, the same each time.

import type { Tick } from './tick.js';

const SEED = 2001;

export function* market(ticks: number): Generator<Tick, void, undefined> {
  const random = randomFrom(SEED);
  const upTo = (limit: number) => Math.floor(random() * limit);
  let time = 0;
  let cents = 100_000;
  for (let number = 0; number < ticks; number++) {
    time += 1 + upTo(20);
    cents = Math.max(1, cents + upTo(11) - 5);
    yield { number, size: 1 + upTo(100), time, price: cents / 100 };
  }
}

/** Numbers from 0 up to, but without, 1: mulberry32 by Tommy Ettinger, https://gist.github.com/tommyettinger/46a874533244883189143505d203312c */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let bits = Math.imul(state ^ (state >>> 15), state | 1);
    bits ^= bits + Math.imul(bits ^ (bits >>> 7), bits | 61);
    return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32;
  };
}
