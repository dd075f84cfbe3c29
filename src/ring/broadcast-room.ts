// Room in a ring that blocks: nobody may write where a message stands that an active subscriber has not read. Each publisher
// keeps for itself a position that no cursor is below; cursors are looked at only when it is a whole ring behind, and then the
// one that was slowest before comes first. So publishing costs the same whatever the number of subscribers.
//
//   G "nothing is overwritten unread"   publisher: load `subscribing`; load tail; scan the entries; write into the spare
//                                       newcomer:  activate; change `subscribing`; load tail; start up to `slots` before it
//     All sequentially consistent. A publisher that finds `subscribing` as it was got its spare before the newcomer loaded
//     the tail, so what stood there is further back than anybody starts; the next time it looks, it sees the newcomer. The
//     argument is in docs/BROADCAST.md.
//   "no wake-up is lost"   publisher: mark `freed` asleep; look at the cursors   subscriber: move; look for sleepers
//     As in event_count.hpp, A. Only a subscriber that held somebody up tells, since the others change nothing.

import { SubscriberEntry } from '../layout.js';
import { activeSubscribers, isActive, settleMember, subscribersEver } from './broadcast-members.js';
import type { BroadcastSlots } from './broadcast-slots.js';

export class Room {
  readonly #slots: BroadcastSlots;
  readonly #words: Int32Array;
  readonly #subscribing: number;
  #seen: number; // What `subscribing` was when the cursors were looked at.
  #least = 0; // No cursor is below this position.
  #slowest = -1; // The subscriber that stood there; -1 if nobody did.

  constructor(slots: BroadcastSlots) {
    this.#slots = slots;
    this.#words = slots.segment.words;
    this.#subscribing = slots.subscribing >> 2;
    this.#seen = ~Atomics.load(this.#words, this.#subscribing); // Nothing was looked at.
  }

  /** Whether one message more may be published. */
  isThere(): boolean {
    const subscribing = Atomics.load(this.#words, this.#subscribing); // G: before the tail.
    const tail = this.#slots.tail;
    if (subscribing === this.#seen) {
      if (((tail - this.#least) | 0) < this.#slots.shape.slots) return true;
      if (this.#slowest >= 0 && this.#cursorOf(this.#slowest) === this.#least) return false;
    }
    return this.#scan(subscribing, tail);
  }

  /** Offset of the word that changes when the subscriber moves that held us up last, in bytes from the segment's start. */
  get watched(): number {
    return this.#slots.subscriberAt(Math.max(this.#slowest, 0)) + SubscriberEntry.cursor;
  }

  /** Whether that word has changed since. */
  hasMoved(watched: number): boolean {
    return watched !== this.#least;
  }

  /** The words of the entries that hold us up. */
  *blockers(): Generator<number> {
    const tail = this.#slots.tail;
    for (const { number, word } of activeSubscribers(this.#slots)) {
      if (((tail - this.#cursorOf(number)) | 0) >= this.#slots.shape.slots) yield word;
    }
  }

  /** Asks who lives of those who hold us up, and evicts who does not. */
  evictTheDead(): void {
    for (const word of this.blockers()) settleMember(this.#slots, word);
  }

  #scan(subscribing: number, tail: number): boolean {
    let most = 0;
    this.#slowest = -1;
    // Publishers come here once a ring's length: without the objects that activeSubscribers() makes.
    const ever = subscribersEver(this.#slots);
    for (let number = 0; number < ever; number++) {
      if (!isActive(this.#slots, number)) continue;
      const behind = (tail - this.#cursorOf(number)) | 0;
      if (behind <= most) continue;
      most = behind;
      this.#slowest = number;
    }
    this.#seen = subscribing;
    this.#least = (tail - most) | 0;
    return most < this.#slots.shape.slots;
  }

  #cursorOf(subscriber: number): number {
    // G; with the subscriber's store: it is done with the bytes below.
    return Atomics.load(this.#words, (this.#slots.subscriberAt(subscriber) + SubscriberEntry.cursor) >> 2);
  }
}
