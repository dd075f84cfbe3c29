// Who counts as a producer of a queue that has senders: when there has been one and none is left, the queue ends. Each
// participant says in its own word whether it has an open sender, and whether it has sent one away: while that one is on its
// way, the participant's count of messages in flight (memory/flight.ts) keeps it.
//
//   A "none is left"   whoever comes: its word, then `senderChanges` + 1, then what it comes in place of goes
//                  ->  whoever looks: `senderChanges`, all words, `senderChanges` again
//     A sender that goes from one participant to another counts at one of them at any moment, but a look takes time: it may
//     pass the one before the sender has come there, and reach the other when it has gone. Then it finds that
//     `senderChanges` is another, and says no. It need not look again: whoever came looks when it goes.
//
// Twin, for the dead and those who leave: sendersAreGone() in native/include/ringway/queue.hpp.

import { Constants, MpmcHeader, ParticipantCounters, ParticipantEntry, QueueHeader } from '../layout.js';
import { participantOffset, type Segment } from '../memory/segment.js';
import { MpmcSlots } from '../ring/mpmc-slots.js';

const { senderHere, senderSent } = Constants;
const IN_FLIGHT_MASK = (1 << Constants.inFlightCountBits) - 1;

export class Producers {
  readonly #segment: Segment;
  readonly #slots: MpmcSlots;
  readonly #words: Int32Array;
  readonly #ever: number;
  readonly #changes: number;
  readonly #mine: number;
  readonly #header: number;

  /** @param header - where the queue's header is, in bytes from the segment's start */
  constructor(slots: MpmcSlots, header: number) {
    this.#slots = slots;
    this.#header = header;
    this.#segment = slots.segment;
    this.#words = slots.segment.words;
    this.#ever = (header + QueueHeader.sendersEver) >> 2;
    this.#changes = (header + QueueHeader.senderChanges) >> 2;
    this.#mine = this.#wordOf(slots.segment.participantId);
  }

  /** Those of the same queue, as another attachment of this process. */
  ofAttachment(segment: Segment): Producers {
    return new Producers(new MpmcSlots(segment), this.#header);
  }

  /** This participant has a sender. Call before anything that it comes in place of goes. */
  add(): void {
    Atomics.or(this.#words, this.#mine, senderHere);
    Atomics.store(this.#words, this.#ever, 1);
    Atomics.add(this.#words, this.#changes, 1); // A.
    this.#slots.tellOfClaim(); // Those who sleep without a limit: from now on a death may be the end.
  }

  /** This participant has none any more. */
  remove(): void {
    Atomics.and(this.#words, this.#mine, ~senderHere);
    this.endIfGone();
  }

  /** One is on its way, and counted as in flight. */
  send(): void {
    Atomics.or(this.#words, this.#mine, senderSent);
    Atomics.add(this.#words, this.#changes, 1); // A.
  }

  /** Whether somebody counts, whose going would be the end. */
  get any(): boolean {
    for (let id = 0; id < this.#segment.maxParticipants; id++) if (this.#counts(id)) return true;
    return false;
  }

  /** Ends the queue if there has been a sender and none is left. */
  endIfGone(): void {
    if (!this.#areGone() || Atomics.load(this.#words, this.#slots.ended >> 2) !== 0) return;
    Atomics.store(this.#words, this.#slots.ended >> 2, 1);
    this.#slots.tellOfEnd();
  }

  /** Asks the kernel who of them lives. The addon ends the queue with the last one. */
  settleTheDead(): void {
    if (Atomics.load(this.#words, this.#ever) === 0) return;
    if (this.#segment.judgesDeath) {
      for (let id = 0; id < this.#segment.maxParticipants; id++) {
        if (id === this.#segment.participantId || Atomics.load(this.#words, this.#wordOf(id)) === 0) continue;
        if (!this.#segment.alive(id)) this.#segment.settle(id);
      }
    }
    this.endIfGone(); // One that was on its way may have come and gone.
  }

  #areGone(): boolean {
    if (Atomics.load(this.#words, this.#ever) === 0) return false;
    const changes = Atomics.load(this.#words, this.#changes); // A.
    return !this.any && Atomics.load(this.#words, this.#changes) === changes; // A.
  }

  #counts(id: number): boolean {
    const word = Atomics.load(this.#words, this.#wordOf(id));
    if ((word & senderHere) !== 0) return true;
    if ((word & senderSent) === 0) return false;
    const inFlight = Atomics.load(this.#words, (participantOffset(id) + ParticipantEntry.inFlight) >> 2);
    return (inFlight & IN_FLIGHT_MASK) !== 0;
  }

  #wordOf(id: number): number {
    const counters = this.#segment.bodyOffset + MpmcHeader.counters + id * ParticipantCounters.next;
    return (counters + ParticipantCounters.sender) >> 2;
  }
}
