// How long to watch before sleeping, learnt from the gaps that were met. Twin: AdaptiveSpin and SleepLimit in
// native/include/ringway/wait.hpp, which give the reasons for the figures.

import { Constants } from '../layout.js';
import { describe } from '../memory/names.js';

export type WaitMode = 'adaptive' | 'spin' | 'park';

export const WAIT_MODES: Readonly<Record<WaitMode, number>> = {
  adaptive: Constants.waitAdaptive,
  spin: Constants.waitSpin,
  park: Constants.waitPark,
};

/**
 * Longest watch of a thread that blocks: what a sleep and a wake-up cost, on virtual machines too. With less than that two
 * ends that answer one another stay asleep for good once they are: each finds that the other one takes longer than it would
 * watch.
 */
export const LONGEST_SPIN_MS = 0.2;
/** Longest polling between turns of the event loop, whose sleep and wake-up cost twice that. */
export const LONGEST_POLL_MS = 0.5;

/** @throws {RangeError} unless it is a wait mode */
export function checkWait(wait: unknown): WaitMode {
  if (typeof wait === 'string' && Object.hasOwn(WAIT_MODES, wait)) return wait as WaitMode;
  throw new RangeError(`wait must be 'adaptive', 'spin' or 'park', not ${describe(wait)}`);
}

/** The wait mode that a word of a segment stands for, if it does. */
export function waitModeOf(word: number): WaitMode | undefined {
  return (Object.keys(WAIT_MODES) as WaitMode[]).find((name) => WAIT_MODES[name] === word);
}

export class AdaptiveSpin {
  readonly #mode: WaitMode;
  readonly #longestMs: number;
  #gapMs: number;

  constructor(mode: WaitMode, longestMs: number) {
    this.#mode = mode;
    this.#longestMs = longestMs;
    this.#gapMs = longestMs / 4;
  }

  get limitMs(): number {
    if (this.#mode === 'park') return 0;
    if (this.#mode === 'spin') return Infinity;
    const shortestMs = this.#longestMs / 25;
    if (this.#gapMs > this.#longestMs) return shortestMs;
    return Math.min(Math.max(2 * this.#gapMs, shortestMs), this.#longestMs);
  }

  /** A wait has ended after `gapMs`. One long gap is capped, so that a burst after a pause is noticed soon. */
  learn(gapMs: number): void {
    this.#gapMs += (Math.min(gapMs, 4 * this.#longestMs) - this.#gapMs) / 8;
  }
}

/** After this long without a sign from a live peer, the kernel is asked whether it lives; then less and less often. */
export const FIRST_SLEEP_MS = 20;
const LONGEST_SLEEP_MS = 1000;

/** How long to sleep while a live peer's death would matter: twice as long each time. */
export class SleepLimit {
  #limitMs = FIRST_SLEEP_MS;

  next(): number {
    const limit = this.#limitMs;
    this.#limitMs = Math.min(2 * limit, LONGEST_SLEEP_MS);
    return limit;
  }
}
