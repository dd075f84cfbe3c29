// A many-to-many ring of typed records, over the one of bytes.

import type { Segment } from '../memory/segment.js';
import { SegmentOwner } from '../memory/segment-owner.js';
import { RecordDecoder, RecordEncoder } from '../record/codec.js';
import type { RecordDescription } from '../record/description.js';
import { InPlaceReader, InPlaceWriter, type ReadHandler, type WriteHandler } from '../record/in-place.js';
import type { RecordInput, RecordType, ValueOf } from '../record/record.js';
import type { WaitMode } from '../wait/adaptive-spin.js';
import type { SyncWaitOptions, WaitOptions } from '../wait/options.js';
import type { MpmcRing, MpmcRingStats } from './mpmc.js';
import { RecordLease } from './record-lease.js';

/** An MpmcRing of typed records. MpmcRing.create() and its kin make it, given a `record`. */
export class MpmcRecordRing<Description extends RecordDescription = RecordDescription> extends SegmentOwner {
  readonly #bytes: MpmcRing;
  readonly #encoder: RecordEncoder<Description>;
  readonly #decoder: RecordDecoder<Description>;
  readonly #reading: InPlaceReader<Description>;
  readonly #writing: InPlaceWriter<Description>;

  /** @internal Use MpmcRing.create() or attach(). */
  constructor(segment: Segment, bytes: MpmcRing, type: RecordType<Description>) {
    super(segment);
    this.#bytes = bytes;
    this.#encoder = new RecordEncoder(type);
    this.#decoder = new RecordDecoder(type);
    this.#reading = new InPlaceReader(type);
    this.#writing = new InPlaceWriter(type);
  }

  /** How many records fit, a power of two. */
  get slots(): number {
    return this.#bytes.slots;
  }

  /** Room for a record, in bytes: its length, unless the creator asked for more. */
  get slotByteLength(): number {
    return this.#bytes.slotByteLength;
  }

  /** Records start at multiples of this, in bytes. */
  get alignment(): 8 | 64 {
    return this.#bytes.alignment;
  }

  /** How this handle waits. */
  get wait(): WaitMode {
    return this.#bytes.wait;
  }

  /** Whether somebody called end(). */
  get ended(): boolean {
    return this.#bytes.ended;
  }

  /**
   * Copies one record into the ring.
   * Progress: lock-free, and as long as there are slots, but for a system call if a consumer sleeps.
   * @param record - an object with all fields and no others
   * @returns `false` when no slot is free
   * @throws {TypeError | RangeError} naming the field that is missing, unknown, or has a value that does not fit
   * @throws {RingwayError} `EPIPE` after end()
   */
  tryPush(record: RecordInput<Description>): boolean {
    return this.#bytes.tryPush(this.#encoder.encode(record));
  }

  /**
   * Copies one record into the ring as soon as a slot is free.
   * @param record - an object with all fields and no others; read at once
   * @throws {TypeError | RangeError} naming the field that is missing, unknown, or has a value that does not fit
   * @throws {TimeoutError} after `timeoutMs`
   * @throws {RingwayError} `EPIPE` after end(), whoever called it
   */
  async push(record: RecordInput<Description>, options?: WaitOptions): Promise<void> {
    await this.#bytes.push(this.#encoder.encodeCopy(record), options);
  }

  /** push() that blocks the thread. */
  pushSync(record: RecordInput<Description>, options?: SyncWaitOptions): void {
    this.#bytes.pushSync(this.#encoder.encodeCopy(record), options);
  }

  /**
   * Copies as many records as there are free slots, in order; others' records may come in between.
   * @returns how many were taken, from the start of `records`
   * @throws {TypeError | RangeError} naming the field that does not fit in one of the records; none was taken
   */
  tryPushMany(records: readonly RecordInput<Description>[]): number {
    return this.#bytes.tryPushMany(this.#encoder.encodeMany(records));
  }

  /**
   * Lets `handler` write one record in place. Nothing is allocated but for 64-bit integers and arrays; fields that are
   * not set are 0, false or empty. One at a time.
   * Progress: lock-free but for the handler, and a system call if a consumer sleeps.
   * @param handler - gets a record cursor, the same each time, which throws ClosedError when the handler has returned
   * @returns `false` when no slot is free; the handler was not called
   * @throws what the handler throws; nothing becomes visible
   * @throws {TypeError} if the handler returns a promise
   * @throws {RingwayError} `EPIPE` after end(); `ERR_RINGWAY_BORROWED` within another handler that writes
   */
  tryWrite(handler: WriteHandler<Description>): boolean {
    return this.#writing.tryWrite(this.#bytes, handler);
  }

