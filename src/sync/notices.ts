// The notices of a condition: who waits, who has been notified, and what becomes of the notices of those who are gone.
// Atomics are sequentially consistent. Twin of what recovery needs: native/include/ringway/condition.hpp. Model:
// model/condition.pml.
//
// Each participant has a row: how many waits it has, and how many notices it has been given and has not taken. Waits begin
// and end, and notices are given and taken, while the lock is held; a row changes without it only when its participant
// dies or leaves, which ends its waits and leaves its notices where they are:
//
//     (waits, notices) --> (waits + 1, notices)        join(), before the lock is released
//     (waits, notices) --> (waits, notices + n)        #give(), to waits that have none yet
//     (waits, notices) --> (waits - 1, notices - 1)    take(), when the lock is held again
//     (waits, notices) --> (waits - 1, notices)        leave(), of a wait that was given up
//     (waits, notices) --> (0, notices)                of one that is gone
//
// A row with more notices than waits has some that nobody takes: passOn() gives them to others, or drops them if nobody
// waits. It comes before anything else that is done with the lock held, so that who begins to wait later gets none of them.
// A notice is given before it is taken from where it was left, so that whoever is killed in between has passed on one too
// many, and never one too few.
//
//   A "a notice was given"    #give(), and those who are gone  counts, compare-exchange  ->  attempt()  counts, load
//     Only a hint for the sleeper: it takes the notice when it has the lock, which orders all else.
//   B "no wake-up is lost"    #give() changes counts, then notify()
//                         ->  hasMoved()  looks at counts between prepare() and the sleep: event_count.hpp, A
//     Nobody answers: who notifies never waits for a sleeper. One that is killed between the two leaves it asleep, so
//     nobody sleeps for longer than a SleepLimit gives.
//   C "notices were left"     leaveNotices(), checkPeer()  change left, then notify()
//                         ->  who sleeps looks at left, as at a peer's role, between prepare() and the sleep

import { CorruptSegmentError, RingwayError } from '../errors.js';
import { ConditionHeader, Constants, EventCountWords, LockHeader, WaitingRow } from '../layout.js';
import { notify, prepareSleep } from '../memory/event-count.js';
import type { Segment } from '../memory/segment.js';
import { type WaitMode, waitModeOf } from '../wait/adaptive-spin.js';
import { type Condition, NOT_YET, type NotYet } from '../wait/condition.js';

const MOST_WAITS = (1 << Constants.noticeShift) - 1;
const NOTICE = 1 << Constants.noticeShift;

const waitsIn = (counts: number) => counts & MOST_WAITS;
const noticesIn = (counts: number) => counts >>> Constants.noticeShift;

/** What ends a sleep. */
export const Woken = {
  /** There is a notice for this wait, and for no other one. */
  notified: 1,
  /** Notices were left, one of which may become this wait's. */
  left: 2,
} as const;
export type Woken = (typeof Woken)[keyof typeof Woken];

export function conditionByteLength(maxParticipants: number): number {
  return ConditionHeader.rows + maxParticipants * WaitingRow.next;
}

/** One participant's view of a condition's rows. Unless it says otherwise, a method is for the owner of the lock. */
export class Notices implements Condition {
  readonly segment: Segment;
  readonly mode: WaitMode;
  readonly sequence: number;
  readonly watched: number;
  readonly role: number;
  readonly counters = -1;
  readonly #words: Int32Array;
  readonly #me: number;
  readonly #rows: number;
  readonly #left: number;
  readonly #nextRow: number;
  readonly #everIndex: number;
  // How many notices of our row are some wait's already, which has yet to get the lock.
  #claimed = 0;
  #seen = 0;
  #leftSeen = 0;

  /**
   * Checks the body of a segment.
   * @throws {CorruptSegmentError} naming the field that does not fit
   */
  constructor(segment: Segment, mode?: WaitMode) {
    const { bodyOffset, words, maxParticipants, participantId } = segment;
    const refuse = (why: string): never => {
      throw new CorruptSegmentError(`${segment.label} contradicts itself: ${why}`);
    };
    if (segment.byteLength - bodyOffset < conditionByteLength(maxParticipants)) {
      refuse(`${segment.byteLength} bytes do not hold ${maxParticipants} rows`);
    }
    const wait = words[(bodyOffset + LockHeader.wait) >> 2] >>> 0; // Where its own lock has it, too.
    const created = waitModeOf(wait);
    if (created === undefined) refuse(`wait is ${wait}`);
    this.segment = segment;
    this.mode = mode ?? (created as WaitMode);
    this.#words = words;
    this.#me = participantId;
    this.#rows = bodyOffset + ConditionHeader.rows;
    this.#left = (bodyOffset + ConditionHeader.left) >> 2;
    this.#nextRow = (bodyOffset + ConditionHeader.nextRow) >> 2;
    this.#everIndex = (bodyOffset + ConditionHeader.rowsEver) >> 2;
    this.watched = this.#rowOf(participantId) + WaitingRow.counts;
    this.sequence = this.#rowOf(participantId) + WaitingRow.notified + EventCountWords.sequence;
    this.role = bodyOffset + ConditionHeader.left;
  }

