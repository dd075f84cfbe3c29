// A ring for many producers and many consumers: each message goes to exactly one of them. The protocol is in
// mpmc-slots.ts, what is waited for in mpmc-waits.ts.

import { CorruptSegmentError, EndOfStreamError, MessageSizeError, RingwayError } from '../errors.js';
import { Constants, MpmcHeader, ParticipantCounters } from '../layout.js';
import { closesWhenCollected } from '../memory/collected.js';
import { checkName, describe } from '../memory/names.js';
import { checkOpen, type Segment, type SegmentHandle } from '../memory/segment.js';
import { SegmentOwner } from '../memory/segment-owner.js';
import {
  attachOrCreate,
  attachSegment,
  checkInteger,
  createSegment,
  makeOver,
  otherShape,
  unlink,
} from '../memory/shared-object.js';
import { whenLinked } from '../memory/when-linked.js';
import { checkRecordsFit, checkRecordsOf } from '../record/described-segment.js';
import type { RecordDescription } from '../record/description.js';
import { checkRecordType, type RecordOption, type RecordType } from '../record/record.js';
import type { WaitMode } from '../wait/adaptive-spin.js';
import { NOT_YET } from '../wait/condition.js';
import {
  type AttachOptions,
  checkAttachedWait,
  checkWaitOptions,
  type SyncWaitOptions,
  type WaitOptions,
} from '../wait/options.js';
import { WaitingLine } from '../wait/waiting-line.js';
import { checkHandler, checkLimit, type DrainHandler, readInPlace, type Writer, writeInPlace } from './in-place.js';
import { Lease, type Lessor } from './lease.js';
import { checkMpmcOptions, type MpmcRecordRingOptions, type MpmcRingOptions } from './mpmc-options.js';
import { MpmcRecordRing } from './mpmc-records.js';
import { formatMpmc, MpmcSlots, mpmcByteLength } from './mpmc-slots.js';
import { MessageCondition, RoomCondition, streamEnded } from './mpmc-waits.js';
import { attachedParticipants, type ParticipantInfo } from './participants.js';
import { checkBytes } from './record-bytes.js';
import { Claim, DEBUG_VIEWS, Loan, poison } from './views.js';

/** How many slots tryPushMany() claims before it writes. What it holds is nobody else's, so not many. */
const RUN = 32;

/** A snapshot; counts of other processes may be a moment old, and after a death one message off. */
export interface MpmcRingStats {
  /** Slots. */
  capacity: number;
  /** Slots that hold something: a message in the queue, a claim, a lease. */
  used: number;
  /** Messages, since the ring was created. */
  pushed: number;
  /** Messages that were popped or acked, since the ring was created. */
  popped: number;
  /** How often somebody watched memory before sleeping. */
  spins: number;
  /** How often somebody went to sleep. */
  parks: number;
  /** How often a sleeper was woken. */
  wakeUps: number;
  /** How often a message was queued again. */
  redelivered: number;
  /** Messages whose writer died before it committed. */
  abandoned: number;
  /** False when the name was removed; those who are attached go on. */
  linked: boolean;
  /** Open handles. */
  participants: ParticipantInfo[];
}

/**
 * A ring of messages of up to `slotByteLength` bytes between any number of producers and consumers, in different processes
 * or threads. There are no roles: every handle can do both. What somebody holds, a claim or a lease, holds up nobody else.
 *
 * Delivery: `tryPop` and its kin at most once, `tryTake` and its kin at least once. Order is that of the commits; a message
 * that comes again is queued anew.
 */
export class MpmcRing extends SegmentOwner {
  readonly #segment: Segment;
  readonly #slots: MpmcSlots;
  readonly #mode: WaitMode;
  readonly #room: WaitingLine;
  readonly #messages: WaitingLine;
  readonly #held: Held = new Map();
  readonly #lessor: Lessor;
  // The slots that a writer and a drain handler are at work on; -1: none.
  #writing = -1;
  #reading = -1;
  readonly #run = new Int32Array(RUN); // The slots of #pushRun().