  /** tryWrite() as soon as a slot is free; the handler is called then. Errors as of push(). */
  async write(handler: WriteHandler<Description>, options?: WaitOptions): Promise<void> {
    await this.#bytes.write(this.#writing.byteLength, this.#writing.writerOf(handler), options);
  }

  /** write() that blocks the thread. */
  writeSync(handler: WriteHandler<Description>, options?: SyncWaitOptions): void {
    this.#bytes.writeSync(this.#writing.byteLength, this.#writing.writerOf(handler), options);
  }

  /**
   * The next record as a plain object; it is gone then. If the process dies inside, the record is delivered again.
   * Progress: lock-free, but for a system call if a producer sleeps.
   * @returns `null` when nothing is queued
   * @throws {CorruptSegmentError} if what was there cannot be a record of this type
   */
  tryPop(): ValueOf<Description> | null {
    const bytes = this.#bytes.tryPop();
    return bytes === null ? null : this.#decoder.decode(bytes);
  }

  /**
   * The next record, as soon as there is one.
   * @throws {TimeoutError} after `timeoutMs`; nothing was consumed
   * @throws {EndOfStreamError} after end(), when nothing is left that could still be delivered
   */
  async pop(options?: WaitOptions): Promise<ValueOf<Description>> {
    return this.#decoder.decode(await this.#bytes.pop(options));
  }

  /** pop() that blocks the thread. */
  popSync(options?: SyncWaitOptions): ValueOf<Description> {
    return this.#decoder.decode(this.#bytes.popSync(options));
  }

  /**
   * Up to `limit` records.
   * @returns those that were there, in order
   */
  tryPopMany(limit: number): ValueOf<Description>[] {
    return this.#bytes.tryPopMany(limit).map((bytes) => this.#decoder.decode(bytes));
  }

  /**
   * Hands the records that are there to `handler`, one after the other, in place. Nothing is allocated but for 64-bit
   * integers, strings and arrays. A record is done when the handler has returned; if the process dies inside, it is
   * delivered again. One drain at a time.
   * @param handler - gets a record cursor, the same for each record, which throws ClosedError when the handler has returned
   * @param limit - how many at most
   * @returns how many were read
   * @throws what the handler throws; its record is delivered again, to anybody, behind what is in the ring
   * @throws {TypeError} if the handler returns a promise
   * @throws {RingwayError} `ERR_RINGWAY_BORROWED` within another drain of this handle
   */
  drain(handler: ReadHandler<Description>, limit?: number): number {
    return this.#reading.drain(this.#bytes, handler, limit);
  }

  /**
   * Takes the next record until it is acked. If it is nacked, or this process dies, it is delivered again.
   * Progress: lock-free, but for a system call if a producer sleeps.
   * @returns `null` when nothing is queued
   */
  tryTake(): RecordLease<Description> | null {
    const lease = this.#bytes.tryTake();
    return lease === null ? null : new RecordLease(lease, this.#decoder);
  }

  /** tryTake() as soon as there is a record; errors as of pop(). */
  async take(options?: WaitOptions): Promise<RecordLease<Description>> {
    return new RecordLease(await this.#bytes.take(options), this.#decoder);
  }

  /** take() that blocks the thread. */
  takeSync(options?: SyncWaitOptions): RecordLease<Description> {
    return new RecordLease(this.#bytes.takeSync(options), this.#decoder);
  }

  /**
   * Takes up to `limit` records.
   * @returns those that were there, in order
   */
  tryTakeMany(limit: number): RecordLease<Description>[] {
    return this.#bytes.tryTakeMany(limit).map((lease) => new RecordLease(lease, this.#decoder));
  }

  /** Leases until the end of the stream. Leaving the loop early nacks the last one, unless it was acked or nacked. */
  async *leases(): AsyncGenerator<RecordLease<Description>, void, undefined> {
    for await (const lease of this.#bytes.leases()) yield new RecordLease(lease, this.#decoder);
  }

  /** No more pushes, by anybody. See MpmcRing.end(). */
  end(): void {
    this.#bytes.end();
  }

  /** What the ring has done and who is attached to it. Looks at every slot and asks the kernel for each participant. */
  stats(): MpmcRingStats {
    return this.#bytes.stats();
  }

  /** Gives up this handle: its leases are nacked, what waits is rejected with ClosedError. Idempotent. */
  close(): void {
    this.#bytes.close();
  }

  /** A pending operation keeps the process alive: the default. */
  ref(): this {
    this.#bytes.ref();
    return this;
  }

  /** Lets the process end though an operation is pending. */
  unref(): this {
    this.#bytes.unref();
    return this;
  }
}
