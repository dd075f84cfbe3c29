// The permits of a semaphore: how they are taken, given back and waited for. Atomics are sequentially
// consistent.
//
//   A "a permit is free"      release()  permits, compare-exchange  ->  tryTake()  permits, compare-exchange
//     Who takes a permit sees all that was done before it was given back. A permit is a count, never handed to a
//     particular waiter, so an abort, a timeout or a death while it comes free loses nothing.
//   B "no wake-up is lost"    release()  changes permits, then notify()
//                         ->  hasMoved()  looks at permits and turn between prepare() and the sleep: event_count.hpp, A
//     All are woken, since one alone may be stopped or killed before it acts. A process that is killed between giving
//     back and notify() leaves sleepers behind, so nobody sleeps for longer than a SleepLimit gives.
//
// Who comes first among those that wait is in turn.ts.

import { CorruptSegmentError, RingwayError } from '../errors.js';
import { Constants, SemaphoreHeader } from '../layout.js';
import { notify, prepareSleep } from '../memory/event-count.js';
import type { Segment } from '../memory/segment.js';
import { WAIT_MODES, type WaitMode, waitModeOf } from '../wait/adaptive-spin.js';
import type { Condition } from '../wait/condition.js';
import { type Place, Turn } from './turn.js';

/** Writes the header of a new semaphore into zeroed memory. */
export function formatPermits(segment: Segment, value: number, max: number, mode: WaitMode): void {
  const { bodyOffset, words } = segment;
  words[(bodyOffset + SemaphoreHeader.initial) >> 2] = value;
  words[(bodyOffset + SemaphoreHeader.max) >> 2] = max;
  words[(bodyOffset + SemaphoreHeader.wait) >> 2] = WAIT_MODES[mode];
  words[(bodyOffset + SemaphoreHeader.permits) >> 2] = value;
}

export class Permits implements Condition {
  readonly segment: Segment;
  readonly mode: WaitMode;
  /** How many there were at first. */
  readonly initial: number;
  readonly max: number;
  readonly sequence: number;
  readonly watched: number;
  readonly role: number;
  readonly counters = -1;
  readonly turn: Turn;
  readonly #words: Int32Array;
  readonly #permits: number;
  readonly #released: number;
  // Of the last attempt, by which a sleeper knows whether it may go on.
  #place: Place | undefined;

  /**
   * Checks the body of a segment.
   * @throws {CorruptSegmentError} naming the field that does not fit
   */
  constructor(segment: Segment, mode?: WaitMode) {
    const { bodyOffset, words } = segment;
    const refuse = (why: string): never => {
      throw new CorruptSegmentError(`${segment.label} contradicts itself: ${why}`);
    };
    if (segment.byteLength - bodyOffset < SemaphoreHeader.end) refuse(`${segment.byteLength} bytes hold no semaphore`);
    const field = (offset: number) => words[(bodyOffset + offset) >> 2] >>> 0;
    const initial = field(SemaphoreHeader.initial);
    const max = field(SemaphoreHeader.max);
    const wait = field(SemaphoreHeader.wait);
    if (max < 1 || max > Constants.maxSemaphorePermits) refuse(`max is ${max}`);
    if (initial > max) refuse(`it started with ${initial} permits of ${max}`);
    const created = waitModeOf(wait);
    if (created === undefined) refuse(`wait is ${wait}`);
    this.segment = segment;
    this.mode = mode ?? (created as WaitMode);
    this.initial = initial;
    this.max = max;
    this.watched = bodyOffset + SemaphoreHeader.permits;
    this.#released = bodyOffset + SemaphoreHeader.released;
    this.#words = words;
    this.#permits = this.watched >> 2;
    const offsets = {
      turn: bodyOffset + SemaphoreHeader.turn,
      nextTicket: bodyOffset + SemaphoreHeader.nextTicket,
      released: this.#released,
    };
    this.turn = new Turn(segment, offsets, () => Atomics.load(words, this.#permits) !== 0);
    this.role = this.turn.word;
    this.sequence = this.turn.sequence;
  }

  /**
   * How many are free.
   * @throws {CorruptSegmentError} if there are more than can be
   */
  get free(): number {
    const free = Atomics.load(this.#words, this.#permits) >>> 0;
    if (free <= this.max) return free;
    throw new CorruptSegmentError(`${this.segment.label} contradicts itself: ${free} permits of ${this.max}`);
  }

  /**
   * Takes a permit, if one is free and nobody comes first. Lock-free; a system call if the turn is another's or others
   * sleep. If a process dies inside the call, the permit is gone with it, or was not taken.
   * @param place - of an operation that waits; without one it comes behind any turn
   */
  tryTake(place?: Place): boolean {
    this.#place = place;
    for (;;) {
      const { free } = this;
      if (free === 0) {
        if (place !== undefined) this.turn.claim(place);
        return false;
      }
      if (!this.turn.admits(place)) return false;
      if (Atomics.compareExchange(this.#words, this.#permits, free, free - 1) !== free) continue; // A.
      if (place !== undefined) this.turn.leave();
      return true;
    }
  }

  /**
   * Gives permits back. Lock-free; a system call if somebody sleeps. If a process dies inside the call, all are given back
   * or none, and sleepers notice within a second.
   * @throws {RingwayError} `ERR_RINGWAY_STATE` if there were more than `max` then; nothing was given back
   */
  release(count: number): void {
    for (;;) {
      const { free, max } = this;
      if (count > max - free) {
        throw new RingwayError(
          `${this.segment.label} has ${free} of at most ${max} permits free: ${count} more cannot be released`,
          'ERR_RINGWAY_STATE',
        );
      }
      // A: after all that was done with the permit.
      if (Atomics.compareExchange(this.#words, this.#permits, free, free + count) === free) break;
    }
    notify(this.segment, this.#released); // B.
  }

  // What a wait looks at: the permits are the watched word, and whoever has the turn is the peer.

  prepare(): number {
    return prepareSleep(this.#words, this.#released); // B.
  }

  hasMoved(permits: number): boolean {
    return permits !== 0 && this.turn.comesFirst(this.#place); // B.
  }

  peerGone(): undefined {}

  /** Always: anybody who gives a permit back may be killed before it wakes us. */
  peerHeld(): boolean {
    return true;
  }

  checkPeer(turn: number): void {
    this.turn.check(turn);
  }

  /** A permit has no holder: any thread that has the semaphore may release. */
  peerIsHere(): boolean {
    return false;
  }

  /** Only close() of the same thread closes a handle, which cannot come while that thread is blocked. */
  checkOpen(): void {}
}
