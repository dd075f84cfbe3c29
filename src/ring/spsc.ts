// A ring for one producer and one consumer: how it is made, found and shared. The ends are in files of their own.

import { ClosedError, RoleTakenError } from '../errors.js';
import { Constants, EndCounters, EventCountWords, RecordHeader, SpscHeader } from '../layout.js';
import { closesWhenCollected } from '../memory/collected.js';
import { prepareSleep } from '../memory/event-count.js';
import { checkRoute, type Hold, holdOpen, land, type Ticket, takeOff, watchCarrier } from '../memory/flight.js';
import { checkName } from '../memory/names.js';
import { checkOpen, type Segment, type SegmentHandle } from '../memory/segment.js';
import { SegmentOwner } from '../memory/segment-owner.js';
import {
  attachInFlight,
  attachOrCreate,
  attachSegment,
  createSegment,
  makeOver,
  otherShape,
  unlink,
} from '../memory/shared-object.js';
import type { Route } from '../memory/travel.js';
import { whenLinked } from '../memory/when-linked.js';
import { checkRecordsFit, checkRecordsOf } from '../record/described-segment.js';
import type { RecordDescription } from '../record/description.js';
import { checkRecordType, type RecordOption, type RecordType } from '../record/record.js';
import { pid } from '../runtime.js';
import type { WaitMode } from '../wait/adaptive-spin.js';
import { type Condition, NOT_YET } from '../wait/condition.js';
import { type AttachOptions, checkAttachedWait, checkWaitOptions, type WaitOptions } from '../wait/options.js';
import { Waiters } from '../wait/waiters.js';
import { attachedParticipants, type ParticipantInfo } from './participants.js';
import { loadPosition } from './position.js';
import { checkHolder, holderPid, isHeld, leaveRole, loadRole, type Role } from './role.js';
import { SpscConsumer } from './spsc-consumer.js';
import {
  bindSpsc,
  forgetEnds,
  formatSpsc,
  maxRecordByteLengthOf,
  openEnd,
  type SpscEnd,
  type SpscLayout,
  takeEnd,
} from './spsc-end.js';
import { checkOptions, type SpscRingOptions } from './spsc-options.js';
import { SpscProducer } from './spsc-producer.js';
import { SpscRecordConsumer } from './spsc-record-consumer.js';
import { SpscRecordProducer } from './spsc-record-producer.js';

/** A snapshot; counts of other processes may be a moment old, and after a death one record off. */
export interface SpscRingStats {
  /** Bytes. */
  capacity: number;
  /** Bytes between head and tail, with headers and padding. */
  used: number;
  /** Records, since the ring was created. */
  pushed: number;
  /** Records, since the ring was created. */
  popped: number;
  /** How often an end watched memory before sleeping. */
  spins: number;
  /** How often an end went to sleep. */
  parks: number;
  /** How often a sleeping end was woken by the other one. */
  wakeUps: number;
  /** Always 0: a record that was being read comes again unmarked. */
  redelivered: number;
  /** Always 0: a producer that dies in mid-record leaves no trace. */
  abandoned: number;
  /** False when the name was removed; those who are attached go on. */
  linked: boolean;
  /** Ends that are held, then the other open handles. */
  participants: ParticipantInfo[];
}

/**
 * A ring of records of any length between one producer and one consumer, in different processes or threads. It outlives
 * its ends: a replacement takes the free role and goes on where the last one stopped.
 *
 * Made with a record type, its ends push and pop objects of that type: SpscRecordRing.
 */
export class SpscRing<Producer = SpscProducer, Consumer = SpscConsumer> extends SegmentOwner {
  readonly #layout: SpscLayout;
  readonly #segment: Segment;
  readonly #record: RecordType | undefined;
  readonly #ends = new Set<SpscEnd>();
  readonly #roleWaiters: { producer: Waiters; consumer: Waiters };

