// The broadcast ring's protocol, without its waits and without who may publish and read: where messages are, how one is
// put in, found and displaced. docs/BROADCAST.md has the steps (P6) and the argument (N, V) that are cited here; what
// recovery makes up for is in native/include/ringway/broadcast.hpp. Atomics are sequentially consistent.
//
// Positions count messages and wrap at 2^32; `laps`, how often they have, makes them exact for those who were away long.

import { CorruptSegmentError } from '../errors.js';
import { BroadcastHeader, BroadcastSlot, Constants, PublisherEntry, SubscriberEntry } from '../layout.js';
import type { Segment } from '../memory/segment.js';
import { WAIT_MODES, type WaitMode, waitModeOf } from '../wait/adaptive-spin.js';

/** What a publisher does when the slowest subscriber is a whole ring behind: wait for it, or overwrite what it has not read. */
export type OnSlow = 'block' | 'overwrite';

export interface BroadcastShape {
  slots: number;
  slotByteLength: number;
  alignment: 8 | 64;
  maxPublishers: number;
  maxSubscribers: number;
  onSlow: OnSlow;
  wait: WaitMode;
}

const ON_SLOW: Readonly<Record<OnSlow, number>> = {
  block: Constants.onSlowBlock,
  overwrite: Constants.onSlowOverwrite,
};

const isolated = (offset: number) => Math.ceil(offset / Constants.isolationBytes) * Constants.isolationBytes;

// Twin of BroadcastSlots::bind() in broadcast.hpp. Offsets are from the body's start, in bytes.
function geometryOf({ slots, slotByteLength, alignment, maxPublishers, maxSubscribers }: BroadcastShape) {
  const slotCount = slots + maxPublishers; // Each publisher's entry has a spare.
  const cellBits = Math.ceil(Math.log2(Math.max(2 * slots + 1, slotCount)));
  const payloadOffset = alignment === 64 ? 64 : BroadcastSlot.payload;
  const stride = Math.ceil((payloadOffset + slotByteLength) / 64) * 64;
  const subscribersAt = BroadcastHeader.publishers + maxPublishers * PublisherEntry.next;
  const cellsAt = subscribersAt + maxSubscribers * SubscriberEntry.next;
  const slotsAt = isolated(cellsAt + 4 * 2 ** cellBits);
  const indexBits = Math.ceil(Math.log2(slotCount));
  const byteLength = slotsAt + slotCount * stride;
  return { slotCount, cellBits, indexBits, payloadOffset, stride, subscribersAt, cellsAt, slotsAt, byteLength };
}

/** Of a ring's body. */
export function broadcastByteLength(shape: BroadcastShape): number {
  return geometryOf(shape).byteLength;
}

/** Writes an empty ring into zeroed memory. `start` is the position of its first message. */
export function formatBroadcast(segment: Segment, shape: BroadcastShape, start = 0): void {
  const { words, bodyOffset } = segment;
  const { slots } = shape;
  const { slotCount, cellBits, indexBits, payloadOffset, stride, cellsAt, slotsAt } = geometryOf(shape);
  const put = (offset: number, value: number) => {
    words[(bodyOffset + offset) >> 2] = value;
  };
  put(BroadcastHeader.slots, slots);
  put(BroadcastHeader.slotByteLength, shape.slotByteLength);
  put(BroadcastHeader.payloadOffset, payloadOffset);
  put(BroadcastHeader.maxPublishers, shape.maxPublishers);
  put(BroadcastHeader.maxSubscribers, shape.maxSubscribers);
  put(BroadcastHeader.onSlow, ON_SLOW[shape.onSlow]);
  put(BroadcastHeader.wait, WAIT_MODES[shape.wait]);
  put(BroadcastHeader.tail, start);
  // Each cell stands for the position a lap before its first one; the last `slots` of them name a slot each, as if there
  // had been messages.
  const lap = (position: number) => ((position >>> cellBits) << indexBits) | 0;
  for (let back = 1; back <= 2 ** cellBits; back++) {
    const position = (start - back) | 0;
    const slot = back <= slots ? back - 1 : 0;
    put(cellsAt + 4 * (position & (2 ** cellBits - 1)), lap(position) | slot);
    if (back > slots) continue;
    put(slotsAt + slot * stride + BroadcastSlot.position, position);
    put(slotsAt + slot * stride + BroadcastSlot.lapsOfPosition, start < back ? -1 : 0);
  }
  for (let slot = 0; slot < slotCount; slot++) {
    put(slotsAt + slot * stride + BroadcastSlot.publisher, Constants.noPublisher);
  }
  for (let publisher = 0; publisher < shape.maxPublishers; publisher++) {
    // As if its message had been displaced last; nothing else has come from there.
    const spare = ((start - slots - 1 - publisher) << indexBits) | (slots + publisher);
    put(BroadcastHeader.publishers + publisher * PublisherEntry.next + PublisherEntry.spare, spare);
  }
}