  /** @internal Use create() or attach(). */
  private constructor(slots: MpmcSlots, mode?: WaitMode) {
    const { segment } = slots;
    super(segment);
    this.#segment = segment;
    this.#slots = slots;
    this.#mode = mode ?? this.#slots.shape.wait;
    this.#room = new WaitingLine(new RoomCondition(this.#slots, this.#mode));
    this.#messages = new WaitingLine(new MessageCondition(this.#slots, this.#mode));
    this.#lessor = { endLease: (slot, done) => this.#endLease(slot, done) };
    collected.register(this, { segment }, this);
  }

  /**
   * Makes a ring of typed records. Other errors as without a record type.
   * @throws {RangeError} for a record longer than a slot
   */
  static create<Description extends RecordDescription>(
    options: MpmcRecordRingOptions<Description>,
  ): MpmcRecordRing<Description>;
  /**
   * Makes a ring.
   * @throws {RangeError | TypeError} for options out of range, with the value
   * @throws {RingwayError} `EEXIST` if the name is taken; `ENOSPC` if the memory does not fit, before anything is used
   * @throws {RingwayError} `ERR_RINGWAY_NO_ADDON` for a name or `backend: 'shm'` where there is no addon
   */
  static create(options: MpmcRingOptions): MpmcRing;
  static create(options: AnyOptions): MpmcRing | MpmcRecordRing {
    const { shared, shape, record } = checkMpmcOptions(options);
    const format = (segment: Segment) => formatMpmc(segment, shape);
    const byteLength = mpmcByteLength(shape, shared.maxParticipants);
    const segment = createSegment(Constants.kindMpmc, byteLength, shared, format, record?.text);
    return MpmcRing.#open(segment, undefined, record);
  }

  /**
   * Opens a ring of typed records. Other errors as without a record type.
   * @throws {RingwayError} `ERR_RINGWAY_SHAPE` if it was made for records of another type, or for bytes; shows both
   */
  static attach<Description extends RecordDescription>(
    target: string | SegmentHandle,
    options: AttachOptions & RecordOption<Description>,
  ): MpmcRecordRing<Description>;
  /**
   * Opens a ring that another process or thread made.
   * @param target - a name, or the `handle` of a ring
   * @throws {RingwayError} `ENOENT` if there is none; `EACCES` if it is another user's
   * @throws {RingwayError} `ERR_RINGWAY_SHAPE` if it was made for typed records; shows them
   * @throws {CorruptSegmentError} if it is no ring of this kind and version
   */
  static attach(target: string | SegmentHandle, options?: AttachOptions): MpmcRing;
  static attach(
    target: string | SegmentHandle,
    options: AttachOptions & Partial<RecordOption<RecordDescription>> = {},
  ): MpmcRing | MpmcRecordRing {
    const record = checkRecordType(options.record);
    const mode = checkAttachedWait(options);
    return MpmcRing.#open(attachSegment(Constants.kindMpmc, target, options), mode, record);
  }

