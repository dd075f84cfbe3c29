// Fairness among those who wait for something that a compare-exchange takes: a semaphore's permit, a lock. Atomics are
// sequentially consistent.
//
// It may be taken by whoever comes along, which is quick, until a waiter has waited for URGENT_AFTER_MS: then that one
// claims the turn, and only waiters with older tickets take before it (the starvation mode of Go's sync.Mutex). A turn is
// no lock: whoever is held up by it passes it on when its holder is dead, or has let what is free lie for GIVE_WAY_MS
// because it is stopped or busy.
//
//   A "it is X's turn"         claim()  word, compare-exchange  ->  comesFirst()  word, load
//     Only who comes first hangs on it: a stale turn delays others, and never gives anything twice or loses it.
//   B "no wake-up is lost"     #pass()  changes the word, then notify()
//                          ->  a sleeper looks at the word between prepare() and its sleep: event_count.hpp, A

import { Constants, EventCountWords } from '../layout.js';
import { notify } from '../memory/event-count.js';
import type { Segment } from '../memory/segment.js';

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

/** Where a turn's words are. Offsets from the segment's start, in bytes. */
export interface TurnOffsets {
  turn: number;
  nextTicket: number;
  /** The event count on which waiters sleep. */
  released: number;
}

export class Turn {
  /** Offset of the word that says whose turn it is. */
  readonly word: number;
  /** Offset of the sequence word that waiters sleep on. */
  readonly sequence: number;
  readonly #segment: Segment;
  readonly #words: Int32Array;
  readonly #turn: number;
  readonly #nextTicket: number;
  readonly #released: number;
  readonly #isFree: () => boolean;
  readonly #me: number;
  // The turn that was last given way to, and since when.
  #gaveWayTo = 0;
  #gaveWaySince = 0;

  /** @param isFree - whether there is something to take: those who gave way sleep then, and have to be woken */
  constructor(segment: Segment, offsets: TurnOffsets, isFree: () => boolean) {
    this.word = offsets.turn;
    this.sequence = offsets.released + EventCountWords.sequence;
    this.#segment = segment;
    this.#words = segment.words;
    this.#turn = offsets.turn >> 2;
    this.#nextTicket = offsets.nextTicket >> 2;
    this.#released = offsets.released;
    this.#isFree = isFree;
    this.#me = segment.participantId + 1;
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
   * Whether what is free may be taken now. Lock-free; a system call if the turn is another's.
   * @param place - of an operation that waits; without one it comes behind any turn
   */
  admits(place: Place | undefined): boolean {
    for (;;) {
      const turn = this.#words[this.#turn]; // A. Without Atomics, since an older one does no harm here.
      if (this.#isBehind(turn, place)) return true;
      if (this.#givesWayTo(turn)) return false;
      this.#pass(turn);
    }
  }

  /** Whether nobody comes before it. In one handle those who wait are served in order, so the handle's turn is theirs. */
  comesFirst(place: Place | undefined): boolean {
    return this.#isBehind(Atomics.load(this.#words, this.#turn), place); // A.
  }

  /** Nothing was free. Only the oldest of those whose time has come has the turn, so they are served by their tickets. */
  claim({ ticket, urgentAt }: Place): void {
    if (performance.now() < urgentAt) return;
    const turn = Atomics.load(this.#words, this.#turn); // A.
    if (turn !== 0 && !isOlder(ticket, turn)) return;
    Atomics.compareExchange(this.#words, this.#turn, turn, ticket); // A. Who was quicker is looked at next time.
  }

  /** An operation of this handle waits no more: it has what it waited for, or has given up. */
  leave(): void {
    const turn = Atomics.load(this.#words, this.#turn); // A.
    if ((turn & HOLDER_MASK) === this.#me) this.#pass(turn);
  }

  /** Passes the turn on if the one that has it is dead. Asks the kernel. */
  check(turn: number): void {
    if (turn !== 0 && (turn & HOLDER_MASK) !== this.#me && !this.#isAlive(turn)) this.#pass(turn);
  }

  #isBehind(turn: number, place: Place | undefined): boolean {
    if (turn === 0 || (turn & HOLDER_MASK) === this.#me) return true;
    return place !== undefined && isOlder(place.ticket, turn);
  }

  #pass(turn: number): void {
    if (Atomics.compareExchange(this.#words, this.#turn, turn, 0) !== turn) return; // A.
    // B: those who gave way sleep though something is free. Those who sleep because nothing is are woken when it comes.
    if (this.#isFree()) notify(this.#segment, this.#released);
  }

  #givesWayTo(turn: number): boolean {
    if (turn === this.#gaveWayTo) return performance.now() - this.#gaveWaySince < GIVE_WAY_MS;
    this.#gaveWayTo = turn;
    this.#gaveWaySince = performance.now();
    return this.#isAlive(turn);
  }

  #isAlive(turn: number): boolean {
    const holder = (turn & HOLDER_MASK) - 1;
    return holder >= 0 && holder < this.#segment.maxParticipants && this.#segment.alive(holder);
  }
}

function isOlder(ticket: number, turn: number): boolean {
  return ((ticket - turn) | 0) < 0;
}
