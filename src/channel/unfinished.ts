// What has been put into a queue and is not done yet: messages that are in it or leased, and those that a participant has got
// and not reported done. Each participant counts its own; what a dead one has got is dropped (native/include/ringway/queue.hpp).
//
//   A "all is done"   get:  got + 1, then the slot is FREE
//                     put:  the message is queued, then whoever put it reports something else done
//                 ->  whoever looks: the tail, all slots, all counts, the tail again
//     A message that left its slot before the look came there is counted by then. One that was queued during the look has
//     moved the tail. So if nothing is found and the tail is the same, everything was done at the end of the look.

import { MpmcHeader, ParticipantCounters, QueueHeader } from '../layout.js';
import { notify } from '../memory/event-count.js';
import type { Segment } from '../memory/segment.js';
import type { MpmcSlots } from '../ring/mpmc-slots.js';

export class Unfinished {
  /** The event count of those who wait, in bytes from the segment's start. */
  readonly done: number;
  readonly #segment: Segment;
  readonly #slots: MpmcSlots;
  readonly #words: Int32Array;
  readonly #mine: number;

  /** @param header - where the queue's header is, in bytes from the segment's start */
  constructor(slots: MpmcSlots, header: number) {
    this.done = header + QueueHeader.done;
    this.#slots = slots;
    this.#segment = slots.segment;
    this.#words = slots.segment.words;
    this.#mine = this.#wordOf(slots.segment.participantId);
  }

  /** A message was got. Call before its slot is freed, which publishes it. */
  add(): void {
    this.#words[this.#mine]++; // A. Ours alone.
  }

  /** One of those that this participant has got is done. False: there was none. */
  remove(): boolean {
    const got = this.#words[this.#mine];
    if (got === 0) return false;
    Atomics.store(this.#words, this.#mine, (got - 1) | 0); // event_count.hpp, A.
    this.tell();
    return true;
  }

  /** This participant reports nothing any more. */
  drop(): void {
    Atomics.store(this.#words, this.#mine, 0); // event_count.hpp, A.
    this.tell();
  }

  /** Call when something was done. */
  tell(): void {
    notify(this.#segment, this.done);
  }

  /** Whether nothing is left. */
  get isEmpty(): boolean {
    for (;;) {
      const { tail } = this.#slots; // A.
      if (this.#slots.census().messages > 0) return false;
      for (let id = 0; id < this.#segment.maxParticipants; id++) {
        if (Atomics.load(this.#words, this.#wordOf(id)) !== 0) return false;
      }
      if (this.#slots.tail === tail) return true; // A.
    }
  }

  /** Asks the kernel who lives of those who have got something. */
  settleTheDead(): void {
    if (!this.#segment.judgesDeath) return;
    const { owners } = this.#slots.census();
    for (let id = 0; id < this.#segment.maxParticipants; id++) {
      if (Atomics.load(this.#words, this.#wordOf(id)) !== 0) owners.add(id);
    }
    owners.delete(this.#segment.participantId);
    for (const id of owners) if (!this.#segment.alive(id)) this.#segment.settle(id);
  }

  #wordOf(id: number): number {
    const counters = this.#segment.bodyOffset + MpmcHeader.counters + id * ParticipantCounters.next;
    return (counters + ParticipantCounters.got) >> 2;
  }
}
