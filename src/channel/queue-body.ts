// What a handle to a queue works on: the ring of its messages, the room of the large ones, who produces and what is not done.
// A message is in its slot, or, if it is larger, in the arena, and its slot has its length.

import type { Encoded, ValueCodec } from '../codec/codec.js';
import { type CodecOption, checkCodec, isBuiltIn } from '../codec/option.js';
import { CorruptSegmentError, MessageSizeError, RingwayError } from '../errors.js';
import { ParticipantCounters, QueueHeader } from '../layout.js';
import { readDescription } from '../memory/description.js';
import type { Segment } from '../memory/segment.js';
import { otherShape } from '../memory/shared-object.js';
import { MpmcSlots } from '../ring/mpmc-slots.js';
import { Arena, extentsByteLength } from './arena.js';
import { Receiving } from './arrivals.js';
import { Producers } from './producers.js';
import { queueOffsetFor } from './queue-options.js';
import { Unfinished } from './unfinished.js';

export class QueueBody {
  readonly segment: Segment;
  readonly slots: MpmcSlots;
  readonly arena: Arena;
  readonly producers: Producers;
  readonly unfinished: Unfinished;
  readonly codec: ValueCodec;
  readonly maxSize: number;
  /** The longest message, in bytes. */
  readonly maxByteLength: number;
  readonly #slotByteLength: number;
  readonly #receiving = new Receiving();

  /**
   * Checks the body of a segment.
   * @throws {CorruptSegmentError} naming the field that does not fit
   * @throws {RingwayError} `ERR_RINGWAY_SHAPE` if the queue was made with another codec; shows both
   */
  constructor(segment: Segment, codec: CodecOption | undefined) {
    const slots = new MpmcSlots(segment);
    const { shape } = slots;
    const refuse = (why: string): never => {
      throw new CorruptSegmentError(`${segment.label} contradicts itself: ${why}`);
    };
    const header = segment.bodyOffset + queueOffsetFor(shape, segment.maxParticipants);
    if (segment.byteLength < header + QueueHeader.extents + extentsByteLength(shape.slots)) {
      refuse(`${segment.byteLength} bytes hold no queue`);
    }
    const maxSize = segment.words[(header + QueueHeader.maxSize) >> 2] >>> 0;
    if (maxSize === 0 || maxSize > shape.slots) refuse(`maxSize is ${maxSize}`);
    slots.limit(maxSize);
    this.segment = segment;
    this.slots = slots;
    this.arena = new Arena(slots, header, maxSize);
    this.producers = new Producers(slots, header);
    this.unfinished = new Unfinished(slots, header);
    this.codec = codecOf(segment, codec);
    this.maxSize = maxSize;
    this.maxByteLength = Math.max(this.arena.byteLength, shape.slotByteLength);
    this.#slotByteLength = shape.slotByteLength;
  }

  get hasEnded(): boolean {
    return Atomics.load(this.segment.words, this.slots.ended >> 2) !== 0;
  }

  /** No more puts, by anybody. */
  end(): void {
    // Sequentially consistent: a producer that does not see it in tryPut() has its claim seen by consumers, who look for
    // the end with the mark set.
    Atomics.store(this.segment.words, this.slots.ended >> 2, 1);
    this.slots.tellOfEnd();
  }

  /**
   * How much room a message needs in the arena, in bytes: none if it fits into a slot.
   * @throws {MessageSizeError} if it never fits
   */
  roomFor({ byteLength }: Encoded): number {
    if (byteLength <= this.#slotByteLength) return 0;
    if (byteLength <= this.maxByteLength) return byteLength;
    throw new MessageSizeError(
      `a value of ${byteLength} bytes does not fit into ${this.segment.label} of ${this.maxByteLength}: create it with a larger capacity`,
      byteLength,
      this.maxByteLength,
    );
  }

  /**
   * @param room - what roomFor() says of the message
   * @returns false if there is no slot, or no room in the arena
   * @throws {RingwayError} `EPIPE` after the end; `ENOSPC` if the system has no memory for it. Nothing was put
   */
  tryPut(message: Encoded, room: number): boolean {
    const { slots } = this;
    // Before the claim: giving up a slot wakes those who wait for one, and two of them would wake each other for ever.
    if (room > 0 && !this.arena.mayHold(room)) {
      if (this.hasEnded) throw queueEnded(this.segment);
      return false;
    }
    const slot = slots.claim();
    // With the claim there for everybody to see: consumers may have found the end before it.
    if (this.hasEnded) {
      if (slot >= 0) this.#abandon(slot);
      throw queueEnded(this.segment);
    }
    if (slot < 0) return false;
    slots.tellOfClaim();
    let byteLength = -1;
    try {
      this.arena.clear(slot);
      byteLength = room > 0 ? this.#writeLarge(slot, message) : this.#write(slot, message);
    } finally {
      if (byteLength < 0) this.#abandon(slot);
    }
    if (byteLength < 0) return false;
    slots.commit(slot, byteLength);
    this.#count(ParticipantCounters.pushed);
    slots.tellOfMessage();
    return true;
  }

  /** The value in a slot that was taken. Throws what the codec throws, and what attaching to an object in it throws. */
  read(slot: number): unknown {
    const { segment, slots, arena } = this;
    let offset = slots.payloadOf(slot);
    let byteLength = slots.byteLengthOf(slot);
    if (arena.has(slot)) {
      byteLength = segment.words[offset >> 2] >>> 0;
      offset = arena.offsetOf(slot, byteLength);
    }
    return this.#receiving.decode(this.codec, segment.bytes, offset, byteLength, false);
  }

  /** The message in a slot that was taken is done with: nobody gets it again. */
  free(slot: number): void {
    this.#count(ParticipantCounters.popped);
    // Or a message that comes again, because we died before its slot was free, would have lost its room.
    if (this.arena.has(slot)) this.slots.finish(slot);
    this.#abandon(slot);
  }

  /** The message in a slot that was taken comes again. */
  giveBack(slot: number): void {
    this.slots.nack(slot);
    this.slots.tellOfMessage();
  }

  #write(slot: number, message: Encoded): number {
    message.copyTo(this.segment.bytes, this.slots.payloadOf(slot), 0, message.byteLength);
    return message.byteLength;
  }

  // -1: somebody else was quicker to take the room.
  #writeLarge(slot: number, message: Encoded): number {
    const offset = this.arena.take(slot, message.byteLength);
    if (offset < 0) return -1;
    message.copyTo(this.segment.bytes, offset, 0, message.byteLength);
    this.segment.words[this.slots.payloadOf(slot) >> 2] = message.byteLength;
    return 4;
  }

  #abandon(slot: number): void {
    this.arena.clear(slot);
    this.slots.free(slot);
    this.slots.tellOfRoom();
    if (this.hasEnded) this.slots.tellOfEnd(); // It may have been the last that could be delivered.
  }

  #count(counter: number): void {
    this.segment.doubles[(this.slots.counters + counter) >> 3]++;
  }
}

/** Putting after the end. */
export function queueEnded({ label }: Segment): RingwayError {
  return new RingwayError(`${label} has ended: nothing can be put any more`, 'EPIPE');
}

// The name of a queue's codec is the segment's description.
function codecOf(segment: Segment, option: CodecOption | undefined): ValueCodec {
  const there = readDescription(segment);
  if (option === undefined && isBuiltIn(there)) return checkCodec(there);
  const codec = checkCodec(option);
  if (codec.name === there) return codec;
  throw otherShape(segment.label, `the codec ${JSON.stringify(there)}`, `the codec ${JSON.stringify(codec.name)}`);
}
