// The permits of a semaphore: how they are taken, given back and waited for. Atomics are sequentially
// consistent.
//
//   A "a permit is free"      release()  permits, compare-exchange  ->  tryTake()  permits, compare-exchange
//     Who takes a permit sees all that was done before it was given back. A permit is a count, never handed to a
//     particular waiter, so an abort, a timeout or a death while it comes free loses nothing.
//   B "no wake-up is lost"    release(), #passTurn()  change permits or turn, then notify()
//                         ->  hasMoved()  looks at both between prepare() and the sleep: event_count.hpp, A
//     All are woken, since one alone may be stopped or killed before it acts. A process that is killed between giving
//     back and notify() leaves sleepers behind, so nobody sleeps for longer than a SleepLimit gives.
//   C "it is X's turn"        #claimTurn()  turn, compare-exchange  ->  tryTake(), hasMoved()  turn, load
//     Only who comes first hangs on it: a stale turn delays others, and never makes or loses a permit.
//
// Fairness. A permit may be taken by whoever comes along, which is quick, until a waiter has waited for URGENT_AFTER_MS:
// then it claims the turn, and only waiters with older tickets take permits before it (the starvation mode of Go's
// sync.Mutex). A turn is no lock: whoever is held up by it passes it on when its holder is dead, or has let a free
// permit lie for GIVE_WAY_MS because it is stopped or busy.

import { CorruptSegmentError, RingwayError } from '../errors.js';
import { Constants, EventCountWords, SemaphoreHeader } from '../layout.js';
import { notify, prepareSleep } from '../memory/event-count.js';
import type { Segment } from '../memory/segment.js';
import { WAIT_MODES, type WaitMode, waitModeOf } from '../wait/adaptive-spin.js';
import type { Condition } from '../wait/condition.js';

const URGENT_AFTER_MS = 1;
const GIVE_WAY_MS = 20;
const HOLDER_MASK = (1 << Constants.turnTicketShift) - 1;

/** One operation's place among those that wait. */
export interface Place {
  /** As the turn's word: ticket and participant. Older ones are smaller, by signed difference. */
  readonly ticket: number;
  /** On performance.now()'s clock. */
  readonly urgentAt: number;
}

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
  readonly #words: Int32Array;
  readonly #permits: number;
  readonly #turn: number;
  readonly #nextTicket: number;
  readonly #released: number;
  readonly #me: number;
  // Of the last attempt, by which a sleeper knows whether it may go on.
  #place: Place | undefined;
  // The turn that was last given way to, and since when.
  #gaveWayTo = 0;
  #gaveWaySince = 0;

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
    this.role = bodyOffset + SemaphoreHeader.turn;
    this.#released = bodyOffset + SemaphoreHeader.released;
    this.sequence = this.#released + EventCountWords.sequence;
    this.#words = words;
    this.#permits = this.watched >> 2;
    this.#turn = this.role >> 2;
    this.#nextTicket = (bodyOffset + SemaphoreHeader.nextTicket) >> 2;
    this.#me = segment.participantId + 1;
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

  /** Draws a ticket, for an operation that has to wait. Wait-free. */
  line(): Place {
    const number = Atomics.add(this.#words, this.#nextTicket, 1);
    return {
      ticket: (number << Constants.turnTicketShift) | this.#me,
      urgentAt: performance.now() + URGENT_AFTER_MS,
    };
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
        if (place !== undefined && performance.now() >= place.urgentAt) this.#claimTurn(place);
        return false;
      }
      const turn = Atomics.load(this.#words, this.#turn); // C.
      if (!this.#comesFirst(turn)) {
        if (this.#givesWayTo(turn)) return false;
        this.#passTurn(turn);
        continue;
      }
      if (Atomics.compareExchange(this.#words, this.#permits, free, free - 1) !== free) continue; // A.
      if (place !== undefined) this.leave();
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

  /** This handle waits no more: it has its permit, or has given up. Its turn is the next one's. */
  leave(): void {
    const turn = Atomics.load(this.#words, this.#turn); // C.
    if ((turn & HOLDER_MASK) === this.#me) this.#passTurn(turn);
  }

  // Only the oldest of those whose time has come claims the turn, so they are served in the order of their tickets.
  #claimTurn({ ticket }: Place): void {
    const turn = Atomics.load(this.#words, this.#turn); // C.
    if (turn !== 0 && !isOlder(ticket, turn)) return;
    Atomics.compareExchange(this.#words, this.#turn, turn, ticket); // C. Who was quicker is looked at next time.
  }

  #passTurn(turn: number): void {
    if (Atomics.compareExchange(this.#words, this.#turn, turn, 0) !== turn) return; // C.
    // B: those who gave way sleep though there are permits. Those who sleep because there are none are woken by release().
    if (Atomics.load(this.#words, this.#permits) !== 0) notify(this.segment, this.#released);
  }

  // In one handle those who wait are served in the order of their calls, so its turn is theirs.
  #comesFirst(turn: number): boolean {
    if (turn === 0 || (turn & HOLDER_MASK) === this.#me) return true;
    return this.#place !== undefined && isOlder(this.#place.ticket, turn);
  }

  // Whether the turn is to be respected, now that a permit is free.
  #givesWayTo(turn: number): boolean {
    if (turn === this.#gaveWayTo) return performance.now() - this.#gaveWaySince < GIVE_WAY_MS;
    this.#gaveWayTo = turn;
    this.#gaveWaySince = performance.now();
    return this.#isAlive(turn);
  }

  #isAlive(turn: number): boolean {
    const holder = (turn & HOLDER_MASK) - 1;
    return holder >= 0 && holder < this.segment.maxParticipants && this.segment.alive(holder);
  }

  // What a wait looks at: the permits are the watched word, and whoever has the turn is the peer.

  prepare(): number {
    return prepareSleep(this.#words, this.#released); // B.
  }

  hasMoved(permits: number): boolean {
    return permits !== 0 && this.#comesFirst(Atomics.load(this.#words, this.#turn)); // B, C.
  }

  peerGone(): undefined {}

  /** Always: anybody who gives a permit back may be killed before it wakes us. */
  peerHeld(): boolean {
    return true;
  }

  checkPeer(turn: number): void {
    if (turn !== 0 && (turn & HOLDER_MASK) !== this.#me && !this.#isAlive(turn)) this.#passTurn(turn);
  }

  /** A permit has no holder: any thread that has the semaphore may release. */
  peerIsHere(): boolean {
    return false;
  }

  /** Only close() of the same thread closes a handle, which cannot come while that thread is blocked. */
  checkOpen(): void {}
}

function isOlder(ticket: number, turn: number): boolean {
  return ((ticket - turn) | 0) < 0;
}