/** What find() says when there is no message to read. */
export const NOTHING = -1;
export const LAPPED = -2;

/** More tries than live peers can make us need: each that fails means that somebody else has got on. */
const MOST_TRIES = 1 << 16;

// Of a slot, as indices of words.
const POSITION = BroadcastSlot.position >> 2;
const LAPS = BroadcastSlot.lapsOfPosition >> 2;
const BYTE_LENGTH = BroadcastSlot.byteLength >> 2;
const PUBLISHER = BroadcastSlot.publisher >> 2;

export class BroadcastSlots {
  readonly segment: Segment;
  readonly shape: BroadcastShape;
  readonly blocks: boolean;
  /** Offsets from the segment's start, in bytes. */
  readonly published: number;
  readonly freed: number;
  readonly publishing: number;
  readonly subscribing: number;
  readonly #words: Int32Array;
  readonly #tail: number; // Here and below: indices of words.
  readonly #publishers: number;
  readonly #subscribers: number;
  readonly #cells: number;
  readonly #slots: number;
  readonly #stride: number;
  readonly #payload: number; // From a slot's start, in bytes.
  readonly #count: number; // Messages that are there: `slots`.
  readonly #slotCount: number;
  readonly #cellBits: number;
  readonly #cellMask: number;
  readonly #indexBits: number;
  readonly #indexMask: number;

  /**
   * Checks the body of a segment; what is fixed is copied, since a peer may scribble over it at any time.
   * @throws {CorruptSegmentError} naming the field that does not fit
   */
  constructor(segment: Segment) {
    const { words, bodyOffset, byteLength } = segment;
    const refuse = (why: string): never => {
      throw new CorruptSegmentError(`${segment.label} contradicts itself: ${why}`);
    };
    const room = byteLength - bodyOffset;
    if (room < BroadcastHeader.publishers) refuse(`${byteLength} bytes hold no ring`);
    const field = (name: keyof typeof BroadcastHeader, least: number, most: number): number => {
      const value = words[(bodyOffset + BroadcastHeader[name]) >> 2] >>> 0;
      return value >= least && value <= most ? value : refuse(`${name} is ${value}`);
    };
    const slots = field('slots', Constants.minBroadcastSlots, Constants.maxBroadcastSlots);
    if ((slots & (slots - 1)) !== 0) refuse(`slots is ${slots}`);
    const payloadOffset = field('payloadOffset', BroadcastSlot.payload, 64);
    if (payloadOffset !== BroadcastSlot.payload && payloadOffset !== 64) refuse(`payloadOffset is ${payloadOffset}`);
    const shape: BroadcastShape = {
      slots,
      slotByteLength: field('slotByteLength', 1, Constants.maxSlotByteLength),
      alignment: payloadOffset === 64 ? 64 : 8,
      maxPublishers: field('maxPublishers', 1, Constants.maxPublishers),
      maxSubscribers: field('maxSubscribers', 1, Constants.maxSubscribers),
      onSlow: field('onSlow', 0, 1) === Constants.onSlowBlock ? 'block' : 'overwrite',
      wait: waitModeOf(field('wait', 0, 2)) as WaitMode,
    };
    const geometry = geometryOf(shape);
    if (geometry.byteLength > room) {
      refuse(`${geometry.slotCount} slots of ${geometry.stride} bytes in ${byteLength} bytes`);
    }
    this.segment = segment;
    this.shape = shape;
    this.blocks = shape.onSlow === 'block';
    this.published = bodyOffset + BroadcastHeader.published;
    this.freed = bodyOffset + BroadcastHeader.freed;
    this.publishing = bodyOffset + BroadcastHeader.publishing;
    this.subscribing = bodyOffset + BroadcastHeader.subscribing;
    this.#words = words;
    this.#tail = (bodyOffset + BroadcastHeader.tail) >> 2;
    this.#publishers = (bodyOffset + BroadcastHeader.publishers) >> 2;
    this.#subscribers = (bodyOffset + geometry.subscribersAt) >> 2;
    this.#cells = (bodyOffset + geometry.cellsAt) >> 2;
    this.#slots = (bodyOffset + geometry.slotsAt) >> 2;
    this.#stride = geometry.stride >> 2;
    this.#payload = geometry.payloadOffset;
    this.#count = shape.slots;
    this.#slotCount = geometry.slotCount;
    this.#cellBits = geometry.cellBits;
    this.#cellMask = 2 ** geometry.cellBits - 1;
    this.#indexBits = geometry.indexBits;
    this.#indexMask = 2 ** geometry.indexBits - 1;
  }