  /**
   * Opens the ring of typed records of that name, or makes it.
   * @throws {RingwayError} `ERR_RINGWAY_SHAPE` if it is there with another record type or of another shape; shows both
   */
  static createOrAttach<Description extends RecordDescription>(
    options: MpmcRecordRingOptions<Description> & { name: string } & AttachOptions,
  ): MpmcRecordRing<Description>;
  /**
   * Opens the ring of that name, or makes it.
   * @throws {RingwayError} `ERR_RINGWAY_SHAPE` if it is there with other slots or another record type; shows both
   */
  static createOrAttach(options: MpmcRingOptions & { name: string } & AttachOptions): MpmcRing;
  static createOrAttach(options: AnyOptions & { name: string } & AttachOptions): MpmcRing | MpmcRecordRing {
    const name = checkName(options.name);
    return attachOrCreate<MpmcRing | MpmcRecordRing>(
      () => MpmcRing.attach(name, options),
      (ring) => checkShape(ring, options),
      () => MpmcRing.create(options as MpmcRingOptions),
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
  ): Promise<MpmcRecordRing<Description>>;
  /**
   * Waits until a ring of that name is created, and opens it.
   * @throws {TimeoutError} after `timeoutMs`
   */
  static whenCreated(name: string, options?: WaitOptions & AttachOptions): Promise<MpmcRing>;
  static async whenCreated(
    name: string,
    options: WaitOptions & AttachOptions = {},
  ): Promise<MpmcRing | MpmcRecordRing> {
    checkName(name);
    checkWaitOptions(options);
    return whenLinked(name, options, () => MpmcRing.attach(name, options));
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
  ): MpmcRing | MpmcRecordRing {
    return makeOver(segment, () => {
      checkRecordsOf(segment, record);
      const slots = new MpmcSlots(segment);
      checkRecordsFit(segment, record, slots.shape.slotByteLength);
      const ring = new MpmcRing(slots, mode);
      return record === undefined ? ring : new MpmcRecordRing(segment, ring, record);
    });
  }

  /** How many messages fit, a power of two. */
  get slots(): number {
    return this.#slots.shape.slots;
  }

  /** The longest message, in bytes. */
  get slotByteLength(): number {
    return this.#slots.shape.slotByteLength;
  }

  /** Messages start at multiples of this, in bytes. */
  get alignment(): 8 | 64 {
    return this.#slots.shape.alignment;
  }

  /** How this handle waits. */
  get wait(): WaitMode {
    return this.#mode;
  }

  /** Whether somebody called end(). */
  get ended(): boolean {
    checkOpen(this.#segment);
    return this.#hasEnded();
  }

  /**
   * Copies one message into the ring.
   * Progress: lock-free, and as long as there are slots, but for a system call if a consumer sleeps.
   * @param message - shape [0 .. slotByteLength]
   * @returns `false` when no slot is free
   * @throws {MessageSizeError} if it is longer than `slotByteLength`
   * @throws {RingwayError} `EPIPE` after end()
   */
  tryPush(message: Uint8Array): boolean {
    this.#checkMessage(message);
    if (!this.#push(message)) return false;
    this.#slots.tellOfMessage();
    return true;
  }

  /**
   * Copies one message into the ring as soon as a slot is free.
   * @param message - shape [0 .. slotByteLength]; read when there is room, so leave it alone until then
   * @throws {TimeoutError} after `timeoutMs`
   * @throws {RingwayError} `EPIPE` after end(), whoever called it
   */
  push(message: Uint8Array, options?: WaitOptions): Promise<void> {
    return this.#wait<void>(this.#room, 'push', options, () => (this.tryPush(message) ? undefined : NOT_YET));
  }

  /** push() that blocks the thread. */
  pushSync(message: Uint8Array, options?: SyncWaitOptions): void {
    this.#waitSync<void>(this.#room, 'pushSync', options, () => (this.tryPush(message) ? undefined : NOT_YET));
  }

  /**
   * Copies as many messages as there are free slots, in order; others' messages may come in between.
   * @returns how many were taken, from the start of `messages`
   * @throws {MessageSizeError} if one is too long; none was taken
   */
  tryPushMany(messages: readonly Uint8Array[]): number {
    if (!Array.isArray(messages)) {
      throw new TypeError(`messages must be an array of Uint8Array, not ${describe(messages)}`);
    }
    for (const message of messages) this.#checkMessage(message);
    checkOpen(this.#segment);
    let taken = 0;
    try {
      for (let run = -1; run !== 0 && taken < messages.length; taken += run) run = this.#pushRun(messages, taken);
    } finally {
      if (taken > 0) this.#slots.tellOfMessage();
    }
    return taken;
  }

  /**
   * A slot to write one message in, in place. Several claims may be open; none of them holds up anybody.
   * @param byteLength - 0 to `slotByteLength`, which is the default; commit() may take less
   * @returns `null` when no slot is free
   * @throws {RingwayError} `EPIPE` after end()
   */
  tryClaim(byteLength: number = this.slotByteLength): Claim | null {
    checkOpen(this.#segment);
    checkInteger('byteLength', byteLength, 0, Number.MAX_SAFE_INTEGER);
    if (byteLength > this.slotByteLength) throw this.#tooLong(byteLength);
    const slot = this.#claimSlot();
    if (slot < 0) return null;
    const claimer = {
      commitClaim: (_: Claim, written: number) => {
        this.#letGo(slot);
        this.#commit(slot, written);
        this.#slots.tellOfMessage();
      },
      abortClaim: () => {
        this.#letGo(slot);
        this.#free(slot);
      },
    };
    const loan = new Loan(this.#segment, this.#slots.payloadOf(slot), byteLength);
    const claim = new Claim(claimer, loan);
    this.#hold(slot, claim, loan, false);
    return claim;
  }

  /** tryClaim() as soon as a slot is free; errors as of push(). */
  claim(byteLength?: number, options?: WaitOptions): Promise<Claim> {
    return this.#wait(this.#room, 'claim', options, () => this.tryClaim(byteLength) ?? NOT_YET);
  }

  /** claim() that blocks the thread. */
  claimSync(byteLength?: number, options?: SyncWaitOptions): Claim {
    return this.#waitSync(this.#room, 'claimSync', options, () => this.tryClaim(byteLength) ?? NOT_YET);
  }

  /**
   * Lets `writer` write one message in place: tryClaim() and commit() without allocating anything. One at a time.
   * Progress: lock-free but for the writer, and a system call if a consumer sleeps.
   * @param byteLength - how much room the writer gets, 0 to `slotByteLength`
   * @returns `false` when no slot is free; the writer was not called
   * @throws what the writer throws; nothing becomes visible
   * @throws {TypeError} if the writer returns something else than a length or nothing: a promise, say
   * @throws {MessageSizeError} if `byteLength` is more than `slotByteLength`
   * @throws {RingwayError} `EPIPE` after end(); `ERR_RINGWAY_BORROWED` within another writer of this handle
   */
  tryWrite(byteLength: number, writer: Writer): boolean {
    checkOpen(this.#segment);
    if (typeof writer !== 'function') throw new TypeError(`writer must be a function, not ${describe(writer)}`);
    checkInteger('byteLength', byteLength, 0, Number.MAX_SAFE_INTEGER);
    if (byteLength > this.slotByteLength) throw this.#tooLong(byteLength);
    if (this.#writing >= 0) throw this.#borrowed('writer');
    const slot = this.#claimSlot();
    if (slot < 0) return false;
    this.#writing = slot;
    let written = -1;
    try {
      written = writeInPlace(this.#segment, this.#slots.payloadOf(slot), byteLength, writer);
    } finally {
      this.#writing = -1;
      if (written < 0 && !this.closed) this.#free(slot); // Closed by the writer: close() has freed it.
    }
    checkOpen(this.#segment);
    this.#commit(slot, written);
    this.#slots.tellOfMessage();
    return true;
  }

  /** tryWrite() as soon as a slot is free; the writer is called then. Errors as of push(). */
  write(byteLength: number, writer: Writer, options?: WaitOptions): Promise<void> {
    const attempt = () => (this.tryWrite(byteLength, writer) ? undefined : NOT_YET);
    return this.#wait<void>(this.#room, 'write', options, attempt);
  }

  /** write() that blocks the thread. */
  writeSync(byteLength: number, writer: Writer, options?: SyncWaitOptions): void {
    const attempt = () => (this.tryWrite(byteLength, writer) ? undefined : NOT_YET);
    this.#waitSync<void>(this.#room, 'writeSync', options, attempt);
  }

  /**
   * Copies the next message out; it is gone then. If the process dies inside, the message is delivered again.
   * Progress: lock-free, but for a system call if a producer sleeps.
   * @returns shape [0 .. slotByteLength], or `null` when nothing is queued
   */
  tryPop(): Uint8Array | null {
    checkOpen(this.#segment);
    const slot = this.#slots.take();
    if (slot < 0) return null;
    const message = this.#copy(slot);
    this.#done(slot);
    return message;
  }

  /**
   * The next message, copied out as soon as there is one.
   * @throws {TimeoutError} after `timeoutMs`; nothing was consumed
   * @throws {EndOfStreamError} after end(), when nothing is left that could still be delivered
   */
  pop(options?: WaitOptions): Promise<Uint8Array> {
    return this.#wait(this.#messages, 'pop', options, () => this.tryPop() ?? NOT_YET);
  }

  /** pop() that blocks the thread. */
  popSync(options?: SyncWaitOptions): Uint8Array {
    return this.#waitSync(this.#messages, 'popSync', options, () => this.tryPop() ?? NOT_YET);
  }

  /**
   * Copies up to `limit` messages out; producers are told once. Cheaper than as many pops.
   * @returns those that were there, in order
   */
  tryPopMany(limit: number): Uint8Array[] {
    checkOpen(this.#segment);
    checkLimit(limit);
    const messages: Uint8Array[] = [];
    try {
      while (messages.length < limit) {
        const slot = this.#slots.take();
        if (slot < 0) break;
        messages.push(this.#copy(slot));
        this.#release(slot);
      }
    } finally {
      if (messages.length > 0) this.#tellOfRoom();
    }
    return messages;
  }

  /**
   * Hands up to `limit` messages to `handler`, in place and without allocating; producers are told once. A message is gone
   * when the handler has returned from it; if the process dies inside, or the handler throws, it is delivered again, behind
   * what is in the ring. One drain at a time.
   * @param limit - how many at most
   * @returns how many were read
   * @throws what the handler throws
   * @throws {TypeError} if the handler returns a promise: it would read memory that is not its own any more
   * @throws {RingwayError} `ERR_RINGWAY_BORROWED` within another drain of this handle
   */
  drain(handler: DrainHandler, limit = Infinity): number {
    checkOpen(this.#segment);
    checkHandler(handler);
    checkLimit(limit);
    if (this.#reading >= 0) throw this.#borrowed('drain handler');
    let read = 0;
    try {
      while (read < limit) {
        const slot = this.#slots.take();
        if (slot < 0) break;
        this.#hand(slot, handler);
        if (this.#segment.closed) return read; // By the handler: close() gave its message back.
        this.#release(slot);
        read++;
      }
    } finally {
      if (read > 0 && !this.closed) this.#tellOfRoom();
    }
    return read;
  }

  /**
   * Takes the next message, in place, until it is acked. If it is nacked, or this process dies, it is delivered again. A
   * lease that the program forgets is nacked when it is collected.
   * Progress: lock-free, but for a system call if a producer sleeps.
   * @returns `null` when nothing is queued
   */
  tryTake(): Lease | null {
    checkOpen(this.#segment);
    const slot = this.#slots.take();
    if (slot < 0) return null;
    const loan = new Loan(this.#segment, this.#slots.payloadOf(slot), this.#slots.byteLengthOf(slot));
    const lease = new Lease(this.#lessor, slot, loan, this.#slots.deliveriesOf(slot));
    this.#hold(slot, lease, loan, true);
    return lease;
  }

  /** tryTake() as soon as there is a message; errors as of pop(). */
  take(options?: WaitOptions): Promise<Lease> {
    return this.#wait(this.#messages, 'take', options, () => this.tryTake() ?? NOT_YET);
  }

  /** take() that blocks the thread. */
  takeSync(options?: SyncWaitOptions): Lease {
    return this.#waitSync(this.#messages, 'takeSync', options, () => this.tryTake() ?? NOT_YET);
  }

  /**
   * Takes up to `limit` messages.
   * @returns those that were there, in order
   */
  tryTakeMany(limit: number): Lease[] {
    checkLimit(limit);
    const leases: Lease[] = [];
    while (leases.length < limit) {
      const lease = this.tryTake();
      if (lease === null) break;
      leases.push(lease);
    }
    return leases;
  }

  /** Leases until the end of the stream. Leaving the loop early nacks the last one, unless it was acked or nacked. */
  async *leases(): AsyncGenerator<Lease, void, undefined> {
    for (;;) {
      let lease: Lease;
      try {
        lease = await this.take();
      } catch (error) {
        if (error instanceof EndOfStreamError) return;
        throw error;
      }
      let left = true;
      try {
        yield lease;
        left = false;
      } finally {
        if (left) lease[Symbol.dispose]();
      }
    }
  }

  /**
   * No more pushes, by anybody: they fail with `EPIPE`. Consumers get what is queued, then the end of the stream. It comes
   * when nothing is left that could be delivered: also nothing that others hold and might nack or die with; but one that
   * holds a lease itself is not made to wait for theirs. Idempotent.
   */
  end(): void {
    checkOpen(this.#segment);
    // Sequentially consistent: a producer that does not see it in #claimSlot() has its claim seen by consumers, who look
    // for the end with the mark set.
    Atomics.store(this.#segment.words, this.#slots.ended >> 2, 1);
    this.#slots.tellOfEnd();
  }

  /** What the ring has done and who is attached to it. Looks at every slot and asks the kernel for each participant. */
  stats(): MpmcRingStats {
    checkOpen(this.#segment);
    const segment = this.#segment;
    const { words, doubles, bodyOffset } = segment;
    const word = (offset: number) => Atomics.load(words, (bodyOffset + offset) >> 2) >>> 0;
    const sum = (counter: number) => {
      let total = 0;
      for (let id = 0; id < segment.maxParticipants; id++) {
        total += doubles[(bodyOffset + MpmcHeader.counters + id * ParticipantCounters.next + counter) >> 3];
      }
      return total;
    };
    return {
      capacity: this.slots,
      used: this.#slots.census().used,
      pushed: sum(ParticipantCounters.pushed),
      popped: sum(ParticipantCounters.popped),
      spins: sum(ParticipantCounters.spins),
      parks: sum(ParticipantCounters.parks),
      wakeUps: sum(ParticipantCounters.wakeUps),
      redelivered: word(MpmcHeader.redelivered),
      abandoned: word(MpmcHeader.abandoned),
      linked: segment.linked,
      participants: attachedParticipants(segment),
    };
  }

  /**
   * Gives up this handle: its claims are aborted, its leases nacked, what waits is rejected with ClosedError. Views of it
   * read zeros, writes to them go nowhere. The ring stays, if it has a name or others hold it. Idempotent.
   */
  close(): void {
    if (this.closed) return;
    collected.unregister(this);
    const message = `${this.#segment.label} was closed`;
    this.#room.close(message);
    this.#messages.close(message);
    for (const [slot, { loan, isLease }] of this.#held) {
      loan.end('closed');
      giveBack(this.#slots, slot, isLease);
    }
    this.#held.clear();
    if (this.#writing >= 0) giveBack(this.#slots, this.#writing, false);
    if (this.#reading >= 0) giveBack(this.#slots, this.#reading, true);
    this.#segment.close();
  }

  /** A pending operation keeps the process alive: the default. */
  ref(): this {
    this.#room.referenced = this.#messages.referenced = true;
    return this;
  }

  /** Lets the process end though an operation is pending. */
  unref(): this {
    this.#room.referenced = this.#messages.referenced = false;
    return this;
  }

  // False when nothing is queued, or the handler has closed us: close() has given its message back then.
  #push(message: Uint8Array): boolean {
    const slot = this.#claimSlot();
    if (slot < 0) return false;
    this.#fill(slot, message);
    this.#commit(slot, message.length);
    return true;
  }

  // Messages from `from` on, for which there are free slots; how many, at most RUN. What a claim is checked for is checked
  // once for all.
  #pushRun(messages: readonly Uint8Array[], from: number): number {
    const claimed = this.#run;
    const wanted = Math.min(messages.length - from, RUN);
    let count = 0;
    for (; count < wanted; count++) {
      const slot = this.#slots.claim();
      if (slot < 0) break;
      claimed[count] = slot;
    }
    if (this.#hasEnded()) {
      for (let i = 0; i < count; i++) this.#free(claimed[i]);
      throw streamEnded(this.#segment.label);
    }
    if (count > 0) this.#slots.tellOfClaim();
    for (let i = 0; i < count; i++) this.#fill(claimed[i], messages[from + i]);
    // Not one by one: a consumer that follows closely would fight for the cache line of each.
    for (let i = 0; i < count; i++) this.#commit(claimed[i], messages[from + i].length);
    return count;
  }

  #fill(slot: number, message: Uint8Array): void {
    if (message.length > 0) this.#segment.bytes.set(message, this.#slots.payloadOf(slot));
  }

  #commit(slot: number, byteLength: number): void {
    this.#slots.commit(slot, byteLength);
    this.#count(ParticipantCounters.pushed);
  }

  // A slot to write in; -1 if none is free.
  #claimSlot(): number {
    const slot = this.#slots.claim();
    // With the claim there for everybody to see: consumers may have found the end before it.
    if (this.#hasEnded()) {
      if (slot >= 0) this.#free(slot);
      throw streamEnded(this.#segment.label);
    }
    if (slot >= 0) this.#slots.tellOfClaim();
    return slot;
  }

  #copy(slot: number): Uint8Array {
    const offset = this.#slots.payloadOf(slot);
    return this.#segment.bytes.slice(offset, offset + this.#slots.byteLengthOf(slot));
  }

  // Whatever the handler does, the message is not ours to lose: it goes back if it was not read.
  #hand(slot: number, handler: DrainHandler): void {
    let read = false;
    this.#reading = slot;
    try {
      readInPlace(this.#segment, this.#slots.payloadOf(slot), this.#slots.byteLengthOf(slot), handler);
      read = true;
    } finally {
      this.#reading = -1;
      if (!read && !this.closed) this.#nack(slot);
    }
  }

  #free(slot: number): void {
    if (DEBUG_VIEWS) poison(this.#segment, this.#slots.payloadOf(slot), this.slotByteLength);
    this.#slots.free(slot);
    this.#tellOfRoom();
  }

  // A message that was read; the caller tells of the room.
  #release(slot: number): void {
    this.#count(ParticipantCounters.popped);
    if (DEBUG_VIEWS) poison(this.#segment, this.#slots.payloadOf(slot), this.slotByteLength);
    this.#slots.free(slot);
  }

  #tellOfRoom(): void {
    this.#slots.tellOfRoom();
    if (this.#hasEnded()) this.#slots.tellOfEnd(); // It may have been the last that could be delivered.
  }

  #done(slot: number): void {
    this.#release(slot);
    this.#tellOfRoom();
  }

  #endLease(slot: number, done: boolean): void {
    this.#letGo(slot);
    if (done) this.#done(slot);
    else this.#nack(slot);
  }

  #nack(slot: number): void {
    this.#slots.nack(slot);
    this.#slots.tellOfMessage();
  }

  #hold(slot: number, borrowed: Lease | Claim, loan: Loan, isLease: boolean): void {
    this.#held.set(slot, { loan, isLease });
    forgotten.register(borrowed, { held: this.#held, slots: this.#slots, slot, loan }, loan);
  }

  #letGo(slot: number): void {
    const lent = this.#held.get(slot);
    if (lent === undefined) return; // A hostile peer has had us take the same slot twice.
    this.#held.delete(slot);
    // Or the registry would remember each in a program that never returns to the event loop.
    forgotten.unregister(lent.loan);
  }

  #count(counter: number): void {
    this.#segment.doubles[(this.#slots.counters + counter) >> 3]++;
  }

  #hasEnded(): boolean {
    return Atomics.load(this.#segment.words, this.#slots.ended >> 2) !== 0;
  }

  #checkMessage(message: Uint8Array): void {
    checkOpen(this.#segment);
    checkBytes(message);
    if (message.length > this.slotByteLength) throw this.#tooLong(message.length);
  }

  #borrowed(who: string): RingwayError {
    return new RingwayError(
      `a ${who} of ${this.#segment.label} is at work: return from it first`,
      'ERR_RINGWAY_BORROWED',
    );
  }

  #tooLong(byteLength: number): MessageSizeError {
    const limit = this.slotByteLength;
    return new MessageSizeError(
      `${byteLength} bytes do not fit into a slot of ${limit}: create the ring with a larger slotByteLength`,
      byteLength,
      limit,
    );
  }

  #wait<Result>(
    line: WaitingLine,
    what: string,
    options: WaitOptions | undefined,
    attempt: () => Result | typeof NOT_YET,
  ): Promise<Result> {
    try {
      if (options !== undefined) checkWaitOptions(options);
      checkOpen(this.#segment);
    } catch (error) {
      return Promise.reject(error);
    }
    return line.async(what, options, attempt);
  }

  #waitSync<Result>(
    line: WaitingLine,
    what: string,
    options: SyncWaitOptions | undefined,
    attempt: () => Result | typeof NOT_YET,
  ): Result {
    if (options !== undefined) checkWaitOptions(options);
    checkOpen(this.#segment);
    return line.sync(what, options, attempt);
  }
}

type AnyOptions = MpmcRingOptions | MpmcRecordRingOptions<RecordDescription>;

// What a handle has lent out, by slot. A loan does not hold the lease or claim, which is collected if the program forgets it.
type Held = Map<number, Lent>;
interface Lent {
  loan: Loan;
  isLease: boolean;
}

// Leases and claims that the program has lost: a live process's are nobody else's to give back.
const forgotten = new FinalizationRegistry<{ held: Held; slots: MpmcSlots; slot: number; loan: Loan }>(
  ({ held, slots, slot, loan }) => {
    const lost = held.get(slot);
    if (lost?.loan !== loan || slots.segment.closed) return;
    held.delete(slot);
    giveBack(slots, slot, lost.isLease);
  },
);

// Where nobody is left to be told that the ring is corrupt: the next one who uses it is.
function giveBack(slots: MpmcSlots, slot: number, isLease: boolean): void {
  try {
    if (isLease) slots.nack(slot);
    else slots.free(slot);
    slots.tellOfEnd();
  } catch (error) {
    if (!(error instanceof CorruptSegmentError)) throw error;
  }
}

// The addon gives back what a collected ring held.
const collected = closesWhenCollected();

function checkShape(ring: MpmcRing | MpmcRecordRing, options: AnyOptions): void {
  const { slots, slotByteLength, alignment } = checkMpmcOptions(options).shape;
  if (ring.slots === slots && ring.slotByteLength === slotByteLength && ring.alignment === alignment) return;
  const shapeOf = (count: number, length: number, start: number) =>
    `${count} slots of ${length} bytes and alignment ${start}`;
  throw otherShape(
    options.name as string,
    shapeOf(ring.slots, ring.slotByteLength, ring.alignment),
    shapeOf(slots, slotByteLength, alignment),
  );
}
