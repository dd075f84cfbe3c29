// A ring whose messages all subscribers get. The protocol is in broadcast-slots.ts, the ends are in broadcast-publisher.ts
// and broadcast-subscriber.ts.

import { Constants, EndCounters, PublisherEntry, SubscriberEntry } from '../layout.js';
import { closesWhenCollected } from '../memory/collected.js';
import { checkName, describe } from '../memory/names.js';
import { checkOpen, type Segment, type SegmentHandle } from '../memory/segment.js';
import { SegmentOwner } from '../memory/segment-owner.js';
import { attachOrCreate, attachSegment, createSegment, makeOver, otherShape, unlink } from '../memory/shared-object.js';
import { whenLinked } from '../memory/when-linked.js';
import { checkRecordsFit, checkRecordsOf } from '../record/described-segment.js';
import type { RecordDescription } from '../record/description.js';
import { checkRecordType, type RecordOption, type RecordType } from '../record/record.js';
import type { WaitMode } from '../wait/adaptive-spin.js';
import { type AttachOptions, checkAttachedWait, checkWaitOptions, type WaitOptions } from '../wait/options.js';
import {
  activeSubscribers,
  enterPublisher,
  enterSubscriber,
  leavePublisher,
  leaveSubscriber,
  memberInfos,
} from './broadcast-members.js';
import {
  type BroadcastRecordRingOptions,
  type BroadcastRingOptions,
  checkBroadcastOptions,
} from './broadcast-options.js';
import { BroadcastPublisher } from './broadcast-publisher.js';
import { BroadcastRecordPublisher } from './broadcast-record-publisher.js';
import { BroadcastRecordSubscriber } from './broadcast-record-subscriber.js';
import { BroadcastSlots, broadcastByteLength, formatBroadcast, type OnSlow } from './broadcast-slots.js';
import { BroadcastSubscriber, type SubscriberOptions } from './broadcast-subscriber.js';
import { attachedParticipants, type ParticipantInfo } from './participants.js';
import type { RingEnd } from './ring-end.js';

/** A snapshot; counts of other processes may be a moment old. */
export interface BroadcastRingStats {
  /** How far behind a subscriber may be, in messages. */
  capacity: number;
  /** How far behind the slowest subscriber is, in messages. */
  used: number;
  /** Messages, since the ring was created. */
  pushed: number;
  /** Messages that were read, by all subscribers together, since the ring was created. */
  popped: number;
  /** Messages that were overwritten before the present subscribers got to them. */
  missed: number;
  /** How often somebody watched memory before sleeping. */
  spins: number;
  /** How often somebody went to sleep. */
  parks: number;
  /** How often a sleeper was woken. */
  wakeUps: number;
  /** Nothing comes twice: always 0. */
  redelivered: number;
  /** What a publisher had not published when it died was never there: always 0. */
  abandoned: number;
  /** False when the name was removed; those who are attached go on. */
  linked: boolean;
  /** One for each publisher and subscriber, and open handles that are neither. */
  participants: ParticipantInfo[];
}

/**
 * A ring of messages of up to `slotByteLength` bytes from any number of publishers to any number of subscribers, in
 * different processes or threads. All subscribers see the same messages in the same order; a publisher's messages are in
 * the order in which it published them.
 *
 * Made with a record type, its ends publish and read objects of that type: BroadcastRecordRing.
 */
export class BroadcastRing<Publisher = BroadcastPublisher, Subscriber = BroadcastSubscriber> extends SegmentOwner {
  readonly #segment: Segment;
  readonly #record: RecordType | undefined;
  readonly #slots: BroadcastSlots;
  readonly #mode: WaitMode;
  readonly #ends = new Set<RingEnd>();

  /** @internal Use create() or attach(). */
  private constructor(slots: BroadcastSlots, mode: WaitMode | undefined, record: RecordType | undefined) {
    const { segment } = slots;
    super(segment);
    this.#segment = segment;
    this.#record = record;
    this.#slots = slots;
    this.#mode = mode ?? this.#slots.shape.wait;
    collected.register(this, { segment }, this);
  }

  /**
   * Makes a ring of typed records. Other errors as without a record type.
   * @throws {RangeError} for a record longer than a slot
   */
  static create<Description extends RecordDescription>(
    options: BroadcastRecordRingOptions<Description>,
  ): BroadcastRecordRing<Description>;
  /**
   * Makes a ring.
   * @throws {RangeError | TypeError} for options out of range, with the value
   * @throws {RingwayError} `EEXIST` if the name is taken; `ENOSPC` if the memory does not fit, before anything is used
   * @throws {RingwayError} `ERR_RINGWAY_NO_ADDON` for a name or `backend: 'shm'` where there is no addon
   */
  static create(options: BroadcastRingOptions): BroadcastRing;
  static create(options: AnyOptions): BroadcastRing<unknown, unknown> {
    const { shared, shape, record } = checkBroadcastOptions(options);
    const format = (segment: Segment) => formatBroadcast(segment, shape);
    const byteLength = broadcastByteLength(shape);
    const segment = createSegment(Constants.kindBroadcast, byteLength, shared, format, record?.text);
    return BroadcastRing.#open(segment, undefined, record);
  }