  /** Where a publisher's entry starts, in bytes from the segment's start. */
  publisherAt(publisher: number): number {
    return (this.#publishers << 2) + publisher * PublisherEntry.next;
  }

  /** Where a subscriber's entry starts, in bytes from the segment's start. */
  subscriberAt(subscriber: number): number {
    return (this.#subscribers << 2) + subscriber * SubscriberEntry.next;
  }

  /** Where the payload starts of the slot that a publisher's spare word names, in bytes from the segment's start. */
  payloadOf(word: number): number {
    return (this.#slotOf(word) << 2) + this.#payload;
  }

  /** The position of the next message, or one before it. */
  get tail(): number {
    return Atomics.load(this.#words, this.#tail);
  }

  /**
   * P2 to P7. Publishes what stands in a publisher's spare slot.
   * @param spare - the word that names the slot
   * @param byteLength - of the message
   * @returns the publisher's spare word from now on
   */
  publish(publisher: number, spare: number, byteLength: number): number {
    const words = this.#words;
    const slot = this.#slotOf(spare);
    words[slot + BYTE_LENGTH] = byteLength;
    words[slot + PUBLISHER] = publisher;
    for (let tries = 0; tries < MOST_TRIES; tries++) {
      const position = Atomics.load(words, this.#tail);
      const cell = this.#cellOf(position);
      const word = Atomics.load(words, cell);
      if ((word & ~this.#indexMask) !== this.#lapOf(position - this.#cellMask - 1)) {
        this.#passOn(position, word); // P7, for whoever was quicker and is slow.
        continue;
      }
      const displaced = Atomics.load(words, this.#cellOf(position - this.#count));
      const laps = this.#settleDisplaced(publisher, position, cell, word, displaced);
      if (laps === undefined) continue;
      words[slot + POSITION] = position; // P5.
      words[slot + LAPS] = laps;
      const named = this.#lapOf(position) | (spare & this.#indexMask);
      if (Atomics.compareExchange(words, cell, word, named) !== word) continue; // P6, with find().
      // P7. The spare may be known late: who needs to know makes up for it (P4, N). The compare-exchange of the tail must
      // come before anything is written into the new spare: its load keeps those stores behind P6 (V).
      const next = this.#spareFrom(position - this.#count, displaced);
      words[(this.publisherAt(publisher) + PublisherEntry.spare) >> 2] = next;
      Atomics.compareExchange(words, this.#tail, position, (position + 1) | 0);
      return next;
    }
    throw this.corrupt(`its tail is ${Atomics.load(words, this.#tail) >>> 0}`);
  }

  /**
   * The message at a position.
   * @returns the word that names its slot, to be read as long as displaced() does not say that it is another's by now;
   *   or NOTHING, or LAPPED
   * @throws {CorruptSegmentError} if what is there cannot be a message
   */
  find(position: number, laps: number): number {
    const words = this.#words;
    const cell = this.#cellOf(position);
    for (let tries = 0; tries < MOST_TRIES; tries++) {
      const word = Atomics.load(words, cell); // With P6: the message is whole.
      const lap = word & ~this.#indexMask;
      if (lap === this.#lapOf(position)) {
        const slot = this.#slotOf(word);
        // Atomic, so that displaced() is loaded after them: what a later owner wrote here shows that it is one.
        const found = Atomics.load(words, slot + POSITION);
        const foundLaps = Atomics.load(words, slot + LAPS);
        const byteLength = Atomics.load(words, slot + BYTE_LENGTH) >>> 0;
        if (found === position && foundLaps === laps && byteLength <= this.shape.slotByteLength) return slot;
        if (this.displaced(position) || (found === position && foundLaps !== laps)) return LAPPED;
        throw this.corrupt(`slot ${word & this.#indexMask} holds ${byteLength} bytes of message ${found >>> 0}`);
      }
      if (lap !== this.#lapOf(position - this.#cellMask - 1)) return LAPPED;
      const ahead = (Atomics.load(words, this.#tail) - position) | 0;
      if (ahead === 0 || ahead === -1) return NOTHING;
      if (Atomics.load(words, cell) === word) return LAPPED; // By all positions there are.
    }
    throw this.corrupt(`position ${position >>> 0} does not stay`);
  }

  /** Whether the message of a position is another's by now, so that what was read of it may be torn (V). */
  displaced(position: number): boolean {
    const next = (position + this.#count) | 0;
    const word = Atomics.load(this.#words, this.#cellOf(next)); // V, with P6.
    return (word & ~this.#indexMask) !== this.#lapOf(next - this.#cellMask - 1);
  }

  /** Offset of the word that changes when the message of a position comes, in bytes from the segment's start. */
  cellAt(position: number): number {
    return this.#cellOf(position) << 2;
  }

  /** Whether a cell's word says that the message of a position has not come yet. */
  isBefore(word: number, position: number): boolean {
    return (word & ~this.#indexMask) === this.#lapOf(position - this.#cellMask - 1);
  }

  /** Where a slot that find() gave starts to hold its message, in bytes from the segment's start. */
  payloadAt(slot: number): number {
    return (slot << 2) + this.#payload;
  }

  /** The length of the message in a slot that find() gave. At most slotByteLength, whatever a later owner wrote there. */
  byteLengthAt(slot: number): number {
    return Math.min(this.#words[slot + BYTE_LENGTH] >>> 0, this.shape.slotByteLength);
  }

  /**
   * A position that is `back` messages before the end, and how often positions had wrapped there.
   * @param back - 0 to `slots`
   */
  lookBack(back: number): { position: number; laps: number } {
    const words = this.#words;
    for (let tries = 0; tries < MOST_TRIES; tries++) {
      const tail = Atomics.load(words, this.#tail);
      const word = Atomics.load(words, this.#cellOf(tail));
      if (!this.isBefore(word, tail)) {
        this.#passOn(tail, word);
        continue;
      }
      const last = (tail - 1) | 0;
      const slot = this.#slotOf(Atomics.load(words, this.#cellOf(last)));
      const found = Atomics.load(words, slot + POSITION);
      const laps = Atomics.load(words, slot + LAPS);
      if (this.displaced(last)) continue; // After both: where positions wrap, a later owner has other laps.
      if (found !== last) {
        throw this.corrupt(`the last message's position is ${found >>> 0} and not ${last >>> 0}`);
      }
      const position = (tail - back) | 0;
      // One position before `last` or more, or the one behind it: at most one wrap away.
      const wrapped = position >>> 0 > last >>> 0 ? -1 : 0;
      return { position, laps: back === 0 ? laps + (position === 0 ? 1 : 0) : (laps + wrapped) | 0 };
    }
    throw this.corrupt(`its tail is ${Atomics.load(words, this.#tail) >>> 0}`);
  }

  corrupt(why: string): CorruptSegmentError {
    return new CorruptSegmentError(`${this.segment.label} contradicts itself: ${why}`);
  }

  // P4. Before the message that stands at `position - slots` is displaced: makes up for P7 of the publisher of that
  // message, if it did not come to it. How often positions have wrapped at `position`; undefined if somebody else has
  // published there meanwhile, and nothing that was read counts.
  #settleDisplaced(
    publisher: number,
    position: number,
    cell: number,
    word: number,
    displaced: number,
  ): number | undefined {
    const words = this.#words;
    const slot = this.#slotOf(displaced);
    const other = Atomics.load(words, slot + PUBLISHER);
    const laps = Atomics.load(words, slot + LAPS);
    if (other === publisher || other >>> 0 >= this.shape.maxPublishers) {
      if (Atomics.load(words, cell) !== word) return undefined;
    } else {
      const entry = (this.publisherAt(other) + PublisherEntry.spare) >> 2;
      const spare = Atomics.load(words, entry);
      const before = Atomics.load(words, this.#cellOf(position - 2 * this.#count)); // What it displaced in its turn.
      // Last: until here the message is there, and a spare that names its slot is one that P7 has not changed.
      if (Atomics.load(words, cell) !== word) return undefined;
      if (((spare ^ displaced) & this.#indexMask) === 0) {
        Atomics.compareExchange(words, entry, spare, this.#spareFrom(position - 2 * this.#count, before));
      }
    }
    return position >>> 0 < this.#count ? (laps + 1) | 0 : laps;
  }

  // The cell of the tail is not what it was a lap ago: the message has come, or the tail was an old one.
  #passOn(position: number, word: number): void {
    if ((word & ~this.#indexMask) !== this.#lapOf(position)) return;
    Atomics.compareExchange(this.#words, this.#tail, position, (position + 1) | 0);
  }

  // The spare word for the slot of the message that stood at a position. It has as much of the position as there is room
  // for, so that a word that somebody holds is not taken for a later one that names the same slot.
  #spareFrom(position: number, cell: number): number {
    return (position << this.#indexBits) | (cell & this.#indexMask);
  }

  #cellOf(position: number): number {
    return this.#cells + (position & this.#cellMask);
  }

  #lapOf(position: number): number {
    return ((position >>> this.#cellBits) << this.#indexBits) | 0;
  }

  #slotOf(word: number): number {
    const index = word & this.#indexMask;
    if (index >= this.#slotCount) throw this.corrupt(`it names slot ${index} of ${this.#slotCount}`);
    return this.#slots + index * this.#stride;
  }
}