  /** How many wait and have not been notified. For everybody; of the dead until somebody has noticed. Wait-free. */
  get waiting(): number {
    let waiting = 0;
    const rows = this.#rowsEver();
    for (let id = 0; id < rows; id++) {
      const counts = this.#countsOf(id);
      waiting += Math.max(0, waitsIn(counts) - noticesIn(counts));
    }
    return waiting;
  }

  /**
   * Begins a wait. If a process dies inside the call, or before it has released the lock, it waited or did not.
   * @throws {RingwayError} `ERR_RINGWAY_STATE` if this handle has as many waits as a row counts
   */
  join(): void {
    this.passOn();
    if (waitsIn(this.#countsOf(this.#me)) === MOST_WAITS) {
      throw new RingwayError(
        `${MOST_WAITS} operations wait on ${this.segment.label} through this handle`,
        'ERR_RINGWAY_STATE',
      );
    }
    // Before the row is used. Only the lock's owner writes it, and it only grows.
    if (this.#rowsEver() <= this.#me) Atomics.store(this.#words, this.#everIndex, this.#me + 1);
    Atomics.add(this.#words, this.watched >> 2, 1);
  }

  /** Whether there is reason to get the lock. For a wait, without the lock; wait-free. */
  attempt(): Woken | NotYet {
    this.#seen = Atomics.load(this.#words, this.watched >> 2); // A.
    if (this.#claim()) return Woken.notified;
    const left = Atomics.load(this.#words, this.#left); // C.
    if (left === this.#leftSeen) return NOT_YET;
    this.#leftSeen = left;
    return this.#anyLeft() ? Woken.left : NOT_YET;
  }

  /**
   * Ends a wait that was woken, if there is a notice for it.
   * @param woken - what attempt() said
   */
  take(woken: Woken): boolean {
    if (woken === Woken.left) {
      this.passOn();
      if (!this.#claim()) return false;
    }
    this.#claimed--;
    this.#change(-1 - NOTICE);
    return true;
  }

  /** Ends a wait that was given up. What it may have been given goes to others. */
  leave(woken: Woken | undefined): void {
    this.#giveUp(woken);
    this.passOn();
  }

  /** The same without the lock, which this wait cannot get any more: leaves it to others to pass on. */
  abandon(woken: Woken | undefined): void {
    const counts = this.#giveUp(woken);
    if (noticesIn(counts) > waitsIn(counts)) this.#tellOfLeft();
  }

  /**
   * Gives a notice to each of up to `limit` waits that have none. System calls for those that sleep.
   * @returns to how many
   */
  give(limit: number): number {
    this.passOn();
    return this.#give(limit);
  }

  /** Gives notices that were left to others. */
  passOn(): void {
    const rows = this.#rowsEver();
    for (let id = 0; id < rows; id++) {
      for (;;) {
        const counts = this.#countsOf(id);
        if (noticesIn(counts) <= waitsIn(counts)) break;
        if (this.#give(1) === 0) this.#dropFrom(id);
        else Atomics.sub(this.#words, (this.#rowOf(id) + WaitingRow.counts) >> 2, NOTICE);
      }
    }
  }

  /** This handle is about to close: its waits are over. Without the lock; twin of leaveNotices(). */
  close(): void {
    for (;;) {
      const counts = this.#countsOf(this.#me);
      if (!this.#replace(this.#me, counts, counts - waitsIn(counts))) continue; // A.
      if (noticesIn(counts) > 0) this.#tellOfLeft();
      return;
    }
  }

  #give(limit: number): number {
    const rows = this.#rowsEver();
    const first = rows === 0 ? 0 : (this.#words[this.#nextRow] >>> 0) % rows; // Only a hint.
    let given = 0;
    for (let i = 0; i < rows && given < limit; i++) {
      const id = (first + i) % rows;
      const count = this.#giveTo(id, limit - given);
      if (count === 0) continue;
      given += count;
      this.#words[this.#nextRow] = id + 1;
    }
    return given;
  }

  #giveTo(id: number, limit: number): number {
    for (;;) {
      const counts = this.#countsOf(id);
      const count = Math.min(waitsIn(counts) - noticesIn(counts), limit);
      if (count <= 0) return 0;
      // One that is dead already gets nothing.
      if (id !== this.#me && !this.segment.alive(id)) {
        if (this.segment.settle(id)) continue;
      }
      if (!this.#replace(id, counts, counts + count * NOTICE)) continue; // A.
      notify(this.segment, this.#rowOf(id) + WaitingRow.notified); // B.
      return count;
    }
  }

  // Makes a free notice of our row some wait's.
  #claim(): boolean {
    if (noticesIn(Atomics.load(this.#words, this.watched >> 2)) <= this.#claimed) return false;
    this.#claimed++;
    return true;
  }

  #giveUp(woken: Woken | undefined): number {
    if (woken === Woken.notified) this.#claimed--;
    const counts = this.#change(-1);
    // Another wait of ours may have what this one leaves.
    if (noticesIn(counts) > this.#claimed) notify(this.segment, this.#rowOf(this.#me) + WaitingRow.notified); // B.
    return counts;
  }

  // Of our own row, which nobody else takes anything from.
  #change(by: number): number {
    const counts = Atomics.add(this.#words, this.watched >> 2, by);
    if (waitsIn(counts) > 0 && (by === -1 || noticesIn(counts) > 0)) return counts + by;
    throw new CorruptSegmentError(
      `${this.segment.label} contradicts itself: a wait ends where there are ${waitsIn(counts)}, with ${noticesIn(counts)} notices`,
    );
  }

  // Nobody waits, so that nobody misses them.
  #dropFrom(id: number): void {
    const counts = this.#countsOf(id);
    this.#replace(id, counts, counts - Math.max(0, noticesIn(counts) - waitsIn(counts)) * NOTICE);
  }

  #anyLeft(): boolean {
    const rows = this.#rowsEver();
    for (let id = 0; id < rows; id++) {
      const counts = this.#countsOf(id);
      if (noticesIn(counts) > waitsIn(counts)) return true;
    }
    return false;
  }

  #tellOfLeft(): void {
    Atomics.add(this.#words, this.#left, 1); // C.
    const rows = this.#rowsEver();
    for (let id = 0; id < rows; id++) {
      const counts = this.#countsOf(id);
      if (waitsIn(counts) > noticesIn(counts)) notify(this.segment, this.#rowOf(id) + WaitingRow.notified); // B.
    }
  }

  // Rows from here on were never used.
  #rowsEver(): number {
    return Math.min(Atomics.load(this.#words, this.#everIndex) >>> 0, this.segment.maxParticipants);
  }

  #rowOf(id: number): number {
    return this.#rows + id * WaitingRow.next;
  }

  #countsOf(id: number): number {
    return Atomics.load(this.#words, (this.#rowOf(id) + WaitingRow.counts) >> 2);
  }

  #replace(id: number, counts: number, next: number): boolean {
    return Atomics.compareExchange(this.#words, (this.#rowOf(id) + WaitingRow.counts) >> 2, counts, next) === counts;
  }

  // What a wait looks at: its row is the watched word, and what was left the peer's.

  prepare(): number {
    return prepareSleep(this.#words, this.#rowOf(this.#me) + WaitingRow.notified); // B.
  }

  hasMoved(counts: number): boolean {
    return counts !== this.#seen; // B.
  }

  peerGone(): undefined {}

  /** Always: anybody who has a notice may be killed, and so may whoever is about to wake us. */
  peerHeld(): boolean {
    return true;
  }

  /** Asks the kernel whether those who have notices live. */
  checkPeer(): void {
    if (!this.segment.judgesDeath) return;
    const rows = this.#rowsEver();
    for (let id = 0; id < rows; id++) {
      const counts = this.#countsOf(id);
      if (noticesIn(counts) === 0 || id === this.#me) continue;
      // Whoever settled its death, or was about to pass them on, may have been killed before it told.
      if (noticesIn(counts) > waitsIn(counts)) this.#tellOfLeft();
      else if (!this.segment.alive(id)) this.segment.settle(id);
    }
  }

  /** Any thread that has the condition may notify. */
  peerIsHere(): boolean {
    return false;
  }

  /** Only close() of the same thread closes a handle, which cannot come while that thread is blocked. */
  checkOpen(): void {}
}