  /**
   * Opens a ring of typed records. Other errors as without a record type.
   * @throws {RingwayError} `ERR_RINGWAY_SHAPE` if it was made for records of another type, or for bytes; shows both
   */
  static attach<Description extends RecordDescription>(
    target: string | SegmentHandle,
    options: AttachOptions & RecordOption<Description>,
  ): BroadcastRecordRing<Description>;
  /**
   * Opens a ring that another process or thread made.
   * @param target - a name, or the `handle` of a ring
   * @throws {RingwayError} `ENOENT` if there is none; `EACCES` if it is another user's
   * @throws {RingwayError} `ERR_RINGWAY_SHAPE` if it was made for typed records; shows them
   * @throws {CorruptSegmentError} if it is no ring of this kind and version
   */
  static attach(target: string | SegmentHandle, options?: AttachOptions): BroadcastRing;
  static attach(
    target: string | SegmentHandle,
    options: AttachOptions & Partial<RecordOption<RecordDescription>> = {},
  ): BroadcastRing<unknown, unknown> {
    const record = checkRecordType(options.record);
    const mode = checkAttachedWait(options);
    return BroadcastRing.#open(attachSegment(Constants.kindBroadcast, target, options), mode, record);
  }

  /**
   * Opens the ring of typed records of that name, or makes it.
   * @throws {RingwayError} `ERR_RINGWAY_SHAPE` if it is there with another record type or of another shape; shows both
   */
  static createOrAttach<Description extends RecordDescription>(
    options: BroadcastRecordRingOptions<Description> & { name: string } & AttachOptions,
  ): BroadcastRecordRing<Description>;
  /**
   * Opens the ring of that name, or makes it.
   * @throws {RingwayError} `ERR_RINGWAY_SHAPE` if it is there with another shape or record type; shows both
   */
  static createOrAttach(options: BroadcastRingOptions & { name: string } & AttachOptions): BroadcastRing;
  static createOrAttach(options: AnyOptions & { name: string } & AttachOptions): BroadcastRing<unknown, unknown> {
    const name = checkName(options.name);
    return attachOrCreate<BroadcastRing<unknown, unknown>>(
      () => BroadcastRing.attach(name, options),
      (ring) => checkShape(ring, options),
      () => BroadcastRing.create(options as BroadcastRingOptions),
    );
  }

  /**
   * Waits until a ring of typed records of that name is created, and opens it.
   * @throws {RingwayError} `ERR_RINGWAY_SHAPE` if it was made for records of another type, or for bytes; shows both
   * @throws {TimeoutError} after `timeoutMs`
   */
  static whenCreated<Description extends RecordDescription>(
    name: string,
    options: WaitOptions & AttachOptions & RecordOption<Description>,
  ): Promise<BroadcastRecordRing<Description>>;
  /**
   * Waits until a ring of that name is created, and opens it.
   * @throws {TimeoutError} after `timeoutMs`
   */
  static whenCreated(name: string, options?: WaitOptions & AttachOptions): Promise<BroadcastRing>;
  static async whenCreated(
    name: string,
    options: WaitOptions & AttachOptions = {},
  ): Promise<BroadcastRing<unknown, unknown>> {
    checkName(name);
    checkWaitOptions(options);
    return whenLinked(name, options, () => BroadcastRing.attach(name, options));
  }

  /**
   * Removes a name. Those who have the ring keep it.
   * @throws {RingwayError} `ENOENT` if there is none
   */
  static unlink(name: string): void {
    unlink(name);
  }

