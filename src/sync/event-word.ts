// The word of an event: how it is set, cleared and waited for. Atomics are sequentially consistent.
//
// It counts the changes: odd while the event is set, and another number after each set() and clear(). A wait that began
// at an even number is over as soon as the number is another one, whatever came after: a set() that was cleared at once
// wakes everybody who waited. (At another one than 2^31 pairs of set and clear later, when the number is the same again.)
//
//   A "it was set"            set()  changes, compare-exchange  ->  look()  changes, load
//     Whoever sees the number sees all that was done before the set().
//   B "no wake-up is lost"    set()  changes the number, then notify()
//                         ->  hasMoved()  looks at it between prepare() and the sleep: event_count.hpp, A
//     Nobody answers: set() never waits for a sleeper. One that is killed between the two leaves sleepers behind, so
//     nobody sleeps for longer than a SleepLimit gives, and the next set() wakes them though there is nothing to change.

import { CorruptSegmentError } from '../errors.js';
import { EventCountWords, EventHeader } from '../layout.js';
import { notify, prepareSleep } from '../memory/event-count.js';
import type { Segment } from '../memory/segment.js';
import { WAIT_MODES, type WaitMode, waitModeOf } from '../wait/adaptive-spin.js';
import type { Condition } from '../wait/condition.js';

/** Writes the header of a new event into zeroed memory. */
export function formatEvent({ bodyOffset, words }: Segment, mode: WaitMode): void {
  words[(bodyOffset + EventHeader.wait) >> 2] = WAIT_MODES[mode];
}

export function isSetAt(changes: number): boolean {
  return (changes & 1) === 1;
}

export class EventWord implements Condition {
  readonly segment: Segment;
  readonly mode: WaitMode;
  readonly sequence: number;
  readonly watched: number;
  readonly role: number;
  readonly counters = -1;
  readonly #words: Int32Array;
  readonly #changes: number;
  readonly #wasSet: number;
  #seen = 0;

  /**
   * Checks the body of a segment.
   * @throws {CorruptSegmentError} naming the field that does not fit
   */
  constructor(segment: Segment, mode?: WaitMode) {
    const { bodyOffset, words } = segment;
    const refuse = (why: string): never => {
      throw new CorruptSegmentError(`${segment.label} contradicts itself: ${why}`);
    };
    if (segment.byteLength - bodyOffset < EventHeader.end) refuse(`${segment.byteLength} bytes hold no event`);
    const wait = words[(bodyOffset + EventHeader.wait) >> 2] >>> 0;
    const created = waitModeOf(wait);
    if (created === undefined) refuse(`wait is ${wait}`);
    this.segment = segment;
    this.mode = mode ?? (created as WaitMode);
    this.watched = bodyOffset + EventHeader.changes;
    this.role = this.watched;
    this.#wasSet = bodyOffset + EventHeader.wasSet;
    this.sequence = this.#wasSet + EventCountWords.sequence;
    this.#words = words;
    this.#changes = this.watched >> 2;
  }

  /** How often it was set or cleared; odd: it is set. Wait-free. */
  look(): number {
    return Atomics.load(this.#words, this.#changes); // A.
  }

  /** Whether it is set, or was since it had been changed `began` times. Wait-free. */
  wasSetSince(began: number): boolean {
    this.#seen = this.look();
    return this.#seen !== began || isSetAt(began);
  }

  /** Lock-free; a system call if somebody sleeps. If a process dies inside the call, it is set or not. */
  set(): void {
    for (;;) {
      const changes = this.look();
      // A: after all that was done before the call.
      if (isSetAt(changes) || Atomics.compareExchange(this.#words, this.#changes, changes, changes + 1) === changes) {
        break;
      }
    }
    notify(this.segment, this.#wasSet); // B.
  }

  /** Lock-free. */
  clear(): void {
    for (;;) {
      const changes = this.look();
      if (!isSetAt(changes)) return;
      if (Atomics.compareExchange(this.#words, this.#changes, changes, changes + 1) === changes) return; // A.
    }
  }

  // What a wait looks at: there is one word, and no peer in particular.

  prepare(): number {
    return prepareSleep(this.#words, this.#wasSet); // B.
  }

  hasMoved(changes: number): boolean {
    return changes !== this.#seen; // B.
  }

  peerGone(): undefined {}

  /** Always: anybody who sets it may be killed before it wakes us. */
  peerHeld(): boolean {
    return true;
  }

  checkPeer(): void {}

  /** Any thread that has the event may set it. */
  peerIsHere(): boolean {
    return false;
  }

  /** Only close() of the same thread closes a handle, which cannot come while that thread is blocked. */
  checkOpen(): void {}
}