  /** @internal Use create() or attach(). */
  private constructor(segment: Segment, layout: SpscLayout, record: RecordType | undefined) {
    super(segment);
    this.#segment = segment;
    this.#layout = layout;
    this.#record = record;
    this.#roleWaiters = {
      producer: new Waiters(roleCondition(layout, layout.producer)),
      consumer: new Waiters(roleCondition(layout, layout.consumer)),
    };
    collected.register(this, { segment, layout }, this);
  }

  /**
   * Makes a ring of typed records. Other errors as without a record type.
   * @throws {RangeError} for a record longer than the ring can ever take
   */
  static create<Description extends RecordDescription>(
    options: SpscRingOptions & RecordOption<Description>,
  ): SpscRecordRing<Description>;
  /**
   * Makes a ring.
   * @throws {RangeError | TypeError} for options out of range, with the value
   * @throws {RingwayError} `EEXIST` if the name is taken; `ENOSPC` if the memory does not fit, before anything is used
   * @throws {RingwayError} `ERR_RINGWAY_NO_ADDON` for a name or `backend: 'shm'` where there is no addon
   */
  static create(options: SpscRingOptions): SpscRing;
  static create(options: SpscRingOptions & Partial<AnyRecordOption>): SpscRing<unknown, unknown> {
    const { capacity, alignment, wait, ...shared } = checkOptions(options);
    const record = checkRecordType(options.record);
    if (record !== undefined) checkRecordFits(record, capacity);
    const format = (segment: Segment) => formatSpsc(segment, capacity, alignment, wait);
    const segment = createSegment(Constants.kindSpsc, SpscHeader.data + capacity, shared, format, record?.text);
    return SpscRing.#open(segment, undefined, record);
  }

  /**
   * Opens a ring of typed records. Other errors as without a record type.
   * @throws {RingwayError} `ERR_RINGWAY_SHAPE` if it was made for records of another type, or for bytes; shows both
   */
  static attach<Description extends RecordDescription>(
    target: string | SegmentHandle,
    options: AttachOptions & RecordOption<Description>,
  ): SpscRecordRing<Description>;
  /**
   * Opens a ring that another process or thread made.
   * @param target - a name, or the `handle` of a ring
   * @throws {RingwayError} `ENOENT` if there is none; `EACCES` if it is another user's
   * @throws {RingwayError} `ERR_RINGWAY_SHAPE` if it was made for typed records; shows them
   * @throws {CorruptSegmentError} if it is no ring of this version
   */
  static attach(target: string | SegmentHandle, options?: AttachOptions): SpscRing;
  static attach(
    target: string | SegmentHandle,
    options: AttachOptions & Partial<AnyRecordOption> = {},
  ): SpscRing<unknown, unknown> {
    const mode = checkAttachedWait(options);
    const record = checkRecordType(options.record);
    return SpscRing.#open(attachSegment(Constants.kindSpsc, target, options), mode, record);
  }

  /**
   * @internal One end that another process or thread gave away, by a ring of its own; its sender answers for it until
   * then.
   * @throws {RingwayError} `ENOENT` if the sender ended; `ERR_RINGWAY_STATE` if the end was attached already
   */
  static arrive(handle: SegmentHandle & { ticket: Ticket }, role: 'producer'): { ring: SpscRing; end: SpscProducer };
  /** @internal */
  static arrive(handle: SegmentHandle & { ticket: Ticket }, role: 'consumer'): { ring: SpscRing; end: SpscConsumer };
  static arrive(
    handle: SegmentHandle & { ticket: Ticket },
    role: 'producer' | 'consumer',
  ): { ring: SpscRing; end: SpscEnd } {
    const segment = attachInFlight(Constants.kindSpsc, handle, {});
    const ring = SpscRing.#open(segment) as SpscRing;
    try {
      const layout = ring.#layout;
      const { ticket } = handle;
      const giver = { ticket, pid: handle.backend === 'shm' ? handle.pid : pid };
      const make = () =>
        role === 'producer' ? new SpscProducer(ring, layout, giver) : new SpscConsumer(ring, layout, giver);
      const end = takeEnd(layout[role], make);
      ring.#ends.add(end);
      land(segment, ticket);
      return { ring, end };
    } catch (error) {
      ring.close();
      throw error;
    }
  }

  /** @internal */
  takeOff(): Ticket {
    return takeOff(this.#segment);
  }

  /** @internal The message with that ticket was never sent. */
  land(ticket: Ticket): void {
    land(this.#segment, ticket);
  }

  /** @internal As of memory/flight.ts. */
  holdOpen(): () => void {
    return holdOpen(this.#segment);
  }

  /** @internal As of memory/flight.ts. */
  watchCarrier(hold: Hold, lost: () => void): void {
    watchCarrier(this.#segment, hold, lost);
  }

  /** @internal @throws if it cannot go there */
  checkRoute(route: Route): void {
    checkRoute(this.#segment, route);
  }

  /**
   * Opens the ring of typed records of that name, or makes it.
   * @throws {RingwayError} `ERR_RINGWAY_SHAPE` if it is there with another record type or of another shape; shows both
   */
  static createOrAttach<Description extends RecordDescription>(
    options: SpscRingOptions & { name: string } & AttachOptions & RecordOption<Description>,
  ): SpscRecordRing<Description>;
  /**
   * Opens the ring of that name, or makes it.
   * @throws {RingwayError} `ERR_RINGWAY_SHAPE` if it is there with another capacity, alignment or record type; shows both
   */
  static createOrAttach(options: SpscRingOptions & { name: string } & AttachOptions): SpscRing;
  static createOrAttach(options: SpscRingOptions & { name: string } & AttachOptions): SpscRing<unknown, unknown> {
    const name = checkName(options.name);
    return attachOrCreate(
      () => SpscRing.attach(name, options),
      (ring) => checkShape(ring, options),
      () => SpscRing.create(options),
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
  ): Promise<SpscRecordRing<Description>>;
  /**
   * Waits until a ring of that name is created, and opens it.
   * @throws {TimeoutError} after `timeoutMs`
   */
  static whenCreated(name: string, options?: WaitOptions & AttachOptions): Promise<SpscRing>;
  static async whenCreated(
    name: string,
    options: WaitOptions & AttachOptions = {},
  ): Promise<SpscRing<unknown, unknown>> {
    checkName(name);
    checkWaitOptions(options);
    return whenLinked(name, options, () => SpscRing.attach(name, options));
  }

  /**
   * Removes a name. Those who have the ring keep it.
   * @throws {RingwayError} `ENOENT` if there is none
   */
  static unlink(name: string): void {
    unlink(name);
  }

  static #open(segment: Segment, mode?: WaitMode, record?: RecordType): SpscRing<unknown, unknown> {
    return makeOver(segment, () => {
      checkRecordsOf(segment, record);
      const layout = bindSpsc(segment, mode);
      checkRecordsFit(segment, record, layout.maxRecordByteLength);
      return new SpscRing(segment, layout, record);
    });
  }

  /** Bytes, a power of two. */
  get capacity(): number {
    return this.#layout.capacity;
  }

  /** The longest record, in bytes: half the capacity less a header of 8. */
  get maxRecordByteLength(): number {
    return this.#layout.maxRecordByteLength;
  }

  /** Records start at multiples of this, in bytes. */
  get alignment(): 8 | 64 {
    return this.#layout.alignment;
  }

  /** How this handle's ends wait. */
  get wait(): WaitMode {
    return this.#layout.mode;
  }

  /**
   * Takes the producer's role; the same object again if this thread has it.
   * @throws {RoleTakenError} while another live process or thread holds it
   */
  producer(): Producer {
    const bytes = this.#take('producer', () => new SpscProducer(this, this.#layout)) as SpscProducer;
    return typedEnd(bytes, this.#record, SpscRecordProducer) as Producer;
  }

  /**
   * Takes the consumer's role; the same object again if this thread has it.
   * @throws {RoleTakenError} while another live process or thread holds it
   */
  consumer(): Consumer {
    const bytes = this.#take('consumer', () => new SpscConsumer(this, this.#layout)) as SpscConsumer;
    return typedEnd(bytes, this.#record, SpscRecordConsumer) as Consumer;
  }

  /** producer() as soon as the role is free: given back, or its holder dead. */
  takeProducer(options?: WaitOptions): Promise<Producer> {
    return this.#whenFree('producer', () => this.producer(), options);
  }

  /** consumer() as soon as the role is free: given back, or its holder dead. */
  takeConsumer(options?: WaitOptions): Promise<Consumer> {
    return this.#whenFree('consumer', () => this.consumer(), options);
  }

  /** What the ring has done and who is attached to it. Asks the kernel once for each participant. */
  stats(): SpscRingStats {
    checkOpen(this.#segment);
    const segment = this.#segment;
    const { words, doubles, bodyOffset } = segment;
    const position = (offset: number) => loadPosition(words, (bodyOffset + offset) >> 2);
    const used = position(SpscHeader.tail) - position(SpscHeader.head);
    const count = (end: number, counter: number) => doubles[(bodyOffset + end + counter) >> 3];
    const both = (counter: number) =>
      count(SpscHeader.producerCounters, counter) + count(SpscHeader.consumerCounters, counter);
    return {
      capacity: this.capacity,
      used: Math.min(Math.max(used | 0, 0), this.capacity), // The two words were not read at the same moment.
      pushed: count(SpscHeader.producerCounters, EndCounters.records),
      popped: count(SpscHeader.consumerCounters, EndCounters.records),
      spins: both(EndCounters.spins),
      parks: both(EndCounters.parks),
      wakeUps: both(EndCounters.wakeUps),
      redelivered: 0,
      abandoned: 0,
      linked: segment.linked,
      participants: this.#participants(),
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
    const message = `${this.#segment.label} was closed`;
    this.#roleWaiters.producer.close(message);
    this.#roleWaiters.consumer.close(message);
    this.#segment.close();
  }

  /** A pending takeProducer() or takeConsumer() keeps the process alive: the default. */
  ref(): this {
    this.#roleWaiters.producer.referenced = this.#roleWaiters.consumer.referenced = true;
    return this;
  }

  /** Lets the process end though a takeProducer() or takeConsumer() is pending. */
  unref(): this {
    this.#roleWaiters.producer.referenced = this.#roleWaiters.consumer.referenced = false;
    return this;
  }

  #take(role: 'producer' | 'consumer', make: () => SpscEnd): SpscEnd {
    checkOpen(this.#segment);
    const open = openEnd(this.#layout[role]);
    if (open !== undefined) return open;
    for (const end of this.#ends) if (end.closed) this.#ends.delete(end);
    const end = takeEnd(this.#layout[role], make);
    this.#ends.add(end);
    return end;
  }

  #whenFree<End>(role: 'producer' | 'consumer', take: () => End, options?: WaitOptions): Promise<End> {
    if (this.closed) return Promise.reject(new ClosedError(`${this.#segment.label} is closed`));
    const attempt = () => {
      try {
        return take();
      } catch (error) {
        if (error instanceof RoleTakenError) return NOT_YET;
        throw error;
      }
    };
    return this.#roleWaiters[role].wait(attempt, { ...options, what: `taking the ${role}'s role`, waitForPeer: true });
  }

  #participants(): ParticipantInfo[] {
    const segment = this.#segment;
    const { producer, consumer } = this.#layout;
    const found: ParticipantInfo[] = [];
    const withRole = new Set<number>();
    for (const role of [producer, consumer]) {
      const word = loadRole(role);
      if (!isHeld(word)) continue;
      withRole.add(word >>> Constants.roleIdShift);
      const alive = checkHolder(role, word);
      found.push({ role: role.name as 'producer' | 'consumer', pid: holderPid(role, word), alive });
    }
    return [...found, ...attachedParticipants(segment, withRole)];
  }
}

/** A ring of typed records. */
export type SpscRecordRing<Description extends RecordDescription = RecordDescription> = SpscRing<
  SpscRecordProducer<Description>,
  SpscRecordConsumer<Description>
>;

type AnyRecordOption = RecordOption<RecordDescription>;

// The end over a byte end: the same object as long as that is.
const typedEnds = new WeakMap<SpscEnd, object>();
function typedEnd<End extends SpscEnd>(
  bytes: End,
  record: RecordType | undefined,
  Typed: new (bytes: End, record: RecordType) => object,
): object {
  if (record === undefined) return bytes;
  const there = typedEnds.get(bytes);
  if (there !== undefined) return there;
  const made = new Typed(bytes, record);
  typedEnds.set(bytes, made);
  return made;
}

const collected = closesWhenCollected<{ segment: Segment; layout: SpscLayout }>(({ segment, layout }) => {
  leaveRole(layout.producer);
  leaveRole(layout.consumer);
  forgetEnds(segment);
});

// Waiting for a role: its word, which every wait looks at, is all there is to watch.
function roleCondition(layout: SpscLayout, role: Role): Condition {
  return {
    segment: layout.segment,
    mode: 'park',
    sequence: layout.roleChanged + EventCountWords.sequence,
    watched: role.word,
    role: role.word,
    counters: -1,
    hasMoved: () => false,
    prepare: () => prepareSleep(layout.segment.words, layout.roleChanged),
    peerGone: () => undefined,
    peerHeld: (word) => layout.segment.judgesDeath && isHeld(word),
    checkPeer: (word) => void checkHolder(role, word),
    peerIsHere: () => false,
    checkOpen: () => {},
  };
}

function checkRecordFits(record: RecordType, capacity: number): void {
  const limit = maxRecordByteLengthOf(capacity);
  if (record.byteLength <= limit) return;
  const least = 2 ** Math.ceil(Math.log2((record.byteLength + RecordHeader.payload) * 2));
  throw new RangeError(
    `a record of ${record.byteLength} bytes is longer than the ${limit} that fit into a capacity of ${capacity}: ` +
      `it needs at least ${least}`,
  );
}

function checkShape(ring: SpscRing<unknown, unknown>, options: SpscRingOptions): void {
  const { capacity, alignment } = checkOptions(options);
  if (ring.capacity === capacity && ring.alignment === alignment) return;
  const shapeOf = (capacity: number, alignment: number) => `capacity ${capacity} and alignment ${alignment}`;
  throw otherShape(options.name as string, shapeOf(ring.capacity, ring.alignment), shapeOf(capacity, alignment));
}