  static #open(
    segment: Segment,
    mode: WaitMode | undefined,
    record: RecordType | undefined,
  ): BroadcastRing<unknown, unknown> {
    return makeOver(segment, () => {
      checkRecordsOf(segment, record);
      const slots = new BroadcastSlots(segment);
      checkRecordsFit(segment, record, slots.shape.slotByteLength);
      return new BroadcastRing(slots, mode, record);
    });
  }

  /** How far behind a subscriber may be, in messages, a power of two. */
  get slots(): number {
    return this.#slots.shape.slots;
  }

  /** The longest message, in bytes. */
  get slotByteLength(): number {
    return this.#slots.shape.slotByteLength;
  }

  /** What publishers do when a subscriber is a whole ring behind. */
  get onSlow(): OnSlow {
    return this.#slots.shape.onSlow;
  }

  /** How many can publish at once. */
  get maxPublishers(): number {
    return this.#slots.shape.maxPublishers;
  }

  /** How many can subscribe at once. */
  get maxSubscribers(): number {
    return this.#slots.shape.maxSubscribers;
  }

  /** Messages start at multiples of this, in bytes. */
  get alignment(): 8 | 64 {
    return this.#slots.shape.alignment;
  }

  /** How this handle's ends wait. */
  get wait(): WaitMode {
    return this.#mode;
  }

  /**
   * A new publisher.
   * @throws {RingwayError} `EUSERS` if there are `maxPublishers`, all alive
   */
  publisher(): Publisher {
    checkOpen(this.#segment);
    const number = enterPublisher(this.#slots);
    try {
      const bytes = this.#keep(new BroadcastPublisher(this, this.#slots, this.#mode, number));
      return (this.#record === undefined ? bytes : new BroadcastRecordPublisher(bytes, this.#record)) as Publisher;
    } catch (error) {
      leavePublisher(this.#slots, number);
      throw error;
    }
  }

  /**
   * A new subscriber, which sees all that is published from now on, or also what is still there.
   * @throws {RingwayError} `EUSERS` if there are `maxSubscribers`, all alive
   */
  subscriber(options: SubscriberOptions = {}): Subscriber {
    checkOpen(this.#segment);
    const { from = 'latest' } = options;
    if (from !== 'latest' && from !== 'oldest') {
      throw new RangeError(`from must be 'latest' or 'oldest', not ${describe(from)}`);
    }
    const number = enterSubscriber(this.#slots);
    try {
      const bytes = this.#keep(new BroadcastSubscriber(this, this.#slots, this.#mode, number, from));
      return (this.#record === undefined ? bytes : new BroadcastRecordSubscriber(bytes, this.#record)) as Subscriber;
    } catch (error) {
      leaveSubscriber(this.#slots, number);
      throw error;
    }
  }

  /** What the ring has done and who is attached to it. Asks the kernel for each participant. */
  stats(): BroadcastRingStats {
    checkOpen(this.#segment);
    const segment = this.#segment;
    const { words, doubles } = segment;
    const { maxPublishers, maxSubscribers } = this.#slots.shape;
    const end = this.#slots.lookBack(0);
    const ofPublishers = (counter: number) => {
      let total = 0;
      for (let number = 0; number < maxPublishers; number++) {
        total += doubles[(this.#slots.publisherAt(number) + PublisherEntry.counters + counter) >> 3];
      }
      return total;
    };
    const ofSubscribers = (field: number) => {
      let total = 0;
      for (let number = 0; number < maxSubscribers; number++) {
        total += doubles[(this.#slots.subscriberAt(number) + field) >> 3];
      }
      return total;
    };
    const ofAll = (counter: number) => ofPublishers(counter) + ofSubscribers(SubscriberEntry.counters + counter);
    let used = 0;
    let missed = 0;
    for (const { number } of activeSubscribers(this.#slots)) {
      const entry = this.#slots.subscriberAt(number);
      used = Math.max(used, (end.position - Atomics.load(words, (entry + SubscriberEntry.cursor) >> 2)) | 0);
      missed += doubles[(entry + SubscriberEntry.missed) >> 3];
    }
    const { infos, ids } = memberInfos(this.#slots);
    return {
      capacity: this.slots,
      used: Math.min(used, this.slots),
      pushed: end.laps * 2 ** 32 + (end.position >>> 0),
      popped: ofSubscribers(SubscriberEntry.counters + EndCounters.records),
      missed,
      spins: ofAll(EndCounters.spins),
      parks: ofAll(EndCounters.parks),
      wakeUps: ofAll(EndCounters.wakeUps),
      redelivered: 0,
      abandoned: 0,
      linked: segment.linked,
      participants: [...infos, ...attachedParticipants(segment, ids)],
    };
  }

  /**
   * Gives up this handle: its ends are closed, views of it read zeros, writes to them go nowhere. The ring stays, if it
   * has a name or others hold it. Idempotent.
   */
  close(): void {
    if (this.closed) return;
    collected.unregister(this);
    for (const end of this.#ends) end.close();
    this.#segment.close();
  }

  #keep<End extends RingEnd>(end: End): End {
    for (const other of this.#ends) if (other.closed) this.#ends.delete(other);
    this.#ends.add(end);
    return end;
  }
}

/** A ring of typed records. */
export type BroadcastRecordRing<Description extends RecordDescription = RecordDescription> = BroadcastRing<
  BroadcastRecordPublisher<Description>,
  BroadcastRecordSubscriber<Description>
>;

type AnyOptions = BroadcastRingOptions | BroadcastRecordRingOptions<RecordDescription>;

// The addon gives back what a collected ring held.
const collected = closesWhenCollected();

function checkShape(ring: BroadcastRing<unknown, unknown>, options: AnyOptions): void {
  const { slots, slotByteLength, onSlow, alignment, maxPublishers, maxSubscribers } =
    checkBroadcastOptions(options).shape;
  const there = shapeOf(ring);
  const wanted = shapeOf({ slots, slotByteLength, onSlow, alignment, maxPublishers, maxSubscribers });
  if (there !== wanted) throw otherShape(options.name as string, there, wanted);
}

type Shape = Pick<
  BroadcastRing,
  'slots' | 'slotByteLength' | 'onSlow' | 'alignment' | 'maxPublishers' | 'maxSubscribers'
>;

function shapeOf({ slots, slotByteLength, onSlow, alignment, maxPublishers, maxSubscribers }: Shape): string {
  return (
    `${slots} slots of ${slotByteLength} bytes, onSlow '${onSlow}', alignment ${alignment}, ${maxPublishers} publishers ` +
    `and ${maxSubscribers} subscribers`
  );
}
